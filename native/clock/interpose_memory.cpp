// Shared memory objects: their names are written down, because a group that is ended by force cannot remove
// them. Machines share none, so on nodes but the first the names are others: programs find out by it whether
// they are on one machine (vLLM's in_the_same_node_as).
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "interpose.h"
#include "raw.h"
#include "real.h"
#include "slot.h"

namespace revati::clock {
namespace {

// Without O_EXCL it may have been there before: not ours to remove.
bool creates(int flags) {
    constexpr int both = O_CREAT | O_EXCL;
    return (flags & both) == both;
}

// To `shared` in the session directory, which the launcher reads when the session ends: one file of /dev/shm
// a line.
void write_down(const char* prefix, const char* name) {
    const char* session = getenv("REVATI_SESSION");
    if (page == nullptr || session == nullptr) return;
    char path[512];
    char line[300];
    const int path_bytes = snprintf(path, sizeof path, "%s/shared", session);
    const int line_bytes = snprintf(line, sizeof line, "%s%s\n", prefix, name);
    if (path_bytes >= static_cast<int>(sizeof path) || line_bytes >= static_cast<int>(sizeof line)) return;
    const long file =
        raw_syscall(SYS_openat, AT_FDCWD, to_arg(path), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return;
    raw_syscall(SYS_write, file, to_arg(line), line_bytes);
    raw_syscall(SYS_close, file);
}

class NodeName {
  public:
    explicit NodeName(const char* name) : name_(name) {
        const uint32_t node = page != nullptr && self.process != nullptr ? self.process->node.load() : 0;
        if (node == 0) return;
        if (snprintf(text_, sizeof text_, "%s@node%u", name, node) < static_cast<int>(sizeof text_))
            name_ = text_;
    }
    const char* get() const { return name_; }

  private:
    const char* name_;
    char text_[256];
};

}  // namespace
}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE int shm_open(const char* name, int flags, mode_t mode) {
    const NodeName here(name);
    const int descriptor = real::shm_open(here.get(), flags, mode);
    if (descriptor >= 0 && creates(flags)) {
        const int error = errno;
        write_down("", here.get() + strspn(name, "/"));
        errno = error;
    }
    return descriptor;
}

REVATI_INTERPOSE int shm_unlink(const char* name) {
    return real::shm_unlink(NodeName(name).get());
}

REVATI_INTERPOSE sem_t* sem_open(const char* name, int flags, ...) {
    if ((flags & O_CREAT) == 0) return real::sem_open(name, flags, 0, 0);
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = va_arg(arguments, mode_t);
    const unsigned value = va_arg(arguments, unsigned);
    va_end(arguments);
    sem_t* semaphore = real::sem_open(name, flags, mode, value);
    if (semaphore != SEM_FAILED && creates(flags)) {
        const int error = errno;
        write_down("sem.", name + strspn(name, "/"));
        errno = error;
    }
    return semaphore;
}
