/* evs_leave: R13, R37 to R39, R58, R59. */
#include "check.h"

static char got[4096];
static unsigned configurations;

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    CHECK(handle != 0 && nodeid == 1 && msg_len == 1);
    strncat(got, (const char *)msg, 1);
    CHECK(strlen(got) < sizeof got - 1);
}

static void confchg(hdb_handle_t handle, const unsigned int *members, size_t n,
                    const unsigned int *left, size_t left_n, const unsigned int *joined,
                    size_t joined_n, const struct evs_ring_id *ring_id)
{
    CHECK(handle != 0 && members[0] == 1 && left != NULL && joined != NULL && ring_id != NULL);
    CHECK(n == 1 && left_n + joined_n == 0);
    configurations++;
}

static evs_handle_t handle, witness;
static struct evs_group end;

/* What the handle got until a message that everybody gets. */
static const char *received(void)
{
    got[0] = 0;
    OK(mcast(handle, &end, 1, ".", 1));
    while (strchr(got, '.') == NULL)
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    return got;
}

#define RECEIVED(text)                                                                             \
    do {                                                                                           \
        const char *all = received();                                                              \
        if (strcmp(all, text) != 0)                                                                \
            fprintf(stderr, "received %s\n", all);                                                 \
        CHECK(strcmp(all, text) == 0);                                                             \
    } while (0)

int main(void)
{
    evs_callbacks_t callbacks = {deliver, confchg};
    struct evs_group a = group("a"), b = group("b"), many[51], some[3];
    unsigned i, seen = 0;

    begin();
    end = group("end");
    memset(many, 0, sizeof many);
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_join(handle, &end, 1));
    OK(evs_initialize(&witness, NULL));
    OK(evs_dispatch(witness, CS_DISPATCH_ALL));
    OK(evs_join(witness, &a, 1));

    /* R39, and what is no list. */
    OK(evs_leave(handle, NULL, 0));
    OK(evs_leave(handle, &a, 0));
    CHECK_EQ(evs_leave(handle, NULL, 1), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_leave(handle, many, 51), CS_ERR_TOO_MANY_GROUPS);

    /* R37 */
    CHECK_EQ(evs_leave(handle, &a, 1), CS_ERR_NOT_EXIST);

    /* R38: all or nothing, also when one is named more often than it is joined. */
    OK(evs_join(handle, &a, 1));
    OK(evs_join(handle, &b, 1));
    some[0] = a;
    some[1] = group("not joined");
    some[2] = b;
    CHECK_EQ(evs_leave(handle, some, 3), CS_ERR_NOT_EXIST);
    some[1] = a;
    CHECK_EQ(evs_leave(handle, some, 3), CS_ERR_NOT_EXIST);
    OK(mcast(handle, &a, 1, "a", 1));
    OK(mcast(handle, &b, 1, "b", 1));
    RECEIVED("ab.");

    /* R58: what waits is delivered after the leave. */
    OK(mcast(handle, &a, 1, "w", 1));
    OK(evs_dispatch(witness, CS_DISPATCH_ONE));
    OK(evs_dispatch(witness, CS_DISPATCH_ONE));
    OK(evs_leave(handle, &a, 1));
    RECEIVED("w.");

    /* After the leave nothing more of that group comes. */
    OK(mcast(handle, &a, 1, "x", 1));
    OK(mcast(handle, &b, 1, "y", 1));
    RECEIVED("y.");

    /* R59: one point of the history decides: what was sent is delivered up to it, not beyond. */
    for (i = 0; i < 100; i++) {
        unsigned n;
        const char *all;
        OK(evs_join(handle, &a, 1));
        for (n = 0; n < 5; n++)
            OK(mcast(handle, &a, 1, &"01234"[n], 1));
        OK(evs_leave(handle, &a, 1));
        all = received();
        n = (unsigned)strlen(all) - 1;
        CHECK(n <= 5 && strncmp(all, "01234", n) == 0);
        seen += n;
    }
    printf("of 500 messages before a leave %u were delivered\n", seen);

    /* R13 */
    CHECK_EQ(configurations, 1);
    OK(evs_finalize(witness));
    OK(evs_finalize(handle));
    CHECK_EQ(evs_leave(handle, &a, 1), CS_ERR_BAD_HANDLE);
    return passed();
}
