// Enough of CUDA's C++ to run these kernels on a host: the threads of a block are threads, blocks come one after the
// other. For tests of their arithmetic; says nothing of their speed.
#pragma once

#include <atomic>
#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __restrict__

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
inline thread_local dim3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
inline std::barrier<> *block_barrier;
inline void __syncthreads() { block_barrier->arrive_and_wait(); }
inline float atomicAdd(float *at, float value) { return std::atomic_ref<float>(*at).fetch_add(value); }

struct bf16 {
    uint16_t bits;
};
inline float wide(float v) { return v; }
inline float wide(bf16 v) {
    uint32_t bits = (uint32_t)v.bits << 16;
    float out;
    std::memcpy(&out, &bits, 4);
    return out;
}
template <typename T> inline T narrow(float v);
template <> inline float narrow<float>(float v) { return v; }
template <> inline bf16 narrow<bf16>(float v) {
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    return bf16{(uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// Room for `extern __shared__` arrays.
inline std::vector<float> shared_room;

template <typename Kernel, typename... Args>
void launch(Kernel kernel, dim3 grid, unsigned threads, unsigned shared_floats, Args... args) {
    gridDim = grid;
    blockDim = dim3{threads, 1, 1};
    shared_room.assign(shared_floats + 1, 0.0f);
    for (unsigned y = 0; y < grid.y; y++)
        for (unsigned x = 0; x < grid.x; x++) {
            std::barrier<> barrier(threads);
            block_barrier = &barrier;
            std::vector<std::thread> all;
            for (unsigned t = 0; t < threads; t++)
                all.emplace_back([=] {
                    threadIdx = dim3{t, 0, 0};
                    blockIdx = dim3{x, y, 0};
                    kernel(args...);
                });
            for (auto &thread : all) thread.join();
        }
}
