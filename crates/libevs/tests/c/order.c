/*
 * R56, and the sense of it all: two nodes send while a third one dies and returns. Every message
 * that was accepted is delivered once, and both nodes see one history, configurations included.
 */
#include "check.h"

#define EVENTS_MAX 2000000

struct event {
    unsigned int node;         /* the sender, or 0 for a configuration */
    unsigned int number;       /* of the message; or how many members there are */
    unsigned long long ring;   /* of the configuration */
};

struct node {
    evs_handle_t handle;
    unsigned int sent, echoed; /* numbers of messages */
    struct event *events;
    unsigned count, ends;
    pthread_t sender, receiver;
};

static struct node nodes[2];
static struct evs_group here;
static int stop;

static struct event *next(hdb_handle_t handle)
{
    void *context;
    struct node *node;
    OK(evs_context_get(handle, &context));
    node = (struct node *)context;
    CHECK(node->count < EVENTS_MAX);
    return &node->events[node->count++];
}

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    struct event *event = next(handle);
    CHECK_EQ(msg_len, sizeof event->number);
    event->node = nodeid;
    memcpy(&event->number, msg, msg_len);
    if (handle == nodes[nodeid - 1].handle)
        __atomic_store_n(&nodes[nodeid - 1].echoed, event->number, __ATOMIC_RELAXED);
    if (event->number == 0)
        nodes[handle == nodes[1].handle].ends++;
}

static void confchg(hdb_handle_t handle, const unsigned int *members, size_t n,
                    const unsigned int *left, size_t left_n, const unsigned int *joined,
                    size_t joined_n, const struct evs_ring_id *ring_id)
{
    struct event *event = next(handle);
    CHECK(members[0] == 1 && left != NULL && left_n <= 1 && joined != NULL && joined_n <= 2);
    event->number = (unsigned int)n;
    event->ring = ring_id->seq;
}

static void say(struct node *node, evs_guarantee_t guarantee, unsigned int number)
{
    struct iovec part;
    cs_error_t error;
    int room;
    part.iov_base = &number;
    part.iov_len = sizeof number;
    OK(evs_room_fd_get(node->handle, &room));
    while ((error = evs_mcast_joined(node->handle, guarantee, &part, 1)) == CS_ERR_TRY_AGAIN)
        CHECK_EQ(readable(room, 30000), 1);
    CHECK_EQ(error, CS_OK);
}

static void *send_numbers(void *argument)
{
    struct node *node = (struct node *)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        node->sent++;
        say(node, node->sent % 2 ? EVS_TYPE_AGREED : EVS_TYPE_SAFE, node->sent);
        /* What counts is that there is always something on its way, not how much. */
        while (node->sent - __atomic_load_n(&node->echoed, __ATOMIC_RELAXED) > 16)
            sched_yield();
    }
    say(node, EVS_TYPE_SAFE, 0);
    return NULL;
}

static void *receive(void *argument)
{
    struct node *node = (struct node *)argument;
    while (node->ends < 2)
        OK(evs_dispatch(node->handle, CS_DISPATCH_ONE));
    return NULL;
}

int main(void)
{
    evs_callbacks_t callbacks = {deliver, confchg};
    unsigned int expected[3] = {0, 1, 1};
    unsigned i, configurations = 0, lost = 0;

    begin();
    here = group("here");
    for (i = 0; i < 2; i++) {
        nodes[i].events = (struct event *)calloc(EVENTS_MAX, sizeof *nodes[i].events);
        CHECK(nodes[i].events != NULL);
        use_node(i + 1);
        OK(evs_initialize(&nodes[i].handle, &callbacks));
        OK(evs_context_set(nodes[i].handle, &nodes[i]));
        OK(evs_join(nodes[i].handle, &here, 1));
    }
    for (i = 0; i < 2; i++) {
        CHECK_EQ(pthread_create(&nodes[i].receiver, NULL, receive, &nodes[i]), 0);
        CHECK_EQ(pthread_create(&nodes[i].sender, NULL, send_numbers, &nodes[i]), 0);
    }
    control("kill 3");
    control("members 1 2");
    control("start 3");
    control("members 1 2 3");
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(nodes[i].sender, NULL), 0);
        CHECK_EQ(pthread_join(nodes[i].receiver, NULL), 0);
        CHECK(nodes[i].sent > 10);
    }

    /* Each sender's numbers come in order, without gaps, and the end last. */
    for (i = 0; i < nodes[0].count; i++) {
        const struct event *event = &nodes[0].events[i];
        if (event->node == 0) {
            configurations++;
        } else if (event->number != 0) {
            lost += event->number != expected[event->node]++;
        } else {
            CHECK_EQ(expected[event->node] - 1, nodes[event->node - 1].sent);
        }
    }
    CHECK_EQ(lost, 0);
    /* The first one, and two for the death and two for the return. */
    CHECK_EQ(configurations, 5);

    /* One history. */
    CHECK_EQ(nodes[0].count, nodes[1].count);
    CHECK_EQ(memcmp(nodes[0].events, nodes[1].events, nodes[0].count * sizeof(struct event)), 0);
    for (i = 0; i < 2; i++) {
        OK(evs_finalize(nodes[i].handle));
        free(nodes[i].events);
    }
    return passed();
}
