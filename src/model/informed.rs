//! Random weights that begin where training from nothing would arrive after a while: few examples are enough from
//! there.
//!
//! Heads compare what they read: their keys are orthonormal projections, their queries nearly the same, and what they
//! write is nearly the transpose of what they read (mimetic initialisation, Trockman and Kolter 2023). The patch
//! embedding is a cosine transform of lightness and colour whose outputs are all about as large on pictures, where the
//! mean of a patch would drown its details. Learned positions are waves. Where the embedding is not the output, a word's
//! row of it is that of the output, as long as what the tower shows: shorter, it is lost in what the first layer adds,
//! and no later layer can look for the word.

use crate::random::uniform_of_name;

/// What the shapes of tensors do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Informed {
    /// Of the language model.
    pub text: Heads,
    /// Of the vision tower.
    pub vision: Heads,
    /// Are the embedding's rows the output's?
    pub tied: bool,
}

/// Heads of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// H.
    pub num_heads: usize,
    /// Hkv.
    pub num_kv_heads: usize,
    /// d.
    pub head_dim: usize,
}

/// Weight of the norms of queries and keys.
const SHARPNESS: f32 = 1.4;
/// Of queries and keys; of values, and of what is written.
const SCALES: (f32, f32) = (0.7, 0.5);
/// Height of the waves of learned positions.
const WAVES: f32 = 0.5;

impl Informed {
    /// The values of a tensor, where there is something to say about it.
    pub(super) fn values(self, seed: u64, name: &str, shape: &[usize]) -> Option<Vec<f32>> {
        let attention = |at: &str| name.split_once(at).filter(|_| name.ends_with(".weight"));
        if let Some((layer, part)) = attention(".self_attn.").filter(|_| name.starts_with("language_model."))
        {
            let heads = HeadsOf { heads: self.text, seed, layer, sign: 1.0 };
            return match part {
                "q_norm.weight" | "k_norm.weight" => Some(vec![SHARPNESS; shape[0]]),
                "q_proj.weight" => Some(heads.queries(shape[1])),
                "k_proj.weight" => Some(heads.keys(shape[1])),
                "v_proj.weight" => Some(heads.read(shape[1])),
                "o_proj.weight" => Some(heads.written(shape[0])),
                _ => None,
            };
        }
        if let Some((layer, part)) = attention(".attn.").filter(|_| name.starts_with("visual.")) {
            // What the surroundings have in common is taken off: what is left is what stands out.
            let heads = HeadsOf { heads: self.vision, seed, layer, sign: -1.0 };
            return match part {
                "qkv.weight" => {
                    Some([heads.queries(shape[1]), heads.keys(shape[1]), heads.read(shape[1])].concat())
                }
                "proj.weight" => Some(heads.written(shape[0])),
                _ => None,
            };
        }
        match name {
            "language_model.embed_tokens.weight" if !self.tied => {
                Some(uniform_of_name(seed, "lm_head.weight", shape.iter().product(), 1.0))
            }
            "visual.patch_embed.proj.weight" => cosines(shape),
            "visual.pos_embed.weight" => Some(waves(shape)),
            _ => None,
        }
    }
}

/// The heads of a layer.
struct HeadsOf<'a> {
    heads: Heads,
    seed: u64,
    layer: &'a str,
    /// Of what is written.
    sign: f32,
}

impl HeadsOf<'_> {
    /// An orthonormal projection [d, width] for each head of keys and values.
    fn projections(&self, what: &str, width: usize) -> Vec<Vec<f32>> {
        let Heads { num_kv_heads, head_dim, .. } = self.heads;
        let one = |head: usize| {
            let name = format!("{}.{what}.{head}", self.layer);
            orthonormal(uniform_of_name(self.seed, &name, head_dim * width, 1.0), width)
        };
        (0..num_kv_heads).map(one).collect()
    }

    /// Scaled, with noise so that no two stay alike.
    fn mixed(&self, what: &str, of: Vec<f32>, scale: f32) -> Vec<f32> {
        const NOISE: f32 = 0.01;
        let noise = uniform_of_name(self.seed, &format!("{}.{what}", self.layer), of.len(), NOISE);
        of.into_iter().zip(noise).map(|(value, noise)| scale * value + noise).collect()
    }

    /// Heads that share keys and values.
    fn group(&self) -> usize {
        self.heads.num_heads / self.heads.num_kv_heads
    }

    fn queries(&self, width: usize) -> Vec<f32> {
        let keys = self.projections("keys", width);
        let own = (0..self.heads.num_heads).flat_map(|head| keys[head / self.group()].clone()).collect();
        self.mixed("q", own, SCALES.0)
    }

    fn keys(&self, width: usize) -> Vec<f32> {
        self.mixed("k", self.projections("keys", width).concat(), SCALES.0)
    }

    fn read(&self, width: usize) -> Vec<f32> {
        self.mixed("v", self.projections("values", width).concat(), SCALES.1)
    }

    fn written(&self, width: usize) -> Vec<f32> {
        let Heads { num_heads, head_dim, .. } = self.heads;
        let values = self.projections("values", width);
        let inner = num_heads * head_dim;
        let mut own = vec![0.0; width * inner];
        for head in 0..num_heads {
            for (i, row) in values[head / self.group()].chunks(width).enumerate() {
                for (out, value) in row.iter().enumerate() {
                    own[out * inner + head * head_dim + i] = self.sign * value / self.group() as f32;
                }
            }
        }
        self.mixed("o", own, SCALES.1)
    }
}

/// Rows of `width`, made orthonormal one after the other (Gram and Schmidt).
fn orthonormal(mut values: Vec<f32>, width: usize) -> Vec<f32> {
    for row in 0..values.len() / width {
        let (before, rest) = values.split_at_mut(row * width);
        let own = &mut rest[..width];
        for other in before.chunks(width) {
            let share: f32 = own.iter().zip(other).map(|(a, b)| a * b).sum();
            own.iter_mut().zip(other).for_each(|(a, b)| *a -= share * b);
        }
        let length = own.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
        for value in own {
            *value /= length;
        }
    }
    values
}

/// Weights of red, green and blue, and the standard deviation of frequency 0 and of frequency 1.
const CHANNELS: [([f32; 3], f32, f32); 3] =
    [([0.577, 0.577, 0.577], 7.8, 1.5), ([0.707, 0.0, -0.707], 2.6, 0.7), ([0.408, -0.816, 0.408], 2.6, 0.7)];

/// [D, 3, frames, P, P]: the lowest frequencies of the cosine transform of lightness and of two differences of colours,
/// each made about as large as the others by what pictures have of it: less the higher the frequency.
fn cosines(shape: &[usize]) -> Option<Vec<f32>> {
    let &[width, 3, frames, side, _] = shape else { return None };
    let mut all: Vec<(f32, usize, usize, usize)> = Vec::new();
    for channel in 0..CHANNELS.len() {
        for v in 0..side {
            for u in 0..side {
                let frequency = ((u * u + v * v) as f32).sqrt();
                // Colours are looked at less closely than lightness.
                let rank = if channel == 0 { frequency } else { 1.6 * frequency };
                all.push((rank, channel, v, u));
            }
        }
    }
    all.sort_by(|a, b| a.partial_cmp(b).expect("frequencies are numbers"));
    let wave = |u: usize, x: usize| {
        let scale = (if u == 0 { 1.0 } else { 2.0 } / side as f32).sqrt();
        scale * (std::f32::consts::PI * (2 * x + 1) as f32 * u as f32 / (2 * side) as f32).cos()
    };
    let mut values = Vec::with_capacity(shape.iter().product());
    for &(_, channel, v, u) in all.iter().cycle().take(width) {
        let (weights, still, first) = CHANNELS[channel];
        let frequency = ((u * u + v * v) as f32).sqrt();
        let gain = if frequency == 0.0 { 1.0 / still } else { frequency.min(7.0) / first };
        for weight in weights {
            for _frame in 0..frames {
                for y in 0..side {
                    values.extend((0..side).map(|x| gain * weight * wave(v, y) * wave(u, x) / frames as f32));
                }
            }
        }
    }
    Some(values)
}

/// [S * S, D]: sines and cosines of row and column, half of the width each.
fn waves(shape: &[usize]) -> Vec<f32> {
    let (count, width) = (shape[0], shape[1]);
    let side = (count as f32).sqrt().round() as usize;
    let each = (width / 4).max(1);
    let mut values = Vec::with_capacity(count * width);
    for place in 0..count {
        let (row, col) = (place / side.max(1), place % side.max(1));
        values.extend((0..width).map(|i| {
            let (at, i) = if i < width / 2 { (row, i) } else { (col, i - width / 2) };
            // From half a wave over the whole side to one of two patches.
            let frequency = std::f32::consts::PI * (0.5 * side as f32).powf((i / 2) as f32 / each as f32)
                / side.max(1) as f32;
            let angle = frequency * at as f32;
            WAVES * if i % 2 == 0 { angle.sin() } else { angle.cos() }
        }));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: Heads = Heads { num_heads: 4, num_kv_heads: 2, head_dim: 8 };

    fn values(name: &str, shape: &[usize]) -> Vec<f32> {
        let informed = Informed { text: HEADS, vision: Heads { num_kv_heads: 4, ..HEADS }, tied: false };
        informed.values(3, name, shape).expect("something is known of it")
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    #[test]
    fn queries_are_nearly_the_keys_of_their_group() {
        let layer = "language_model.layers.0.self_attn";
        let q = values(&format!("{layer}.q_proj.weight"), &[32, 48]);
        let k = values(&format!("{layer}.k_proj.weight"), &[16, 48]);
        for head in 0..4 {
            let (own, key) = (&q[head * 8 * 48..][..48], &k[head / 2 * 8 * 48..][..48]);
            assert!(cosine(own, key) > 0.95 && own != key);
        }
        assert!(cosine(&k[..48], &k[48..96]).abs() < 0.2, "rows of one head are orthogonal");
        let (v, o) = (
            values(&format!("{layer}.v_proj.weight"), &[16, 48]),
            values(&format!("{layer}.o_proj.weight"), &[48, 32]),
        );
        let column: Vec<f32> = (0..48).map(|row| o[row * 32]).collect();
        assert!(cosine(&v[..48], &column) > 0.9);
    }

    #[test]
    fn details_of_a_patch_are_as_large_as_its_mean() {
        let (side, width) = (14, 64);
        let weights = values("visual.patch_embed.proj.weight", &[width, 3, 2, side, side]);
        // A soft edge and an even patch, as large as pictures have them.
        let edge = |x: usize, y: usize| ((x as f32 - 6.5) * 0.1 + (y as f32 - 6.5) * 0.03).tanh() * 0.3;
        let outputs = |pixel: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
            let one = |row: &[f32]| {
                let of = |(i, w): (usize, &f32)| w * pixel(i % side, i / side % side);
                row.iter().enumerate().map(of).sum::<f32>()
            };
            weights.chunks(3 * 2 * side * side).map(one).collect()
        };
        let largest = |values: &[f32]| values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let (edge, even) = (largest(&outputs(&edge)), largest(&outputs(&|_, _| 0.5)));
        assert!((0.3..5.0).contains(&edge) && (0.3..5.0).contains(&even), "{edge} {even}");
    }

    #[test]
    fn words_are_read_as_they_are_said() {
        let rows = values("language_model.embed_tokens.weight", &[24, 16]);
        let said = uniform_of_name(3, "lm_head.weight", 24 * 16, 0.25);
        assert!(rows.iter().zip(said).all(|(row, said)| (row - 4.0 * said).abs() < 1e-5));
        let tied = Informed { text: HEADS, vision: HEADS, tied: true };
        assert!(tied.values(3, "language_model.embed_tokens.weight", &[24, 16]).is_none());
    }

    #[test]
    fn places_differ_and_neighbours_are_alike() {
        let table = values("visual.pos_embed.weight", &[144, 32]);
        let row = |i: usize| &table[i * 32..][..32];
        assert!(cosine(row(0), row(1)) > cosine(row(0), row(7)) && row(3) != row(4) && row(3) != row(15));
    }
}
