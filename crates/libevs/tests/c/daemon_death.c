/* R25, R30, R31, D17, D18: the daemon is killed or stopped during each call, and comes back. */
#include "check.h"

static struct evs_group here;
static unsigned messages;
static evs_handle_t handle;

static void deliver(hdb_handle_t of, unsigned int nodeid, const void *msg, size_t msg_len)
{
    (void)of;
    (void)msg;
    CHECK(nodeid == 1 && msg_len > 0);
    messages++;
}

static evs_callbacks_t callbacks = {deliver, NULL};

/* Who is in a call, when that ended, and how. */
struct blocked {
    pid_t thread;
    cs_error_t error;
    double ended;
};

static void *blocking(void *blocked)
{
    struct blocked *end = (struct blocked *)blocked;
    enter(&end->thread);
    end->error = evs_dispatch(handle, CS_DISPATCH_BLOCKING);
    end->ended = now();
    return NULL;
}

static void *one(void *blocked)
{
    struct blocked *end = (struct blocked *)blocked;
    enter(&end->thread);
    end->error = evs_dispatch(handle, CS_DISPATCH_ONE);
    end->ended = now();
    return NULL;
}

static void *joining(void *blocked)
{
    struct blocked *end = (struct blocked *)blocked;
    do
        end->error = evs_join(handle, &here, 1);
    while (end->error == CS_OK || end->error == CS_ERR_TOO_MANY_GROUPS);
    end->ended = now();
    return NULL;
}

static void *sending(void *blocked)
{
    static char bytes[100000];
    struct blocked *end = (struct blocked *)blocked;
    do
        end->error = mcast(handle, NULL, 0, bytes, sizeof bytes);
    while (end->error == CS_OK || end->error == CS_ERR_TRY_AGAIN);
    end->ended = now();
    return NULL;
}

static void *asking(void *blocked)
{
    struct blocked *end = (struct blocked *)blocked;
    size_t entries;
    do
        end->error = evs_membership_get(handle, NULL, NULL, &entries);
    while (end->error == CS_OK);
    end->ended = now();
    return NULL;
}

static void *(*const calls[])(void *) = {blocking, one, joining, sending, asking};
#define CALLS (sizeof calls / sizeof calls[0])

/* Every call of a session whose daemon is gone, at once. */
static void later_calls(cs_error_t of_dispatch)
{
    struct iovec part = {(void *)(size_t) "x", 1};
    size_t entries;
    void *context;
    double start = now();
    int fd, again;

    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ALL), of_dispatch);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ONE), of_dispatch);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_BLOCKING), of_dispatch);
    CHECK_EQ(evs_join(handle, &here, 1), CS_ERR_LIBRARY);
    CHECK_EQ(evs_leave(handle, &here, 1), CS_ERR_LIBRARY);
    CHECK_EQ(evs_mcast_joined(handle, EVS_TYPE_SAFE, &part, 1), CS_ERR_LIBRARY);
    CHECK_EQ(evs_mcast_groups(handle, EVS_TYPE_SAFE, &here, 1, &part, 1), CS_ERR_LIBRARY);
    CHECK_EQ(evs_membership_get(handle, NULL, NULL, &entries), CS_ERR_LIBRARY);
    OK(evs_fd_get(handle, &fd));
    OK(evs_fd_get(handle, &again));
    CHECK_EQ(fd, again);
    CHECK_EQ(readable(fd, 0), 1);
    OK(evs_context_get(handle, &context));
    CHECK(now() - start < 1);
}

static void during_every_call(const char *how, cs_error_t of_dispatch)
{
    struct blocked ends[CALLS];
    pthread_t threads[CALLS];
    double gone;
    size_t i;

    memset(ends, 0, sizeof ends);
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    for (i = 0; i < CALLS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, calls[i], &ends[i]), 0);
    /* One that found the end without having waited for it would be a later call (R31). */
    for (i = 0; i < CALLS; i++)
        if (calls[i] == blocking || calls[i] == one)
            until_it_waits(&ends[i].thread);
    control(how);
    gone = now();
    for (i = 0; i < CALLS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
        CHECK_EQ(ends[i].error, CS_ERR_LIBRARY);
        CHECK(ends[i].ended - gone < 1);
    }
    later_calls(of_dispatch);
    OK(evs_finalize(handle));
    CHECK_EQ(evs_finalize(handle), CS_ERR_BAD_HANDLE);
}

/* D18: after each restart a new session works, and nothing is left of the old ones. */
static void *rounds(void *count)
{
    unsigned i, before = descriptors();
    size_t memory = 0;

    for (i = 0; i < *(unsigned *)count; i++) {
        control("start 1");
        OK(evs_initialize(&handle, &callbacks));
        OK(evs_join(handle, &here, 1));
        messages = 0;
        OK(mcast(handle, &here, 1, "back", 4));
        while (messages == 0)
            OK(evs_dispatch(handle, CS_DISPATCH_ONE));
        control("kill 1");
        CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_BLOCKING), CS_ERR_LIBRARY);
        OK(evs_finalize(handle));
        CHECK_EQ(descriptors(), before);
        /* The first rounds take what is kept for all. */
        if (i == 2)
            memory = allocated();
        CHECK(i <= 2 || allocated() <= memory + 4096);
    }
    printf("%u rounds: %u descriptors, and %ld bytes more than after the third\n", i,
           descriptors() - before, i > 2 ? (long)allocated() - (long)memory : 0);
    return NULL;
}

int main(void)
{
    evs_handle_t witness;
    unsigned i, before, count;
    int fd;

    begin();
    here = group("here");
    before = descriptors();

    /* What waits is delivered first. */
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    OK(evs_join(handle, &here, 1));
    OK(evs_initialize(&witness, NULL));
    OK(evs_dispatch(witness, CS_DISPATCH_ALL));
    OK(evs_join(witness, &here, 1));
    for (i = 0; i < 10; i++)
        OK(mcast(handle, &here, 1, "waits", 5));
    for (i = 0; i < 10; i++)
        OK(evs_dispatch(witness, CS_DISPATCH_ONE));
    control("kill 1");
    OK(evs_fd_get(handle, &fd));
    CHECK_EQ(readable(fd, 1000), 1);
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    CHECK_EQ(messages, 1);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_BLOCKING), CS_ERR_LIBRARY);
    CHECK_EQ(messages, 10);
    later_calls(CS_ERR_LIBRARY);
    OK(evs_finalize(handle));
    OK(evs_finalize(witness));
    CHECK_EQ(evs_initialize(&handle, &callbacks), CS_ERR_TRY_AGAIN);

    control("start 1");
    during_every_call("kill 1", CS_ERR_LIBRARY);
    control("start 1");
    during_every_call("stop 1", CS_ERR_IN_SHUTDOWN);
    CHECK_EQ(descriptors(), before);

    count = (unsigned)setting("EVS_TEST_ROUNDS", scaled(50));
    CHECK_EQ(ended(small_thread(rounds, &count)), 0);
    return passed();
}
