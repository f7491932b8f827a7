/*
 * The type of handles, as the callbacks of corosync/evs.h see it.
 *
 * The handle database that once was in this header is an affair of the library's; programs only
 * need the type and a way to print it.
 */
#ifndef COROSYNC_HDB_H_DEFINED
#define COROSYNC_HDB_H_DEFINED

#include <inttypes.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t hdb_handle_t;

/* For printf: a handle as a decimal and as a hexadecimal number. */
#define HDB_D_FORMAT "%" PRIu64
#define HDB_X_FORMAT "%016" PRIx64

#ifdef __cplusplus
}
#endif

#endif /* COROSYNC_HDB_H_DEFINED */
