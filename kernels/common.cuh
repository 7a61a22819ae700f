// What every kernel needs: element types read as f32, and sums over the threads of a block.
//
// Arithmetic is in f32, rounded where the plain versions in src/ops round. The same files compile as C++ for a host
// through shim.hpp, where tests run them.
#pragma once

#ifdef LIVR_HOST_SHIM
#include "shim.hpp"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
typedef __nv_bfloat16 bf16;
typedef __half f16;
__device__ inline float wide(float v) { return v; }
__device__ inline float wide(bf16 v) { return __bfloat162float(v); }
__device__ inline float wide(f16 v) { return __half2float(v); }
template <typename T> __device__ inline T narrow(float v);
template <> __device__ inline float narrow<float>(float v) { return v; }
template <> __device__ inline bf16 narrow<bf16>(float v) { return __float2bfloat16(v); }
template <> __device__ inline f16 narrow<f16>(float v) { return __float2half(v); }
#endif

// v rounded to T, as f32.
template <typename T> __device__ inline float rounded(float v) { return wide(narrow<T>(v)); }

#define LIVR_THREADS 128

// The sum, or the largest, of one value of each thread of a block of LIVR_THREADS; every thread gets it.
template <typename Combine> __device__ inline float over_block(float value, float *room, Combine combine) {
    room[threadIdx.x] = value;
    __syncthreads();
    for (int step = LIVR_THREADS / 2; step > 0; step /= 2) {
        if ((int)threadIdx.x < step) room[threadIdx.x] = combine(room[threadIdx.x], room[threadIdx.x + step]);
        __syncthreads();
    }
    float all = room[0];
    __syncthreads();
    return all;
}

__device__ inline float sum_over_block(float value, float *room) {
    return over_block(value, room, [](float a, float b) { return a + b; });
}

__device__ inline float max_over_block(float value, float *room) {
    return over_block(value, room, [](float a, float b) { return a > b ? a : b; });
}

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
