#include "session_page.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../lifeline.h"
#include "../raw.h"
#include "file_watch.h"

namespace revati::clock {
namespace {

[[noreturn]] void fail(const std::string& what) {
    fprintf(stderr, "revati-clockd: %s: %s\n", what.c_str(), strerror(errno));
    exit(1);
}

Page* map_page(int fd, const std::string& path) {
    void* memory = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) fail("cannot map " + path);
    return static_cast<Page*>(memory);
}

uint32_t allowed_cpus() {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<uint32_t>(CPU_COUNT(&set)) : 1;
}

int64_t read_clock(clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return to_ns(t);
}

// Never closed: the end of the last process that has it is what members notice.
void hold_lifeline(const std::string& session) {
    const std::string path = session + "/" + lifeline_name;
    if (mkfifo(path.c_str(), 0600) != 0 || open(path.c_str(), O_RDWR | O_CLOEXEC) < 0)
        fail("cannot create " + path);
}

}  // namespace

std::string page_path(const std::string& session) {
    return session + "/clock";
}

void remove_page(const std::string& session) {
    unlink(page_path(session).c_str());
    unlink((session + "/" + lifeline_name).c_str());
    FileWatch::remove(session);
}

Page* create_page(const std::string& session, const SessionOptions& options) {
    const std::string path = page_path(session);
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) fail("cannot create " + path);
    if (ftruncate(fd, sizeof(Page)) != 0) fail("cannot size " + path);
    Page* page = map_page(fd, path);  // all zero: every slot is free
    page->slot_bytes = sizeof(Slot);
    page->mode = options.mode;
    page->serial = options.serial && options.mode == Mode::modelled ? 1 : 0;
    page->costs = options.costs;
    page->cpus = options.cpus;
    page->host_cpus = allowed_cpus();
    page->record = options.record ? 1 : 0;
    page->real_start_ns = read_clock(CLOCK_MONOTONIC);
    page->shift_ns.store(monotonic_origin_ns - page->real_start_ns);
    page->clients_wanted.store(options.clients);
    hold_lifeline(session);
    page->magic = page_magic;
    return page;
}

Page* open_page(const std::string& session) {
    const std::string path = page_path(session);
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) fail("no clock runs in session " + session + " (" + path + ")");
    Page* page = map_page(fd, path);
    if (page->magic == page_magic && page->slot_bytes == sizeof(Slot)) return page;
    fprintf(stderr, "revati-clockd: %s was made by another version\n", path.c_str());
    exit(1);
}

namespace {

constexpr const char* role_names[roles] = {"engine", "engine_io", "server", "server_io", "client"};
constexpr const char* event_names[host_events] = {"launch", "library", "graph_launch", "copy",
                                                  "fill",   "event",   "sync",         "wake",
                                                  "resume", "receive", "send",         "signal"};

template <size_t n>
size_t index_of(const char* const (&names)[n], const std::string& name) {
    return static_cast<size_t>(std::find(names, names + n, name) - names);
}

// "driver.EVENT_ns", "ROLE.EVENT_ns" or "ROLE.EVENT_kib_ns".
int64_t* find_host_price(Costs& costs, const std::string& name) {
    const size_t dot = name.find('.');
    if (dot == std::string::npos) return nullptr;
    const std::string who = name.substr(0, dot);
    std::string event = name.substr(dot + 1);
    const auto strip = [&event](const std::string& end) {
        if (event.size() <= end.size() || event.compare(event.size() - end.size(), end.size(), end) != 0)
            return false;
        event.resize(event.size() - end.size());
        return true;
    };
    const bool per_kib = strip("_kib_ns");
    if (!per_kib && !strip("_ns")) return nullptr;
    const size_t kind = index_of(event_names, event);
    const size_t role = index_of(role_names, who);
    if (kind == host_events) return nullptr;
    if (who == "driver") return per_kib ? nullptr : &costs.driver_ns[kind];
    if (role == roles) return nullptr;
    HostPrice& price = costs.work[role][kind];
    return per_kib ? &price.kib_ns : &price.event_ns;
}

}  // namespace

bool set_cost(Costs& costs, const std::string& assignment) {
    const std::map<std::string, int64_t*> fields = {{"send_ns", &costs.send_ns},
                                                    {"signal_ns", &costs.signal_ns},
                                                    {"clock_ns", &costs.clock_ns},
                                                    {"poll_ns", &costs.poll_ns},
                                                    {"quantum_ns", &costs.quantum_ns}};
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos) return false;
    const std::string name = assignment.substr(0, equals);
    const char* text = assignment.c_str() + equals + 1;
    char* end = nullptr;
    if (name == "cpu_factor") {
        costs.cpu_factor = strtod(text, &end);
        return end != text && *end == '\0' && costs.cpu_factor > 0;
    }
    const auto field = fields.find(name);
    int64_t* const value = field != fields.end() ? field->second : find_host_price(costs, name);
    if (value == nullptr) return false;
    *value = strtoll(text, &end, 10);
    return end != text && *end == '\0' && *value >= 0;
}

}  // namespace revati::clock
