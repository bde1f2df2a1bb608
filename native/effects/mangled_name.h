// Reads a kernel's C++ name: which template it is, of which types, with which functor.
#pragma once

#include <string>
#include <vector>

namespace revati::effects {

// Readable form of a mangled symbol, without "(anonymous namespace)::" (build hashes are gone with it); the
// name itself if it is not mangled.
std::string demangle(const std::string& symbol);

// A template instance, split: "void at::native::reduce_kernel<512, 1, X>(...)" has the base "reduce_kernel"
// and three arguments.
struct TemplateName {
    std::string base;  // last component of the qualified name
    std::vector<std::string> arguments;
    std::string rest;  // what follows the template arguments or the plain name

    bool is(const char* name) const { return base == name; }
};
TemplateName parse_template(const std::string& text);

// A functor: a class ("FillFunctor<long>") or a lambda inside a function
// ("neg_kernel_cuda(...)::{lambda(long)#1}").
struct FunctorName {
    std::string base;                            // class, or function that holds the lambda
    std::vector<std::string> arguments;          // template arguments of the class or the function
    std::vector<std::string> lambda_parameters;  // empty for a class
    bool lambda = false;
};
FunctorName parse_functor(const std::string& text);

// "a, b<c, d>" -> "a", "b<c, d>".
std::vector<std::string> split_arguments(const std::string& text);

}  // namespace revati::effects
