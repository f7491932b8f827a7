/*
 * Opening a session where something is wrong. Who includes this has defined open_session.
 */
#ifndef STRANGERS_H
#define STRANGERS_H

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "check.h"

/* What a stranger answers on a socket of ours: so many bytes, and then it closes. */
static cs_error_t answered(const void *bytes, size_t size)
{
    struct sockaddr_un address;
    evs_handle_t handle = 0;
    char dir[] = "/tmp/evs-stranger-XXXXXX";
    cs_error_t error;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    pid_t child;

    CHECK(mkdtemp(dir) != NULL);
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", dir);
    CHECK_EQ(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(listen(listener, 1), 0);
    child = fork();
    if (child == 0) {
        char hello[64];
        int connection = accept(listener, NULL, NULL);
        if (read(connection, hello, sizeof hello) <= 0)
            _exit(1);
        if (size > 0 && write(connection, bytes, size) != (ssize_t)size)
            _exit(1);
        /* A silent one waits until the client has had enough. */
        if (bytes == NULL)
            while (read(connection, hello, sizeof hello) > 0)
                continue;
        _exit(0);
    }
    setenv("EVS_SOCKET", address.sun_path, 1);
    error = open_session(&handle);
    CHECK_EQ(handle, 0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    close(listener);
    unlink(address.sun_path);
    rmdir(dir);
    return error;
}

/* A refusal: length, kind 2, reason, lowest version, highest version. Before version 3 a daemon
 * said its one version alone. */
static cs_error_t refused(unsigned char reason, unsigned char version)
{
    unsigned char frame[10] = {6, 0, 0, 0, 2, reason, version, 0, version, 0};
    if (version < 3)
        frame[0] = 4;
    return answered(frame, 4 + frame[0]);
}

/* What another user gets. */
static cs_error_t as_somebody_else(void)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        evs_handle_t handle;
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(0);
        _exit((int)open_session(&handle));
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    return (cs_error_t)WEXITSTATUS(status);
}

/* What a process gets that has fewer descriptors left than a session takes; and nothing stays. */
static cs_error_t without_descriptors(void)
{
    struct rlimit limits, low;
    evs_handle_t handle;
    int filler[64];
    unsigned before = descriptors(), count = 0, i;
    cs_error_t error = CS_OK;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limits), 0);
    low = limits;
    low.rlim_cur = 48;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while ((filler[count] = dup(0)) >= 0)
        count++;
    /* One after the other becomes free, until they are enough. */
    for (i = 0; i < 16; i++) {
        cs_error_t now = open_session(&handle);
        if (now == CS_OK)
            break;
        CHECK(error == CS_OK || error == now);
        error = now;
        close(filler[--count]);
    }
    CHECK(i > 3 && i < 16);
    OK(evs_finalize(handle));
    while (count > 0)
        close(filler[--count]);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limits), 0);
    CHECK_EQ(descriptors(), before);
    return error;
}

#endif
