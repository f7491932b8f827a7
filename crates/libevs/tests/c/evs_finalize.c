/* evs_finalize: R4, R5, and handles that are none, for every function. */
#include "check.h"

static struct evs_group here;
static unsigned delivered;

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    CHECK(handle != 0 && nodeid == 1 && msg != NULL && msg_len == 4);
    delivered++;
}

/* Every call with a handle that is none. */
static void bad_handle(evs_handle_t handle)
{
    struct iovec part = {(void *)(size_t) "x", 1};
    struct evs_processor processor;
    unsigned int list[4];
    size_t entries = 4;
    uint64_t client;
    void *context;
    evs_end_t end;
    int fd;

    CHECK_EQ(evs_fd_get(handle, &fd), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_context_get(handle, &context), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_context_set(handle, &context), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ONE), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ALL), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_BLOCKING), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_join(handle, &here, 1), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_leave(handle, &here, 1), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_mcast_joined(handle, EVS_TYPE_AGREED, &part, 1), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_AGREED, &here, 1, &part, 1), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_membership_get(handle, &list[0], list, &entries), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_room_fd_get(handle, &fd), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_self_get(handle, &processor, &client), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_end_get(handle, &end), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_finalize(handle), CS_ERR_BAD_HANDLE);
}

int main(void)
{
    evs_callbacks_t callbacks = {deliver, NULL};
    evs_handle_t handle, other, stale;
    struct evs_group seen;
    unsigned before, i;

    begin();
    here = group("here");
    seen = group("seen");

    /* R4: 0 and made-up ones, before there is any. */
    bad_handle(0);
    bad_handle(1);
    bad_handle((evs_handle_t)-1);
    bad_handle((evs_handle_t)1 << 32);
    before = descriptors();

    /* R4, R5: a stale handle stays unknown, whoever comes after it. */
    OK(evs_initialize(&handle, NULL));
    bad_handle(handle + 1);
    bad_handle(handle ^ (evs_handle_t)1 << 63);
    OK(evs_finalize(handle));
    CHECK_EQ(evs_finalize(handle), CS_ERR_BAD_HANDLE);
    bad_handle(handle);
    for (i = 0; i < scaled(1000); i++) {
        stale = handle;
        OK(evs_initialize(&handle, NULL));
        CHECK(handle != stale);
        CHECK_EQ(evs_finalize(stale), CS_ERR_BAD_HANDLE);
        OK(evs_finalize(handle));
    }
    CHECK_EQ(descriptors(), before);

    /* What was sent before is still sent; what waits is not delivered. */
    OK(evs_initialize(&other, &callbacks));
    OK(evs_join(other, &seen, 1));
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_join(handle, &here, 1));
    for (i = 0; i < 10; i++)
        OK(mcast(handle, &here, 1, "mine", 4));
    OK(mcast(handle, &seen, 1, "seen", 4));
    OK(evs_finalize(handle));
    OK(evs_dispatch(other, CS_DISPATCH_ONE));
    OK(evs_dispatch(other, CS_DISPATCH_ONE));
    CHECK_EQ(delivered, 1);
    OK(evs_finalize(other));
    CHECK_EQ(descriptors(), before);
    return passed();
}
