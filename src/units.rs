//! The indices and roles everything else speaks in: newtypes where a layer could be taken for a head.

use serde::{Deserialize, Serialize};

/// Decoder layer, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LayerIdx(pub usize);

/// Query head, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HeadIdx(pub usize);

/// `image_grid_thw`: frames, rows and columns of patches before merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GridThw {
    /// Frames; 1 for a still image.
    pub t: usize,
    /// Patch rows.
    pub h: usize,
    /// Patch columns.
    pub w: usize,
}

impl GridThw {
    /// Patches the vision tower reads.
    pub fn num_patches(self) -> usize {
        self.t * self.h * self.w
    }

    /// Rows and columns of visual tokens, after merging `merge_size` x `merge_size` patches.
    pub fn merged(self, merge_size: usize) -> (usize, usize) {
        (self.h / merge_size, self.w / merge_size)
    }

    /// Visual tokens the language model reads.
    pub fn num_visual_tokens(self, merge_size: usize) -> usize {
        let (rows, cols) = self.merged(merge_size);
        self.t * rows * cols
    }
}

/// Half-open range of token positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First position.
    pub start: usize,
    /// One past the last position.
    pub end: usize,
}

impl Span {
    /// The positions, for iteration and slicing.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start..self.end
    }

    /// Number of positions.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// True where there is no position.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// What a token is for; decides what the attention masks let it see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// System text, template tokens, vision markers, the question, the separator after the latents.
    Prompt,
    /// The image placeholder, of every image.
    Image,
    /// One of the K latent tokens.
    Latent,
    /// What the model generates.
    Answer,
}

impl Role {
    /// All roles, in the order of their codes.
    pub const ALL: [Self; 4] = [Self::Prompt, Self::Image, Self::Latent, Self::Answer];

    /// As figures call it: what is neither image, latent nor answer is text.
    pub fn in_figures(self) -> &'static str {
        match self {
            Self::Prompt => "text",
            Self::Image => "image",
            Self::Latent => "latent",
            Self::Answer => "answer",
        }
    }

    /// The number the trace file stores.
    pub fn code(self) -> i64 {
        match self {
            Self::Prompt => 0,
            Self::Image => 1,
            Self::Latent => 2,
            Self::Answer => 3,
        }
    }
}

/// A number of things: 1 image, 2 images.
pub fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Bytes for a person: 1.5 GiB.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
