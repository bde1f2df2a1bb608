#include "effects/effects.h"

#include <cstdarg>
#include <cstdio>

#include "device/log.h"

namespace revati::effects {

void refuse(const Kernel& kernel, const char* format, ...) {
    char reason[512];
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof reason, format, list);
    va_end(list);
    device::fail_closed(
        "revati: the control-plane kernel '%s' cannot be computed: %s. The run stops here because its "
        "results would be wrong from now on. "
        "docs/effects.md lists what is known; please report the kernel's name with the framework and its "
        "version.",
        kernel.name.c_str(), reason);
}

}  // namespace revati::effects
