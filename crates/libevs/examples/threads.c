/*
 * A program with threads: one receives with CS_DISPATCH_BLOCKING, others send as fast as there is
 * room, and the end of the session ends the receiver.
 *
 *     cc -pthread -o threads threads.c $(pkg-config --cflags --libs libevs)
 *     ./threads [MESSAGES]
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <corosync/evs.h>
#include <evs/evs_ext.h>

#define SENDERS 3

static evs_handle_t handle;
static unsigned long each = 1000, received, bytes;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* Runs on the receiver's thread, and on no other. */
static void on_message(hdb_handle_t of, unsigned int nodeid, const void *msg, size_t msg_len)
{
    (void)of, (void)nodeid, (void)msg;
    pthread_mutex_lock(&mutex);
    received++;
    bytes += msg_len;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&mutex);
}

static void *receive(void *unused)
{
    (void)unused;
    /* Returns when another thread finalizes the handle, or when the daemon goes. */
    return (void *)(size_t)evs_dispatch(handle, CS_DISPATCH_BLOCKING);
}

static void *send_some(void *unused)
{
    char text[] = "from one of several threads";
    struct iovec part;
    struct pollfd room = {-1, POLLIN, 0};
    unsigned long sent = 0;

    (void)unused;
    part.iov_base = text;
    part.iov_len = sizeof text - 1;
    if (evs_room_fd_get(handle, &room.fd) != CS_OK)
        return NULL;
    while (sent < each) {
        cs_error_t error = evs_mcast_joined(handle, EVS_TYPE_FIFO, &part, 1);
        if (error == CS_OK)
            sent++;
        else if (error == CS_ERR_TRY_AGAIN)
            poll(&room, 1, -1);
        else
            break;
    }
    return (void *)sent;
}

int main(int argc, char **argv)
{
    evs_callbacks_t callbacks = {on_message, NULL};
    struct evs_group group = {"threads"};
    pthread_t receiver, senders[SENDERS];
    unsigned long sent = 0;
    void *result;
    int i;

    if (argc > 1)
        each = strtoul(argv[1], NULL, 10);
    if (evs_initialize(&handle, &callbacks) != CS_OK || evs_join(handle, &group, 1) != CS_OK) {
        fprintf(stderr, "is evsd running?\n");
        return 1;
    }
    pthread_create(&receiver, NULL, receive, NULL);
    for (i = 0; i < SENDERS; i++)
        pthread_create(&senders[i], NULL, send_some, NULL);
    for (i = 0; i < SENDERS; i++) {
        pthread_join(senders[i], &result);
        sent += (unsigned long)result;
    }
    pthread_mutex_lock(&mutex);
    while (received < sent)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);

    evs_finalize(handle);
    pthread_join(receiver, &result);
    printf("sent %lu, received %lu (%lu bytes)\n", sent, received, bytes);
    return sent == SENDERS * each && (cs_error_t)(size_t)result == CS_ERR_LIBRARY ? 0 : 1;
}
