//! Principal components of rows that need not fit in memory: subspace iteration from random directions (Halko,
//! Martinsson and Tropp 2011, SIAM Review 53), block by block.

use nalgebra::{DMatrix, SymmetricEigen};
use rand::RngExt;
use rayon::prelude::*;

use super::products::{MatrixSlice, multiply};
use super::rows::Rows;
use crate::error::Result;
use crate::progress::{Observer, Phase, Progress};
use crate::random::stream;

/// Rows along their principal components.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// [N, C], of mean zero.
    pub scores: Vec<f32>,
    /// C.
    pub count: usize,
    /// Share of the variance that each component has, largest first; none of rows as they are.
    pub shares: Vec<f64>,
}

/// Rows read at once.
const BLOCK: usize = 2048;
/// Blocks worked on side by side; their sums are added in order, so that threads change nothing.
const ABREAST: usize = 8;
/// Directions beyond those asked for.
const EXTRA: usize = 10;
/// Passes that sharpen the directions.
const PASSES: usize = 4;

/// The first `count` components of all rows.
///
/// # Errors
/// Rows that cannot be read, a stop.
pub fn principal(rows: &dyn Rows, count: usize, seed: u64, observer: &dyn Observer) -> Result<Components> {
    let (n, width) = (rows.count(), rows.width());
    let count = count.min(width).min(n.saturating_sub(1)).max(1);
    let total = PASSES + 2;
    let tell = |done| observer.progress(Progress { phase: Phase::Components, done, total });
    tell(0)?;
    let mean = mean(rows)?;
    let wide = (count + EXTRA).min(width);
    let mut rng = stream(seed, &[0]);
    let mut basis = DMatrix::<f64>::from_fn(width, wide, |_, _| rng.random_range(-1.0..1.0)).qr().q();
    for pass in 0..PASSES {
        tell(pass + 1)?;
        let narrow = narrow(&basis);
        let sums = summed(rows, &mean, width * wide, |block, sums| {
            let along = multiply(MatrixSlice::of(block, width), MatrixSlice::of(&narrow, wide));
            sums.copy_from_slice(&multiply(
                MatrixSlice::of(block, width).turned(),
                MatrixSlice::of(&along, wide),
            ));
        })?;
        basis = DMatrix::from_row_slice(width, wide, &sums).qr().q();
    }
    tell(PASSES + 1)?;
    let directions = narrow(&basis);
    let gram = summed(rows, &mean, wide * wide + 1, |block, sums| {
        let along = multiply(MatrixSlice::of(block, width), MatrixSlice::of(&directions, wide));
        let (squares, rest) = sums.split_at_mut(wide * wide);
        squares.copy_from_slice(&multiply(
            MatrixSlice::of(&along, wide).turned(),
            MatrixSlice::of(&along, wide),
        ));
        rest[0] = block.iter().map(|v| v * v).sum();
    })?;
    let eigen = SymmetricEigen::new(DMatrix::from_row_slice(wide, wide, &gram[..wide * wide]));
    let mut order: Vec<usize> = (0..wide).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    order.truncate(count);
    let variance = gram[wide * wide].max(f64::MIN_POSITIVE);
    let shares = order.iter().map(|i| eigen.eigenvalues[*i].max(0.0) / variance).collect();
    let mut components =
        &basis * DMatrix::from_fn(wide, count, |row, col| eigen.eigenvectors[(row, order[col])]);
    // A direction has no sign of its own: its largest part is positive.
    for mut column in components.column_iter_mut() {
        if column[column.icamax()] < 0.0 {
            column.neg_mut();
        }
    }
    let components = narrow(&components);
    let mut scores = vec![0f32; n * count];
    scores.par_chunks_mut(BLOCK * count).enumerate().try_for_each(|(block, scores)| -> Result<()> {
        let rows = centred(rows, &mean, block * BLOCK, scores.len() / count)?;
        scores.copy_from_slice(&multiply(MatrixSlice::of(&rows, width), MatrixSlice::of(&components, count)));
        Ok(())
    })?;
    Ok(Components { scores, count, shares })
}

/// All rows as they are, about their mean.
///
/// # Errors
/// Rows that cannot be read.
pub fn whole(rows: &dyn Rows) -> Result<Components> {
    let scores = centred(rows, &mean(rows)?, 0, rows.count())?;
    Ok(Components { scores, count: rows.width(), shares: Vec::new() })
}

/// Row by row in single precision.
fn narrow(matrix: &DMatrix<f64>) -> Vec<f32> {
    matrix.transpose().iter().map(|v| *v as f32).collect()
}

fn block_of(rows: &dyn Rows, first: usize, count: usize) -> Result<Vec<f32>> {
    let mut values = vec![0f32; count * rows.width()];
    rows.read(first, &mut values)?;
    Ok(values)
}

fn centred(rows: &dyn Rows, mean: &[f32], first: usize, count: usize) -> Result<Vec<f32>> {
    let mut values = block_of(rows, first, count)?;
    for row in values.chunks_exact_mut(mean.len()) {
        for (value, mean) in row.iter_mut().zip(mean) {
            *value -= mean;
        }
    }
    Ok(values)
}

fn mean(rows: &dyn Rows) -> Result<Vec<f32>> {
    let zeros = vec![0f32; rows.width()];
    let sums = summed(rows, &zeros, rows.width(), |block, sums| {
        for row in block.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    })?;
    Ok(sums.iter().map(|sum| (sum / rows.count() as f64) as f32).collect())
}

/// The sum over blocks of what `of` makes of each, [size].
fn summed(
    rows: &dyn Rows,
    mean: &[f32],
    size: usize,
    of: impl Fn(&[f32], &mut [f32]) + Sync,
) -> Result<Vec<f64>> {
    let mut total = vec![0f64; size];
    let starts: Vec<usize> = (0..rows.count()).step_by(BLOCK).collect();
    for starts in starts.chunks(ABREAST) {
        let one = |start: &usize| -> Result<Vec<f32>> {
            let mut sums = vec![0f32; size];
            of(&centred(rows, mean, *start, BLOCK.min(rows.count() - start))?, &mut sums);
            Ok(sums)
        };
        for sums in starts.par_iter().map(one).collect::<Result<Vec<_>>>()? {
            for (total, sum) in total.iter_mut().zip(sums) {
                *total += f64::from(sum);
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::super::rows::InMemory;
    use super::*;
    use crate::progress::Unobserved;

    /// Rows of a falling spectrum, off the middle.
    fn rows(count: usize, width: usize) -> Vec<f32> {
        let mut rng = stream(11, &[]);
        let rotation = DMatrix::<f64>::from_fn(width, width, |_, _| rng.random_range(-1.0..1.0)).qr().q();
        let spread =
            DMatrix::from_fn(count, width, |_, col| rng.random_range(-1.0..1.0) * 10.0 / (1.0 + col as f64));
        (spread * rotation).transpose().iter().map(|v| (*v + 2.0) as f32).collect()
    }

    #[test]
    fn components_are_those_of_a_full_decomposition() {
        let (count, width, wanted) = (3000, 40, 6);
        let x = rows(count, width);
        let found = principal(&InMemory::new(&x, width), wanted, 1, &Unobserved).unwrap();
        let full = DMatrix::from_row_iterator(count, width, x.iter().map(|v| f64::from(*v)));
        let centred = DMatrix::from_fn(count, width, |row, col| full[(row, col)] - full.column(col).mean());
        let decomposed = centred.svd(true, false);
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| decomposed.singular_values[*b].total_cmp(&decomposed.singular_values[*a]));
        let total: f64 = decomposed.singular_values.iter().map(|s| s * s).sum();
        let left = decomposed.u.unwrap();
        for (component, place) in order.iter().take(wanted).enumerate() {
            let value = decomposed.singular_values[*place];
            assert!((found.shares[component] - value * value / total).abs() < 1e-4);
            let column = left.column(*place);
            let dot: f64 =
                (0..count).map(|i| column[i] * f64::from(found.scores[i * wanted + component])).sum();
            assert!((dot.abs() / value - 1.0).abs() < 1e-4, "component {component}: {dot} of {value}");
        }
    }

    #[test]
    fn threads_change_nothing() {
        let x = rows(5000, 20);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| principal(&InMemory::new(&x, 20), 5, 3, &Unobserved).unwrap())
        };
        assert_eq!(on(1), on(3));
    }
}
