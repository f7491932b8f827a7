/* R10, D20: initialise, then become a daemon. */
#include <sys/wait.h>

#include "check.h"

static unsigned messages;

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    (void)handle;
    CHECK(nodeid == 1 && msg_len == 5 && memcmp(msg, "hello", 5) == 0);
    messages++;
}

static evs_callbacks_t callbacks = {deliver, NULL};
static struct evs_group here;

static void use(evs_handle_t handle)
{
    OK(evs_join(handle, &here, 1));
    OK(mcast(handle, &here, 1, "hello", 5));
    messages = 0;
    while (messages == 0)
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    OK(evs_leave(handle, &here, 1));
}

/* The child's verdict, as its exit status. */
static void await(pid_t child)
{
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

int main(void)
{
    evs_handle_t handle, own;
    pid_t child;
    int fd, pipes[2];
    char byte;

    begin();
    here = group("here");

    /* The child goes on; the parent does nothing with the handle but wait. */
    OK(evs_initialize(&handle, &callbacks));
    child = fork();
    if (child == 0) {
        use(handle);
        OK(evs_finalize(handle));
        _exit(0);
    }
    await(child);
    OK(evs_finalize(handle));

    /* It becomes a daemon: the process that opened the session is gone. */
    CHECK_EQ(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        OK(evs_initialize(&handle, &callbacks));
        CHECK_EQ(daemon(1, 1), 0);
        use(handle);
        OK(evs_finalize(handle));
        CHECK_EQ(write(pipes[1], "x", 1), 1);
        _exit(0);
    }
    await(child);
    CHECK_EQ(close(pipes[1]), 0);
    CHECK_EQ(read(pipes[0], &byte, 1), 1);
    CHECK_EQ(close(pipes[0]), 0);

    /* The parent finalizes its copy first: that does not disturb the child. */
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    OK(evs_fd_get(handle, &fd));
    CHECK_EQ(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        CHECK_EQ(read(pipes[0], &byte, 1), 1);
        CHECK_EQ(readable(fd, 0), 0);
        use(handle);
        CHECK_EQ(readable(fd, 0), 0);
        OK(evs_finalize(handle));
        _exit(0);
    }
    OK(evs_finalize(handle));
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    await(child);

    /* The child only drops what it inherited; the parent goes on. */
    OK(evs_initialize(&handle, &callbacks));
    child = fork();
    if (child == 0) {
        OK(evs_finalize(handle));
        OK(evs_initialize(&own, &callbacks));
        use(own);
        OK(evs_finalize(own));
        _exit(0);
    }
    await(child);
    use(handle);

    /* Both use it: undefined for them, harmless for others. */
    OK(evs_initialize(&own, &callbacks));
    child = fork();
    if (child == 0) {
        int i;
        for (i = 0; i < 200; i++) {
            mcast(own, &here, 1, "hello", 5);
            evs_dispatch(own, CS_DISPATCH_ALL);
        }
        _exit(0);
    }
    {
        int i;
        for (i = 0; i < 200; i++) {
            mcast(own, &here, 1, "hello", 5);
            evs_dispatch(own, CS_DISPATCH_ALL);
        }
    }
    await(child);
    evs_finalize(own);
    use(handle);
    OK(evs_finalize(handle));
    return passed();
}
