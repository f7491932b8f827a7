/*
 * evs_dispatch: R2, R11, R12, R13, R21 to R24, R26, R27, R28, D14: the three ways of dispatching,
 * and what callbacks may do.
 */
#include "check.h"

static unsigned messages, configurations;
static struct evs_group here;

enum deed { NOTHING, NEST, FINALIZE, USE_OTHERS, NEST_AND_FINALIZE };
static enum deed deed;
static evs_handle_t others;

/* How many callbacks send one more message each, and see it arrive. */
static unsigned refills;

/* Any function may be called, on this handle and on any other. */
static void every_call(evs_handle_t handle)
{
    struct evs_group mine = group("mine");
    struct evs_processor processor;
    struct evs_version version;
    evs_handle_t fresh;
    size_t entries;
    void *context;
    evs_end_t end;
    int fd;

    OK(evs_initialize(&fresh, NULL));
    OK(evs_finalize(fresh));
    OK(evs_typed_initialize(&fresh, NULL, 0, NULL));
    OK(evs_dispatch(fresh, CS_DISPATCH_ONE));
    OK(evs_finalize(fresh));
    OK(evs_fd_get(handle, &fd));
    OK(evs_room_fd_get(handle, &fd));
    OK(evs_context_set(handle, &fd));
    OK(evs_context_get(handle, &context));
    CHECK(context == &fd);
    OK(evs_self_get(handle, &processor, NULL));
    OK(evs_end_get(handle, &end));
    CHECK_EQ(end, EVS_END_NONE);
    OK(evs_version_get(&version));
    OK(evs_membership_get(handle, NULL, NULL, &entries));
    CHECK_EQ(entries, 1);
    OK(evs_join(handle, &mine, 1));
    OK(evs_mcast_joined(handle, EVS_TYPE_AGREED, NULL, 0));
    OK(evs_leave(handle, &mine, 1));
}

static void act(evs_handle_t handle)
{
    enum deed now = deed;
    deed = NOTHING;
    switch (now) {
    case NOTHING:
        break;
    case NEST: /* R27: the nested call delivers the rest. */
        OK(evs_dispatch(handle, CS_DISPATCH_ALL));
        break;
    case FINALIZE:
        OK(evs_finalize(handle));
        CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ALL), CS_ERR_BAD_HANDLE);
        break;
    case NEST_AND_FINALIZE:
        deed = FINALIZE;
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
        break;
    case USE_OTHERS:
        every_call(others);
        every_call(handle);
        OK(mcast(others, &here, 1, "again", 5));
        OK(evs_dispatch(others, CS_DISPATCH_ALL));
        break;
    }
}

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    int fd;
    CHECK_EQ(nodeid, 1);
    CHECK(msg != NULL);
    /* Of every_call comes a message without bytes. */
    if (msg_len == 0)
        return;
    messages++;
    if (refills > 0) {
        refills--;
        OK(mcast(handle, &here, 1, "one more", 8));
        OK(evs_fd_get(handle, &fd));
        CHECK_EQ(readable(fd, 10000), 1);
    }
    act(handle);
}

static void confchg(hdb_handle_t handle, const unsigned int *members, size_t n,
                    const unsigned int *left, size_t left_n, const unsigned int *joined,
                    size_t joined_n, const struct evs_ring_id *ring_id)
{
    (void)handle;
    CHECK_EQ(n, 1);
    CHECK_EQ(members[0], 1);
    CHECK(left != NULL && joined != NULL);
    CHECK_EQ(left_n + joined_n, 0);
    CHECK(ring_id != NULL && ring_id->nodeid == 1 && ring_id->seq > 0);
    configurations++;
}

static evs_callbacks_t callbacks = {deliver, confchg};

/* A session with so many messages waiting, and nothing else. */
static evs_handle_t open_with(unsigned waiting)
{
    evs_handle_t handle, witness;
    unsigned i;
    int fd;

    OK(evs_initialize(&handle, &callbacks));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    OK(evs_join(handle, &here, 1));
    /* A witness of the same daemon gets the last message after this session has got it. */
    OK(evs_initialize(&witness, NULL));
    OK(evs_dispatch(witness, CS_DISPATCH_ALL));
    OK(evs_join(witness, &here, 1));
    for (i = 0; i < waiting; i++)
        OK(mcast(handle, &here, 1, "message", 7));
    for (i = 0; i < waiting; i++)
        OK(evs_dispatch(witness, CS_DISPATCH_ONE));
    OK(evs_finalize(witness));
    OK(evs_fd_get(handle, &fd));
    CHECK_EQ(readable(fd, waiting > 0 ? 10000 : 0), waiting > 0);
    messages = configurations = 0;
    return handle;
}

int main(void)
{
    evs_handle_t handle;
    double start;
    int fd;

    begin();
    here = group("here");

    /* R11, R12: one configuration waits at once; no join is needed. R13: a join brings none. */
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_fd_get(handle, &fd));
    CHECK_EQ(readable(fd, 0), 1);
    OK(evs_join(handle, &here, 1));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(configurations, 1);
    CHECK_EQ(readable(fd, 0), 0);

    /* R23 */
    start = now();
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK(now() - start < 1);
    CHECK_EQ(messages + configurations, 1);
    OK(evs_finalize(handle));

    /* R21: exactly one callback. R24: all of them. */
    handle = open_with(5);
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    CHECK_EQ(messages, 1);
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(messages, 5);
    OK(evs_finalize(handle));

    /* R22: waits until there is one. */
    handle = open_with(0);
    OK(mcast(handle, &here, 1, "late", 4));
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    CHECK_EQ(messages, 1);

    /* R27: what a callback may call. */
    deed = USE_OTHERS;
    OK(evs_initialize(&others, NULL));
    OK(mcast(handle, &here, 1, "first", 5));
    while (messages < 3)
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    OK(evs_finalize(others));
    OK(evs_finalize(handle));

    /* R24: bounded by what waited, even if each callback brings about another message, and waits
     * until that is there. */
    handle = open_with(3);
    refills = 100;
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(messages, 3);
    refills = 0;
    while (messages < 6)
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    OK(evs_fd_get(handle, &fd));
    CHECK_EQ(readable(fd, 0), 0);
    OK(evs_finalize(handle));

    /* R26: at once, with and without something that waits. */
    handle = open_with(1);
    CHECK_EQ(evs_dispatch(handle, (cs_dispatch_flags_t)0), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_dispatch(handle, (cs_dispatch_flags_t)4), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_dispatch(handle, (cs_dispatch_flags_t)99), CS_ERR_INVALID_PARAM);
    CHECK_EQ(messages, 0);
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(messages, 1);
    CHECK_EQ(evs_dispatch(handle, (cs_dispatch_flags_t)99), CS_ERR_INVALID_PARAM);
    OK(evs_finalize(handle));

    /* R27 */
    handle = open_with(4);
    deed = NEST;
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    CHECK_EQ(messages, 4);
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(messages, 4);
    OK(evs_finalize(handle));

    /* R28, in each mode, and from a nested call. */
    handle = open_with(4);
    deed = FINALIZE;
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(messages, 1);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ALL), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_finalize(handle), CS_ERR_BAD_HANDLE);

    handle = open_with(4);
    deed = FINALIZE;
    OK(evs_dispatch(handle, CS_DISPATCH_BLOCKING));
    CHECK_EQ(messages, 1);

    handle = open_with(4);
    deed = FINALIZE;
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    CHECK_EQ(messages, 1);

    handle = open_with(4);
    deed = NEST_AND_FINALIZE;
    OK(evs_dispatch(handle, CS_DISPATCH_BLOCKING));
    CHECK_EQ(messages, 2);

    /* R2: without callbacks the events are consumed. */
    {
        evs_callbacks_t none = {NULL, NULL};
        OK(evs_initialize(&handle, &none));
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
        OK(evs_join(handle, &here, 1));
        OK(mcast(handle, &here, 1, "x", 1));
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
        OK(evs_fd_get(handle, &fd));
        CHECK_EQ(readable(fd, 0), 0);
        OK(evs_finalize(handle));
    }

    /* The daemon stopped before the call, and what waited is delivered first. */
    handle = open_with(3);
    control("stop 1");
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ALL), CS_ERR_IN_SHUTDOWN);
    CHECK_EQ(messages, 3);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ONE), CS_ERR_IN_SHUTDOWN);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_BLOCKING), CS_ERR_IN_SHUTDOWN);
    OK(evs_finalize(handle));
    return passed();
}
