/* Nobody listens where EVS_SOCKET points. */
#include "check.h"

int main(void)
{
    evs_handle_t handle = 0;
    double start;
    int i;

    begin();
    /* R9: at once; programs loop on it. */
    start = now();
    for (i = 0; i < 100; i++)
        CHECK_EQ(evs_initialize(&handle, NULL), CS_ERR_TRY_AGAIN);
    CHECK(now() - start < 5);
    CHECK_EQ(handle, 0);

    /* R1 */
    CHECK_EQ(evs_initialize(NULL, NULL), CS_ERR_INVALID_PARAM);

    /* A path that no socket can have. */
    {
        char path[300];
        memset(path, 'x', sizeof path);
        path[sizeof path - 1] = 0;
        setenv("EVS_SOCKET", path, 1);
        CHECK_EQ(evs_initialize(&handle, NULL), CS_ERR_LIBRARY);
    }
    return passed();
}
