/* The load generator's system: Corosync's libcpg. */
#include <string.h>

#include <corosync/cpg.h>

#include "api.h"

static cpg_handle_t session;
static int session_fd;
static int last_error;

static void message(cpg_handle_t handle, const struct cpg_name *group, uint32_t node,
                    uint32_t process, void *body, size_t bytes)
{
    (void)handle, (void)group, (void)node, (void)process;
    on_message(body, bytes);
}

/* A change is told once, with the processes that are in the group after it: one on each node. */
static void change(cpg_handle_t handle, const struct cpg_name *group,
                   const struct cpg_address *members, size_t count,
                   const struct cpg_address *left, size_t left_count,
                   const struct cpg_address *joined, size_t joined_count)
{
    (void)handle, (void)group, (void)members, (void)left, (void)left_count, (void)joined;
    (void)joined_count;
    on_members(count, 1);
}

enum api_result api_open(const char *name)
{
    cpg_callbacks_t callbacks = {message, change};
    struct cpg_name group;

    memset(&group, 0, sizeof group);
    group.length = (uint32_t)strlen(name);
    memcpy(group.value, name, group.length);
    last_error = cpg_initialize(&session, &callbacks);
    if (last_error != CS_OK)
        return API_AGAIN;
    last_error = cpg_join(session, &group);
    if (last_error == CS_OK)
        last_error = cpg_fd_get(session, &session_fd);
    if (last_error == CS_OK)
        return API_OK;
    cpg_finalize(session);
    return API_AGAIN;
}

int api_fd(void)
{
    return session_fd;
}

enum api_result api_send(const void *body, size_t bytes, enum api_guarantee guarantee)
{
    struct iovec part = {(void *)body, bytes};

    (void)guarantee;
    last_error = cpg_mcast_joined(session, CPG_TYPE_AGREED, &part, 1);
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
    last_error = cpg_dispatch(session, CS_DISPATCH_ALL);
    /* An empty queue is told as TRY_AGAIN. */
    return last_error == CS_OK || last_error == CS_ERR_TRY_AGAIN ? API_OK : API_BROKEN;
}

void api_close(void)
{
    cpg_finalize(session);
}

int api_error(void)
{
    return last_error;
}
