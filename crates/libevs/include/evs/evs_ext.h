/*
 * What goes beyond the original interface. corosync/evs.h does not need this header, and a program
 * that includes it needs this library. Handles are those of corosync/evs.h: all its functions take
 * a handle that was opened here, and all functions here, unless they say otherwise, one that was
 * opened there.
 *
 * Structures are filled by the library and are valid during the callback that gets them. Later
 * versions may add members at their ends, never change or remove one.
 */
#ifndef EVS_EVS_EXT_H_DEFINED
#define EVS_EVS_EXT_H_DEFINED

#include <stddef.h>
#include <stdint.h>

#include <corosync/evs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header; it grows with every addition. See evs_version_get(3). */
#define EVS_EXT_INTERFACE 2

/* A running incarnation of a node: a node that restarted is another processor. */
struct evs_processor {
    uint32_t nodeid;
    uint64_t incarnation;
};

/* Names a regular configuration for ever: compare all of it. seq grows. */
struct evs_ring {
    uint64_t seq;
    struct evs_processor representative;
};

/*
 * Why a configuration came about, as the own node saw it. Others may have had another reason; what
 * all of them together know, evs_why_get tells.
 */
typedef enum {
    EVS_REASON_BEGIN = 0,        /* nothing has changed: the session begins */
    EVS_REASON_TOKEN_LOST = 1,   /* a member has failed, or what it sends is lost */
    EVS_REASON_PATH_LOST = 2,    /* one and other no longer hear each other */
    EVS_REASON_MEMBER_LEFT = 3,  /* one left in order */
    EVS_REASON_MEMBER_ASKED = 4, /* one asked for it, for a reason of its own */
    EVS_REASON_GROWTH = 5,       /* one, which was no member, can be heard by all */
    EVS_REASON_OUT_OF_RANGE = 6  /* the state of a member was out of all bounds */
} evs_reason_kind_t;

struct evs_reason {
    evs_reason_kind_t kind;
    struct evs_processor one;   /* nodeid 0 if none is concerned */
    struct evs_processor other; /* the same */
};

/* A list of processors, by ascending node id. */
struct evs_processors {
    const struct evs_processor *list;
    size_t count;
};

/*
 * A regular configuration. left and joined are relative to the regular configuration before it; in
 * the first event of a session all but the own processor have joined.
 */
struct evs_regular {
    struct evs_ring ring;
    struct evs_processors members;
    struct evs_processors left;
    struct evs_processors joined;
    struct evs_reason reason;
};

/*
 * The transitional configuration between two regular ones: members go from one to the other
 * together. The messages that follow it are the rest of the old one's, and reach these members.
 */
struct evs_transitional {
    struct evs_ring from;
    struct evs_ring to;
    struct evs_processors members;
    struct evs_processors left;
    struct evs_reason reason;
};

/* A message. (sender, client, number) is its name for ever; ring and seq are its place. */
struct evs_message {
    const void *body; /* never NULL, aligned as from malloc */
    size_t size;
    struct evs_processor sender;
    uint64_t client; /* the session that sent it, at its processor */
    uint64_t number; /* of that session's messages, from 1 */
    struct evs_ring ring;
    uint64_t seq;
    evs_guarantee_t guarantee;
    const struct evs_group *groups;
    size_t group_count;
};

/* Why a session ended. */
typedef enum {
    EVS_END_NONE = 0,      /* it has not ended, or not all events before its end were dispatched */
    EVS_END_LOST = 1,      /* the daemon was killed, or has crashed */
    EVS_END_SHUTDOWN = 2,  /* the daemon stopped in order */
    EVS_END_TOO_SLOW = 3,  /* the program did not dispatch, and its queue was full */
    EVS_END_PROTOCOL = 4,  /* the daemon did not understand this library; its log says what */
    EVS_END_MALFORMED = 5  /* this library did not understand the daemon */
} evs_end_t;

/* Which callbacks run for what. A NULL callback consumes its events. */
typedef struct {
    void (*message)(evs_handle_t handle, const struct evs_message *message);
    void (*regular)(evs_handle_t handle, const struct evs_regular *regular);
    void (*transitional)(evs_handle_t handle, const struct evs_transitional *transitional);
    /* The last one, from the dispatch that then says that the session is over. */
    void (*end)(evs_handle_t handle, evs_end_t reason);
} evs_typed_callbacks_t;

struct evs_version {
    unsigned int library_major;
    unsigned int library_minor;
    unsigned int library_patch;
    unsigned int interface; /* EVS_EXT_INTERFACE of the library */
    unsigned int protocol;  /* between library and daemon: only equal ones understand each other */
};

/* Opens a session with callbacks of these types. size is that of the structure. */
cs_error_t evs_typed_initialize(evs_handle_t *handle, const evs_typed_callbacks_t *callbacks,
                                size_t size, void *context);

/* Who this session is: its processor, and the client of the messages that it sends. */
cs_error_t evs_self_get(evs_handle_t handle, struct evs_processor *processor, uint64_t *client);

/* Why the session ended. */
cs_error_t evs_end_get(evs_handle_t handle, evs_end_t *reason);

/*
 * Why a configuration came about, by what all its members saw: the JSON that "evs why --json"
 * prints. size is that of the buffer, and becomes that of the text with its final NUL. See
 * evs_why_get(3).
 */
cs_error_t evs_why_get(evs_handle_t handle, const struct evs_ring *ring, char *json, size_t *size);

/*
 * A descriptor that is readable while a send is worth trying: always, except from a send that
 * returned CS_ERR_TRY_AGAIN until there may be room again. See evs_room_fd_get(3).
 */
cs_error_t evs_room_fd_get(evs_handle_t handle, int *fd);

/* Which library this is. It needs no daemon. */
cs_error_t evs_version_get(struct evs_version *version);

#ifdef __cplusplus
}
#endif

#endif /* EVS_EVS_EXT_H_DEFINED */
