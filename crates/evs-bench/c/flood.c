/*
 * A stranger on the network: sends datagrams to a port of each of the first so many hosts in turn,
 * as fast as a line of that rate carries them.
 *
 *   hosts=2 network=10.77.0. port=PORT size=BYTES megabits=PER_SECOND seconds_max=S start=HEX
 *
 * Every datagram begins with the bytes of `start`; the others are zeros. It prints {"ready":0} once
 * it sends, and ends with its standard input, or after seconds_max.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tools.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define HOSTS_MAX 64
/* What the kernel cuts into datagrams. */
#define BATCH_MAX 64000
/* Ethernet's header, sum, preamble and gap; those of IP and UDP. */
#define ON_THE_LINE (38 + 28)

static unsigned char batch[BATCH_MAX];

/* Fills the batch, and returns how long it is. */
static size_t fill(const char *start, size_t size)
{
    size_t count = BATCH_MAX / size, at, i;
    unsigned byte;

    for (at = 0; at < count * size; at += size)
        for (i = 0; i < size && sscanf(start + 2 * i, "%2x", &byte) == 1; i++)
            batch[at + i] = (unsigned char)byte;
    return count * size;
}

static struct sockaddr_in address_of(const char *network, uint64_t host, uint64_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    char text[64];

    snprintf(text, sizeof text, "%s%" PRIu64, network, host);
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
        broken("no address: %s", text);
    return address;
}

/* Lets time go by; returns whether the standard input is still open. */
static int wait_until(uint64_t due)
{
    struct pollfd end = {STDIN_FILENO, 0, 0};
    uint64_t now = now_ns(), left = due > now ? due - now : 0;
    struct timespec timeout = {0, (long)(left < 100000000 ? left : 100000000)};

    return ppoll(&end, 1, &timeout, NULL) == 0;
}

int main(int argc, char **argv)
{
    uint64_t hosts = number(argc, argv, "hosts"), size = number(argc, argv, "size");
    uint64_t megabits = number(argc, argv, "megabits"), port = number(argc, argv, "port");
    uint64_t end_at = now_ns() + number(argc, argv, "seconds_max") * 1000000000u;
    const char *network = word(argc, argv, "network");
    struct sockaddr_in to[HOSTS_MAX];
    uint64_t due = now_ns(), host, each;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), cut = (int)size;
    size_t bytes;

    if (hosts == 0 || hosts > HOSTS_MAX || size == 0 || size > 1472 || megabits == 0)
        broken("a number that cannot be");
    if (fd < 0 || setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &cut, sizeof cut) != 0)
        broken("a socket: %s", strerror(errno));
    for (host = 0; host < hosts; host++)
        to[host] = address_of(network, host + 1, port);
    bytes = fill(word(argc, argv, "start"), size);
    each = bytes / size * (size + ON_THE_LINE) * 8000 / megabits;
    prctl(PR_SET_TIMERSLACK, 1);
    say("{\"ready\":0}");
    for (host = 0; wait_until(due) && now_ns() < end_at; host++, due += each)
        /* Where nobody listens the host may say so: that is for this socket to forget. */
        if (sendto(fd, batch, bytes, 0, (struct sockaddr *)&to[host % hosts], sizeof *to) < 0
            && errno != ENOBUFS && errno != ECONNREFUSED)
            broken("sendto: %s", strerror(errno));
    return 0;
}
