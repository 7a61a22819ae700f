//! The operations of our own in a table, each with its definition.

use candle_core::{DType, Device, Tensor};
use livr_explorer::ask::MaskKind;
use livr_explorer::ops::attention::{self, Mask, Plan, Segment};
use livr_explorer::ops::cross_entropy::{self, LatentHead, cross_entropy_in_blocks};
use livr_explorer::ops::dropout::{self, dropout};
use livr_explorer::ops::elementwise::add;
use livr_explorer::ops::embedding::{self, RowPlace, embed};
use livr_explorer::ops::gelu::{self, Form, gelu};
use livr_explorer::ops::isa::Isa;
use livr_explorer::ops::layer_norm::{self, layer_norm};
use livr_explorer::ops::linear::{self, linear};
use livr_explorer::ops::low_rank::{self, low_rank};
use livr_explorer::ops::rms_norm::{self, rms_norm};
use livr_explorer::ops::rotary::{self, Pairing, rotate};
use livr_explorer::ops::swiglu::{self, swiglu};
use livr_explorer::ops::weight::Weight;
use livr_explorer::units::Role;

/// Of the norms.
pub const EPS: f32 = 1e-6;

/// Computes an operation from its inputs.
pub type Run = Box<dyn Fn(&[Tensor], Isa) -> Tensor + Sync>;

/// An operation at a size: its inputs, how we compute it, and how candle does.
pub struct Op {
    pub name: String,
    pub shapes: Vec<Vec<usize>>,
    pub ours: Run,
    pub plain: Run,
}

fn op(
    name: impl Into<String>,
    shapes: &[&[usize]],
    ours: impl Fn(&[Tensor], Isa) -> Tensor + Sync + 'static,
    plain: impl Fn(&[Tensor]) -> Tensor + Sync + 'static,
) -> Op {
    Op {
        name: name.into(),
        shapes: shapes.iter().map(|shape| shape.to_vec()).collect(),
        ours: Box::new(ours),
        plain: Box::new(move |inputs, _| plain(inputs)),
    }
}

/// Roles in which every mask finds something to block.
pub fn roles(len: usize) -> Vec<Role> {
    (0..len).map(|i| Role::ALL[[0, 1, 1, 2, 0, 3][i % 6]]).collect()
}

/// Two sequences one after the other, under a mask.
fn two_sequences(len: usize, kind: MaskKind) -> Vec<Segment> {
    let first = len / 2;
    let segment = |range: std::ops::Range<usize>| Segment {
        mask: Some(Mask::new(kind.rule(), &roles(range.len()), range.len())),
        queries: range.clone(),
        keys: range,
    };
    [segment(0..first), segment(first..len)].into_iter().filter(|s| !s.queries.is_empty()).collect()
}

pub fn plan(block: usize, isa: Isa) -> Plan {
    // Small blocks are pieces of their own; a large one shares its piece.
    Plan { scale: 0.3, block, products_at_once: if block < 64 { 1 } else { 1 << 36 }, isa }
}

/// At sizes at which threads share the work: rows of 4,100, and everything else at 300.
pub fn large_ops() -> Vec<Op> {
    [all_ops(300), row_ops(4100), value_ops(4100)].into_iter().flatten().collect()
}

/// All of them at a size.
pub fn all_ops(n: usize) -> Vec<Op> {
    [row_ops(n), linear_ops(n), value_ops(n), sequence_ops(n), vocabulary_ops(n)]
        .into_iter()
        .flatten()
        .collect()
}

/// Operations on rows.
pub fn row_ops(n: usize) -> Vec<Op> {
    vec![
        op(
            "rms norm",
            &[&[5, n], &[n]],
            |i, isa| rms_norm(&i[0], &i[1], EPS, isa).unwrap(),
            |i| rms_norm::plain(&i[0], &i[1], EPS).unwrap(),
        ),
        op(
            "layer norm",
            &[&[5, n], &[n], &[n]],
            |i, isa| layer_norm(&i[0], &i[1], &i[2], EPS, isa).unwrap(),
            |i| layer_norm::plain(&i[0], &i[1], &i[2], EPS).unwrap(),
        ),
        op(
            "swiglu",
            &[&[5, n], &[5, n]],
            |i, isa| swiglu(&i[0], &i[1], isa).unwrap(),
            |i| swiglu::plain(&i[0], &i[1]).unwrap(),
        ),
        op(
            "dropout",
            &[&[5, n]],
            |i, isa| dropout(&i[0], 0.25, 9, isa).unwrap(),
            |i| dropout::plain(&i[0], 0.25, 9).unwrap(),
        ),
        op(
            "add",
            &[&[5, n], &[5, n]],
            |i, isa| add(&i[0], &i[1], isa).unwrap(),
            |i| (&i[0] + &i[1]).unwrap(),
        ),
    ]
}

/// Linear layers.
fn linear_ops(n: usize) -> Vec<Op> {
    vec![
        op(
            "linear",
            &[&[n, 19], &[n, 19], &[n]],
            |i, isa| linear(&i[0], &Weight::Dense(i[1].clone()), Some(&i[2]), isa).unwrap(),
            |i| linear::plain(&i[0], &i[1], Some(&i[2])).unwrap(),
        ),
        op(
            "linear without bias",
            &[&[3, n], &[7, n]],
            |i, isa| linear(&i[0], &Weight::Dense(i[1].clone()), None, isa).unwrap(),
            |i| linear::plain(&i[0], &i[1], None).unwrap(),
        ),
        op(
            "linear of few rows",
            &[&[3, n], &[n, n]],
            |i, isa| linear(&i[0], &Weight::Dense(i[1].clone()), None, isa).unwrap(),
            |i| linear::plain(&i[0], &i[1], None).unwrap(),
        ),
        op(
            "low rank",
            &[&[n, 19], &[4, 19], &[n, 4]],
            |i, _| low_rank(&i[0], &i[1], &i[2], 1.5).unwrap(),
            |i| low_rank::plain_low_rank(&i[0], &i[1], &i[2], 1.5).unwrap(),
        ),
    ]
}

/// Operations on single values and pairs of them.
pub fn value_ops(n: usize) -> Vec<Op> {
    let mut ops = Vec::new();
    for form in [Form::Erf, Form::Tanh] {
        ops.push(op(
            format!("gelu {form:?}"),
            &[&[5, n]],
            move |i, isa| gelu(&i[0], form, isa).unwrap(),
            move |i| gelu::plain(&i[0], form).unwrap(),
        ));
    }
    for pairing in [Pairing::Halves, Pairing::Neighbours] {
        let angles = |f: fn(f32) -> f32| {
            let values: Vec<f32> = (0..5 * n).map(|i| f(i as f32 * 0.7)).collect();
            Tensor::from_vec(values, (5, n), &Device::Cpu).unwrap()
        };
        let (cos, sin) = (angles(f32::cos), angles(f32::sin));
        let (c, s) = (cos.clone(), sin.clone());
        ops.push(op(
            format!("rotary {pairing:?}"),
            &[&[5, 3, 2 * n]],
            move |i, isa| rotate(&i[0], &cos, &sin, pairing, isa).unwrap(),
            move |i| rotary::plain(&i[0], &c, &s, pairing).unwrap(),
        ));
    }
    ops
}

/// Attention, under masks and in blocks.
fn sequence_ops(n: usize) -> Vec<Op> {
    let mut ops = Vec::new();
    for (kind, block) in [(MaskKind::Standard, 64), (MaskKind::Bottleneck, 1), (MaskKind::Bottleneck, 7)] {
        let segments = two_sequences(n, kind);
        let same = segments.clone();
        ops.push(op(
            format!("attention {kind:?} in blocks of {block}"),
            &[&[n, 4, 6], &[n, 2, 6], &[n, 2, 6]],
            move |i, isa| attention::attend(&i[0], &i[1], &i[2], &segments, plan(block, isa)).unwrap(),
            move |i| attention::plain(&i[0], &i[1], &i[2], &same, 0.3).unwrap(),
        ));
    }
    ops
}

/// The first latent replaces a row of the vocabulary, the second comes after it.
const IDS: [u32; 2] = [2, 13];

/// Both ends of a language model.
fn vocabulary_ops(n: usize) -> Vec<Op> {
    let mut ops = Vec::new();
    let places = move |vocab: usize| -> Vec<RowPlace> {
        (0..n)
            .map(|i| {
                if i % 3 == 2 {
                    RowPlace::Latent(i as u32 % 4)
                } else {
                    RowPlace::Table((i * i % vocab) as u32)
                }
            })
            .collect()
    };
    ops.push(op(
        "embedding",
        &[&[11, n], &[4, n]],
        move |i, _| embed(&places(11), &Weight::Dense(i[0].clone()), Some(&i[1]), DType::F32).unwrap(),
        move |i| embedding::plain(&places(11), &i[0], &i[1]).unwrap(),
    ));
    let targets = move || (0..n).map(|i| [0, 2, 13, 5, 10][i % 5]).collect::<Vec<u32>>();
    // All scores at once, and those of two positions.
    for scores_at_once in [1 << 24, 25] {
        ops.push(op(
            format!("cross entropy, {scores_at_once} scores at once"),
            &[&[n, 19], &[11, 19], &[2, 19]],
            move |i, isa| {
                let latents = LatentHead { rows: &i[2], ids: &IDS };
                let table = Weight::Dense(i[1].clone());
                cross_entropy_in_blocks(&i[0], &table, Some(latents), &targets(), isa, scores_at_once)
                    .unwrap()
            },
            move |i| cross_entropy::plain(&i[0], &i[1], &i[2], &IDS, &targets()).unwrap(),
        ));
    }
    ops
}
