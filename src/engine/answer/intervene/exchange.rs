//! Keys and values of a donor, found by all that read the tokens later.

use candle_core::{DType, Device, Tensor};

use super::donors::OfDonor;
use super::moved;
use crate::array::Array;
use crate::ask::LayerRange;
use crate::checkpoint::config::TextConfig;
use crate::error::{Error, Result};
use crate::model::changes::{KeysFound, Readers, Rewiring, is_changed};
use crate::model::compute::Compute;
use crate::model::rotary::{Rotary, inverse_frequencies, text_angles};
use crate::model::to_host;

/// A statement that exchanges keys and values.
pub struct Exchange {
    /// Its place among the edits.
    pub statement: usize,
    /// Positions in the prompt, [n].
    pub tokens: Vec<usize>,
    /// Is what was there found?
    pub sham: bool,
    /// In which layers.
    layers: LayerRange,
    /// Of each layer its place among what is found there.
    places: Vec<usize>,
}

/// What is exchanged for what.
pub struct Exchanged<'a> {
    /// Positions in the prompt, [n].
    pub tokens: &'a [usize],
    /// Of this run's tokens, [n].
    pub positions: Vec<[i64; 3]>,
    /// Whence.
    pub donor: OfDonor,
    /// Who finds it.
    pub readers: Readers,
    /// In these layers.
    pub layers: LayerRange,
}

impl Exchange {
    /// Adds what is found to layers, keys turned from the donor's positions to the run's: `R(p - p_donor) k`, each frequency by
    /// its axis' difference (Su et al. 2021).
    ///
    /// # Errors
    /// A donor without keys and values, of another shape.
    pub fn new(
        statement: usize,
        exchanged: &Exchanged<'_>,
        config: &TextConfig,
        rewiring: &mut Rewiring,
        model: (&Device, DType),
        compute: &Compute<'_>,
    ) -> Result<Self> {
        let Exchanged { tokens, positions, donor, readers, layers } = exchanged;
        let file = &donor.file;
        if file.floats("keys")?.is_none() || file.floats("values")?.is_none() {
            let at = file.path().display();
            return Err(Error::Request(format!("this file has no keys and values ({at})")));
        }
        let turns: Vec<[i64; 3]> = positions
            .iter()
            .zip(donor.positions())
            .map(|(own, theirs)| [own[0] - theirs[0], own[1] - theirs[1], own[2] - theirs[2]])
            .collect();
        let frequencies = inverse_frequencies(config.head_dim, config.rotary.theta);
        let angles = text_angles(&turns, &frequencies, &config.rotary);
        let rotary = Rotary::from_angles(&angles, frequencies.len(), DType::F32, model.0)?;
        let (count, heads, width) = (tokens.len(), config.num_kv_heads, config.head_dim);
        let mut places = Vec::new();
        for (layer, changes) in rewiring.layers.iter_mut().enumerate() {
            places.push(changes.found.len());
            if !layers.contains(layer) {
                continue;
            }
            let of = |name: &str| -> Result<Tensor> {
                let values = file.rows(name, Some(layer), &donor.rows, width)?;
                if values.len() != heads * count * width {
                    let found = values.len() / (count * width);
                    return Err(Error::field(file.path(), name, format!("{heads} heads"), found.to_string()));
                }
                let by_head = Tensor::from_vec(values, (heads, count, width), model.0)?;
                Ok(by_head.transpose(0, 1)?.contiguous()?)
            };
            let keys = rotary.apply(&of("keys")?, compute)?.to_dtype(model.1)?;
            let values = of("values")?.to_dtype(model.1)?;
            changes.found.push(KeysFound {
                tokens: tokens.to_vec(),
                head: None,
                keys: Some(keys),
                values: Some(values),
                readers: readers.clone(),
            });
        }
        Ok(Self { statement, tokens: tokens.to_vec(), sham: false, layers: *layers, places })
    }

    /// Does it act in a layer?
    pub fn acts_in(&self, layer: usize) -> bool {
        self.layers.contains(layer)
    }

    /// Has the layer's own keys and values found, [T, Hkv, d] of all.
    ///
    /// # Errors
    /// A device without room.
    pub fn find_own(found: &mut KeysFound, keys: &Tensor, values: &Tensor) -> Result<()> {
        let index: Vec<u32> = found.tokens.iter().map(|token| *token as u32).collect();
        let index = Tensor::new(index, keys.device())?;
        let own = |x: &Tensor| -> Result<Tensor> { Ok(x.contiguous()?.index_select(&index, 0)?) };
        (found.keys, found.values) = (Some(own(keys)?), Some(own(values)?));
        Ok(())
    }

    /// Its place among what is found in a layer.
    pub fn place_in(&self, layer: usize) -> usize {
        self.places[layer]
    }

    /// Tokens whose key or value is another than the layer's own, keys and values [T, Hkv, d] of all; and the sum of the
    /// lengths of these changes.
    pub fn counted(found: &KeysFound, keys: &Tensor, values: &Tensor) -> Result<(usize, f64)> {
        let index: Vec<u32> = found.tokens.iter().map(|token| *token as u32).collect();
        let index = Tensor::new(index, keys.device())?;
        let flat = |x: &Tensor| -> Result<Array> { to_host(&x.flatten_from(1)?) };
        let own = |x: &Tensor| flat(&x.contiguous()?.index_select(&index, 0)?);
        let theirs = |x: &Option<Tensor>| flat(x.as_ref().expect("both are exchanged"));
        let (keys, values) = ((own(keys)?, theirs(&found.keys)?), (own(values)?, theirs(&found.values)?));
        let differs = |(own, theirs): &(Array, Array), i: usize| is_changed(own.at(&[i]), theirs.at(&[i]));
        let changed = (0..found.tokens.len()).filter(|i| differs(&keys, *i) || differs(&values, *i)).count();
        Ok((changed, moved(&keys.0, &keys.1) + moved(&values.0, &values.1)))
    }
}
