/*
 * evs_initialize: R1 to R3, R9, R11, R12, each error, and what the library does not do to a
 * process.
 */
#include "check.h"

static unsigned configurations;

static void confchg(hdb_handle_t handle, const unsigned int *members, size_t n,
                    const unsigned int *left, size_t left_n, const unsigned int *joined,
                    size_t joined_n, const struct evs_ring_id *ring_id)
{
    CHECK(handle != 0 && members[0] == 1 && left != NULL && joined != NULL && ring_id != NULL);
    CHECK_EQ(n, 1);
    CHECK_EQ(left_n + joined_n, 0);
    configurations++;
}

static evs_callbacks_t callbacks = {NULL, confchg};

static void nobody_listens(void)
{
    evs_handle_t handle = 0;
    char path[300];
    double start = now();
    int i;

    /* R9: at once; programs loop on it. */
    for (i = 0; i < 100; i++)
        CHECK_EQ(evs_initialize(&handle, &callbacks), CS_ERR_TRY_AGAIN);
    CHECK(now() - start < 5);
    CHECK_EQ(handle, 0);

    /* A path that no socket can have. */
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = 0;
    setenv("EVS_SOCKET", path, 1);
    CHECK_EQ(evs_initialize(&handle, &callbacks), CS_ERR_LIBRARY);
}

static cs_error_t open_session(evs_handle_t *handle)
{
    return evs_initialize(handle, &callbacks);
}

#include "strangers.h"

static unsigned threads(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2;
}

/* The library starts no thread and touches no signal; it raises no SIGPIPE. */
static void the_process_is_left_alone(void)
{
    struct sigaction before[65], after;
    sigset_t mask_before, mask_after;
    struct evs_group here = group("here");
    evs_handle_t handle;
    int signal;

    for (signal = 1; signal < 65; signal++)
        if (sigaction(signal, NULL, &before[signal]) != 0)
            memset(&before[signal], 0, sizeof before[signal]);
    CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &mask_before), 0);
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_join(handle, &here, 1));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(threads(), 1);
    control("kill 1");
    while (mcast(handle, &here, 1, "lost", 4) != CS_ERR_LIBRARY)
        continue;
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_BLOCKING), CS_ERR_LIBRARY);
    OK(evs_finalize(handle));
    CHECK_EQ(threads(), 1);
    for (signal = 1; signal < 65; signal++)
        if (sigaction(signal, NULL, &after) == 0)
            CHECK(after.sa_handler == before[signal].sa_handler);
    CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &mask_after), 0);
    for (signal = 1; signal < 65; signal++)
        CHECK_EQ(sigismember(&mask_before, signal), sigismember(&mask_after, signal));
}

int main(void)
{
    char socket[512];
    evs_handle_t handle, other;
    double start;
    int fd;

    begin();
    snprintf(socket, sizeof socket, "%s", getenv("EVS_SOCKET"));

    CHECK_EQ(evs_initialize(NULL, NULL), CS_ERR_INVALID_PARAM);       /* R1 */
    CHECK_EQ(evs_initialize(NULL, &callbacks), CS_ERR_INVALID_PARAM); /* R1 */

    /* R3: two that know nothing of each other. */
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_initialize(&other, NULL));
    CHECK(handle != other && handle != 0 && other != 0);

    /* R11, R12: one configuration waits at once; no join is needed. */
    OK(evs_fd_get(handle, &fd));
    CHECK_EQ(readable(fd, 0), 1);
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(configurations, 1);
    CHECK_EQ(readable(fd, 0), 0);

    /* R2: without callbacks it is consumed and dropped. */
    OK(evs_fd_get(other, &fd));
    CHECK_EQ(readable(fd, 0), 1);
    OK(evs_dispatch(other, CS_DISPATCH_ONE));
    CHECK_EQ(readable(fd, 0), 0);
    CHECK_EQ(configurations, 1);
    OK(evs_finalize(handle));
    OK(evs_finalize(other));

    CHECK_EQ(as_somebody_else(), CS_ERR_ACCESS);
    CHECK_EQ(without_descriptors(), CS_ERR_NO_RESOURCES);
    the_process_is_left_alone();
    /* Nobody listens where a daemon was killed. */
    CHECK_EQ(evs_initialize(&handle, &callbacks), CS_ERR_TRY_AGAIN);
    control("start 1");
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_finalize(handle));

    CHECK_EQ(refused(1, 1), CS_ERR_ACCESS);
    CHECK_EQ(refused(2, 99), CS_ERR_VERSION);
    CHECK_EQ(refused(2, 2), CS_ERR_VERSION);
    /* Too many clients, no configuration yet, about to stop. */
    CHECK_EQ(refused(3, 1), CS_ERR_TRY_AGAIN);
    CHECK_EQ(refused(4, 1), CS_ERR_TRY_AGAIN);
    CHECK_EQ(refused(5, 1), CS_ERR_TRY_AGAIN);
    /* It dies in the middle; it is none of ours. */
    CHECK_EQ(answered("", 0), CS_ERR_TRY_AGAIN);
    CHECK_EQ(answered("HTTP/1.1 400 Bad Request\r\n", 26), CS_ERR_LIBRARY);
    /* It says nothing. */
    start = now();
    CHECK_EQ(answered(NULL, 0), CS_ERR_TRY_AGAIN);
    CHECK(now() - start > 4 && now() - start < 20);

    setenv("EVS_SOCKET", "/tmp/evs-nobody-listens-here", 1);
    nobody_listens();
    return passed();
}
