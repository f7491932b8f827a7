/* R28, D15: a callback ends its own session, or another one's, in every mode and on every event. */
#include "check.h"

static struct evs_group here;
static evs_handle_t victim;
static unsigned calls, last;

static void end_it(evs_handle_t handle)
{
    evs_handle_t which = victim == 0 ? handle : victim;
    unsigned int local;
    size_t entries;

    calls++;
    if (calls != last)
        return;
    OK(evs_finalize(which));
    CHECK_EQ(evs_finalize(which), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_dispatch(which, CS_DISPATCH_ALL), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_membership_get(which, &local, NULL, &entries), CS_ERR_BAD_HANDLE);
}

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    char copy[16];
    CHECK(nodeid == 1 && msg_len == sizeof copy);
    end_it(handle);
    /* It is the callback's as long as that runs, whatever became of the session. */
    memcpy(copy, msg, sizeof copy);
    CHECK_EQ(memcmp(copy, "sixteen bytes...", sizeof copy), 0);
}

static void confchg(hdb_handle_t handle, const unsigned int *members, size_t n,
                    const unsigned int *left, size_t left_n, const unsigned int *joined,
                    size_t joined_n, const struct evs_ring_id *ring_id)
{
    end_it(handle);
    CHECK(n == 1 && members[0] == 1 && left != NULL && joined != NULL && ring_id->nodeid == 1);
    CHECK_EQ(left_n + joined_n, 0);
}

static evs_callbacks_t callbacks = {deliver, confchg};

/* A session in which a configuration and three messages wait. */
static evs_handle_t waiting(void)
{
    evs_handle_t handle, witness;
    int i;

    OK(evs_initialize(&witness, NULL));
    OK(evs_dispatch(witness, CS_DISPATCH_ALL));
    OK(evs_join(witness, &here, 1));
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_join(handle, &here, 1));
    for (i = 0; i < 3; i++)
        OK(mcast(handle, &here, 1, "sixteen bytes...", 16));
    for (i = 0; i < 3; i++)
        OK(evs_dispatch(witness, CS_DISPATCH_ONE));
    OK(evs_finalize(witness));
    calls = 0;
    return handle;
}

int main(void)
{
    static const cs_dispatch_flags_t modes[] = {CS_DISPATCH_ONE, CS_DISPATCH_ALL,
                                                CS_DISPATCH_BLOCKING};
    evs_handle_t handle;
    unsigned mode, before, round;
    size_t memory = 0;

    begin();
    here = group("here");
    before = descriptors();
    for (round = 0; round < scaled(20); round++) {
        for (mode = 0; mode < 3; mode++) {
            /* Its own, at the first event and at a later one: no more is delivered. */
            for (last = 1; last <= 3; last += 2) {
                handle = waiting();
                while (calls < last)
                    OK(evs_dispatch(handle, modes[mode]));
                CHECK_EQ(calls, last);
                CHECK_EQ(evs_dispatch(handle, modes[mode]), CS_ERR_BAD_HANDLE);
            }
            /* Another one's: this one goes on. */
            last = 2;
            OK(evs_initialize(&victim, NULL));
            handle = waiting();
            if (modes[mode] == CS_DISPATCH_BLOCKING)
                OK(evs_dispatch(handle, CS_DISPATCH_ALL));
            while (calls < 4)
                OK(evs_dispatch(handle, modes[mode]));
            CHECK_EQ(calls, 4);
            victim = 0;
            OK(evs_finalize(handle));
        }
        CHECK_EQ(descriptors(), before);
        if (round == 0)
            memory = allocated();
        CHECK(allocated() <= memory + 4096);
    }
    return passed();
}
