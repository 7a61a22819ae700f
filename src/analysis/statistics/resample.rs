//! Intervals by drawing samples again (Efron 1979), and draws that are a function of a seed.

use rand::RngExt as _;

use crate::random::stream;

/// Numbers to draw by: `count` rows of indices below `of`, a function of the seed alone.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    /// Rows.
    pub count: usize,
    /// One seed, one interval.
    pub seed: u64,
}

impl Default for Draws {
    fn default() -> Self {
        Self { count: 10_000, seed: 0 }
    }
}

impl Draws {
    /// The rows, each as long as there are things to draw from.
    pub fn rows(self, of: usize) -> impl Iterator<Item = Vec<usize>> {
        let row = move |number: usize| {
            let mut rng = stream(self.seed, &[number as u64]);
            (0..of).map(|_| rng.random_range(0..of)).collect()
        };
        (0..self.count).map(row)
    }
}

/// The mean; nothing of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// 2.5 and 97.5 % of values, linear between order statistics; nothing of nothing.
pub fn percentile_interval(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |q: f64| {
        let place = q * last as f64;
        let (low, share) = (place.floor() as usize, place.fract());
        let high = values[(low + 1).min(last)];
        values[low] + share * (high - values[low])
    };
    Some([at(0.025), at(0.975)])
}

/// The interval of the mean of paired differences, samples drawn again by `rows` of indices; nothing with fewer than two.
pub fn bootstrap(differences: &[f64], rows: impl Iterator<Item = Vec<usize>>) -> Option<[f64; 2]> {
    if differences.len() < 2 {
        return None;
    }
    let drawn = |row: Vec<usize>| row.iter().map(|i| differences[*i]).sum::<f64>() / row.len() as f64;
    percentile_interval(rows.map(drawn).collect())
}

/// Numbers of clusters, in the order they first appear, and how many there are.
pub fn clusters_of<T: PartialEq + std::hash::Hash + Eq>(names: &[T]) -> (Vec<usize>, usize) {
    let mut numbers = std::collections::HashMap::new();
    let mut of = Vec::with_capacity(names.len());
    for name in names {
        let next = numbers.len();
        of.push(*numbers.entry(name).or_insert(next));
    }
    (of, numbers.len())
}

/// The same of samples that share something, which are drawn together: a row of `rows` draws as many clusters as there are.
/// Nothing with fewer than two clusters.
pub fn clustered_bootstrap(
    differences: &[f64],
    clusters: &[usize],
    rows: impl Iterator<Item = Vec<usize>>,
) -> Option<[f64; 2]> {
    let count = clusters.iter().max().map_or(0, |last| last + 1);
    if count < 2 {
        return None;
    }
    let mut sums = vec![(0f64, 0usize); count];
    for (difference, cluster) in differences.iter().zip(clusters) {
        sums[*cluster].0 += difference;
        sums[*cluster].1 += 1;
    }
    let drawn = |row: Vec<usize>| {
        let (sum, samples) = row.iter().fold((0.0, 0), |(sum, n), i| (sum + sums[*i].0, n + sums[*i].1));
        sum / samples as f64
    };
    percentile_interval(rows.map(drawn).collect())
}

/// The interval of the difference of the means of two groups, each drawn by its own rows; nothing where one has fewer than
/// two.
pub fn two_groups(
    first: &[f64],
    second: &[f64],
    rows: impl Iterator<Item = (Vec<usize>, Vec<usize>)>,
) -> Option<[f64; 2]> {
    if first.len().min(second.len()) < 2 {
        return None;
    }
    let drawn =
        |values: &[f64], row: &[usize]| row.iter().map(|i| values[*i]).sum::<f64>() / row.len() as f64;
    percentile_interval(rows.map(|(a, b)| drawn(first, &a) - drawn(second, &b)).collect())
}
