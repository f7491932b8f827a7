/*
 * What the kernel can do here, without any system: datagrams to a multicast group as fast as they
 * go (mode=udp, mode=gso: with segmentation and aggregation by the kernel), and a token passed
 * round by blocking processes (mode=ring). One process is one node.
 *
 *   mode=… node=1 nodes=3 senders=1 size=BYTES warm_ms=MS run_ms=MS network=10.77.0.
 *
 * Its lines are those of load.c. What is lost is not sent again: what counts is what arrives.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tools.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif

#define GROUP "239.192.7.2"
#define PORT 5407
#define DATAGRAM_MAX 65507
/* The payload of a packet, and of a batch that the kernel cuts into packets. */
#define SEGMENT_MAX 1400
#define BATCH_MAX 64000
#define BUFFER_BYTES (32 << 20)
#define MESSAGES_MAX 64

static enum { UDP, GSO, RING } mode;
static uint64_t node, nodes, senders, size, begin_at, warm_at, end_at;
static const char *network;
static unsigned char buffers[MESSAGES_MAX][1 << 16];

static struct sockaddr_in address_of(uint64_t host)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    char text[64];

    snprintf(text, sizeof text, "%s%" PRIu64, network, host);
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
        broken("no address: %s", text);
    return address;
}

static struct sockaddr_in group_address(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};

    inet_pton(AF_INET, GROUP, &address.sin_addr);
    return address;
}

static void set(int fd, int level, int name, const void *value, socklen_t bytes, const char *what)
{
    if (setsockopt(fd, level, name, value, bytes) != 0)
        broken("%s: %s", what, strerror(errno));
}

/* A socket that receives; its reads end after 50 ms without anything. */
static int receiver(struct sockaddr_in at)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), one = 1, bytes = BUFFER_BYTES;
    struct timeval patience = {0, 50000};

    if (fd < 0)
        broken("socket: %s", strerror(errno));
    set(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes, "SO_RCVBUFFORCE");
    set(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience, "SO_RCVTIMEO");
    if (mode == GSO)
        set(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof one, "UDP_GRO");
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        broken("bind: %s", strerror(errno));
    if (mode != RING) {
        struct ip_mreqn join = {at.sin_addr, address_of(node).sin_addr, 0};

        set(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join, "IP_ADD_MEMBERSHIP");
    }
    return fd;
}

/* Sends to the group until the time is over. Larger messages than a batch go in several. */
static void *send_all(void *unused)
{
    uint64_t segment = size < SEGMENT_MAX ? SEGMENT_MAX / size * size : SEGMENT_MAX;
    uint64_t batch = size < BATCH_MAX ? BATCH_MAX / size * size : BATCH_MAX;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = BUFFER_BYTES, none = 0;
    int cut = (int)segment, at_once = mode == GSO ? 1 : MESSAGES_MAX, i;
    struct ip_mreqn out = {{0}, address_of(node).sin_addr, 0};
    struct sockaddr_in to = group_address();
    struct mmsghdr messages[MESSAGES_MAX];
    static struct iovec parts[MESSAGES_MAX];

    set(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes, "SO_SNDBUFFORCE");
    set(fd, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out, "IP_MULTICAST_IF");
    set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &none, sizeof none, "IP_MULTICAST_LOOP");
    if (mode == GSO)
        set(fd, IPPROTO_UDP, UDP_SEGMENT, &cut, sizeof cut, "UDP_SEGMENT");
    memset(messages, 0, sizeof messages);
    for (i = 0; i < at_once; i++) {
        parts[i].iov_base = calloc(1, BATCH_MAX + size);
        parts[i].iov_len = mode == GSO ? batch : size;
        if (parts[i].iov_base == NULL)
            broken("no memory");
        messages[i].msg_hdr.msg_name = &to;
        messages[i].msg_hdr.msg_namelen = sizeof to;
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (now_ns() < end_at)
        if (sendmmsg(fd, messages, (unsigned)at_once, 0) < 0 && errno != ENOBUFS)
            broken("sendmmsg: %s", strerror(errno));
    return unused;
}

/* Counts what arrives between the warm-up and the end. */
static uint64_t receive_all(int fd)
{
    struct mmsghdr messages[MESSAGES_MAX];
    static struct iovec parts[MESSAGES_MAX];
    uint64_t bytes = 0, now = now_ns();
    int i, count;

    memset(messages, 0, sizeof messages);
    for (i = 0; i < MESSAGES_MAX; i++) {
        parts[i].iov_base = buffers[i];
        parts[i].iov_len = sizeof buffers[i];
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (now < end_at) {
        count = recvmmsg(fd, messages, MESSAGES_MAX, MSG_WAITFORONE, NULL);
        now = now_ns();
        for (i = 0; i < count; i++)
            if (now >= warm_at && now < end_at)
                bytes += messages[i].msg_len;
    }
    return bytes;
}

/* Passes the token on; node 1 starts it, starts it again if it is lost, and takes the times. */
static void ring(int fd)
{
    struct sockaddr_in next = address_of(node % nodes + 1);
    uint64_t left_at = 0;
    ssize_t bytes = (ssize_t)size;

    while (now_ns() < end_at) {
        if (node == 1) {
            left_at = now_ns();
            bytes = (ssize_t)size;
        }
        if (bytes > 0 && sendto(fd, buffers[0], (size_t)bytes, 0, (struct sockaddr *)&next,
                                sizeof next) < 0 && errno != ENOBUFS)
            broken("sendto: %s", strerror(errno));
        bytes = recv(fd, buffers[0], sizeof buffers[0], 0);
        if (node == 1 && bytes > 0 && left_at >= warm_at)
            times_add(now_ns() - left_at);
    }
}

/* All nodes but the first wait for the token before they pass it on. */
static void ring_from_the_first(int fd)
{
    if (node != 1)
        while (now_ns() < end_at && recv(fd, buffers[0], sizeof buffers[0], 0) <= 0)
            ;
    ring(fd);
}

static void wait_for_go(uint64_t warm_ms, uint64_t run_ms)
{
    char line[64];

    if (fgets(line, sizeof line, stdin) == NULL)
        exit(0);
    if (sscanf(line, "go %" SCNu64, &begin_at) != 1)
        broken("not understood: %.20s", line);
    warm_at = begin_at + warm_ms * 1000000;
    end_at = warm_at + run_ms * 1000000;
}

static void parse(int argc, char **argv)
{
    const char *named = word(argc, argv, "mode");

    mode = strcmp(named, "ring") == 0 ? RING : strcmp(named, "gso") == 0 ? GSO : UDP;
    node = number(argc, argv, "node");
    nodes = number(argc, argv, "nodes");
    senders = number(argc, argv, "senders");
    size = number(argc, argv, "size");
    network = word(argc, argv, "network");
    if (size == 0 || nodes == 0)
        broken("a number that cannot be");
    if (mode != GSO && size > DATAGRAM_MAX) {
        say("{\"cannot\":\"a UDP datagram has at most %d bytes\"}", DATAGRAM_MAX);
        exit(0);
    }
}

int main(int argc, char **argv)
{
    char times[256];
    uint64_t bytes = 0;
    pthread_t sending;
    int fd, sends;

    parse(argc, argv);
    prctl(PR_SET_TIMERSLACK, 1);
    fd = receiver(mode == RING ? address_of(node) : group_address());
    sends = mode != RING && node <= senders;
    say("{\"ready\":%" PRIu64 "}", node);
    wait_for_go(number(argc, argv, "warm_ms"), number(argc, argv, "run_ms"));
    if (sends && pthread_create(&sending, NULL, send_all, NULL) != 0)
        broken("no thread");
    if (mode == RING)
        ring_from_the_first(fd);
    else
        bytes = receive_all(fd);
    if (sends)
        pthread_join(sending, NULL);
    times_print(times, sizeof times);
    say("{\"result\":{\"messages\":%" PRIu64 ",\"window_messages\":%" PRIu64
        ",\"window_ns\":%" PRIu64 ",\"order\":\"\",\"shares\":[],%s}}",
        bytes / size, bytes / size, end_at - warm_at, times);
    fgets(times, sizeof times, stdin);
    return 0;
}
