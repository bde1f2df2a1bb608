// Reads a cubin (an ELF file) in memory: parameter sizes and resources of one kernel.
#include <cstring>
#include <elf.h>
#include <map>

#include "device/kernel.h"

namespace revati::device {
namespace {

// Attributes of the `.nv.info` sections, as the public tools print them (`cuobjdump -elf`: EIATTR_*).
constexpr unsigned format_sized_value = 4;
constexpr unsigned attribute_kparam_info = 0x17;
constexpr unsigned attribute_kparam_info_v2 = 0x45;
constexpr unsigned attribute_max_threads = 0x05;

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
    if (header->e_shoff > bytes || table_bytes > bytes - header->e_shoff || header->e_shstrndx >= header->e_shnum) return false;
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

void read_attributes(const char* cursor, const char* end, std::map<unsigned, Param>* params, KernelAttributes* attributes) {
    while (end - cursor >= 4) {
        const unsigned format = static_cast<unsigned char>(cursor[0]), attribute = static_cast<unsigned char>(cursor[1]);
        const unsigned value_bytes = format == format_sized_value ? read_u16(cursor + 2) : 0;
        const char* const value = cursor + 4;
        if (static_cast<size_t>(end - value) < value_bytes) return;
        if ((attribute == attribute_kparam_info || attribute == attribute_kparam_info_v2) && value_bytes >= 12) {
            (*params)[read_u16(value + 4)] = {read_u16(value + 6), (read_u32(value + 8) >> 18) & 0x3fff};
        } else if (attribute == attribute_max_threads && value_bytes >= 12) {
            attributes->max_threads_per_block = static_cast<int>(read_u32(value) * read_u32(value + 4) * read_u32(value + 8));
        }
        cursor = value + value_bytes;
    }
}

}  // namespace

bool read_cubin_metadata(const void* image, size_t image_bytes, const std::string& kernel, ParamLayout* params, KernelAttributes* attributes) {
    Sections sections;
    if (!open_sections(image, image_bytes, &sections)) return false;
    const Elf64_Shdr* const text = find_section(sections, ".text." + kernel);
    const Elf64_Shdr* const info = find_section(sections, ".nv.info." + kernel);
    if (text == nullptr || info == nullptr || info->sh_offset > image_bytes || info->sh_size > image_bytes - info->sh_offset) return false;
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
    attributes->registers = static_cast<int>(text->sh_info >> 24);
    const Elf64_Shdr* const shared = find_section(sections, ".nv.shared." + kernel);
    if (shared != nullptr) attributes->shared_static_bytes = static_cast<int>(shared->sh_size);
    return true;
}

}  // namespace revati::device
