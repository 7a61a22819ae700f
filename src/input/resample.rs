//! Pillow's bicubic resize, to the last bit.
//!
//! The reference resizes with Pillow, and one grey level moves logits past what parity allows, so its
//! arithmetic is followed exactly: antialiased Catmull-Rom weights (a = -0.5) in 22-bit fixed point,
//! rounded to 8 bits between the passes.

use image::RgbImage;
use rayon::prelude::*;

const PRECISION_BITS: u32 = 32 - 8 - 2;
const SUPPORT: f64 = 2.0;

/// Resizes to `width` x `height`; an axis that keeps its size is not filtered.
pub fn bicubic(source: &RgbImage, width: u32, height: u32) -> RgbImage {
    // Rounding to 8 bits in between makes the order of the passes part of the result. Pillow 13 resizes the
    // height first where the height shrinks by more than twice what the width does.
    let [shrink_x, shrink_y] = [(source.width(), width), (source.height(), height)]
        .map(|(from, to)| i64::from(from) - i64::from(to));
    if shrink_y > 0 && shrink_y > 2 * shrink_x {
        resize_width(&resize_height(source, height), width)
    } else {
        resize_height(&resize_width(source, width), height)
    }
}

fn resize_width(source: &RgbImage, width: u32) -> RgbImage {
    let (old_width, height) = source.dimensions();
    if width == old_width {
        return source.clone();
    }
    let kernels = kernels(old_width as usize, width as usize);
    let mut out = vec![0u8; width as usize * height as usize * 3];
    out.par_chunks_mut(width as usize * 3)
        .zip(source.as_raw().par_chunks(old_width as usize * 3))
        .for_each(|(out_row, row)| filter_row(row, out_row, &kernels));
    RgbImage::from_raw(width, height, out).expect("the buffer was made for this size")
}

fn resize_height(source: &RgbImage, height: u32) -> RgbImage {
    let (width, old_height) = source.dimensions();
    if height == old_height {
        return source.clone();
    }
    let kernels = kernels(old_height as usize, height as usize);
    let stride = width as usize * 3;
    let mut out = vec![0u8; stride * height as usize];
    out.par_chunks_mut(stride).zip(&kernels).for_each(|(out_row, kernel)| {
        let rows = &source.as_raw()[kernel.first * stride..];
        for (column, value) in out_row.iter_mut().enumerate() {
            let taps =
                kernel.weights.iter().enumerate().map(|(i, w)| i32::from(rows[i * stride + column]) * w);
            *value = round(taps.sum());
        }
    });
    RgbImage::from_raw(width, height, out).expect("the buffer was made for this size")
}

fn filter_row(row: &[u8], out: &mut [u8], kernels: &[Kernel]) {
    for (pixel, kernel) in out.as_chunks_mut::<3>().0.iter_mut().zip(kernels) {
        let mut sums = [0i32; 3];
        for (source, weight) in row[kernel.first * 3..].as_chunks::<3>().0.iter().zip(&kernel.weights) {
            for (sum, sample) in sums.iter_mut().zip(source) {
                *sum += i32::from(*sample) * weight;
            }
        }
        *pixel = sums.map(round);
    }
}

fn round(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION_BITS - 1))) >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Which source samples make one target sample.
struct Kernel {
    first: usize,
    weights: Vec<i32>,
}

fn kernels(source: usize, target: usize) -> Vec<Kernel> {
    let scale = source as f64 / target as f64;
    let filter_scale = scale.max(1.0);
    let support = SUPPORT * filter_scale;
    (0..target)
        .map(|i| {
            let center = (i as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(source);
            let weights: Vec<f64> =
                (first..end).map(|x| catmull_rom((x as f64 - center + 0.5) / filter_scale)).collect();
            let total: f64 = weights.iter().sum();
            let fixed = |w: &f64| {
                let value = w / total * f64::from(1 << PRECISION_BITS);
                (if value < 0.0 { value - 0.5 } else { value + 0.5 }) as i32
            };
            Kernel { first, weights: weights.iter().map(fixed).collect() }
        })
        .collect()
}

/// The cubic of Keys (1981) with a = -0.5.
fn catmull_rom(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_image_stays_flat_and_the_same_size_is_the_same_image() {
        let flat = RgbImage::from_pixel(7, 5, image::Rgb([10, 200, 77]));
        assert!(bicubic(&flat, 13, 3).pixels().all(|p| p.0 == [10, 200, 77]));
        let ramp = RgbImage::from_fn(6, 6, |x, y| image::Rgb([x as u8 * 40, y as u8 * 40, 0]));
        assert_eq!(bicubic(&ramp, 6, 6), ramp);
    }

    #[test]
    fn one_pixel_fills_any_size() {
        let dot = RgbImage::from_pixel(1, 1, image::Rgb([1, 2, 3]));
        assert!(bicubic(&dot, 56, 28).pixels().all(|p| p.0 == [1, 2, 3]));
    }
}
