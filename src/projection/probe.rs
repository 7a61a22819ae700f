//! What can be read off states by a linear map: ridge regression on one-hot labels, judged on samples it has not seen.
//!
//! The best of several probes is better than one by chance alone, so what it is held against is the best of as many with
//! their labels shuffled, many times over. Shuffling changes no state: what is costly is done once for each probe.

use nalgebra::{Cholesky, DMatrix, Dyn};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::progress::{Observer, Phase, Progress};
use crate::random::stream;

/// How often a probe is right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Readout {
    /// Rows it was asked about.
    pub rows: usize,
    /// Labels there are.
    pub labels: usize,
    /// Share of rows that it labels right.
    pub right: f64,
    /// The same where labels were shuffled before, mean over shuffles: what a probe gets out of nothing.
    pub shuffled: f64,
    /// Share of the commonest label.
    pub commonest: f64,
}

/// The best of several probes beside what the best of as many get out of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Number of the probe, among those it is the best of.
    pub which: usize,
    /// Share of rows that it labels right.
    pub right: f64,
    /// Share that the best gets right where labels were shuffled, mean over shuffles.
    pub shuffled: f64,
    /// Share that the best exceeds in one of twenty shuffles.
    pub shuffled_95: f64,
    /// How often chance does as well: shuffles whose best is as good, the labels as they are counted among them (Phipson
    /// and Smyth 2010).
    pub p: f64,
}

/// Parts that samples are divided into; each is asked of a probe of the others.
const FOLDS: usize = 5;
/// What the squares of weights are multiplied by, for each row, of features of variance one.
const RIDGE: f64 = 0.01;
/// Shuffles of labels.
const SHUFFLES: usize = 100;

/// A probe that can be fitted to any labels of its rows.
pub struct LinearProbe {
    parts: Vec<Part>,
    rows: usize,
}

/// Rows that are asked, of a probe of the others.
struct Part {
    asked: Vec<usize>,
    known: Vec<usize>,
    solver: Solver,
}

/// `X (XᵀX + λ)⁻¹ XᵀY`, by what is smaller: the dimensions or the rows.
enum Solver {
    /// Known and asked rows, [rows, D + 1], and the factors of `XᵀX + λ`.
    Dimensions { known: DMatrix<f64>, asked: DMatrix<f64>, factors: Cholesky<f64, Dyn> },
    /// What each known row's label adds to each asked row's score: `X Xᵀ (X Xᵀ + λ)⁻¹`, [asked, known].
    Rows(DMatrix<f64>),
}

impl LinearProbe {
    /// Of states [N, width]; rows of one group stay in one part. None where there are fewer groups than parts.
    pub fn new(states: &[f32], width: usize, groups: &[u32], seed: u64) -> Option<Self> {
        let mut distinct = groups.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() < FOLDS {
            return None;
        }
        distinct.shuffle(&mut stream(seed, &[2]));
        let part =
            |group: &u32| distinct.iter().position(|other| other == group).map_or(0, |place| place % FOLDS);
        let of_row: Vec<usize> = groups.iter().map(part).collect();
        let parts = (0..FOLDS).into_par_iter().map(|fold| Part::new(states, width, &of_row, fold)).collect();
        Some(Self { parts, rows: groups.len() })
    }

    /// Rows that are labelled right by the probes of the parts they are not in.
    fn right(&self, labels: &[u32], num_labels: usize) -> usize {
        self.parts.iter().map(|part| part.right(labels, num_labels)).sum()
    }
}

impl Part {
    fn new(states: &[f32], width: usize, of_row: &[usize], fold: usize) -> Self {
        let (asked, known): (Vec<usize>, Vec<usize>) =
            (0..of_row.len()).partition(|row| of_row[*row] == fold);
        let scale = Scale::of(states, width, &known);
        let [of_known, of_asked] = [&known, &asked].map(|rows| scale.features(states, rows));
        let ridge = RIDGE * known.len() as f64;
        let solver = if known.len() <= width {
            let kernel = ridged(&of_known * of_known.transpose(), ridge);
            let across = &of_asked * of_known.transpose();
            // Symmetric: what solves for the columns of its transpose does for its rows.
            Solver::Rows(kernel.solve(&across.transpose()).transpose())
        } else {
            let factors = ridged(of_known.tr_mul(&of_known), ridge);
            Solver::Dimensions { known: of_known, asked: of_asked, factors }
        };
        Self { asked, known, solver }
    }

    fn right(&self, labels: &[u32], num_labels: usize) -> usize {
        let scores = match &self.solver {
            Solver::Rows(smoother) => {
                let mut scores = DMatrix::<f64>::zeros(self.asked.len(), num_labels);
                for (column, row) in smoother.column_iter().zip(&self.known) {
                    let mut of_label = scores.column_mut(labels[*row] as usize);
                    of_label += &column;
                }
                scores
            }
            Solver::Dimensions { known, asked, factors } => {
                let mut answers = DMatrix::<f64>::zeros(known.ncols(), num_labels);
                for (features, row) in known.row_iter().zip(&self.known) {
                    let mut of_label = answers.column_mut(labels[*row] as usize);
                    of_label += features.transpose();
                }
                asked * factors.solve(&answers)
            }
        };
        self.asked
            .iter()
            .enumerate()
            .filter(|(i, row)| scores.row(*i).transpose().imax() == labels[**row] as usize)
            .count()
    }
}

/// The factors of a Gram matrix with a ridge, which makes it positive definite.
fn ridged(mut gram: DMatrix<f64>, ridge: f64) -> Cholesky<f64, Dyn> {
    for i in 0..gram.nrows() {
        gram[(i, i)] += ridge;
    }
    gram.cholesky().expect("positive definite by what was added")
}

/// How often each of several probes is right with labels of its own, and the best of them; none where there is no probe or
/// none that has two labels.
///
/// # Errors
/// A stop.
pub fn read_off(
    probes: &[(LinearProbe, Vec<u32>)],
    seed: u64,
    observer: &dyn Observer,
) -> Result<(Vec<Readout>, Option<Best>)> {
    let num_labels: Vec<usize> =
        probes.iter().map(|(_, labels)| labels.iter().max().map_or(0, |most| *most as usize + 1)).collect();
    let share = |place: usize, count: usize| count as f64 / probes[place].0.rows.max(1) as f64;
    let right = |place: usize, labels: &[u32]| share(place, probes[place].0.right(labels, num_labels[place]));
    let mut shuffled: Vec<Vec<f64>> = Vec::with_capacity(SHUFFLES);
    for shuffle in 0..SHUFFLES {
        observer.progress(Progress { phase: Phase::Probes, done: shuffle, total: SHUFFLES })?;
        // Rows of one sample stay together over all probes, so that these hang together as they do.
        let one = |place: usize| {
            let mut labels = probes[place].1.clone();
            labels.shuffle(&mut stream(seed, &[3, shuffle as u64]));
            right(place, &labels)
        };
        shuffled.push((0..probes.len()).into_par_iter().map(one).collect());
    }
    let readouts: Vec<Readout> = (0..probes.len())
        .map(|place| {
            let labels = &probes[place].1;
            let mut sizes = vec![0usize; num_labels[place]];
            for label in labels {
                sizes[*label as usize] += 1;
            }
            Readout {
                rows: labels.len(),
                labels: sizes.iter().filter(|size| **size > 0).count(),
                right: right(place, labels),
                shuffled: shuffled.iter().map(|shares| shares[place]).sum::<f64>() / SHUFFLES as f64,
                commonest: share(place, sizes.into_iter().max().unwrap_or(0)),
            }
        })
        .collect();
    let best = readouts.iter().enumerate().max_by(|a, b| a.1.right.total_cmp(&b.1.right).then(b.0.cmp(&a.0)));
    let best = best.map(|(which, readout)| {
        let mut most: Vec<f64> =
            shuffled.iter().map(|shares| shares.iter().copied().fold(0.0, f64::max)).collect();
        most.sort_by(f64::total_cmp);
        let as_good = most.iter().filter(|share| **share >= readout.right).count();
        Best {
            which,
            right: readout.right,
            shuffled: most.iter().sum::<f64>() / SHUFFLES as f64,
            shuffled_95: most[SHUFFLES * 95 / 100 - 1],
            p: (1 + as_good) as f64 / (1 + SHUFFLES) as f64,
        }
    });
    Ok((readouts, best))
}

/// Mean and deviation of each dimension.
struct Scale {
    width: usize,
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Scale {
    fn of(states: &[f32], width: usize, rows: &[usize]) -> Self {
        let count = rows.len().max(1) as f64;
        let over = |of: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
            let mut sums = vec![0.0; width];
            for row in rows {
                for (axis, sum) in sums.iter_mut().enumerate() {
                    *sum += of(axis, f64::from(states[row * width + axis]));
                }
            }
            sums.into_iter().map(|sum| sum / count).collect()
        };
        let mean = over(&|_, v| v);
        let deviation =
            over(&|axis, v| (v - mean[axis]).powi(2)).into_iter().map(|v| v.sqrt().max(1e-9)).collect();
        Self { width, mean, deviation }
    }

    /// Of rows, and one: [rows, width + 1].
    fn features(&self, states: &[f32], rows: &[usize]) -> DMatrix<f64> {
        DMatrix::from_fn(rows.len(), self.width + 1, |row, axis| {
            if axis == self.width {
                return 1.0;
            }
            let value = f64::from(states[rows[row] * self.width + axis]);
            (value - self.mean[axis]) / self.deviation[axis]
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::progress::Unobserved;

    /// Rows whose label shows in one direction, at some strength.
    fn rows(strength: f32) -> (Vec<f32>, Vec<u32>, Vec<u32>) {
        let mut rng = stream(3, &[]);
        let labels: Vec<u32> = (0..300).map(|i| i % 3).collect();
        let row = |label: &u32| -> Vec<f32> {
            (0..6).map(|axis| rng.random_range(-1.0..1.0) + strength * f32::from(axis == *label)).collect()
        };
        let states = labels.iter().flat_map(row).collect();
        (states, labels, (0..300).map(|i| i / 2).collect())
    }

    /// One probe's own.
    fn readout(states: &[f32], width: usize, labels: &[u32], groups: &[u32]) -> Readout {
        let probe = LinearProbe::new(states, width, groups, 1).unwrap();
        read_off(&[(probe, labels.to_vec())], 1, &Unobserved).unwrap().0[0]
    }

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_guessed() {
        let (states, labels, groups) = rows(4.0);
        let found = readout(&states, 6, &labels, &groups);
        assert!(found.right > 0.97 && (0.25..0.4).contains(&found.shuffled), "{found:?}");
        assert_eq!((found.rows, found.labels), (300, 3));
        let (states, ..) = rows(0.0);
        let nothing = readout(&states, 6, &labels, &groups);
        assert!((0.2..0.45).contains(&nothing.right), "{nothing:?}");
    }

    #[test]
    fn rows_of_a_sample_do_not_answer_for_one_another() {
        // Each pair of rows is alike and has a label of chance: only a probe that has seen the other could know.
        let mut rng = stream(8, &[]);
        let pairs: Vec<(Vec<f32>, u32)> =
            (0..60).map(|i| ((0..80).map(|_| rng.random_range(-1.0f32..1.0)).collect(), i % 2)).collect();
        let states: Vec<f32> =
            pairs.iter().flat_map(|(row, _)| [row.clone(), row.clone()]).flatten().collect();
        let labels: Vec<u32> = pairs.iter().flat_map(|(_, label)| [*label, *label]).collect();
        let groups: Vec<u32> = (0..120).map(|i| i / 2).collect();
        assert!(readout(&states, 80, &labels, &groups).right < 0.7);
        let apart: Vec<u32> = (0..120).collect();
        assert!(readout(&states, 80, &labels, &apart).right > 0.8);
    }

    #[test]
    fn rows_and_dimensions_solve_the_same() {
        let (states, labels, groups) = rows(1.0);
        let of_row: Vec<usize> = groups.iter().map(|group| *group as usize % FOLDS).collect();
        let by_dimensions = Part::new(&states, 6, &of_row, 0);
        assert!(matches!(by_dimensions.solver, Solver::Dimensions { .. }));
        let Solver::Dimensions { known, asked, .. } = &by_dimensions.solver else { unreachable!() };
        let kernel = ridged(known * known.transpose(), RIDGE * known.nrows() as f64);
        let smoother = kernel.solve(&(known * asked.transpose())).transpose();
        let by_rows = Part { solver: Solver::Rows(smoother), ..Part::new(&states, 6, &of_row, 0) };
        assert_eq!(by_rows.right(&labels, 3), by_dimensions.right(&labels, 3));
    }

    #[test]
    fn the_best_of_many_probes_of_nothing_is_no_finding() {
        let mut rng = stream(5, &[]);
        let groups: Vec<u32> = (0..54).collect();
        let mut findings = 0;
        for seed in 0..20 {
            let labels: Vec<u32> = (0..54).map(|_| rng.random_range(0..2)).collect();
            let mut probe = || {
                let states: Vec<f32> = (0..54 * 12).map(|_| rng.random_range(-1.0..1.0)).collect();
                (LinearProbe::new(&states, 12, &groups, seed).unwrap(), labels.clone())
            };
            let probes: Vec<_> = (0..16).map(|_| probe()).collect();
            let (readouts, best) = read_off(&probes, seed, &Unobserved).unwrap();
            let best = best.unwrap();
            assert!(best.right >= readouts.iter().map(|own| own.right).fold(0.0, f64::max));
            assert!(best.shuffled > readouts[best.which].shuffled + 0.05, "{best:?}");
            findings += usize::from(best.p <= 0.05);
        }
        assert!(findings <= 4, "{findings} of 20 at p = 0.05");
        let (states, labels, groups) = rows(4.0);
        let probes = [0.0, 4.0]
            .map(|strength| (LinearProbe::new(&rows(strength).0, 6, &groups, 1).unwrap(), labels.clone()));
        let (_, best) = read_off(&probes, 1, &Unobserved).unwrap();
        assert_eq!((best.unwrap().which, best.unwrap().p), (1, 1.0 / 101.0));
        assert!(!states.is_empty());
    }

    #[test]
    fn too_little_says_nothing() {
        assert!(LinearProbe::new(&[1.0; 8], 2, &[0, 1, 2, 3], 1).is_none());
        assert!(read_off(&[], 1, &Unobserved).unwrap().1.is_none());
    }
}
