// Attributes of descriptors as data: number, size and place in the record.
#pragma once

#include <cstring>

#include "cuda/cublaslt/types.h"

namespace revati::cublaslt {

struct Attribute {
    int number;
    size_t bytes;
    size_t offset;
};

template <size_t Count>
const Attribute* find_attribute(const Attribute (&table)[Count], int number) {
    for (const Attribute& attribute : table) {
        if (attribute.number == number) return &attribute;
    }
    return nullptr;
}

// As documented: the size must match the attribute's.
template <size_t Count>
Status set_attribute(const Attribute (&table)[Count], void* record, int number, const void* value,
                     size_t bytes) {
    const Attribute* attribute = find_attribute(table, number);
    if (attribute == nullptr || value == nullptr || bytes != attribute->bytes)
        return cublas::status_invalid_value;
    std::memcpy(static_cast<char*>(record) + attribute->offset, value, bytes);
    return cublas::status_success;
}

// With no room given, only tells how much is needed.
template <size_t Count>
Status get_attribute(const Attribute (&table)[Count], const void* record, int number, void* value,
                     size_t bytes, size_t* written) {
    const Attribute* attribute = find_attribute(table, number);
    if (attribute == nullptr || (bytes == 0 && written == nullptr)) return cublas::status_invalid_value;
    if (written != nullptr) *written = attribute->bytes;
    if (bytes == 0) return cublas::status_success;
    if (value == nullptr || bytes < attribute->bytes) return cublas::status_invalid_value;
    std::memcpy(value, static_cast<const char*>(record) + attribute->offset, attribute->bytes);
    return cublas::status_success;
}

}  // namespace revati::cublaslt
