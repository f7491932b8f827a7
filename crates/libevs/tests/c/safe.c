/*
 * R46: a safe message is delivered when all members have it. While one stands still, long before it
 * is missed, an agreed message is delivered and a safe one is not.
 */
#include "check.h"

#define ROUNDS 2

static unsigned received;
static char last;

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    CHECK(handle != 0 && nodeid == 1 && msg_len == 1);
    last = *(const char *)msg;
    received++;
}

static void deliver_one(evs_handle_t handle, char expected)
{
    unsigned before = received;
    while (received == before)
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    CHECK_EQ(received, before + 1);
    CHECK_EQ(last, expected);
}

/* Sends a message while node 3 stands still. Whether it is delivered before that goes on. */
static int arrives_without_3(evs_handle_t handle, evs_guarantee_t guarantee, char name)
{
    struct iovec part;
    int fd, arrives;

    OK(evs_fd_get(handle, &fd));
    /* Nothing else comes; meanwhile the token comes to rest at this node. */
    CHECK_EQ(readable(fd, 50), 0);
    control("patient pause 3");
    part.iov_base = &name;
    part.iov_len = 1;
    OK(evs_mcast_joined(handle, guarantee, &part, 1));
    arrives = readable(fd, 300);
    control("patient resume 3");
    deliver_one(handle, name);
    return arrives;
}

int main(void)
{
    evs_callbacks_t callbacks = {deliver, NULL};
    struct evs_group here = group("here");
    const char *socket = getenv("EVS_TEST_PATIENT");
    unsigned agreed = 0, rounds = 0;
    evs_handle_t handle;

    begin();
    CHECK(setting("EVS_TEST_PATIENT_MS", 0) >= 5000);
    CHECK(socket != NULL && setenv("EVS_SOCKET", socket, 1) == 0);
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_join(handle, &here, 1));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));

    /* The token may stand still with node 3; the message is then not sent before it goes on. */
    for (; agreed < ROUNDS; rounds++) {
        agreed += (unsigned)arrives_without_3(handle, EVS_TYPE_AGREED, 'a');
        CHECK_EQ(arrives_without_3(handle, EVS_TYPE_SAFE, 's'), 0);
    }
    printf("%u of %u agreed messages did not wait, no safe one did not\n", agreed, rounds);
    OK(evs_finalize(handle));
    return passed();
}
