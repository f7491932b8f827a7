/* R3: a thousand handles at once, ten thousand in succession, no descriptor and no memory left. */
#include <sys/resource.h>

#include "check.h"

#define AT_ONCE_MAX 1000
#define AT_ONCE scaled(AT_ONCE_MAX)
#define IN_SUCCESSION scaled(10000)

static evs_handle_t handles[AT_ONCE_MAX];

static void limit_descriptors(rlim_t limit)
{
    struct rlimit limits;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limits), 0);
    CHECK(limits.rlim_max >= limit);
    limits.rlim_cur = limit;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limits), 0);
}

int main(void)
{
    unsigned i, j, before;
    size_t memory;
    int fd;

    begin();
    OK(evs_initialize(&handles[0], NULL));
    OK(evs_finalize(handles[0]));
    before = descriptors();

    limit_descriptors(AT_ONCE * 8 + 64);
    for (i = 0; i < AT_ONCE; i++)
        OK(evs_initialize(&handles[i], NULL));
    for (i = 0; i < AT_ONCE; i++) {
        OK(evs_fd_get(handles[i], &fd));
        CHECK_EQ(readable(fd, 0), 1);
        OK(evs_dispatch(handles[i], CS_DISPATCH_ONE));
    }
    for (i = 0; i < AT_ONCE; i++)
        OK(evs_finalize(handles[i]));
    CHECK_EQ(descriptors(), before);

    memory = allocated();
    for (i = 0; i < IN_SUCCESSION; i++) {
        OK(evs_initialize(&handles[0], NULL));
        CHECK(handles[0] != handles[1]);
        OK(evs_finalize(handles[0]));
    }
    CHECK_EQ(descriptors(), before);
    CHECK(allocated() <= memory + 4096);

    /* Each number of free descriptors that is too small, down to none. */
    for (i = 0; i < 10; i++) {
        cs_error_t error = CS_OK;
        limit_descriptors(before + 40 + i);
        for (j = 0; error == CS_OK; j++)
            error = evs_initialize(&handles[j], NULL);
        CHECK_EQ(error, CS_ERR_NO_RESOURCES);
        CHECK(j > 1);
        while (--j > 0)
            OK(evs_finalize(handles[j - 1]));
    }
    limit_descriptors(1024);
    CHECK_EQ(descriptors(), before);
    OK(evs_initialize(&handles[0], NULL));
    OK(evs_finalize(handles[0]));
    return passed();
}
