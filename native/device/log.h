// How native code speaks to its user: warnings once, fail-closed stops loudly.
#pragma once

#include "device/export.h"

namespace revati::device {

// Appends one line to `$REVATI_SESSION/log.<pid>`. Does nothing outside a session.
REVATI_API void log_line(const char* format, ...) __attribute__((format(printf, 1, 2)));

// As log_line, but each distinct text only once per process.
REVATI_API void log_once(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Fail closed: writes the text to stderr and `$REVATI_SESSION/fatal.<pid>`, and ends the process with exit
// code 86. The text must name the kernel or symbol and say what the user can do.
[[noreturn]] REVATI_API void fail_closed(const char* format, ...) __attribute__((format(printf, 1, 2)));

constexpr int fail_closed_exit_code = 86;

}  // namespace revati::device

extern "C" {
// A call of something that we do not implement: logged once per symbol and process; returns `code`, the
// library's own "not supported".
REVATI_API int revati_unsupported(const char* library, const char* name, int code);
}
