/*
 * Types, constants and layouts that programs were compiled against. Valid as C89 and as C++.
 */
#include <stddef.h>

#include <corosync/evs.h>
#include <evs/evs_ext.h>

#define SAME(name, left, right) typedef char same_##name[(left) == (right) ? 1 : -1]
#define AT(type, member, offset, size)                                                             \
    SAME(type##_##member, offsetof(struct evs_##type, member), offset);                            \
    SAME(type##_##member##_size, sizeof(((struct evs_##type *)0)->member), size)

SAME(handle, sizeof(evs_handle_t), 8);
SAME(hdb_handle, sizeof(hdb_handle_t), 8);
SAME(group, sizeof(struct evs_group), 32);
SAME(ring_id, sizeof(struct evs_ring_id), 16);
AT(ring_id, nodeid, 0, 4);
AT(ring_id, seq, 8, 8);
AT(group, key, 0, 32);
SAME(callbacks, sizeof(evs_callbacks_t), 16);
SAME(callbacks_deliver, offsetof(evs_callbacks_t, evs_deliver_fn), 0);
SAME(callbacks_confchg, offsetof(evs_callbacks_t, evs_confchg_fn), 8);
SAME(name, sizeof(cs_name_t), 258);
SAME(name_length_size, sizeof(((cs_name_t *)0)->length), 2);
SAME(name_value, offsetof(cs_name_t, value), 2);
SAME(name_value_size, sizeof(((cs_name_t *)0)->value), 256);
SAME(version, sizeof(cs_version_t), 3);
SAME(cs_time, sizeof(cs_time_t), 8);
SAME(error, sizeof(cs_error_t), 4);
SAME(guarantee, sizeof(evs_guarantee_t), 4);
SAME(flags, sizeof(cs_dispatch_flags_t), 4);
SAME(addrlen, TOTEMIP_ADDRLEN, 16);

SAME(guarantees, EVS_TYPE_UNORDERED * 1000 + EVS_TYPE_FIFO * 100 + EVS_TYPE_AGREED * 10 +
     EVS_TYPE_SAFE, 123);
SAME(dispatch, CS_DISPATCH_ONE * 100 + CS_DISPATCH_ALL * 10 + CS_DISPATCH_BLOCKING, 123);
SAME(dispatch_evs, EVS_DISPATCH_ONE * 100 + EVS_DISPATCH_ALL * 10 + EVS_DISPATCH_BLOCKING, 123);
SAME(dispatch_cpg, CPG_DISPATCH_ONE * 100 + CPG_DISPATCH_ALL * 10 + CPG_DISPATCH_BLOCKING, 123);
SAME(track, CS_TRACK_CURRENT * 100 + CS_TRACK_CHANGES * 10 + CS_TRACK_CHANGES_ONLY, 124);
SAME(truth, CS_FALSE * 10 + CS_TRUE, 1);
SAME(name_length, CS_MAX_NAME_LENGTH, 256);

#define ERROR(name, number)                                                                        \
    SAME(cs_##name, CS_ERR_##name, number);                                                        \
    SAME(evs_##name, EVS_ERR_##name, number)

SAME(cs_ok, CS_OK, 1);
SAME(evs_ok, EVS_OK, 1);
ERROR(LIBRARY, 2);
ERROR(VERSION, 3);
ERROR(INIT, 4);
ERROR(TIMEOUT, 5);
ERROR(TRY_AGAIN, 6);
ERROR(INVALID_PARAM, 7);
ERROR(NO_MEMORY, 8);
ERROR(BAD_HANDLE, 9);
ERROR(BUSY, 10);
ERROR(ACCESS, 11);
ERROR(NOT_EXIST, 12);
ERROR(NAME_TOO_LONG, 13);
ERROR(EXIST, 14);
ERROR(NO_SPACE, 15);
ERROR(INTERRUPT, 16);
ERROR(NAME_NOT_FOUND, 17);
ERROR(NO_RESOURCES, 18);
ERROR(NOT_SUPPORTED, 19);
ERROR(BAD_OPERATION, 20);
ERROR(FAILED_OPERATION, 21);
ERROR(MESSAGE_ERROR, 22);
ERROR(QUEUE_FULL, 23);
ERROR(QUEUE_NOT_AVAILABLE, 24);
ERROR(BAD_FLAGS, 25);
ERROR(TOO_BIG, 26);
ERROR(NO_SECTIONS, 27);
ERROR(CONTEXT_NOT_FOUND, 28);
ERROR(TOO_MANY_GROUPS, 30);
ERROR(IN_SHUTDOWN, 31);
ERROR(SECURITY, 100);

/* The extended interface: later versions may add members at the ends, never move one. */
SAME(processor, sizeof(struct evs_processor), 16);
AT(processor, nodeid, 0, 4);
AT(processor, incarnation, 8, 8);
SAME(ring, sizeof(struct evs_ring), 24);
AT(ring, seq, 0, 8);
AT(ring, representative, 8, 16);
SAME(reason, sizeof(struct evs_reason), 40);
AT(reason, kind, 0, 4);
AT(reason, one, 8, 16);
AT(reason, other, 24, 16);
SAME(processors, sizeof(struct evs_processors), 16);
AT(processors, list, 0, 8);
AT(processors, count, 8, 8);
SAME(regular, sizeof(struct evs_regular), 112);
AT(regular, ring, 0, 24);
AT(regular, members, 24, 16);
AT(regular, left, 40, 16);
AT(regular, joined, 56, 16);
AT(regular, reason, 72, 40);
SAME(transitional, sizeof(struct evs_transitional), 120);
AT(transitional, from, 0, 24);
AT(transitional, to, 24, 24);
AT(transitional, members, 48, 16);
AT(transitional, left, 64, 16);
AT(transitional, reason, 80, 40);
SAME(message, sizeof(struct evs_message), 104);
AT(message, body, 0, 8);
AT(message, size, 8, 8);
AT(message, sender, 16, 16);
AT(message, client, 32, 8);
AT(message, number, 40, 8);
AT(message, ring, 48, 24);
AT(message, seq, 72, 8);
AT(message, guarantee, 80, 4);
AT(message, groups, 88, 8);
AT(message, group_count, 96, 8);
SAME(ext_callbacks, sizeof(evs_typed_callbacks_t), 32);
SAME(ext_callbacks_message, offsetof(evs_typed_callbacks_t, message), 0);
SAME(ext_callbacks_regular, offsetof(evs_typed_callbacks_t, regular), 8);
SAME(ext_callbacks_transitional, offsetof(evs_typed_callbacks_t, transitional), 16);
SAME(ext_callbacks_end, offsetof(evs_typed_callbacks_t, end), 24);
SAME(ext_version, sizeof(struct evs_version), 20);
AT(version, library_major, 0, 4);
AT(version, library_minor, 4, 4);
AT(version, library_patch, 8, 4);
AT(version, interface, 12, 4);
AT(version, protocol, 16, 4);
SAME(reasons, EVS_REASON_BEGIN + EVS_REASON_TOKEN_LOST * 10 + EVS_REASON_PATH_LOST * 100 +
     EVS_REASON_MEMBER_LEFT * 1000 + EVS_REASON_MEMBER_ASKED * 10000 +
     EVS_REASON_GROWTH * 100000 + EVS_REASON_OUT_OF_RANGE * 1000000, 6543210);
SAME(ends, EVS_END_NONE + EVS_END_LOST * 10 + EVS_END_SHUTDOWN * 100 + EVS_END_TOO_SLOW * 1000 +
     EVS_END_PROTOCOL * 10000 + EVS_END_MALFORMED * 100000, 543210);
SAME(ends_size, sizeof(evs_end_t), 4);
SAME(reasons_size, sizeof(evs_reason_kind_t), 4);

/* The callbacks of a program that was written for the original. */
static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    (void)handle;
    (void)nodeid;
    (void)msg;
    (void)msg_len;
}

static void confchg(hdb_handle_t handle, const unsigned int *members, size_t member_entries,
                    const unsigned int *left, size_t left_entries, const unsigned int *joined,
                    size_t joined_entries, const struct evs_ring_id *ring_id)
{
    (void)handle;
    (void)members;
    (void)member_entries;
    (void)left;
    (void)left_entries;
    (void)joined;
    (void)joined_entries;
    (void)ring_id;
}

int main(void)
{
    evs_callbacks_t callbacks = {deliver, confchg};
    evs_error_t error = EVS_OK;
    (void)callbacks;
    return error == CS_OK && CS_TIME_END > 0 ? 0 : 1;
}
