/* evs_self_get: which processor, which session. */
#include "check.h"

int main(void)
{
    struct evs_processor self, again;
    uint64_t client = 0, other_client = 0;
    evs_handle_t handle, other;

    begin();
    OK(evs_initialize(&handle, NULL));
    OK(evs_self_get(handle, &self, &client));
    CHECK_EQ(self.nodeid, 1);
    CHECK(self.incarnation != 0);
    OK(evs_self_get(handle, NULL, NULL));

    /* Another session of the same processor is another client. */
    OK(evs_initialize(&other, NULL));
    OK(evs_self_get(other, &again, &other_client));
    CHECK(again.nodeid == self.nodeid && again.incarnation == self.incarnation);
    CHECK(other_client != client);
    OK(evs_finalize(other));

    /* It needs no daemon; one that was started again is another processor. */
    control("kill 1");
    OK(evs_self_get(handle, &again, NULL));
    CHECK(again.incarnation == self.incarnation);
    control("start 1");
    OK(evs_initialize(&other, NULL));
    OK(evs_self_get(other, &again, NULL));
    CHECK(again.nodeid == 1 && again.incarnation != self.incarnation);
    OK(evs_finalize(other));
    OK(evs_finalize(handle));
    CHECK_EQ(evs_self_get(handle, &again, NULL), CS_ERR_BAD_HANDLE);
    return passed();
}
