// Runs one kernel on the host, as a test asks: numbers come in on standard input, results go out on standard output.
//
//     host OPERATION SIZE.. < inputs (f32, one array after the other) > outputs (f32)
#define LIVR_HOST_SHIM
#include "common.cuh"

#include <cstdio>
#include <cstdlib>
#include <string>

namespace rms_norm {
#include "rms_norm.cu"
}
namespace rotary {
#include "rotary.cu"
}
namespace swiglu {
#include "swiglu.cu"
}
namespace cross_entropy {
#include "cross_entropy.cu"
}
namespace attention {
#include "attention.cu"
}

static std::vector<float> take(size_t count) {
    std::vector<float> values(count);
    if (fread(values.data(), 4, count, stdin) != count) {
        fprintf(stderr, "expected %zu more numbers\n", count);
        exit(1);
    }
    return values;
}

static void give(const std::vector<float> &values) { fwrite(values.data(), 4, values.size(), stdout); }

template <typename T> static std::vector<T> as(const std::vector<float> &values) {
    std::vector<T> out;
    for (float v : values) out.push_back(narrow<T>(v));
    return out;
}

template <typename T> static std::vector<float> widened(const std::vector<T> &values) {
    std::vector<float> out;
    for (T v : values) out.push_back(wide(v));
    return out;
}

static std::vector<int> ints(const std::vector<float> &values) { return {values.begin(), values.end()}; }

template <typename T> static void run_rms_norm(int rows, int width, void (*forward)(const T *, const T *, T *, int, float),
                                               void (*backward)(const T *, const T *, const T *, float *, float *, int, float)) {
    auto x = as<T>(take(rows * width)), weight = as<T>(take(width)), grad = as<T>(take(rows * width));
    std::vector<T> out(rows * width);
    launch(forward, dim3{(unsigned)rows, 1, 1}, LIVR_THREADS, 0, x.data(), weight.data(), out.data(), width, 1e-6f);
    std::vector<float> dx(rows * width), dweight(width);
    launch(backward, dim3{(unsigned)rows, 1, 1}, LIVR_THREADS, 0, x.data(), weight.data(), grad.data(), dx.data(), dweight.data(), width, 1e-6f);
    give(widened(out)), give(dx), give(dweight);
}

template <typename T> static void run_swiglu(int count, void (*forward)(const T *, const T *, T *, int),
                                             void (*backward)(const T *, const T *, const T *, T *, int)) {
    auto gate = as<T>(take(count)), up = as<T>(take(count)), grad = as<T>(take(count));
    dim3 grid{(unsigned)(count + LIVR_THREADS - 1) / LIVR_THREADS, 1, 1};
    std::vector<T> out(count), grads(2 * count);
    launch(forward, grid, LIVR_THREADS, 0, gate.data(), up.data(), out.data(), count);
    launch(backward, grid, LIVR_THREADS, 0, gate.data(), up.data(), grad.data(), grads.data(), count);
    give(widened(out)), give(widened(grads));
}

template <typename T, typename U> static void run_rotary(int tokens, int heads, int half, int neighbours,
                                                         void (*rotate)(const T *, const U *, const U *, T *, int, int, int, float)) {
    auto x = as<T>(take(tokens * heads * 2 * half));
    auto cos = as<U>(take(tokens * half)), sin = as<U>(take(tokens * half));
    for (float sign : {1.0f, -1.0f}) {
        std::vector<T> out(x.size());
        launch(rotate, dim3{(unsigned)tokens, 1, 1}, LIVR_THREADS, 0, x.data(), cos.data(), sin.data(), out.data(), heads, half, neighbours, sign);
        give(widened(out));
    }
}

static void run_cross_entropy(int rows, int vocab) {
    auto scores = take(rows * vocab), grad = take(rows);
    auto wanted = ints(take(rows));
    std::vector<unsigned> targets(wanted.begin(), wanted.end());
    std::vector<float> losses(rows), dscores(rows * vocab);
    dim3 grid{(unsigned)rows, 1, 1};
    launch(cross_entropy::cross_entropy_forward_f32, grid, LIVR_THREADS, 0, scores.data(), targets.data(), losses.data(), vocab);
    launch(cross_entropy::cross_entropy_backward_f32, grid, LIVR_THREADS, 0, scores.data(), targets.data(), grad.data(), dscores.data(), vocab);
    give(losses), give(dscores);
}

template <typename T, typename Forward, typename Backward>
static void run_attention(int queries, int keys, int kv_heads, int group, int dim, int num_rows, int groups, Forward forward, Backward backward) {
    int heads = kv_heads * group;
    auto q = as<T>(take(queries * heads * dim)), k = as<T>(take(keys * kv_heads * dim)), v = as<T>(take(keys * kv_heads * dim));
    auto grad = as<T>(take(queries * heads * dim));
    auto start = ints(take(queries)), end = ints(take(queries)), query_group = ints(take(queries)), key_group = ints(take(keys));
    auto allowed = ints(take(groups * groups));
    auto row_of_query = ints(take(queries));
    float scale = take(1)[0];
    std::vector<T> out(q.size());
    std::vector<float> rows(heads * num_rows * keys), dq(q.size()), dk(k.size()), dv(v.size());
    dim3 grid{(unsigned)queries, (unsigned)heads, 1};
    launch(forward, grid, LIVR_THREADS, keys, q.data(), k.data(), v.data(), out.data(), rows.data(), row_of_query.data(), num_rows, keys,
           start.data(), end.data(), query_group.data(), key_group.data(), allowed.data(), groups, kv_heads, group, dim, scale);
    launch(backward, grid, LIVR_THREADS, 2 * keys, q.data(), k.data(), v.data(), out.data(), grad.data(), dq.data(), dk.data(), dv.data(),
           start.data(), end.data(), query_group.data(), key_group.data(), allowed.data(), groups, kv_heads, group, dim, scale);
    give(widened(out)), give(rows), give(dq), give(dk), give(dv);
}

int main(int count, char **arguments) {
    std::string op = count > 1 ? arguments[1] : "";
    auto size = [&](int i) { return i + 2 < count ? atoi(arguments[i + 2]) : 0; };
    if (op == "rms_norm_f32") run_rms_norm<float>(size(0), size(1), rms_norm::rms_norm_forward_f32, rms_norm::rms_norm_backward_f32);
    else if (op == "rms_norm_bf16") run_rms_norm<bf16>(size(0), size(1), rms_norm::rms_norm_forward_bf16, rms_norm::rms_norm_backward_bf16);
    else if (op == "swiglu_f32") run_swiglu<float>(size(0), swiglu::swiglu_forward_f32, swiglu::swiglu_backward_f32);
    else if (op == "swiglu_bf16") run_swiglu<bf16>(size(0), swiglu::swiglu_forward_bf16, swiglu::swiglu_backward_bf16);
    else if (op == "rotary_f32") run_rotary<float, float>(size(0), size(1), size(2), size(3), rotary::rotary_f32_f32);
    else if (op == "rotary_bf16") run_rotary<bf16, bf16>(size(0), size(1), size(2), size(3), rotary::rotary_bf16_bf16);
    else if (op == "rotary_bf16_f32") run_rotary<bf16, float>(size(0), size(1), size(2), size(3), rotary::rotary_bf16_f32);
    else if (op == "cross_entropy") run_cross_entropy(size(0), size(1));
    else if (op == "attention_f32")
        run_attention<float>(size(0), size(1), size(2), size(3), size(4), size(5), size(6), attention::attention_forward_f32, attention::attention_backward_f32);
    else if (op == "attention_bf16")
        run_attention<bf16>(size(0), size(1), size(2), size(3), size(4), size(5), size(6), attention::attention_forward_bf16, attention::attention_backward_bf16);
    else {
        fprintf(stderr, "no operation %s\n", op.c_str());
        return 1;
    }
    return 0;
}
