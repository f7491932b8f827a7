/*
 * R56, and the sense of it all: two nodes send while a third one dies and returns. Every message
 * that was accepted is delivered once, and both nodes see one history, configurations included. The
 * third one saw a beginning of it, and from where it has joined again the rest.
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

/* Two that live; the third one before its death, and after it. */
static struct node nodes[4];
#define THIRD (&nodes[2])
#define AGAIN (&nodes[3])

static struct evs_group here;
static int stop;

static struct node *node_of(hdb_handle_t handle)
{
    void *context;
    OK(evs_context_get(handle, &context));
    return (struct node *)context;
}

static struct event *next(hdb_handle_t handle)
{
    struct node *node = node_of(handle);
    CHECK(node->count < EVENTS_MAX);
    return &node->events[__atomic_fetch_add(&node->count, 1, __ATOMIC_RELAXED)];
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
        node_of(handle)->ends++;
}

static void confchg(hdb_handle_t handle, const unsigned int *members, size_t n,
                    const unsigned int *left, size_t left_n, const unsigned int *joined,
                    size_t joined_n, const struct evs_ring_id *ring_id)
{
    struct event *event = next(handle);
    CHECK(members[0] == 1 || handle == AGAIN->handle);
    CHECK(left != NULL && left_n <= 1 && joined != NULL && joined_n <= 2);
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

/* Waits until a node has had so many events. */
static void until_so_many(const struct node *node, unsigned events)
{
    while (__atomic_load_n(&node->count, __ATOMIC_RELAXED) < events)
        sched_yield();
}

static void *receive_to_the_end(void *argument)
{
    struct node *node = (struct node *)argument;
    CHECK_EQ(evs_dispatch(node->handle, CS_DISPATCH_BLOCKING), CS_ERR_LIBRARY);
    return NULL;
}

static void open_at(struct node *node, unsigned where, void *(*receiver)(void *))
{
    evs_callbacks_t callbacks = {deliver, confchg};
    node->events = (struct event *)calloc(EVENTS_MAX, sizeof *node->events);
    CHECK(node->events != NULL);
    use_node(where);
    OK(evs_initialize(&node->handle, &callbacks));
    OK(evs_context_set(node->handle, node));
    OK(evs_join(node->handle, &here, 1));
    CHECK_EQ(pthread_create(&node->receiver, NULL, receiver, node), 0);
}

/* What the third one saw before its death is how the history begins; and after its return, how it
 * ends. Its own first configurations are its own. */
static void the_third_saw_the_same(void)
{
    unsigned i = AGAIN->count, k = nodes[0].count, messages = 0;

    CHECK(THIRD->count > 100 && THIRD->count < nodes[0].count);
    CHECK_EQ(memcmp(THIRD->events, nodes[0].events, THIRD->count * sizeof(struct event)), 0);
    while (i > 0 && AGAIN->events[i - 1].node != 0) {
        i--;
        k--;
        CHECK_EQ(memcmp(&AGAIN->events[i], &nodes[0].events[k], sizeof(struct event)), 0);
        messages++;
    }
    CHECK(i > 0 && messages > 100);
}

int main(void)
{
    unsigned int expected[3] = {0, 1, 1};
    unsigned i, configurations = 0, lost = 0;

    begin();
    here = group("here");
    for (i = 0; i < 3; i++)
        open_at(&nodes[i], i + 1, i < 2 ? receive : receive_to_the_end);
    for (i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&nodes[i].sender, NULL, send_numbers, &nodes[i]), 0);
    until_so_many(THIRD, 200);
    control("kill 3");
    CHECK_EQ(pthread_join(THIRD->receiver, NULL), 0);
    control("members 1 2");
    control("start 3");
    control("members 1 2 3");
    open_at(AGAIN, 3, receive);
    until_so_many(AGAIN, 200);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(nodes[i].sender, NULL), 0);
        CHECK_EQ(pthread_join(nodes[i].receiver, NULL), 0);
        CHECK(nodes[i].sent > 10);
    }
    CHECK_EQ(pthread_join(AGAIN->receiver, NULL), 0);

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
    the_third_saw_the_same();
    for (i = 0; i < 4; i++) {
        OK(evs_finalize(nodes[i].handle));
        free(nodes[i].events);
    }
    return passed();
}
