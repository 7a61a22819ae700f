//! Arithmetic that compilers turn into vectors where it is inlined under an [`Isa`](super::isa::Isa).
//!
//! Sums run in 16 lanes whatever the width of vectors, so that every instruction set gives the same bits.

use pulp::{Simd, WithSimd};

const LANES: usize = 16;

/// e^x to within 2 units in the last place; 0 below the smallest normal result, infinity above the largest, NaN
/// of NaN (range reduction and polynomial of the Cephes library, Moshier 1992).
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "as published")]
pub fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN_2_HIGH: f32 = 0.693_359_375;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding and taking off 1.5 * 2^23 rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    // Past the largest the powers below make infinity; NaN passes both comparisons.
    let bounded = if x > 89.0 { 89.0 } else { x };
    let bounded = if bounded < -87.4 { -87.4 } else { bounded };
    let shifted = bounded * LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = bounded - whole * LN_2_HIGH - whole * LN_2_LOW;
    let mut p = 1.987_569_15e-4;
    p = p * r + 1.398_199_95e-3;
    p = p * r + 8.333_451_9e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_55e-1;
    p = p * r + 5.000_000_1e-1;
    let y = p * r * r + r + 1.0;
    // Two factors, since the power alone may be past the largest.
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = power >> 1;
    let two_to = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
    let y = y * two_to(half) * two_to(power - half);
    if x < -87.336_55 { 0.0 } else { y }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, by e^2x; by its series near zero, where that would cancel.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let far = 1.0 - 2.0 / (exp(2.0 * x) + 1.0);
    let s = x * x;
    let near = x * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
    if x.abs() < 0.25 { near } else { far }
}

/// The error function to within 4e-7 (rational approximation of the Eigen library).
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "as published")]
pub fn erf(x: f32) -> f32 {
    let t = if x > 4.0 { 4.0 } else { x };
    let t = if t < -4.0 { -4.0 } else { t };
    let s = t * t;
    let mut p = -2.726_142_255_763_06e-10;
    p = p * s + 2.770_681_424_959_02e-08;
    p = p * s + -2.101_024_020_825_08e-06;
    p = p * s + -5.692_506_394_623_46e-05;
    p = p * s + -7.349_906_303_268_55e-04;
    p = p * s + -2.954_599_808_540_25e-03;
    p = p * s + -1.609_603_326_224_15e-02;
    let mut q = -1.456_607_184_649_96e-05;
    q = q * s + -2.133_740_552_789_05e-04;
    q = q * s + -1.682_826_974_382_03e-03;
    q = q * s + -7.373_329_167_204_68e-03;
    q = q * s + -1.426_473_905_141_89e-02;
    t * p / q
}

/// Sum of f(a) over a slice.
#[inline(always)]
pub fn sum(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            sums[i] += f(chunk[i]);
        }
    }
    for (sum, a) in sums.iter_mut().zip(rest) {
        *sum += f(*a);
    }
    fold(sums)
}

/// Sum of f(a, b) over two slices.
#[inline(always)]
pub fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for i in 0..LANES {
            sums[i] += f(a[i], b[i]);
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum += f(*a, *b);
    }
    fold(sums)
}

/// Products of one vector with each of several rows of its length; sums run in as many lanes as vectors have, four
/// vectors at once.
pub struct Dots<'a> {
    /// [n].
    pub x: &'a [f32],
    /// [out, n].
    pub rows: &'a [f32],
    /// [out].
    pub out: &'a mut [f32],
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, rows, out } = self;
        let (x_vectors, x_rest) = S::as_simd_f32s(x);
        for (y, row) in out.iter_mut().zip(rows.chunks_exact(x.len().max(1))) {
            let (vectors, rest) = S::as_simd_f32s(row);
            let mut sums = [simd.splat_f32s(0.0); 4];
            let ((x_fours, x_last), (fours, last)) = (x_vectors.as_chunks::<4>(), vectors.as_chunks::<4>());
            for (a, b) in x_fours.iter().zip(fours) {
                for i in 0..4 {
                    sums[i] = simd.mul_add_e_f32s(a[i], b[i], sums[i]);
                }
            }
            for (a, b) in x_last.iter().zip(last) {
                sums[0] = simd.mul_add_e_f32s(*a, *b, sums[0]);
            }
            let (even, odd) = (simd.add_f32s(sums[0], sums[2]), simd.add_f32s(sums[1], sums[3]));
            let mut sum = simd.reduce_sum_f32s(simd.add_f32s(even, odd));
            for (a, b) in x_rest.iter().zip(rest) {
                sum += a * b;
            }
            *y = sum;
        }
    }
}

/// The largest; minus infinity of nothing. NaN does not count.
#[inline(always)]
pub fn max(a: &[f32]) -> f32 {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            most[i] = if chunk[i] > most[i] { chunk[i] } else { most[i] };
        }
    }
    for a in rest {
        most[0] = if *a > most[0] { *a } else { most[0] };
    }
    most.into_iter().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
}

#[inline(always)]
fn fold(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_those_of_double_precision() {
        for i in -200_000..200_000 {
            let x = i as f32 * 5e-4;
            let exact = f64::from(x).exp();
            let close = (f64::from(exp(x)) - exact).abs() <= 2.5e-7 * exact + 1e-38;
            assert!(close || !(-87.3..=88.7).contains(&x), "exp({x}) = {} is not {exact}", exp(x));
            let exact = f64::from(x).tanh();
            assert!(
                (f64::from(tanh(x)) - exact).abs() <= 8e-7 * exact.abs() + 1e-12,
                "tanh({x}) = {}",
                tanh(x)
            );
            let exact = libm::erf(f64::from(x));
            assert!((f64::from(erf(x)) - exact).abs() <= 4e-7, "erf({x}) = {} is not {exact}", erf(x));
        }
        assert_eq!((exp(f32::NEG_INFINITY), exp(f32::INFINITY), exp(0.0)), (0.0, f32::INFINITY, 1.0));
        assert!(exp(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
        assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!((sigmoid(f32::INFINITY), sigmoid(f32::NEG_INFINITY)), (1.0, 0.0));
    }

    #[test]
    fn sums_take_every_value_once() {
        for len in [0, 1, 7, 16, 17, 129] {
            let a: Vec<f32> = (0..len).map(|i| i as f32).collect();
            assert_eq!(sum(&a, |v| v), (0..len).sum::<i32>() as f32);
            assert_eq!(sum2(&a, &a, |x, y| x * y), (0..len).map(|i| i * i).sum::<i32>() as f32);
            assert_eq!(max(&a), if len == 0 { f32::NEG_INFINITY } else { (len - 1) as f32 });
        }
    }
}
