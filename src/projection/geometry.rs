//! Whether latents are many or one: how alike they are within a sample and across samples, how many directions they
//! span, how long they are beside the states of images and text.

use nalgebra::{DMatrix, SymmetricEigen};
use serde::{Deserialize, Serialize};

use super::nan_where_null;

/// Measures of the latents of some samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Collapse {
    /// Samples with two latents or more.
    pub samples: usize,
    /// Mean cosine of two latents of one sample: 1 where they are all the same.
    #[serde(deserialize_with = "nan_where_null")]
    pub within: f64,
    /// Mean cosine of one latent with itself in another sample: 1 where it says the same of every sample.
    #[serde(deserialize_with = "nan_where_null")]
    pub across: f64,
    /// Effective rank of a sample's latents, averaged (Roy and Vetterli 2007): the number of directions they span.
    #[serde(deserialize_with = "nan_where_null")]
    pub rank: f64,
    /// Mean cosine of a latent with its sample's visual tokens, and with its text tokens; NaN where there are none.
    #[serde(deserialize_with = "nan_where_null")]
    pub with_image: f64,
    /// With text.
    #[serde(deserialize_with = "nan_where_null")]
    pub with_text: f64,
    /// Mean length of a latent, by that of a visual token; NaN where there are none.
    #[serde(deserialize_with = "nan_where_null")]
    pub to_image: f64,
    /// By that of a text token.
    #[serde(deserialize_with = "nan_where_null")]
    pub to_text: f64,
}

/// Collects measures sample by sample.
#[derive(Debug, Default)]
pub struct Collector {
    samples: usize,
    within: Mean,
    rank: Mean,
    with: [Mean; 2],
    lengths: [Mean; 3],
    /// Of each latent's number: the sum of its directions, and of how many samples.
    directions: Vec<(Vec<f64>, usize)>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.sum / self.count as f64 }
    }
}

fn length(row: &[f32]) -> f64 {
    row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// Rows of length one.
fn directions(rows: &[f32], width: usize) -> Vec<Vec<f64>> {
    let one = |row: &[f32]| {
        let length = length(row).max(1e-12);
        row.iter().map(|v| f64::from(*v) / length).collect()
    };
    rows.chunks_exact(width).map(one).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Collector {
    /// Takes a sample's latents, [K, width], and its visual and text tokens, [.., width] each.
    pub fn add(&mut self, latents: &[f32], image: &[f32], text: &[f32], width: usize) {
        let own = directions(latents, width);
        if own.len() < 2 {
            return;
        }
        self.samples += 1;
        let sum: Vec<f64> = (0..width).map(|axis| own.iter().map(|row| row[axis]).sum()).collect();
        let count = own.len() as f64;
        self.within.add((dot(&sum, &sum) - count) / (count * (count - 1.0)));
        self.rank.add(effective_rank(latents, width));
        for (place, others) in [image, text].into_iter().enumerate() {
            let others = directions(others, width);
            for latent in &own {
                for other in &others {
                    self.with[place].add(dot(latent, other));
                }
            }
        }
        for (place, rows) in [latents, image, text].into_iter().enumerate() {
            for row in rows.chunks_exact(width) {
                self.lengths[place].add(length(row));
            }
        }
        for (number, direction) in own.iter().enumerate() {
            if self.directions.len() <= number {
                self.directions.push((vec![0.0; width], 0));
            }
            let (sum, count) = &mut self.directions[number];
            *count += 1;
            for (sum, v) in sum.iter_mut().zip(direction) {
                *sum += v;
            }
        }
    }

    /// What came of all samples; None where no sample had two latents.
    pub fn finish(self) -> Option<Collapse> {
        if self.samples == 0 {
            return None;
        }
        let mut across = Mean::default();
        for (sum, count) in &self.directions {
            let count = *count as f64;
            if count > 1.0 {
                across.add((dot(sum, sum) - count) / (count * (count - 1.0)));
            }
        }
        let [latents, image, text] = self.lengths.map(Mean::value);
        Some(Collapse {
            samples: self.samples,
            within: self.within.value(),
            across: across.value(),
            rank: self.rank.value(),
            with_image: self.with[0].value(),
            with_text: self.with[1].value(),
            to_image: latents / image,
            to_text: latents / text,
        })
    }
}

/// exp of the entropy of the singular values of rows, [K, width], by their sum (Roy and Vetterli 2007, EUSIPCO).
pub fn effective_rank(rows: &[f32], width: usize) -> f64 {
    let count = rows.len() / width;
    let wide = DMatrix::from_row_iterator(count, width, rows.iter().map(|v| f64::from(*v)));
    let squares = SymmetricEigen::new(&wide * wide.transpose()).eigenvalues;
    let values: Vec<f64> = squares.iter().map(|v| v.max(0.0).sqrt()).collect();
    let sum: f64 = values.iter().sum();
    if sum <= 0.0 {
        return 1.0;
    }
    let entropy: f64 = values.iter().map(|v| v / sum).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
    entropy.exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_that_are_one_and_latents_that_are_many() {
        let same = [1.0, 2.0, 3.0, 4.0].repeat(4);
        assert!((effective_rank(&same, 4) - 1.0).abs() < 1e-6);
        let mut axes = [0.0; 16];
        (0..4).for_each(|i| axes[i * 5] = 2.0);
        assert!((effective_rank(&axes, 4) - 4.0).abs() < 1e-9);
        let mut one = Collector::default();
        one.add(&same, &[], &[], 4);
        one.add(&same, &[], &[], 4);
        let one = one.finish().unwrap();
        assert!(
            (one.within - 1.0).abs() < 1e-9 && (one.across - 1.0).abs() < 1e-9 && one.with_image.is_nan()
        );
        let mut many = Collector::default();
        many.add(&axes, &axes, &same, 4);
        let many = many.finish().unwrap();
        assert!(many.within.abs() < 1e-9 && (many.rank - 4.0).abs() < 1e-9 && many.across.is_nan());
        assert!((many.with_image - 0.25).abs() < 1e-9 && (many.to_image - 1.0).abs() < 1e-9);
        assert!((many.to_text - 2.0 / 30f64.sqrt()).abs() < 1e-6);
        assert_eq!(Collector::default().finish(), None);
    }
}
