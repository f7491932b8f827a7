/*
 * R46: what each guarantee promises, between two nodes that send all four at once while a third one
 * dies and returns; the typed callbacks say in which configuration.
 */
#include "check.h"

#define EVENTS_MAX 200000

struct event {
    uint32_t node;      /* the sender; 0 for a configuration */
    uint32_t number;    /* of the sender's messages */
    uint32_t guarantee; /* or whether the configuration is transitional */
    uint64_t ring, seq;
};

struct node {
    evs_handle_t handle;
    struct event *events;
    unsigned count, ends;
    pthread_t sender, receiver;
    unsigned sent, echoed;
};

static struct node nodes[2];
static struct evs_group here;
static int stop;

static struct event *next(evs_handle_t handle)
{
    void *context;
    struct node *node;
    OK(evs_context_get(handle, &context));
    node = (struct node *)context;
    CHECK(node->count < EVENTS_MAX);
    return &node->events[node->count++];
}

static void on_message(evs_handle_t handle, const struct evs_message *message)
{
    struct event *event = next(handle);
    struct node *sender = &nodes[message->sender.nodeid - 1];
    CHECK_EQ(message->size, sizeof event->number);
    event->node = message->sender.nodeid;
    memcpy(&event->number, message->body, message->size);
    event->guarantee = (uint32_t)message->guarantee;
    event->ring = message->ring.seq;
    event->seq = message->seq;
    CHECK_EQ(message->guarantee, event->number % 4);
    CHECK(message->number == event->number);
    if (handle == sender->handle)
        __atomic_add_fetch(&sender->echoed, 1, __ATOMIC_RELAXED);
}

static void on_regular(evs_handle_t handle, const struct evs_regular *regular)
{
    struct event *event = next(handle);
    event->ring = regular->ring.seq;
}

static void on_transitional(evs_handle_t handle, const struct evs_transitional *transitional)
{
    struct event *event = next(handle);
    event->ring = transitional->from.seq;
    event->guarantee = 1;
}

static void *send_all_four(void *argument)
{
    struct node *node = (struct node *)argument;
    int room;
    OK(evs_room_fd_get(node->handle, &room));
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        uint32_t number = node->sent + 1;
        struct iovec part;
        cs_error_t error;
        part.iov_base = &number;
        part.iov_len = sizeof number;
        while ((error = evs_mcast_joined(node->handle, (evs_guarantee_t)(number % 4), &part, 1)) ==
               CS_ERR_TRY_AGAIN)
            CHECK_EQ(readable(room, 30000), 1);
        CHECK_EQ(error, CS_OK);
        __atomic_add_fetch(&node->sent, 1, __ATOMIC_RELAXED);
        while (node->sent - __atomic_load_n(&node->echoed, __ATOMIC_RELAXED) > 16)
            sched_yield();
    }
    return NULL;
}

static int done(void)
{
    int i;
    if (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        return 0;
    for (i = 0; i < 2; i++)
        if (nodes[i].echoed != __atomic_load_n(&nodes[i].sent, __ATOMIC_RELAXED))
            return 0;
    return 1;
}

/* Both nodes' streams at the same place? */
static unsigned of_sender(const struct node *node, uint32_t sender)
{
    unsigned i, count = 0;
    for (i = 0; i < node->count; i++)
        count += node->events[i].node == sender;
    return count;
}

static void *receive(void *argument)
{
    struct node *node = (struct node *)argument;
    int fd;
    OK(evs_fd_get(node->handle, &fd));
    while (!done() || of_sender(node, 1) < nodes[0].sent || of_sender(node, 2) < nodes[1].sent) {
        readable(fd, 10);
        OK(evs_dispatch(node->handle, CS_DISPATCH_ALL));
    }
    return NULL;
}

/* The place of a message in a stream: how many configurations came before it. */
static unsigned configurations_before(const struct node *node, const struct event *of)
{
    unsigned i, count = 0;
    for (i = 0; i < node->count; i++) {
        const struct event *event = &node->events[i];
        if (event->node == of->node && event->number == of->number)
            return count;
        count += event->node == 0;
    }
    CHECK(!"delivered by one and not by the other");
    return 0;
}

int main(void)
{
    evs_typed_callbacks_t callbacks = {on_message, on_regular, on_transitional, NULL};
    unsigned i, k, ordered[2] = {0, 0}, counts[4] = {0, 0, 0, 0};

    begin();
    here = group("here");
    for (i = 0; i < 2; i++) {
        nodes[i].events = (struct event *)calloc(EVENTS_MAX, sizeof *nodes[i].events);
        CHECK(nodes[i].events != NULL);
        use_node(i + 1);
        OK(evs_typed_initialize(&nodes[i].handle, &callbacks, sizeof callbacks, &nodes[i]));
        OK(evs_join(nodes[i].handle, &here, 1));
    }
    for (i = 0; i < 2; i++) {
        CHECK_EQ(pthread_create(&nodes[i].receiver, NULL, receive, &nodes[i]), 0);
        CHECK_EQ(pthread_create(&nodes[i].sender, NULL, send_all_four, &nodes[i]), 0);
    }
    control("kill 3");
    control("members 1 2");
    control("start 3");
    control("members 1 2 3");
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(nodes[i].sender, NULL), 0);
    for (i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(nodes[i].receiver, NULL), 0);

    /* FIFO and stronger: the numbers of a sender come in order, across guarantees. */
    for (k = 0; k < 2; k++) {
        uint32_t last[3] = {0, 0, 0};
        for (i = 0; i < nodes[k].count; i++) {
            const struct event *event = &nodes[k].events[i];
            if (event->node != 0 && event->guarantee != EVS_TYPE_UNORDERED) {
                CHECK(event->number > last[event->node]);
                last[event->node] = event->number;
            }
        }
    }

    /* Agreed and safe: one order, the same on both; configurations have the same places in it. */
    for (;;) {
        const struct event *at[2];
        for (k = 0; k < 2; k++) {
            while (ordered[k] < nodes[k].count && nodes[k].events[ordered[k]].node != 0 &&
                   nodes[k].events[ordered[k]].guarantee < EVS_TYPE_AGREED)
                ordered[k]++;
            at[k] = &nodes[k].events[ordered[k]++];
        }
        CHECK_EQ(ordered[0] > nodes[0].count, ordered[1] > nodes[1].count);
        if (ordered[0] > nodes[0].count)
            break;
        CHECK_EQ(memcmp(at[0], at[1], sizeof *at[0]), 0);
    }

    /* Every message once, between the same configurations on both, whatever its guarantee. */
    CHECK_EQ(nodes[0].count, nodes[1].count);
    for (i = 0; i < nodes[0].count; i += 1 + nodes[0].count / 500) {
        const struct event *event = &nodes[0].events[i];
        if (event->node != 0)
            CHECK_EQ(configurations_before(&nodes[0], event),
                     configurations_before(&nodes[1], event));
    }
    for (i = 0; i < nodes[0].count; i++)
        if (nodes[0].events[i].node != 0)
            counts[nodes[0].events[i].guarantee]++;
    for (i = 0; i < 4; i++)
        CHECK(counts[i] > 4);
    CHECK_EQ(counts[0] + counts[1] + counts[2] + counts[3], nodes[0].sent + nodes[1].sent);
    for (i = 0; i < 2; i++) {
        OK(evs_finalize(nodes[i].handle));
        free(nodes[i].events);
    }
    return passed();
}
