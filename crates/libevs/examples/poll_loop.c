/*
 * A program with a poll loop of its own: what is typed is sent to the group, what the group says is
 * printed, and when the daemon goes the program waits for it and goes on.
 *
 *     cc -o poll_loop poll_loop.c $(pkg-config --cflags --libs libevs)
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <corosync/evs.h>
#include <evs/evs_ext.h>

static void on_message(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    (void)handle;
    printf("%u: %.*s", nodeid, (int)msg_len, (const char *)msg);
    fflush(stdout);
}

/* A session in the group; waits for a daemon. */
static evs_handle_t open_session(void)
{
    evs_callbacks_t callbacks = {on_message, NULL};
    struct evs_group group = {"chat"};
    evs_handle_t handle;
    cs_error_t error;

    while ((error = evs_initialize(&handle, &callbacks)) == CS_ERR_TRY_AGAIN)
        usleep(200000);
    if (error == CS_OK && evs_join(handle, &group, 1) == CS_OK)
        return handle;
    fprintf(stderr, "the daemon does not take this program: error %d\n", (int)error);
    _exit(1);
}

/* Sends a line. If there is no room now, the line stays ours until the descriptor says so. */
static int send_line(evs_handle_t handle, char *line, size_t size)
{
    struct iovec part;

    part.iov_base = line;
    part.iov_len = size;
    return evs_mcast_joined(handle, EVS_TYPE_AGREED, &part, 1) != CS_ERR_TRY_AGAIN;
}

int main(void)
{
    evs_handle_t handle = open_session();
    char line[512];
    size_t waiting = 0; /* bytes of a line that is still to be sent */
    int open = 1;

    while (open) {
        struct pollfd entries[3] = {{-1, POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}};

        evs_fd_get(handle, &entries[0].fd);
        if (waiting == 0)
            entries[1].fd = STDIN_FILENO;
        else
            evs_room_fd_get(handle, &entries[2].fd);
        if (poll(entries, 3, -1) < 0) {
            if (errno == EINTR)
                continue;
            return 1;
        }
        if (entries[1].revents != 0) {
            ssize_t size = read(STDIN_FILENO, line, sizeof line);
            open = size > 0;
            waiting = open ? (size_t)size : 0;
        }
        if (waiting > 0 && send_line(handle, line, waiting))
            waiting = 0;
        if (entries[0].revents != 0 && evs_dispatch(handle, CS_DISPATCH_ALL) != CS_OK) {
            /* The daemon is gone. What was said meanwhile is missed: a new session begins. */
            printf("the daemon is gone\n");
            fflush(stdout);
            evs_finalize(handle);
            handle = open_session();
            printf("it is back\n");
            fflush(stdout);
        }
    }
    return evs_finalize(handle) == CS_OK ? 0 : 1;
}
