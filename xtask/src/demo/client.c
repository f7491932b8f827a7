/*
 * The C client of the demonstration: joins the group, sends when it is told to, and prints what is
 * delivered, one line each, for the demonstration to compare:
 *
 *   ready                               it has joined
 *   sent TAG                            the library took a message
 *   got NODE TAG BYTES                  a message that is whole
 *   change NODE SEQ MEMBER...           a configuration: its ring id and its members
 *   broken ...                          something is wrong
 *
 * It reads one letter at a time from standard input: s sends, l sends the last message, q ends.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <corosync/evs.h>

#define UNDER_WAY_MAX 32
#define BYTES_MAX 20000

static uint64_t client_index;
static unsigned int local_node;
static uint64_t sent, come_back;

/* The pattern by which a receiver knows that a body is whole. */
static void fill(unsigned char *body, uint32_t bytes, uint64_t tag)
{
    uint64_t word = tag ^ bytes;
    uint32_t at = 12;

    memcpy(body, &tag, 8);
    memcpy(body + 8, &bytes, 4);
    while (at < bytes) {
        uint64_t mixed;
        uint32_t count = bytes - at < 8 ? bytes - at : 8;

        word += 0x9e3779b97f4a7c15u;
        mixed = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
        word = mixed ^ (mixed >> 27);
        memcpy(body + at, &word, count);
        at += count;
    }
}

static void on_message(hdb_handle_t handle, unsigned int node, const void *body, size_t bytes)
{
    static unsigned char whole[BYTES_MAX];
    uint64_t tag;

    (void)handle;
    if (bytes < 12 || bytes > BYTES_MAX) {
        printf("broken body of %zu bytes\n", bytes);
        return;
    }
    memcpy(&tag, body, 8);
    fill(whole, (uint32_t)bytes, tag);
    if (memcmp(whole, body, bytes) != 0) {
        printf("broken body of %zu bytes with tag %016llx\n", bytes, (unsigned long long)tag);
        return;
    }
    come_back += tag >> 56 == client_index;
    printf("got %u %016llx %zu\n", node, (unsigned long long)tag, bytes);
}

static void on_change(hdb_handle_t handle, const unsigned int *members, size_t count,
                      const unsigned int *left, size_t left_count, const unsigned int *joined,
                      size_t joined_count, const struct evs_ring_id *ring)
{
    size_t i;

    (void)handle, (void)left, (void)left_count, (void)joined, (void)joined_count;
    printf("change %u %llu", ring->nodeid, ring->seq);
    for (i = 0; i < count; i++)
        printf(" %u", members[i]);
    printf("\n");
}

/* Returns whether the library took it. */
static int send_one(evs_handle_t handle, int last)
{
    static const evs_guarantee_t guarantees[4] = {EVS_TYPE_AGREED, EVS_TYPE_SAFE, EVS_TYPE_FIFO,
                                                  EVS_TYPE_UNORDERED};
    static unsigned char body[BYTES_MAX];
    uint64_t number = sent + 1;
    evs_guarantee_t guarantee = last ? EVS_TYPE_AGREED : guarantees[number % 4];
    uint32_t bytes = number % 64 == 63 ? BYTES_MAX : 200;
    uint64_t tag = client_index << 56 | (uint64_t)last << 48 | (uint64_t)guarantee << 40 | number;
    struct iovec part = {body, bytes};
    cs_error_t error;

    fill(body, bytes, tag);
    error = evs_mcast_joined(handle, guarantee, &part, 1);
    if (error == CS_ERR_TRY_AGAIN)
        return 0;
    if (error != CS_OK) {
        printf("broken send: error %d\n", (int)error);
        exit(1);
    }
    sent = number;
    printf("sent %016llx\n", (unsigned long long)tag);
    return 1;
}

int main(int argc, char **argv)
{
    evs_callbacks_t callbacks = {on_message, on_change};
    struct evs_group group;
    evs_handle_t handle;
    struct pollfd fds[2];
    size_t members = 0;
    char wanted = 0;
    int last_sent = 0;

    if (argc != 3)
        return 2;
    client_index = strtoull(argv[1], NULL, 10);
    memset(&group, 0, sizeof group);
    memcpy(group.key, argv[2], strlen(argv[2]));
    if (evs_initialize(&handle, &callbacks) != CS_OK || evs_join(handle, &group, 1) != CS_OK ||
        evs_membership_get(handle, &local_node, NULL, &members) != CS_OK ||
        evs_fd_get(handle, &fds[0].fd) != CS_OK) {
        printf("broken start\n");
        return 1;
    }
    fds[0].events = POLLIN;
    fds[1].fd = STDIN_FILENO;
    fds[1].events = POLLIN;
    printf("ready\n");
    for (;;) {
        int room = sent - come_back < UNDER_WAY_MAX;
        int busy = (wanted == 's' && room) || (wanted == 'l' && !last_sent);

        fflush(stdout);
        if (poll(fds, 2, busy ? 0 : -1) < 0)
            return 1;
        if (fds[1].revents != 0 && (read(STDIN_FILENO, &wanted, 1) != 1 || wanted == 'q'))
            break;
        if (fds[0].revents != 0 && evs_dispatch(handle, CS_DISPATCH_ALL) != CS_OK) {
            printf("broken dispatch\n");
            return 1;
        }
        if (wanted == 's' && room)
            send_one(handle, 0);
        else if (wanted == 'l' && !last_sent)
            last_sent = send_one(handle, 1);
    }
    evs_finalize(handle);
    return 0;
}
