#include "cuda/driver/image.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include "device/log.h"

namespace revati::driver {
namespace {

constexpr uint16_t machine_cuda = 190;  // EM_CUDA of the ELF registry

// <fatbinary_section.h>: what `__fatbinwrap` symbols and cuModuleLoadFatBinary point to.
struct FatBinaryWrapper {
    int32_t magic, version;
    const void* data;
    void* names;
};
constexpr int32_t wrapper_magic = 0x466243b1;

// The container behind it, as nvcc 13.0 writes it (seen in its output; there is no public header).
struct FatBinaryHeader {
    uint32_t magic;
    uint16_t version, header_bytes;
    uint64_t payload_bytes;
};
constexpr uint32_t fat_binary_magic = 0xba55ed50;

struct FatBinaryEntry {
    uint16_t kind, version;
    uint32_t header_bytes;
    uint64_t payload_bytes;
    uint32_t compressed_bytes;
    uint32_t unused;
    uint32_t minor_version;
    uint32_t architecture;  // e.g. 90
};
constexpr uint16_t kind_ptx = 1;
constexpr uint16_t kind_cubin = 2;

template <typename T>
T read_at(const void* data, size_t offset = 0) {
    T value;
    std::memcpy(&value, static_cast<const uint8_t*>(data) + offset, sizeof value);
    return value;
}

bool is_elf(const void* data) {
    return std::memcmp(data, ELFMAG, SELFMAG) == 0;
}

bool looks_like_ptx(const char* text) {
    // A PTX module begins with comments and then `.version`.
    return std::strstr(text, ".version") != nullptr;
}

// A cubin runs on GPUs of its own major capability whose minor one is at least its own.
bool runs_on(int architecture, int major, int minor) {
    return architecture / 10 == major && architecture % 10 <= minor;
}

// LLVM's llvm/BinaryFormat/ELF.h names the fields: EF_CUDA_SM in ABI version 7, EF_CUDA_SM_MASK since
// version 8.
int architecture_of(const Elf64_Ehdr& header) {
    constexpr int first_abi_with_wide_field = 8;
    bool wide = header.e_ident[EI_ABIVERSION] >= first_abi_with_wide_field;
    return static_cast<int>((header.e_flags >> (wide ? 8 : 0)) & 0xff);
}

size_t bytes_of(const uint8_t* data, const Elf64_Ehdr& header) {
    size_t end = std::max<size_t>(header.e_shoff + size_t{header.e_shnum} * header.e_shentsize,
                                  header.e_phoff + size_t{header.e_phnum} * header.e_phentsize);
    for (int index = 0; index < header.e_shnum; ++index) {
        auto section = read_at<Elf64_Shdr>(data, header.e_shoff + size_t{header.e_shentsize} * index);
        if (section.sh_type != SHT_NOBITS) end = std::max<size_t>(end, section.sh_offset + section.sh_size);
    }
    return end;
}

bool holds_variables(const char* section) {
    // Bank 3 holds what the program declares __constant__; the other banks are the compiler's.
    return std::strncmp(section, ".nv.global", 10) == 0 || std::strcmp(section, ".nv.constant3") == 0;
}

void list_symbols(const Elf64_Ehdr& header, const Elf64_Shdr& table, const std::vector<int>& data_index,
                  Image* out) {
    auto strings =
        read_at<Elf64_Shdr>(out->data, header.e_shoff + size_t{header.e_shentsize} * table.sh_link);
    const char* names = reinterpret_cast<const char*>(out->data + strings.sh_offset);
    for (size_t offset = 0; offset + sizeof(Elf64_Sym) <= table.sh_size; offset += sizeof(Elf64_Sym)) {
        auto symbol = read_at<Elf64_Sym>(out->data, table.sh_offset + offset);
        int type = ELF64_ST_TYPE(symbol.st_info);
        bool in_data = symbol.st_shndx < data_index.size() && data_index[symbol.st_shndx] >= 0;
        if (type != STT_OBJECT || !in_data) continue;
        out->globals.push_back({names + symbol.st_name, static_cast<size_t>(data_index[symbol.st_shndx]),
                                symbol.st_value, symbol.st_size});
    }
}

CUresult read_cubin(const uint8_t* data, int major, int minor, Image* out) {
    auto header = read_at<Elf64_Ehdr>(data);
    if (header.e_machine != machine_cuda || header.e_shentsize != sizeof(Elf64_Shdr))
        return CUDA_ERROR_INVALID_IMAGE;
    if (!runs_on(architecture_of(header), major, minor)) return CUDA_ERROR_NO_BINARY_FOR_GPU;
    out->data = data;
    out->bytes = bytes_of(data, header);
    auto section_at = [&](size_t index) {
        return read_at<Elf64_Shdr>(data, header.e_shoff + size_t{header.e_shentsize} * index);
    };
    const char* names = reinterpret_cast<const char*>(data + section_at(header.e_shstrndx).sh_offset);
    std::vector<int> data_index(header.e_shnum, -1);
    constexpr char info_prefix[] = ".nv.info.";
    for (size_t index = 0; index < header.e_shnum; ++index) {
        Elf64_Shdr section = section_at(index);
        const char* name = names + section.sh_name;
        // Every kernel has its own metadata section; device functions that are no kernels have none.
        if (std::strncmp(name, info_prefix, sizeof info_prefix - 1) == 0) {
            out->kernels.emplace_back(name + sizeof info_prefix - 1);
        } else if (holds_variables(name)) {
            data_index[index] = static_cast<int>(out->sections.size());
            out->sections.push_back(
                {section.sh_type == SHT_NOBITS ? nullptr : data + section.sh_offset, section.sh_size});
        }
    }
    for (size_t index = 0; index < header.e_shnum; ++index) {
        Elf64_Shdr section = section_at(index);
        if (section.sh_type == SHT_SYMTAB) list_symbols(header, section, data_index, out);
    }
    return CUDA_SUCCESS;
}

CUresult refuse_ptx() {
    device::log_once(
        "a module holds only PTX: there is no just-in-time compiler here; build it for the GPU's own "
        "architecture");
    return CUDA_ERROR_JIT_COMPILER_NOT_FOUND;
}

CUresult read_fat_binary(const uint8_t* data, int major, int minor, Image* out) {
    auto header = read_at<FatBinaryHeader>(data);
    const uint8_t* cursor = data + header.header_bytes;
    const uint8_t* const end = cursor + header.payload_bytes;
    const uint8_t* best = nullptr;
    int best_architecture = -1;
    bool ptx = false;
    while (cursor + sizeof(FatBinaryEntry) <= end) {
        auto entry = read_at<FatBinaryEntry>(cursor);
        auto architecture = static_cast<int>(entry.architecture);
        ptx = ptx || entry.kind == kind_ptx;
        if (entry.kind == kind_cubin && runs_on(architecture, major, minor) &&
            architecture > best_architecture) {
            best = cursor + entry.header_bytes;
            best_architecture = architecture;
        }
        cursor += entry.header_bytes + entry.payload_bytes;
    }
    if (best == nullptr) return ptx ? refuse_ptx() : CUDA_ERROR_NO_BINARY_FOR_GPU;
    if (is_elf(best)) return read_cubin(best, major, minor, out);
    device::log_once("a fat binary is compressed: its kernels' parameter layouts are unknown");
    out->opaque = true;
    return CUDA_SUCCESS;
}

}  // namespace

CUresult read_image(const void* data, int major, int minor, Image* out) {
    if (read_at<int32_t>(data) == wrapper_magic) data = read_at<FatBinaryWrapper>(data).data;
    if (data == nullptr) return CUDA_ERROR_INVALID_IMAGE;
    const auto* bytes = static_cast<const uint8_t*>(data);
    if (is_elf(bytes)) return read_cubin(bytes, major, minor, out);
    if (read_at<uint32_t>(bytes) == fat_binary_magic) return read_fat_binary(bytes, major, minor, out);
    return looks_like_ptx(static_cast<const char*>(data)) ? refuse_ptx() : CUDA_ERROR_INVALID_IMAGE;
}

}  // namespace revati::driver
