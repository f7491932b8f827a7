/* R16: {1, 2, 3} falls apart into {1, 3} and {2}, and comes together again. */
#include "check.h"

struct view {
    evs_handle_t handle;
    char told[256];
    unsigned calls;
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

int main(void)
{
    evs_callbacks_t callbacks = {NULL, confchg};
    int i;

    begin();
    for (i = 0; i < 3; i++) {
        use_node((unsigned)i + 1);
        OK(evs_initialize(&views[i].handle, &callbacks));
        OK(evs_context_set(views[i].handle, &views[i]));
        OK(evs_dispatch(views[i].handle, CS_DISPATCH_ONE));
    }
    control("unplug 2");
    each_is_told("(13-2+)(13-+)", "(2-13+)(2-+)", "(13-2+)(13-+)");
    control("plug 2");
    control("members 1 2 3");
    each_is_told("(13-+)(123-+2)", "(2-+)(123-+13)", "(13-+)(123-+2)");
    for (i = 0; i < 3; i++) {
        OK(evs_dispatch(views[i].handle, CS_DISPATCH_ALL));
        CHECK_EQ(views[i].calls, 2);
        OK(evs_finalize(views[i].handle));
    }
    return passed();
}
