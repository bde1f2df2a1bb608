// Files of the session directory, seen from native code.
#pragma once

#include <cstddef>

namespace revati::device {

// Maps `$REVATI_SESSION/<name>` shared and writable, creating it with `bytes` zero bytes if it is new. Null
// on failure.
void* map_session_file(const char* name, size_t bytes);
// Appends one line to `$REVATI_SESSION/<name>`; outside a session does nothing.
void append_session_line(const char* name, const char* text);
// Runs `handler` in every forked child, in the order of registration.
void on_fork_in_child(void (*handler)());

}  // namespace revati::device
