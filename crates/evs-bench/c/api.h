/*
 * What the load generator asks of a system, so that it is the same program for all of them: one
 * process is one client in one group. api_cpg.c and api_evs.c answer it.
 */
#ifndef EVS_BENCH_API_H
#define EVS_BENCH_API_H

#include <stddef.h>

enum api_result {
    API_OK = 0,
    API_AGAIN,  /* not now */
    API_CANNOT, /* this message never */
    API_BROKEN, /* the session has ended */
};

enum api_guarantee { API_AGREED, API_SAFE };

/* What the generator is told: a message, and who is there. `whole` is 0 for a configuration that
 * is followed by another one of the same change. */
void on_message(const void *body, size_t bytes);
void on_members(size_t members, int whole);

/* Opens a session and joins a group; API_AGAIN while the daemon is not up. */
enum api_result api_open(const char *group);
/* A descriptor that is readable while there is something to dispatch. */
int api_fd(void);
enum api_result api_send(const void *body, size_t bytes, enum api_guarantee guarantee);
/* Hands over all that has arrived. */
enum api_result api_dispatch(void);
void api_close(void);
/* The number of the last error, as the system's library gave it. */
int api_error(void);

#endif
