//! The loss: negative log-likelihood of the answers' tokens, of several examples in one pass.

use std::sync::Arc;

use candle_core::Tensor;

use super::examples::{Example, Seen};
use super::grounded::{Groups, pair_loss, tower_loss};
use super::recipe::{GroundingOptions, Stage};
use crate::array::Array;
use crate::error::Result;
use crate::model::Model;
use crate::model::compute::Compute;
use crate::model::text::{Pass, Sequence};
use crate::model::vision::VisualFeatures;
use crate::settings::MaskRule;
use crate::units::Span;

/// -log p of every token of every answer, [M], one example after the other. Examples of any lengths go through
/// together, attention within each: nothing is padded.
pub fn losses(
    model: &Model,
    examples: &[Arc<Example>],
    rule: MaskRule,
    compute: &Compute<'_>,
) -> Result<Tensor> {
    let (hidden, targets) = hidden(model, examples, rule, compute)?;
    model.text.losses(&hidden, &targets, compute)
}

/// The parts of a loss, as far as they are asked for and the examples have what they need.
#[derive(Debug, Default)]
pub struct Parts {
    /// -log p of every token of every answer, [M].
    pub answers: Option<Tensor>,
    /// Mean -log p of the words that the language model says at visual tokens: a number for each group, to which each
    /// example that has words of it adds as much.
    pub model: Vec<(String, Tensor)>,
    /// Of the words that the tower's tokens say: a number for each group.
    pub tower: Vec<(String, Tensor)>,
    /// Of which of the tower's tokens show the same: one number.
    pub pairs: Option<Tensor>,
}

/// Those that have a weight.
pub fn parts(
    model: &Model,
    examples: &[Arc<Example>],
    stage: &Stage,
    (groups, options): (&Groups, &GroundingOptions),
    compute: &Compute<'_>,
) -> Result<Parts> {
    let weights = stage.weights;
    let features = features(model, examples, compute)?;
    let mut parts = Parts::default();
    let each = || examples.iter().map(|example| &**example);
    if let Some(features) = &features {
        if weights.tower > 0.0 {
            parts.tower = tower_loss(model, features, each(), groups, options.nothing)?;
        }
        if weights.pairs > 0.0 {
            parts.pairs = pair_loss(features, each(), options.sharpness)?;
        }
    }
    if weights.answers > 0.0 || weights.model > 0.0 {
        let mut asked = Asked::default();
        let mut start = 0;
        for example in examples {
            if weights.answers > 0.0 {
                asked.answer(example, start);
            }
            start += example.ids.len();
        }
        let answers = asked.targets.len();
        // With the places of each group's words, one group after the other.
        let mut counts = Vec::new();
        for number in (0..groups.model().len()).filter(|_| weights.model > 0.0) {
            counts.push(asked.words(examples, number as u32));
        }
        if !asked.targets.is_empty() {
            let hidden =
                hidden_at(model, examples, stage.mask.rule(), features.as_ref(), &asked.places, compute)?;
            if answers > 0 {
                let hidden = hidden.narrow(0, 0, answers)?;
                parts.answers = Some(model.text.losses(&hidden, &asked.targets[..answers], compute)?);
            }
            let mut start = answers;
            for (group, count) in groups.model().iter().zip(counts) {
                if count > 0 {
                    let words = asked.targets[start..start + count].to_vec();
                    let losses = group.losses(model, &hidden.narrow(0, start, count)?, words)?;
                    let shares = asked.shares[start - answers..start - answers + count].to_vec();
                    let total: f32 = shares.iter().sum();
                    let shares = Tensor::from_vec(shares, count, model.device())?;
                    let sum = (losses * shares)?.sum_all()?;
                    parts.model.push((group.name.clone(), (sum / f64::from(total))?));
                }
                start += count;
            }
        }
    }
    Ok(parts)
}

/// Places of a packed pass, and what is to be said there: tokens of answers, numbers of words of a group.
#[derive(Default)]
struct Asked {
    places: Vec<u32>,
    targets: Vec<u32>,
    /// Of words: what each counts, so that those of an example count 1 together.
    shares: Vec<f32>,
}

impl Asked {
    /// The answer of an example that begins at a place.
    fn answer(&mut self, example: &Example, start: usize) {
        let end = start + example.ids.len();
        self.places.extend((end - example.targets.len()..end).map(|token| token as u32));
        self.targets.extend_from_slice(&example.targets);
    }

    /// The words of a group that the language model says at the examples' visual tokens, and how many they are.
    fn words(&mut self, examples: &[Arc<Example>], number: u32) -> usize {
        let (mut start, before) = (0, self.targets.len());
        for example in examples {
            let of_it = example.grounded.model.iter().filter(|[_, group, _]| *group == number);
            let count = of_it.clone().count();
            for [place, _, word] in of_it {
                self.places.push(start + place);
                self.targets.push(*word);
                self.shares.push(1.0 / count as f32);
            }
            start += example.ids.len() as u32;
        }
        self.targets.len() - before
    }
}

/// Hidden states after the final norm that predict the answers' tokens, [M, D], and those tokens.
pub fn hidden(
    model: &Model,
    examples: &[Arc<Example>],
    rule: MaskRule,
    compute: &Compute<'_>,
) -> Result<(Tensor, Vec<u32>)> {
    let (mut asked, mut start) = (Asked::default(), 0);
    for example in examples {
        asked.answer(example, start);
        start += example.ids.len();
    }
    let features = features(model, examples, compute)?;
    let hidden = hidden_at(model, examples, rule, features.as_ref(), &asked.places, compute)?;
    Ok((hidden, asked.targets))
}

/// Hidden states after the final norm at some places of the packed pass, [M, D].
fn hidden_at(
    model: &Model,
    examples: &[Arc<Example>],
    rule: MaskRule,
    features: Option<&VisualFeatures>,
    asked: &[u32],
    compute: &Compute<'_>,
) -> Result<Tensor> {
    let (mut ids, mut positions, mut spans) = (Vec::new(), Vec::new(), Vec::new());
    for example in examples {
        let start = ids.len();
        let shifted = |span: &Span| Span { start: start + span.start, end: start + span.end };
        spans.extend(example.image_spans.iter().map(shifted));
        ids.extend_from_slice(&example.ids);
        positions.extend_from_slice(&example.positions);
    }
    let places: Vec<u32> = spans.iter().flat_map(|span| span.range()).map(|place| place as u32).collect();
    let deepstack = features.map_or(&[][..], |features| &features.deepstack);
    // Without features there are no places: a GPU has no tensor of nothing.
    let places = Tensor::new(if deepstack.is_empty() { vec![0] } else { places }, model.device())?;
    let pass = Pass {
        embeddings: model.embed(&ids, &spans, features)?,
        positions: &positions,
        sequences: examples
            .iter()
            .map(|example| Sequence { roles: &example.roles, rule, cache: None, taps: Vec::new() })
            .collect(),
        deepstack: (!deepstack.is_empty()).then_some((&places, deepstack)),
        phase: None,
        compute: *compute,
    };
    let hidden = model.text.forward(pass)?;
    Ok(hidden.index_select(&Tensor::new(asked, model.device())?, 0)?)
}

/// Features of all images of all examples: those that are kept, or those that a tower in training makes now.
fn features(
    model: &Model,
    examples: &[Arc<Example>],
    compute: &Compute<'_>,
) -> Result<Option<VisualFeatures>> {
    let (mut pixels, mut grids) = (Array::default(), Vec::new());
    let mut kept: Vec<&VisualFeatures> = Vec::new();
    for example in examples {
        match &example.seen {
            Seen::Nothing => {}
            Seen::Features(features) => kept.push(features),
            Seen::Pixels(patches) => {
                pixels.extend(patches.clone());
                grids.extend_from_slice(&example.grids);
            }
        }
    }
    if !grids.is_empty() {
        return model.encode_images(&pixels, &grids, compute).map(Some);
    }
    if kept.is_empty() {
        return Ok(None);
    }
    let all = |of: &dyn Fn(&VisualFeatures) -> Tensor| -> Result<Tensor> {
        let parts: Vec<Tensor> = kept.iter().map(|features| of(features)).collect();
        Ok(Tensor::cat(&parts, 0)?)
    };
    let layers = kept[0].deepstack.len();
    Ok(Some(VisualFeatures {
        tokens: all(&|features| features.tokens.clone())?,
        deepstack: (0..layers).map(|layer| all(&|f| f.deepstack[layer].clone())).collect::<Result<_>>()?,
    }))
}
