/*
 * D13: whole events wake a program, parts do not: whenever the descriptor is readable, ONE runs a
 * callback and need not wait. A message above 32 KiB may come in parts; ALL makes nothing of one.
 */
#include "check.h"

#define ROUNDS scaled(20)
#define LARGE (1u << 20)

static unsigned received;
static size_t wanted;
static struct evs_group here;
static evs_handle_t sender, receiver;

/* The sizes are anything up to what comes as a whole, and differ. */
static size_t size_of(unsigned number)
{
    return sizeof number + number * 7919u % 32000u;
}

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    unsigned number;
    CHECK(handle == receiver && nodeid == 1);
    memcpy(&number, msg, sizeof number);
    CHECK_EQ(number, received);
    CHECK_EQ(msg_len, wanted > 0 ? wanted : size_of(number));
    received++;
}

static void send_bytes(unsigned number, size_t size, int room)
{
    static char bytes[LARGE];
    cs_error_t error;
    memcpy(bytes, &number, sizeof number);
    while ((error = mcast(sender, &here, 1, bytes, size)) == CS_ERR_TRY_AGAIN)
        CHECK_EQ(readable(room, 10000), 1);
    CHECK_EQ(error, CS_OK);
}

/* All that is there by now, one by one. A call that waits hangs: the daemon may stand still. */
static void receive_one_by_one(int fd)
{
    while (readable(fd, 0)) {
        unsigned before = received;
        OK(evs_dispatch(receiver, CS_DISPATCH_ONE));
        CHECK_EQ(received, before + 1);
    }
}

static void whole_messages(int fd, int room)
{
    unsigned round, sent = 0, halts = 0;

    for (round = 0; round < ROUNDS; round++) {
        size_t bytes = 0;
        unsigned first = sent, some;
        /* More than a socket takes, and far less than the daemon keeps. */
        while (bytes < 3 << 20) {
            bytes += size_of(sent);
            send_bytes(sent, size_of(sent), room);
            sent++;
        }
        /* The daemon refills the socket with what it kept, and stands still in the middle of it. */
        some = first + (sent - first) * (1 + round % 5) / 8;
        while (received < some)
            OK(evs_dispatch(receiver, CS_DISPATCH_ONE));
        control("pause 1");
        receive_one_by_one(fd);
        halts += received < sent;
        control("resume 1");
        while (received < sent) {
            CHECK_EQ(readable(fd, 10000), 1);
            receive_one_by_one(fd);
        }
    }
    CHECK(halts > 0);
    printf("%u messages, each when it was whole; %u halts before the last\n", sent, halts);
    wanted = LARGE;
    received = 0;
}

static void large_messages(int fd, int room)
{
    unsigned sent;

    for (sent = 0; sent < 8; sent++)
        send_bytes(sent, LARGE, room);
    CHECK_EQ(readable(fd, 10000), 1);
    control("pause 1");
    /* Whether a callback runs or not; then what is left is a part, and the program has it. */
    while (readable(fd, 0))
        OK(evs_dispatch(receiver, CS_DISPATCH_ALL));
    OK(evs_dispatch(receiver, CS_DISPATCH_ALL));
    CHECK(received < sent);
    control("resume 1");
    while (received < sent) {
        CHECK_EQ(readable(fd, 10000), 1);
        OK(evs_dispatch(receiver, CS_DISPATCH_ALL));
    }
    CHECK_EQ(readable(fd, 0), 0);
    printf("%u messages of 1 MiB\n", received);
}

int main(void)
{
    evs_callbacks_t callbacks = {deliver, NULL};
    int fd, room;

    begin();
    here = group("here");
    OK(evs_initialize(&sender, NULL));
    OK(evs_room_fd_get(sender, &room));
    OK(evs_initialize(&receiver, &callbacks));
    OK(evs_join(receiver, &here, 1));
    OK(evs_dispatch(receiver, CS_DISPATCH_ALL));
    OK(evs_fd_get(receiver, &fd));

    whole_messages(fd, room);
    large_messages(fd, room);
    OK(evs_finalize(sender));
    OK(evs_finalize(receiver));
    return passed();
}
