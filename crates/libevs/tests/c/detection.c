/*
 * R20, R17: silence is told as a death when the detection target has run, not before; an orderly
 * stop needs no target. Two clusters whose targets differ: the one that lost a member later is told
 * first.
 */
#include "check.h"

#define CALLS_MAX 8

/* What a session was told: how many members remain, and who left. */
struct told {
    unsigned calls;
    size_t members[CALLS_MAX];
    unsigned int left[CALLS_MAX];
};

static void confchg(hdb_handle_t handle, const unsigned int *members, size_t n,
                    const unsigned int *left, size_t left_n, const unsigned int *joined,
                    size_t joined_n, const struct evs_ring_id *ring_id)
{
    void *context;
    struct told *told;
    CHECK(members != NULL && joined != NULL && ring_id != NULL);
    OK(evs_context_get(handle, &context));
    told = context;
    CHECK(told->calls < CALLS_MAX && left_n < 2);
    CHECK_EQ(joined_n, told->calls == 0 ? 2 : 0);
    told->members[told->calls] = n;
    told->left[told->calls] = left_n > 0 ? left[0] : 0;
    told->calls++;
}

/* A session that has seen three members. */
static int open_at(const char *socket, evs_handle_t *handle, struct told *told)
{
    evs_callbacks_t callbacks = {NULL, confchg};
    int fd;

    CHECK(socket != NULL && setenv("EVS_SOCKET", socket, 1) == 0);
    OK(evs_initialize(handle, &callbacks));
    OK(evs_context_set(*handle, told));
    OK(evs_dispatch(*handle, CS_DISPATCH_ONE));
    CHECK_EQ(told->calls, 1);
    CHECK_EQ(told->members[0], 3);
    OK(evs_fd_get(*handle, &fd));
    CHECK_EQ(readable(fd, 0), 0);
    return fd;
}

/* The two calls of a change: transitional with who left, then regular. */
static void dispatch_change(evs_handle_t handle, struct told *told, unsigned int left)
{
    unsigned first = told->calls;
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    CHECK_EQ(told->calls, first + 2);
    CHECK_EQ(told->left[first], left);
    CHECK_EQ(told->left[first + 1], 0);
    CHECK_EQ(told->members[first], told->members[first - 1] - 1);
    CHECK_EQ(told->members[first + 1], told->members[first]);
}

int main(void)
{
    struct told soon = {0, {0}, {0}}, late = {0, {0}, {0}};
    evs_handle_t quick, patient;
    struct pollfd fds[2];
    int target = (int)setting("EVS_TEST_PATIENT_MS", 0);
    double before;

    begin();
    CHECK(target >= 1000);
    fds[0].fd = open_at(getenv("EVS_SOCKET"), &quick, &soon);
    fds[1].fd = open_at(getenv("EVS_TEST_PATIENT"), &patient, &late);
    fds[0].events = fds[1].events = POLLIN;

    /* R20: the patient cluster loses its member first, by silence, and is told last. */
    before = now();
    control("patient pause 3");
    control("pause 3");
    CHECK(poll(fds, 2, -1) > 0);
    CHECK(fds[0].revents == POLLIN && fds[1].revents == 0);
    dispatch_change(quick, &soon, 3);
    CHECK_EQ(readable(fds[1].fd, 0), 0);
    CHECK_EQ(readable(fds[1].fd, -1), 1);
    /* A silence of less than half the target is no death. */
    CHECK(now() - before > (double)target / 1000 / 2);
    dispatch_change(patient, &late, 3);

    /* R17: before its target could have run. */
    control("patient stop 2");
    CHECK_EQ(readable(fds[1].fd, target / 2), 1);
    dispatch_change(patient, &late, 2);
    CHECK_EQ(readable(fds[0].fd, 0), 0);

    OK(evs_finalize(quick));
    OK(evs_finalize(patient));
    return passed();
}
