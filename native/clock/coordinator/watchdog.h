// Says who waits for what, and ends the group.
#pragma once

#include <cstdio>
#include <string>

#include "../page.h"

namespace revati::clock {

constexpr int exit_code_group_ended = 87;

// One line per thread: process, name, state, what it waits for and until when.
void explain(const Page& page, FILE* out);

// Kills every member, says why on stderr and in the session directory.
void end_group(Page& page, const std::string& session, const std::string& why);

// One line of JSON: virtual time, speed, releases, who is running.
void print_status(const Page& page, FILE* out);

// One line of JSON per thread: process, state, what it waits for, and how often it has waited.
void print_threads(const Page& page, FILE* out);

}  // namespace revati::clock
