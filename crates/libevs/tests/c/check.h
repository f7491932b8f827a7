/*
 * What the test programs have in common: checks that are counted, and control over the cluster
 * that the program runs beside (tests/programs/mod.rs).
 */
#ifndef CHECK_H
#define CHECK_H

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <corosync/evs.h>
#include <evs/evs_ext.h>

static unsigned checks;

/* Fails at once, and says where. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            exit(1);                                                                               \
        }                                                                                          \
        __atomic_add_fetch(&checks, 1, __ATOMIC_RELAXED);                                          \
    } while (0)

/* The same for two numbers, which are shown. */
#define CHECK_EQ(left, right)                                                                      \
    do {                                                                                           \
        long long left_ = (long long)(left), right_ = (long long)(right);                          \
        if (left_ != right_) {                                                                     \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld (%s)\n", __FILE__, __LINE__, #left,       \
                    left_, right_, #right);                                                        \
            exit(1);                                                                               \
        }                                                                                          \
        __atomic_add_fetch(&checks, 1, __ATOMIC_RELAXED);                                          \
    } while (0)

#define OK(call) CHECK_EQ(call, CS_OK)

/* A number from the environment, or what it is without. */
static inline unsigned long setting(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoul(text, NULL, 10);
}

/* So many rounds; fewer where each of them takes far longer, as under valgrind. */
static inline unsigned scaled(unsigned rounds)
{
    unsigned long percent = setting("EVS_TEST_PERCENT", 100);
    return rounds * percent / 100 > 0 ? (unsigned)(rounds * percent / 100) : 1;
}

/* A program that hangs has failed. */
static inline void begin(void)
{
    alarm((unsigned)setting("EVS_TEST_SECONDS", 240));
}

static inline int passed(void)
{
    printf("%u checks passed\n", checks);
    return 0;
}

/* Asks for something to happen to the cluster, and waits until it has. */
static inline void control(const char *task)
{
    char answer[16] = "";
    printf("control: %s\n", task);
    fflush(stdout);
    if (fgets(answer, sizeof answer, stdin) == NULL || strcmp(answer, "ok\n") != 0) {
        fprintf(stderr, "not done: %s\n", task);
        exit(1);
    }
}

/* From now on sessions are opened with this node's daemon. */
static inline void use_node(unsigned node)
{
    char path[512];
    const char *dir = getenv("EVS_TEST_DIR");
    CHECK(dir != NULL);
    snprintf(path, sizeof path, "%s/%u/evsd.sock", dir, node);
    CHECK_EQ(setenv("EVS_SOCKET", path, 1), 0);
}

static inline struct evs_group group(const char *name)
{
    struct evs_group group;
    memset(&group, 0, sizeof group);
    memcpy(group.key, name, strlen(name));
    return group;
}

/* How many descriptors this process has. */
static inline unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* How many bytes this process has allocated and not freed, the library's included. */
static inline size_t allocated(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* A thread with a stack of 64 KiB; what AddressSanitizer puts on it comes on top. */
static inline pthread_t small_thread(void *(*run)(void *), void *argument)
{
#ifdef __SANITIZE_ADDRESS__
    size_t stack = 256 << 10;
#else
    size_t stack = 64 << 10;
#endif
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    CHECK_EQ(pthread_attr_setstacksize(&attributes, stack), 0);
    CHECK_EQ(pthread_create(&thread, &attributes, run, argument), 0);
    pthread_attr_destroy(&attributes);
    return thread;
}

/* Its end, and the number that it returned. */
static inline cs_error_t ended(pthread_t thread)
{
    void *result;
    CHECK_EQ(pthread_join(thread, &result), 0);
    return (cs_error_t)(size_t)result;
}

/* The last thing before a call that waits: from here on any wait of this thread is that call's. */
static inline void enter(pid_t *thread)
{
    __atomic_store_n(thread, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
}

static inline int is_poll(long number)
{
#ifdef SYS_poll
    if (number == SYS_poll)
        return 1;
#endif
    return number == SYS_ppoll;
}

/* Waits until a thread that has entered its call stands still in poll(2): a dispatch has then found
 * nothing to do, and waits. */
static inline void until_it_waits(const pid_t *thread)
{
    char path[64];
    long number = -1;

    while (__atomic_load_n(thread, __ATOMIC_ACQUIRE) == 0)
        sched_yield();
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", (int)*thread);
    while (!is_poll(number)) {
        FILE *file = fopen(path, "r");
        CHECK(file != NULL);
        /* One that runs has the word "running" there instead of a system call's number. */
        if (fscanf(file, "%ld", &number) != 1)
            number = -1;
        fclose(file);
        sched_yield();
    }
}

static inline double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Whether a descriptor is readable within so many milliseconds. */
static inline int readable(int fd, int timeout_ms)
{
    struct pollfd entry = {fd, POLLIN, 0};
    int ready;
    do
        ready = poll(&entry, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    CHECK(ready >= 0 && (entry.revents & POLLNVAL) == 0);
    return ready;
}

static inline cs_error_t mcast(evs_handle_t handle, const struct evs_group *to, size_t groups,
                               const void *bytes, size_t size)
{
    struct iovec part;
    part.iov_base = (void *)(size_t)bytes;
    part.iov_len = size;
    return evs_mcast_groups(handle, EVS_TYPE_AGREED, to, groups, &part, 1);
}

#endif
