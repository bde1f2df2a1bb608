// `revati._native`: what Python tests and reports need of the native layers.
#include <pybind11/pybind11.h>

#include "python/bindings.h"

PYBIND11_MODULE(_native, module) {
    module.doc() = "Native parts of Revati: the cost model.";
    revati::python::bind_cost(module);
}
