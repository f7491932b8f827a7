/*
 * Extended virtual synchrony: programs on several hosts join named groups and send to them; all see
 * the same messages and the same changes of membership in the same order.
 *
 * evs_overview(8) explains the service; each function has a page in section 3 that lists every
 * error, its cause, and what to do about it.
 *
 * Every function may be called from any thread and from within a callback, on any handle.
 */
#ifndef COROSYNC_EVS_H_DEFINED
#define COROSYNC_EVS_H_DEFINED

#include <sys/types.h>
#include <sys/uio.h>
#include <inttypes.h>
#include <netinet/in.h>

#include <corosync/corotypes.h>
#include <corosync/hdb.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A session with the daemon of this host. 0 is never one. */
typedef uint64_t evs_handle_t;

/* What the order of a message promises. Each is reliable, and each includes the ones before. */
typedef enum {
    EVS_TYPE_UNORDERED = 0, /* delivered as soon as it is received */
    EVS_TYPE_FIFO = 1,      /* the messages of one sender's node in the order sent */
    EVS_TYPE_AGREED = 2,    /* one order on all nodes */
    EVS_TYPE_SAFE = 3       /* in that order, and only when every member has received it */
} evs_guarantee_t;

#define TOTEMIP_ADDRLEN (sizeof(struct in6_addr))

/* Names a group. All 32 bytes are compared, also those after a NUL: clear it before use. */
struct evs_group {
    char key[32];
};

/* There, g++ does not take __extension__ for an answer. */
#if defined(__cplusplus) && __cplusplus < 201103L
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wlong-long"
#endif

/* Names a configuration: the representative's node id, and a number that grows. */
struct evs_ring_id {
    unsigned int nodeid;
    __extension__ unsigned long long seq;
};

#if defined(__cplusplus) && __cplusplus < 201103L
#pragma GCC diagnostic pop
#endif

/* A message of msg_len bytes from this node, valid during the call and aligned as from malloc. */
typedef void (*evs_deliver_fn_t)(hdb_handle_t handle, unsigned int nodeid, const void *msg,
                                 size_t msg_len);

/*
 * A configuration of nodes. A change is told by two calls: first those that stay together, with
 * those that left; then the new configuration, with those that joined. Lists hold ascending node
 * ids and are valid during the call, as is ring_id, which is never NULL.
 */
typedef void (*evs_confchg_fn_t)(hdb_handle_t handle, const unsigned int *member_list,
                                 size_t member_list_entries, const unsigned int *left_list,
                                 size_t left_list_entries, const unsigned int *joined_list,
                                 size_t joined_list_entries, const struct evs_ring_id *ring_id);

/* A NULL callback consumes its events. */
typedef struct {
    evs_deliver_fn_t evs_deliver_fn;
    evs_confchg_fn_t evs_confchg_fn;
} evs_callbacks_t;

/* Opens a session. */
cs_error_t evs_initialize(evs_handle_t *handle, evs_callbacks_t *callbacks);

/* Ends it. */
cs_error_t evs_finalize(evs_handle_t handle);

/* A descriptor that is readable while there is something to dispatch. */
cs_error_t evs_fd_get(evs_handle_t handle, int *fd);

/* A pointer of the program's own, carried along with the handle. */
cs_error_t evs_context_get(evs_handle_t handle, void **context);
cs_error_t evs_context_set(evs_handle_t handle, void *context);

/* Runs callbacks. */
cs_error_t evs_dispatch(evs_handle_t handle, cs_dispatch_flags_t dispatch_types);

/* Joins and leaves groups, at most 50 in a call. */
cs_error_t evs_join(evs_handle_t handle, const struct evs_group *groups, size_t group_entries);
cs_error_t evs_leave(evs_handle_t handle, const struct evs_group *groups, size_t group_entries);

/* Sends to all groups that were joined with this handle. */
cs_error_t evs_mcast_joined(evs_handle_t handle, evs_guarantee_t guarantee,
                            const struct iovec *iovec, unsigned int iov_len);

/* Sends to these groups, joined or not. */
cs_error_t evs_mcast_groups(evs_handle_t handle, evs_guarantee_t guarantee,
                            const struct evs_group *groups, size_t group_entries,
                            const struct iovec *iovec, unsigned int iov_len);

/* The own node and the members of the configuration that was dispatched last. */
cs_error_t evs_membership_get(evs_handle_t handle, unsigned int *local_nodeid,
                              unsigned int *member_list, size_t *member_list_entries);

#ifdef __cplusplus
}
#endif

#endif /* COROSYNC_EVS_H_DEFINED */
