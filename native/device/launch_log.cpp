#include "device/launch_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "cost/model.h"
#include "device/device.h"
#include "device/log.h"
#include "device/recording.h"
#include "device/session.h"

namespace revati::device {
namespace {

struct Log {
    std::string folder;
    std::mutex mutex;
    int fd = -1;
    std::vector<bool> described;  // by number
    std::atomic<uint64_t> replays{0};

    void open_file();
    void write_line(const std::string& line);
};

Log* current = nullptr;

// The child gets a file of its own. What the parent's other threads held stays as it is.
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

}  // namespace

bool launch_log_on() {
    static const bool on = start();
    return on;
}

std::string launch_log_text(const cost::Question& question, const cost::Launched& launched) {
    return cost::describe(question, launched) + ", \"source\": \"" + cost::name_of(question.answer.source) +
           "\", \"ns\": " + std::to_string(question.answer.ns);
}

void log_work(const Stream* stream, uint32_t number, uint64_t replay) {
    if (number == 0) return;
    const Description& known = *description(number);
    const std::string id = std::to_string(number);
    const std::string line = "[" + std::to_string(stream->device()) + ", " + std::to_string(stream->id()) +
                             ", " + id + ", " + std::to_string(replay) + ", " +
                             std::to_string(known.duration.ns) + "]\n";
    const std::lock_guard<std::mutex> lock(current->mutex);
    if (current->described.size() <= number) current->described.resize(number + 1);
    if (!current->described[number]) {
        current->described[number] = true;
        current->write_line("{\"id\": " + id + ", " + known.text + "}\n");
    }
    current->write_line(line);
}

uint64_t next_replay() {
    return current->replays.fetch_add(1) + 1;
}

}  // namespace revati::device
