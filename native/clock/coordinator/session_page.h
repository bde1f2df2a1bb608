// Making and finding a session's page.
#pragma once

#include <map>
#include <string>

#include "../page.h"

namespace revati::clock {

enum class Scheduler { automatic, fair, fifo };

struct SessionOptions {
    Mode mode = Mode::modelled;
    bool serial = true;
    uint32_t cpus = 2;
    uint32_t clients = 0;
    Scheduler scheduler = Scheduler::automatic;
    bool pin = true;  // to one CPU, where that pays
    bool record = false;
    Costs costs = {1'000, 500, 50, 500, 20'000, 1.0, {}, {}};
};

std::string page_path(const std::string& session);
// Both end the program with a message when they cannot.
Page* create_page(const std::string& session, const SessionOptions& options);
Page* open_page(const std::string& session);

// Takes its files away; the session directory is its maker's.
void remove_page(const std::string& session);

// "name=value" for a field of Costs; false: no such field or no number.
bool set_cost(Costs& costs, const std::string& assignment);

}  // namespace revati::clock
