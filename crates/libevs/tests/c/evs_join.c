/* evs_join: R13, R32 to R36. */
#include "check.h"

#define GROUPS 60

static struct evs_group groups[GROUPS];
static unsigned configurations, messages;
static char got[16];

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    CHECK(handle != 0 && nodeid == 1 && msg != NULL && msg_len == 1);
    got[messages++ % 16] = *(const char *)msg;
}

static void confchg(hdb_handle_t handle, const unsigned int *members, size_t n,
                    const unsigned int *left, size_t left_n, const unsigned int *joined,
                    size_t joined_n, const struct evs_ring_id *ring_id)
{
    CHECK(handle != 0 && members[0] == 1 && left != NULL && joined != NULL && ring_id != NULL);
    CHECK(n == 1 && left_n + joined_n == 0);
    configurations++;
}

/* Other groups, numbered from here on. */
static const struct evs_group *name_groups(int first)
{
    int i;
    memset(groups, 0, sizeof groups);
    for (i = 0; i < GROUPS; i++)
        snprintf(groups[i].key, sizeof groups[i].key, "group %d", first + i);
    return groups;
}

/* One point of the history decides (EVS-10): what others sent is delivered from there on. */
static void one_point(evs_callbacks_t *callbacks)
{
    static const char sent[] = "0123456789";
    struct evs_group shared = group("shared");
    evs_handle_t handle, sender;
    unsigned round, i, early = 0;

    OK(evs_initialize(&sender, NULL));
    OK(evs_initialize(&handle, callbacks));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    for (round = 0; round < scaled(100); round++) {
        memset(got, 0, sizeof got);
        messages = 0;
        for (i = 0; i < 5; i++)
            OK(mcast(sender, &shared, 1, &sent[i], 1));
        OK(evs_join(handle, &shared, 1));
        for (i = 5; i < 10; i++)
            OK(mcast(sender, &shared, 1, &sent[i], 1));
        while (strchr(got, '9') == NULL)
            OK(evs_dispatch(handle, CS_DISPATCH_ONE));
        CHECK(messages >= 5 && messages <= 10);
        CHECK(strcmp(got, &sent[10 - messages]) == 0);
        early += messages - 5;
        OK(evs_leave(handle, &shared, 1));
    }
    printf("of %u messages before a join %u were delivered\n", 5 * round, early);
    OK(evs_finalize(sender));
    OK(evs_finalize(handle));
    messages = configurations = 0;
}

int main(void)
{
    evs_callbacks_t callbacks = {deliver, confchg};
    struct iovec part = {(void *)(size_t) "x", 1};
    struct evs_group end = group("end");
    evs_handle_t handle;
    int i;

    begin();
    one_point(&callbacks);
    name_groups(0);
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(configurations, 1);

    /* R32: nothing is fine, wherever the pointer points. R33. */
    OK(evs_join(handle, groups, 0));
    OK(evs_join(handle, NULL, 0));
    CHECK_EQ(evs_join(handle, NULL, 1), CS_ERR_INVALID_PARAM);

    /* R34: all or none. */
    CHECK_EQ(evs_join(handle, groups, 51), CS_ERR_TOO_MANY_GROUPS);
    CHECK_EQ(evs_leave(handle, groups, 1), CS_ERR_NOT_EXIST);
    OK(evs_join(handle, groups, 50));

    /* R36: joined twice, and a third time in one call; one copy, three leaves. */
    OK(evs_join(handle, groups, 1));
    {
        struct evs_group twice[2];
        twice[0] = twice[1] = groups[1];
        OK(evs_join(handle, twice, 2));
    }
    OK(mcast(handle, groups, 2, "1", 1));
    OK(evs_join(handle, &end, 1));
    OK(mcast(handle, &end, 1, "2", 1));
    while (messages < 2)
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(messages, 2);
    OK(evs_leave(handle, &groups[1], 1));
    OK(evs_leave(handle, &groups[1], 1));
    OK(evs_leave(handle, &groups[1], 1));
    CHECK_EQ(evs_leave(handle, &groups[1], 1), CS_ERR_NOT_EXIST);
    OK(evs_finalize(handle));

    /* R35: at most 4,096 different ones in all; none of a call beyond that is joined. */
    OK(evs_initialize(&handle, &callbacks));
    for (i = 0; i < 4096; i += 32)
        OK(evs_join(handle, name_groups(i), 32));
    CHECK_EQ(evs_join(handle, name_groups(4096), 1), CS_ERR_TOO_MANY_GROUPS);
    CHECK_EQ(evs_join(handle, name_groups(4090), 10), CS_ERR_TOO_MANY_GROUPS);
    CHECK_EQ(evs_leave(handle, name_groups(4096), 1), CS_ERR_NOT_EXIST);
    OK(evs_join(handle, name_groups(4000), 50));
    OK(evs_leave(handle, name_groups(1), 1));
    OK(evs_join(handle, name_groups(4096), 1));

    /* More than a message can be for. */
    CHECK_EQ(evs_mcast_joined(handle, EVS_TYPE_AGREED, &part, 1), CS_ERR_TOO_MANY_GROUPS);

    /* R13: none of this was a configuration. */
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(configurations, 2);
    CHECK_EQ(messages, 2);
    OK(evs_finalize(handle));
    CHECK_EQ(evs_join(handle, groups, 1), CS_ERR_BAD_HANDLE);
    return passed();
}
