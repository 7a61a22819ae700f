//! How the operations of a pass run: with which instructions, in what pieces, and who may stop them.

use crate::error::Result;
use crate::ops::attention;
use crate::ops::isa::Isa;
use crate::ops::matmul::RowsOf;
use crate::progress::{Observer, Unobserved};

/// Into what pieces large operations are cut; `None` chooses by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Blocks {
    /// Attention queries at once.
    pub queries: Option<usize>,
    /// Rows of a matrix product at once.
    pub rows: Option<usize>,
}

/// Multiplications of a matrix product between two looks at the observer: well under a second on two cores.
const ROW_BLOCK_PRODUCTS: usize = 1 << 36;
/// Fewer rows at once would slow a product down.
const MIN_ROWS: usize = 256;

/// Handed to every operation of a pass.
#[derive(Clone, Copy)]
pub struct Compute<'a> {
    /// Instructions to use, at most.
    pub isa: Isa,
    /// Sizes of pieces.
    pub blocks: Blocks,
    /// Whose rows the products of linear layers have.
    pub rows: RowsOf,
    /// Told of steps; may stop between pieces.
    pub observer: &'a dyn Observer,
    /// While training: decides what falls out of the inputs of low-rank updates in this pass.
    pub dropout: Option<u64>,
}

impl Default for Compute<'_> {
    fn default() -> Self {
        Self {
            isa: Isa::best(),
            blocks: Blocks::default(),
            rows: RowsOf::Whole,
            observer: &Unobserved,
            dropout: None,
        }
    }
}

impl<'a> Compute<'a> {
    /// Under an observer.
    pub fn observed(observer: &'a dyn Observer) -> Self {
        Self { observer, ..Self::default() }
    }

    /// The same for steps of answers.
    #[must_use]
    pub fn of_steps(self) -> Self {
        Self { rows: RowsOf::Steps, ..self }
    }

    /// Goes on, or not.
    pub fn check(&self) -> Result<()> {
        self.observer.check()
    }

    /// How attention over heads of this size runs.
    pub fn attention(&self, head_dim: usize) -> attention::Plan {
        let block = self.blocks.queries.unwrap_or(attention::BLOCK);
        attention::Plan {
            scale: 1.0 / (head_dim as f32).sqrt(),
            block,
            products_at_once: attention::PRODUCTS_AT_ONCE,
            isa: self.isa,
        }
    }

    /// Rows that go through a product with a matrix of so many elements at once.
    pub fn row_block(&self, elements: usize) -> usize {
        self.blocks.rows.unwrap_or((ROW_BLOCK_PRODUCTS / elements.max(1)).max(MIN_ROWS)).max(1)
    }
}
