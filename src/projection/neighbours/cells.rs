//! The nearest of very many points, nearly always: points lie in cells, and only cells near a point are looked
//! through (an inverted file; Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", 2011).

use std::ops::Range;

use rand::seq::index;
use rayon::prelude::*;

use super::{Nearest, Neighbours, POINTS, Points, QUERIES, distance};
use crate::error::Result;
use crate::progress::{Observer, Phase, Progress};
use crate::projection::products::{MatrixSlice, multiply_into};
use crate::random::stream;

/// Points of a cell, about.
const IN_CELL: usize = 400;
/// Cells that are looked through for each point, at least,
const LOOKED_THROUGH: usize = 16;
/// and points in them for each neighbour.
const FOR_EACH: usize = 24;
/// Points of each cell that its centre is made of.
const SAMPLED: usize = 32;
/// Times centres are moved.
const ROUNDS: usize = 8;
/// Points whose nearest are compared with the true ones.
const ASKED: usize = 200;

/// The nearest of each among all that lie in cells near it; what share of the true ones that is, is measured.
///
/// # Errors
/// A stop.
pub(super) fn nearest(
    x: &[f32],
    width: usize,
    k: usize,
    seed: u64,
    observer: &dyn Observer,
) -> Result<Neighbours> {
    let count = x.len() / width;
    let k = k.min(count - 1);
    let filed = Filed::new(x, width, k, seed, observer)?;
    let (mut indices, mut squares) = (vec![0u32; count * k], vec![0f32; count * k]);
    let mut done = 0;
    // Some blocks at a time: what they find is copied to where its points are.
    for blocks in filed.blocks().chunks(32 * rayon::current_num_threads()) {
        observer.progress(Progress { phase: Phase::Neighbours, done, total: count })?;
        let found: Vec<_> = blocks.par_iter().map(|block| filed.nearest(block, k)).collect();
        for (place, near) in blocks.iter().cloned().flatten().zip(found.into_iter().flatten()) {
            let first = filed.numbers[place] as usize * k;
            for (rank, (square, number)) in near.into_iter().enumerate() {
                (indices[first + rank], squares[first + rank]) = (number, square);
            }
        }
        done += blocks.iter().map(ExactSizeIterator::len).sum::<usize>();
    }
    let found = Some(share_found(x, width, k, &squares));
    Ok(Neighbours { k, indices, squares, found })
}

/// Points in the order of their cells: "place" is where one stands in it.
struct Filed {
    width: usize,
    /// [N, width].
    rows: Vec<f32>,
    /// Half of their |x|².
    halves: Vec<f32>,
    /// What number each has among all.
    numbers: Vec<u32>,
    /// Where each cell begins, and where the last one ends.
    starts: Vec<usize>,
    /// The cells nearest each point, its own first, [N, near].
    cells: Vec<u32>,
    near: usize,
}

impl Filed {
    fn new(x: &[f32], width: usize, k: usize, seed: u64, observer: &dyn Observer) -> Result<Self> {
        let count = x.len() / width;
        let num_cells = count.div_ceil(IN_CELL);
        let centres = centres(x, width, num_cells, seed, observer)?;
        let near = LOOKED_THROUGH.max((FOR_EACH * k).div_ceil(IN_CELL)).min(num_cells);
        let cells_by_number = nearest_centres(x, &centres, width, near);
        let cell = |i: &u32| cells_by_number[*i as usize * near] as usize;
        let mut numbers: Vec<u32> = (0..count as u32).collect();
        numbers.sort_by_key(cell);
        let starts = (0..=num_cells).map(|own| numbers.partition_point(|i| cell(i) < own)).collect();
        let of = |i: &u32, width: usize| *i as usize * width..(*i as usize + 1) * width;
        let rows: Vec<f32> = numbers.iter().flat_map(|i| &x[of(i, width)]).copied().collect();
        let cells = numbers.iter().flat_map(|i| &cells_by_number[of(i, near)]).copied().collect();
        let halves = Points::new(&rows, width).halves;
        Ok(Self { width, rows, halves, numbers, starts, cells, near })
    }

    fn row(&self, place: usize) -> &[f32] {
        &self.rows[place * self.width..][..self.width]
    }

    fn cell(&self, cell: u32) -> Range<usize> {
        self.starts[cell as usize]..self.starts[cell as usize + 1]
    }

    /// Places that are looked for together: of one cell, and not too many.
    fn blocks(&self) -> Vec<Range<usize>> {
        let cells = self.starts.windows(2).map(|ends| ends[0]..ends[1]);
        cells
            .flat_map(|cell| {
                let end = cell.end;
                cell.step_by(QUERIES).map(move |first| first..end.min(first + QUERIES))
            })
            .collect()
    }

    /// The nearest of each place of a block: squared distances and numbers.
    fn nearest(&self, block: &Range<usize>, k: usize) -> Vec<Vec<(f32, u32)>> {
        let mut nearest: Vec<Nearest> = block.clone().map(|_| Nearest::new(k)).collect();
        let mut products = vec![0f32; QUERIES * POINTS];
        let own = self.cells[block.start * self.near];
        let mut looks: Vec<(u32, usize)> = block
            .clone()
            .flat_map(|place| self.looked_through(place, k).map(move |cell| (cell, place)))
            .collect();
        // The own cell first: it has most of what is near, and little of the others is nearer.
        looks.sort_unstable_by_key(|(cell, place)| (*cell != own, *cell, *place));
        for looks in looks.chunk_by(|a, b| a.0 == b.0) {
            let places: Vec<usize> = looks.iter().map(|(_, place)| *place).collect();
            self.offer(self.cell(looks[0].0), &places, block.start, &mut nearest, &mut products);
        }
        let sorted = |(place, found): (usize, Nearest)| {
            found.sorted(|other| {
                let other = other as usize;
                (distance(self.row(place), self.row(other)), self.numbers[other])
            })
        };
        block.clone().zip(nearest).map(sorted).collect()
    }

    /// Cells of a place to look through: those nearest it, and where they are nearly empty all of them.
    fn looked_through(&self, place: usize, k: usize) -> impl Iterator<Item = u32> {
        let nearest = &self.cells[place * self.near..][..self.near];
        let points: usize = nearest.iter().map(|cell| self.cell(*cell).len()).sum();
        let all = if points < 2 * k { 0..self.starts.len() as u32 - 1 } else { 0..0 };
        let some = if all.is_empty() { nearest } else { &[] };
        some.iter().copied().chain(all)
    }

    /// Holds places against points that lie together.
    fn offer(
        &self,
        points: Range<usize>,
        places: &[usize],
        first: usize,
        nearest: &mut [Nearest],
        products: &mut [f32],
    ) {
        let queries: Vec<f32> = places.iter().flat_map(|place| self.row(*place)).copied().collect();
        for start in points.clone().step_by(POINTS) {
            let count = POINTS.min(points.end - start);
            let others = MatrixSlice::of(&self.rows[start * self.width..][..count * self.width], self.width);
            multiply_into(MatrixSlice::of(&queries, self.width), others.turned(), products);
            for (place, products) in places.iter().zip(products.chunks_exact(count)) {
                let halves = &self.halves[start..][..count];
                nearest[place - first].offer(products, halves, start as u32, *place as u32);
            }
        }
    }
}

/// Centres of cells, [cells, width]: k-means of some of the points.
fn centres(
    x: &[f32],
    width: usize,
    num_cells: usize,
    seed: u64,
    observer: &dyn Observer,
) -> Result<Vec<f32>> {
    let count = x.len() / width;
    let chosen = index::sample(&mut stream(seed, &[2]), count, count.min(num_cells * SAMPLED));
    let sample: Vec<f32> = chosen.iter().flat_map(|i| &x[i * width..][..width]).copied().collect();
    let mut centres = sample[..num_cells * width].to_vec();
    for _ in 0..ROUNDS {
        observer.progress(Progress { phase: Phase::Neighbours, done: 0, total: count })?;
        let cells = nearest_centres(&sample, &centres, width, 1);
        let mut sums = vec![(0usize, vec![0f64; width]); num_cells];
        for (cell, row) in cells.iter().zip(sample.chunks_exact(width)) {
            let (points, sum) = &mut sums[*cell as usize];
            *points += 1;
            for (sum, v) in sum.iter_mut().zip(row) {
                *sum += f64::from(*v);
            }
        }
        // A cell that nothing is nearest to stays where it is.
        for (centre, (points, sum)) in centres.chunks_exact_mut(width).zip(&sums).filter(|(_, s)| s.0 > 0) {
            for (centre, sum) in centre.iter_mut().zip(sum) {
                *centre = (sum / *points as f64) as f32;
            }
        }
    }
    Ok(centres)
}

/// The nearest few centres of each row, nearest first.
fn nearest_centres(x: &[f32], centres: &[f32], width: usize, few: usize) -> Vec<u32> {
    let centres = Points::new(centres, width);
    let near = |rows: &[f32]| centres.nearest(rows, few, None);
    let found: Vec<_> = x.par_chunks(QUERIES * width).map(near).collect();
    found.into_iter().flatten().flatten().map(|(_, cell)| cell).collect()
}

/// Of some points, the share of their k nearest that is among those found, by their squared distances [N, k].
fn share_found(x: &[f32], width: usize, k: usize, squares: &[f32]) -> f64 {
    let count = x.len() / width;
    let points = Points::new(x, width);
    let of = |i: usize| {
        let nearest = points.nearest(&x[i * width..][..width], k, Some(i as u32));
        let farthest = nearest[0].last().map_or(0.0, |(square, _)| *square);
        squares[i * k..][..k].iter().filter(|square| **square <= farthest).count()
    };
    let asked: Vec<usize> = (0..count).step_by(count.div_ceil(ASKED)).collect();
    asked.par_iter().map(|i| of(*i)).sum::<usize>() as f64 / (asked.len() * k).max(1) as f64
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::super::exact;
    use super::*;
    use crate::progress::Unobserved;

    /// Points on a bent sheet in more dimensions, where most cells are no neighbours.
    fn sheet(count: usize, width: usize) -> Vec<f32> {
        let mut rng = stream(7, &[]);
        let mut row = || {
            let at = [rng.random_range(-3.0..3.0f32), rng.random_range(-3.0..3.0)];
            let bend = move |axis: usize| (at[axis % 2] * (1.0 + axis as f32 / 5.0)).sin();
            (0..width).map(|axis| bend(axis) + rng.random_range(-0.05..0.05)).collect::<Vec<f32>>()
        };
        (0..count).flat_map(|_| row()).collect()
    }

    #[test]
    fn nearly_all_of_the_nearest_are_found_and_the_share_is_said() {
        let (count, width, k) = (20_000, 8, 15);
        let x = sheet(count, width);
        let (found, all) =
            (nearest(&x, width, k, 3, &Unobserved).unwrap(), exact(&x, width, k, &Unobserved).unwrap());
        let same = |i: usize| found.of(i).iter().filter(|near| all.of(i).contains(near)).count();
        let share = (0..count).map(same).sum::<usize>() as f64 / (count * k) as f64;
        assert!(share > 0.98, "{share}");
        assert!((found.found.unwrap() - share).abs() < 0.01, "{:?} of {share}", found.found);
        let first = |near: &Neighbours, i: usize| (near.indices[i * k], near.squares[i * k]);
        assert!((0..count).filter(|i| first(&found, *i) == first(&all, *i)).count() > count * 98 / 100);
    }

    #[test]
    fn one_seed_finds_the_same_on_any_threads() {
        let x = sheet(3000, 6);
        let on = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| nearest(&x, 6, 30, seed, &Unobserved).unwrap())
        };
        assert_eq!(on(1, 5), on(3, 5));
    }

    #[test]
    fn points_on_one_another_and_far_from_all_have_their_number_of_neighbours() {
        let (count, width, k) = (2000, 4, 100);
        let mut x = vec![1.0; count * width];
        for i in 0..40 {
            x[i * width] = 1e3 + 10.0 * i as f32;
        }
        let found = nearest(&x, width, k, 3, &Unobserved).unwrap();
        let all = exact(&x, width, k, &Unobserved).unwrap();
        assert_eq!(found.squares, all.squares);
        assert!((0..count).all(|i| !found.of(i).contains(&(i as u32))));
    }
}
