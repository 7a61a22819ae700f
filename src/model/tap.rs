//! Where the outside reaches into a forward pass.
//!
//! Rows of attention and hidden states come out; replaced hidden states, edited masks and scaled heads go in.
//! Several taps chain: each sees what the ones before it made.

use candle_core::Tensor;

use super::changes::Rewiring;
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

    /// Does it change or watch what layers read?
    fn reads_inputs(&self) -> bool {
        false
    }

    /// input: [T, D], what a layer reads of this pass's tokens, features added; what is returned goes on in its place.
    fn on_input(
        &mut self,
        _pass: &PassInfo<'_>,
        _layer: LayerIdx,
        _input: &Tensor,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// keys, values: [T, Hkv, d] of this pass's tokens, after the rotation, as the layer made them.
    fn on_keys(
        &mut self,
        _pass: &PassInfo<'_>,
        _layer: LayerIdx,
        _keys: &Tensor,
        _values: &Tensor,
    ) -> Result<()> {
        Ok(())
    }

    /// mixed: [T, H, d], the outputs of heads before `o_proj`; what is returned goes on in its place.
    fn on_heads(
        &mut self,
        _pass: &PassInfo<'_>,
        _layer: LayerIdx,
        _mixed: &Tensor,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Who finds which keys, values and queries, where that is changed.
    fn rewiring(&mut self) -> Option<&mut Rewiring> {
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

    /// Does any of them look at what layers read?
    pub fn reads_inputs(&self) -> bool {
        self.0.iter().any(|tap| tap.reads_inputs())
    }

    /// Hands what a layer reads through all of them.
    pub fn on_input(&mut self, pass: &PassInfo<'_>, layer: LayerIdx, mut input: Tensor) -> Result<Tensor> {
        for tap in self.0.iter_mut() {
            if let Some(replaced) = tap.on_input(pass, layer, &input)? {
                input = replaced;
            }
        }
        Ok(input)
    }

    /// Shows all of them keys and values.
    pub fn on_keys(&mut self, pass: &PassInfo<'_>, layer: LayerIdx, k: &Tensor, v: &Tensor) -> Result<()> {
        self.0.iter_mut().try_for_each(|tap| tap.on_keys(pass, layer, k, v))
    }

    /// Hands the outputs of heads through all of them.
    pub fn on_heads(&mut self, pass: &PassInfo<'_>, layer: LayerIdx, mut mixed: Tensor) -> Result<Tensor> {
        for tap in self.0.iter_mut() {
            if let Some(replaced) = tap.on_heads(pass, layer, &mixed)? {
                mixed = replaced;
            }
        }
        Ok(mixed)
    }

    /// What is changed of who finds what, where something is.
    pub fn rewiring(&mut self) -> Option<&mut Rewiring> {
        self.0.iter_mut().find_map(|tap| tap.rewiring())
    }
}
