// softmax(q k^T scale + mask) v by groups of tokens, the rows of wanted queries out, and its gradients: one block a query
// of a head, the scores of its keys in shared memory; the tensor [H, T, S] never exists. Plain version:
// src/ops/attention. A first version: it reads k and v once for every query.
#include "common.cuh"

// Where a query looks: keys from `start` up to `end` whose group its own may look at, by `allowed` [groups, groups]; and the
// last of them, which under a mask is its own.
struct Where {
    const int *start, *end, *query_group, *key_group, *allowed;
    int groups;
};

#ifdef LIVR_HOST_SHIM
#define SCORES float *scores = shared_room.data()
#else
#define SCORES extern __shared__ float scores[]
#endif

// Scores of all keys of a query become probabilities, in shared memory; zeros where it may look at nothing.
template <typename T>
__device__ void probabilities(
    const T *q, const T *k, int first, int keys, int kv_heads, int kv, int dim, float scale, Where where, int group, float *scores,
    float *room) {
    float most = -INFINITY, nan = 0.0f;
    for (int key = threadIdx.x; key < keys; key += LIVR_THREADS) {
        float score = 0.0f;
        const T *row = k + ((size_t)(first + key) * kv_heads + kv) * dim;
        for (int i = 0; i < dim; i++) score += wide(q[i]) * wide(row[i]);
        bool allowed = key == keys - 1 || where.allowed[group * where.groups + where.key_group[first + key]] != 0;
        score = allowed ? score * scale : -INFINITY;
        if (score != score) nan = 1.0f;
        scores[key] = score;
        most = score > most ? score : most;
    }
    most = max_over_block(most, room);
    nan = max_over_block(nan, room);
    bool nothing = most == -INFINITY && nan == 0.0f;
    float sum = 0.0f;
    for (int key = threadIdx.x; key < keys; key += LIVR_THREADS) {
        scores[key] = nothing ? 0.0f : expf(scores[key] - most);
        sum += scores[key];
    }
    sum = sum_over_block(sum, room);
    for (int key = threadIdx.x; key < keys; key += LIVR_THREADS) scores[key] = nothing ? 0.0f : scores[key] / sum;
    __syncthreads();
}

// q, out: [T, H, d]; k, v: [S, Hkv, d]; rows: [H, R, S] with row_of_query[q] in 0..R, or -1. blockIdx: query, head.
template <typename T>
__device__ void forward(
    const T *q, const T *k, const T *v, T *out, float *rows, const int *row_of_query, int num_rows, int row_len, Where where,
    int kv_heads, int group, int dim, float scale) {
    __shared__ float room[LIVR_THREADS];
    SCORES;
    int query = blockIdx.x, head = blockIdx.y, heads = kv_heads * group, kv = head / group;
    int first = where.start[query], keys = where.end[query] - first;
    size_t at = ((size_t)query * heads + head) * dim;
    probabilities(q + at, k, first, keys, kv_heads, kv, dim, scale, where, where.query_group[query], scores, room);
    for (int i = threadIdx.x; i < dim; i += LIVR_THREADS) {
        float mixed = 0.0f;
        for (int key = 0; key < keys; key++) mixed += scores[key] * wide(v[((size_t)(first + key) * kv_heads + kv) * dim + i]);
        out[at + i] = narrow<T>(mixed);
    }
    int row = num_rows > 0 ? row_of_query[query] : -1;
    if (row < 0) return;
    float *kept = rows + ((size_t)head * num_rows + row) * row_len;
    for (int key = threadIdx.x; key < row_len; key += LIVR_THREADS) kept[key] = key < keys ? scores[key] : 0.0f;
}

// dv += p grad; ds = p (grad v^T - rowsum(grad out)); dq = ds k scale; dk += ds q scale (Dao et al. 2022). Sums over
// queries are taken in any order. Shared memory: scores twice.
template <typename T>
__device__ void backward(
    const T *q, const T *k, const T *v, const T *out, const T *grad, float *dq, float *dk, float *dv, Where where, int kv_heads,
    int group, int dim, float scale) {
    __shared__ float room[LIVR_THREADS];
    SCORES;
    int query = blockIdx.x, head = blockIdx.y, heads = kv_heads * group, kv = head / group;
    int first = where.start[query], keys = where.end[query] - first;
    size_t at = ((size_t)query * heads + head) * dim;
    probabilities(q + at, k, first, keys, kv_heads, kv, dim, scale, where, where.query_group[query], scores, room);
    float product = 0.0f;
    for (int i = threadIdx.x; i < dim; i += LIVR_THREADS) product += wide(grad[at + i]) * wide(out[at + i]);
    float mean = sum_over_block(product, room);
    float *ds = scores + keys;
    for (int key = threadIdx.x; key < keys; key += LIVR_THREADS) {
        size_t row = ((size_t)(first + key) * kv_heads + kv) * dim;
        float dp = 0.0f;
        for (int i = 0; i < dim; i++) dp += wide(grad[at + i]) * wide(v[row + i]);
        ds[key] = scores[key] * (dp - mean) * scale;
        for (int i = 0; i < dim; i++) {
            atomicAdd(&dv[row + i], scores[key] * wide(grad[at + i]));
            atomicAdd(&dk[row + i], ds[key] * wide(q[at + i]));
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < dim; i += LIVR_THREADS) {
        float sum = 0.0f;
        for (int key = 0; key < keys; key++) sum += ds[key] * wide(k[((size_t)(first + key) * kv_heads + kv) * dim + i]);
        dq[at + i] = sum;
    }
}

#define INSTANCE(NAME, T)                                                                                              \
    extern "C" __global__ void attention_forward_##NAME(                                                               \
        const T *q, const T *k, const T *v, T *out, float *rows, const int *row_of_query, int num_rows, int row_len,    \
        const int *start, const int *end, const int *query_group, const int *key_group, const int *allowed, int groups, \
        int kv_heads, int group, int dim, float scale) {                                                               \
        Where where{start, end, query_group, key_group, allowed, groups};                                              \
        forward(q, k, v, out, rows, row_of_query, num_rows, row_len, where, kv_heads, group, dim, scale);              \
    }                                                                                                                  \
    extern "C" __global__ void attention_backward_##NAME(                                                              \
        const T *q, const T *k, const T *v, const T *out, const T *grad, float *dq, float *dk, float *dv,               \
        const int *start, const int *end, const int *query_group, const int *key_group, const int *allowed, int groups, \
        int kv_heads, int group, int dim, float scale) {                                                               \
        Where where{start, end, query_group, key_group, allowed, groups};                                              \
        backward(q, k, v, out, grad, dq, dk, dv, where, kv_heads, group, dim, scale);                                  \
    }
INSTANCE(f32, float)
INSTANCE(bf16, bf16)
#ifndef LIVR_HOST_SHIM
INSTANCE(f16, f16)
#endif
#undef INSTANCE
