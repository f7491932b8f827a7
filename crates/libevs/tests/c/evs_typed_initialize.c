/* evs_typed_initialize: what its callbacks are told, on three nodes. */
#include "check.h"

#define CHANGES_MAX 16

struct change {
    int transitional;
    struct evs_ring ring, to;
    struct evs_processor members[4], left[4], joined[4];
    size_t n, left_n, joined_n;
    struct evs_reason reason;
};

static struct change changes[CHANGES_MAX];
static unsigned count, messages, ends;
static evs_end_t end_reason;
static struct evs_processor self;
static uint64_t self_client, sent;
static struct evs_group here;
static struct evs_ring current;

static int same(const struct evs_processor *one, const struct evs_processor *other)
{
    return one->nodeid == other->nodeid && one->incarnation == other->incarnation;
}

static int same_ring(const struct evs_ring *one, const struct evs_ring *other)
{
    return one->seq == other->seq && same(&one->representative, &other->representative);
}

static size_t copy(struct evs_processor *to, struct evs_processors from)
{
    size_t i;
    CHECK(from.list != NULL && from.count <= 4);
    for (i = 0; i < from.count; i++) {
        to[i] = from.list[i];
        CHECK(to[i].incarnation != 0);
        CHECK(i == 0 || to[i - 1].nodeid < to[i].nodeid);
    }
    return from.count;
}

static void on_message(evs_handle_t handle, const struct evs_message *message)
{
    void *context;
    OK(evs_context_get(handle, &context));
    CHECK(context == &messages);
    CHECK((size_t)message->body % 16 == 0);
    CHECK_EQ(message->size, 5);
    CHECK_EQ(memcmp(message->body, "hello", 5), 0);
    /* The own ones are known by sender and client, and counted as they were sent. */
    CHECK(same(&message->sender, &self));
    CHECK(message->client == self_client);
    CHECK(message->number == ++sent);
    CHECK(same_ring(&message->ring, &current));
    CHECK(message->seq > 0);
    CHECK_EQ(message->guarantee, messages % 4);
    CHECK_EQ(message->group_count, 2);
    CHECK_EQ(memcmp(&message->groups[1], &here, sizeof here), 0);
    messages++;
}

static void on_regular(evs_handle_t handle, const struct evs_regular *regular)
{
    struct change *change = &changes[count++];
    (void)handle;
    CHECK(count < CHANGES_MAX);
    memset(change, 0, sizeof *change);
    change->ring = current = regular->ring;
    change->n = copy(change->members, regular->members);
    change->left_n = copy(change->left, regular->left);
    change->joined_n = copy(change->joined, regular->joined);
    change->reason = regular->reason;
}

static void on_transitional(evs_handle_t handle, const struct evs_transitional *transitional)
{
    struct change *change = &changes[count++];
    (void)handle;
    CHECK(count < CHANGES_MAX);
    memset(change, 0, sizeof *change);
    change->transitional = 1;
    change->ring = transitional->from;
    change->to = transitional->to;
    change->n = copy(change->members, transitional->members);
    change->left_n = copy(change->left, transitional->left);
    change->reason = transitional->reason;
}

static void on_end(evs_handle_t handle, evs_end_t reason)
{
    void *context;
    OK(evs_context_get(handle, &context));
    end_reason = reason;
    ends++;
}

static const evs_typed_callbacks_t callbacks = {on_message, on_regular, on_transitional, on_end};

/* Two changes that belong together; the second is returned. */
static const struct change *next_change(evs_handle_t handle)
{
    struct evs_ring before = current;
    count = 0;
    while (count < 2)
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    CHECK(changes[0].transitional && !changes[1].transitional);
    CHECK(same_ring(&changes[0].ring, &before));
    CHECK(same_ring(&changes[0].to, &changes[1].ring));
    CHECK(changes[1].ring.seq > before.seq);
    CHECK_EQ(changes[0].reason.kind, changes[1].reason.kind);
    CHECK(changes[0].reason.kind != EVS_REASON_BEGIN);
    return &changes[1];
}

static cs_error_t open_session(evs_handle_t *handle)
{
    return evs_typed_initialize(handle, &callbacks, sizeof callbacks, NULL);
}

#include "strangers.h"

static void initialize_errors(void)
{
    evs_typed_callbacks_t longer[2];
    evs_handle_t handle = 0;
    char socket[512];

    memset(longer, 0, sizeof longer);
    CHECK_EQ(evs_typed_initialize(NULL, &callbacks, sizeof callbacks, NULL),
             CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_typed_initialize(&handle, &callbacks, 0, NULL), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_typed_initialize(&handle, &callbacks, 9, NULL), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_typed_initialize(&handle, longer, sizeof longer, NULL), CS_ERR_NOT_SUPPORTED);
    snprintf(socket, sizeof socket, "%s", getenv("EVS_SOCKET"));
    setenv("EVS_SOCKET", "/tmp/evs-nobody-listens-here", 1);
    CHECK_EQ(evs_typed_initialize(&handle, &callbacks, sizeof callbacks, NULL), CS_ERR_TRY_AGAIN);
    CHECK_EQ(handle, 0);
    CHECK_EQ(refused(1, 1), CS_ERR_ACCESS);
    CHECK_EQ(refused(2, 99), CS_ERR_VERSION);
    CHECK_EQ(refused(2, 2), CS_ERR_VERSION);
    CHECK_EQ(refused(3, 1), CS_ERR_TRY_AGAIN);
    CHECK_EQ(answered("no daemon of ours", 17), CS_ERR_LIBRARY);
    setenv("EVS_SOCKET", socket, 1);
    CHECK_EQ(as_somebody_else(), CS_ERR_ACCESS);
    CHECK_EQ(without_descriptors(), CS_ERR_NO_RESOURCES);

    /* Without callbacks, and with those of a shorter header, events are consumed. */
    OK(evs_typed_initialize(&handle, NULL, 0, NULL));
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    OK(evs_finalize(handle));
    OK(evs_typed_initialize(&handle, &callbacks, sizeof(void (*)(void)), NULL));
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    CHECK_EQ(count, 0);
    OK(evs_finalize(handle));
}

static void messages_of_each_guarantee(evs_handle_t handle)
{
    struct evs_group to[2];
    struct iovec part = {(void *)(size_t) "hello", 5};
    int i;

    to[0] = group("nobody's");
    to[1] = here;
    sent = 0;
    messages = 0;
    OK(evs_join(handle, &here, 1));
    for (i = 0; i < 8; i++) {
        OK(evs_mcast_groups(handle, (evs_guarantee_t)(i % 4), to, 2, &part, 1));
        while (messages <= (unsigned)i)
            OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    }
    CHECK_EQ(messages, 8);
    OK(evs_leave(handle, &here, 1));
}

/* The session's last events, and its end. */
static void end_of(evs_handle_t handle, const char *how, evs_end_t reason, cs_error_t later)
{
    evs_end_t told;

    OK(evs_end_get(handle, &told));
    CHECK_EQ(told, EVS_END_NONE);
    CHECK_EQ(evs_end_get(handle, NULL), CS_ERR_INVALID_PARAM);
    ends = 0;
    control(how);
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_BLOCKING), later);
    CHECK_EQ(ends, 1);
    CHECK_EQ(end_reason, reason);
    /* It is told once. */
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ALL), later);
    CHECK_EQ(ends, 1);
    OK(evs_end_get(handle, &told));
    CHECK_EQ(told, reason);
    OK(evs_finalize(handle));
    CHECK_EQ(evs_end_get(handle, &told), CS_ERR_BAD_HANDLE);
    CHECK_EQ(evs_self_get(handle, &self, NULL), CS_ERR_BAD_HANDLE);
}

int main(void)
{
    const struct change *change;
    struct evs_processor third, second;
    evs_handle_t handle, other;
    evs_reason_kind_t kind;
    uint64_t other_client;

    begin();
    use_node(1);
    here = group("here");
    initialize_errors();

    /* The session begins with a copy. */
    OK(evs_typed_initialize(&handle, &callbacks, sizeof callbacks, &messages));
    OK(evs_self_get(handle, &self, &self_client));
    OK(evs_self_get(handle, NULL, NULL));
    CHECK_EQ(self.nodeid, 1);
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    CHECK_EQ(count, 1);
    change = &changes[0];
    CHECK(!change->transitional && change->n == 3 && change->left_n == 0);
    CHECK_EQ(change->joined_n, 2);
    CHECK_EQ(change->reason.kind, EVS_REASON_BEGIN);
    CHECK_EQ(change->reason.one.nodeid, 0);
    CHECK(same(&change->members[0], &self));
    CHECK_EQ(change->ring.representative.nodeid, 1);
    second = change->members[1];
    third = change->members[2];

    /* Another session of the same processor is another client. */
    OK(evs_typed_initialize(&other, NULL, 0, NULL));
    OK(evs_self_get(other, NULL, &other_client));
    CHECK(other_client != self_client);
    OK(evs_finalize(other));
    messages_of_each_guarantee(handle);

    /* A death: whoever noticed first, it is no wish and no growth. */
    control("kill 3");
    change = next_change(handle);
    CHECK_EQ(change->n, 2);
    CHECK_EQ(change->left_n, 1);
    CHECK(same(&change->left[0], &third));
    CHECK(same(&changes[0].left[0], &third));
    kind = change->reason.kind;
    CHECK(kind == EVS_REASON_TOKEN_LOST || kind == EVS_REASON_PATH_LOST ||
          kind == EVS_REASON_MEMBER_ASKED);

    /* It returns as another processor. */
    control("start 3");
    control("members 1 2 3");
    change = next_change(handle);
    CHECK_EQ(change->joined_n, 1);
    CHECK_EQ(change->joined[0].nodeid, 3);
    CHECK(change->joined[0].incarnation != third.incarnation);
    CHECK_EQ(change->left_n, 0);
    CHECK(change->reason.kind == EVS_REASON_GROWTH ||
          change->reason.kind == EVS_REASON_MEMBER_ASKED);
    if (change->reason.kind == EVS_REASON_GROWTH)
        CHECK(same(&change->reason.one, &change->joined[0]));

    /* An orderly stop names who went. */
    control("stop 2");
    change = next_change(handle);
    CHECK_EQ(change->left_n, 1);
    CHECK(same(&change->left[0], &second));
    CHECK(change->reason.kind == EVS_REASON_MEMBER_LEFT ||
          change->reason.kind == EVS_REASON_MEMBER_ASKED);
    if (change->reason.kind == EVS_REASON_MEMBER_LEFT)
        CHECK(same(&change->reason.one, &second));

    end_of(handle, "kill 1", EVS_END_LOST, CS_ERR_LIBRARY);
    control("start 1");
    OK(evs_typed_initialize(&handle, &callbacks, sizeof callbacks, &messages));
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    end_of(handle, "stop 1", EVS_END_SHUTDOWN, CS_ERR_IN_SHUTDOWN);
    return passed();
}
