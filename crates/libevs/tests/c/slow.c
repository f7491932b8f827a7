/* R57: a session that never dispatches is ended, with all that came before; others go on. */
#include "check.h"

#define BYTES 60000
#define FLOOD 800u

static unsigned received;

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    unsigned number;
    (void)handle;
    CHECK_EQ(nodeid, 1);
    CHECK_EQ(msg_len, BYTES);
    memcpy(&number, msg, sizeof number);
    CHECK_EQ(number, received);
    received++;
}

int main(void)
{
    static char bytes[BYTES];
    evs_callbacks_t callbacks = {deliver, NULL};
    struct evs_group here = group("here");
    evs_handle_t mute, sender;
    evs_end_t end;
    unsigned number;
    int room, fd;

    begin();
    OK(evs_initialize(&mute, &callbacks));
    OK(evs_join(mute, &here, 1));
    OK(evs_initialize(&sender, NULL));
    OK(evs_room_fd_get(sender, &room));
    for (number = 0; number < FLOOD; number++) {
        memcpy(bytes, &number, sizeof number);
        while (mcast(sender, &here, 1, bytes, sizeof bytes) == CS_ERR_TRY_AGAIN)
            CHECK_EQ(readable(room, 10000), 1);
    }

    /* Its own message comes back to the sender: all others have their place in the order. */
    OK(evs_dispatch(sender, CS_DISPATCH_ALL));
    OK(evs_join(sender, &here, 1));
    OK(mcast(sender, &here, 1, bytes, sizeof bytes));
    OK(evs_dispatch(sender, CS_DISPATCH_ONE));

    OK(evs_fd_get(mute, &fd));
    CHECK_EQ(readable(fd, 0), 1);
    CHECK_EQ(evs_dispatch(mute, CS_DISPATCH_BLOCKING), CS_ERR_LIBRARY);
    CHECK(received > 100 && received < FLOOD);
    CHECK_EQ(evs_join(mute, &here, 1), CS_ERR_LIBRARY);
    OK(evs_end_get(mute, &end));
    CHECK_EQ(end, EVS_END_TOO_SLOW);
    OK(evs_finalize(mute));
    OK(evs_leave(sender, &here, 1));
    OK(evs_finalize(sender));
    return passed();
}
