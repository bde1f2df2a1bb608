#include "device/trace_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstring>

#include "device/device.h"
#include "device/log.h"

namespace revati::device {
namespace {

constexpr uint32_t trace_version = 2;
constexpr size_t window_bytes = 4u << 20;
// The session lies in memory: a forgotten trace must not fill it.
constexpr uint64_t limit_bytes = 512ull << 20;

// True if the number was not in the set.
bool add(std::vector<bool>* set, uint32_t number) {
    if (set->size() <= number) set->resize(number + 1);
    const bool is_new = !(*set)[number];
    (*set)[number] = true;
    return is_new;
}

}  // namespace

TraceFile::TraceFile() {
    const std::string path = std::string(session_directory()) + "/trace." + std::to_string(getpid());
    fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd_ < 0) log_once("the trace %s cannot be written: this process is not traced", path.c_str());
    TraceRecord record{};
    record.kind = TraceKind::header;
    record.number = trace_version;
    record.values[0] = getpid();
    append(record);
}

void TraceFile::append(const TraceRecord& record) {
    if (used_ == window_bytes || window_ == nullptr) next_window();
    if (window_ == nullptr) return;
    memcpy(window_ + used_, &record, sizeof record);
    used_ += sizeof record;
}

void TraceFile::next_window() {
    if (window_ != nullptr) munmap(window_, window_bytes);
    window_ = nullptr;
    if (fd_ < 0) return;
    // posix_fallocate: a full /dev/shm is an error here and not a SIGBUS later.
    if (size_ + window_bytes > limit_bytes ||
        posix_fallocate(fd_, static_cast<off_t>(size_), window_bytes) != 0) {
        log_once("the trace of this process is full at %" PRIu64 " MiB: what came later is not in it",
                 size_ >> 20);
        close(fd_);
        fd_ = -1;
        return;
    }
    void* const address =
        mmap(nullptr, window_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, static_cast<off_t>(size_));
    if (address == MAP_FAILED) return;
    window_ = static_cast<char*>(address);
    size_ += window_bytes;
    used_ = 0;
}

uint32_t TraceFile::text_number(const std::string& text) {
    const auto [entry, is_new] = texts_.emplace(text, static_cast<uint32_t>(texts_.size()) + 1);
    if (!is_new) return entry->second;
    TraceRecord record{};
    record.kind = TraceKind::text;
    record.number = entry->second;
    record.values[0] = static_cast<int64_t>(text.size());
    append(record);
    for (size_t offset = 0; offset < text.size(); offset += sizeof(TraceRecord)) {
        TraceRecord piece{};
        memcpy(static_cast<void*>(&piece), text.data() + offset,
               std::min(sizeof piece, text.size() - offset));
        append(piece);
    }
    return entry->second;
}

void TraceFile::need_description(uint32_t number) {
    if (!add(&descriptions_, number)) return;
    const Description& known = *description(number);
    TraceRecord record{};
    record.kind = TraceKind::description;
    record.family = static_cast<uint8_t>(known.duration.family);
    record.source = static_cast<uint8_t>(known.duration.source);
    record.shape = static_cast<uint8_t>(known.shape.kind);
    record.number = number;
    record.values[0] = known.duration.ns;
    uint32_t confidence = 0;
    memcpy(&confidence, &known.duration.confidence, sizeof confidence);
    record.values[1] = static_cast<int64_t>(uint64_t{confidence} << 32 | uint64_t{text_number(known.label)});
    memcpy(&record.values[2], known.shape.values, sizeof known.shape.values);
    append(record);
}

void TraceFile::need_graph(uint32_t graph, const std::vector<uint32_t>& nodes) {
    if (!add(&graphs_, graph)) return;
    for (size_t index = 0; index < nodes.size(); ++index) {
        if (nodes[index] == 0) continue;
        need_description(nodes[index]);
        TraceRecord record{};
        record.kind = TraceKind::node;
        record.number = graph;
        record.values[0] = static_cast<int64_t>(index);
        record.values[1] = nodes[index];
        append(record);
    }
}

}  // namespace revati::device
