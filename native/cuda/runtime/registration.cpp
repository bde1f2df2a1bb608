#include "cuda/runtime/registration.h"

#include <atomic>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "device/memory.h"

using namespace revati;
using namespace revati::cuda::runtime;

namespace {

// One fat binary; its address is the handle that the host program keeps. Chained records make unloading
// cheap.
struct Record;
struct Binary {
    const void* wrapper;
    Record* records = nullptr;
    std::vector<const void*> variables = {};
    std::vector<void**> managed = {};
};

// One registered kernel. Programs register tens of thousands and launch hundreds, so that the kernel itself
// is made when first wanted and the name stays where it is, in the program's read-only data.
struct Record {
    const void* function;
    const char* name;
    Binary* binary;
    Record* next_of_binary;
    std::atomic<device::Kernel*> kernel;
    int thread_limit;
};

struct Slot {
    std::atomic<const void*> function{nullptr};
    std::atomic<Record*> record{nullptr};
};

struct Table {
    explicit Table(size_t slot_count) : mask(slot_count - 1), slots(new Slot[slot_count]) {}
    size_t mask;
    Slot* slots;
};

// Multiplicative hashing: functions are aligned, so that the low bits of their addresses say nothing.
size_t slot_of(const void* function, size_t mask) {
    return (reinterpret_cast<uintptr_t>(function) * 0x9e3779b97f4a7c15ull >> 24) & mask;
}

constexpr size_t first_table_slots = 4096;
constexpr size_t records_per_chunk = 1024;

// Open addressing, read without a lock. Writers hold the mutex; a full table is replaced by a larger one, and
// the old one is left behind for readers that still look at it. Slots are never emptied: unloading a binary
// only clears their record.
class KernelTable {
  public:
    Record* find(const void* function) const {
        const Table* const table = table_.load(std::memory_order_acquire);
        if (table == nullptr) return nullptr;
        for (size_t index = slot_of(function, table->mask);; index = (index + 1) & table->mask) {
            const void* const found = table->slots[index].function.load(std::memory_order_acquire);
            if (found == function) return table->slots[index].record.load(std::memory_order_acquire);
            if (found == nullptr) return nullptr;
        }
    }

    void add(Binary* binary, const void* function, const char* name, int thread_limit) {
        if (function == nullptr) return;
        const std::lock_guard<std::mutex> lock(mutex_);
        Table* table = table_.load(std::memory_order_relaxed);
        if (table == nullptr || used_ * 2 > table->mask) table = grow(table);
        Record* const record = new_record();
        record->function = function;
        record->name = name;
        record->binary = binary;
        record->thread_limit = thread_limit;
        record->next_of_binary = binary->records;
        binary->records = record;
        used_ += put(table, function, record);
    }

    void remove(Binary* binary) {
        const std::lock_guard<std::mutex> lock(mutex_);
        Table* const table = table_.load(std::memory_order_relaxed);
        for (Record* record = binary->records; record != nullptr; record = record->next_of_binary) {
            for (size_t index = slot_of(record->function, table->mask);; index = (index + 1) & table->mask) {
                const void* const found = table->slots[index].function.load(std::memory_order_relaxed);
                if (found == nullptr) break;
                if (found != record->function) continue;
                Record* expected = record;
                table->slots[index].record.compare_exchange_strong(expected, nullptr);
                break;
            }
        }
    }

  private:
    // Returns 1 if a new slot was taken, 0 if the function had one (a library that was unloaded and another
    // one loaded at its address).
    static size_t put(Table* table, const void* function, Record* record) {
        for (size_t index = slot_of(function, table->mask);; index = (index + 1) & table->mask) {
            Slot& slot = table->slots[index];
            const void* const found = slot.function.load(std::memory_order_relaxed);
            if (found != nullptr && found != function) continue;
            slot.record.store(record, std::memory_order_release);
            slot.function.store(function, std::memory_order_release);
            return found == nullptr ? 1 : 0;
        }
    }

    Table* grow(const Table* old) {
        auto* const table = new Table(old == nullptr ? first_table_slots : (old->mask + 1) * 2);
        used_ = 0;
        for (size_t index = 0; old != nullptr && index <= old->mask; ++index) {
            Record* const record = old->slots[index].record.load(std::memory_order_relaxed);
            if (record != nullptr) used_ += put(table, record->function, record);
        }
        table_.store(table, std::memory_order_release);
        return table;
    }

    Record* new_record() {
        if (chunk_left_ == 0) {
            chunk_ = new Record[records_per_chunk]();
            chunk_left_ = records_per_chunk;
        }
        return &chunk_[records_per_chunk - chunk_left_--];
    }

    std::mutex mutex_;
    std::atomic<Table*> table_{nullptr};
    size_t used_ = 0;
    Record* chunk_ = nullptr;
    size_t chunk_left_ = 0;
};

KernelTable& kernels() {
    static auto* const table = new KernelTable;
    return *table;
}

struct Variable {
    size_t bytes = 0;
    std::unordered_map<int, void*> on_device;
};

// Rarely used: one lock for variables and for the way back from a kernel to its host function.
struct Registry {
    std::mutex mutex;
    std::unordered_map<const void*, Variable> variables;
    std::unordered_map<const device::Kernel*, const void*> functions;
    std::unordered_set<const void*> library_kernels;
};

Registry& registry() {
    static auto* const instance = new Registry;
    return *instance;
}

device::Kernel* make_kernel(Record* record) {
    const std::lock_guard<std::mutex> lock(registry().mutex);
    device::Kernel* kernel = record->kernel.load(std::memory_order_acquire);
    if (kernel != nullptr) return kernel;
    kernel = new device::Kernel;
    kernel->name = record->name;
    kernel->owner = record->binary->wrapper;
    const device::GpuSpec& gpu = device::gpu();
    kernel->attributes.binary_version = gpu.compute_major * 10 + gpu.compute_minor;
    kernel->attributes.max_threads_per_block =
        record->thread_limit > 0 ? record->thread_limit : gpu.max_threads_per_block;
    kernel->attributes.max_dynamic_shared_bytes = static_cast<int>(gpu.shared_per_block_bytes);
    registry().functions[kernel] = record->function;
    record->kernel.store(kernel, std::memory_order_release);
    return kernel;
}

}  // namespace

namespace revati::cuda::runtime {

device::Kernel* find_kernel(const void* function) {
    Record* const record = kernels().find(function);
    if (__builtin_expect(record != nullptr, 1)) {
        device::Kernel* const kernel = record->kernel.load(std::memory_order_acquire);
        return __builtin_expect(kernel != nullptr, 1) ? kernel
               : device::device_count() > 0           ? make_kernel(record)
                                                      : nullptr;
    }
    const std::lock_guard<std::mutex> lock(registry().mutex);
    auto* const kernel = static_cast<device::Kernel*>(const_cast<void*>(function));
    const bool known =
        registry().functions.count(kernel) != 0 || registry().library_kernels.count(function) != 0;
    return known ? kernel : nullptr;
}

const void* host_function_of(const device::Kernel* kernel) {
    const std::lock_guard<std::mutex> lock(registry().mutex);
    const auto found = registry().functions.find(kernel);
    return found != registry().functions.end() ? found->second : nullptr;
}

void remember_library_kernel(const void* kernel) {
    const std::lock_guard<std::mutex> lock(registry().mutex);
    registry().library_kernels.insert(kernel);
}

Status find_symbol_memory(const void* symbol, void** address, size_t* bytes) {
    int device = 0;
    const Status status = ready_device(&device);
    if (status != Status::ok) return status;
    const std::lock_guard<std::mutex> lock(registry().mutex);
    const auto found = registry().variables.find(symbol);
    if (found == registry().variables.end()) return static_cast<Status>(cudaErrorInvalidSymbol);
    *bytes = found->second.bytes;
    void*& memory = found->second.on_device[device];
    if (memory == nullptr) {
        const Status allocated = device::allocate_device(device, found->second.bytes, &memory);
        if (allocated != Status::ok) return allocated;
    }
    *address = memory;
    return Status::ok;
}

}  // namespace revati::cuda::runtime

extern "C" {

REVATI_API void** __cudaRegisterFatBinary(void* wrapper) {
    return reinterpret_cast<void**>(new Binary{wrapper});
}

REVATI_API void __cudaRegisterFatBinaryEnd(void**) {}

REVATI_API void __cudaUnregisterFatBinary(void** handle) {
    if (handle == nullptr) return;
    auto* const binary = reinterpret_cast<Binary*>(handle);
    kernels().remove(binary);
    const std::lock_guard<std::mutex> lock(registry().mutex);
    for (const void* const variable : binary->variables) {
        const auto found = registry().variables.find(variable);
        if (found == registry().variables.end()) continue;
        for (const auto& [device, memory] : found->second.on_device) device::free_device(memory);
        registry().variables.erase(found);
    }
    // The object stays: kernels of captured graphs still point to its records.
}

REVATI_API void __cudaRegisterFunction(void** handle, const char* function, char*, const char* name,
                                       int thread_limit, void*, void*, void*, void*, int*) {
    kernels().add(reinterpret_cast<Binary*>(handle), function, name, thread_limit);
}

REVATI_API void __cudaRegisterVar(void** handle, char* variable, char*, const char*, int, size_t bytes, int,
                                  int) {
    auto* const binary = reinterpret_cast<Binary*>(handle);
    const std::lock_guard<std::mutex> lock(registry().mutex);
    registry().variables[variable].bytes = bytes;
    binary->variables.push_back(variable);
}

REVATI_API void __cudaRegisterManagedVar(void** handle, void** pointer, char*, const char*, int, size_t bytes,
                                         int, int) {
    auto* const binary = reinterpret_cast<Binary*>(handle);
    const std::lock_guard<std::mutex> lock(registry().mutex);
    registry().variables[pointer].bytes = bytes;
    binary->variables.push_back(pointer);
    binary->managed.push_back(pointer);
}

// The program calls it before it first touches a managed variable.
REVATI_API char __cudaInitModule(void** handle) {
    auto* const binary = reinterpret_cast<Binary*>(handle);
    if (binary == nullptr || device::device_count() == 0) return 0;
    const std::lock_guard<std::mutex> lock(registry().mutex);
    for (void** const pointer : binary->managed) {
        const auto found = registry().variables.find(pointer);
        if (*pointer == nullptr && found != registry().variables.end())
            device::allocate_managed(device::current_device(), found->second.bytes, pointer);
    }
    return 1;
}

REVATI_API void __cudaRegisterHostVar(void**, const char*, char*, size_t) {}

}  // extern "C"

cudaError_t cudaGetSymbolAddress(void** address, const void* symbol) {
    if (address == nullptr) return finish(cudaErrorInvalidValue);
    size_t bytes = 0;
    return finish(find_symbol_memory(symbol, address, &bytes));
}

cudaError_t cudaGetSymbolSize(size_t* bytes, const void* symbol) {
    if (bytes == nullptr) return finish(cudaErrorInvalidValue);
    void* address = nullptr;
    return finish(find_symbol_memory(symbol, &address, bytes));
}
