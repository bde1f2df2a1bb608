// Where and how the threads of an armed group run: on one CPU if the coordinator has chosen one, and above
// the coordinator itself where the host permits that.
#pragma once

namespace revati::clock {

// Members take turns among themselves, so that none that watches memory keeps another from writing it. That
// the coordinator is below all of them is what proves, when it runs, that none of them can.
constexpr int coordinator_priority = 1;
constexpr int member_priority = 2;

// The calling thread takes the place that the group has; before arming there is none.
void follow_scheduling();

}  // namespace revati::clock
