/* D13: select, poll, and epoll by level and by edge, over bursts: no wake-up is lost. */
#include <sys/epoll.h>
#include <sys/select.h>

#include "check.h"

#define ROUNDS scaled(500)

static unsigned messages;
static evs_handle_t handle;
static struct evs_group here;

static void deliver(hdb_handle_t of, unsigned int nodeid, const void *msg, size_t msg_len)
{
    CHECK(of == handle && nodeid == 1 && msg != NULL);
    messages += msg_len > 0;
}

/* Sends so many at once that some of them are read together with others. */
static void burst(unsigned count)
{
    while (count-- > 0)
        OK(mcast(handle, &here, 1, "message", 7));
}

static void with_poll(int fd, cs_dispatch_flags_t flags)
{
    messages = 0;
    burst(ROUNDS);
    while (messages < ROUNDS) {
        CHECK_EQ(readable(fd, 10000), 1);
        OK(evs_dispatch(handle, flags));
    }
    CHECK_EQ(readable(fd, 0), 0);
}

static void with_select(int fd)
{
    messages = 0;
    burst(ROUNDS);
    while (messages < ROUNDS) {
        struct timeval timeout = {10, 0};
        fd_set set;
        FD_ZERO(&set);
        FD_SET(fd, &set);
        CHECK_EQ(select(fd + 1, &set, NULL, NULL, &timeout), 1);
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    }
}

/* No wake-up is lost, whoever is woken by the level or by the edge. */
static void with_epoll(int fd, uint32_t edge)
{
    struct epoll_event event;
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    CHECK(epoll >= 0);
    event.events = EPOLLIN | edge;
    event.data.fd = fd;
    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
    messages = 0;
    burst(3);
    while (messages < ROUNDS) {
        unsigned before = messages;
        CHECK_EQ(epoll_wait(epoll, &event, 1, 10000), 1);
        OK(evs_dispatch(handle, CS_DISPATCH_ALL));
        /* Each message that came brings another one. */
        burst(messages - before);
    }
    while (messages < ROUNDS + 3) {
        CHECK_EQ(epoll_wait(epoll, &event, 1, 10000), 1);
        OK(evs_dispatch(handle, CS_DISPATCH_ALL));
        if (messages == ROUNDS + 3)
            break;
    }
    close(epoll);
}

int main(void)
{
    evs_callbacks_t callbacks = {deliver, NULL};
    int fd;

    begin();
    here = group("here");
    OK(evs_initialize(&handle, &callbacks));

    OK(evs_fd_get(handle, &fd));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    OK(evs_join(handle, &here, 1));

    with_poll(fd, CS_DISPATCH_ONE);
    with_poll(fd, CS_DISPATCH_ALL);
    with_select(fd);
    with_epoll(fd, 0);
    OK(evs_leave(handle, &here, 1));
    OK(evs_dispatch(handle, CS_DISPATCH_ALL));
    OK(evs_join(handle, &here, 1));
    with_epoll(fd, EPOLLET);

    OK(evs_finalize(handle));
    return passed();
}
