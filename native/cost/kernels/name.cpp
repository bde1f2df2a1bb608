#include "cost/kernels/name.h"

#include <cxxabi.h>

#include <cctype>
#include <cstdlib>
#include <memory>

namespace revati::cost::kernels {
namespace {

// Index of the bracket that opens the one at `close`; npos if there is none. ">" of "->" and ">>" as a shift
// do not occur in names.
size_t opening(const std::string& text, size_t close) {
    int depth = 0;
    for (size_t i = close + 1; i-- > 0;) {
        if (text[i] == ')' || text[i] == '>' || text[i] == ']' || text[i] == '}') ++depth;
        if (text[i] == '(' || text[i] == '<' || text[i] == '[' || text[i] == '{') {
            if (--depth == 0) return i;
        }
    }
    return std::string::npos;
}

std::string trim(std::string text) {
    while (!text.empty() && text.back() == ' ') text.pop_back();
    size_t start = 0;
    while (start < text.size() && text[start] == ' ') ++start;
    return text.substr(start);
}

struct ParamType {
    uint32_t bytes;  // 0: unknown
    char kind;
};

ParamType type_of_param(const std::string& type) {
    if (!type.empty() && (type.back() == '*' || type.back() == '&')) return {8, 'p'};
    std::string plain = type;
    if (plain.size() > 6 && plain.compare(plain.size() - 6, 6, " const") == 0) plain.resize(plain.size() - 6);
    if (!plain.empty() && plain.back() == '*') return {8, 'p'};
    struct Known {
        const char* name;
        ParamType type;
    };
    static const Known known[] = {{"int", {4, 'i'}},
                                  {"unsigned int", {4, 'i'}},
                                  {"long", {8, 'i'}},
                                  {"long long", {8, 'i'}},
                                  {"unsigned long", {8, 'i'}},
                                  {"unsigned long long", {8, 'i'}},
                                  {"short", {2, 'i'}},
                                  {"unsigned short", {2, 'i'}},
                                  {"char", {1, 'i'}},
                                  {"bool", {1, 'i'}},
                                  {"signed char", {1, 'i'}},
                                  {"unsigned char", {1, 'i'}},
                                  {"float", {4, 'f'}},
                                  {"double", {8, 'f'}},
                                  // Eight pointers, one for each rank.
                                  {"vllm::RankSignals", {64, 's'}}};
    for (const Known& entry : known) {
        if (plain == entry.name) return entry.type;
    }
    return {0, '?'};
}

bool identifier(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

}  // namespace

std::string demangled(const std::string& name) {
    if (name.compare(0, 2, "_Z") != 0) return name;
    int status = 0;
    const std::unique_ptr<char, void (*)(void*)> text(
        abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), std::free);
    return status == 0 && text != nullptr ? std::string(text.get()) : name;
}

std::vector<std::string> split_top_level(const std::string& text) {
    std::vector<std::string> parts;
    int depth = 0;
    size_t start = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '<' || c == '(' || c == '[' || c == '{') ++depth;
        if (c == '>' || c == ')' || c == ']' || c == '}') --depth;
        if (c == ',' && depth == 0) {
            parts.push_back(trim(text.substr(start, i - start)));
            start = i + 1;
        }
    }
    if (!trim(text.substr(start)).empty()) parts.push_back(trim(text.substr(start)));
    return parts;
}

KernelName parse_kernel_name(const std::string& registered) {
    KernelName name;
    name.plain = registered;
    std::string text = trim(demangled(registered));
    std::string params;
    if (!text.empty() && text.back() == ')') {
        const size_t open = opening(text, text.size() - 1);
        if (open != std::string::npos) {
            params = text.substr(open + 1, text.size() - open - 2);
            text = trim(text.substr(0, open));
        }
    }
    if (!text.empty() && text.back() == '>') {
        const size_t open = opening(text, text.size() - 1);
        if (open != std::string::npos) {
            name.templates = text.substr(open + 1, text.size() - open - 2);
            text = trim(text.substr(0, open));
        }
    }
    // What stands before the last space outside of brackets is the return type, which may hold a lone `>` of
    // a comparison.
    int depth = 0;
    size_t start = text.size();
    for (; start > 0; --start) {
        const char c = text[start - 1];
        if (c == '>' || c == ')' || c == '}') ++depth;
        if (c == '<' || c == '(' || c == '{') --depth;
        if (c == ' ' && depth == 0) break;
    }
    name.base = text.substr(start);
    for (const std::string& type : split_top_level(params)) {
        const ParamType param = type_of_param(type);
        if (param.bytes == 0) break;
        name.param_bytes.push_back(param.bytes);
        name.param_kinds.push_back(param.kind);
    }
    return name;
}

DType first_dtype(const std::string& text) {
    struct Known {
        const char* name;
        DType dtype;
    };
    static const Known known[] = {{"c10::BFloat16", DType::bf16},
                                  {"__nv_bfloat16", DType::bf16},
                                  {"cutlass::bfloat16_t", DType::bf16},
                                  {"c10::Half", DType::f16},
                                  {"__half", DType::f16},
                                  {"cutlass::half_t", DType::f16},
                                  {"cutlass::float_e4m3_t", DType::f8e4m3},
                                  {"c10::Float8_e4m3fn", DType::f8e4m3},
                                  {"c10::Float8_e5m2", DType::f8e5m2},
                                  {"unsigned char", DType::u8},
                                  {"signed char", DType::i8},
                                  {"double", DType::f64},
                                  {"float", DType::f32},
                                  {"long", DType::i64},
                                  {"bool", DType::b1},
                                  {"int", DType::i32},
                                  {"short", DType::i16}};
    size_t best = std::string::npos;
    DType result = DType::unknown;
    for (const Known& entry : known) {
        const size_t length = std::string(entry.name).size();
        for (size_t at = text.find(entry.name); at != std::string::npos && at < best;
             at = text.find(entry.name, at + 1)) {
            const bool whole = (at == 0 || !identifier(text[at - 1])) &&
                               (at + length >= text.size() || !identifier(text[at + length]));
            // "(int)4" and "(bool)1" are template constants.
            const bool cast = at > 0 && text[at - 1] == '(' && at + length + 1 < text.size() &&
                              text[at + length] == ')' &&
                              std::isdigit(static_cast<unsigned char>(text[at + length + 1])) != 0;
            if (!whole || cast) continue;
            best = at;
            result = entry.dtype;
            break;
        }
    }
    return result;
}

}  // namespace revati::cost::kernels
