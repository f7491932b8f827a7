/* A daemon that speaks no version of the library's protocol: the error says so, at once and every
 * time. */
#include "check.h"

int main(void)
{
    evs_handle_t handle = 0;
    evs_callbacks_t callbacks = { NULL, NULL };
    int i;

    begin();
    for (i = 0; i < 3; i++) {
        CHECK_EQ(evs_initialize(&handle, &callbacks), CS_ERR_VERSION);
        CHECK_EQ(evs_finalize(handle), CS_ERR_BAD_HANDLE);
    }
    return passed();
}
