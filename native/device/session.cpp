#include "device/session.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "device/device.h"
#include "device/log.h"

namespace revati::device {
namespace {

const char* directory_from_environment() {
    const char* value = std::getenv("REVATI_SESSION");
    // A copy, since programs may change their environment.
    return value != nullptr && value[0] == '/' ? strdup(value) : nullptr;
}

SessionSpec load_spec() {
    SessionSpec spec;
    if (session_directory() == nullptr) return spec;
    const std::string path = std::string(session_directory()) + "/device.conf";
    std::ifstream file(path);
    if (!file) fail_closed("revati: cannot read %s; start the command through `revati run`", path.c_str());
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::string error;
    if (!parse_session_spec(text, &spec, &error)) {
        fail_closed(
            "revati: %s (in %s); the launcher and the native library may be of different versions: run `make "
            "setup`",
            error.c_str(), path.c_str());
    }
    return spec;
}

}  // namespace

const char* session_directory() {
    static const char* const directory = directory_from_environment();
    return directory;
}

bool in_session() {
    return session_directory() != nullptr;
}

const SessionSpec& session_spec() {
    static const SessionSpec* const spec = new SessionSpec(load_spec());
    return *spec;
}

const GpuSpec& gpu() {
    return session_spec().gpu;
}

void* map_session_file(const char* name, size_t bytes) {
    if (!in_session()) return nullptr;
    const std::string path = std::string(session_directory()) + "/" + name;
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return nullptr;
    struct stat status;
    void* address = MAP_FAILED;
    // posix_fallocate rather than ftruncate: a full /dev/shm must be an error here and not a SIGBUS later.
    if (fstat(fd, &status) == 0 &&
        (status.st_size >= static_cast<off_t>(bytes) || posix_fallocate(fd, 0, bytes) == 0)) {
        address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    close(fd);
    return address == MAP_FAILED ? nullptr : address;
}

void append_session_line(const char* name, const char* text) {
    if (!in_session()) return;
    const std::string path = std::string(session_directory()) + "/" + name;
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return;
    const std::string line = std::string(text) + "\n";
    if (write(fd, line.data(), line.size()) < 0) {
        // The session directory may be gone already while a process ends; there is nobody left to tell.
    }
    close(fd);
}

void on_fork_in_child(void (*handler)()) {
    pthread_atfork(nullptr, nullptr, handler);
}

}  // namespace revati::device
