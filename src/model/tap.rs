//! Where the outside reaches into a forward pass: rows of attention and hidden states come out,
//! a replaced hidden state goes in, and a step can be the last.

use candle_core::Tensor;

use crate::error::Result;
use crate::units::LayerIdx;

/// A place in the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// Token embeddings with the image features in place.
    Embedding,
    /// Output of a decoder layer, before any `DeepStack` features are added to it.
    AfterLayer(LayerIdx),
    /// After the final norm.
    FinalNorm,
}

/// Watches, and may change, one forward pass.
pub trait Tap {
    /// Query rows whose attention is wanted, ascending, counted from the first token of this pass.
    fn rows(&self) -> &[usize] {
        &[]
    }

    /// probs: [H, R, S] of this layer, R the wanted rows that fall in this block, in order.
    fn on_attention(&mut self, _layer: LayerIdx, _probs: Tensor) -> Result<()> {
        Ok(())
    }

    /// hidden: [T, D]; what is returned goes on in its place.
    fn on_hidden(&mut self, _site: Site, _hidden: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// A decoder layer begins; an error here ends the pass.
    fn on_layer(&mut self, _layer: LayerIdx, _num_layers: usize) -> Result<()> {
        Ok(())
    }
}
