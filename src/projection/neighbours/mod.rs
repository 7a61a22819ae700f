//! Each point's nearest others.

mod cells;

use rayon::prelude::*;

use super::products::{MatrixSlice, multiply_into};
use super::rows::Rows;
use crate::error::Result;
use crate::progress::{Observer, Phase, Progress};

/// The k nearest others of N points, nearest first; of equal ones the lower number first.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// How many each has.
    pub k: usize,
    /// [N, k].
    pub indices: Vec<u32>,
    /// Squared distances, [N, k].
    pub squares: Vec<f32>,
    /// Share of the nearest that was found, of some points; None where all were compared with all.
    pub found: Option<f64>,
}

impl Neighbours {
    /// N.
    pub fn count(&self) -> usize {
        self.indices.len().checked_div(self.k).unwrap_or(0)
    }

    /// The nearest of a point.
    pub fn of(&self, i: usize) -> &[u32] {
        &self.indices[i * self.k..][..self.k]
    }
}

/// Rows of queries whose distances are made at once.
const QUERIES: usize = 64;
/// Points they are held against at once: with the queries' block what stays in the cache.
const POINTS: usize = 2048;

/// Blocks of queries between two looks at whether to stop.
const ABREAST: usize = 64;

/// More points than this are not compared with all others.
const MANY: usize = 50_000;

/// The nearest of each among all, x [N, width]: by comparing all with all, or of very many those in cells near by.
///
/// # Errors
/// A stop.
pub fn nearest(x: &[f32], width: usize, k: usize, seed: u64, observer: &dyn Observer) -> Result<Neighbours> {
    if x.len() / width.max(1) > MANY {
        return cells::nearest(x, width, k, seed, observer);
    }
    exact(x, width, k, observer)
}

/// The nearest of each among all, x [N, width], by products of blocks.
///
/// # Errors
/// A stop.
pub fn exact(x: &[f32], width: usize, k: usize, observer: &dyn Observer) -> Result<Neighbours> {
    let count = x.len() / width.max(1);
    let k = k.min(count.saturating_sub(1));
    let points = Points::new(x, width);
    let mut indices = vec![0u32; count * k];
    let mut squares = vec![0f32; count * k];
    let rows = (QUERIES * k).max(1);
    let blocks = indices.chunks_mut(ABREAST * rows).zip(squares.chunks_mut(ABREAST * rows));
    for (group, (indices, squares)) in blocks.enumerate() {
        let start = group * ABREAST * QUERIES;
        observer.progress(Progress { phase: Phase::Neighbours, done: start, total: count })?;
        let both = indices.par_chunks_mut(rows).zip(squares.par_chunks_mut(rows));
        both.enumerate().for_each(|(block, (indices, squares))| {
            let own = start + block * QUERIES..start + block * QUERIES + indices.len() / k;
            let found = points.nearest(&x[own.start * width..own.end * width], k, Some(own.start as u32));
            let pairs = indices.iter_mut().zip(squares.iter_mut());
            for ((to_index, to_square), (square, index)) in pairs.zip(found.into_iter().flatten()) {
                (*to_index, *to_square) = (index, square);
            }
        });
    }
    Ok(Neighbours { k, indices, squares, found: None })
}

/// The k nearest of a few states among all of them but themselves, nearest first: read block by block.
///
/// # Errors
/// States that cannot be read, a stop.
pub fn among(
    states: &dyn Rows,
    queries: &[usize],
    k: usize,
    observer: &dyn Observer,
) -> Result<Vec<Vec<u32>>> {
    let (count, width) = (states.count(), states.width());
    let mut own = vec![0f32; queries.len() * width];
    for (query, row) in queries.iter().zip(own.chunks_exact_mut(width)) {
        states.read(*query, row)?;
    }
    let mut nearest: Vec<Nearest> = queries.iter().map(|_| Nearest::new(k)).collect();
    let (mut block, mut products) =
        (vec![0f32; POINTS.min(count) * width], vec![0f32; queries.len() * POINTS]);
    for start in (0..count).step_by(POINTS) {
        observer.progress(Progress { phase: Phase::Neighbours, done: start, total: count })?;
        let points = POINTS.min(count - start);
        let block = &mut block[..points * width];
        states.read(start, block)?;
        let halves: Vec<f32> =
            block.par_chunks(width).map(|row| row.iter().map(|v| v * v).sum::<f32>() / 2.0).collect();
        multiply_into(MatrixSlice::of(&own, width), MatrixSlice::of(block, width).turned(), &mut products);
        for ((nearest, query), products) in nearest.iter_mut().zip(queries).zip(products.chunks(points)) {
            nearest.offer(products, &halves, start as u32, *query as u32);
        }
    }
    let mut row = vec![0f32; width];
    let sorted = |(nearest, query): (Nearest, &[f32])| {
        let mut problem = None;
        let found = nearest.sorted(|j| {
            problem = states.read(j as usize, &mut row).err().or(problem.take());
            (distance(query, &row), j)
        });
        problem.map_or(Ok(found.into_iter().map(|(_, j)| j).collect()), Err)
    };
    nearest.into_iter().zip(own.chunks_exact(width)).map(sorted).collect()
}

/// Points that others are held against.
struct Points<'a> {
    /// [N, width].
    values: &'a [f32],
    width: usize,
    /// Half of |x|²: nearest by distance is largest by x·y - |y|²/2.
    halves: Vec<f32>,
}

impl<'a> Points<'a> {
    fn new(values: &'a [f32], width: usize) -> Self {
        let half = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>() / 2.0;
        Self { values, width, halves: values.par_chunks(width.max(1)).map(half).collect() }
    }

    fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.width..][..self.width]
    }

    /// The k nearest of each query, with their squared distances, on one thread. `own` is the first query's number
    /// where queries are points themselves.
    fn nearest(&self, queries: &[f32], k: usize, own: Option<u32>) -> Vec<Vec<(f32, u32)>> {
        let width = self.width;
        let mut nearest: Vec<Nearest> = queries.chunks_exact(width).map(|_| Nearest::new(k)).collect();
        let mut products = vec![0f32; nearest.len() * POINTS];
        for start in (0..self.halves.len()).step_by(POINTS) {
            let points = POINTS.min(self.halves.len() - start);
            let others = MatrixSlice::of(&self.values[start * width..][..points * width], width);
            multiply_into(MatrixSlice::of(queries, width), others.turned(), &mut products);
            for (row, nearest) in nearest.iter_mut().enumerate() {
                let products = &products[row * points..][..points];
                let own = own.map_or(u32::MAX, |first| first + row as u32);
                nearest.offer(products, &self.halves[start..][..points], start as u32, own);
            }
        }
        let sorted = |(nearest, query): (Nearest, &[f32])| {
            nearest.sorted(|j| (distance(query, self.row(j as usize)), j))
        };
        nearest.into_iter().zip(queries.chunks_exact(width)).map(sorted).collect()
    }
}

/// |a - b|².
pub(super) fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The best so far of one query.
struct Nearest {
    k: usize,
    /// What a candidate has to exceed.
    least: f32,
    /// Scores and numbers; more than k until it is thinned.
    held: Vec<(f32, u32)>,
}

impl Nearest {
    fn new(k: usize) -> Self {
        Self { k, least: f32::NEG_INFINITY, held: Vec::with_capacity(4 * k + POINTS.min(256)) }
    }

    /// Takes what is near of points from `start` on: their products with the query, and half their squares.
    fn offer(&mut self, products: &[f32], halves: &[f32], start: u32, own: u32) {
        const LANES: usize = 16;
        for (chunk, (products, halves)) in products.chunks(LANES).zip(halves.chunks(LANES)).enumerate() {
            // Most blocks have nothing near: one comparison for all of it.
            let mut any = false;
            for (product, half) in products.iter().zip(halves) {
                any |= product - half >= self.least;
            }
            if any {
                for (lane, (product, half)) in products.iter().zip(halves).enumerate() {
                    let (score, index) = (product - half, start + (chunk * LANES + lane) as u32);
                    if score >= self.least && index != own {
                        self.held.push((score, index));
                    }
                }
                if self.held.len() >= 4 * self.k + 64 {
                    self.thin();
                }
            }
        }
    }

    /// Keeps a few more than the best k: scores are rounded, distances decide.
    fn thin(&mut self) {
        let keep = self.k + self.k / 8 + 2;
        if self.held.len() > keep {
            self.held.select_nth_unstable_by(keep - 1, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            self.held.truncate(keep);
            self.least = self.held[keep - 1].0;
        }
    }

    /// The best, by the squared distance and number that `known` has of each.
    fn sorted(mut self, mut known: impl FnMut(u32) -> (f32, u32)) -> Vec<(f32, u32)> {
        self.thin();
        let mut found: Vec<(f32, u32)> = self.held.iter().map(|(_, index)| known(*index)).collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        found.truncate(self.k);
        found
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::super::rows::InMemory;
    use super::*;
    use crate::progress::Unobserved;

    #[test]
    fn the_nearest_are_those_a_sort_finds() {
        let (count, width, k) = (2500, 7, 12);
        let mut rng = crate::random::stream(5, &[]);
        let mut x: Vec<f32> = (0..count * width).map(|_| rng.random_range(-1.0..1.0)).collect();
        // Far from nothing, where squares are large and differences small; and some of them twice.
        for v in &mut x {
            *v += 3.0;
        }
        x.copy_within(0..30 * width, 1000 * width);
        let found = exact(&x, width, k, &Unobserved).unwrap();
        for i in (0..count).step_by(83) {
            let row = |i: usize| &x[i * width..][..width];
            let mut all: Vec<(f32, u32)> =
                (0..count).filter(|j| *j != i).map(|j| (distance(row(i), row(j)), j as u32)).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let nearest: Vec<u32> = all[..k].iter().map(|(_, j)| *j).collect();
            assert_eq!(found.of(i), nearest, "of {i}");
            assert_eq!(found.squares[i * k], all[0].0);
        }
    }

    #[test]
    fn the_nearest_of_a_few_are_those_of_all() {
        let (count, width, k) = (3000, 5, 7);
        let mut rng = crate::random::stream(6, &[]);
        let x: Vec<f32> = (0..count * width).map(|_| rng.random_range(-1.0..1.0)).collect();
        let all = exact(&x, width, k, &Unobserved).unwrap();
        let few = [2999, 0, 2048, 17];
        let found = among(&InMemory::new(&x, width), &few, k, &Unobserved).unwrap();
        for (query, found) in few.iter().zip(found) {
            assert_eq!(found, all.of(*query), "of {query}");
        }
    }

    #[test]
    fn few_points_have_all_others() {
        let found = exact(&[0.0, 1.0, 5.0], 1, 10, &Unobserved).unwrap();
        assert_eq!((found.k, found.indices), (2, vec![1, 2, 0, 2, 1, 0]));
    }
}
