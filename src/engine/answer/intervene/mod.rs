//! The edits of a condition, on one run: before its tower and after it, in the pass over its prompt, at every step of its
//! answer, on every choice.

mod donors;
mod exchange;
mod images;
mod replace;
mod sequence;
mod statements;

use candle_core::Tensor;

use self::exchange::Exchange;
use self::images::ImageEdit;
use self::replace::{Replacement, StateSite};
pub use self::sequence::EditedSequence;
use crate::array::Array;
use crate::ask::looks::{Edges, Looks};
use crate::error::Result;
use crate::input::image_processor::ImageProcessor;
use crate::input::model_input::ModelInput;
use crate::model::changes::{Readers, Rewiring, count_changed, with_rows};
use crate::model::tap::{PassInfo, Site, Tap};
use crate::model::to_host;
use crate::model::vision::VisualFeatures;
use crate::trace::Intervened;
use crate::units::{LayerIdx, Span};

/// What a condition changes in a run.
pub struct Intervention {
    edges: Edges,
    pixels: Vec<ImageEdit>,
    features: Vec<ImageEdit>,
    replacements: Vec<Replacement>,
    heads: Vec<HeadFactor>,
    exchanges: Vec<Exchange>,
    rewiring: Rewiring,
    /// Statement of each path.
    paths: Vec<usize>,
    /// N: what is behind it is counted by nobody.
    num_tokens: usize,
    /// What each statement changed, in their order.
    pub done: Vec<Intervened>,
}

/// Outputs of heads times a factor.
struct HeadFactor {
    statement: usize,
    heads: Vec<(usize, usize)>,
    factor: f64,
    tokens: Readers,
}

impl Intervention {
    /// Changes what the tower reads.
    pub fn edit_pixels(&mut self, input: &mut ModelInput, images: &ImageProcessor) {
        for edit in &self.pixels {
            self.done[edit.statement].changed += edit.pixels(input, images);
        }
    }

    /// Changes what the tower gave.
    ///
    /// # Errors
    /// A device without room.
    pub fn edit_features(&mut self, features: &mut VisualFeatures, spans: &[Span]) -> Result<()> {
        for edit in &self.features {
            self.done[edit.statement].changed += edit.features(features, spans)?;
        }
        Ok(())
    }

    /// What each statement changed, paths with what their starts said.
    pub fn into_done(mut self) -> Vec<Intervened> {
        for (path, statement) in self.rewiring.paths.iter().zip(&self.paths) {
            self.done[*statement].changed = path.changed;
        }
        self.done
    }

    /// Replaces vectors of this pass at a site.
    fn replaced(&mut self, pass: &PassInfo<'_>, at: StateSite, x: &Tensor) -> Result<Option<Tensor>> {
        // States are of the prompt, which is read in one pass.
        if pass.first_token > 0 {
            return Ok(None);
        }
        let mut changed: Option<Tensor> = None;
        for own in &self.replacements {
            let Some(site) = own.sites.iter().position(|site| *site == at) else { continue };
            let x = changed.as_ref().unwrap_or(x);
            let places: Vec<u32> = own.tokens.iter().map(|token| *token as u32).collect();
            let z = to_host(&x.contiguous()?.index_select(&Tensor::new(places, x.device())?, 0)?)?;
            let replaced = own.at(site, z.data())?;
            let done = &mut self.done[own.statement];
            done.changed += replaced.changed;
            done.has_moved(replaced.moved);
            let rows = Tensor::from_vec(replaced.rows, z.shape(), x.device())?;
            changed = Some(with_rows(x, &own.tokens, &rows)?);
        }
        Ok(changed)
    }
}

impl Tap for Intervention {
    fn on_hidden(&mut self, pass: &PassInfo<'_>, site: Site, hidden: &Tensor) -> Result<Option<Tensor>> {
        let at = match site {
            Site::Embedding => StateSite::Embedding,
            Site::AfterLayer(layer) => StateSite::After(layer.0),
            Site::FinalNorm => StateSite::Norm,
        };
        self.replaced(pass, at, hidden)
    }

    fn reads_inputs(&self) -> bool {
        let is_into = |site: &StateSite| matches!(site, StateSite::Into(_));
        self.replacements.iter().any(|own| own.sites.iter().any(is_into))
    }

    fn on_input(&mut self, pass: &PassInfo<'_>, layer: LayerIdx, input: &Tensor) -> Result<Option<Tensor>> {
        self.replaced(pass, StateSite::Into(layer.0), input)
    }

    fn edit_mask(&mut self, _pass: &PassInfo<'_>, layer: LayerIdx, looks: &mut Looks) {
        self.edges.apply(looks, layer.0);
    }

    fn on_keys(
        &mut self,
        pass: &PassInfo<'_>,
        layer: LayerIdx,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<()> {
        if pass.first_token > 0 {
            return Ok(());
        }
        for own in &self.exchanges {
            let found = self.rewiring.layers[layer.0].found.get_mut(own.place_in(layer.0));
            if let Some(found) = found.filter(|_| own.acts_in(layer.0)) {
                if own.sham {
                    Exchange::find_own(found, keys, values)?;
                }
                let (changed, moved) = Exchange::counted(found, keys, values)?;
                let done = &mut self.done[own.statement];
                done.changed += changed;
                done.has_moved(moved);
            }
        }
        Ok(())
    }

    fn on_heads(&mut self, pass: &PassInfo<'_>, layer: LayerIdx, mixed: &Tensor) -> Result<Option<Tensor>> {
        let mut changed: Option<Tensor> = None;
        for own in &self.heads {
            let heads = own.heads.iter().filter(|(at, _)| *at == layer.0).map(|(_, head)| *head);
            let heads: Vec<usize> = heads.collect();
            let tokens: Vec<usize> = pass.tokens().filter(|token| own.tokens.contains(*token)).collect();
            if heads.is_empty() || tokens.is_empty() {
                continue;
            }
            let x = changed.as_ref().unwrap_or(mixed);
            let places: Vec<usize> = tokens.iter().map(|token| token - pass.first_token).collect();
            let index: Vec<u32> = places.iter().map(|place| *place as u32).collect();
            let rows = x.contiguous()?.index_select(&Tensor::new(index, x.device())?, 0)?;
            let factors: Vec<f32> = (0..pass.num_heads)
                .map(|head| if heads.contains(&head) { own.factor as f32 } else { 1.0 })
                .collect();
            let factors =
                Tensor::from_vec(factors, (1, pass.num_heads, 1), x.device())?.to_dtype(x.dtype())?;
            let scaled = rows.broadcast_mul(&factors)?;
            // Those behind the prompt are not counted.
            let of_prompt = tokens.iter().filter(|token| **token < self.num_tokens).count();
            for head in heads {
                let of = |x: &Tensor| to_host(&x.narrow(1, head, 1)?.narrow(0, 0, of_prompt)?.squeeze(1)?);
                if of_prompt > 0 {
                    let (before, after) = (of(&rows)?, of(&scaled)?);
                    let done = &mut self.done[own.statement];
                    done.changed += count_changed(&before, &after);
                    done.has_moved(moved(&before, &after));
                }
            }
            changed = Some(with_rows(x, &places, &scaled)?);
        }
        Ok(changed)
    }

    fn rewiring(&mut self) -> Option<&mut Rewiring> {
        let is_needed = !self.rewiring.paths.is_empty() || !self.exchanges.is_empty();
        is_needed.then_some(&mut self.rewiring)
    }
}

/// Sum of the lengths of the changes of rows.
fn moved(before: &Array, after: &Array) -> f64 {
    let of = |(a, b): (&[f32], &[f32])| {
        a.iter().zip(b).map(|(a, b)| (f64::from(*b) - f64::from(*a)).powi(2)).sum::<f64>().sqrt()
    };
    before.rows().zip(after.rows()).map(of).sum()
}
