// Which threads' descriptors are ready: asked of the kernel in one call for all of them (watched_files.h).
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "../page.h"

namespace revati::clock {

class FileWatch {
  public:
    // Ends the program with a message if the session directory takes no socket.
    FileWatch(Page& page, const std::string& session);

    // Nobody may be running. Whoever waits for descriptors of which one is ready is ready from now on.
    void collect();
    void forget(uint32_t slot);

    static void remove(const std::string& session);

  private:
    void receive();

    Page& page_;
    int socket_ = -1;
    int all_ = -1;  // the set of all sets
    uint32_t received_ = 0;
    std::array<int, max_slots> sets_;
};

}  // namespace revati::clock
