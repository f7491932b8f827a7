/* evs_why_get: why a configuration came about, by what all its members saw. */
#include "check.h"

static struct evs_ring current;
static size_t members;
static evs_handle_t handle;

static void on_regular(evs_handle_t of, const struct evs_regular *regular)
{
    (void)of;
    current = regular->ring;
    members = regular->members.count;
}

/* The record of a configuration, in a buffer of exactly its size. */
static char *why(const struct evs_ring *ring)
{
    char *json = NULL;
    size_t size = 0;
    cs_error_t error;

    while ((error = evs_why_get(handle, ring, json, &size)) == CS_ERR_NO_SPACE) {
        CHECK(size > 0);
        json = realloc(json, size);
        CHECK(json != NULL);
    }
    OK(error);
    CHECK_EQ(strlen(json) + 1, size);
    return json;
}

int main(void)
{
    evs_typed_callbacks_t callbacks = {NULL, on_regular, NULL, NULL};
    struct evs_ring other;
    char *json, byte = 'x';
    size_t size = 0;

    begin();
    CHECK_EQ(evs_why_get(0, &current, NULL, &size), CS_ERR_BAD_HANDLE);
    OK(evs_typed_initialize(&handle, &callbacks, sizeof callbacks, NULL));
    while (members == 0)
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    json = why(&current);
    CHECK(strstr(json, "\"kind\":\"started\"") != NULL);
    free(json);

    CHECK_EQ(evs_why_get(handle, NULL, NULL, &size), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_why_get(handle, &current, NULL, NULL), CS_ERR_INVALID_PARAM);
    size = 1;
    CHECK_EQ(evs_why_get(handle, &current, NULL, &size), CS_ERR_INVALID_PARAM);
    CHECK_EQ(evs_why_get(handle, &current, &byte, &size), CS_ERR_NO_SPACE);
    CHECK(size > 1 && byte == 'x');
    other = current;
    other.seq += 1000;
    CHECK_EQ(evs_why_get(handle, &other, NULL, &size), CS_ERR_INVALID_PARAM);
    size = 0;
    CHECK_EQ(evs_why_get(handle, &other, NULL, &size), CS_ERR_NOT_EXIST);
    other = current;
    other.representative.nodeid = 0;
    CHECK_EQ(evs_why_get(handle, &other, NULL, &size), CS_ERR_INVALID_PARAM);

    /* It can be asked as soon as the event is there; what the other one saw comes after it. */
    control("kill 3");
    while (members != 2)
        OK(evs_dispatch(handle, CS_DISPATCH_ONE));
    for (;;) {
        json = why(&current);
        if (strstr(json, "\"kind\":\"died\"") != NULL)
            break;
        free(json);
    }
    CHECK(strstr(json, "\"noticed_by\":[{") != NULL);
    free(json);

    control("pause 1");
    CHECK_EQ(evs_why_get(handle, &current, NULL, &size), CS_ERR_TIMEOUT);
    control("resume 1");

    control("kill 1");
    size = 0;
    CHECK_EQ(evs_why_get(handle, &current, NULL, &size), CS_ERR_LIBRARY);
    OK(evs_finalize(handle));
    return passed();
}
