//! Each operation beside its limit: the memory's bandwidth, or what the matrix kernels reach on operands that stay in
//! cache, both measured in the same run.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use super::median_secs;
use crate::ask::{DeviceChoice, DtypeChoice, MaskKind};
use crate::engine::device;
use crate::error::Result;
use crate::ops::attention::{self, Mask, Plan, Segment};
use crate::ops::cross_entropy::cross_entropy;
use crate::ops::elementwise::add;
use crate::ops::gelu::{Form, gelu};
use crate::ops::isa::Isa;
use crate::ops::layer_norm::layer_norm;
use crate::ops::linear::linear_of;
use crate::ops::low_rank::low_rank;
use crate::ops::matmul::RowsOf;
use crate::ops::matmul::dense::{self, MatrixView, Threads};
use crate::ops::matmul::packed::{Format, Matrix, Packed};
use crate::ops::matmul::tiles::{BLOCK, Half};
use crate::ops::matmul::{Left, multiply};
use crate::ops::rms_norm::rms_norm;
use crate::ops::rotary::{Pairing, rotate};
use crate::ops::swiglu::swiglu;
use crate::ops::weight::{Precision, Weight};
use crate::units::Role;

/// What is measured: operations of a layer of Qwen2.5-VL-3B's sizes.
#[derive(Debug, Clone)]
pub struct Ops {
    /// Tokens.
    pub tokens: usize,
    /// Element type.
    pub dtype: DtypeChoice,
    /// Times each is done; the median counts.
    pub repeats: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct OpsReport {
    /// Where it ran.
    pub device: String,
    /// With which instructions.
    pub instructions: &'static str,
    /// Element type.
    pub dtype: &'static str,
    /// Tokens.
    pub tokens: usize,
    /// Reading and writing memory, bytes a second.
    pub bandwidth: f64,
    /// The matrix kernel on operands in cache, operations a second.
    pub peak: f64,
    /// Each operation.
    pub ops: Vec<OpMeasured>,
    /// Of this program.
    pub version: &'static str,
}

/// One operation.
#[derive(Debug, Serialize)]
pub struct OpMeasured {
    /// Its name.
    pub name: String,
    /// Median.
    pub secs: f64,
    /// What the machine could do it in.
    pub limit_secs: f64,
    /// Which limit.
    pub limit: &'static str,
    /// `limit_secs` over `secs`.
    pub share: f64,
}

const DIM: usize = 2048;
const INNER: usize = 11_008;
const HEADS: usize = 16;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 128;
const VOCABULARY: usize = 151_936;

/// Collects measurements.
struct Bench {
    precision: Precision,
    repeats: usize,
    bandwidth: f64,
    peak: f64,
    ops: Vec<OpMeasured>,
}

impl Bench {
    fn tensor(&self, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::rand(-1f32, 1.0, shape, &Device::Cpu)?.to_dtype(self.precision.dtype)?)
    }

    fn run(
        &mut self,
        name: &str,
        bytes: usize,
        products: usize,
        work: impl Fn() -> Result<Tensor>,
    ) -> Result<()> {
        let secs = median_secs(self.repeats, || work().map(|_| ()))?;
        let (memory, compute) = (bytes as f64 / self.bandwidth, 2.0 * products as f64 / self.peak);
        let limit_secs = memory.max(compute);
        self.ops.push(OpMeasured {
            name: name.to_owned(),
            secs,
            limit_secs,
            limit: if memory > compute { "memory" } else { "products" },
            share: limit_secs / secs,
        });
        Ok(())
    }

    fn weight(&self, rows: usize, cols: usize) -> Result<Weight> {
        let tensor = self.tensor(&[rows, cols])?;
        match self.precision.quantised {
            Some(format) => Weight::packed(&tensor, format),
            None => Weight::new(tensor),
        }
    }
}

/// Measures all of them.
pub fn ops(args: &Ops) -> Result<OpsReport> {
    let device = device::open(DeviceChoice::Cpu)?;
    let precision = device::resolve(args.dtype, &device, DType::BF16)?;
    let mut bench = Bench {
        precision,
        repeats: args.repeats,
        bandwidth: bandwidth()?,
        peak: peak(precision)?,
        ops: Vec::new(),
    };
    row_ops(&mut bench, args.tokens)?;
    product_ops(&mut bench, args.tokens)?;
    attention_ops(&mut bench, args.tokens)?;
    Ok(OpsReport {
        device: device::describe(&device),
        instructions: Isa::best().name(),
        dtype: precision.name(),
        tokens: args.tokens,
        bandwidth: bench.bandwidth,
        peak: bench.peak,
        ops: bench.ops,
        version: env!("CARGO_PKG_VERSION"),
    })
}

fn row_ops(bench: &mut Bench, tokens: usize) -> Result<()> {
    let (isa, size) = (Isa::best(), bench.precision.dtype.size_in_bytes());
    let (x, y, wide) =
        (bench.tensor(&[tokens, DIM])?, bench.tensor(&[tokens, DIM])?, bench.tensor(&[tokens, INNER])?);
    let (weight, bias) = (bench.tensor(&[DIM])?, bench.tensor(&[DIM])?);
    let heads = bench.tensor(&[tokens, HEADS, HEAD_DIM])?;
    let angles = bench.tensor(&[tokens, HEAD_DIM / 2])?;
    let narrow = tokens * DIM * size;
    bench.run("rms norm", 2 * narrow, 0, || rms_norm(&x, &weight, 1e-6, isa))?;
    bench.run("layer norm", 2 * narrow, 0, || layer_norm(&x, &weight, &bias, 1e-6, isa))?;
    bench.run("add", 3 * narrow, 0, || add(&x, &y, isa))?;
    bench.run("rotary", 2 * narrow, 0, || rotate(&heads, &angles, &angles, Pairing::Halves, isa))?;
    bench.run("swiglu", 3 * tokens * INNER * size, 0, || swiglu(&wide, &wide, isa))?;
    bench.run("gelu erf", 2 * tokens * INNER * size, 0, || gelu(&wide, Form::Erf, isa))?;
    bench.run("gelu tanh", 2 * tokens * INNER * size, 0, || gelu(&wide, Form::Tanh, isa))
}

fn product_ops(bench: &mut Bench, tokens: usize) -> Result<()> {
    let isa = Isa::best();
    let weight = bench.weight(INNER, DIM)?;
    for rows in [1, 8, tokens] {
        let x = bench.tensor(&[rows, DIM])?;
        bench.run(&format!("linear, {rows} rows"), weight.bytes(), rows * DIM * INNER, || {
            let of = if rows < 16 { RowsOf::Steps } else { RowsOf::Whole };
            linear_of(&x, &weight, None, of, isa)
        })?;
    }
    let x = bench.tensor(&[tokens, DIM])?;
    let lora = |rows, cols| Tensor::rand(-1f32, 1.0, (rows, cols), &Device::Cpu);
    let (a, b) = (lora(16, DIM)?, lora(INNER, 16)?);
    let bytes = tokens * (DIM * bench.precision.dtype.size_in_bytes() + INNER * size_of::<f32>());
    bench.run("low rank, r = 16", bytes, tokens * 16 * (DIM + INNER), || low_rank(&x, &a, &b, 2.0))?;
    let head = Weight::new(bench.tensor(&[VOCABULARY, DIM])?)?;
    let hidden = bench.tensor(&[16, DIM])?;
    let targets: Vec<u32> = (0..16).collect();
    bench.run("cross entropy, 16 positions", head.bytes(), 16 * DIM * VOCABULARY, || {
        cross_entropy(&hidden, &head, None, &targets, isa)
    })
}

fn attention_ops(bench: &mut Bench, tokens: usize) -> Result<()> {
    let plan = Plan {
        scale: 0.1,
        block: attention::BLOCK,
        products_at_once: attention::PRODUCTS_AT_ONCE,
        isa: Isa::best(),
    };
    let (q, k) = (bench.tensor(&[tokens, HEADS, HEAD_DIM])?, bench.tensor(&[tokens, KV_HEADS, HEAD_DIM])?);
    let mut roles = vec![Role::Image; tokens];
    roles[tokens * 3 / 4..].fill(Role::Prompt);
    let segment = |queries| {
        [Segment::whole(queries, tokens, Some(Mask::new(MaskKind::Bottleneck.rule(), &roles, queries)))]
    };
    // Half of all pairs lie ahead.
    let (all, one) = (segment(tokens), segment(1));
    let pairs = HEADS * HEAD_DIM * tokens * tokens;
    bench.run("attention", 0, pairs, || attention::attend(&q, &k, &k, &all, plan))?;
    let last = q.narrow(0, tokens - 1, 1)?;
    let bytes = 2 * tokens * KV_HEADS * HEAD_DIM * bench.precision.dtype.size_in_bytes();
    bench.run("attention, 1 query", bytes, 0, || attention::attend(&last, &k, &k, &one, plan))?;
    let wanted: Vec<usize> = (tokens - 16..tokens).collect();
    bench.run("rows of 16 queries", 0, 16 * HEADS * HEAD_DIM * tokens, || {
        attention::rows(&q, &k, &all[0], &wanted, plan)
    })
}

/// Bytes a second of a + b over arrays far larger than any cache, on all threads.
fn bandwidth() -> Result<f64> {
    const VALUES: usize = 1 << 26;
    const PIECE: usize = 1 << 16;
    let (a, mut b) = (vec![1f32; VALUES], vec![2f32; VALUES]);
    let secs = median_secs(5, || {
        b.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE)).for_each(|(b, a)| {
            for (b, a) in b.iter_mut().zip(a) {
                *b += a;
            }
        });
        Ok(())
    })?;
    Ok((3 * VALUES * size_of::<f32>()) as f64 / secs)
}

/// Operations a second of the matrix kernel where both sides stay in cache, on all threads.
fn peak(precision: Precision) -> Result<f64> {
    const ROWS: usize = 256;
    const DEPTH: usize = 512;
    const TIMES: usize = 64;
    let values = |seed: usize| {
        (0..ROWS * DEPTH).map(|i| ((i * seed % 255) as f32) / 127.0 - 1.0).collect::<Vec<f32>>()
    };
    let (x, w) = (values(31), values(37));
    let half = match precision.dtype {
        DType::BF16 => Some(Half::Bf16),
        DType::F16 => Some(Half::F16),
        _ => None,
    };
    let isa = Isa::best();
    let work = || {
        rayon::broadcast(|_| {
            if let Some(half) = half {
                let w = Packed::new(Matrix::new(&w, ROWS, DEPTH), Format::Half(half));
                let left = Left::alone(Matrix::new(&x, ROWS, DEPTH), &w, isa);
                let blocks = || 0..ROWS / BLOCK;
                for _ in 0..TIMES {
                    multiply(&left, blocks(), &w, blocks(), isa, |_, _, block| {
                        std::hint::black_box(block);
                    });
                }
            } else {
                let (x, w) = (MatrixView::rows(&x, DEPTH), MatrixView::rows(&w, DEPTH).t());
                let mut out = vec![0f32; ROWS * ROWS];
                for _ in 0..TIMES {
                    dense::multiply([ROWS, DEPTH, ROWS], x, w, 1.0, &mut out, ROWS, false, Threads::One);
                    std::hint::black_box(&mut out);
                }
            }
        });
        Ok(())
    };
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        best = best.min(median_secs(3, work)?);
    }
    Ok((2 * ROWS * ROWS * DEPTH * TIMES * rayon::current_num_threads()) as f64 / best)
}
