#include "device/log.h"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <string>
#include <unordered_set>

#include "device/device.h"
#include "device/session.h"

namespace revati::device {
namespace {

std::string formatted(const char* format, va_list arguments) {
    char buffer[2048];
    vsnprintf(buffer, sizeof buffer, format, arguments);
    return buffer;
}

void write_log(const std::string& text) {
    append_session_line(("log." + std::to_string(getpid())).c_str(), text.c_str());
}

void write_log_once(const std::string& text) {
    static std::mutex* const mutex = new std::mutex;
    static auto* const seen = new std::unordered_set<std::string>;
    {
        const std::lock_guard<std::mutex> lock(*mutex);
        if (!seen->insert(text).second) return;
    }
    write_log(text);
}

}  // namespace

void log_line(const char* format, ...) {
    if (!in_session()) return;
    va_list arguments;
    va_start(arguments, format);
    const std::string text = formatted(format, arguments);
    va_end(arguments);
    write_log(text);
}

void log_once(const char* format, ...) {
    if (!in_session()) return;
    va_list arguments;
    va_start(arguments, format);
    const std::string text = formatted(format, arguments);
    va_end(arguments);
    write_log_once(text);
}

void fail_closed(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const std::string text = formatted(format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n%s\n", text.c_str());
    fflush(stderr);
    append_session_line(("fatal." + std::to_string(getpid())).c_str(), text.c_str());
    _exit(fail_closed_exit_code);
}

}  // namespace revati::device

int revati_unsupported(const char* library, const char* name, int code) {
    revati::device::log_once("unsupported: %s (%s) was called and answered %d", name, library, code);
    return code;
}
