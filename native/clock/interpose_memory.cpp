// Shared memory objects: their names are written down, because a group that is ended by force cannot remove
// them.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "interpose.h"
#include "raw.h"
#include "real.h"
#include "slot.h"

namespace revati::clock {
namespace {

// To `shared` in the session directory, which the launcher reads when the session ends: one name a line.
void write_down(const char* name) {
    const char* session = getenv("REVATI_SESSION");
    if (page == nullptr || session == nullptr) return;
    char path[512];
    char line[300];
    const int path_bytes = snprintf(path, sizeof path, "%s/shared", session);
    const int line_bytes = snprintf(line, sizeof line, "%s\n", name);
    if (path_bytes >= static_cast<int>(sizeof path) || line_bytes >= static_cast<int>(sizeof line)) return;
    const long file =
        raw_syscall(SYS_openat, AT_FDCWD, to_arg(path), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return;
    raw_syscall(SYS_write, file, to_arg(line), line_bytes);
    raw_syscall(SYS_close, file);
}

}  // namespace
}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE int shm_open(const char* name, int flags, mode_t mode) {
    const int descriptor = real::shm_open(name, flags, mode);
    // Without O_EXCL it may have been there before: not ours to remove.
    constexpr int created = O_CREAT | O_EXCL;
    if (descriptor >= 0 && (flags & created) == created) {
        const int error = errno;
        write_down(name);
        errno = error;
    }
    return descriptor;
}
