//! Who is near whom, as probabilities: each point's neighbours by a Gaussian as wide as the perplexity asks, made
//! symmetric (van der Maaten and Hinton 2008).

use rayon::prelude::*;

use super::neighbours::Neighbours;
use crate::error::{Error, Result};

/// A sparse symmetric matrix of probabilities that sum to one, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Affinities {
    /// Where each row begins, N + 1 of them.
    pub starts: Vec<usize>,
    /// Columns of what is not zero, in order within a row.
    pub columns: Vec<u32>,
    /// `P_ij`.
    pub values: Vec<f32>,
}

impl Affinities {
    /// From each point's nearest, whose number bounds the perplexity.
    ///
    /// # Errors
    /// Fewer than three points, a perplexity that so many neighbours cannot have.
    pub fn new(neighbours: &Neighbours, perplexity: f64) -> Result<Self> {
        let (count, k) = (neighbours.count(), neighbours.k);
        if perplexity < 1.0 || perplexity > k as f64 {
            return Err(Error::Request(format!(
                "perplexity: expected a number from 1 to the {k} neighbours of each point, found {perplexity}"
            )));
        }
        let mut given = vec![0f32; count * k];
        given
            .par_chunks_mut(k)
            .zip(neighbours.squares.par_chunks(k))
            .for_each(|(row, squares)| calibrate(squares, perplexity, row));
        Ok(symmetric(neighbours, &given))
    }

    /// N.
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Columns and values of a row.
    pub fn row(&self, i: usize) -> (&[u32], &[f32]) {
        let range = self.starts[i]..self.starts[i + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Σ P log P, the part of the divergence that no layout changes.
    pub fn negative_entropy(&self) -> f64 {
        // Added in order, so that threads change nothing.
        let chunks = self.values.par_chunks(1 << 16);
        let sums: Vec<f64> =
            chunks.map(|chunk| chunk.iter().map(|p| entropic(f64::from(*p))).sum::<f64>()).collect();
        sums.iter().sum()
    }
}

/// p log p.
fn entropic(p: f64) -> f64 {
    if p > 0.0 { p * p.ln() } else { 0.0 }
}

/// Probabilities of neighbours at these squared distances, by the width whose entropy is log perplexity, found by
/// halving.
fn calibrate(squares: &[f32], perplexity: f64, row: &mut [f32]) {
    const ROUNDS: usize = 100;
    const CLOSE: f64 = 1e-8;
    let target = perplexity.ln();
    // Differences of distances alone matter; the nearest is set to nothing, so that nothing underflows.
    let least = squares.iter().fold(f32::INFINITY, |least, d| least.min(*d));
    let far: Vec<f64> = squares.iter().map(|d| f64::from(d - least)).collect();
    let mean = far.iter().sum::<f64>() / far.len() as f64;
    let (mut beta, mut low, mut high) = (if mean > 0.0 { 1.0 / mean } else { 1.0 }, 0.0, f64::INFINITY);
    let mut weights = vec![0.0; far.len()];
    for _ in 0..ROUNDS {
        let (mut sum, mut weighted) = (0.0, 0.0);
        for (weight, d) in weights.iter_mut().zip(&far) {
            *weight = (-beta * d).exp();
            sum += *weight;
            weighted += *weight * d;
        }
        let entropy = beta * weighted / sum + f64::ln(sum);
        for weight in &mut weights {
            *weight /= sum;
        }
        // Where all distances are the same no width has less entropy, and the weights are even already.
        if (entropy - target).abs() < CLOSE || mean == 0.0 {
            break;
        }
        if entropy > target {
            low = beta;
            beta = if high.is_finite() { beta.midpoint(high) } else { beta * 2.0 };
        } else {
            high = beta;
            beta = beta.midpoint(low);
        }
    }
    for (value, weight) in row.iter_mut().zip(weights) {
        *value = weight as f32;
    }
}

/// (P + Pᵀ) / 2N of the neighbours' probabilities.
fn symmetric(neighbours: &Neighbours, given: &[f32]) -> Affinities {
    let (count, k) = (neighbours.count(), neighbours.k);
    // Who names each point, in the order of the names.
    let mut starts = vec![0usize; count + 1];
    for to in &neighbours.indices {
        starts[*to as usize + 1] += 1;
    }
    for i in 0..count {
        starts[i + 1] += starts[i];
    }
    let mut filled = starts.clone();
    let mut back = vec![(0u32, 0f32); count * k];
    for (i, (to, p)) in neighbours.indices.iter().zip(given).enumerate() {
        let place = &mut filled[*to as usize];
        back[*place] = ((i / k) as u32, *p);
        *place += 1;
    }
    let scale = 1.0 / (2.0 * count as f64);
    let rows: Vec<Vec<(u32, f32)>> = (0..count)
        .into_par_iter()
        .map(|i| {
            let own =
                neighbours.indices[i * k..][..k].iter().copied().zip(given[i * k..][..k].iter().copied());
            let mut row: Vec<(u32, f32)> =
                own.chain(back[starts[i]..starts[i + 1]].iter().copied()).collect();
            row.sort_by_key(|(column, _)| *column);
            let mut merged: Vec<(u32, f32)> = Vec::with_capacity(row.len());
            for (column, p) in row {
                match merged.last_mut() {
                    Some((last, sum)) if *last == column => *sum += p,
                    _ => merged.push((column, p)),
                }
            }
            for (_, p) in &mut merged {
                *p = (f64::from(*p) * scale) as f32;
            }
            merged
        })
        .collect();
    let mut result = Affinities { starts: vec![0], columns: Vec::new(), values: Vec::new() };
    let total = rows.iter().map(Vec::len).sum();
    result.columns.reserve_exact(total);
    result.values.reserve_exact(total);
    for row in rows {
        result.columns.extend(row.iter().map(|(column, _)| *column));
        result.values.extend(row.iter().map(|(_, p)| *p));
        result.starts.push(result.columns.len());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbours(squares: &[[f32; 3]]) -> Neighbours {
        let count = squares.len();
        let others = (0..count).flat_map(|i| (1..=3).map(move |step| ((i + step) % count) as u32));
        Neighbours { k: 3, indices: others.collect(), squares: squares.concat(), found: None }
    }

    #[test]
    fn a_row_has_the_perplexity_asked_for() {
        for (squares, perplexity) in
            [([0.1, 4.0, 9.0], 1.5), ([1e6, 1e6 + 3.0, 1e6 + 50.0], 2.5), ([1e-9, 2e-9, 3e-9], 2.0)]
        {
            let mut row = [0.0; 3];
            calibrate(&squares, perplexity, &mut row);
            let entropy = -row.iter().map(|p| entropic(f64::from(*p))).sum::<f64>();
            assert!((entropy.exp() - perplexity).abs() < 1e-4, "{row:?}");
            assert!(row[0] > row[1] && row[1] > row[2]);
        }
    }

    #[test]
    fn points_on_one_another_are_as_near_as_each_other() {
        let mut row = [0.0; 3];
        calibrate(&[0.0; 3], 2.0, &mut row);
        assert_eq!(row, [1.0 / 3.0; 3]);
    }

    #[test]
    fn all_of_it_is_symmetric_and_sums_to_one() {
        let neighbours = neighbours(&[
            [1.0, 2.0, 3.0],
            [0.5, 1.0, 4.0],
            [2.0, 2.0, 2.0],
            [1.0, 5.0, 9.0],
            [0.1, 0.2, 0.3],
        ]);
        let affinities = Affinities::new(&neighbours, 2.0).unwrap();
        let sum: f32 = affinities.values.iter().sum();
        assert!((sum - 1.0).abs() < 1e-6);
        for i in 0..5 {
            let (columns, values) = affinities.row(i);
            assert!(columns.is_sorted());
            for (column, value) in columns.iter().zip(values) {
                let (back, mirrored) = affinities.row(*column as usize);
                let place = back.binary_search(&(i as u32)).expect("symmetric");
                assert_eq!(mirrored[place], *value);
            }
        }
        let refused = Affinities::new(&neighbours, 4.0).unwrap_err().to_string();
        assert_eq!(
            refused,
            "perplexity: expected a number from 1 to the 3 neighbours of each point, found 4"
        );
    }
}
