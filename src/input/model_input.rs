//! The boundary between processor and model.

use crate::array::Array;
use crate::units::{GridThw, Role, Span};

/// What the model reads, all on the host.
#[derive(Debug, Clone)]
pub struct ModelInput {
    /// [N].
    pub input_ids: Vec<u32>,
    /// [N].
    pub roles: Vec<Role>,
    /// [N]: temporal, height and width.
    pub positions: Vec<[i64; 3]>,
    /// Position of the first generated token.
    pub next_position: i64,
    /// [I], in patches.
    pub grids: Vec<GridThw>,
    /// Pixels on a side of a patch.
    pub patch_size: usize,
    /// Patches on a side of a visual token.
    pub merge_size: usize,
    /// Where each image's tokens are, [I].
    pub image_spans: Vec<Span>,
    /// [patches, C*T*P*P].
    pub pixel_values: Array,
    /// The rendered prompt, placeholders expanded, latents included.
    pub text: String,
}

impl ModelInput {
    /// N.
    pub fn num_tokens(&self) -> usize {
        self.input_ids.len()
    }
}
