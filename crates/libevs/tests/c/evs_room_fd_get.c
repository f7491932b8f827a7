/* evs_room_fd_get: R55, D11: who is refused is told when it is worth trying again. */
#include <sys/resource.h>

#include "check.h"

static char bytes[60000];

/* Sends until so many were refused; each refusal is followed by word of room. */
static unsigned flood(evs_handle_t handle, int room, const struct evs_group *to, unsigned refusals)
{
    unsigned refused = 0, sent = 0, tries = 0;
    while (refused < refusals) {
        cs_error_t error = mcast(handle, to, 1, bytes, sizeof bytes);
        tries++;
        CHECK(error == CS_OK || error == CS_ERR_TRY_AGAIN);
        sent += error == CS_OK;
        if (error == CS_ERR_TRY_AGAIN) {
            refused++;
            CHECK_EQ(readable(room, 10000), 1);
        }
    }
    CHECK_EQ(tries, sent + refused);
    return sent;
}

/* Whoever is without descriptors is told so. */
static void without_descriptors(evs_handle_t handle)
{
    struct rlimit limits, low;
    int fd = -1, filler[64];
    unsigned i, count = 0;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limits), 0);
    low = limits;
    low.rlim_cur = 32;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while ((filler[count] = dup(0)) >= 0)
        count++;
    CHECK_EQ(evs_room_fd_get(handle, &fd), CS_ERR_NO_RESOURCES);
    close(filler[--count]);
    CHECK_EQ(evs_room_fd_get(handle, &fd), CS_ERR_NO_RESOURCES);
    CHECK_EQ(fd, -1);
    close(filler[--count]);
    OK(evs_room_fd_get(handle, &fd));
    for (i = 0; i < count; i++)
        close(filler[i]);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limits), 0);
}

int main(void)
{
    struct evs_group nobody = group("nobody"), mine = group("mine");
    evs_handle_t handle, starved;
    unsigned sent;
    int events, room, again;

    begin();
    OK(evs_initialize(&handle, NULL));
    OK(evs_initialize(&starved, NULL));
    CHECK_EQ(evs_room_fd_get(handle, NULL), CS_ERR_INVALID_PARAM);
    OK(evs_fd_get(handle, &events));
    OK(evs_room_fd_get(handle, &room));
    OK(evs_room_fd_get(handle, &again));
    CHECK_EQ(again, room);
    CHECK(room != events);
    CHECK_EQ(readable(room, 0), 1);

    /* R55: refused when the limit of 4 MiB is full, and told of room each time. */
    sent = flood(handle, room, &nobody, 20);
    CHECK(sent >= 60);

    /* When all of it is sent, and the library has read that, there is room, and that shows. */
    OK(evs_join(handle, &mine, 1));
    while (mcast(handle, &mine, 1, bytes, 1) == CS_ERR_TRY_AGAIN)
        CHECK_EQ(readable(room, 10000), 1);
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    OK(evs_leave(handle, &mine, 1));
    CHECK_EQ(readable(room, 10000), 1);

    /* D11: while the daemon takes nothing there is no room, and that shows. */
    control("pause 1");
    for (sent = 0; mcast(handle, &nobody, 1, bytes, 100) == CS_OK; sent++)
        continue;
    CHECK_EQ(mcast(handle, &nobody, 1, bytes, 100), CS_ERR_TRY_AGAIN);
    CHECK_EQ(readable(room, 50), 0);
    control("resume 1");
    CHECK_EQ(readable(room, 10000), 1);
    CHECK(flood(handle, room, &nobody, 1) > 0);

    without_descriptors(starved);
    OK(evs_finalize(starved));

    /* The end is worth a try too: that says what is the matter. */
    control("kill 1");
    CHECK_EQ(readable(room, 1000), 1);
    CHECK_EQ(mcast(handle, &nobody, 1, bytes, 1), CS_ERR_LIBRARY);
    CHECK_EQ(readable(room, 0), 1);
    OK(evs_finalize(handle));
    CHECK_EQ(evs_room_fd_get(handle, &room), CS_ERR_BAD_HANDLE);
    return passed();
}
