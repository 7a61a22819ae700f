//! Where the outside reaches into a forward pass.
//!
//! Rows of attention and hidden states come out; replaced hidden states, edited masks and scaled heads go in.
//! Several taps chain: each sees what the ones before it made.

use candle_core::Tensor;

use crate::ask::looks::Looks;
use crate::error::Result;
use crate::units::{LayerIdx, Role};

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

/// What pass a tap is in.
#[derive(Debug, Clone, Copy)]
pub struct PassInfo<'a> {
    /// Position in the sequence of the first token of this pass; those before it are in the cache.
    pub first_token: usize,
    /// Of all S tokens: those in the cache and those of this pass.
    pub roles: &'a [Role],
    /// L.
    pub num_layers: usize,
    /// H.
    pub num_heads: usize,
}

impl PassInfo<'_> {
    /// Positions in the sequence of this pass's tokens.
    pub fn tokens(&self) -> std::ops::Range<usize> {
        self.first_token..self.roles.len()
    }
}

/// Watches, and may change, a forward pass. Tokens are counted from the start of the sequence.
pub trait Tap {
    /// Tokens of this pass, ascending, whose attention rows are wanted.
    fn wanted_rows(&self, _pass: &PassInfo<'_>, _layer: LayerIdx) -> Vec<usize> {
        Vec::new()
    }

    /// rows: [H, R, S] of this layer, for the R tokens that were wanted.
    fn on_rows(&mut self, _pass: &PassInfo<'_>, _layer: LayerIdx, _rows: &Tensor) -> Result<()> {
        Ok(())
    }

    /// hidden: [T, D] of this pass's tokens; what is returned goes on in its place.
    fn on_hidden(&mut self, _pass: &PassInfo<'_>, _site: Site, _hidden: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Changes who may look at whom in this layer, among all S tokens.
    fn edit_mask(&mut self, _pass: &PassInfo<'_>, _layer: LayerIdx, _looks: &mut Looks) {}

    /// A factor for each head's output in this layer, [H].
    fn head_scales(&mut self, _pass: &PassInfo<'_>, _layer: LayerIdx) -> Option<Vec<f32>> {
        None
    }
}

/// The taps of a pass, in the order they act.
pub struct Taps<'a, 'b>(pub &'a mut [&'b mut dyn Tap]);

impl Taps<'_, '_> {
    /// Rows that any of them wants, ascending.
    pub fn wanted_rows(&self, pass: &PassInfo<'_>, layer: LayerIdx) -> Vec<usize> {
        let mut all: Vec<usize> = self.0.iter().flat_map(|tap| tap.wanted_rows(pass, layer)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Gives each the rows it wanted, out of those that any wanted.
    pub fn on_rows(
        &mut self,
        pass: &PassInfo<'_>,
        layer: LayerIdx,
        wanted: &[usize],
        rows: &Tensor,
    ) -> Result<()> {
        for tap in self.0.iter_mut() {
            let own = tap.wanted_rows(pass, layer);
            if own == wanted {
                tap.on_rows(pass, layer, rows)?;
            } else if !own.is_empty() {
                let places = own.iter().filter_map(|row| wanted.binary_search(row).ok());
                let places = Tensor::new(places.map(|i| i as u32).collect::<Vec<_>>(), rows.device())?;
                tap.on_rows(pass, layer, &rows.index_select(&places, 1)?)?;
            }
        }
        Ok(())
    }

    /// Hands a hidden state through all of them.
    pub fn on_hidden(&mut self, pass: &PassInfo<'_>, site: Site, mut hidden: Tensor) -> Result<Tensor> {
        for tap in self.0.iter_mut() {
            if let Some(replaced) = tap.on_hidden(pass, site, &hidden)? {
                hidden = replaced;
            }
        }
        Ok(hidden)
    }

    /// Who may look at whom in a layer after all edits.
    pub fn edit_mask(&mut self, pass: &PassInfo<'_>, layer: LayerIdx, looks: &mut Looks) {
        self.0.iter_mut().for_each(|tap| tap.edit_mask(pass, layer, looks));
    }

    /// The product of all factors of each head; `None` where none has any.
    pub fn head_scales(&mut self, pass: &PassInfo<'_>, layer: LayerIdx) -> Option<Vec<f32>> {
        let all = self.0.iter_mut().filter_map(|tap| tap.head_scales(pass, layer));
        all.reduce(|a, b| a.iter().zip(&b).map(|(a, b)| a * b).collect())
    }
}
