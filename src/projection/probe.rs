//! What can be read off states by a linear map: ridge regression on one-hot labels, judged on samples it has not seen.

use nalgebra::{DMatrix, DVector};
use rand::seq::SliceRandom;
use serde::Serialize;

use crate::random::stream;

/// How often a probe is right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Readout {
    /// Rows it was asked about.
    pub rows: usize,
    /// Labels there are.
    pub labels: usize,
    /// Share of rows that it labels right.
    pub right: f64,
    /// The same where labels were shuffled before: what a probe gets out of nothing.
    pub shuffled: f64,
    /// Share of the commonest label.
    pub commonest: f64,
}

/// Parts that samples are divided into; each is asked of a probe of the others.
const FOLDS: usize = 5;
/// What the squares of weights are multiplied by, for each row, of features of variance one.
const RIDGE: f64 = 0.01;

/// Reads labels off states [N, width]; rows of one group stay in one part. None where there are fewer groups than parts
/// or fewer than two labels.
pub fn readout(states: &[f32], width: usize, labels: &[u32], groups: &[u32], seed: u64) -> Option<Readout> {
    let num_labels = labels.iter().max().map_or(0, |most| *most as usize + 1);
    let mut sizes = vec![0usize; num_labels];
    for label in labels {
        sizes[*label as usize] += 1;
    }
    let mut distinct = groups.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < FOLDS || sizes.iter().filter(|size| **size > 0).count() < 2 {
        return None;
    }
    let mut rng = stream(seed, &[2]);
    distinct.shuffle(&mut rng);
    let part =
        |group: &u32| distinct.iter().position(|other| other == group).map_or(0, |place| place % FOLDS);
    let parts: Vec<usize> = groups.iter().map(part).collect();
    let mut shuffled = labels.to_vec();
    shuffled.shuffle(&mut rng);
    let rows = labels.len();
    let share = |count: usize| count as f64 / rows as f64;
    Some(Readout {
        rows,
        labels: sizes.iter().filter(|size| **size > 0).count(),
        right: share(right(states, width, labels, &parts, num_labels)),
        shuffled: share(right(states, width, &shuffled, &parts, num_labels)),
        commonest: share(sizes.into_iter().max().unwrap_or(0)),
    })
}

/// Rows that are labelled right by the probes of the parts they are not in.
fn right(states: &[f32], width: usize, labels: &[u32], parts: &[usize], num_labels: usize) -> usize {
    let mut right = 0;
    for fold in 0..FOLDS {
        let (mut known, mut asked) = (Vec::new(), Vec::new());
        for (row, part) in parts.iter().enumerate() {
            if *part == fold { asked.push(row) } else { known.push(row) }
        }
        let scale = Scale::of(states, width, &known);
        let weights = fit(states, &scale, labels, &known, num_labels);
        for row in asked {
            let features = scale.features(states, row);
            let scores = weights.tr_mul(&features);
            right += usize::from(scores.imax() == labels[row] as usize);
        }
    }
    right
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

    /// Of a row, and one.
    fn features(&self, states: &[f32], row: usize) -> DVector<f64> {
        let own = &states[row * self.width..][..self.width];
        let scaled =
            own.iter().enumerate().map(|(axis, v)| (f64::from(*v) - self.mean[axis]) / self.deviation[axis]);
        DVector::from_iterator(self.width + 1, scaled.chain([1.0]))
    }
}

/// `(XᵀX + λ)⁻¹ XᵀY`, [width + 1, labels].
fn fit(states: &[f32], scale: &Scale, labels: &[u32], rows: &[usize], num_labels: usize) -> DMatrix<f64> {
    let size = scale.width + 1;
    let (mut gram, mut answers) =
        (DMatrix::<f64>::zeros(size, size), DMatrix::<f64>::zeros(size, num_labels));
    for row in rows {
        let features = scale.features(states, *row);
        gram.syger(1.0, &features, &features, 1.0);
        let mut column = answers.column_mut(labels[*row] as usize);
        column += &features;
    }
    for i in 0..size {
        gram[(i, i)] += RIDGE * rows.len() as f64;
    }
    let lower = gram.lower_triangle();
    let full = &lower + lower.transpose() - DMatrix::from_diagonal(&lower.diagonal());
    // Positive definite by what was added.
    full.cholesky().map_or_else(|| DMatrix::zeros(size, num_labels), |factors| factors.solve(&answers))
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

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

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_guessed() {
        let (states, labels, groups) = rows(4.0);
        let found = readout(&states, 6, &labels, &groups, 1).unwrap();
        assert!(found.right > 0.97 && (0.2..0.45).contains(&found.shuffled), "{found:?}");
        assert_eq!((found.rows, found.labels), (300, 3));
        let (states, ..) = rows(0.0);
        let nothing = readout(&states, 6, &labels, &groups, 1).unwrap();
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
        assert!(readout(&states, 80, &labels, &groups, 1).unwrap().right < 0.7);
        let apart: Vec<u32> = (0..120).collect();
        assert!(readout(&states, 80, &labels, &apart, 1).unwrap().right > 0.8);
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(readout(&[1.0; 8], 2, &[0, 1, 0, 1], &[0, 1, 2, 3], 1), None);
        assert_eq!(readout(&[1.0; 12], 2, &[0; 6], &[0, 1, 2, 3, 4, 5], 1), None);
    }
}
