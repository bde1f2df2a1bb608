// Durations for Python: tests, `revati explain`.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "cost/model.h"
#include "cost/question.h"
#include "device/spec.h"
#include "python/bindings.h"

namespace py = pybind11;

namespace revati::python {
namespace {

using cost::DType;

DType dtype_of(const std::string& name) {
    static const std::pair<const char*, DType> names[] = {
        {"f64", DType::f64},   {"f32", DType::f32},       {"tf32", DType::tf32},     {"f16", DType::f16},
        {"bf16", DType::bf16}, {"f8e4m3", DType::f8e4m3}, {"f8e5m2", DType::f8e5m2}, {"f4", DType::f4},
        {"i64", DType::i64},   {"i32", DType::i32},       {"i16", DType::i16},       {"i8", DType::i8},
        {"u8", DType::u8},     {"b1", DType::b1}};
    for (const auto& [text, dtype] : names) {
        if (name == text) return dtype;
    }
    throw std::invalid_argument(
        "unknown dtype '" + name +
        "'; known are f64, f32, tf32, f16, bf16, f8e4m3, f8e5m2, f4, i64, i32, i16, i8, u8, b1");
}

template <typename Kind, size_t n>
Kind kind_of(const std::string& name, const char* const (&names)[n], const char* what) {
    for (size_t i = 0; i < n; ++i) {
        if (name == names[i]) return static_cast<Kind>(i);
    }
    throw std::invalid_argument("unknown " + std::string(what) + " '" + name + "'");
}

constexpr const char* copy_kinds[] = {"host_to_device", "device_to_host", "device_to_device", "peer",
                                      "host_to_host"};
constexpr const char* collective_kinds[] = {"all_reduce", "all_gather", "reduce_scatter", "broadcast",
                                            "reduce",     "all_to_all", "send",           "recv"};

cost::Ceilings ceilings_of(const std::string& device_conf) {
    device::SessionSpec spec;
    std::string error;
    if (!device::parse_session_spec(device_conf, &spec, &error)) throw std::invalid_argument(error);
    const device::GpuSpec& gpu = spec.gpu;
    cost::Ceilings c{};
    c.bf16_flops = gpu.bf16_flops;
    c.fp8_flops = gpu.fp8_flops;
    c.fp4_flops = gpu.fp4_flops;
    c.int8_flops = gpu.int8_flops;
    c.tf32_flops = gpu.tf32_flops;
    c.fp32_flops = gpu.fp32_flops;
    c.fp64_flops = gpu.fp64_flops;
    c.memory_bandwidth = gpu.memory_bandwidth;
    c.pcie_bandwidth = gpu.pcie_bandwidth;
    c.nvlink_bandwidth = gpu.nvlink_bandwidth;
    c.l2_bytes = gpu.l2_bytes;
    c.sm_count = gpu.sm_count;
    c.copy_latency_ns = gpu.copy_latency_ns;
    c.network_nics = spec.network.nics;
    c.network_bandwidth = spec.network.bandwidth;
    c.network_hop_ns = spec.network.hop_ns;
    return c;
}

// (ns, source, family, confidence)
py::tuple answer(const cost::Duration& d) {
    return py::make_tuple(d.ns, cost::name_of(d.source), cost::name_of(d.family), d.confidence);
}

void check_positive(int64_t value, const char* name) {
    if (value < 1) throw std::invalid_argument(std::string(name) + " must be at least 1");
}

py::tuple estimate_gemm(cost::Estimator& self, int64_t m, int64_t n, int64_t k, int64_t batch,
                        const std::string& a, const std::string& b, const std::string& d, bool block_scaled) {
    check_positive(m, "m");
    check_positive(n, "n");
    check_positive(k, "k");
    check_positive(batch, "batch");
    cost::GemmFeatures f;
    f.m = m;
    f.n = n;
    f.k = k;
    f.batch = batch;
    f.a = dtype_of(a);
    f.b = dtype_of(b);
    f.d = dtype_of(d);
    f.block_scaled = block_scaled;
    return answer(self.gemm(f));
}

py::tuple estimate_attention(cost::Estimator& self, std::vector<int32_t> q_lengths,
                             std::vector<int32_t> kv_lengths, int q_heads, int kv_heads, int head_dim,
                             int window, const std::string& q_dtype, const std::string& kv_dtype,
                             int v_head_dim) {
    if (q_lengths.empty() || q_lengths.size() != kv_lengths.size())
        throw std::invalid_argument("q_lengths and kv_lengths must have one entry per sequence");
    check_positive(q_heads, "q_heads");
    check_positive(kv_heads, "kv_heads");
    check_positive(head_dim, "head_dim");
    cost::AttentionFeatures f;
    f.q_lengths = std::move(q_lengths);
    f.kv_lengths = std::move(kv_lengths);
    f.q_heads = q_heads;
    f.kv_heads = kv_heads;
    f.head_dim = head_dim;
    f.v_head_dim = v_head_dim > 0 ? v_head_dim : head_dim;
    f.window = window;
    f.q_dtype = dtype_of(q_dtype);
    f.kv_dtype = dtype_of(kv_dtype);
    return answer(self.attention(f));
}

py::tuple estimate_copy(cost::Estimator& self, const std::string& kind, uint64_t bytes, bool pinned) {
    return answer(self.copy({kind_of<cost::CopyKind>(kind, copy_kinds, "copy"), bytes, pinned}));
}

py::tuple estimate_collective(cost::Estimator& self, const std::string& kind, int ranks, uint64_t bytes,
                              bool custom, int nodes) {
    check_positive(ranks, "ranks");
    check_positive(nodes, "nodes");
    return answer(self.collective(
        {kind_of<cost::CollectiveKind>(kind, collective_kinds, "collective"), ranks, bytes, custom, nodes}));
}

py::tuple estimate_bytes(cost::Estimator& self, const std::string& family, uint64_t bytes) {
    for (int i = 0; i < static_cast<int>(cost::Family::count_); ++i) {
        if (family == cost::name_of(static_cast<cost::Family>(i)))
            return answer(self.by_bytes(static_cast<cost::Family>(i), bytes));
    }
    throw std::invalid_argument("unknown family '" + family + "'");
}

void load_models(cost::Estimator& self, const std::string& path, const std::string& engine) {
    std::string error;
    if (!self.load(path, engine, &error)) throw std::invalid_argument(error);
}

// A launch as the device would report it. `args`: the bytes of each argument, in order.
class LaunchFromPython {
  public:
    LaunchFromPython(std::string name, std::vector<uint32_t> grid, std::vector<uint32_t> block,
                     uint32_t shared_bytes, const std::vector<py::bytes>& args)
        : name_(std::move(name)) {
        if (grid.size() > 3 || block.size() > 3)
            throw std::invalid_argument("grid and block have at most three dimensions");
        grid.resize(3, 1);
        block.resize(3, 1);
        for (const py::bytes& arg : args) storage_.emplace_back(arg);
        for (std::string& bytes : storage_) {
            pointers_.push_back(bytes.data());
            sizes_.push_back(static_cast<uint32_t>(bytes.size()));
        }
        launch_.name = name_.c_str();
        std::memcpy(launch_.grid, grid.data(), sizeof launch_.grid);
        std::memcpy(launch_.block, block.data(), sizeof launch_.block);
        launch_.shared_bytes = shared_bytes;
        launch_.args = pointers_.data();
        launch_.arg_bytes = sizes_.data();
        launch_.arg_count = static_cast<uint32_t>(sizes_.size());
    }
    LaunchFromPython(const LaunchFromPython&) = delete;

    const cost::KernelLaunch& launch() const { return launch_; }

  private:
    std::string name_;
    std::vector<std::string> storage_;
    std::vector<void*> pointers_;
    std::vector<uint32_t> sizes_;
    cost::KernelLaunch launch_;
};

py::tuple estimate_kernel(cost::Estimator& self, const std::string& name, std::vector<uint32_t> grid,
                          std::vector<uint32_t> block, const std::vector<py::bytes>& args) {
    const LaunchFromPython made(name, std::move(grid), std::move(block), 0, args);
    return answer(self.model_for(name.c_str())->estimate(made.launch()));
}

// Every call has an estimator of its own: what earlier launches left for later ones must not leak in.
py::object launch_features(const std::string& name, std::vector<uint32_t> grid, std::vector<uint32_t> block,
                           uint32_t shared_bytes, const std::vector<py::bytes>& args) {
    const LaunchFromPython made(name, std::move(grid), std::move(block), shared_bytes, args);
    cost::Ceilings any{};
    any.bf16_flops = any.fp8_flops = any.fp4_flops = any.int8_flops = 1e15;
    any.tf32_flops = any.fp32_flops = any.fp64_flops = 1e14;
    any.memory_bandwidth = any.pcie_bandwidth = any.nvlink_bandwidth = 1e12;
    any.l2_bytes = 1 << 25;
    any.sm_count = 100;
    any.copy_latency_ns = 1000;
    cost::Estimator estimator(any);
    cost::keep_questions(true);
    const cost::KernelLaunch& launch = made.launch();
    const cost::Duration duration = estimator.model_for(launch.name)->estimate(launch);
    const cost::Question question = cost::take_question(duration);
    cost::keep_questions(false);
    const std::string text =
        cost::describe(question, {launch.name, launch.grid, launch.block, launch.shared_bytes});
    return py::module_::import("json").attr("loads")("{" + text + "}");
}

py::dict describe_kernel(cost::Estimator& self, const std::string& name) {
    const cost::KernelModel* const model = self.model_for(name.c_str());
    py::dict out;
    out["depends_on_memory"] = model->depends_on_memory();
    out["expected_arg_bytes"] = model->expected_arg_bytes();
    return out;
}

}  // namespace

void bind_cost(py::module_& module) {
    py::class_<cost::Estimator>(module, "Estimator",
                                "Durations of GPU work; every estimate is (ns, source, family, confidence).")
        .def(py::init([](const std::string& device_conf) {
                 return new cost::Estimator(ceilings_of(device_conf));
             }),
             py::arg("device_conf"),
             "From the text of a session's device.conf (`Gpu.device_conf`). ValueError if it is malformed.")
        .def("load", &load_models, py::arg("path"), py::arg("engine") = "",
             "Takes trained models and measured points from a file; ValueError if it is not sound.")
        .def("gemm", &estimate_gemm, py::arg("m"), py::arg("n"), py::arg("k"), py::arg("batch") = 1,
             py::arg("a") = "bf16", py::arg("b") = "bf16", py::arg("d") = "bf16",
             py::arg("block_scaled") = false, "D[m,n] = A[m,k] B[k,n], `batch` times.")
        .def("attention", &estimate_attention, py::arg("q_lengths"), py::arg("kv_lengths"),
             py::arg("q_heads"), py::arg("kv_heads"), py::arg("head_dim") = 128, py::arg("window") = 0,
             py::arg("q_dtype") = "bf16", py::arg("kv_dtype") = "bf16", py::arg("v_head_dim") = 0,
             "New tokens, and keys including them, of every sequence; v_head_dim: as head_dim if 0.")
        .def("copy", &estimate_copy, py::arg("kind"), py::arg("bytes"), py::arg("pinned") = true)
        .def(
            "fill", [](cost::Estimator& self, uint64_t bytes) { return answer(self.fill(bytes)); },
            py::arg("bytes"))
        .def("collective", &estimate_collective, py::arg("kind"), py::arg("ranks"), py::arg("bytes"),
             py::arg("custom") = false, py::arg("nodes") = 1)
        .def("by_bytes", &estimate_bytes, py::arg("family"), py::arg("bytes"))
        .def("kernel", &estimate_kernel, py::arg("name"), py::arg("grid"), py::arg("block"),
             py::arg("args") = std::vector<py::bytes>{})
        .def("describe_kernel", &describe_kernel, py::arg("name"));
    module.def(
        "launch_features", &launch_features, py::arg("name"), py::arg("grid"), py::arg("block"),
        py::arg("shared_bytes") = 0, py::arg("args") = std::vector<py::bytes>{},
        "What the emulator takes a kernel launch for: a dict of `family`, `features` and `certainty`.\n\n"
        "`name` may be mangled or as a profiler prints it; `args` holds the bytes of each argument, where "
        "they are known.\nCertainty: `exact`; `guess`, where arguments are missing or the kernel is unknown; "
        "`part` of the launch before it.");
}

}  // namespace revati::python
