/* R22, R25, R29, D16, D18: threads on one handle, on stacks of 64 KiB. */
#include "check.h"

#define SENDERS 3u
#define EACH scaled(2000)

static struct evs_group here;
static struct evs_group alone;
static char large[1 << 20];
static unsigned messages;

static void count(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    (void)handle;
    (void)msg;
    CHECK(nodeid == 1 && (msg_len == 4 || msg_len == sizeof large));
    __atomic_add_fetch(&messages, 1, __ATOMIC_RELAXED);
}

static evs_callbacks_t callbacks = {count, NULL};

/* Who is in a dispatch. */
struct waiter {
    evs_handle_t handle;
    pid_t thread;
};

static void *enter_blocking(void *argument)
{
    struct waiter *waiter = (struct waiter *)argument;
    enter(&waiter->thread);
    return (void *)(size_t)evs_dispatch(waiter->handle, CS_DISPATCH_BLOCKING);
}

static void *enter_one(void *argument)
{
    struct waiter *waiter = (struct waiter *)argument;
    enter(&waiter->thread);
    return (void *)(size_t)evs_dispatch(waiter->handle, CS_DISPATCH_ONE);
}

static void *blocking(void *handle)
{
    return (void *)(size_t)evs_dispatch(*(evs_handle_t *)handle, CS_DISPATCH_BLOCKING);
}

static void *one(void *handle)
{
    return (void *)(size_t)evs_dispatch(*(evs_handle_t *)handle, CS_DISPATCH_ONE);
}

/* Sends until it has sent its share, or the handle is gone. */
static void *sender(void *argument)
{
    evs_handle_t handle = *(evs_handle_t *)argument;
    unsigned sent = 0;
    int room;

    if (evs_room_fd_get(handle, &room) != CS_OK)
        return NULL;
    while (sent < EACH) {
        cs_error_t error = mcast(handle, &here, 1, "four", 4);
        if (error == CS_ERR_BAD_HANDLE || error == CS_ERR_LIBRARY)
            break;
        CHECK(error == CS_OK || error == CS_ERR_TRY_AGAIN);
        if (error == CS_OK)
            sent++;
        else
            sched_yield();
    }
    return (void *)(size_t)sent;
}

/* A life on a small stack: every call once. */
static void *life(void *unused)
{
    evs_handle_t handle;
    unsigned int local;
    size_t entries;
    int fd;
    (void)unused;
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_fd_get(handle, &fd));
    OK(evs_join(handle, &here, 1));
    OK(mcast(handle, &here, 1, "four", 4));
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    OK(mcast(handle, &alone, 1, large, sizeof large));
    OK(evs_join(handle, &alone, 1));
    OK(mcast(handle, &alone, 1, large, sizeof large));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    OK(evs_membership_get(handle, &local, NULL, &entries));
    OK(evs_leave(handle, &here, 1));
    OK(evs_finalize(handle));
    return NULL;
}

/* Finalized by another thread while this one waits, or is about to: R29. */
static void finalize_while(void *(*run)(void *))
{
    int i;
    for (i = 0; i < (int)scaled(50); i++) {
        evs_handle_t handle;
        pthread_t threads[2];
        cs_error_t errors[2];
        int waits;

        OK(evs_initialize(&handle, NULL));
        OK(evs_dispatch(handle, CS_DISPATCH_ALL));
        threads[0] = small_thread(run, &handle);
        threads[1] = small_thread(run, &handle);
        for (waits = 0; waits < i; waits++)
            sched_yield();
        OK(evs_finalize(handle));
        errors[0] = ended(threads[0]);
        errors[1] = ended(threads[1]);
        /* It may not have come as far as to find the handle. */
        CHECK(errors[0] == CS_ERR_LIBRARY || errors[0] == CS_ERR_BAD_HANDLE);
        CHECK(errors[1] == CS_ERR_LIBRARY || errors[1] == CS_ERR_BAD_HANDLE);
    }
}

/* R29, R22: both wait for sure. */
static void finalize_while_two_wait(void)
{
    struct waiter waiters[2] = {{0, 0}, {0, 0}};
    pthread_t threads[2];
    evs_handle_t handle;

    OK(evs_initialize(&handle, NULL));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    waiters[0].handle = waiters[1].handle = handle;
    threads[0] = small_thread(enter_blocking, &waiters[0]);
    threads[1] = small_thread(enter_one, &waiters[1]);
    until_it_waits(&waiters[0].thread);
    until_it_waits(&waiters[1].thread);
    OK(evs_finalize(handle));
    CHECK_EQ(ended(threads[0]), CS_ERR_LIBRARY);
    CHECK_EQ(ended(threads[1]), CS_ERR_LIBRARY);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ALL), CS_ERR_BAD_HANDLE);
}

int main(void)
{
    evs_handle_t handle;
    pthread_t dispatchers[2], senders[SENDERS], lives[4];
    struct waiter waiters[2];
    unsigned i, round;

    begin();
    here = group("here");
    alone = group("alone");

    for (i = 0; i < 4; i++)
        lives[i] = small_thread(life, NULL);
    for (i = 0; i < 4; i++)
        ended(lives[i]);

    finalize_while_two_wait();
    finalize_while(blocking);
    finalize_while(one);

    /* Each message once, whoever sends and whoever dispatches. */
    messages = 0;
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_join(handle, &here, 1));
    for (i = 0; i < 2; i++) {
        waiters[i].handle = handle;
        waiters[i].thread = 0;
        dispatchers[i] = small_thread(enter_blocking, &waiters[i]);
    }
    /* Or one of them may take all, and the other find no handle any more. */
    for (i = 0; i < 2; i++)
        until_it_waits(&waiters[i].thread);
    for (i = 0; i < SENDERS; i++)
        senders[i] = small_thread(sender, &handle);
    for (i = 0; i < SENDERS; i++)
        CHECK_EQ(ended(senders[i]), EACH);
    while (__atomic_load_n(&messages, __ATOMIC_RELAXED) < SENDERS * EACH)
        sched_yield();
    OK(evs_finalize(handle));
    for (i = 0; i < 2; i++)
        CHECK_EQ(ended(dispatchers[i]), CS_ERR_LIBRARY);
    CHECK_EQ(messages, SENDERS * EACH);

    /* Everything at once, and the end in the middle of it. */
    for (round = 0; round < scaled(20); round++) {
        messages = 0;
        OK(evs_initialize(&handle, &callbacks));
        OK(evs_join(handle, &here, 1));
        for (i = 0; i < 2; i++)
            dispatchers[i] = small_thread(blocking, &handle);
        for (i = 0; i < SENDERS; i++)
            senders[i] = small_thread(sender, &handle);
        while (__atomic_load_n(&messages, __ATOMIC_RELAXED) < 10 * round)
            sched_yield();
        OK(evs_finalize(handle));
        for (i = 0; i < SENDERS; i++)
            CHECK((unsigned)ended(senders[i]) <= EACH);
        for (i = 0; i < 2; i++)
            CHECK(ended(dispatchers[i]) != CS_OK);
    }
    return passed();
}
