/*
 * D10: a program that sends large messages to itself without receiving them: neither side waits for
 * the other, what was delivered is whole, and when the queue is full the session ends.
 */
#include "check.h"

#define SIZE (1u << 20)

static unsigned received;

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    unsigned number;
    CHECK(handle != 0 && nodeid == 1);
    CHECK_EQ(msg_len, SIZE);
    memcpy(&number, msg, sizeof number);
    CHECK_EQ(number, received);
    CHECK_EQ(memcmp((const char *)msg + SIZE - sizeof number, &number, sizeof number), 0);
    received++;
}

int main(void)
{
    static char bytes[SIZE];
    evs_callbacks_t callbacks = {deliver, NULL};
    struct evs_group here = group("here");
    evs_handle_t handle;
    unsigned sent = 0;
    evs_end_t end;
    int room, fd;

    begin();
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    OK(evs_join(handle, &here, 1));
    OK(evs_room_fd_get(handle, &room));
    OK(evs_fd_get(handle, &fd));

    /* Half of what the queue takes, then all of it is received. */
    while (sent < 8) {
        cs_error_t error;
        memcpy(bytes, &sent, sizeof sent);
        memcpy(bytes + SIZE - sizeof sent, &sent, sizeof sent);
        error = mcast(handle, &here, 1, bytes, SIZE);
        CHECK(error == CS_OK || error == CS_ERR_TRY_AGAIN);
        if (error == CS_OK)
            sent++;
        else
            CHECK_EQ(readable(room, 10000), 1);
    }
    while (received < sent) {
        /* ALL never waits, also while only a part of a message is there. */
        CHECK_EQ(readable(fd, 10000), 1);
        OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    }
    CHECK_EQ(readable(fd, 0), 0);

    /* More than it takes: 16 MiB, and what lies in the socket. */
    for (;;) {
        cs_error_t error;
        memcpy(bytes, &sent, sizeof sent);
        memcpy(bytes + SIZE - sizeof sent, &sent, sizeof sent);
        error = mcast(handle, &here, 1, bytes, SIZE);
        if (error == CS_ERR_LIBRARY)
            break;
        CHECK(error == CS_OK || error == CS_ERR_TRY_AGAIN);
        if (error == CS_OK)
            sent++;
        else
            CHECK_EQ(readable(room, 10000), 1);
        CHECK(sent < 100);
    }
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_BLOCKING), CS_ERR_LIBRARY);
    CHECK(received > 20 && received <= sent);
    OK(evs_end_get(handle, &end));
    CHECK_EQ(end, EVS_END_TOO_SLOW);
    OK(evs_finalize(handle));
    printf("%u sent, %u received\n", sent, received);
    return passed();
}
