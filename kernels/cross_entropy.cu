// -log softmax(scores)[target] of rows of scores, and its gradient: one block a row. Plain version:
// src/ops/cross_entropy.rs.
#include "common.cuh"

struct Total {
    float most, sum;
};

__device__ inline Total total(const float *scores, int vocab, float *room) {
    float most = -INFINITY;
    for (int i = threadIdx.x; i < vocab; i += LIVR_THREADS) most = scores[i] > most ? scores[i] : most;
    most = max_over_block(most, room);
    float sum = 0.0f;
    for (int i = threadIdx.x; i < vocab; i += LIVR_THREADS) sum += expf(scores[i] - most);
    return {most, sum_over_block(sum, room)};
}

extern "C" __global__ void cross_entropy_forward_f32(const float *scores, const unsigned *targets, float *losses, int vocab) {
    __shared__ float room[LIVR_THREADS];
    scores += (size_t)blockIdx.x * vocab;
    Total all = total(scores, vocab, room);
    if (threadIdx.x == 0) losses[blockIdx.x] = all.most + logf(all.sum) - scores[targets[blockIdx.x]];
}

// dscores = (softmax - target) * grad.
extern "C" __global__ void cross_entropy_backward_f32(
    const float *scores, const unsigned *targets, const float *grad, float *dscores, int vocab) {
    __shared__ float room[LIVR_THREADS];
    scores += (size_t)blockIdx.x * vocab;
    dscores += (size_t)blockIdx.x * vocab;
    Total all = total(scores, vocab, room);
    float up = grad[blockIdx.x], factor = up / all.sum;
    for (int i = threadIdx.x; i < vocab; i += LIVR_THREADS)
        dscores[i] = expf(scores[i] - all.most) * factor - (i == (int)targets[blockIdx.x] ? up : 0.0f);
}
