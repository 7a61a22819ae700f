// silu(gate) * up (Shazeer 2020): one thread a value. Plain version: src/ops/swiglu.rs.
#include "common.cuh"

template <typename T> __device__ void forward(const T *gate, const T *up, T *out, int count) {
    int i = blockIdx.x * LIVR_THREADS + threadIdx.x;
    if (i >= count) return;
    float g = wide(gate[i]);
    out[i] = narrow<T>(rounded<T>(g * sigmoid(g)) * wide(up[i]));
}

// dgate = grad up s (1 + g (1 - s)), dup = grad g s, with s = sigmoid(g); out: dgate, then dup.
template <typename T> __device__ void backward(const T *gate, const T *up, const T *grad, T *out, int count) {
    int i = blockIdx.x * LIVR_THREADS + threadIdx.x;
    if (i >= count) return;
    float g = wide(gate[i]), d = wide(grad[i]), s = sigmoid(g);
    out[i] = narrow<T>(d * wide(up[i]) * s * (1.0f + g * (1.0f - s)));
    out[count + i] = narrow<T>(d * g * s);
}

#define INSTANCE(NAME, T)                                                                                              \
    extern "C" __global__ void swiglu_forward_##NAME(const T *gate, const T *up, T *out, int count) {                  \
        forward(gate, up, out, count);                                                                                 \
    }                                                                                                                  \
    extern "C" __global__ void swiglu_backward_##NAME(const T *gate, const T *up, const T *grad, T *out, int count) {  \
        backward(gate, up, grad, out, count);                                                                          \
    }
INSTANCE(f32, float)
INSTANCE(bf16, bf16)
#ifndef LIVR_HOST_SHIM
INSTANCE(f16, f16)
#endif
#undef INSTANCE
