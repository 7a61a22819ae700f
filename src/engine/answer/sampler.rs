//! Which token comes next.

use rand::RngExt;

use crate::random::{Stream, stream_of_name};

/// Greedy, or seeded sampling by temperature, top-k (Fan et al., 2018) and nucleus (Holtzman et al., 2020).
pub struct Sampler {
    temperature: f32,
    top_k: Option<usize>,
    top_p: Option<f32>,
    rng: Stream,
}

impl Sampler {
    /// Starts the sequence of a seed. Temperature 0 is greedy; `None` samples among all tokens.
    pub fn new(temperature: f32, top_k: Option<usize>, top_p: Option<f32>, seed: u64) -> Self {
        Self { temperature, top_k, top_p, rng: stream_of_name(seed, "tokens") }
    }

    /// The next token id from its scores, [V].
    pub fn next(&mut self, logits: &[f32]) -> u32 {
        if self.temperature <= 0.0 {
            return argmax(logits);
        }
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut scaled: Vec<f32> = logits.iter().map(|l| (l - max) / self.temperature).collect();
        if let Some(place) = self.top_k.map(|k| k.max(1) - 1).filter(|place| *place < scaled.len()) {
            // As the reference: everything below the k-th score goes, ties with it stay.
            let mut sorted = scaled.clone();
            let (_, least, _) = sorted.select_nth_unstable_by(place, |a, b| b.total_cmp(a));
            let least = *least;
            scaled.iter_mut().filter(|l| **l < least).for_each(|l| *l = f32::NEG_INFINITY);
        }
        let mut ranked: Vec<(u32, f32)> =
            log_softmax(&scaled).into_iter().zip(0..).map(|(l, id)| (id, l.exp())).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut mass = 0.0;
        let kept = ranked.iter().take_while(|(_, p)| {
            let before = mass;
            mass += p;
            before < self.top_p.unwrap_or(f32::INFINITY)
        });
        let kept: Vec<(u32, f32)> = kept.filter(|(_, p)| *p > 0.0).copied().collect();
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
        draws_of(Sampler::new(temperature, None, Some(top_p), seed))
    }

    fn draws_of(mut sampler: Sampler) -> Vec<u32> {
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
    fn the_k_likeliest_are_drawn_from_and_no_other() {
        let hot = |top_k| Sampler::new(50.0, top_k, None, 42);
        let seen = draws_of(hot(Some(2)));
        assert!(seen.contains(&1) && seen.contains(&2) && !seen.contains(&0) && !seen.contains(&3));
        assert!(draws_of(hot(Some(1))).iter().all(|id| *id == 1));
        assert!(draws_of(hot(Some(99))).contains(&3));
    }

    #[test]
    fn probabilities_add_up() {
        let sum: f32 = log_softmax(&[3.0, 1.0, 1000.0]).iter().map(|l| l.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }
}
