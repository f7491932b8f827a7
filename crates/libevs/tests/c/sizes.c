/* R46, R48, R50 to R53, R60: every guarantee, shape and size, between two nodes. */
#include "check.h"

#define LIMIT (1u << 20)

static unsigned char *bytes;
static unsigned received;
static size_t size;
static unsigned sender;

static void deliver(hdb_handle_t handle, unsigned int nodeid, const void *msg, size_t msg_len)
{
    (void)handle;
    CHECK_EQ(nodeid, sender);
    CHECK_EQ(msg_len, size);
    CHECK(msg != NULL && (size_t)msg % 16 == 0);
    CHECK_EQ(memcmp(msg, bytes, size), 0);
    received++;
}

static evs_handle_t handles[2];
static struct evs_group here;

/* Sends on one node, receives on both. */
static void exchange(unsigned from, evs_guarantee_t guarantee, const struct iovec *parts,
                     unsigned count)
{
    cs_error_t error;
    int room, i;

    sender = from + 1;
    received = 0;
    OK(evs_room_fd_get(handles[from], &room));
    while ((error = evs_mcast_groups(handles[from], guarantee, &here, 1, parts, count)) ==
           CS_ERR_TRY_AGAIN)
        CHECK_EQ(readable(room, 10000), 1);
    CHECK_EQ(error, CS_OK);
    for (i = 0; i < 2; i++)
        while (received <= (unsigned)i)
            OK(evs_dispatch(handles[i], CS_DISPATCH_ONE));
    CHECK_EQ(received, 2);
}

static void send_one(unsigned from, evs_guarantee_t guarantee, size_t length)
{
    struct iovec part;
    part.iov_base = bytes;
    part.iov_len = size = length;
    exchange(from, guarantee, &part, 1);
}

int main(void)
{
    static const size_t sizes[] = {0,     1,     2,      7,      8,       63,      64,     1199,
                                   1200,  1300,  1399,   1400,   1401,    1472,    1500,   4096,
                                   65535, 65536, 511608, 511609, 1000000, 1025958, 1025959};
    evs_callbacks_t callbacks = {deliver, NULL};
    struct iovec parts[1024];
    unsigned i;

    begin();
    here = group("here");
    bytes = (unsigned char *)malloc(LIMIT);
    CHECK(bytes != NULL);
    for (i = 0; i < LIMIT; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 24);
    for (i = 0; i < 2; i++) {
        use_node(i + 1);
        OK(evs_initialize(&handles[i], &callbacks));
        OK(evs_dispatch(handles[i], CS_DISPATCH_ALL));
        OK(evs_join(handles[i], &here, 1));
    }

    /* R46, R48, R52, R53, R60 */
    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        send_one(i % 2, (evs_guarantee_t)(i % 4), sizes[i]);
    for (i = 0; i < 4; i++)
        send_one(i % 2, (evs_guarantee_t)i, LIMIT);

    /* R48: no parts at all. */
    size = 0;
    exchange(0, EVS_TYPE_SAFE, NULL, 0);

    /* R50: empty parts among others. R51: as many as the system takes. */
    for (i = 0; i < 1024; i++) {
        parts[i].iov_base = i % 3 == 0 ? NULL : bytes + i / 3 * 14 + (i % 3 - 1) * 7;
        parts[i].iov_len = i % 3 == 0 ? 0 : 7;
    }
    size = 7 * (1024 - 342);
    exchange(1, EVS_TYPE_AGREED, parts, 1024);
    size = 7 * 2;
    exchange(0, EVS_TYPE_FIFO, parts, 3);
    size = 0;
    exchange(0, EVS_TYPE_UNORDERED, parts, 1);

    for (i = 0; i < 2; i++)
        OK(evs_finalize(handles[i]));
    free(bytes);
    return passed();
}
