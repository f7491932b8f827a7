/*
 * evs_mcast_groups: R36, R40 to R51, R54, R58, R59. Groups are keys of 32 bytes, counted, and open
 * to every sender.
 */
#include "check.h"

#define HANDLES 3

static char got[HANDLES][64];
static evs_handle_t handles[HANDLES];

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    int i = 0;
    CHECK_EQ(nodeid, 1);
    CHECK_EQ(msg_len, 1);
    while (handles[i] != handle)
        i++;
    strncat(got[i], (const char *)msg, 1);
}

static struct evs_group end;

/* Waits until everybody has got what was sent, and clears it. */
static void settle(void)
{
    int i;
    /* Sessions have no order among each other; an answer comes after what was sent before. */
    for (i = 0; i < HANDLES; i++)
        OK(evs_join(handles[i], &end, 0));
    OK(mcast(handles[0], &end, 1, ".", 1));
    for (i = 0; i < HANDLES; i++)
        while (strchr(got[i], '.') == NULL)
            OK(evs_dispatch(handles[i], CS_DISPATCH_ONE));
}

#define GOT(i, text) CHECK(strcmp(got[i], text) == 0)
#define CLEAR() memset(got, 0, sizeof got)

/* What is refused, before a byte of it is looked at. */
static void refusals(evs_handle_t handle, const struct evs_group *many)
{
    static struct iovec parts[1025];
    static char big[(1 << 20) + 1];
    struct evs_group nobody = group("nobody");
    struct iovec part = {big, 10};
    size_t i;

    /* R47 */
    CHECK_EQ(evs_mcast_groups(handle, (evs_guarantee_t)4, &nobody, 1, &part, 1),
             CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_mcast_groups(handle, (evs_guarantee_t)77, &nobody, 1, &part, 1),
             CS_ERR_INVALID_PARAM);

    /* R49 */
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, NULL, 1, &part, 1), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, NULL, 1),
             CS_ERR_INVALID_PARAM);
    part.iov_base = NULL;
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, &part, 1),
             CS_ERR_INVALID_PARAM);

    /* R51: up to IOV_MAX; R46: each guarantee; R48, R50: empty parts. */
    for (i = 0; i < 1025; i++) {
        parts[i].iov_base = i % 2 ? big : NULL;
        parts[i].iov_len = i % 2;
    }
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, parts, 1025),
             CS_ERR_INVALID_PARAM);
    for (i = 0; i < 4; i++)
        OK(evs_mcast_groups(handle, (evs_guarantee_t)i, &nobody, 1, parts, 1024));
    OK(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, NULL, 0));

    /* R54: however it is put together. */
    part.iov_base = big;
    part.iov_len = sizeof big;
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, &part, 1), CS_ERR_TOO_BIG);
    part.iov_len = (size_t)-1;
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, &part, 1), CS_ERR_TOO_BIG);
    parts[1].iov_len = (size_t)-1;
    parts[3].iov_len = 2;
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, parts, 4), CS_ERR_TOO_BIG);

    /* R44: up to 1,024 groups. */
    part.iov_len = 1;
    OK(evs_mcast_groups(handle, EVS_TYPE_AGREED, many, 1024, &part, 1));
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, many, 1025, &part, 1),
             CS_ERR_TOO_MANY_GROUPS);
}

int main(void)
{
    evs_callbacks_t callbacks = {deliver, NULL};
    struct evs_group a = group("a"), b = group("b"), zero, full, tail = a, both[2];
    static struct evs_group many[1025];
    struct iovec part = {(void *)(size_t) "j", 1};
    int i;

    begin();
    end = group("end");
    memset(&zero, 0, sizeof zero);
    memset(&full, 'x', sizeof full);
    tail.key[31] = 1;
    both[0] = a;
    both[1] = b;
    for (i = 0; i < HANDLES; i++) {
        OK(evs_initialize(&handles[i], &callbacks));
        OK(evs_join(handles[i], &end, 1));
    }

    /* R41: each handle of a process for itself. R42: a sender need not be a member. */
    OK(evs_join(handles[0], &a, 1));
    OK(evs_join(handles[1], &a, 1));
    OK(mcast(handles[2], &a, 1, "1", 1));
    settle();
    GOT(0, "1.");
    GOT(1, "1.");
    GOT(2, ".");
    CLEAR();

    /* R40: keys are compared whole; any bytes are a key. */
    OK(evs_join(handles[0], &zero, 1));
    OK(evs_join(handles[1], &full, 1));
    OK(evs_join(handles[2], &tail, 1));
    OK(mcast(handles[0], &zero, 1, "z", 1));
    OK(mcast(handles[0], &full, 1, "f", 1));
    OK(mcast(handles[0], &tail, 1, "t", 1));
    OK(mcast(handles[0], &a, 1, "a", 1));
    settle();
    GOT(0, "za.");
    GOT(1, "fa.");
    GOT(2, "t.");
    CLEAR();

    /* R45: one copy, however many of the groups are joined. R44: to many groups. */
    OK(evs_join(handles[0], &b, 1));
    OK(mcast(handles[1], both, 2, "2", 1));
    for (i = 0; i < 1024; i++)
        many[i] = group("somebody else's");
    many[1000] = a;
    many[1023] = b;
    OK(mcast(handles[1], many, 1024, "m", 1));
    settle();
    GOT(0, "2m.");
    GOT(1, "2m.");
    GOT(2, ".");
    CLEAR();

    /* R36: joined twice, one copy, two leaves. R59: a leave takes effect when it returns. */
    OK(evs_join(handles[0], &b, 1));
    OK(mcast(handles[1], &b, 1, "1", 1));
    settle();
    GOT(0, "1.");
    CLEAR();
    OK(evs_leave(handles[0], &b, 1));
    OK(mcast(handles[1], &b, 1, "2", 1));
    settle();
    GOT(0, "2.");
    CLEAR();
    OK(evs_leave(handles[0], &b, 1));
    OK(mcast(handles[1], &b, 1, "3", 1));
    settle();
    GOT(0, ".");
    CHECK_EQ(evs_leave(handles[0], &b, 1), CS_ERR_NOT_EXIST);
    CLEAR();

    /* R43: to nobody. */
    OK(mcast(handles[0], NULL, 0, "0", 1));
    settle();
    GOT(0, ".");
    CLEAR();

    /* To the groups that the handle has joined: `end` for 2, and `tail`. */
    OK(evs_mcast_joined(handles[2], EVS_TYPE_AGREED, &part, 1));
    settle();
    GOT(0, "j.");
    GOT(1, "j.");
    GOT(2, "j.");
    CLEAR();

    /* R43: before any join. */
    {
        evs_handle_t fresh;
        OK(evs_initialize(&fresh, NULL));
        OK(evs_mcast_joined(fresh, EVS_TYPE_AGREED, &part, 1));
        OK(evs_finalize(fresh));
    }

    /* R58: what waits is delivered after a leave. */
    OK(mcast(handles[0], &a, 1, "w", 1));
    while (strchr(got[1], 'w') == NULL)
        OK(evs_dispatch(handles[1], CS_DISPATCH_ONE));
    OK(evs_leave(handles[0], &a, 1));
    settle();
    GOT(0, "w.");

    for (i = 0; i < 1025; i++)
        many[i] = group("nobody else's");
    refusals(handles[0], many);
    CLEAR();
    settle();
    GOT(0, ".");
    for (i = 0; i < HANDLES; i++)
        OK(evs_finalize(handles[i]));
    return passed();
}
