/* evs_version_get: it needs no daemon. */
#include "check.h"

int main(void)
{
    struct evs_version version;

    begin();
    CHECK_EQ(evs_version_get(NULL), CS_ERR_INVALID_PARAM);
    memset(&version, 0xff, sizeof version);
    OK(evs_version_get(&version));
    CHECK_EQ(version.interface, EVS_EXT_INTERFACE);
    CHECK_EQ(version.protocol, 3);
    CHECK(version.library_major < 100 && version.library_minor < 100);
    CHECK(version.library_patch < 100);
    return passed();
}
