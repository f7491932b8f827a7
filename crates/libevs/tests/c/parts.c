/*
 * D13: whenever the descriptor is readable, a dispatch runs a callback, and no dispatch waits for
 * the rest of an event, wherever the daemon stands still: whole events wake a program, whatever
 * their size.
 */
#include "check.h"

#define ROUNDS scaled(20)
#define LARGE (1u << 20)

static unsigned received;
static size_t wanted;
static struct evs_group here;
static evs_handle_t sender, receiver;

/* The sizes differ. */
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
        /* Far less than the daemon keeps. */
        while (bytes < 3 << 20) {
            bytes += size_of(sent);
            send_bytes(sent, size_of(sent), room);
            sent++;
        }
        /* The daemon stands still in the middle of it, perhaps. */
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
    printf("%u messages, each when it was whole; %u halts before the last\n", sent, halts);
    wanted = LARGE;
    received = 0;
}

/* Each time that the descriptor is readable there is a message, and ALL runs it. */
static void receive_all(int fd, unsigned until)
{
    while (received < until) {
        unsigned before = received;
        CHECK_EQ(readable(fd, 10000), 1);
        OK(evs_dispatch(receiver, CS_DISPATCH_ALL));
        CHECK(received > before);
    }
}

/* While the daemon stands still: either there is an event, and each way of dispatching runs it, or
 * the descriptor is not readable, and ALL runs nothing. No call waits. */
static unsigned look_while_it_stands_still(int fd, unsigned sent)
{
    unsigned before;
    double began = now();

    while (readable(fd, 0)) {
        before = received;
        OK(evs_dispatch(receiver, before % 2 ? CS_DISPATCH_ONE : CS_DISPATCH_ALL));
        CHECK(received > before);
    }
    before = received;
    OK(evs_dispatch(receiver, CS_DISPATCH_ALL));
    CHECK_EQ(received, before);
    CHECK_EQ(readable(fd, 0), 0);
    CHECK(now() - began < 0.9);
    return received < sent;
}

/* The daemon is stopped at any point of its work, in the middle of large events among them. */
static void large_messages(int fd, int room)
{
    unsigned sent = 0, round, halts = 0;

    for (round = 0; round < ROUNDS; round++) {
        unsigned first = sent;
        for (; sent < first + 8; sent++)
            send_bytes(sent, LARGE, room);
        receive_all(fd, first + round % 8);
        control("pause 1");
        halts += look_while_it_stands_still(fd, sent);
        control("resume 1");
        receive_all(fd, sent);
        CHECK_EQ(readable(fd, 0), 0);
        /* This one it cannot have begun. */
        control("pause 1");
        send_bytes(sent++, LARGE, room);
        CHECK_EQ(look_while_it_stands_still(fd, sent), 1);
        halts++;
        control("resume 1");
        receive_all(fd, sent);
    }
    printf("%u messages of 1 MiB, %u halts before the last\n", received, halts);
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
