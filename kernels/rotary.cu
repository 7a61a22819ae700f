// Rotation of channel pairs by an angle each token has (Su et al. 2021): one block a token. The gradient is the
// rotation back, sign -1. Plain version: src/ops/rotary.rs.
#include "common.cuh"

// x: [T, H, 2 half], cos and sin: [T, half] of type U: products are rounded to it.
template <typename T, typename U>
__device__ void rotate(const T *x, const U *cos, const U *sin, T *out, int heads, int half, int neighbours, float sign) {
    size_t token = blockIdx.x;
    for (int i = threadIdx.x; i < heads * half; i += LIVR_THREADS) {
        int head = i / half, pair = i % half;
        size_t start = (token * heads + head) * 2 * half;
        size_t first = start + (neighbours ? 2 * pair : pair), second = start + (neighbours ? 2 * pair + 1 : half + pair);
        float a = wide(x[first]), b = wide(x[second]);
        float c = wide(cos[token * half + pair]), s = wide(sin[token * half + pair]) * sign;
        out[first] = narrow<T>(rounded<U>(a * c) - rounded<U>(b * s));
        out[second] = narrow<T>(rounded<U>(b * c) + rounded<U>(a * s));
    }
}

#define INSTANCE(NAME, T, U)                                                                                           \
    extern "C" __global__ void rotary_##NAME(                                                                          \
        const T *x, const U *cos, const U *sin, T *out, int heads, int half, int neighbours, float sign) {             \
        rotate(x, cos, sin, out, heads, half, neighbours, sign);                                                       \
    }
INSTANCE(f32_f32, float, float)
INSTANCE(bf16_bf16, bf16, bf16)
INSTANCE(bf16_f32, bf16, float)
#ifndef LIVR_HOST_SHIM
INSTANCE(f16_f16, f16, f16)
INSTANCE(f16_f32, f16, float)
#endif
#undef INSTANCE
