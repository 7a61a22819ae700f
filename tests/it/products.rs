//! Products with packed weights: every format, every kernel, odd sizes, and what is lost by each.

use candle_core::{DType, Device, Tensor, Var};
use half::{bf16, f16};
use livr_explorer::ask::MaskKind;
use livr_explorer::ops::attention::{self, Mask, Segment};
use livr_explorer::ops::element::Element;
use livr_explorer::ops::isa::Isa;
use livr_explorer::ops::linear::{linear, linear_of};
use livr_explorer::ops::low_rank::low_rank;
use livr_explorer::ops::matmul::packed::{Format, Matrix, Packed};
use livr_explorer::ops::matmul::tiles::Half;
use livr_explorer::ops::matmul::{RowsOf, product, product_back};
use livr_explorer::ops::weight::Weight;
use livr_explorer::units::Role;
use rand::{RngExt, SeedableRng};

use crate::common::relative_error;
use crate::op_table::plan;

const FORMATS: [Format; 4] = [Format::Half(Half::Bf16), Format::Half(Half::F16), Format::Q8, Format::Q4];

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    (0..count).map(|_| rng.random::<f32>() - 0.5).collect()
}

fn rows_of(packed: &Packed) -> Vec<f32> {
    let (rows, cols) = packed.dims();
    let mut all = vec![0f32; rows * cols];
    all.chunks_exact_mut(cols).enumerate().for_each(|(row, out)| packed.read_row(row, out));
    all
}

/// x Wᵀ + bias in double precision.
fn exact(x: &[f32], w: &[f32], bias: &[f32], inner: usize) -> Vec<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let row = |x| w.chunks_exact(inner).zip(bias).map(move |(w, b)| (dot(x, w) + f64::from(*b)) as f32);
    x.chunks_exact(inner).flat_map(row).collect()
}

fn check<T: Element>(rows: usize, inner: usize, cols: usize, format: Format, isa: Isa, bound: f32) {
    let round = |v: &f32| T::narrow(*v);
    let x: Vec<T> = random(rows * inner, 1).iter().map(round).collect();
    let bias = random(cols, 2);
    let packed = Packed::new(Matrix::new(&random(cols * inner, 3), cols, inner), format);
    let wide = |v: &[T]| v.iter().map(|v| v.wide()).collect::<Vec<f32>>();
    let expected = exact(&wide(&x), &rows_of(&packed), &bias, inner);
    for of in [RowsOf::Whole, RowsOf::Steps] {
        let out = product(Matrix::new(&x, rows, inner), &packed, Some(&bias), of, isa);
        let error = relative_error(&wide(&out), &expected);
        assert!(error < bound, "{rows} x {inner} x {cols}, {format:?} by {isa:?}: off by {error:e}");
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_among_others() {
    let bits = |tensor: &Tensor| -> Vec<u32> {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    };
    for (rows, inner, cols) in
        [(40, 24, 16), (70, 24, 5), (70, 600, 48), (40, 1030, 130), (300, 64, 1), (30, 96, 700)]
    {
        let x = Tensor::from_vec(random(rows * inner, 1), (rows, inner), &Device::Cpu).unwrap();
        let w = Tensor::from_vec(random(cols * inner, 2), (cols, inner), &Device::Cpu).unwrap();
        let (a, b) = (random(8 * inner, 3), random(cols * 8, 4));
        let a = Tensor::from_vec(a, (8, inner), &Device::Cpu).unwrap();
        let b = Tensor::from_vec(b, (cols, 8), &Device::Cpu).unwrap();
        let formats = [Format::Half(Half::Bf16), Format::Half(Half::F16), Format::Q8, Format::Q4];
        let packed = formats.iter().map(|format| Weight::packed(&w, *format).unwrap());
        for weight in packed.chain([Weight::Dense(w.clone()), Weight::Mixed(w.clone())]) {
            for isa in Isa::available() {
                for of in [RowsOf::Whole, RowsOf::Steps] {
                    let all = bits(&linear_of(&x, &weight, None, of, isa).unwrap());
                    for (start, count) in [(0, 1), (3, 2), (7, 16), (1, 17), (2, rows - 2)] {
                        let some = x.narrow(0, start, count).unwrap();
                        let some = bits(&linear_of(&some, &weight, None, of, isa).unwrap());
                        let same = some[..] == all[start * cols..(start + count) * cols];
                        assert!(same, "{count} of {rows} x {inner} x {cols}, {of:?} by {isa:?}");
                    }
                }
            }
        }
        let all = bits(&low_rank(&x, &a, &b, 0.7).unwrap());
        for (start, count) in [(0, 1), (3, 2), (7, 16), (2, rows - 2)] {
            let some = bits(&low_rank(&x.narrow(0, start, count).unwrap(), &a, &b, 0.7).unwrap());
            assert!(some[..] == all[start * cols..(start + count) * cols], "low rank, {count} of {rows}");
        }
    }
}

#[test]
fn products_are_exact_but_for_the_types_of_their_sides() {
    // Past 512 numbers along the inner axis a sum is taken in parts; past 256 rows there are several tasks.
    let sizes = [
        (1, 1, 1),
        (1, 129, 17),
        (2, 7, 1),
        (3, 31, 33),
        (7, 129, 17),
        (17, 33, 129),
        (33, 2100, 65),
        (300, 40, 70),
    ];
    for isa in Isa::available() {
        for format in FORMATS {
            for (rows, inner, cols) in sizes {
                // A left side of bf16 is taken as it is; so is one of f32 where nothing multiplies bf16.
                check::<bf16>(rows, inner, cols, format, isa, 5e-3);
                check::<f16>(rows, inner, cols, format, isa, 5e-3);
                // What is quantised is read back as bf16.
                let quantised = matches!(format, Format::Q8 | Format::Q4);
                let narrows = quantised || isa.multiplies_bf16() && format != Format::Half(Half::F16);
                check::<f32>(rows, inner, cols, format, isa, if narrows { 5e-3 } else { 5e-6 });
            }
        }
    }
}

#[test]
fn threads_and_bits_of_a_product() {
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let three = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let x: Vec<bf16> = random(70 * 300, 1).into_iter().map(bf16::from_f32).collect();
    for format in FORMATS {
        let packed = Packed::new(Matrix::new(&random(600 * 300, 3), 600, 300), format);
        let run = || {
            let wide: Vec<f32> = x.iter().map(|v| v.to_f32()).collect();
            let out = product(Matrix::new(&wide, 70, 300), &packed, None, RowsOf::Whole, Isa::best());
            let mut back = vec![0f32; 70 * 300];
            product_back(&out, &packed, &mut back);
            (out, back)
        };
        let (out, back) = alone.install(run);
        assert_eq!((&out, &back), (&three.install(run).0, &three.install(run).1), "{format:?}");
        // The way back is the product with the other side.
        let rows = rows_of(&packed);
        let turned: Vec<f32> = (0..300).flat_map(|col| rows.iter().skip(col).step_by(300).copied()).collect();
        let expected = exact(&out, &turned, &vec![0.0; 300], 600);
        assert!(relative_error(&back, &expected) < 2e-6, "{format:?}");
    }
}

#[test]
fn what_a_format_keeps() {
    let w = random(70 * 100, 5);
    let far = |format| {
        let packed = Packed::new(Matrix::new(&w, 70, 100), format);
        let off = rows_of(&packed).iter().zip(&w).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        (off, packed.bytes())
    };
    // Values are below 0.5: half a step of each format.
    let (bf16, bytes) = far(Format::Half(Half::Bf16));
    assert!(bf16 <= 0.5f32.powi(10) && bytes == 80 * 128 * 2);
    assert!(far(Format::Half(Half::F16)).0 <= 0.5f32.powi(13));
    let (q8, bytes) = far(Format::Q8);
    assert!(q8 <= 0.5 / 127.0 / 2.0 + 0.5f32.powi(9) && bytes * 8 == 80 * 128 * 9);
    let (q4, bytes) = far(Format::Q4);
    assert!(q4 <= 1.0 / 15.0 / 2.0 + 0.5f32.powi(9) && bytes * 8 == 80 * 128 * 5);
    // Nothing but zeros, one number for a whole row, infinity of f16 kept out of the way.
    for format in FORMATS {
        for value in [0.0, 0.25, -3.0] {
            let same = vec![value; 40 * 40];
            let kept = rows_of(&Packed::new(Matrix::new(&same, 40, 40), format));
            assert!(kept.iter().all(|v| (v - value).abs() <= value.abs() * 2e-3), "{format:?} of {value}");
        }
    }
}

#[test]
fn packed_layers_are_layers_and_say_when_sizes_differ() {
    let cpu = &Device::Cpu;
    let x = Tensor::from_vec(random(6 * 40, 1), (6, 40), cpu).unwrap();
    let w = Tensor::from_vec(random(24 * 40, 2), (24, 40), cpu).unwrap();
    let bias = Tensor::from_vec(random(24, 3), 24, cpu).unwrap();
    let plain = linear(&x, &Weight::Dense(w.clone()), Some(&bias), Isa::best()).unwrap();
    let plain: Vec<f32> = plain.flatten_all().unwrap().to_vec1().unwrap();
    for (format, bound) in FORMATS.into_iter().zip([1e-2, 5e-3, 1e-2, 0.1]) {
        let packed = Weight::packed(&w, format).unwrap();
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let (x, bias) = (x.to_dtype(dtype).unwrap(), bias.to_dtype(dtype).unwrap());
            let y = linear(&x, &packed, Some(&bias), Isa::best()).unwrap();
            assert_eq!((y.dtype(), y.dims()), (dtype, [6, 24].as_slice()));
            let y: Vec<f32> = y.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            assert!(relative_error(&y, &plain) < bound, "{format:?} of {dtype:?}");
        }
        let problem =
            linear(&x.narrow(1, 0, 39).unwrap(), &packed, None, Isa::best()).unwrap_err().to_string();
        assert!(problem.contains("a linear layer of 40 inputs was given 39"), "{problem}");
    }
    let halves = Weight::new(w.to_dtype(DType::BF16).unwrap()).unwrap();
    assert!(matches!(&halves, Weight::Packed(_)) && halves.bytes() == 32 * 64 * 2);
    assert!(matches!(Weight::new(w).unwrap(), Weight::Dense(_)));
}

#[test]
fn attention_in_half_precision_is_that_of_single_but_for_rounding() {
    let roles: Vec<Role> = (0..150).map(|i| Role::ALL[[0, 1, 1, 2, 0, 3][i % 6]]).collect();
    let tensor = |tokens: usize, heads: usize, seed| {
        Tensor::from_vec(random(tokens * heads * 20, seed), (tokens, heads, 20), &Device::Cpu).unwrap()
    };
    // 10 keys are in a cache already; a step of decoding has one query, a prompt many.
    for queries in [1, 3, 140] {
        let (q, k, v) = (tensor(queries, 4, 1), tensor(150, 2, 2), tensor(150, 2, 3));
        for dtype in [DType::BF16, DType::F16] {
            let [q, k, v] = [&q, &k, &v].map(|t| (t * 4.0).unwrap().to_dtype(dtype).unwrap());
            let wide = [&q, &k, &v].map(|t| t.to_dtype(DType::F32).unwrap());
            let segment =
                [Segment::whole(queries, 150, Some(Mask::new(MaskKind::Bottleneck.rule(), &roles, queries)))];
            for isa in Isa::available() {
                let plan = plan(64, isa);
                let out = attention::attend(&q, &k, &v, &segment, plan).unwrap();
                let out: Vec<f32> =
                    out.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
                let expected = attention::plain(&wide[0], &wide[1], &wide[2], &segment, 0.3).unwrap();
                let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
                let error = relative_error(&out, &expected);
                assert!(error < 5e-3, "{queries} queries in {dtype:?} by {isa:?}: off by {error:e}");
            }
        }
    }
}

/// Products in bf16 of what is trained, both ways, beside those in f32.
#[test]
fn mixed_products_are_near_those_of_single_precision() {
    for (rows, inner, cols) in [(5, 40, 7), (70, 33, 65), (130, 96, 48)] {
        let values = |n: usize, seed: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * 37 + seed * 101) % 211) as f32 / 105.0 - 1.0).collect()
        };
        let var = |shape: &[usize], seed| {
            let count = shape.iter().product();
            Var::from_tensor(&Tensor::from_vec(values(count, seed), shape, &Device::Cpu).unwrap()).unwrap()
        };
        let (x, w, bias) = (var(&[rows, inner], 1), var(&[cols, inner], 2), var(&[cols], 3));
        for isa in Isa::available() {
            let outcome = |weight: Weight, bias: Option<&Tensor>| {
                let y = linear(x.as_tensor(), &weight, bias, isa).unwrap();
                let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                let mut all = vec![y];
                all.extend([&x, &w].map(|var| grads.get(var.as_tensor()).unwrap().clone()));
                all.extend(bias.map(|bias| grads.get(bias).unwrap().clone()));
                all
            };
            for bias in [None, Some(bias.as_tensor())] {
                let exact = outcome(Weight::Dense(w.as_tensor().clone()), bias);
                let mixed = outcome(Weight::Mixed(w.as_tensor().clone()), bias);
                for (i, (exact, mixed)) in exact.iter().zip(&mixed).enumerate() {
                    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                    let error = relative_error(&flat(mixed), &flat(exact));
                    // Two roundings to 8 bits.
                    assert!(error < 8e-3, "{rows} {inner} {cols} {isa:?}, {i}: {error}");
                }
            }
        }
    }
}
