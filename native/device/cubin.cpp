// Reads a cubin (an ELF file) in memory: parameter sizes and resources of one kernel.
#include <elf.h>

#include <cstring>
#include <map>

#include "device/kernel.h"

namespace revati::device {
namespace {

// Attributes of the `.nv.info` sections, as the public tools print them (`cuobjdump -elf`: EIATTR_*).
constexpr unsigned format_sized_value = 4;
constexpr unsigned attribute_kparam_info = 0x17;
constexpr unsigned attribute_kparam_info_v2 = 0x45;
constexpr unsigned attribute_max_threads = 0x05;
constexpr unsigned attribute_register_count = 0x2f;

struct Sections {
    const char* base;
    size_t bytes;
    const Elf64_Shdr* headers;
    unsigned count;
    const char* names;
    size_t names_bytes;
};

bool open_sections(const void* image, size_t bytes, Sections* out) {
    const auto* const base = static_cast<const char*>(image);
    if (bytes < sizeof(Elf64_Ehdr) || memcmp(base, ELFMAG, SELFMAG) != 0) return false;
    const auto* const header = reinterpret_cast<const Elf64_Ehdr*>(base);
    const size_t table_bytes = sizeof(Elf64_Shdr) * header->e_shnum;
    if (header->e_shoff > bytes || table_bytes > bytes - header->e_shoff ||
        header->e_shstrndx >= header->e_shnum)
        return false;
    const auto* const headers = reinterpret_cast<const Elf64_Shdr*>(base + header->e_shoff);
    const Elf64_Shdr& names = headers[header->e_shstrndx];
    if (names.sh_offset > bytes || names.sh_size > bytes - names.sh_offset) return false;
    *out = {base, bytes, headers, header->e_shnum, base + names.sh_offset, names.sh_size};
    return true;
}

const Elf64_Shdr* find_section(const Sections& sections, const std::string& name) {
    for (unsigned index = 0; index < sections.count; ++index) {
        const Elf64_Shdr& header = sections.headers[index];
        if (header.sh_name + name.size() >= sections.names_bytes) continue;
        if (memcmp(sections.names + header.sh_name, name.c_str(), name.size() + 1) == 0) return &header;
    }
    return nullptr;
}

uint32_t read_u32(const char* bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

uint16_t read_u16(const char* bytes) {
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

struct Param {
    uint32_t offset, bytes;
};

void read_attributes(const char* cursor, const char* end, std::map<unsigned, Param>* params,
                     KernelAttributes* attributes) {
    while (end - cursor >= 4) {
        const unsigned format = static_cast<unsigned char>(cursor[0]),
                       attribute = static_cast<unsigned char>(cursor[1]);
        const unsigned value_bytes = format == format_sized_value ? read_u16(cursor + 2) : 0;
        const char* const value = cursor + 4;
        if (static_cast<size_t>(end - value) < value_bytes) return;
        if ((attribute == attribute_kparam_info || attribute == attribute_kparam_info_v2) &&
            value_bytes >= 12) {
            (*params)[read_u16(value + 4)] = {read_u16(value + 6), (read_u32(value + 8) >> 18) & 0x3fff};
        } else if (attribute == attribute_max_threads && value_bytes >= 12) {
            attributes->max_threads_per_block =
                static_cast<int>(read_u32(value) * read_u32(value + 4) * read_u32(value + 8));
        }
        cursor = value + value_bytes;
    }
}

// Index of the symbol that stands for a section's code, or -1.
int symbol_of(const Sections& sections, const std::string& name) {
    const Elf64_Shdr* const table = find_section(sections, ".symtab");
    const Elf64_Shdr* const strings = find_section(sections, ".strtab");
    if (table == nullptr || strings == nullptr || table->sh_offset + table->sh_size > sections.bytes)
        return -1;
    if (strings->sh_offset + strings->sh_size > sections.bytes) return -1;
    for (size_t index = 0; index < table->sh_size / sizeof(Elf64_Sym); ++index) {
        Elf64_Sym symbol;
        memcpy(&symbol, sections.base + table->sh_offset + index * sizeof symbol, sizeof symbol);
        const bool fits = symbol.st_name + name.size() < strings->sh_size;
        const bool is_function = ELF64_ST_TYPE(symbol.st_info) == STT_FUNC;
        if (fits && is_function &&
            memcmp(sections.base + strings->sh_offset + symbol.st_name, name.c_str(), name.size() + 1) == 0) {
            return static_cast<int>(index);
        }
    }
    return -1;
}

// Older cubins say it in the code's section header, those of CUDA 13 in the table of the whole image.
int registers_of(const Sections& sections, const std::string& kernel, const Elf64_Shdr& text) {
    const Elf64_Shdr* const info = find_section(sections, ".nv.info");
    const int symbol = symbol_of(sections, kernel);
    if (info == nullptr || symbol < 0 || info->sh_offset + info->sh_size > sections.bytes)
        return static_cast<int>(text.sh_info >> 24);
    const char* cursor = sections.base + info->sh_offset;
    const char* const end = cursor + info->sh_size;
    while (end - cursor >= 4) {
        const unsigned format = static_cast<unsigned char>(cursor[0]),
                       attribute = static_cast<unsigned char>(cursor[1]);
        const unsigned value_bytes = format == format_sized_value ? read_u16(cursor + 2) : 0;
        const char* const value = cursor + 4;
        if (static_cast<size_t>(end - value) < value_bytes) break;
        const bool found = attribute == attribute_register_count && value_bytes >= 8 &&
                           read_u32(value) == static_cast<uint32_t>(symbol);
        if (found) return static_cast<int>(read_u32(value + 4));
        cursor = value + value_bytes;
    }
    return static_cast<int>(text.sh_info >> 24);
}

// The first kilobyte of a block's shared memory is the system's from compute capability 8.0 on; where the
// image says so, it is counted in.
int static_shared_bytes(const Sections& sections, const std::string& kernel) {
    constexpr size_t reserved_bytes = 1024;
    const Elf64_Shdr* const shared = find_section(sections, ".nv.shared." + kernel);
    if (shared == nullptr) return 0;
    const bool counted_in =
        find_section(sections, ".nv.shared.reserved.0") != nullptr && shared->sh_size >= reserved_bytes;
    return static_cast<int>(shared->sh_size - (counted_in ? reserved_bytes : 0));
}

}  // namespace

bool read_cubin_metadata(const void* image, size_t image_bytes, const std::string& kernel,
                         ParamLayout* params, KernelAttributes* attributes) {
    Sections sections;
    if (!open_sections(image, image_bytes, &sections)) return false;
    const Elf64_Shdr* const text = find_section(sections, ".text." + kernel);
    const Elf64_Shdr* const info = find_section(sections, ".nv.info." + kernel);
    if (text == nullptr || info == nullptr || info->sh_offset > image_bytes ||
        info->sh_size > image_bytes - info->sh_offset)
        return false;
    std::map<unsigned, Param> found;
    const char* const start = sections.base + info->sh_offset;
    read_attributes(start, start + info->sh_size, &found, attributes);
    params->known = true;
    params->bytes.clear();
    params->offsets.clear();
    for (const auto& [ordinal, param] : found) {
        params->bytes.push_back(param.bytes);
        params->offsets.push_back(param.offset);
    }
    attributes->registers = registers_of(sections, kernel, *text);
    attributes->shared_static_bytes = static_shared_bytes(sections, kernel);
    return true;
}

}  // namespace revati::device
