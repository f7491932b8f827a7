/*
 * D17: the daemon stands still during each call. Nothing hangs that need not wait, a request says
 * TIMEOUT, and what it asked for counts when the daemon goes on.
 */
#include "check.h"

#define REQUESTS_MAX 1024
#define MORE 16

static struct evs_group here;
static evs_handle_t handle;
static unsigned messages;

static void deliver(hdb_handle_t of, unsigned int nodeid, const void *msg, size_t msg_len)
{
    CHECK(of == handle && nodeid == 1 && msg != NULL && msg_len == 4);
    messages++;
}

static void *join_it(void *unused)
{
    (void)unused;
    return (void *)(size_t)evs_join(handle, &here, 1);
}

static void *leave_it(void *group)
{
    return (void *)(size_t)evs_leave(handle, (struct evs_group *)group, 1);
}

/* One request at a time: nothing else can be the matter. */
static void *join_alone(void *group)
{
    CHECK_EQ(evs_join(handle, (struct evs_group *)group, 1), CS_ERR_TIMEOUT);
    return NULL;
}

static void *leave_alone(void *group)
{
    CHECK_EQ(evs_leave(handle, (struct evs_group *)group, 1), CS_ERR_TIMEOUT);
    return NULL;
}

/* Sends large messages until one is refused, or the daemon goes while a part of it is sent. */
static void *send_large(void *sent)
{
    static char bytes[1 << 20];
    cs_error_t error;
    while ((error = mcast(handle, &here, 1, bytes, sizeof bytes)) == CS_OK)
        __atomic_add_fetch((unsigned *)sent, 1, __ATOMIC_RELAXED);
    return (void *)(size_t)error;
}

int main(void)
{
    static pthread_t threads[REQUESTS_MAX + MORE];
    evs_callbacks_t callbacks = {deliver, NULL};
    struct evs_group left = group("left"), late = group("late");
    struct evs_ring ring = {1, {1, 1}};
    unsigned timeouts = 0, again = 0, sent = 0, i;
    double start;
    size_t entries;
    int fd;

    begin();
    here = group("here");
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    OK(evs_join(handle, &left, 1));
    OK(evs_fd_get(handle, &fd));
    control("pause 1");

    /* What needs no answer goes on. */
    start = now();
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(readable(fd, 0), 0);
    OK(evs_membership_get(handle, NULL, NULL, &entries));
    OK(mcast(handle, &here, 1, "kept", 4));
    CHECK(now() - start < 1);

    threads[0] = small_thread(join_alone, &late);
    threads[1] = small_thread(leave_alone, &left);
    ended(threads[0]);
    ended(threads[1]);
    CHECK(now() - start > 9 && now() - start < 30);

    /* As many requests wait as the library keeps; one more is refused. */
    for (i = 0; i < REQUESTS_MAX + MORE; i++)
        threads[i] = small_thread(join_it, NULL);
    for (i = 0; i < REQUESTS_MAX + MORE; i++) {
        cs_error_t error = ended(threads[i]);
        CHECK(error == CS_ERR_TIMEOUT || error == CS_ERR_TRY_AGAIN);
        timeouts += error == CS_ERR_TIMEOUT;
        again += error == CS_ERR_TRY_AGAIN;
    }
    CHECK(again >= MORE && timeouts > 0);
    entries = 0;
    /* Even one alone: the requests before it still wait for their answers. */
    CHECK_EQ(evs_join(handle, &here, 1), CS_ERR_TRY_AGAIN);
    CHECK_EQ(evs_leave(handle, &here, 1), CS_ERR_TRY_AGAIN);
    CHECK_EQ(evs_why_get(handle, &ring, NULL, &entries), CS_ERR_TRY_AGAIN);

    /* What was asked is done late, and counts. */
    control("resume 1");
    while (evs_leave(handle, &late, 0) == CS_ERR_TRY_AGAIN)
        sched_yield();
    OK(evs_leave(handle, &late, 1));
    CHECK_EQ(evs_leave(handle, &left, 1), CS_ERR_NOT_EXIST);
    OK(mcast(handle, &here, 1, "then", 4));
    while (messages == 0)
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    for (i = 0; i < timeouts; i++)
        OK(evs_leave(handle, &here, 1));
    CHECK_EQ(evs_leave(handle, &here, 1), CS_ERR_NOT_EXIST);

    /* Killed while it stands still: in a send, in a request and in a dispatch. */
    control("pause 1");
    threads[2] = small_thread(send_large, &sent);
    threads[0] = small_thread(join_it, NULL);
    threads[1] = small_thread(leave_it, &here);
    control("kill 1");
    start = now();
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_BLOCKING), CS_ERR_LIBRARY);
    CHECK_EQ(ended(threads[0]), CS_ERR_LIBRARY);
    CHECK_EQ(ended(threads[1]), CS_ERR_LIBRARY);
    /* Where the system grants so large a buffer, nothing gets stuck: its limit comes first. */
    i = ended(threads[2]);
    CHECK(i == CS_ERR_LIBRARY || i == CS_ERR_TRY_AGAIN);
    CHECK(sent <= 3);
    CHECK(now() - start < 1);
    OK(evs_finalize(handle));
    printf("%u requests timed out, %u were refused\n", timeouts, again);
    return passed();
}
