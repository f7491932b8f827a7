/* evs_fd_get: R6, R7, R12, D13: one descriptor, from the first event to the daemon's death. */
#include <fcntl.h>

#include "check.h"

int main(void)
{
    evs_handle_t handle, other;
    struct evs_group here = group("here");
    int fd, again, i;

    begin();
    OK(evs_initialize(&handle, NULL));
    CHECK_EQ(evs_fd_get(handle, NULL), CS_ERR_INVALID_PARAM); /* R7 */

    /* R6 */
    OK(evs_fd_get(handle, &fd));
    for (i = 0; i < 10; i++) {
        OK(evs_fd_get(handle, &again));
        CHECK_EQ(again, fd);
    }
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    OK(evs_initialize(&other, NULL));
    OK(evs_fd_get(other, &again));
    CHECK(again != fd);
    OK(evs_finalize(other));

    /* R12, and readable exactly while something waits. */
    CHECK_EQ(readable(fd, 0), 1);
    CHECK_EQ(readable(fd, 0), 1);
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    CHECK_EQ(readable(fd, 0), 0);
    OK(evs_join(handle, &here, 1));
    CHECK_EQ(readable(fd, 0), 0);
    for (i = 0; i < 100; i++) {
        OK(mcast(handle, &here, 1, "one", 3));
        OK(mcast(handle, &here, 1, "two", 3));
        CHECK_EQ(readable(fd, 10000), 1);
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
        /* The second one may still be on its way; then it shows. */
        CHECK_EQ(readable(fd, 10000), 1);
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
        CHECK_EQ(readable(fd, 0), 0);
    }

    /* It stays the program's when the daemon goes, and shows that. */
    control("kill 1");
    for (i = 0; i < 3; i++) {
        CHECK_EQ(readable(fd, 1000), 1);
        CHECK_EQ(evs_dispatch(handle, CS_DISPATCH_ALL), CS_ERR_LIBRARY);
        OK(evs_fd_get(handle, &again));
        CHECK_EQ(again, fd);
    }
    CHECK(fcntl(fd, F_GETFD) >= 0);
    OK(evs_finalize(handle));
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    return passed();
}
