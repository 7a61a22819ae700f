//! Every operation of our own: against the definition in candle's operations, against `PyTorch`'s gradients, with all
//! instruction sets and numbers of threads, at odd sizes.

use candle_core::{DType, Device, Tensor, Var};
use livr_explorer::ask::MaskKind;
use livr_explorer::ops::attention::{self, Mask, Plan, Segment};
use livr_explorer::ops::cross_entropy::{LatentHead, cross_entropy};
use livr_explorer::ops::elementwise::add;
use livr_explorer::ops::embedding::{RowPlace, embed};
use livr_explorer::ops::gelu::{Form, gelu};
use livr_explorer::ops::isa::Isa;
use livr_explorer::ops::layer_norm::layer_norm;
use livr_explorer::ops::linear::linear;
use livr_explorer::ops::low_rank::low_rank;
use livr_explorer::ops::rms_norm::rms_norm;
use livr_explorer::ops::rotary::{Pairing, rotate};
use livr_explorer::ops::swiglu::swiglu;
use livr_explorer::ops::weight::Weight;
use livr_explorer::progress::{Observer, Progress};
use livr_explorer::units::Role;

use crate::common::{Golden, fixture, relative_error};
use crate::op_table::{EPS, Op, Run, all_ops, large_ops, plan, roles};

const SIZES: [usize; 4] = [1, 7, 17, 129];

/// Largest difference, relative to the largest value of the reference or to 1: a norm of one number has no slope,
/// only rounding.
fn distance(ours: &[f32], reference: &[f32]) -> f32 {
    assert_eq!(ours.len(), reference.len());
    let largest = reference.iter().fold(1f32, |most, v| most.max(v.abs()));
    let furthest = ours.iter().zip(reference).map(|(a, b)| (a - b).abs()).max_by(f32::total_cmp);
    furthest.unwrap_or(0.0) / largest
}

/// Normal numbers of a seed, the same every time.
fn random(shape: &[usize], seed: u64) -> Tensor {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| (0..6).map(|_| rng.random::<f32>() - 0.5).sum::<f32>()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn inputs(op: &Op) -> Vec<Tensor> {
    op.shapes.iter().enumerate().map(|(i, shape)| random(shape, 40 + i as u64)).collect()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The result, and the gradients of its sum weighed by fixed numbers.
fn forward_and_back(run: &Run, inputs: &[Tensor], isa: Isa) -> (Vec<f32>, Vec<Vec<f32>>) {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let out = run(&tensors, isa);
    let up = random(out.dims(), 7);
    let grads = (&out * up).unwrap().sum_all().unwrap().backward().unwrap();
    let grad = |var: &Var| grads.get(var.as_tensor()).map_or_else(|| vec![0.0; var.elem_count()], values);
    (values(&out), vars.iter().map(grad).collect())
}

#[test]
fn every_operation_is_its_definition_with_every_instruction_set() {
    for (n, ops) in SIZES.map(|n| (n, all_ops(n))).into_iter().chain([(300, large_ops())]) {
        for op in ops {
            let inputs = inputs(&op);
            let (expected, expected_grads) = forward_and_back(&op.plain, &inputs, Isa::Baseline);
            for isa in Isa::available() {
                let (out, grads) = forward_and_back(&op.ours, &inputs, isa);
                let error = relative_error(&out, &expected);
                assert!(error < 2e-6, "{} of {n} by {isa:?}: off by {error:e}", op.name);
                for (i, (ours, theirs)) in grads.iter().zip(&expected_grads).enumerate() {
                    let error = distance(ours, theirs);
                    // candle's own gradient of GELU is an approximation.
                    let bound = if op.name.starts_with("gelu") { 2e-4 } else { 2e-5 };
                    assert!(error < bound, "{} of {n} by {isa:?}: gradient {i} is off by {error:e}", op.name);
                }
            }
        }
    }
}

#[test]
fn gradients_are_finite_differences() {
    for op in all_ops(7) {
        let inputs = inputs(&op);
        let (_, grads) = forward_and_back(&op.ours, &inputs, Isa::best());
        let up = |out: &Tensor| values(&random(out.dims(), 7));
        let total = |inputs: &[Tensor]| -> f64 {
            let out = (op.ours)(inputs, Isa::best());
            values(&out).iter().zip(up(&out)).map(|(a, b)| f64::from(*a) * f64::from(b)).sum()
        };
        for (i, grad) in grads.iter().enumerate() {
            let largest = grad.iter().fold(0f32, |most, g| most.max(g.abs()));
            for place in [0, grad.len() / 2, grad.len() - 1] {
                const STEP: f32 = 4e-3;
                let moved = |by: f32| {
                    let mut moved = inputs.clone();
                    let mut data = values(&inputs[i]);
                    data[place] += by;
                    moved[i] = Tensor::from_vec(data, inputs[i].shape(), &Device::Cpu).unwrap();
                    total(&moved)
                };
                let slope = ((moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP)) as f32;
                let off = (slope - grad[place]).abs();
                assert!(
                    off < 5e-3 * largest.max(0.1),
                    "{}: input {i}, {slope} is not {}",
                    op.name,
                    grad[place]
                );
            }
        }
    }
}

#[test]
fn gradients_are_pytorchs() {
    let golden = Golden::read(&fixture("ops.safetensors"));
    let tensor = |name: &str| golden.tensor(name);
    let check = |case: &str, names: &[&str], run: &dyn Fn(&[Tensor]) -> Tensor| {
        let vars: Vec<Var> = names
            .iter()
            .map(|name| Var::from_tensor(&tensor(&format!("{case}.in.{name}"))).unwrap())
            .collect();
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let out = run(&tensors);
        let error = relative_error(&values(&out), &golden.floats(&format!("{case}.out")));
        assert!(error < 1e-6, "{case} is off by {error:e}");
        let up = tensor(&format!("{case}.up")).reshape(out.shape()).unwrap();
        let grads = (&out * up).unwrap().sum_all().unwrap().backward().unwrap();
        for (name, var) in names.iter().zip(&vars) {
            let ours = values(grads.get(var.as_tensor()).unwrap());
            let error = distance(&ours, &golden.floats(&format!("{case}.grad.{name}")));
            assert!(error < 2e-6, "{case}: gradient of {name} is off by {error:e}");
        }
    };
    let isa = Isa::best();
    for width in [1, 17, 129] {
        check(&format!("rms_norm_{width}"), &["x", "weight"], &|i| rms_norm(&i[0], &i[1], EPS, isa).unwrap());
        check(&format!("layer_norm_{width}"), &["x", "weight", "bias"], &|i| {
            layer_norm(&i[0], &i[1], &i[2], EPS, isa).unwrap()
        });
    }
    let (cos, sin) = (tensor("rotary.in.cos"), tensor("rotary.in.sin"));
    check("rotary", &["x"], &|i| rotate(&i[0], &cos, &sin, Pairing::Halves, isa).unwrap());
    check("swiglu", &["gate", "up"], &|i| swiglu(&i[0], &i[1], isa).unwrap());
    check("gelu_erf", &["x"], &|i| gelu(&i[0], Form::Erf, isa).unwrap());
    check("gelu_tanh", &["x"], &|i| gelu(&i[0], Form::Tanh, isa).unwrap());
    check("linear", &["x", "weight", "bias", "a", "b"], &|i| {
        let base = linear(&i[0], &Weight::Dense(i[1].clone()), Some(&i[2]), isa).unwrap();
        add(&base, &low_rank(&i[0], &i[3], &i[4], 2.0).unwrap(), isa).unwrap()
    });
    let place = |i: &i64| if *i < 9 { RowPlace::Table(*i as u32) } else { RowPlace::Latent(*i as u32 - 9) };
    let places: Vec<RowPlace> = golden.integers("embedding.in.places").iter().map(place).collect();
    check("embedding", &["table", "latents"], &|i| {
        embed(&places, &Weight::Dense(i[0].clone()), Some(&i[1]), DType::F32).unwrap()
    });
    // The reference counts the latent after the vocabulary as 7; ours has an id of its own.
    let target = |id: &i64| if *id == 7 { 9 } else { *id as u32 };
    let targets: Vec<u32> = golden.integers("cross_entropy.in.targets").iter().map(target).collect();
    check("cross_entropy", &["hidden", "table", "latents"], &|i| {
        let latents = LatentHead { rows: &i[2], ids: &[2, 9] };
        cross_entropy(&i[0], &Weight::Dense(i[1].clone()), Some(latents), &targets, isa).unwrap()
    });
    let roles: Vec<Role> =
        golden.integers("attention.roles").iter().map(|i| Role::ALL[*i as usize]).collect();
    let segment = |range: std::ops::Range<usize>| Segment {
        mask: Some(Mask::new(MaskKind::Bottleneck.rule(), &roles[range.clone()], range.len())),
        queries: range.clone(),
        keys: range,
    };
    let segments = [segment(0..7), segment(7..12)];
    check("attention", &["q", "k", "v"], &|i| {
        let plan = Plan { scale: 1.0 / 17f32.sqrt(), ..plan(3, isa) };
        attention::attend(&i[0], &i[1], &i[2], &segments, plan).unwrap()
    });
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let three = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for (n, ops) in [(17, all_ops(17)), (300, large_ops())] {
        for op in ops {
            let inputs = inputs(&op);
            let run =
                |pool: &rayon::ThreadPool| pool.install(|| forward_and_back(&op.ours, &inputs, Isa::best()));
            assert_eq!(run(&alone), run(&three), "{} of {n}", op.name);
        }
    }
}

#[test]
fn inputs_may_lie_as_they_like_or_hold_nothing() {
    for op in all_ops(7) {
        let inputs = inputs(&op);
        let strided: Vec<Tensor> = inputs
            .iter()
            .map(|t| {
                // Every other element of a tensor twice as long along its last axis.
                let last = t.rank() - 1;
                let doubled = Tensor::stack(&[t, &t.neg().unwrap()], last + 1).unwrap();
                doubled.narrow(last + 1, 0, 1).unwrap().squeeze(last + 1).unwrap()
            })
            .collect();
        assert!(strided.iter().any(|t| !t.is_contiguous()) || op.shapes[0] == [1]);
        let (a, b) = ((op.ours)(&inputs, Isa::best()), (op.ours)(&strided, Isa::best()));
        assert_eq!(values(&a), values(&b), "{}", op.name);
    }
    let none = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let isa = Isa::best();
    let empty = [
        rms_norm(&none(&[0, 5]), &none(&[5]), EPS, isa),
        layer_norm(&none(&[0, 5]), &none(&[5]), &none(&[5]), EPS, isa),
        swiglu(&none(&[0, 5]), &none(&[0, 5]), isa),
        gelu(&none(&[0, 5]), Form::Erf, isa),
        rotate(&none(&[0, 2, 6]), &none(&[0, 3]), &none(&[0, 3]), Pairing::Halves, isa),
        linear(&none(&[0, 5]), &Weight::Dense(none(&[3, 5])), None, isa),
        low_rank(&none(&[0, 5]), &none(&[2, 5]), &none(&[3, 2]), 1.0),
        attention::attend(&none(&[0, 2, 4]), &none(&[0, 2, 4]), &none(&[0, 2, 4]), &[], plan(64, isa)),
        embed(&[], &Weight::Dense(none(&[3, 5])), None, DType::F32),
        cross_entropy(&none(&[0, 5]), &Weight::Dense(none(&[3, 5])), None, &[], isa),
    ];
    for (i, out) in empty.into_iter().enumerate() {
        assert_eq!(out.unwrap().elem_count(), 0, "operation {i}");
    }
}

#[test]
fn numbers_that_are_none_stay_in_their_row() {
    let bad = |value: f32| {
        let mut data = values(&random(&[3, 2, 4], 3));
        // The second token's first head.
        data[8] = value;
        Tensor::from_vec(data, (3, 2, 4), &Device::Cpu).unwrap()
    };
    let good = random(&[3, 2, 4], 5);
    let segments = [Segment::whole(3, 3, Some(Mask::new(MaskKind::Standard.rule(), &roles(3), 3)))];
    for isa in Isa::available() {
        for value in [f32::NAN, f32::INFINITY] {
            let out =
                values(&attention::attend(&bad(value), &good, &good, &segments, plan(64, isa)).unwrap());
            let finite: Vec<bool> = out.chunks(4).map(|head| head.iter().all(|v| v.is_finite())).collect();
            // Infinity times a key of either sign is a score of plus or minus infinity.
            let broken = !value.is_nan() && finite[2];
            assert_eq!(finite, [true, true, broken, true, true, true], "{value} by {isa:?}");
            let rows = rms_norm(&bad(value).flatten_from(1).unwrap(), &random(&[8], 1), EPS, isa).unwrap();
            let finite: Vec<bool> =
                values(&rows).chunks(8).map(|row| row.iter().all(|v| v.is_finite())).collect();
            assert_eq!(finite, [true, false, true]);
        }
        // A query that may look at nothing else sees itself.
        let blind = Role::ALL
            .into_iter()
            .fold(MaskKind::Standard.rule(), |rule, key| rule.with(Role::Image, key, false));
        let mask = Mask::new(blind, &[Role::Prompt, Role::Image, Role::Latent], 3);
        let segment = Segment::whole(3, 3, Some(mask));
        let out =
            attention::attend(&good, &good, &good, std::slice::from_ref(&segment), plan(64, isa)).unwrap();
        assert_eq!(values(&out)[8..16], values(&good)[8..16]);
        let rows = attention::rows(&good, &good, &segment, &[1, 2], plan(64, isa)).unwrap();
        let sums: Vec<f32> = values(&rows).chunks(3).map(|row| row.iter().sum()).collect();
        for (sum, expected) in sums.iter().zip([1.0; 4]) {
            assert!((sum - expected).abs() < 1e-6, "{sums:?}");
        }
    }
}

#[test]
fn rows_are_the_probabilities_that_attention_mixes_by() {
    let (q, k) = (random(&[14, 4, 8], 1), random(&[17, 2, 8], 2));
    // Values that pick out one key each: what is mixed is the probability itself.
    for isa in Isa::available() {
        for kind in MaskKind::ALL {
            let mask = Mask::new(kind.rule(), &roles(17), 14);
            let segment = Segment::whole(14, 17, Some(mask));
            let wanted = [0, 6, 7, 13];
            let rows = attention::rows(&q, &k, &segment, &wanted, plan(64, isa)).unwrap();
            assert_eq!(rows.dims(), [4, 4, 17]);
            let plain = attention::plain_rows(&q, &k, &segment, &wanted, 0.3).unwrap();
            assert!(relative_error(&values(&rows), &values(&plain)) < 1e-6);
            for half in 0..3 {
                let mut one_hot = vec![0f32; 17 * 2 * 8];
                for key in (half * 8..17).take(8) {
                    for head in 0..2 {
                        one_hot[(key * 2 + head) * 8 + key - half * 8] = 1.0;
                    }
                }
                let v = Tensor::from_vec(one_hot, (17, 2, 8), &Device::Cpu).unwrap();
                let mixed =
                    attention::attend(&q, &k, &v, std::slice::from_ref(&segment), plan(5, isa)).unwrap();
                let mixed = mixed.to_vec3::<f32>().unwrap();
                for (head, rows) in rows.to_vec3::<f32>().unwrap().iter().enumerate() {
                    for (row, query) in rows.iter().zip(wanted) {
                        for key in (half * 8..17).take(8) {
                            let p = mixed[query][head][key - half * 8];
                            assert!((p - row[key]).abs() < 1e-6, "{kind:?} by {isa:?}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn attention_stops_when_it_is_told_to() {
    /// Lets so many looks pass.
    struct Patience(std::cell::Cell<usize>);
    impl Observer for Patience {
        fn progress(&self, _progress: Progress) -> livr_explorer::error::Result<()> {
            Ok(())
        }

        fn check(&self) -> livr_explorer::error::Result<()> {
            let left = self.0.get().checked_sub(1).ok_or(livr_explorer::error::Error::Cancelled)?;
            self.0.set(left);
            Ok(())
        }
    }
    let x = random(&[7, 2, 4], 1);
    let segments = [Segment::whole(7, 7, None)];
    let attend = |looks: usize| {
        let observer = Patience(std::cell::Cell::new(looks));
        attention::attend_watched(&x, &x, &x, &segments, plan(2, Isa::best()), &observer)
    };
    // One look before it begins, one at each of four pieces of two queries.
    for looks in 0..5 {
        assert!(attend(looks).unwrap_err().is_cancelled());
    }
    assert_eq!(attend(5).unwrap().dims(), [7, 2, 4]);
}
