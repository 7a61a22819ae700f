//! Keys and values of the tokens already read, in buffers of the final size.

use candle_core::Tensor;

use crate::error::Result;
use crate::units::LayerIdx;

/// One pair of buffers per decoder layer, each [capacity, `num_kv_heads`, `head_dim`].
pub struct KvCache {
    layers: Vec<Option<(Tensor, Tensor)>>,
    len: usize,
    capacity: usize,
}

impl KvCache {
    /// Room for `capacity` tokens; buffers come with the first append.
    pub fn new(num_layers: usize, capacity: usize) -> Self {
        Self { layers: vec![None; num_layers], len: 0, capacity }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True before the first pass.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes keys and values [T, `num_kv_heads`, `head_dim`] behind the held ones; returns all of both.
    ///
    /// They count as held when the pass is over and calls [`Self::advance`].
    #[expect(clippy::disallowed_methods, reason = "what was kept of earlier passes is constant")]
    pub(super) fn append(&mut self, layer: LayerIdx, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (new, heads, width) = k.dims3()?;
        assert!(self.len + new <= self.capacity, "the cache was made for {} tokens", self.capacity);
        let slot = &mut self.layers[layer.0];
        if slot.is_none() {
            let buffer = || Tensor::zeros((self.capacity, heads, width), k.dtype(), k.device());
            *slot = Some((buffer()?, buffer()?));
        }
        let (keys, values) = slot.as_ref().expect("just made");
        keys.slice_set(&k.contiguous()?, 0, self.len)?;
        values.slice_set(&v.contiguous()?, 0, self.len)?;
        let held = self.len + new;
        Ok((keys.narrow(0, 0, held)?, values.narrow(0, 0, held)?))
    }

    /// Counts `new` more tokens as held: the last step of a forward pass.
    pub(super) fn advance(&mut self, new: usize) {
        self.len += new;
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}
