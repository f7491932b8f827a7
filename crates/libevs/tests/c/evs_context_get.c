/* evs_context_get: R7, R8. */
#include "check.h"

int main(void)
{
    evs_handle_t handle, other;
    int mine, yours;
    void *context = &mine;

    begin();
    OK(evs_initialize(&handle, NULL));
    CHECK_EQ(evs_context_get(handle, NULL), CS_ERR_INVALID_PARAM); /* R7 */

    /* R8: none before one was set, then that one. */
    OK(evs_context_get(handle, &context));
    CHECK(context == NULL);
    OK(evs_context_set(handle, &mine));
    OK(evs_context_get(handle, &context));
    CHECK(context == &mine);

    /* Each handle has its own. */
    OK(evs_initialize(&other, NULL));
    OK(evs_context_get(other, &context));
    CHECK(context == NULL);
    OK(evs_context_set(other, &yours));
    OK(evs_context_get(handle, &context));
    CHECK(context == &mine);
    OK(evs_finalize(other));

    /* It needs no daemon. */
    control("kill 1");
    CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_BLOCKING), CS_ERR_LIBRARY);
    OK(evs_context_get(handle, &context));
    CHECK(context == &mine);
    OK(evs_finalize(handle));
    CHECK_EQ(evs_context_get(handle, &context), CS_ERR_BAD_HANDLE);
    return passed();
}
