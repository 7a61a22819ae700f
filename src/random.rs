//! Random numbers that are a function of a seed and of what they are for, never of what was drawn before: so one seed
//! is one result on any number of threads, and a run that was stopped goes on to the same bits.

use rand::{RngExt as _, SeedableRng};

/// A random stream whose values stay the same from version to version.
pub type Stream = rand_chacha::ChaCha8Rng;

/// The step of `SplitMix64` (Steele, Lea and Flood 2014): adding it moves on to the next number.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Its finaliser: spreads every bit over all others.
#[inline]
pub fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One number for a seed and the numbers that say what it is for.
pub fn key(seed: u64, place: &[u64]) -> u64 {
    place.iter().fold(mix(seed), |state, number| mix(state.wrapping_add(GOLDEN) ^ number.rotate_left(32)))
}

/// One number for a seed and a name.
pub fn key_of_name(seed: u64, name: &str) -> u64 {
    let words = name.as_bytes().chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    key(seed, &words.chain([name.len() as u64]).collect::<Vec<_>>())
}

/// The stream of a place: a seed, and the numbers that say which of its streams.
pub fn stream(seed: u64, place: &[u64]) -> Stream {
    Stream::seed_from_u64(key(seed, place))
}

/// The stream of a name.
pub fn stream_of_name(seed: u64, name: &str) -> Stream {
    Stream::seed_from_u64(key_of_name(seed, name))
}

/// [count]: numbers without tails, of mean zero and this standard deviation, from the stream of a name.
pub fn uniform_of_name(seed: u64, name: &str, count: usize, deviation: f32) -> Vec<f32> {
    let bound = deviation * 3f32.sqrt();
    let mut rng = stream_of_name(seed, name);
    (0..count).map(|_| rng.random_range(-bound..bound)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn places_and_names_have_numbers_of_their_own() {
        let places = (0..50u64).flat_map(|a| (0..50u64).map(move |b| key(7, &[a, b])));
        let names = (0..500).map(|i| key_of_name(7, &format!("layers.{i}.q_proj")));
        let padded = ["a", "a\0", "a\0\0"].map(|name| key_of_name(7, name));
        let all: BTreeSet<u64> =
            places.chain(names).chain(padded).chain([key(7, &[]), key(8, &[])]).collect();
        assert_eq!(all.len(), 2500 + 500 + 3 + 2);
    }
}
