/* evs_mcast_joined: R43, R46 to R51, R54. */
#include "check.h"

static unsigned received[3];
static evs_handle_t handles[3];

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    int i = 0;
    CHECK(nodeid == 1 && msg != NULL && (msg_len == 6 || msg_len == 0 || msg_len == 512));
    while (handles[i] != handle)
        i++;
    received[i]++;
}

/* Until everybody who is in a group has got so many. */
static void until(unsigned one, unsigned two)
{
    while (received[0] < one)
        OK(evs_dispatch(handles[0], CS_DISPATCH_ONE));
    while (received[1] < two)
        OK(evs_dispatch(handles[1], CS_DISPATCH_ONE));
    CHECK_EQ(received[0], one);
    CHECK_EQ(received[1], two);
}

int main(void)
{
    static struct iovec many[1025];
    static char big[(1 << 20) + 1];
    evs_callbacks_t callbacks = {deliver, NULL};
    struct evs_group a = group("a"), b = group("b");
    struct iovec parts[3] = {{(void *)(size_t) "abc", 3}, {NULL, 0}, {(void *)(size_t) "def", 3}};
    evs_handle_t handle;
    int i;

    begin();
    for (i = 0; i < 3; i++) {
        OK(evs_initialize(&handles[i], &callbacks));
        OK(evs_dispatch(handles[i], CS_DISPATCH_ALL));
    }
    handle = handles[0];

    /* R43: before any join, to nobody. */
    OK(evs_mcast_joined(handle, EVS_TYPE_AGREED, parts, 3));

    /* R46, R50: to all joined groups, with each guarantee. */
    OK(evs_join(handle, &a, 1));
    OK(evs_join(handle, &b, 1));
    OK(evs_join(handles[1], &b, 1));
    for (i = 0; i < 4; i++) {
        OK(evs_mcast_joined(handle, (evs_guarantee_t)i, parts, 3));
        until(i + 1, i + 1);
    }

    /* R48 */
    OK(evs_mcast_joined(handle, EVS_TYPE_SAFE, NULL, 0));
    OK(evs_mcast_joined(handle, EVS_TYPE_SAFE, &parts[1], 1));
    until(6, 6);

    /* What was left is no target any more. */
    OK(evs_leave(handle, &b, 1));
    OK(evs_mcast_joined(handle, EVS_TYPE_AGREED, parts, 3));
    until(7, 6);

    /* R47 */
    CHECK_EQ(evs_mcast_joined(handle, (evs_guarantee_t)4, parts, 3), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_mcast_joined(handle, (evs_guarantee_t)77, parts, 3), CS_ERR_INVALID_PARAM);

    /* R49 */
    CHECK_EQ(evs_mcast_joined(handle, EVS_TYPE_AGREED, NULL, 1), CS_ERR_INVALID_PARAM);
    parts[1].iov_len = 1;
    CHECK_EQ(evs_mcast_joined(handle, EVS_TYPE_AGREED, parts, 3), CS_ERR_INVALID_PARAM);

    /* R51 */
    for (i = 0; i < 1025; i++) {
        many[i].iov_base = big;
        many[i].iov_len = i % 2;
    }
    CHECK_EQ(evs_mcast_joined(handle, EVS_TYPE_AGREED, many, 1025), CS_ERR_INVALID_PARAM);
    OK(evs_mcast_joined(handle, EVS_TYPE_AGREED, many, 1024));
    until(8, 6);

    /* R54: however it is put together. */
    many[0].iov_len = sizeof big;
    CHECK_EQ(evs_mcast_joined(handle, EVS_TYPE_AGREED, many, 1), CS_ERR_TOO_BIG);
    many[0].iov_len = (size_t)-1;
    CHECK_EQ(evs_mcast_joined(handle, EVS_TYPE_AGREED, many, 2), CS_ERR_TOO_BIG);

    /* None of those that were refused was sent. */
    OK(evs_mcast_joined(handles[1], EVS_TYPE_AGREED, NULL, 0));
    until(8, 7);
    OK(evs_dispatch(handles[2], CS_DISPATCH_ALL));
    CHECK_EQ(received[2], 0);
    for (i = 0; i < 3; i++)
        OK(evs_finalize(handles[i]));
    CHECK_EQ(evs_mcast_joined(handle, EVS_TYPE_AGREED, NULL, 0), CS_ERR_BAD_HANDLE);
    return passed();
}
