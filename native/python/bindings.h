// One function for each native layer that shows itself to Python.
#pragma once

#include <pybind11/pybind11.h>

namespace revati::python {

void bind_cost(pybind11::module_& module);

}  // namespace revati::python
