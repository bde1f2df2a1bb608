#include "device/launch_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>
#include <unordered_map>

#include "cost/model.h"
#include "cost/question.h"
#include "device/device.h"
#include "device/log.h"
#include "device/session.h"

namespace revati::device {
namespace {

struct Log {
    std::string folder;
    std::mutex mutex;
    int fd = -1;
    std::unordered_map<std::string, uint32_t> known;  // description -> number, from 1
    std::atomic<uint64_t> replays{0};

    void open_file();
    void write_line(const std::string& line);
};

Log* current = nullptr;

// The child gets a file and numbers of its own. What the parent's other threads held stays as it is.
void start_again_after_fork() {
    auto* const fresh = new Log;
    fresh->folder = current->folder;
    current = fresh;
}

bool start() {
    const char* const folder = std::getenv("REVATI_LAUNCH_LOG");
    if (folder == nullptr || *folder == '\0' || !in_session()) return false;
    current = new Log;
    current->folder = folder;
    cost::keep_questions(true);
    on_fork_in_child(start_again_after_fork);
    return true;
}

void Log::open_file() {
    const std::string path = folder + "/launches." + std::to_string(getpid()) + ".jsonl";
    fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) {
        fail_closed(
            "revati: the launch log %s cannot be written: make the folder that REVATI_LAUNCH_LOG names",
            path.c_str());
    }
}

// One write for a line, so that nothing is lost when the process is killed.
void Log::write_line(const std::string& line) {
    if (fd < 0) open_file();
    if (write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
        fail_closed("revati: the launch log in %s cannot be written: is the disk full?", folder.c_str());
}

uint32_t number_of(const cost::Launched& launched, const cost::Duration& duration) {
    Log& target = *current;
    std::string text = cost::describe(cost::take_question(duration), launched);
    text += std::string(", \"source\": \"") + cost::name_of(duration.source) + "\"";
    text += ", \"ns\": " + std::to_string(duration.ns);
    const std::lock_guard<std::mutex> lock(target.mutex);
    const auto [entry, is_new] =
        target.known.emplace(std::move(text), static_cast<uint32_t>(target.known.size()) + 1);
    if (is_new) target.write_line("{\"id\": " + std::to_string(entry->second) + ", " + entry->first + "}\n");
    return entry->second;
}

}  // namespace

bool launch_log_on() {
    static const bool on = start();
    return on;
}

uint32_t describe_kernel(const Kernel& kernel, const LaunchConfig& config, const cost::Duration& duration) {
    if (!launch_log_on()) return 0;
    const uint32_t grid[] = {config.grid.x, config.grid.y, config.grid.z};
    const uint32_t block[] = {config.block.x, config.block.y, config.block.z};
    return number_of({kernel.name.c_str(), grid, block, config.shared_bytes}, duration);
}

uint32_t describe_call(const char* label, const cost::Duration& duration) {
    if (!launch_log_on()) return 0;
    return number_of({label, nullptr, nullptr, 0}, duration);
}

void log_work(const Stream* stream, uint32_t description, int64_t ns, uint64_t replay) {
    if (description == 0) return;
    const std::string line = "[" + std::to_string(stream->device()) + ", " + std::to_string(stream->id()) +
                             ", " + std::to_string(description) + ", " + std::to_string(replay) + ", " +
                             std::to_string(ns) + "]\n";
    const std::lock_guard<std::mutex> lock(current->mutex);
    current->write_line(line);
}

uint64_t next_replay() {
    return launch_log_on() ? current->replays.fetch_add(1) + 1 : 0;
}

}  // namespace revati::device
