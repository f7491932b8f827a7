/*
 * A first program: it joins a group, waits until it has been greeted by programs on so many nodes,
 * sends ten messages, and prints what arrives. Every one of them prints the same messages in the
 * same order.
 *
 *     cc -o first first.c $(pkg-config --cflags --libs libevs)
 *     ./first [NODES]
 *
 * Run it on NODES hosts (default: 1). EVS_SOCKET names another socket than the daemon's usual one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <corosync/evs.h>

#define MESSAGES 10
#define NODES_MAX 128

static unsigned int greeted[NODES_MAX]; /* the nodes whose greeting has arrived */
static size_t greetings;
static size_t goodbyes;
static int answer; /* somebody new is there, who has not seen our greeting */

static int is(const void *msg, size_t msg_len, const char *text)
{
    return msg_len == strlen(text) && memcmp(msg, text, msg_len) == 0;
}

static void on_message(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    size_t i;

    (void)handle;
    if (!is(msg, msg_len, "hello")) {
        printf("message from node %u: %.*s\n", nodeid, (int)msg_len, (const char *)msg);
        goodbyes += is(msg, msg_len, "goodbye");
        return;
    }
    for (i = 0; i < greetings; i++)
        if (greeted[i] == nodeid)
            return;
    if (greetings < NODES_MAX)
        greeted[greetings++] = nodeid;
    answer = 1;
}

static void list(const char *what, const unsigned int *ids, size_t count)
{
    size_t i;

    printf(" %s", what);
    for (i = 0; i < count; i++)
        printf(" %u", ids[i]);
}

/* A change is told by two calls: who stays and who has left, then who is there and has joined. */
static void on_configuration(hdb_handle_t handle, const unsigned int *members,
                             size_t member_entries, const unsigned int *left, size_t left_entries,
                             const unsigned int *joined, size_t joined_entries,
                             const struct evs_ring_id *ring_id)
{
    (void)handle;
    printf("configuration %llx:", ring_id->seq);
    list("members", members, member_entries);
    list("left", left, left_entries);
    list("joined", joined, joined_entries);
    printf("\n");
}

/* Every call says what became of it; its manual page says what to do then. */
static void must(cs_error_t error, const char *what)
{
    if (error != CS_OK) {
        fprintf(stderr, "%s: error %d\n", what, (int)error);
        exit(1);
    }
}

/* Sends a text; while the queue is full, it goes on receiving. */
static void say(evs_handle_t handle, const char *text)
{
    struct iovec part;
    cs_error_t error;

    part.iov_base = (void *)text;
    part.iov_len = strlen(text);
    while ((error = evs_mcast_joined(handle, EVS_TYPE_AGREED, &part, 1)) == CS_ERR_TRY_AGAIN)
        must(evs_dispatch(handle, CS_DISPATCH_ONE), "evs_dispatch");
    must(error, "evs_mcast_joined");
}

int main(int argc, char **argv)
{
    evs_callbacks_t callbacks = {on_message, on_configuration};
    size_t nodes = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    struct evs_group group;
    evs_handle_t handle;
    char text[64];
    int i;

    must(evs_initialize(&handle, &callbacks), "evs_initialize (is evsd running?)");

    /* All 32 bytes of a key count. */
    memset(&group, 0, sizeof group);
    strcpy(group.key, "first");
    must(evs_join(handle, &group, 1), "evs_join");

    say(handle, "hello");
    while (greetings < nodes || answer) {
        if (answer) {
            answer = 0;
            say(handle, "hello");
        } else {
            must(evs_dispatch(handle, CS_DISPATCH_ONE), "evs_dispatch");
        }
    }

    for (i = 1; i <= MESSAGES; i++) {
        snprintf(text, sizeof text, "this is message %d", i);
        say(handle, text);
    }
    say(handle, "goodbye");
    while (goodbyes < nodes)
        must(evs_dispatch(handle, CS_DISPATCH_ONE), "evs_dispatch");

    must(evs_finalize(handle), "evs_finalize");
    return 0;
}
