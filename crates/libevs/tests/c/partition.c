/*
 * R16: {1, 2, 3} falls apart into {1, 3} and {2}, and comes together again. All send meanwhile: who
 * stays together sees one history, and who does not sees the same before and after.
 */
#include "check.h"

#define EACH 30u
#define HISTORY_MAX 4096

struct view {
    evs_handle_t handle;
    char told[256];
    unsigned calls;
    /* Of each message its sender, and a bar for each configuration. */
    char history[HISTORY_MAX];
    unsigned length;
    unsigned from[4];
};

static struct view views[3];

static void append(struct view *view, const char *before, const unsigned int *list, size_t n)
{
    char *end = view->told + strlen(view->told);
    size_t i;
    end += sprintf(end, "%s", before);
    for (i = 0; i < n; i++)
        end += sprintf(end, "%u", list[i]);
    CHECK(end < view->told + sizeof view->told);
}

static void write_down(struct view *view, char what)
{
    CHECK(view->length < HISTORY_MAX - 1);
    view->history[view->length++] = what;
}

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    void *context;
    struct view *view;
    unsigned number;
    OK(evs_context_get(handle, &context));
    view = (struct view *)context;
    CHECK(nodeid >= 1 && nodeid <= 3);
    CHECK_EQ(msg_len, sizeof number);
    memcpy(&number, msg, sizeof number);
    /* In order; whether any is missing is seen in the end. */
    CHECK(number >= view->from[nodeid]);
    view->from[nodeid] = number + 1;
    write_down(view, (char)('0' + nodeid));
}

static void confchg(hdb_handle_t handle, const unsigned int *members, size_t n,
                    const unsigned int *left, size_t left_n, const unsigned int *joined,
                    size_t joined_n, const struct evs_ring_id *ring_id)
{
    void *context;
    struct view *view;
    CHECK(ring_id != NULL);
    OK(evs_context_get(handle, &context));
    view = (struct view *)context;
    view->calls++;
    write_down(view, '|');
    append(view, "(", members, n);
    append(view, "-", left, left_n);
    append(view, "+", joined, joined_n);
    strcat(view->told, ")");
}

/* The next two calls of each, which are one change. */
static void each_is_told(const char *one, const char *two, const char *three)
{
    const char *wanted[3];
    int i;
    wanted[0] = one;
    wanted[1] = two;
    wanted[2] = three;
    for (i = 0; i < 3; i++) {
        struct view *view = &views[i];
        view->told[0] = 0;
        view->calls = 0;
        while (view->calls < 2)
            OK(evs_dispatch(view->handle, CS_DISPATCH_ONE));
        if (strcmp(view->told, wanted[i]) != 0)
            fprintf(stderr, "%d is told %s\n", i + 1, view->told);
        CHECK(strcmp(view->told, wanted[i]) == 0);
    }
}

static struct evs_group here;

/* Each sends its next numbers, agreed and safe. */
static void all_send(void)
{
    static unsigned next[3];
    unsigned i, n;
    for (n = 0; n < EACH; n++) {
        for (i = 0; i < 3; i++) {
            struct iovec part;
            part.iov_base = &next[i];
            part.iov_len = sizeof next[i];
            OK(evs_mcast_joined(views[i].handle, n % 2 ? EVS_TYPE_SAFE : EVS_TYPE_AGREED, &part,
                                1));
            next[i]++;
        }
    }
}

/* Until a node has the numbers of a sender up to the last one that was sent. */
static void has_all_of(struct view *view, unsigned sender, unsigned sent)
{
    while (view->from[sender] < sent)
        OK(evs_dispatch(view->handle, CS_DISPATCH_ONE));
    CHECK_EQ(view->from[sender], sent);
}

/* The history from the n-th configuration on, up to the next one. */
static const char *part_of(const struct view *view, unsigned bar, size_t *length)
{
    const char *start = view->history;
    for (; bar > 0; bar--) {
        start = strchr(start, '|');
        CHECK(start != NULL);
        start++;
    }
    *length = strcspn(start, "|");
    return start;
}

static void one_history(void)
{
    const char *parts[3];
    size_t lengths[3], shorter;
    unsigned i;

    /* Who stays together. */
    CHECK(strcmp(views[0].history, views[2].history) == 0);
    /* In the first configuration, one saw what the other did, or a beginning of it. */
    for (i = 0; i < 2; i++)
        parts[i] = part_of(&views[i], 1, &lengths[i]);
    shorter = lengths[0] < lengths[1] ? lengths[0] : lengths[1];
    CHECK(shorter >= 3 * EACH);
    CHECK_EQ(memcmp(parts[0], parts[1], shorter), 0);
    /* In the last one all see the same. */
    for (i = 0; i < 3; i++)
        parts[i] = part_of(&views[i], 5, &lengths[i]);
    CHECK(lengths[0] >= 3 * EACH && lengths[0] == lengths[1] && lengths[1] == lengths[2]);
    CHECK_EQ(memcmp(parts[0], parts[1], lengths[0]), 0);
    CHECK_EQ(memcmp(parts[0], parts[2], lengths[0]), 0);
}

int main(void)
{
    evs_callbacks_t callbacks = {deliver, confchg};
    unsigned sender;
    int i;

    begin();
    here = group("here");
    for (i = 0; i < 3; i++) {
        use_node((unsigned)i + 1);
        OK(evs_initialize(&views[i].handle, &callbacks));
        OK(evs_context_set(views[i].handle, &views[i]));
        OK(evs_dispatch(views[i].handle, CS_DISPATCH_ONE));
    }
    for (i = 0; i < 3; i++)
        OK(evs_join(views[i].handle, &here, 1));
    all_send();
    for (i = 0; i < 3; i++)
        for (sender = 1; sender <= 3; sender++)
            has_all_of(&views[i], sender, EACH);

    /* These are on their way when the cable is pulled. */
    all_send();
    control("unplug 2");
    each_is_told("(13-2+)(13-+)", "(2-13+)(2-+)", "(13-2+)(13-+)");
    all_send();
    has_all_of(&views[0], 3, 3 * EACH);
    has_all_of(&views[2], 1, 3 * EACH);
    has_all_of(&views[1], 2, 3 * EACH);
    control("plug 2");
    control("members 1 2 3");
    each_is_told("(13-+)(123-+2)", "(2-+)(123-+13)", "(13-+)(123-+2)");
    all_send();
    for (i = 0; i < 3; i++)
        for (sender = 1; sender <= 3; sender++)
            has_all_of(&views[i], sender, 4 * EACH);
    for (i = 0; i < 3; i++) {
        OK(evs_dispatch(views[i].handle, CS_DISPATCH_ALL));
        CHECK_EQ(views[i].calls, 2);
        printf("%u: %s\n", (unsigned)i + 1, views[i].history);
    }
    one_history();
    for (i = 0; i < 3; i++)
        OK(evs_finalize(views[i].handle));
    return passed();
}
