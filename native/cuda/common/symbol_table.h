// Every symbol that this fake library exports, by name. The definition is generated from its symbols.toml
// (native/cuda/symbols.py), once for each library, and is hidden in it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace revati::cuda {

struct SymbolEntry {
    const char* name;
    void* address;
    bool implemented;  // false: a stub that refuses
};

extern const SymbolEntry symbol_table[];  // sorted by name
extern const std::size_t symbol_count;

// Null if the library does not export `name`.
inline const SymbolEntry* find_symbol(const char* name) {
    const SymbolEntry* end = symbol_table + symbol_count;
    const SymbolEntry* entry =
        std::lower_bound(symbol_table, end, name,
                         [](const SymbolEntry& a, const char* b) { return std::strcmp(a.name, b) < 0; });
    return entry != end && std::strcmp(entry->name, name) == 0 ? entry : nullptr;
}

}  // namespace revati::cuda
