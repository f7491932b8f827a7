/* evs_context_set: from callbacks, from other threads, and again. */
#include "check.h"

static int places[4];
static evs_handle_t handle;
static unsigned calls;

static void confchg(hdb_handle_t of, const unsigned int *members, size_t n,
                    const unsigned int *left, size_t left_n, const unsigned int *joined,
                    size_t joined_n, const struct evs_ring_id *ring_id)
{
    void *context;
    CHECK(members[0] == 1 && n == 1 && left != NULL && joined != NULL && ring_id != NULL);
    CHECK_EQ(left_n + joined_n, 0);
    OK(evs_context_get(of, &context));
    CHECK(context == &places[0]);
    OK(evs_context_set(of, &places[1]));
    calls++;
}

static void *set_elsewhere(void *place)
{
    int i;
    for (i = 0; i < 1000; i++) {
        void *context;
        OK(evs_context_set(handle, place));
        OK(evs_context_get(handle, &context));
        CHECK(context == &places[2] || context == &places[3]);
    }
    return NULL;
}

int main(void)
{
    evs_callbacks_t callbacks = {NULL, confchg};
    pthread_t threads[2];
    void *context;

    begin();
    OK(evs_initialize(&handle, &callbacks));
    OK(evs_context_set(handle, &places[0]));
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    CHECK_EQ(calls, 1);
    OK(evs_context_get(handle, &context));
    CHECK(context == &places[1]);

    OK(evs_context_set(handle, &places[2]));
    threads[0] = small_thread(set_elsewhere, &places[2]);
    threads[1] = small_thread(set_elsewhere, &places[3]);
    CHECK_EQ(ended(threads[0]), 0);
    CHECK_EQ(ended(threads[1]), 0);

    OK(evs_context_set(handle, NULL));
    OK(evs_context_get(handle, &context));
    CHECK(context == NULL);
    OK(evs_finalize(handle));
    CHECK_EQ(evs_context_set(handle, NULL), CS_ERR_BAD_HANDLE);
    return passed();
}
