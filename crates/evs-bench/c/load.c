/*
 * The load generator: one client, compiled once for each system (api_*.c). It joins a group, sends
 * if it is one of the senders, and checks that every message of every sender arrives whole and in
 * order. What it is to do stands on the command line:
 *
 *   node=1 nodes=3 senders=1 group=NAME workload=throughput|latency|rate|stall|watch
 *   size=BYTES guarantee=agreed|safe warm_ms=MS run_ms=MS rate=PER_SECOND
 *
 * It prints lines of JSON: {"ready":…} once all are there, then waits for `go NANOSECONDS` (of the
 * monotonic clock) on its standard input, and at the end {"result":…}; {"cannot":…} where the
 * system does not take such a message, {"broken":…} for anything else. A watcher prints
 * {"members":…,"at":…} for each configuration. All end when their standard input does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "api.h"
#include "tools.h"

#define NODES_MAX 64
#define LAST 1u

/* Where stalls are measured, messages of several packets go among the others. */
#define LARGE_EVERY 16
#define LARGE_BYTES 5000

/* Such a run lasts so much longer than its longest stall at least. */
#define BACK_NS 1000000000u

/* At most so much is sent before what has arrived is taken. */
#define BURST_MESSAGES 1024
#define BURST_BYTES (1 << 20)

struct head {
    uint32_t sender;
    uint32_t flags;
    uint64_t number;
    uint64_t stamp;
};

static enum { THROUGHPUT, LATENCY, RATE, STALL, WATCH } workload;
static uint64_t node, nodes, senders, size, warm_ms, run_ms, rate;
static enum api_guarantee guarantee;
static unsigned char *body;

static uint64_t members;
static uint64_t sent, delivered, own_delivered, finished;
static uint64_t from_sender[NODES_MAX + 1];
static uint64_t order = 0xcbf29ce484222325u;
static uint64_t begin_at, warm_at, end_at;
/* What is measured of throughput: from the first message after the warm-up to the last one. */
static uint64_t window_at, window_from, last_at;
/* The longest time without a message since the warm-up. */
static uint64_t gap;
static int started;

void on_members(size_t count, int whole)
{
    members = whole ? count : 0;
    if (workload == WATCH && whole)
        say("{\"members\":%zu,\"at\":%" PRIu64 "}", count, now_ns());
    if (started && workload != WATCH && whole && count != nodes)
        broken("the membership changed to %zu during the run", count);
    if (started && workload == STALL)
        broken("the configuration changed during the run");
}

static uint64_t size_of(uint64_t message)
{
    return workload == STALL && message % LARGE_EVERY == 0 ? LARGE_BYTES : size;
}

/* The last bytes of a message repeat its number, so that one that is cut or mixed is noticed. */
static void check_whole(const unsigned char *bytes, const struct head *head, size_t count)
{
    uint64_t tail, wanted = size_of(head->number);

    if (count != wanted)
        broken("a message of %zu bytes instead of %" PRIu64, count, wanted);
    if (head->sender == 0 || head->sender > senders)
        broken("a message of sender %u", head->sender);
    if (count >= sizeof *head + sizeof tail) {
        memcpy(&tail, bytes + count - sizeof tail, sizeof tail);
        if (tail != (head->number ^ count))
            broken("message %" PRIu64 " of %u is damaged", head->number, head->sender);
    }
}

/* A message has come: ends the time without one. */
static void end_gap(uint64_t now)
{
    uint64_t since = last_at > warm_at ? last_at : warm_at;

    last_at = now;
    if (now <= since || now - since <= gap)
        return;
    gap = now - since;
    if (end_at < now + BACK_NS)
        end_at = now + BACK_NS;
}

void on_message(const void *bytes, size_t count)
{
    struct head head;

    if (workload == WATCH)
        return;
    if (count < sizeof head)
        broken("a message of %zu bytes", count);
    memcpy(&head, bytes, sizeof head);
    check_whole(bytes, &head, count);
    if (head.number != from_sender[head.sender] + 1)
        broken("message %" PRIu64 " of %u came after %" PRIu64, head.number, head.sender,
               from_sender[head.sender]);
    from_sender[head.sender] = head.number;
    order = (order ^ ((uint64_t)head.sender << 56 ^ head.number)) * 0x100000001b3u;
    delivered++;
    own_delivered += head.sender == node;
    if (workload == STALL) {
        end_gap(now_ns());
    } else if (workload != THROUGHPUT) {
        uint64_t now = now_ns();

        if (head.stamp >= warm_at && !(head.flags & LAST))
            times_add(now - head.stamp);
        last_at = now;
    } else if (window_at == 0 && delivered % 16 == 0) {
        uint64_t now = now_ns();

        if (now >= warm_at) {
            window_at = now;
            window_from = delivered;
        }
    }
    if (head.flags & LAST) {
        finished++;
        last_at = now_ns();
    }
}

static void dispatch(void)
{
    if (api_dispatch() != API_OK)
        broken("dispatch: error %d", api_error());
}

/* Waits for something to dispatch, and dispatches; ends with the standard input. Returns whether
 * the time was up. */
static int wait_and_dispatch(int timeout_us)
{
    int ready;
    struct timespec timeout = {timeout_us / 1000000, timeout_us % 1000000 * 1000L};
    struct pollfd fds[2] = {{api_fd(), POLLIN, 0}, {STDIN_FILENO, started ? 0 : POLLIN, 0}};

    ready = ppoll(fds, 2, &timeout, NULL);
    if (ready < 0 && errno != EINTR)
        broken("poll: %s", strerror(errno));
    if (ready <= 0)
        return ready == 0;
    if (fds[1].revents & (POLLHUP | POLLERR))
        exit(0);
    if (fds[0].revents != 0)
        dispatch();
    return 0;
}

/* Returns whether it was taken. */
static int send_one(uint32_t flags, uint64_t stamp)
{
    struct head head = {(uint32_t)node, flags, sent + 1, stamp};
    uint64_t bytes = size_of(head.number), tail = head.number ^ bytes;

    memcpy(body, &head, sizeof head);
    if (bytes >= sizeof head + sizeof tail)
        memcpy(body + bytes - sizeof tail, &tail, sizeof tail);
    switch (api_send(body, bytes, guarantee)) {
    case API_OK:
        sent++;
        return 1;
    case API_AGAIN:
        return 0;
    case API_CANNOT:
        say("{\"cannot\":\"a message of %" PRIu64 " bytes is refused: error %d\"}", bytes,
            api_error());
        exit(0);
    default:
        broken("send: error %d", api_error());
    }
}

/* Waits as long as the system refuses. */
static void send_at_last(uint32_t flags, uint64_t stamp)
{
    while (!send_one(flags, stamp)) {
        uint64_t before = delivered;

        dispatch();
        if (delivered == before)
            wait_and_dispatch(1000);
    }
}

static void throughput(void)
{
    uint64_t burst = BURST_BYTES / size + 1;

    if (burst > BURST_MESSAGES)
        burst = BURST_MESSAGES;
    while (now_ns() < end_at) {
        uint64_t before = delivered, left = burst;

        while (left > 0 && send_one(0, 0))
            left--;
        dispatch();
        if (left > 0 && delivered == before)
            wait_and_dispatch(1000);
    }
}

/* One message in flight. */
static void latency(void)
{
    while (now_ns() < end_at) {
        send_at_last(0, now_ns());
        while (own_delivered < sent)
            wait_and_dispatch(100000);
    }
}

/* So many a second, whatever happens to those before. A message's time begins when it is due,
 * unless this process slept until then and was only woken late. */
static void at_rate(void)
{
    uint64_t due = begin_at, interval = 1000000000u / rate;

    while (due < end_at) {
        uint64_t now = now_ns();
        int slept = 0;

        while (now < due) {
            slept = wait_and_dispatch((int)((due - now) / 1000 + 1));
            now = now_ns();
        }
        send_at_last(0, slept ? now : due);
        due += interval;
    }
}

/* Waits for the line `go NANOSECONDS`. */
static void wait_for_go(void)
{
    char line[64] = "";
    size_t length = 0;

    while (length == 0 || line[length - 1] != '\n') {
        struct pollfd fds[2] = {{api_fd(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            broken("poll: %s", strerror(errno));
        if (fds[0].revents != 0)
            dispatch();
        if (fds[1].revents != 0) {
            if (length + 1 >= sizeof line || read(STDIN_FILENO, line + length, 1) != 1)
                exit(0);
            length++;
        }
    }
    if (sscanf(line, "go %" SCNu64, &begin_at) != 1)
        broken("not understood: %.20s", line);
    warm_at = begin_at + warm_ms * 1000000;
    end_at = warm_at + run_ms * 1000000;
    started = 1;
}

static void print_result(void)
{
    char times[256], shares[NODES_MAX * 24] = "";
    size_t at = 0;
    uint64_t sender;

    for (sender = 1; sender <= senders; sender++)
        at += (size_t)snprintf(shares + at, sizeof shares - at, "%s%" PRIu64,
                               sender > 1 ? "," : "", from_sender[sender]);
    times_print(times, sizeof times);
    say("{\"result\":{\"messages\":%" PRIu64 ",\"window_messages\":%" PRIu64
        ",\"window_ns\":%" PRIu64 ",\"order\":\"%016" PRIx64 "\",\"shares\":[%s]"
        ",\"gap_ns\":%" PRIu64 ",%s}}",
        delivered, window_at != 0 ? delivered - window_from : 0,
        window_at != 0 && last_at > window_at ? last_at - window_at : 0, order, shares,
        gap, times);
}

static void run(void)
{
    int sends = node <= senders;

    while (now_ns() < begin_at)
        wait_and_dispatch(1000);
    if (sends) {
        if (workload == THROUGHPUT)
            throughput();
        else if (workload == LATENCY)
            latency();
        else
            at_rate();
        send_at_last(LAST, now_ns());
    }
    while (finished < senders)
        wait_and_dispatch(100000);
}

static void parse(int argc, char **argv)
{
    static const char *const workloads[] = {"throughput", "latency", "rate", "stall", "watch"};
    const char *named = word(argc, argv, "workload");
    size_t i;

    for (i = 0; i < 5 && strcmp(named, workloads[i]) != 0; i++)
        ;
    if (i == 5)
        broken("workload=%s", named);
    workload = i;
    node = number(argc, argv, "node");
    nodes = number(argc, argv, "nodes");
    if (workload == WATCH)
        return;
    senders = number(argc, argv, "senders");
    size = number(argc, argv, "size");
    warm_ms = number(argc, argv, "warm_ms");
    run_ms = number(argc, argv, "run_ms");
    rate = number(argc, argv, "rate");
    guarantee = strcmp(word(argc, argv, "guarantee"), "safe") == 0 ? API_SAFE : API_AGREED;
    if (nodes > NODES_MAX || senders > nodes || size < sizeof(struct head) || rate == 0)
        broken("a number that cannot be");
    body = calloc(1, size > LARGE_BYTES ? size : LARGE_BYTES);
    if (body == NULL)
        broken("no memory for a message");
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    /* Timers ring when they are set for, not up to 50 microseconds later. */
    prctl(PR_SET_TIMERSLACK, 1);
    while (api_open(word(argc, argv, "group")) != API_OK) {
        struct pollfd end = {STDIN_FILENO, 0, 0};

        if (poll(&end, 1, 2) > 0)
            return 0;
    }
    while (workload == WATCH || members != nodes)
        wait_and_dispatch(100000);
    say("{\"ready\":%" PRIu64 "}", node);
    wait_for_go();
    run();
    print_result();
    started = 0;
    for (;;)
        wait_and_dispatch(100000);
}
