// Reading the images that programs load: cubins (ELF) and fat binaries that contain them.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace revati::driver {

struct GlobalSymbol {
    std::string name;
    size_t section = 0;  // index into Image::sections
    size_t offset = 0;
    size_t bytes = 0;
};

// A section with variables that the host can find by name.
struct DataSection {
    const uint8_t* content = nullptr;  // null: zeros
    size_t bytes = 0;
};

struct Image {
    const uint8_t* data = nullptr;
    size_t bytes = 0;
    std::vector<std::string> kernels;
    std::vector<DataSection> sections;
    std::vector<GlobalSymbol> globals;
    // A compressed fat binary: what it holds is not known, any name is taken for a kernel's.
    bool opaque = false;
};

// Finds the code for a GPU of compute capability `major`.`minor` in `data` and lists what it holds. `out`
// points into `data`.
CUresult read_image(const void* data, int major, int minor, Image* out);

}  // namespace revati::driver
