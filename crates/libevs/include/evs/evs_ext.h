/*
 * What goes beyond the original interface. corosync/evs.h does not need this header, and a program
 * that includes it needs this library.
 */
#ifndef EVS_EVS_EXT_H_DEFINED
#define EVS_EVS_EXT_H_DEFINED

#include <corosync/evs.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A descriptor that is readable while a send is worth trying: always, except from a send that
 * returned CS_ERR_TRY_AGAIN until there may be room again. See evs_room_fd_get(3).
 */
cs_error_t evs_room_fd_get(evs_handle_t handle, int *fd);

#ifdef __cplusplus
}
#endif

#endif /* EVS_EVS_EXT_H_DEFINED */
