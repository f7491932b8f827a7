/* The smallest program: joins a group, says hello, and prints what everybody in the group sees. */
#include <stdio.h>
#include <string.h>

#include <corosync/evs.h>

static void on_message(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    (void)handle;
    printf("node %u: %.*s\n", nodeid, (int)msg_len, (const char *)msg);
}

static void on_configuration(hdb_handle_t handle, const unsigned int *members, size_t member_count,
                             const unsigned int *left, size_t left_count,
                             const unsigned int *joined, size_t joined_count,
                             const struct evs_ring_id *ring_id)
{
    (void)handle, (void)members, (void)left, (void)joined;
    printf("configuration %u.%llu: %zu members, %zu left, %zu joined\n", ring_id->nodeid,
           ring_id->seq, member_count, left_count, joined_count);
}

int main(void)
{
    evs_callbacks_t callbacks = {on_message, on_configuration};
    struct evs_group group = {"greetings"}; /* the other bytes of the key are 0 */
    char text[] = "hello from C";
    struct iovec part = {text, sizeof text - 1};
    evs_handle_t handle;

    if (evs_initialize(&handle, &callbacks) != CS_OK || evs_join(handle, &group, 1) != CS_OK ||
        evs_mcast_joined(handle, EVS_TYPE_AGREED, &part, 1) != CS_OK) {
        fprintf(stderr, "is evsd running?\n");
        return 1;
    }
    evs_dispatch(handle, CS_DISPATCH_BLOCKING); /* returns when the daemon goes */
    return evs_finalize(handle) == CS_OK ? 0 : 1;
}
