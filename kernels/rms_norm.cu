// x / rms(x) * weight (Zhang and Sennrich 2019): one block a row. Plain version: src/ops/rms_norm.rs.
#include "common.cuh"

template <typename T> __device__ float inverse_rms(const T *x, int width, float eps, float *room) {
    float square = 0.0f;
    for (int i = threadIdx.x; i < width; i += LIVR_THREADS) square += wide(x[i]) * wide(x[i]);
    return 1.0f / sqrtf(sum_over_block(square, room) / (float)width + eps);
}

template <typename T> __device__ void forward(const T *x, const T *weight, T *out, int width, float eps) {
    __shared__ float room[LIVR_THREADS];
    x += (size_t)blockIdx.x * width;
    out += (size_t)blockIdx.x * width;
    float inverse = inverse_rms(x, width, eps, room);
    for (int i = threadIdx.x; i < width; i += LIVR_THREADS)
        out[i] = narrow<T>(rounded<T>(wide(x[i]) * inverse) * wide(weight[i]));
}

// With n = x / rms(x), h = grad * weight: dx = (h - n mean(h n)) / rms(x); dweight += grad n, rows in any order.
template <typename T>
__device__ void backward(const T *x, const T *weight, const T *grad, float *dx, float *dweight, int width, float eps) {
    __shared__ float room[LIVR_THREADS];
    x += (size_t)blockIdx.x * width;
    grad += (size_t)blockIdx.x * width;
    dx += (size_t)blockIdx.x * width;
    float inverse = inverse_rms(x, width, eps, room);
    float product = 0.0f;
    for (int i = threadIdx.x; i < width; i += LIVR_THREADS) product += wide(grad[i]) * wide(weight[i]) * wide(x[i]);
    float mean = sum_over_block(product, room) * inverse / (float)width;
    for (int i = threadIdx.x; i < width; i += LIVR_THREADS) {
        float n = wide(x[i]) * inverse;
        dx[i] = (wide(grad[i]) * wide(weight[i]) - n * mean) * inverse;
        atomicAdd(&dweight[i], wide(grad[i]) * n);
    }
}

#define INSTANCE(NAME, T)                                                                                              \
    extern "C" __global__ void rms_norm_forward_##NAME(const T *x, const T *weight, T *out, int width, float eps) {    \
        forward(x, weight, out, width, eps);                                                                           \
    }                                                                                                                  \
    extern "C" __global__ void rms_norm_backward_##NAME(                                                               \
        const T *x, const T *weight, const T *grad, float *dx, float *dweight, int width, float eps) {                 \
        backward(x, weight, grad, dx, dweight, width, eps);                                                            \
    }
INSTANCE(f32, float)
INSTANCE(bf16, bf16)
#ifndef LIVR_HOST_SHIM
INSTANCE(f16, f16)
#endif
#undef INSTANCE
