/*
 * evs_membership_get: R61, R62, R63, R64; and the changes of three nodes, as the callbacks and the
 * call tell them: R11, R14, R15, R17, R18, R19.
 */
#include "check.h"

#define CALLS_MAX 16

struct call {
    unsigned int members[8], left[8], joined[8];
    size_t n, left_n, joined_n;
    struct evs_ring_id ring;
};

static struct call calls[CALLS_MAX];
static unsigned count;

static void copy(unsigned int *to, size_t *to_n, const unsigned int *from, size_t n)
{
    size_t i;
    CHECK(from != NULL && n <= 8);
    for (i = 0; i < n; i++) {
        to[i] = from[i];
        CHECK(i == 0 || from[i - 1] < from[i]);
    }
    *to_n = n;
}

static void confchg(hdb_handle_t handle, const unsigned int *members, size_t n,
                    const unsigned int *left, size_t left_n, const unsigned int *joined,
                    size_t joined_n, const struct evs_ring_id *ring_id)
{
    struct call *call = &calls[count++];
    unsigned int local = 0, list[8];
    size_t entries = 8;

    CHECK(count < CALLS_MAX);
    copy(call->members, &call->n, members, n);
    copy(call->left, &call->left_n, left, left_n);
    copy(call->joined, &call->joined_n, joined, joined_n);
    CHECK(ring_id != NULL);
    call->ring = *ring_id;
    /* R61: what is dispatched and what membership_get says are the same. */
    OK(evs_membership_get(handle, &local, list, &entries));
    CHECK_EQ(local, 1);
    CHECK_EQ(entries, n);
    CHECK_EQ(memcmp(list, members, n * sizeof list[0]), 0);
}

/* The lists of a call, as a text: members, left, joined. */
static const char *told(const struct call *call)
{
    static char text[64];
    char *end = text;
    size_t i;
    for (i = 0; i < call->n; i++)
        end += sprintf(end, "%u", call->members[i]);
    end += sprintf(end, " -");
    for (i = 0; i < call->left_n; i++)
        end += sprintf(end, "%u", call->left[i]);
    end += sprintf(end, " +");
    for (i = 0; i < call->joined_n; i++)
        end += sprintf(end, "%u", call->joined[i]);
    return text;
}

#define TOLD(call, wanted)                                                                         \
    do {                                                                                           \
        if (strcmp(told(call), wanted) != 0)                                                       \
            fprintf(stderr, "told %s\n", told(call));                                              \
        CHECK(strcmp(told(call), wanted) == 0);                                                    \
    } while (0)

static void dispatch_calls(evs_handle_t handle, unsigned wanted)
{
    count = 0;
    while (count < wanted)
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
}

/* A change is two calls: the first with the old ring id, the second with a newer one. */
static void dispatch_change(evs_handle_t handle, const char *first, const char *second,
                            struct evs_ring_id *ring)
{
    dispatch_calls(handle, 2);
    TOLD(&calls[0], first);
    TOLD(&calls[1], second);
    CHECK_EQ(calls[0].ring.nodeid, ring->nodeid);
    CHECK(calls[0].ring.seq == ring->seq);
    CHECK_EQ(calls[1].ring.nodeid, 1);
    CHECK(calls[1].ring.seq > ring->seq);
    *ring = calls[1].ring;
}

int main(void)
{
    evs_callbacks_t callbacks = {NULL, confchg};
    struct evs_ring_id ring;
    evs_handle_t handle, late;
    unsigned int list[3] = {0, 0, 0}, local;
    size_t entries;
    int fd;

    begin();
    use_node(1);
    OK(evs_initialize(&handle, &callbacks));
    CHECK_EQ(evs_membership_get(handle, &local, list, NULL), CS_ERR_INVALID_PARAM); /* R64 */

    /* Before the first event, what it will bring. */
    entries = 3;
    OK(evs_membership_get(handle, &local, list, &entries));
    CHECK_EQ(entries, 3);

    /* R11, R18, R19 */
    dispatch_calls(handle, 1);
    TOLD(&calls[0], "123 - +23");
    ring = calls[0].ring;
    CHECK_EQ(ring.nodeid, 1);
    CHECK(ring.seq > 0);

    /* R62, R63 */
    entries = 1;
    list[1] = 99;
    OK(evs_membership_get(handle, &local, list, &entries));
    CHECK_EQ(entries, 1);
    CHECK_EQ(list[0], 1);
    CHECK_EQ(list[1], 99);
    entries = 0;
    OK(evs_membership_get(handle, &local, list, &entries));
    CHECK_EQ(entries, 0);
    entries = 0;
    OK(evs_membership_get(handle, &local, NULL, &entries));
    CHECK_EQ(entries, 3);
    entries = 3;
    OK(evs_membership_get(handle, NULL, list, &entries));
    CHECK_EQ(entries, 3);
    CHECK_EQ(list[2], 3);

    /* R14: a member dies. */
    control("kill 3");
    dispatch_change(handle, "12 -3 +", "12 - +", &ring);

    /* R15: it returns. EVS-11: what waits counts when it is dispatched, not before. */
    control("start 3");
    control("members 1 2 3");
    OK(evs_fd_get(handle, &fd));
    CHECK_EQ(readable(fd, 10000), 1);
    entries = 3;
    OK(evs_membership_get(handle, NULL, list, &entries));
    CHECK_EQ(entries, 2);
    dispatch_change(handle, "12 - +", "123 - +3", &ring);

    /* R17: an orderly stop is told in the same way. */
    control("stop 2");
    dispatch_change(handle, "13 -2 +", "13 - +", &ring);

    /* Who comes later begins with the configuration that is. */
    OK(evs_initialize(&late, &callbacks));
    dispatch_calls(late, 1);
    TOLD(&calls[0], "13 - +3");
    CHECK(calls[0].ring.seq == ring.seq);
    OK(evs_finalize(late));

    /* D18: nothing else has been told meanwhile. */
    count = 0;
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(count, 0);
    control("kill 1");
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_BLOCKING), CS_ERR_LIBRARY);
    CHECK_EQ(evs_membership_get(handle, &local, list, &entries), CS_ERR_LIBRARY);
    OK(evs_finalize(handle));
    CHECK_EQ(evs_membership_get(handle, &local, list, &entries), CS_ERR_BAD_HANDLE);
    return passed();
}
