/*
 * A replicated counter that says what is certain.
 *
 * Each line with a number on standard input adds it on every replica. Additions are safe messages:
 * replicas that stay together apply the same ones in the same order.
 *
 * - One that is delivered in a regular configuration has been received by all members of it: it
 *   counts for each of them, also for one that is cut off a moment later.
 * - One that is delivered after a transitional configuration is certain for the members of that;
 *   those who were lost may or may not have it.
 *
 * A replica learns the value at a point of the history that all replicas share: a question, or the
 * beginning of a configuration in which sides that went apart come together. Everybody who has a
 * value says what it was at that point; the first answer in the one order of all is everybody's
 * value, and what was added since then is added to it.
 *
 *     cc -o counter counter.c $(pkg-config --cflags --libs libevs)
 *     ./counter 0     the first replica, which brings a value
 *     ./counter       any other
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <evs/evs_ext.h>

static int has_value;
static int64_t value;

/* The last point that all share, what was added since, and whether the value there is agreed on. */
static char point[96];
static int64_t since;
static int is_agreed;

/* After a transitional configuration, before the regular one. */
static int is_between;

static void must(cs_error_t error, const char *what)
{
    if (error != CS_OK) {
        fprintf(stderr, "%s: error %d\n", what, (int)error);
        exit(1);
    }
}

/* Sends a text; waits while there is no room. */
static void say(evs_handle_t handle, const char *text)
{
    struct pollfd room = {-1, POLLIN, 0};
    struct iovec part;
    cs_error_t error;

    part.iov_base = (void *)(size_t)text;
    part.iov_len = strlen(text) + 1;
    must(evs_room_fd_get(handle, &room.fd), "evs_room_fd_get");
    while ((error = evs_mcast_joined(handle, EVS_TYPE_SAFE, &part, 1)) == CS_ERR_TRY_AGAIN)
        poll(&room, 1, -1);
    must(error, "evs_mcast_joined");
}

/* A new point, and an answer if this replica has one. */
static void begin_point(evs_handle_t handle, const struct evs_ring *ring, uint64_t seq)
{
    char answer[160];

    snprintf(point, sizeof point, "%" PRIu64 "/%" PRIu32 "/%" PRIx64 "/%" PRIu64, ring->seq,
             ring->representative.nodeid, ring->representative.incarnation, seq);
    since = 0;
    is_agreed = 0;
    if (has_value) {
        snprintf(answer, sizeof answer, "answer %s %" PRId64, point, value);
        say(handle, answer);
    }
}

static void show(void)
{
    if (!has_value)
        return;
    printf("value %" PRId64 ", %s\n", value,
           !is_agreed ? "not yet agreed" : is_between ? "for those that stay" : "for all");
    fflush(stdout);
}

static void on_message(evs_handle_t handle, const struct evs_message *message)
{
    const char *text = (const char *)message->body;
    char at[96];
    int64_t number;

    if (message->size == 0 || text[message->size - 1] != 0)
        return;
    if (strcmp(text, "question") == 0) {
        begin_point(handle, &message->ring, message->seq);
    } else if (sscanf(text, "answer %95s %" SCNd64, at, &number) == 2) {
        if (strcmp(at, point) != 0 || is_agreed)
            return; /* out of date, or not the first */
        value = number + since;
        has_value = is_agreed = 1;
        show();
    } else if (sscanf(text, "add %" SCNd64, &number) == 1) {
        since += number;
        value += has_value ? number : 0;
        show();
    }
}

/* From here on only the members know of each other what they have. */
static void on_transitional(evs_handle_t handle, const struct evs_transitional *change)
{
    size_t i;

    (void)handle;
    is_between = change->left.count > 0;
    for (i = 0; i < change->left.count; i++)
        printf("node %" PRIu32 " is lost: it has all of the above\n", change->left.list[i].nodeid);
    fflush(stdout);
}

static void on_regular(evs_handle_t handle, const struct evs_regular *change)
{
    size_t i;

    is_between = 0;
    printf("members:");
    for (i = 0; i < change->members.count; i++)
        printf(" %" PRIu32, change->members.list[i].nodeid);
    printf("\n");
    fflush(stdout);
    /* Who comes back may have gone on alone. In the first event of a session nobody does. */
    if (change->joined.count > 0 && change->reason.kind != EVS_REASON_BEGIN)
        begin_point(handle, &change->ring, 0);
    else if (change->reason.kind != EVS_REASON_BEGIN && !has_value)
        say(handle, "question"); /* whoever was asked may be lost */
}

static void on_end(evs_handle_t handle, evs_end_t reason)
{
    (void)handle;
    printf("the session ended for reason %d\n", (int)reason);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const evs_typed_callbacks_t callbacks = {on_message, on_regular, on_transitional,
                                                    on_end};
    struct evs_group group = {"counter"};
    struct pollfd entries[2] = {{-1, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    char line[64], text[80];
    evs_handle_t handle;

    has_value = argc > 1;
    value = argc > 1 ? strtoll(argv[1], NULL, 10) : 0;
    must(evs_typed_initialize(&handle, &callbacks, sizeof callbacks, NULL), "is evsd running?");
    must(evs_fd_get(handle, &entries[0].fd), "evs_fd_get");
    must(evs_join(handle, &group, 1), "evs_join");
    say(handle, "question");
    setvbuf(stdin, NULL, _IONBF, 0);
    while (poll(entries, 2, -1) > 0) {
        if (entries[0].revents != 0 && evs_dispatch(handle, CS_DISPATCH_ALL) != CS_OK)
            break;
        if (entries[1].revents != 0) {
            if (fgets(line, sizeof line, stdin) == NULL)
                break;
            snprintf(text, sizeof text, "add %lld", strtoll(line, NULL, 10));
            say(handle, text);
        }
    }
    return evs_finalize(handle) == CS_OK ? 0 : 1;
}
