//! Taps that take out of a pass what settings ask for, and nothing else.

use candle_core::Tensor;

use crate::array::Array;
use crate::ask::HiddenRows;
use crate::error::Result;
use crate::model::tap::{PassInfo, Site, Tap};
use crate::model::to_host;
use crate::trace::HiddenStates;
use crate::units::LayerIdx;

/// Attention rows of some tokens in all layers, on the host as each layer ends.
pub struct RowCollector {
    tokens: Vec<usize>,
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl RowCollector {
    /// Rows of these tokens, ascending.
    pub fn new(tokens: Vec<usize>) -> Self {
        Self { tokens, shape: Vec::new(), data: Vec::new() }
    }

    /// [L, H, R, S]; `None` where no rows were wanted.
    pub fn finish(self) -> Option<Array> {
        if self.tokens.is_empty() { None } else { Some(Array::new(self.shape, self.data)) }
    }
}

impl Tap for RowCollector {
    fn wanted_rows(&self, _pass: &PassInfo<'_>, _layer: LayerIdx) -> Vec<usize> {
        self.tokens.clone()
    }

    fn on_rows(&mut self, pass: &PassInfo<'_>, _layer: LayerIdx, rows: &Tensor) -> Result<()> {
        if self.shape.is_empty() {
            self.shape = [&[0], rows.dims()].concat();
            self.data.reserve_exact(pass.num_layers * rows.elem_count());
        }
        self.shape[0] += 1;
        self.data.extend_from_slice(to_host(rows)?.data());
        Ok(())
    }
}

/// Hidden states of some tokens at some places of the residual stream.
pub struct HiddenCollector {
    wanted: HiddenRows,
    tokens: Vec<usize>,
    layers: Vec<usize>,
    data: Vec<f32>,
}

impl HiddenCollector {
    /// Those that `wanted` names.
    pub fn new(wanted: HiddenRows) -> Self {
        Self { wanted, tokens: Vec::new(), layers: Vec::new(), data: Vec::new() }
    }

    /// What was kept.
    pub fn finish(self) -> HiddenStates {
        let rows = self.layers.len() * self.tokens.len();
        let width = self.data.len().checked_div(rows).unwrap_or(0);
        let values = Array::new([self.layers.len(), self.tokens.len(), width], self.data);
        HiddenStates { layers: self.layers, tokens: self.tokens, values }
    }

    /// The place of a site among L + 1, as `output_hidden_states` has them: the last layer's output appears only
    /// after the final norm.
    fn index(site: Site, num_layers: usize) -> Option<usize> {
        match site {
            Site::Embedding => Some(0),
            Site::AfterLayer(layer) if layer.0 + 1 == num_layers => None,
            Site::AfterLayer(layer) => Some(layer.0 + 1),
            Site::FinalNorm => Some(num_layers),
        }
    }
}

impl Tap for HiddenCollector {
    fn on_hidden(&mut self, pass: &PassInfo<'_>, site: Site, hidden: &Tensor) -> Result<Option<Tensor>> {
        let Some(index) = Self::index(site, pass.num_layers).filter(|i| self.wanted.layers.contains(*i))
        else {
            return Ok(None);
        };
        if self.layers.is_empty() {
            self.tokens =
                pass.tokens().filter(|token| self.wanted.roles.contains(&pass.roles[*token])).collect();
            let places = self.wanted.layers.count(pass.num_layers);
            self.data.reserve_exact(places * self.tokens.len() * hidden.dim(1)?);
        }
        let kept = if self.tokens.len() == pass.tokens().len() {
            hidden.clone()
        } else {
            let places: Vec<u32> =
                self.tokens.iter().map(|token| (token - pass.first_token) as u32).collect();
            hidden.index_select(&Tensor::new(places, hidden.device())?, 0)?
        };
        self.layers.push(index);
        self.data.extend_from_slice(to_host(&kept)?.data());
        Ok(None)
    }
}
