// The file behind trace.h.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "device/trace.h"

namespace revati::device {

// Of one process. Its methods want `mutex` held.
class TraceFile {
  public:
    TraceFile();
    TraceFile(const TraceFile&) = delete;

    std::mutex mutex;

    void append(const TraceRecord& record);
    // Writes what a number refers to, unless the file has it.
    void need_description(uint32_t number);
    void need_graph(uint32_t graph, const std::vector<uint32_t>& nodes);

  private:
    void next_window();
    uint32_t text_number(const std::string& text);

    int fd_ = -1;
    char* window_ = nullptr;
    size_t used_ = 0;
    uint64_t size_ = 0;
    std::vector<bool> descriptions_, graphs_;  // by number: written
    std::unordered_map<std::string, uint32_t> texts_;
};

}  // namespace revati::device
