/*
 * D12: a signal every millisecond, while messages of many sizes come and go: no call ends early, no
 * byte is lost.
 */
#include "check.h"

static volatile sig_atomic_t signals;
static struct evs_group here;
static unsigned received;
static size_t expected;
static unsigned char bytes[300000];

static void count(int signal)
{
    (void)signal;
    signals++;
}

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    CHECK(handle != 0 && nodeid == 1);
    CHECK_EQ(msg_len, expected);
    CHECK_EQ(memcmp(msg, bytes, msg_len), 0);
    received++;
}

int main(void)
{
    struct itimerspec often = {{0, 1000000}, {0, 1000000}};
    struct sigevent event;
    timer_t timer;
    evs_callbacks_t callbacks = {deliver, NULL};
    struct sigaction action;
    evs_handle_t handle;
    unsigned round;
    size_t i;
    int room;

    begin();
    here = group("here");
    for (i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 24);
    memset(&action, 0, sizeof action);
    action.sa_handler = count;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    CHECK_EQ(timer_settime(timer, 0, &often, NULL), 0);

    for (round = 0; round < scaled(200) || signals < 50; round++) {
        OK(evs_initialize(&handle, &callbacks));
        OK(evs_room_fd_get(handle, &room));
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
        OK(evs_join(handle, &here, 1));
        for (expected = 1; expected < sizeof bytes; expected = expected * 7 + round % 5) {
            cs_error_t error;
            received = 0;
            while ((error = mcast(handle, &here, 1, bytes, expected)) == CS_ERR_TRY_AGAIN)
                CHECK_EQ(readable(room, 10000), 1);
            CHECK_EQ(error, CS_OK);
            OK(evs_dispatch(handle, CS_DISPATCH_ONE));
            CHECK_EQ(received, 1);
        }
        OK(evs_leave(handle, &here, 1));
        OK(evs_finalize(handle));
    }
    CHECK_EQ(timer_delete(timer), 0);
    printf("%d signals\n", (int)signals);
    return passed();
}
