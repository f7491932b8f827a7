/* evs_end_get: why a session ended, for programs with the old callbacks; R30, R31, R57. */
#include "check.h"

static void ends(const char *how, evs_end_t reason)
{
    evs_handle_t handle;
    evs_end_t told = EVS_END_MALFORMED;
    cs_error_t error;

    OK(evs_initialize(&handle, NULL));
    CHECK_EQ(evs_end_get(handle, NULL), CS_ERR_INVALID_PARAM);
    OK(evs_end_get(handle, &told));
    CHECK_EQ(told, EVS_END_NONE);
    control(how);
    /* It has its place after all events. */
    OK(evs_end_get(handle, &told));
    CHECK_EQ(told, EVS_END_NONE);
    error = evs_dispatch(handle, CS_DISPATCH_BLOCKING);
    CHECK(error == CS_ERR_LIBRARY || error == CS_ERR_IN_SHUTDOWN);
    OK(evs_end_get(handle, &told));
    CHECK_EQ(told, reason);
    OK(evs_finalize(handle));
    CHECK_EQ(evs_end_get(handle, &told), CS_ERR_BAD_HANDLE);
}

int main(void)
{
    begin();
    ends("kill 1", EVS_END_LOST);
    control("start 1");
    ends("stop 1", EVS_END_SHUTDOWN);
    return passed();
}
