//! Sums over all pairs at a cost that grows with the number of points: charges go to a grid, the grid is convolved by
//! fast Fourier transforms, and forces are read off it, as in FIt-SNE (Linderman et al. 2019, Nature Methods 16).
//!
//! Where FIt-SNE puts Lagrange polynomials on boxes, here stand B-splines of the fifth degree, whose prefilter is a
//! division of the kernel's spectrum: a coarser grid is as exact, and forces have no seams between boxes.

use std::sync::Arc;

use rayon::prelude::*;
use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};

use super::super::rows::Point;
use super::Repulsion;
/// Distance of nodes, in units of the layout, where the kernels are as wide as one, at which forces are exact to 1e-4.
pub(in super::super) const CLOSEST: f64 = 0.25;
/// The largest distance of nodes, which is taken where more of them than `PLENTY` would be needed.
pub(in super::super) const WIDEST: f64 = 0.4;
/// Nodes along an axis.
const PLENTY: f64 = 320.0;
/// What a grid is larger than its layout, so that one that spreads slowly keeps its grid and kernels.
const ROOM: f64 = 1.1;
/// A layout at its beginning is as small as nothing.
const FEWEST: f64 = 8.0;
/// Nodes of a spline, along each axis.
const ORDER: usize = 6;
/// Nodes beyond the outermost points, on each side.
pub(in super::super) const MARGIN: usize = 4;
/// Beyond twice the grid: the prefilter has died away over these.
pub(in super::super) const GAP: usize = 24;
/// Rows of nodes whose points are spread together. Bands of one colour touch none of the other's nodes.
const BAND: usize = 8;

/// The grid and its transforms, kept from step to step.
pub struct Spline {
    planner: FftPlanner<f64>,
    grid: Option<Grid>,
}

impl Default for Spline {
    fn default() -> Self {
        Self { planner: FftPlanner::new(), grid: None }
    }
}

/// What a number of nodes and a distance need.
struct Grid {
    /// Nodes along an axis.
    nodes: usize,
    /// Along an axis with room so that nothing wraps around.
    padded: usize,
    spacing: f64,
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
    /// See [`kernels`].
    kernels: Vec<Complex64>,
    /// x and y in one, [padded, padded].
    places: Vec<Complex64>,
    /// Ones.
    counts: Vec<Complex64>,
    turned: Vec<Complex64>,
}

/// Where a point is between nodes: the first of its nodes, and the weight of each.
struct Stencil {
    first: [usize; 2],
    weights: [[f64; ORDER]; 2],
}

impl Stencil {
    fn of(point: Point, origin: Point, spacing: f64) -> Self {
        let place = |axis: usize| {
            let at = (point[axis] - origin[axis]) / spacing;
            let node = at.floor();
            (node as usize + 1 - ORDER / 2, spline(at - node))
        };
        let ((col, x), (row, y)) = (place(0), place(1));
        Self { first: [col, row], weights: [x, y] }
    }
}

/// The B-spline at the nodes around, for a point `t` of the way between the two in the middle, from the spline of two
/// nodes up (de Boor 1972).
fn spline(t: f64) -> [f64; ORDER] {
    let mut weights = [0.0; ORDER];
    (weights[0], weights[1]) = (1.0 - t, t);
    for order in 3..=ORDER {
        let scale = 1.0 / (order - 1) as f64;
        weights[order - 1] = scale * t * weights[order - 2];
        for j in (1..order - 1).rev() {
            let before = (t + (order - 1 - j) as f64) * weights[j - 1];
            weights[j] = scale * (before + ((j + 1) as f64 - t) * weights[j]);
        }
        weights[0] *= scale * (1.0 - t);
    }
    weights
}

impl Grid {
    fn new(planner: &mut FftPlanner<f64>, nodes: usize, spacing: f64) -> Self {
        let padded = smooth(2 * nodes + GAP);
        let size = padded * padded;
        Self {
            nodes,
            padded,
            spacing,
            forward: planner.plan_fft_forward(padded),
            inverse: planner.plan_fft_inverse(padded),
            kernels: kernels(planner, padded, spacing),
            places: vec![Complex64::default(); size],
            counts: vec![Complex64::default(); size],
            turned: vec![Complex64::default(); size],
        }
    }

    /// Convolves what is on both grids.
    fn convolve(&mut self) {
        let (m, n) = (self.padded, self.nodes);
        for (grid, both) in [(&mut self.places, false), (&mut self.counts, true)] {
            transform(&*self.forward, grid, &mut self.turned, n);
            self.turned.par_iter_mut().zip(&self.kernels).for_each(|(value, kernels)| {
                *value *= if both { *kernels } else { Complex64::new(kernels.re, 0.0) };
            });
            self.turned.par_chunks_mut(m).for_each_init(
                || vec![Complex64::default(); self.inverse.get_inplace_scratch_len()],
                |scratch, column| self.inverse.process_with_scratch(column, scratch),
            );
            turn(&self.turned, grid, m, n);
            grid.par_chunks_mut(m).take(n).for_each_init(
                || vec![Complex64::default(); self.inverse.get_inplace_scratch_len()],
                |scratch, row| self.inverse.process_with_scratch(row, scratch),
            );
        }
    }

    /// Puts every point's charges on the grids.
    fn spread(&mut self, map: &[Point], stencils: &[Stencil]) {
        let m = self.padded;
        for grid in [&mut self.places, &mut self.counts] {
            grid.par_iter_mut().for_each(|value| *value = Complex64::default());
        }
        // Points by band of rows, in the order of their numbers: the sums are the same on any number of threads.
        let mut bands: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.div_ceil(BAND)];
        for (i, stencil) in stencils.iter().enumerate() {
            bands[stencil.first[1] / BAND].push(i as u32);
        }
        for colour in 0..2 {
            // A band's points reach into the next: every second band at a time, each with the rows of both.
            let offset = colour * BAND * m;
            let pairs = self.places[offset..].par_chunks_mut(2 * BAND * m);
            pairs.zip(self.counts[offset..].par_chunks_mut(2 * BAND * m)).enumerate().for_each(
                |(pair, (places, counts))| {
                    let band = 2 * pair + colour;
                    let first_row = band * BAND;
                    for i in bands.get(band).into_iter().flatten() {
                        let (point, stencil) = (map[*i as usize], &stencils[*i as usize]);
                        for (dy, wy) in stencil.weights[1].iter().enumerate() {
                            let start = (stencil.first[1] + dy - first_row) * m + stencil.first[0];
                            for (dx, wx) in stencil.weights[0].iter().enumerate() {
                                let weight = wx * wy;
                                places[start + dx] += Complex64::new(weight * point[0], weight * point[1]);
                                counts[start + dx].re += weight;
                            }
                        }
                    }
                },
            );
        }
    }

    /// What the grids say at a point: the sums of k(d) (x, y), of k(d), and of the wider kernel.
    fn read(&self, stencil: &Stencil) -> (Complex64, Complex64) {
        let (mut places, mut counts) = (Complex64::default(), Complex64::default());
        for (dy, wy) in stencil.weights[1].iter().enumerate() {
            let start = (stencil.first[1] + dy) * self.padded + stencil.first[0];
            for (dx, wx) in stencil.weights[0].iter().enumerate() {
                places += self.places[start + dx] * (wx * wy);
                counts += self.counts[start + dx] * (wx * wy);
            }
        }
        (places, counts)
    }
}

/// Spectra of (1 + d²)⁻² and of (1 + d²)⁻¹ on a grid, as real and imaginary part: both are real, as their kernels are
/// even. Divided by what splines do to spectra and by the size of the grid, so that nothing is left to do after the
/// transform back. Column by column, as the transforms leave it; it is symmetric.
pub(in super::super) fn kernels(
    planner: &mut FftPlanner<f64>,
    padded: usize,
    spacing: f64,
) -> Vec<Complex64> {
    let m = padded;
    let far = |i: usize| (i.min(m - i) as f64 * spacing).powi(2);
    let (mut values, mut turned) = (vec![Complex64::default(); m * m], vec![Complex64::default(); m * m]);
    values.par_chunks_mut(m).enumerate().for_each(|(row, values)| {
        for (col, value) in values.iter_mut().enumerate() {
            let near = 1.0 / (1.0 + far(row) + far(col));
            *value = Complex64::new(near * near, near);
        }
    });
    transform(&*planner.plan_fft_forward(m), &mut values, &mut turned, m);
    // A spline's values at the nodes as a spectrum, once for spreading and once for reading.
    let values_at_nodes = spline(0.0);
    let filter = |i: usize| {
        let angle = std::f64::consts::TAU * i as f64 / m as f64;
        let wave =
            |(node, value): (usize, &f64)| value * (angle * (node as f64 - (ORDER / 2 - 1) as f64)).cos();
        values_at_nodes.iter().enumerate().map(wave).sum::<f64>().powi(2)
    };
    let filters: Vec<f64> = (0..m).map(filter).collect();
    let scale = 1.0 / (m * m) as f64;
    turned.par_chunks_mut(m).zip(&filters).for_each(|(values, across)| {
        for (value, along) in values.iter_mut().zip(&filters) {
            *value *= scale / (across * along);
        }
    });
    turned
}

/// Transforms rows and then columns; only the first `rows` rows hold anything. Leaves it column by column in `turned`.
fn transform(fft: &dyn Fft<f64>, values: &mut [Complex64], turned: &mut [Complex64], rows: usize) {
    let m = fft.len();
    let scratch = || vec![Complex64::default(); fft.get_inplace_scratch_len()];
    values[..rows * m]
        .par_chunks_mut(m)
        .for_each_init(scratch, |scratch, row| fft.process_with_scratch(row, scratch));
    turn(values, turned, m, m);
    turned
        .par_chunks_mut(m)
        .for_each_init(scratch, |scratch, column| fft.process_with_scratch(column, scratch));
}

/// The first `rows` rows of the transpose, in blocks that stay in the cache.
fn turn(from: &[Complex64], to: &mut [Complex64], m: usize, rows: usize) {
    const BLOCK: usize = 16;
    to[..rows * m].par_chunks_mut(BLOCK * m).enumerate().for_each(|(block, to)| {
        let first = block * BLOCK;
        for start in (0..m).step_by(BLOCK) {
            for (row, to) in to.chunks_exact_mut(m).enumerate() {
                for col in start..(start + BLOCK).min(m) {
                    to[col] = from[col * m + first + row];
                }
            }
        }
    });
}

/// The least number from `least` on that has no factor above five and is even.
fn smooth(least: usize) -> usize {
    let is_smooth = |mut n: usize| {
        for factor in [2, 3, 5] {
            while n.is_multiple_of(factor) {
                n /= factor;
            }
        }
        n == 1
    };
    (least.next_multiple_of(2)..).step_by(2).find(|n| is_smooth(*n)).expect("there are powers of two")
}

/// The middle of a layout, and how long its longer side is.
pub(in super::super) fn bounds(map: &[Point]) -> (Point, f64) {
    let side = |axis: usize| {
        let values = map.iter().map(|point| point[axis]);
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        (low.midpoint(high), high - low)
    };
    let ((x, width), (y, height)) = (side(0), side(1));
    ([x, y], width.max(height).max(1e-9))
}

impl Repulsion for Spline {
    fn repel(&mut self, map: &[Point], forces: &mut [Point]) -> f64 {
        let (middle, extent) = bounds(map);
        let intervals = (extent / CLOSEST).min(PLENTY).max(extent / WIDEST).max(FEWEST);
        let fits = |grid: &Grid| {
            let inner = (grid.nodes - 2 * MARGIN - 1) as f64 * grid.spacing;
            extent <= inner && extent >= inner / ROOM / ROOM
        };
        if !self.grid.as_ref().is_some_and(fits) {
            let spacing = extent / intervals;
            let nodes = (intervals * ROOM).ceil() as usize + 2 * MARGIN + 1;
            self.grid = Some(Grid::new(&mut self.planner, nodes, spacing));
        }
        let grid = self.grid.as_mut().expect("just made");
        // Coordinates about the middle: differences of large numbers lose digits.
        let centred: Vec<Point> = map.iter().map(|p| [p[0] - middle[0], p[1] - middle[1]]).collect();
        let corner = -(MARGIN as f64).mul_add(grid.spacing, extent / 2.0);
        let stencils: Vec<Stencil> =
            centred.par_iter().map(|point| Stencil::of(*point, [corner; 2], grid.spacing)).collect();
        grid.spread(&centred, &stencils);
        grid.convolve();
        let sums: Vec<f64> = centred
            .par_iter()
            .zip(&stencils)
            .zip(forces)
            .map(|((point, stencil), force)| {
                let (places, counts) = grid.read(stencil);
                *force = [point[0] * counts.re - places.re, point[1] * counts.re - places.im];
                counts.im - 1.0
            })
            .collect();
        sums.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::super::Plain;
    use super::*;

    /// Groups of points over a layout of some extent.
    fn map(count: usize, extent: f64) -> Vec<Point> {
        let mut rng = crate::random::stream(2, &[count as u64]);
        let middles: Vec<Point> =
            (0..8).map(|_| [0, 1].map(|_| rng.random_range(-0.4..0.4) * extent)).collect();
        let near = |rng: &mut crate::random::Stream| rng.random_range(-0.1..0.1) * extent;
        (0..count).map(|i| [0, 1].map(|axis| middles[i % 8][axis] + near(&mut rng) + 7.0)).collect()
    }

    fn error(map: &[Point]) -> (f64, f64) {
        let (mut exact, mut fast) = (vec![[0.0; 2]; map.len()], vec![[0.0; 2]; map.len()]);
        let sum = Plain.repel(map, &mut exact);
        let near = Spline::default().repel(map, &mut fast);
        let length = |points: &mut dyn Iterator<Item = f64>| points.map(|v| v * v).sum::<f64>().sqrt();
        let off = length(&mut exact.iter().zip(&fast).flat_map(|(a, b)| [a[0] - b[0], a[1] - b[1]]));
        (off / length(&mut exact.iter().flatten().copied()), (near / sum - 1.0).abs())
    }

    #[test]
    fn forces_are_those_of_all_pairs() {
        for extent in [1e-4, 1.0, 20.0, 75.0] {
            let (force, sum) = error(&map(1500, extent));
            assert!(force < 1e-4 && sum < 2e-5, "extent {extent}: {force:.1e}, {sum:.1e}");
        }
        // A coarser grid, where many points share what is left of the error.
        let (force, sum) = error(&map(6000, 240.0));
        assert!(force < 1e-2 && sum < 1e-3, "{force:.1e}, {sum:.1e}");
    }

    #[test]
    fn a_grid_that_is_kept_gives_what_a_new_one_does_and_threads_change_nothing() {
        let (small, large) = (map(700, 30.0), map(700, 31.0));
        let on = |threads: usize, maps: &[&[Point]]| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (mut spline, mut forces) = (Spline::default(), vec![[0.0; 2]; 700]);
            let sums: Vec<f64> =
                pool.install(|| maps.iter().map(|map| spline.repel(map, &mut forces)).collect());
            (sums, forces)
        };
        assert_eq!(on(1, &[&small, &large]), on(3, &[&small, &large]));
        let (kept, new) = (on(2, &[&small, &large]).1, on(2, &[&large]).1);
        let close = |a: &Point, b: &Point| (a[0] - b[0]).hypot(a[1] - b[1]) < 1e-4 * (1.0 + a[0].hypot(a[1]));
        assert!(kept.iter().zip(&new).all(|(a, b)| close(a, b)));
    }

    #[test]
    fn splines_sum_to_one_and_know_their_place() {
        for t in [0.0, 0.3, 0.99] {
            let weights = spline(t);
            let place = |(node, weight): (usize, &f64)| weight * (node as f64 - (ORDER / 2 - 1) as f64);
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!((weights.iter().enumerate().map(place).sum::<f64>() - t).abs() < 1e-12);
        }
    }
}
