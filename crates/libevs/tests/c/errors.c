/* Each error that a call returns while its daemon lives. */
#include "check.h"

#define GROUPS 1100

static struct evs_group groups[GROUPS];
static const struct evs_group nobody = {"not joined"};

/* Other groups, numbered from here on. */
static const struct evs_group *name_groups(int first)
{
    int i;
    memset(groups, 0, sizeof groups);
    for (i = 0; i < GROUPS; i++)
        snprintf(groups[i].key, sizeof groups[i].key, "group %d", first + i);
    return groups;
}

/* Every call with a handle that is none. */
static void bad_handle(evs_handle_t handle)
{
    struct iovec part = {(void *)(size_t) "x", 1};
    unsigned int list[4];
    size_t entries = 4;
    void *context;
    int fd;

    CHECK_EQ(evs_fd_get(handle, &fd), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_room_fd_get(handle, &fd), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_context_get(handle, &context), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_context_set(handle, &context), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ONE), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ALL), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_join(handle, groups, 1), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_leave(handle, groups, 1), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_mcast_joined(handle, EVS_TYPE_AGREED, &part, 1), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, groups, 1, &part, 1), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_membership_get(handle, &list[0], list, &entries), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_finalize(handle), CS_ERR_BAD_HANDLE);
}

static void join_and_leave(evs_handle_t handle)
{
    struct evs_group some[3];
    int i;

    /* R32, R39: nothing is fine, wherever the pointer points. R33. */
    OK(evs_join(handle, groups, 0));
    OK(evs_join(handle, NULL, 0));
    OK(evs_leave(handle, NULL, 0));
    CHECK_EQ(evs_join(handle, NULL, 1), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_leave(handle, NULL, 1), CS_ERR_INVALID_PARAM);

    /* R34 */
    CHECK_EQ(evs_join(handle, groups, 51), CS_ERR_TOO_MANY_GROUPS);
    OK(evs_join(handle, groups, 50));
    CHECK_EQ(evs_leave(handle, groups, 51), CS_ERR_TOO_MANY_GROUPS);
    OK(evs_leave(handle, groups, 50));

    /* R37, R38: all or nothing. */
    CHECK_EQ(evs_leave(handle, groups, 1), CS_ERR_NOT_EXIST);
    OK(evs_join(handle, groups, 2));
    some[0] = groups[0];
    some[1] = nobody;
    some[2] = groups[1];
    CHECK_EQ(evs_leave(handle, some, 3), CS_ERR_NOT_EXIST);
    OK(evs_leave(handle, groups, 2));

    /* R35: at most 4,096 different ones in all. */
    for (i = 0; i < 4096; i += 32)
        OK(evs_join(handle, name_groups(i), 32));
    CHECK_EQ(evs_join(handle, name_groups(4096), 1), CS_ERR_TOO_MANY_GROUPS);
    CHECK_EQ(evs_join(handle, name_groups(4090), 10), CS_ERR_TOO_MANY_GROUPS);
    OK(evs_join(handle, name_groups(4000), 50));
    OK(evs_leave(handle, name_groups(1), 1));
    OK(evs_join(handle, name_groups(4096), 1));
    name_groups(0);
}

static void send_errors(evs_handle_t handle)
{
    static struct iovec many[1025];
    static char big[(1 << 20) + 1];
    struct iovec part = {big, 10};
    size_t i;

    /* R47 */
    CHECK_EQ(evs_mcast_groups(handle, (evs_guarantee_t)77, &nobody, 1, &part, 1),
             CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_mcast_joined(handle, (evs_guarantee_t)4, &part, 1), CS_ERR_INVALID_PARAM);

    /* R49 */
    CHECK_EQ(evs_mcast_joined(handle, EVS_TYPE_AGREED, NULL, 1), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, NULL, 1, &part, 1), CS_ERR_INVALID_PARAM);
    part.iov_base = NULL;
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, &part, 1),
             CS_ERR_INVALID_PARAM);

    /* R51: up to IOV_MAX. */
    for (i = 0; i < 1025; i++) {
        many[i].iov_base = big;
        many[i].iov_len = i % 2;
    }
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, many, 1025),
             CS_ERR_INVALID_PARAM);
    OK(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, many, 1024));

    /* R54: before a byte is looked at, and however it is put together. */
    part.iov_base = big;
    part.iov_len = sizeof big;
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, &part, 1), CS_ERR_TOO_BIG);
    part.iov_len = (size_t)-1;
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, &part, 1), CS_ERR_TOO_BIG);
    many[0].iov_len = (size_t)-1;
    many[1].iov_len = 2;
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, &nobody, 1, many, 2), CS_ERR_TOO_BIG);

    /* R44: up to 1,024 groups. */
    part.iov_len = 1;
    OK(evs_mcast_groups(handle, EVS_TYPE_AGREED, groups, 1024, &part, 1));
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, groups, 1025, &part, 1),
             CS_ERR_TOO_MANY_GROUPS);
}

static void pointers_and_values(evs_handle_t handle)
{
    unsigned int local = 0, list[4] = {0, 0, 0, 0};
    size_t entries = 4;
    void *context = &local;

    /* R7, R64 */
    CHECK_EQ(evs_fd_get(handle, NULL), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_room_fd_get(handle, NULL), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_context_get(handle, NULL), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_membership_get(handle, &local, list, NULL), CS_ERR_INVALID_PARAM);

    /* R8 */
    OK(evs_context_get(handle, &context));
    CHECK(context == NULL);
    OK(evs_context_set(handle, &local));
    OK(evs_context_get(handle, &context));
    CHECK(context == &local);

    /* R26: at once. */
    CHECK_EQ(evs_dispatch(handle, (cs_dispatch_flags_t)0), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_dispatch(handle, (cs_dispatch_flags_t)4), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_dispatch(handle, (cs_dispatch_flags_t)99), CS_ERR_INVALID_PARAM);

    /* R61 to R63, on a cluster of one. */
    OK(evs_membership_get(handle, &local, list, &entries));
    CHECK_EQ(local, 1);
    CHECK_EQ(entries, 1);
    CHECK_EQ(list[0], 1);
    entries = 0;
    OK(evs_membership_get(handle, NULL, list, &entries));
    CHECK_EQ(entries, 0);
    OK(evs_membership_get(handle, NULL, NULL, &entries));
    CHECK_EQ(entries, 1);
}

int main(void)
{
    evs_handle_t handle, other;

    begin();
    name_groups(0);
    bad_handle(0);
    bad_handle(1);
    bad_handle((evs_handle_t)-1);
    bad_handle((evs_handle_t)1 << 32);
    CHECK_EQ(evs_initialize(NULL, NULL), CS_ERR_INVALID_PARAM);

    /* R3 */
    OK(evs_initialize(&handle, NULL));
    OK(evs_initialize(&other, NULL));
    CHECK(handle != other && handle != 0 && other != 0);
    pointers_and_values(handle);
    send_errors(handle);
    join_and_leave(handle);
    bad_handle(handle + 1);
    bad_handle(handle ^ (evs_handle_t)1 << 63);

    /* R4, R5: a stale handle does not become its successor. */
    OK(evs_finalize(handle));
    bad_handle(handle);
    {
        evs_handle_t stale = handle;
        OK(evs_initialize(&handle, NULL));
        CHECK(handle != stale);
        bad_handle(stale);
    }
    OK(evs_finalize(handle));
    OK(evs_finalize(other));
    return passed();
}
