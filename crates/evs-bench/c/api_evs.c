/* The load generator's system: libevs. */
#include <string.h>

#include <corosync/evs.h>

#include "api.h"

static evs_handle_t session;
static int session_fd;
static int last_error;
static struct evs_ring_id current;

static void message(hdb_handle_t handle, unsigned int node, const void *body, size_t bytes)
{
    (void)handle, (void)node;
    on_message(body, bytes);
}

/* A transitional configuration carries the id of the ring that is left. */
static void change(hdb_handle_t handle, const unsigned int *members, size_t count,
                   const unsigned int *left, size_t left_count, const unsigned int *joined,
                   size_t joined_count, const struct evs_ring_id *ring)
{
    int regular = ring->nodeid != current.nodeid || ring->seq != current.seq;

    (void)handle, (void)members, (void)left, (void)left_count, (void)joined, (void)joined_count;
    current = *ring;
    on_members(count, regular);
}

enum api_result api_open(const char *name)
{
    evs_callbacks_t callbacks = {message, change};
    struct evs_group group;

    memset(&group, 0, sizeof group);
    memcpy(group.key, name, strlen(name));
    last_error = evs_initialize(&session, &callbacks);
    if (last_error != CS_OK)
        return API_AGAIN;
    last_error = evs_join(session, &group, 1);
    if (last_error == CS_OK)
        last_error = evs_fd_get(session, &session_fd);
    if (last_error == CS_OK)
        return API_OK;
    evs_finalize(session);
    return API_AGAIN;
}

int api_fd(void)
{
    return session_fd;
}

enum api_result api_send(const void *body, size_t bytes, enum api_guarantee guarantee)
{
    struct iovec part = {(void *)body, bytes};

    last_error = evs_mcast_joined(
        session, guarantee == API_SAFE ? EVS_TYPE_SAFE : EVS_TYPE_AGREED, &part, 1);
    switch (last_error) {
    case CS_OK:
        return API_OK;
    case CS_ERR_TRY_AGAIN:
        return API_AGAIN;
    case CS_ERR_TOO_BIG:
    case CS_ERR_INVALID_PARAM:
        return API_CANNOT;
    default:
        return API_BROKEN;
    }
}

enum api_result api_dispatch(void)
{
    last_error = evs_dispatch(session, CS_DISPATCH_ALL);
    return last_error == CS_OK ? API_OK : API_BROKEN;
}

void api_close(void)
{
    evs_finalize(session);
}

int api_error(void)
{
    return last_error;
}
