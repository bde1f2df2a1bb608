#include "device/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace revati::device {

// Field 22 of /proc/<pid>/stat.
uint64_t start_time_of(int64_t pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", static_cast<long>(pid));
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    const ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return 0;
    text[length] = '\0';
    const char* field = strrchr(text, ')');
    if (field == nullptr || field[2] == 'Z' || field[2] == 'X') return 0;
    for (int index = 2; index < 22 && field != nullptr; ++index) field = strchr(field + 1, ' ');
    return field == nullptr ? 0 : strtoull(field + 1, nullptr, 10);
}

}  // namespace revati::device
