//! Which token comes next.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::settings::Decoding;

/// Greedy, or seeded sampling by temperature and nucleus (Holtzman et al., 2020).
pub struct Sampler {
    decoding: Decoding,
    rng: StdRng,
}

impl Sampler {
    /// Starts the sequence of the decoding's seed.
    pub fn new(decoding: Decoding) -> Self {
        Self { decoding, rng: StdRng::seed_from_u64(decoding.seed) }
    }

    /// The next token id from its scores, [V].
    pub fn next(&mut self, logits: &[f32]) -> u32 {
        if self.decoding.temperature <= 0.0 {
            return argmax(logits);
        }
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let scaled: Vec<f32> = logits.iter().map(|l| (l - max) / self.decoding.temperature).collect();
        let mut ranked: Vec<(u32, f32)> =
            log_softmax(&scaled).into_iter().zip(0..).map(|(l, id)| (id, l.exp())).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut mass = 0.0;
        let kept = ranked.iter().take_while(|(_, p)| {
            let before = mass;
            mass += p;
            before < self.decoding.top_p
        });
        let kept: Vec<(u32, f32)> = kept.copied().collect();
        let total: f32 = kept.iter().map(|(_, p)| p).sum();
        let mut draw = self.rng.random::<f32>() * total;
        for (id, p) in &kept {
            draw -= p;
            if draw <= 0.0 {
                return *id;
            }
        }
        kept.last().map_or_else(|| argmax(logits), |(id, _)| *id)
    }
}

/// The first of the largest, as torch.argmax on the CPU.
pub fn argmax(values: &[f32]) -> u32 {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best as u32
}

/// x - log Σ exp x, in double precision.
pub fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|l| f64::from(l - max).exp()).sum();
    let log_sum = sum.ln() as f32;
    logits.iter().map(|l| l - max - log_sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(temperature: f32, top_p: f32, seed: u64) -> Vec<u32> {
        let mut sampler = Sampler::new(Decoding { max_new_tokens: 1, temperature, top_p, seed });
        (0..200).map(|_| sampler.next(&[1.0, 3.0, 2.0, -20.0])).collect()
    }

    #[test]
    fn greedy_takes_the_best_and_a_seed_repeats_itself() {
        assert!(draws(0.0, 1.0, 1).iter().all(|id| *id == 1));
        assert_eq!(draws(1.0, 1.0, 7), draws(1.0, 1.0, 7));
        assert_ne!(draws(1.0, 1.0, 7), draws(1.0, 1.0, 8));
    }

    #[test]
    fn the_nucleus_leaves_out_the_tail() {
        let seen = draws(1.0, 0.85, 3);
        assert!(seen.contains(&1) && seen.contains(&2) && !seen.contains(&0));
        assert!(draws(1.0, 0.5, 3).iter().all(|id| *id == 1));
    }

    #[test]
    fn probabilities_add_up() {
        let sum: f32 = log_softmax(&[3.0, 1.0, 1000.0]).iter().map(|l| l.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }
}
