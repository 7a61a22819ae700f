//! What goes through the decoder at once: sequences with their masks, caches and taps.

use candle_core::Tensor;

use super::cache::KvCache;
use super::changes::{Attending, PathEnd, PathStart, Rewiring, with_rows};
use super::compute::Compute;
use super::rotary::Rotary;
use super::tap::{PassInfo, Site, Tap, Taps};
use crate::ask::MaskRule;
use crate::ask::looks::Looks;
use crate::checkpoint::config::TextConfig;
use crate::error::Result;
use crate::ops::attention::{Mask, Segment, attend_watched, rows};
use crate::progress::Phase;
use crate::units::{LayerIdx, Role};

/// One sequence of a pass: its whole prompt, or the tokens after what its cache holds.
pub struct Sequence<'a> {
    /// Of all S tokens: those in the cache and those of this pass.
    pub roles: &'a [Role],
    /// Who may look at whom.
    pub rule: MaskRule,
    /// Keys and values of earlier tokens; grows by those of this pass.
    pub cache: Option<&'a mut KvCache>,
    /// Who watches it, in the order they act.
    pub taps: Vec<&'a mut dyn Tap>,
}

impl<'a> Sequence<'a> {
    fn held(&self) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.len())
    }

    /// Tokens of this pass.
    pub(super) fn len(&self) -> usize {
        self.roles.len() - self.held()
    }

    fn info(&self, config: &TextConfig) -> PassInfo<'a> {
        PassInfo {
            first_token: self.held(),
            roles: self.roles,
            num_layers: config.num_layers,
            num_heads: config.num_heads,
        }
    }
}

/// What goes through the decoder at once: sequences one after the other, T tokens in all.
pub struct Pass<'a, 's> {
    /// Token embeddings, image features in place: [T, D].
    pub embeddings: Tensor,
    /// Temporal, height and width position of each of the T tokens.
    pub positions: &'a [[i64; 3]],
    /// Whose tokens they are.
    pub sequences: Vec<Sequence<'s>>,
    /// Positions of visual tokens among the T, and per early layer the features added there, [n, D].
    pub deepstack: Option<(&'a Tensor, &'a [Tensor])>,
    /// Layers are steps to tell of.
    pub phase: Option<Phase>,
    /// How operations run.
    pub compute: Compute<'a>,
}

/// What every layer of a pass needs besides its input.
pub(super) struct PassState<'a, 's> {
    pub config: &'a TextConfig,
    pub sequences: Vec<Sequence<'s>>,
    pub rotary: Rotary,
    pub compute: Compute<'a>,
}

impl<'s> PassState<'_, 's> {
    /// Hands each sequence its part of `x` [T, ..]; where nobody watches, `x` stays as it is.
    fn each(
        &mut self,
        x: Tensor,
        mut change: impl FnMut(&mut Taps<'_, 's>, &PassInfo<'_>, Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        if self.sequences.iter().all(|sequence| sequence.taps.is_empty()) {
            return Ok(x);
        }
        let alone = self.sequences.len() == 1;
        let (mut parts, mut start) = (Vec::new(), 0);
        for sequence in &mut self.sequences {
            let (info, len) = (sequence.info(self.config), sequence.len());
            let part = if alone { x.clone() } else { x.narrow(0, start, len)? };
            parts.push(change(&mut Taps(&mut sequence.taps), &info, part)?);
            start += len;
        }
        if alone { Ok(parts.remove(0)) } else { Ok(Tensor::cat(&parts, 0)?) }
    }

    pub fn on_hidden(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        self.each(x, |taps, info, x| taps.on_hidden(info, site, x))
    }

    /// q: [T, H, d], k and v: [T, Hkv, d] -> [T, H, d]. Sequences without a cache go through together; where one
    /// has one, each with keys and values of its own.
    pub fn attend(&mut self, q: &Tensor, k: &Tensor, v: &Tensor, layer: LayerIdx) -> Result<Tensor> {
        let plan = self.compute.attention(self.config.head_dim);
        let is_plain = |own: &mut Sequence<'_>| {
            own.cache.is_none()
                && Taps(&mut own.taps).rewiring().is_none_or(|own| own.layers[layer.0].is_empty())
        };
        let together = self.sequences.iter_mut().all(is_plain);
        let (mut segments, mut outputs, mut start) = (Vec::new(), Vec::new(), 0);
        for sequence in &mut self.sequences {
            self.compute.check()?;
            let (info, len) = (sequence.info(self.config), sequence.len());
            let own = |x: &Tensor| x.narrow(0, start, len);
            let mut taps = Taps(&mut sequence.taps);
            taps.on_keys(&info, layer, &own(k)?, &own(v)?)?;
            let (k, v) = match &mut sequence.cache {
                Some(cache) => cache.append(layer, &own(k)?, &own(v)?)?,
                None if together => (k.clone(), v.clone()),
                None => (own(k)?, own(v)?),
            };
            let mut looks = Looks::of_roles(sequence.rule, info.roles);
            taps.edit_mask(&info, layer, &mut looks);
            let first_key = if together { start } else { 0 };
            let segment = Segment {
                queries: start..start + len,
                keys: first_key..first_key + info.roles.len(),
                mask: Some(Mask::of(looks, len)),
            };
            let wanted = taps.wanted_rows(&info, layer);
            let queries: Vec<usize> = wanted.iter().map(|token| token - info.first_token).collect();
            let changes =
                taps.rewiring().map(|own| own.layers[layer.0].clone()).filter(|own| !own.is_empty());
            if let Some(changes) = changes {
                let mask = segment.mask.as_ref().expect("just made");
                let (q, observer) = (own(q)?, self.compute.observer);
                let attending = Attending { q: &q, k: &k, v: &v, mask, plan, observer };
                let (mixed, rows) = attending.changed(&changes, &queries)?;
                if let Some(rows) = rows {
                    taps.on_rows(&info, layer, &wanted, &rows)?;
                }
                outputs.push(mixed);
                start += len;
                continue;
            }
            if !wanted.is_empty() {
                taps.on_rows(&info, layer, &wanted, &rows(q, &k, &segment, &queries, plan)?)?;
            }
            if together {
                segments.push(segment);
            } else {
                let alone = Segment { queries: 0..len, ..segment };
                outputs.push(attend_watched(&own(q)?, &k, &v, &[alone], plan, self.compute.observer)?);
            }
            start += len;
        }
        let mixed = match outputs.len() {
            0 => attend_watched(q, k, v, &segments, plan, self.compute.observer)?,
            1 => outputs.remove(0),
            _ => Tensor::cat(&outputs, 0)?,
        };
        self.each(mixed, |taps, info, mixed| taps.on_heads(info, layer, mixed))
    }

    pub fn on_input(&mut self, layer: LayerIdx, x: Tensor) -> Result<Tensor> {
        if !self.sequences.iter_mut().any(|own| Taps(&mut own.taps).reads_inputs()) {
            return Ok(x);
        }
        self.each(x, |taps, info, x| taps.on_input(info, layer, x))
    }

    /// What statements change of who finds what, of each sequence for which something is, with where its tokens begin in this
    /// pass and in the sequence.
    pub fn rewired(&mut self) -> Vec<(usize, usize, &mut Rewiring)> {
        let (mut all, mut start) = (Vec::new(), 0);
        for sequence in &mut self.sequences {
            let (first, len) = (sequence.held(), sequence.len());
            if let Some(own) = sequence.taps.iter_mut().find_map(|tap| tap.rewiring()) {
                all.push((start, first, own));
            }
            start += len;
        }
        all
    }

    /// Paths that begin at a place of the residual stream x [T, D] take what they add from there.
    pub fn begin_paths(&mut self, at: PathStart, x: &Tensor) -> Result<()> {
        for (start, first, own) in self.rewired() {
            for path in own.beginning(at).filter(|path| path.is_of_pass(first)) {
                path.delta = Some(path.beside(&path.rows_of(x, start, first)?)?);
            }
        }
        Ok(())
    }

    /// Paths that end at the final norm join what it reads, x [T, D].
    pub fn end_paths(&mut self, mut x: Tensor) -> Result<Tensor> {
        for (start, first, own) in self.rewired() {
            for path in own.paths.iter().filter(|path| path.end == PathEnd::Logits && path.is_of_pass(first))
            {
                let Some(delta) = &path.delta else { continue };
                let joined = (path.rows_of(&x, start, first)? + delta)?;
                x = with_rows(&x, &path.places(start, first), &joined)?;
            }
        }
        Ok(x)
    }
}
