//! The CUDA kernels, compiled as C++ for the host: their arithmetic against the operations of the CPU. This says
//! nothing of a GPU itself.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use candle_core::{DType, Device, Tensor, Var};
use half::bf16;
use livr_explorer::ask::MaskKind;
use livr_explorer::ops::attention::{self, Mask, Segment};
use livr_explorer::ops::cross_entropy::cross_entropy;
use livr_explorer::ops::isa::Isa;
use livr_explorer::ops::rms_norm::rms_norm;
use livr_explorer::ops::rotary::{Pairing, rotate};
use livr_explorer::ops::swiglu::swiglu;
use livr_explorer::ops::weight::Weight;
use livr_explorer::units::Role;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::op_table::{plan, roles};

/// The kernels as a program; compiled once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<TempDir> = OnceLock::new();
    static PATH: OnceLock<std::path::PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let dir = PROGRAM.get_or_init(|| TempDir::new().unwrap());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/host.cpp");
        let out = dir.path().join("kernels");
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let arguments = ["-std=c++20", "-O1", "-pthread", "-x", "c++"];
        let status = Command::new(compiler).args(arguments).arg(&source).arg("-o").arg(&out).status();
        assert!(status.unwrap().success(), "a C++20 compiler builds {}", source.display());
        out
    })
}

/// Runs one kernel on numbers; -> its results, cut into pieces of these lengths.
fn run(name: &str, sizes: &[usize], inputs: &[&[f32]], lengths: &[usize]) -> Vec<Vec<f32>> {
    let mut child = Command::new(program())
        .arg(name)
        .args(sizes.iter().map(ToString::to_string))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes: Vec<u8> =
        inputs.iter().flat_map(|values| values.iter().flat_map(|v| v.to_le_bytes())).collect();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}");
    let values: Vec<f32> = output.stdout.as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect();
    assert_eq!(values.len(), lengths.iter().sum::<usize>(), "{name}: numbers that came back");
    let mut rest = values.as_slice();
    let mut take = |len: &usize| {
        let (piece, after) = rest.split_at(*len);
        rest = after;
        piece.to_vec()
    };
    lengths.iter().map(&mut take).collect()
}

/// Numbers of a type, as f32.
fn random(count: usize, seed: u64, dtype: DType) -> Vec<f32> {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let round = |v: f32| if dtype == DType::BF16 { bf16::from_f32(v).to_f32() } else { v };
    (0..count).map(|_| round(3.0 * (rng.random::<f32>() - 0.5))).collect()
}

fn var(values: &[f32], shape: &[usize], dtype: DType) -> Var {
    let tensor = Tensor::from_slice(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
    Var::from_tensor(&tensor).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn close(kernel: &[f32], ours: &[f32], dtype: DType, what: &str) {
    assert_eq!(kernel.len(), ours.len(), "{what}");
    let bound = if dtype == DType::BF16 { 1e-2 } else { 1e-5 };
    let largest = ours.iter().fold(1e-3f32, |most, v| most.max(v.abs()));
    for (a, b) in kernel.iter().zip(ours) {
        assert!((a - b).abs() <= bound * largest, "{what} in {dtype:?}: {a} is not {b}");
    }
}

/// The gradients of inputs under what comes down.
fn gradients(out: &Tensor, up: &[f32], vars: &[&Var]) -> Vec<Vec<f32>> {
    let up = Tensor::from_slice(up, out.shape(), &Device::Cpu).unwrap().to_dtype(out.dtype()).unwrap();
    let grads = (out * up).unwrap().to_dtype(DType::F32).unwrap().sum_all().unwrap().backward().unwrap();
    vars.iter().map(|var| values(grads.get(var.as_tensor()).unwrap())).collect()
}

const TYPES: [(&str, DType); 2] = [("f32", DType::F32), ("bf16", DType::BF16)];

#[test]
fn rms_norm_and_swiglu() {
    for (name, dtype) in TYPES {
        for (rows, width) in [(1, 1), (3, 17), (2, 129), (2, 300)] {
            let (x, weight) = (random(rows * width, 1, dtype), random(width, 2, dtype));
            let up = random(rows * width, 3, dtype);
            let lengths = [rows * width, rows * width, width];
            let found = run(&format!("rms_norm_{name}"), &[rows, width], &[&x, &weight, &up], &lengths);
            let (xv, wv) = (var(&x, &[rows, width], dtype), var(&weight, &[width], dtype));
            let out = rms_norm(&xv, &wv, 1e-6, Isa::best()).unwrap();
            close(&found[0], &values(&out), dtype, "rms norm");
            let grads = gradients(&out, &up, &[&xv, &wv]);
            if width > 1 {
                close(&found[1], &grads[0], dtype, "dx of rms norm");
            }
            close(&found[2], &grads[1], dtype, "dweight of rms norm");

            let count = rows * width;
            let (gate, up_side) = (random(count, 4, dtype), random(count, 5, dtype));
            let found = run(&format!("swiglu_{name}"), &[count], &[&gate, &up_side, &up], &[count; 3]);
            let (gv, uv) = (var(&gate, &[count], dtype), var(&up_side, &[count], dtype));
            let out = swiglu(&gv, &uv, Isa::best()).unwrap();
            close(&found[0], &values(&out), dtype, "swiglu");
            let grads = gradients(&out, &up, &[&gv, &uv]);
            close(&found[1], &grads[0], dtype, "dgate of swiglu");
            close(&found[2], &grads[1], dtype, "dup of swiglu");
        }
    }
}

#[test]
fn rotary_there_and_back() {
    let (tokens, heads, half) = (5, 3, 17);
    let count = tokens * heads * 2 * half;
    for (name, dtype, table) in [
        ("f32", DType::F32, DType::F32),
        ("bf16", DType::BF16, DType::BF16),
        ("bf16_f32", DType::BF16, DType::F32),
    ] {
        let x = random(count, 1, dtype);
        let (cos, sin) = (random(tokens * half, 2, table), random(tokens * half, 3, table));
        for (neighbours, pairing) in [(0, Pairing::Halves), (1, Pairing::Neighbours)] {
            let sizes = [tokens, heads, half, neighbours];
            let found = run(&format!("rotary_{name}"), &sizes, &[&x, &cos, &sin], &[count, count]);
            let xv = var(&x, &[tokens, heads, 2 * half], dtype);
            let of = |values: &[f32]| var(values, &[tokens, half], table);
            let out = rotate(&xv, &of(&cos), &of(&sin), pairing, Isa::best()).unwrap();
            close(&found[0], &values(&out), dtype, "rotary");
            close(&found[1], &gradients(&out, &x, &[&xv])[0], dtype, "rotary turned back");
        }
    }
}

#[test]
fn cross_entropy_of_rows_of_scores() {
    let (rows, vocab) = (5, 300);
    let (scores, up) = (random(rows * vocab, 1, DType::F32), random(rows, 2, DType::F32));
    let targets = [0u32, 299, 17, 128, 17];
    let as_floats = targets.map(|t| t as f32);
    let found = run("cross_entropy", &[rows, vocab], &[&scores, &up, &as_floats], &[rows, rows * vocab]);
    // Scores are hidden states where the table is the identity.
    let hidden = var(&scores, &[rows, vocab], DType::F32);
    let identity = Tensor::eye(vocab, DType::F32, &Device::Cpu).unwrap();
    let out = cross_entropy(&hidden, &Weight::Dense(identity), None, &targets, Isa::best()).unwrap();
    close(&found[0], &values(&out), DType::F32, "cross entropy");
    close(&found[1], &gradients(&out, &up, &[&hidden])[0], DType::F32, "dscores of cross entropy");
}

#[test]
fn attention_rows_and_gradients() {
    let (tokens, kv_heads, group, dim) = (19, 2, 2, 6);
    let heads = kv_heads * group;
    // Two sequences; the first query of each sees itself alone.
    let lengths = [11, 8];
    let all: Vec<Role> = lengths.iter().flat_map(|len| roles(*len)).collect();
    let rule = MaskKind::Bottleneck.rule().with(Role::Prompt, Role::Prompt, false);
    let allowed: Vec<f32> = Role::ALL
        .iter()
        .flat_map(|query| Role::ALL.iter().map(move |key| f32::from(u8::from(rule.allows(*query, *key)))))
        .collect();
    let segments: Vec<Segment> = [(0, 11), (11, 19)]
        .map(|(start, end)| Segment {
            queries: start..end,
            keys: start..end,
            mask: Some(Mask::new(rule, &all[start..end], end - start)),
        })
        .to_vec();
    let codes: Vec<f32> = all.iter().map(|role| role.code() as f32).collect();
    let starts: Vec<f32> = (0..tokens).map(|t| if t < 11 { 0.0 } else { 11.0 }).collect();
    let ends: Vec<f32> = (1..=tokens).map(|t| t as f32).collect();
    // Rows of three queries of the first sequence.
    let wanted = [0, 3, 10];
    let place = |t: usize| wanted.iter().position(|w| *w == t).map_or(-1.0, |i| i as f32);
    let row_of: Vec<f32> = (0..tokens).map(place).collect();
    for (name, dtype) in TYPES {
        let q = random(tokens * heads * dim, 1, dtype);
        let (k, v) = (random(tokens * kv_heads * dim, 2, dtype), random(tokens * kv_heads * dim, 3, dtype));
        let up = random(q.len(), 4, dtype);
        let sizes = [tokens, tokens, kv_heads, group, dim, wanted.len(), Role::ALL.len()];
        let inputs: [&[f32]; 11] =
            [&q, &k, &v, &up, &starts, &ends, &codes, &codes, &allowed, &row_of, &[0.3]];
        let pieces = [q.len(), heads * wanted.len() * tokens, q.len(), k.len(), v.len()];
        let found = run(&format!("attention_{name}"), &sizes, &inputs, &pieces);
        let qv = var(&q, &[tokens, heads, dim], dtype);
        let [kv, vv] = [&k, &v].map(|values| var(values, &[tokens, kv_heads, dim], dtype));
        let plan = plan(64, Isa::best());
        let out = attention::attend(&qv, &kv, &vv, &segments, plan).unwrap();
        close(&found[0], &values(&out), dtype, "attention");
        let own: Vec<f32> = v[..kv_heads * dim].chunks(dim).flat_map(|v| v.repeat(group)).collect();
        close(&found[0][..heads * dim], &own, dtype, "a query that sees itself alone");
        let rows = values(&attention::rows(&qv, &kv, &segments[0], &wanted, plan).unwrap());
        let kept: Vec<f32> = found[1].chunks(tokens).flat_map(|row| row[..11].to_vec()).collect();
        close(&kept, &rows, dtype, "rows of attention");
        let grads = gradients(&out, &up, &[&qv, &kv, &vv]);
        for (i, what) in ["dq", "dk", "dv"].into_iter().enumerate() {
            close(&found[2 + i], &grads[i], dtype, what);
        }
    }
}
