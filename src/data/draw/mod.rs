//! Pictures drawn from a seed: textures, things, scenes, marks. What the tasks that need labels are made of.
//!
//! Everything is a function of its random stream, so that one seed is one picture on any number of threads.

pub mod canvas;
pub mod color;
pub mod creatures;
pub mod marks;
pub mod noise;
pub mod paint;
pub mod scenes;
pub mod sprite;
pub mod texture;
pub mod things;
pub mod tools;
pub mod view;

/// A random stream whose values stay the same from version to version.
pub type Stream = rand_chacha::ChaCha8Rng;

/// The stream of a place: a seed, and the numbers that say which of its streams.
pub fn stream(seed: u64, place: &[u64]) -> Stream {
    use rand::SeedableRng;
    // SplitMix64's finaliser (Steele, Lea and Flood 2014) over each number in turn.
    let mix = |z: u64| {
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let fold =
        |state: u64, number: &u64| mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ number.rotate_left(32));
    Stream::seed_from_u64(place.iter().fold(mix(seed), fold))
}
