//! How the operations of a pass run: which implementation, in what pieces, and who may stop them.

use crate::error::Result;
use crate::progress::{Observer, Unobserved};

/// Which implementation of norms, softmax and rotary positions runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Math {
    /// Fast, without gradients: inference.
    #[default]
    Fused,
    /// Built from operations that have gradients: training, and the check of the fused ones.
    Differentiable,
}

/// Into what pieces large operations are cut; `None` chooses by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Blocks {
    /// Attention queries at once.
    pub queries: Option<usize>,
    /// Rows of a matrix product at once.
    pub rows: Option<usize>,
}

/// Attention probabilities held at once, in elements; 128 MiB as f32.
const QUERY_BLOCK_ELEMENTS: usize = 1 << 25;
/// Multiplications of a matrix product between two looks at the observer: well under a second on two cores.
const ROW_BLOCK_PRODUCTS: usize = 1 << 34;
/// Fewer rows at once would slow a product down.
const MIN_ROWS: usize = 64;

/// Handed to every operation of a pass.
#[derive(Clone, Copy)]
pub struct Compute<'a> {
    /// Fused or differentiable.
    pub math: Math,
    /// Sizes of pieces.
    pub blocks: Blocks,
    /// Told of steps; may stop between pieces.
    pub observer: &'a dyn Observer,
}

impl Default for Compute<'_> {
    fn default() -> Self {
        Self { math: Math::default(), blocks: Blocks::default(), observer: &Unobserved }
    }
}

impl<'a> Compute<'a> {
    /// Fused operations under an observer.
    pub fn observed(observer: &'a dyn Observer) -> Self {
        Self { observer, ..Self::default() }
    }

    /// Goes on, or not.
    pub fn check(&self) -> Result<()> {
        self.observer.check()
    }

    /// Queries whose probabilities [H, t, S] are held at once.
    pub fn query_block(&self, num_heads: usize, num_keys: usize) -> usize {
        self.blocks.queries.unwrap_or(QUERY_BLOCK_ELEMENTS / (num_heads * num_keys).max(1)).max(1)
    }

    /// Rows that go through a product with a matrix of so many elements at once.
    pub fn row_block(&self, elements: usize) -> usize {
        self.blocks.rows.unwrap_or((ROW_BLOCK_PRODUCTS / elements.max(1)).max(MIN_ROWS)).max(1)
    }
}
