// revati-clockd: serves a session's clock, and controls one that is being served.
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "../raw.h"
#include "coordinator.h"
#include "placement.h"
#include "session_page.h"
#include "watchdog.h"

namespace revati::clock {
namespace {

constexpr const char* usage =
    "usage: revati-clockd COMMAND --session DIR [OPTION...]\n"
    "  serve      run the session's clock; prints \"ready\" when programs may start. Time stays real until "
    "armed.\n"
    "               --mode modelled|cpu|wall   (default modelled)\n"
    "               --parallel                 modelled: threads of one moment run at the same time; faster, "
    "not reproducible\n"
    "               --clients N                virtual time stands still while fewer than N clients have "
    "come, and after the last left\n"
    "               --scheduler auto|fair|fifo fifo: real-time priority, where permitted; auto: where it "
    "pays "
    "(default)\n"
    "               --no-pin                   do not gather the group on one CPU\n"
    "               --cpus N                   CPUs that programs see in modelled time (default 2)\n"
    "               --cost NAME=VALUE          send_ns, signal_ns, clock_ns, poll_ns, quantum_ns, "
    "cpu_factor,\n"
    "                                          driver.EVENT_ns, ROLE.EVENT_ns, ROLE.EVENT_kib_ns "
    "(docs/host-costs.md)\n"
    "               --record                   write what threads do between waits to work.PID\n"
    "               --stuck-after SECONDS      real time without anything to do until the group is ended "
    "(default 60)\n"
    "               --arm                      virtual from the start\n"
    "               --nodes N                  machines that the session stands for (default 1)\n"
    "               --network-latency NS       of a TCP message from one of them to another\n"
    "               --network-bandwidth BYTES  per second, the same\n"
    "               --host N --agent FD        this host is node N; time moves as far as the host agent "
    "permits\n"
    "               --with-stdin               end when standard input closes: with whoever started it\n"
    "  arm        make time virtual; returns when it is\n"
    "  hold       let virtual time stand still\n"
    "  release    let it move again; --clients N as above\n"
    "  wind-down  the group is about to be ended: time moves without clients, and no death is an accident\n"
    "  status     one line of JSON\n"
    "  threads    one line of JSON per thread\n"
    "  explain    who waits for what\n"
    "  stop       end the clock, and every program still in the session\n";

struct Arguments {
    std::string command;
    std::string session;
    SessionOptions options;
    WatchdogLimits limits;
    bool arm = false;
    bool with_stdin = false;
    bool clients_given = false;
    NetworkOptions network;
    int agent_fd = -1;
};

[[noreturn]] void fail_usage(const std::string& what) {
    fprintf(stderr, "revati-clockd: %s\n%s", what.c_str(), usage);
    exit(2);
}

Mode parse_mode(const std::string& name) {
    if (name == "modelled") return Mode::modelled;
    if (name == "cpu") return Mode::cpu;
    if (name == "wall") return Mode::wall;
    fail_usage("no clock mode " + name);
}

Scheduler parse_scheduler(const std::string& name) {
    if (name == "auto") return Scheduler::automatic;
    if (name == "fair") return Scheduler::fair;
    if (name == "fifo") return Scheduler::fifo;
    fail_usage("no scheduler " + name);
}

Arguments parse(int count, char** words) {
    Arguments arguments;
    if (count < 2) fail_usage("no command");
    arguments.command = words[1];
    const char* session = getenv("REVATI_SESSION");
    if (session != nullptr) arguments.session = session;
    for (int i = 2; i < count; ++i) {
        const std::string word = words[i];
        const auto value = [&]() -> std::string {
            if (i + 1 >= count) fail_usage(word + " needs a value");
            return words[++i];
        };
        if (word == "--session") {
            arguments.session = value();
        } else if (word == "--mode") {
            arguments.options.mode = parse_mode(value());
        } else if (word == "--parallel") {
            arguments.options.serial = false;
        } else if (word == "--clients") {
            arguments.options.clients = static_cast<uint32_t>(strtoul(value().c_str(), nullptr, 10));
            arguments.clients_given = true;
        } else if (word == "--scheduler") {
            arguments.options.scheduler = parse_scheduler(value());
        } else if (word == "--no-pin") {
            arguments.options.pin = false;
        } else if (word == "--cpus") {
            arguments.options.cpus = static_cast<uint32_t>(strtoul(value().c_str(), nullptr, 10));
        } else if (word == "--cost") {
            const std::string assignment = value();
            if (!set_cost(arguments.options.costs, assignment))
                fail_usage("cannot read the cost " + assignment);
        } else if (word == "--stuck-after") {
            arguments.limits.stuck_ns = strtoll(value().c_str(), nullptr, 10) * ns_per_s;
        } else if (word == "--record") {
            arguments.options.record = true;
        } else if (word == "--arm") {
            arguments.arm = true;
        } else if (word == "--nodes") {
            arguments.network.nodes = static_cast<uint32_t>(strtoul(value().c_str(), nullptr, 10));
        } else if (word == "--network-latency") {
            arguments.network.latency_ns = strtoll(value().c_str(), nullptr, 10);
        } else if (word == "--network-bandwidth") {
            arguments.network.bandwidth = strtod(value().c_str(), nullptr);
        } else if (word == "--host") {
            arguments.network.own_node = static_cast<int>(strtol(value().c_str(), nullptr, 10));
        } else if (word == "--agent") {
            arguments.agent_fd = static_cast<int>(strtol(value().c_str(), nullptr, 10));
        } else if (word == "--with-stdin") {
            arguments.with_stdin = true;
        } else {
            fail_usage("unknown option " + word);
        }
    }
    if (arguments.session.empty()) fail_usage("no --session");
    const NetworkOptions& network = arguments.network;
    if (network.nodes < 1 || network.nodes > max_nodes || network.own_node >= static_cast<int>(network.nodes))
        fail_usage("--nodes must be 1 to 8, and --host one of them, from 0");
    if (network.nodes > 1 && (network.latency_ns < 1 || !(network.bandwidth > 0)))
        fail_usage("several nodes need --network-latency and --network-bandwidth");
    if ((network.own_node < 0) != (arguments.agent_fd < 0)) fail_usage("--host and --agent go together");
    return arguments;
}

void kick(Page& page) {
    page.kicks.fetch_add(1);
    futex_wake(&page.kicks);
}

volatile sig_atomic_t told_to_end = 0;
Page* served = nullptr;

void on_end_signal(int) {
    told_to_end = 1;
    served->command_stop.store(1);
    kick(*served);
}

int coordinate(Page& page, const Arguments& arguments, const Placement& placement) {
    // The guardian's end is ours: nobody else would notice if we failed.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGTERM, on_end_signal);
    signal(SIGINT, SIG_IGN);
    std::unique_ptr<Network> network;
    if (arguments.network.nodes > 1) network = std::make_unique<Network>(page, arguments.network);
    Coordinator coordinator(page, arguments.session, arguments.limits, placement, std::move(network),
                            arguments.agent_fd);
    puts("ready");
    fflush(stdout);
    const int code = coordinator.run();
    if (told_to_end != 0) end_group(page, arguments.session, "the clock was told to end");
    return code;
}

bool has_members(const Page& page) {
    for (uint32_t i = 0; i < page.process_count.load(); ++i) {
        const int32_t pid = page.processes[i].pid.load();
        if (page.processes[i].used.load() != 0 && pid != 0 && kill(pid, 0) == 0) return true;
    }
    return false;
}

// Returns when the child ends. Whoever started us holds the other end of our standard input: it cannot die
// unnoticed, and without it nobody would ever end this clock.
void watch_stdin(Page& page, pid_t child) {
    pollfd watched[] = {{static_cast<int>(syscall(SYS_pidfd_open, child, 0)), POLLIN, 0},
                        {STDIN_FILENO, POLLIN, 0}};
    while (watched[0].fd >= 0) {
        if (poll(watched, 2, -1) < 0 && errno != EINTR) return;
        if (watched[0].revents != 0) return;
        char ignored[64];
        if (watched[1].revents == 0 || read(STDIN_FILENO, ignored, sizeof ignored) > 0) continue;
        fprintf(stderr, "revati clock: whoever started the session is gone\n");
        watched[1].fd = -1;
        page.command_stop.store(stop_abandoned);
        kick(page);
    }
}

// Serves in a child and watches it: whoever of the two dies, the other ends the group.
int serve(const Arguments& arguments) {
    Page& page = *create_page(arguments.session, arguments.options);
    page.nodes = arguments.network.nodes;
    const Placement placement(page, arguments.options);
    if (!placement.obstacle().empty()) {
        fprintf(stderr, "revati-clockd: %s\n", placement.obstacle().c_str());
        remove_page(arguments.session);
        return 2;
    }
    served = &page;
    if (arguments.arm) page.command_arm.store(1);
    const pid_t guardian = getpid();
    const pid_t child = fork();
    if (child < 0) {
        perror("revati-clockd: fork");
        return 1;
    }
    if (child == 0) {
        const int code = coordinate(page, arguments, placement);
        if (getppid() != guardian) remove_page(arguments.session);
        fflush(nullptr);
        _exit(code);
    }
    signal(SIGTERM, on_end_signal);
    signal(SIGINT, SIG_IGN);
    if (arguments.with_stdin) watch_stdin(page, child);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : exit_code_group_ended;
    if (!WIFEXITED(status)) {
        end_group(page, arguments.session, "the clock's coordinator was killed or crashed");
    } else if (code == 0 && has_members(page)) {  // otherwise it has said why, and they are about to be gone
        end_group(page, arguments.session, "the clock was stopped while programs still ran");
    }
    remove_page(arguments.session);
    return code;
}

int control(const Arguments& arguments) {
    Page& page = *open_page(arguments.session);
    if (arguments.command == "arm") {
        page.command_arm.store(1);
        kick(page);
        while (page.armed.load() == 0 && page.failed.load() == 0) usleep(500);
        return page.armed.load() != 0 ? 0 : exit_code_group_ended;
    }
    if (arguments.command == "hold") {
        page.hold.store(1);
    } else if (arguments.command == "release") {
        if (arguments.clients_given) page.clients_wanted.store(arguments.options.clients);
        page.hold.store(0);
    } else if (arguments.command == "wind-down") {
        page.winding_down.store(1);
        page.clients_wanted.store(0);
        page.hold.store(0);
    } else if (arguments.command == "stop") {
        page.command_stop.store(1);
    } else if (arguments.command == "status") {
        print_status(page, stdout);
        return 0;
    } else if (arguments.command == "threads") {
        print_threads(page, stdout);
        return 0;
    } else if (arguments.command == "explain") {
        explain(page, stdout);
        return 0;
    } else {
        fail_usage("unknown command " + arguments.command);
    }
    kick(page);
    return 0;
}

}  // namespace
}  // namespace revati::clock

int main(int count, char** words) {
    using namespace revati::clock;
    const Arguments arguments = parse(count, words);
    return arguments.command == "serve" ? serve(arguments) : control(arguments);
}
