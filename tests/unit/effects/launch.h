// Launches a kernel whose argument bytes are made by hand.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "check.h"
#include "device/stream.h"

using namespace revati::device;

class Launch {
  public:
    explicit Launch(const char* name) { kernel_->name = name; }

    template <typename T>
    Launch& arg(const T& value) {
        std::vector<char> bytes(sizeof value);
        memcpy(bytes.data(), &value, sizeof value);
        storage_.push_back(std::move(bytes));
        return *this;
    }
    Launch& bytes(std::vector<char> value) {
        storage_.push_back(std::move(value));
        return *this;
    }

    // The sizes that a cubin would tell; Triton appends two pointers of its own.
    void run_triton(Dim3 grid) {
        arg<void*>(nullptr).arg<void*>(nullptr);
        kernel_->params.known = true;
        for (const std::vector<char>& value : storage_)
            kernel_->params.bytes.push_back(static_cast<uint32_t>(value.size()));
        run(grid);
    }

    void run(Dim3 grid) {
        std::vector<void*> args;
        for (std::vector<char>& value : storage_) args.push_back(value.data());
        Stream* stream = nullptr;
        CHECK(create_stream(0, 0, false, 0, &stream) == Status::ok);
        LaunchConfig config;
        config.grid = grid;
        CHECK(launch(stream, kernel_, config, args.data()) == Status::ok);
    }

  private:
    Kernel* const kernel_ = new Kernel;  // kernels live as long as the process
    std::vector<std::vector<char>> storage_;
};
