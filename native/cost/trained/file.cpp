#include "cost/trained/file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>

namespace revati::cost::trained {
namespace {

constexpr uint32_t version = 1;
constexpr size_t header_bytes = 32;
constexpr size_t max_file_bytes = size_t{64} << 20;
constexpr uint32_t max_records = 1024, max_string = 4096, max_notes = 64, max_intervals = 64,
                   max_constants = 512, max_instructions = 1024;
constexpr uint32_t max_curves = 64, max_curve_points = 256, max_features = 64, max_trees = 4096,
                   max_nodes = 4000000, max_rows = 4000000;
constexpr uint8_t last_operation = 11;

bool unary(uint8_t operation) {
    return operation >= 6 && operation <= 10;
}

// CRC-32 as zlib has it, eight bytes at a time: a large file must not slow down every start.
uint32_t crc32(const uint8_t* data, size_t bytes) {
    static const auto* const tables = [] {
        auto* const t = new std::array<std::array<uint32_t, 256>, 8>;
        for (uint32_t i = 0; i < 256; ++i) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ (c & 1 ? 0xedb88320u : 0);
            (*t)[0][i] = c;
        }
        for (uint32_t i = 0; i < 256; ++i) {
            for (size_t k = 1; k < 8; ++k)
                (*t)[k][i] = ((*t)[k - 1][i] >> 8) ^ (*t)[0][(*t)[k - 1][i] & 0xff];
        }
        return t;
    }();
    const auto& t = *tables;
    uint32_t crc = ~0u;
    for (; bytes >= 8; bytes -= 8, data += 8) {
        uint32_t low, high;
        memcpy(&low, data, 4);
        memcpy(&high, data + 4, 4);
        low ^= crc;
        crc = t[7][low & 0xff] ^ t[6][low >> 8 & 0xff] ^ t[5][low >> 16 & 0xff] ^ t[4][low >> 24] ^
              t[3][high & 0xff] ^ t[2][high >> 8 & 0xff] ^ t[1][high >> 16 & 0xff] ^ t[0][high >> 24];
    }
    for (; bytes > 0; --bytes, ++data) crc = (crc >> 8) ^ t[0][(crc ^ *data) & 0xff];
    return ~crc;
}

// Reads within bounds. After the first failure every read yields zero and `failed` says what was wrong.
class Reader {
  public:
    Reader(const uint8_t* data, size_t position, size_t end) : data_(data), position_(position), end_(end) {}

    bool check(bool holds, const char* what) {
        if (!holds && failed_.empty())
            failed_ = std::string(what) + " (near byte " + std::to_string(position_) + ")";
        return failed_.empty();
    }
    bool ok() const { return failed_.empty(); }
    const std::string& failure() const { return failed_; }
    size_t position() const { return position_; }

    const uint8_t* take(uint64_t bytes) {
        if (!check(bytes <= end_ - position_, "it ends in the middle of a record")) return nullptr;
        position_ += bytes;
        return data_ + position_ - bytes;
    }

    template <typename T>
    T read() {
        T value{};
        const uint8_t* const from = take(sizeof(T));
        if (from != nullptr) memcpy(&value, from, sizeof(T));
        return value;
    }

    template <typename T>
    uint32_t count(uint32_t limit, const char* what) {
        const uint32_t value = read<T>();
        return check(value <= limit, what) ? value : 0;
    }

    double real() {
        const double value = read<double>();
        check(std::isfinite(value), "a number is not finite");
        return value;
    }

    std::vector<double> reals(uint32_t n) {
        std::vector<double> out;
        for (uint32_t i = 0; i < n && ok(); ++i) out.push_back(real());
        return out;
    }

    // An array as it stands in the file; its size is checked before anything is allocated.
    template <typename T>
    std::vector<T> array(uint64_t n) {
        std::vector<T> out;
        const uint8_t* const from = take(n * sizeof(T));
        if (from == nullptr) return out;
        out.resize(n);
        if (n > 0) memcpy(static_cast<void*>(out.data()), from, n * sizeof(T));
        return out;
    }

    std::string text() {
        const uint32_t bytes = count<uint16_t>(max_string, "a string is too long");
        const uint8_t* const from = take(bytes);
        if (from == nullptr) return {};
        for (uint32_t i = 0; i < bytes; ++i)
            check(from[i] >= 0x20 && from[i] != 0x7f, "a string has unprintable characters");
        return {reinterpret_cast<const char*>(from), bytes};
    }

    std::vector<Interval> intervals(uint32_t registers, const char* what) {
        std::vector<Interval> out;
        const uint32_t n = count<uint16_t>(max_intervals, what);
        for (uint32_t i = 0; i < n && ok(); ++i) {
            Interval interval{};
            interval.index = read<uint16_t>();
            interval.low = real();
            interval.high = real();
            check(interval.index < registers && interval.low <= interval.high, what);
            out.push_back(interval);
        }
        return out;
    }

    void align() {
        const size_t padding = (8 - position_ % 8) % 8;
        const uint8_t* const from = take(padding);
        for (size_t i = 0; from != nullptr && i < padding; ++i) check(from[i] == 0, "padding is not zero");
    }

  private:
    const uint8_t* data_;
    size_t position_, end_;
    std::string failed_;
};

void read_program(Reader* reader, uint32_t first, Model* model) {
    const uint32_t n = reader->count<uint16_t>(max_instructions, "too many instructions");
    for (uint32_t i = 0; i < n && reader->ok(); ++i) {
        Instruction step{};
        step.operation = reader->read<uint8_t>();
        const uint8_t zero = reader->read<uint8_t>();
        step.a = reader->read<uint16_t>();
        step.b = reader->read<uint16_t>();
        const bool known =
            step.operation <= last_operation && zero == 0 && (!unary(step.operation) || step.b == 0);
        reader->check(known && step.a < first + i && step.b < first + i, "an instruction is impossible");
        model->instructions.push_back(step);
    }
}

void read_curves(Reader* reader, uint32_t registers, Model* model) {
    const uint32_t n = reader->count<uint16_t>(max_curves, "too many curves");
    for (uint32_t i = 0; i < n && reader->ok(); ++i) {
        Curve curve;
        curve.reg = reader->read<uint16_t>();
        const uint32_t points = reader->count<uint16_t>(max_curve_points, "too many points of a curve");
        curve.x = reader->reals(points);
        curve.y = reader->reals(points);
        reader->check(curve.reg < registers && points >= 2, "a curve is impossible");
        for (size_t p = 1; p < curve.x.size(); ++p)
            reader->check(curve.x[p - 1] < curve.x[p], "a curve is impossible");
        model->curves.push_back(std::move(curve));
    }
}

void check_tree(Reader* reader, const Model& model, size_t start, size_t end) {
    for (size_t i = start; i < end; ++i) {
        const Node& node = model.nodes[i];
        reader->check(std::isfinite(node.value), "a node's value is not finite");
        if (node.feature == leaf) {
            reader->check(node.right == 0, "a leaf has a child");
        } else {
            reader->check(node.feature < model.features.size(), "a node names an unknown feature");
            reader->check(node.right > 1 && i + node.right < end, "a node's child lies outside of its tree");
        }
    }
}

void read_trees(Reader* reader, Model* model) {
    const uint32_t trees = reader->count<uint32_t>(max_trees, "too many trees");
    model->roots = reader->array<uint32_t>(trees);
    const uint32_t nodes = reader->count<uint32_t>(max_nodes, "too many nodes");
    reader->align();
    static_assert(sizeof(Node) == 8, "nodes are read as they stand in the file");
    model->nodes = reader->array<Node>(nodes);
    if (!reader->ok()) return;
    if (!reader->check(model->roots.empty() == model->nodes.empty(),
                       "trees without nodes, or nodes without trees"))
        return;
    for (size_t t = 0; t < model->roots.size() && reader->ok(); ++t) {
        const size_t start = model->roots[t];
        const size_t end = t + 1 < model->roots.size() ? model->roots[t + 1] : model->nodes.size();
        if (!reader->check((t > 0 || start == 0) && start < end && end <= model->nodes.size(),
                           "a tree starts at an impossible node"))
            return;
        check_tree(reader, *model, start, end);
    }
}

void read_model(Reader* reader, uint32_t inputs, Model* model) {
    model->reach = reader->real();
    reader->check(model->reach >= 0 && model->reach <= 64, "reach lies outside of 0..64");
    model->limits = reader->intervals(1u << 16, "a limit is impossible");
    model->constants = reader->reals(reader->count<uint16_t>(max_constants, "too many constants"));
    const auto first = static_cast<uint32_t>(inputs + model->constants.size());
    read_program(reader, first, model);
    const auto registers = static_cast<uint32_t>(first + model->instructions.size());
    for (const Interval& limit : model->limits)
        reader->check(limit.index < registers, "a limit names an unknown register");
    model->base = reader->read<uint16_t>();
    reader->check(model->base < registers, "the base names an unknown register");
    model->intercept = reader->real();
    model->lowest = reader->real();
    model->highest = reader->real();
    reader->check(model->lowest <= model->highest, "the lowest ratio lies above the highest");
    read_curves(reader, registers, model);
    model->features = reader->array<uint16_t>(reader->count<uint16_t>(max_features, "too many features"));
    for (const uint16_t feature : model->features)
        reader->check(feature < registers, "a feature names an unknown register");
    read_trees(reader, model);
}

void read_points(Reader* reader, uint32_t inputs, Points* points) {
    points->columns = reader->array<uint16_t>(reader->count<uint16_t>(inputs, "too many columns"));
    reader->check(!points->columns.empty(), "measured points without columns");
    for (size_t i = 0; i < points->columns.size(); ++i) {
        reader->check(points->columns[i] < inputs && (i == 0 || points->columns[i - 1] < points->columns[i]),
                      "impossible columns");
    }
    const uint32_t rows = reader->count<uint32_t>(max_rows, "too many measured points");
    reader->align();
    const size_t width = points->columns.size();
    points->keys = reader->array<double>(uint64_t{rows} * width);
    points->seconds = reader->array<double>(rows);
    if (!reader->ok()) return;
    for (const double key : points->keys) reader->check(std::isfinite(key), "a key is not finite");
    for (const double s : points->seconds)
        reader->check(std::isfinite(s) && s > 0, "a measured duration is not positive");
    for (size_t row = 1; row < rows && reader->ok(); ++row) {
        const auto before = points->keys.begin() + static_cast<std::ptrdiff_t>((row - 1) * width);
        const auto here = before + static_cast<std::ptrdiff_t>(width);
        const bool rising =
            std::lexicographical_compare(before, here, here, here + static_cast<std::ptrdiff_t>(width));
        reader->check(rising, "measured points are not in order");
    }
}

Record read_record(Reader* reader) {
    Record record;
    const uint16_t kind = reader->read<uint16_t>(), type = reader->read<uint16_t>();
    if (!reader->check(kind >= 1 && kind < static_cast<uint16_t>(Kind::end_), "unknown kind of work"))
        return record;
    if (!reader->check(type == 1 || type == 2, "unknown record type")) return record;
    record.kind = static_cast<Kind>(kind);
    record.is_points = type == 2;
    const auto inputs = static_cast<uint32_t>(inputs_of(record.kind));
    record.name = reader->text();
    record.engine = reader->text();
    const uint32_t notes = reader->count<uint16_t>(max_notes, "too many notes");
    for (uint32_t i = 0; i < 2 * notes && reader->ok(); ++i) reader->text();
    record.confidence_inside = reader->read<float>();
    record.confidence_outside = reader->read<float>();
    for (const float confidence : {record.confidence_inside, record.confidence_outside}) {
        reader->check(confidence >= 0 && confidence <= 1, "a confidence lies outside of 0..1");
    }
    record.selectors = reader->intervals(inputs, "a selector is impossible");
    if (!reader->ok()) return record;
    if (record.is_points) {
        read_points(reader, inputs, &record.points);
    } else {
        read_model(reader, inputs, &record.model);
    }
    reader->align();
    return record;
}

bool fail(std::string* error, const std::string& what) {
    *error = "not a usable model file: " + what +
             "; make it again with `revati profile train` or `revati profile import`";
    return false;
}

bool check_header(const uint8_t* data, size_t bytes, uint32_t* records, std::string* error) {
    if (bytes < header_bytes || memcmp(data, "RVTMODEL", 8) != 0)
        return fail(error, "it does not start with RVTMODEL");
    uint32_t file_version, crc, zero;
    uint64_t size;
    memcpy(&file_version, data + 8, 4);
    memcpy(&crc, data + 12, 4);
    memcpy(&size, data + 16, 8);
    memcpy(records, data + 24, 4);
    memcpy(&zero, data + 28, 4);
    if (file_version != version)
        return fail(error, "its version is " + std::to_string(file_version) + ", this release reads " +
                               std::to_string(version));
    if (bytes > max_file_bytes || size != bytes) return fail(error, "its size is not the one that it names");
    if (*records > max_records || zero != 0) return fail(error, "its header is damaged");
    if (crc32(data + header_bytes, bytes - header_bytes) != crc)
        return fail(error, "its checksum does not match its contents");
    return true;
}

}  // namespace

int inputs_of(Kind kind) {
    switch (kind) {
        case Kind::gemm:
            return 8;
        case Kind::attention_decode:
        case Kind::attention_prefill:
            return 14;
        case Kind::moe:
            return 7;
        case Kind::collective:
            return 4;
        case Kind::bytes:
            return 2;
        case Kind::copy:
            return 3;
        default:
            return 0;
    }
}

bool parse(const uint8_t* data, size_t bytes, std::vector<Record>* out, std::string* error) {
    uint32_t count = 0;
    if (!check_header(data, bytes, &count, error)) return false;
    std::vector<Record> records;
    size_t position = header_bytes;
    for (uint32_t i = 0; i < count; ++i) {
        Reader length(data, position, bytes);
        const uint32_t record_bytes = length.read<uint32_t>();
        length.check(record_bytes >= 8 && record_bytes % 8 == 0 && record_bytes <= bytes - position,
                     "a record's size is impossible");
        if (!length.ok()) return fail(error, length.failure());
        Reader reader(data, position + 4, position + record_bytes);
        records.push_back(read_record(&reader));
        reader.check(reader.position() == position + record_bytes, "a record is longer than its contents");
        if (!reader.ok()) return fail(error, reader.failure());
        position += record_bytes;
    }
    if (position != bytes) return fail(error, "it goes on behind its last record");
    *out = std::move(records);
    return true;
}

bool load(const std::string& path, std::vector<Record>* out, std::string* error) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    const std::streamoff bytes = file ? static_cast<std::streamoff>(file.tellg()) : -1;
    std::vector<uint8_t> data;
    bool read = bytes >= 0 && static_cast<uint64_t>(bytes) <= max_file_bytes;
    if (read) {
        data.resize(static_cast<size_t>(bytes));
        file.seekg(0);
        file.read(reinterpret_cast<char*>(data.data()), bytes);
        read = file.gcount() == bytes;
    }
    if (!read) {
        *error = path + ": cannot be read as a model file (missing, unreadable or larger than 64 MiB)";
        return false;
    }
    if (parse(data.data(), data.size(), out, error)) return true;
    *error = path + ": " + *error;
    return false;
}

}  // namespace revati::cost::trained
