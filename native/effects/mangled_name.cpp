#include "effects/mangled_name.h"

#include <cxxabi.h>

#include <cstdlib>

namespace revati::effects {
namespace {

void remove_all(std::string* text, const std::string& part) {
    for (size_t at = text->find(part); at != std::string::npos; at = text->find(part, at))
        text->erase(at, part.size());
}

std::string trim(const std::string& text) {
    const size_t first = text.find_first_not_of(' ');
    if (first == std::string::npos) return "";
    return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// The position of the bracket that closes the one at `open`.
size_t closing(const std::string& text, size_t open) {
    int depth = 0;
    for (size_t at = open; at < text.size(); ++at) {
        if (text[at] == '<' || text[at] == '(' || text[at] == '{') ++depth;
        if (text[at] == '>' || text[at] == ')' || text[at] == '}') --depth;
        if (depth == 0) return at;
    }
    return text.size();
}

std::string last_component(const std::string& name) {
    const size_t at = name.rfind("::");
    const std::string tail = at == std::string::npos ? name : name.substr(at + 2);
    const size_t space = tail.rfind(' ');
    return space == std::string::npos ? tail : tail.substr(space + 1);
}

}  // namespace

std::string demangle(const std::string& symbol) {
    int status = 0;
    char* const text = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
    if (text == nullptr) return symbol;
    std::string result = text;
    free(text);
    remove_all(&result, "(anonymous namespace)::");
    return result;
}

std::vector<std::string> split_arguments(const std::string& text) {
    std::vector<std::string> parts;
    size_t start = 0;
    for (size_t at = 0; at <= text.size(); ++at) {
        if (at < text.size() && (text[at] == '<' || text[at] == '(' || text[at] == '{')) {
            at = closing(text, at);
        } else if (at == text.size() || text[at] == ',') {
            const std::string part = trim(text.substr(start, at - start));
            if (!part.empty()) parts.push_back(part);
            start = at + 1;
        }
    }
    return parts;
}

TemplateName parse_template(const std::string& text) {
    TemplateName name;
    const size_t stop = text.find_first_of("<(");
    name.base = last_component(text.substr(0, stop));
    if (stop == std::string::npos) return name;
    if (text[stop] == '(') {
        name.rest = text.substr(stop);
        return name;
    }
    const size_t end = closing(text, stop);
    name.arguments = split_arguments(text.substr(stop + 1, end - stop - 1));
    if (end < text.size()) name.rest = text.substr(end + 1);
    return name;
}

FunctorName parse_functor(const std::string& text) {
    const TemplateName outer = parse_template(text);
    FunctorName functor;
    functor.base = outer.base;
    functor.arguments = outer.arguments;
    const std::string marker = "{lambda(";
    const size_t at = outer.rest.rfind(marker);
    if (at == std::string::npos) return functor;
    functor.lambda = true;
    const size_t open = at + marker.size() - 1;
    functor.lambda_parameters =
        split_arguments(outer.rest.substr(open + 1, closing(outer.rest, open) - open - 1));
    return functor;
}

}  // namespace revati::effects
