// Loops that look without end: empty polls, yields, clock reads. In virtual time such a loop must wait, or
// nothing moves.
//
// After a streak of looks without progress the thread blocks on everything that it looked at, with a deadline
// that backs off. A loop that watches memory has nothing to block on: the coordinator lets every spinner look
// again at the same virtual time before it moves on.
#pragma once

#include <poll.h>

namespace revati::clock {

enum class Look { clock, device, files, yield };

// A look that found nothing. May wait.
void spin_look(Look look);
// Remembers what an empty poll looked at, so that the next wait can include it.
void spin_watch(const pollfd* files, int count);
void spin_watch_epoll(int epoll_fd);
// The thread did something useful: the streak is over.
void spin_progress();

}  // namespace revati::clock
