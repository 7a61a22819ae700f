//! The loss: negative log-likelihood of the answers' tokens, of several examples in one pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;

use super::examples::{Example, Seen};
use super::grounded::Groups;
use super::grounded_losses::{pair_loss, scaled, tower_loss, word_losses};
use super::recipe::{GroundingOptions, Stage};
use crate::array::Array;
use crate::ask::MaskRule;
use crate::error::Result;
use crate::model::Model;
use crate::model::compute::Compute;
use crate::model::pack::{PackedPrompts, UnpackedPrompt};
use crate::model::tap::Site;
use crate::model::text::Sequence;
use crate::model::vision::VisualFeatures;
use crate::units::LayerIdx;

/// -log p of every token of every answer, [M], one example after the other. Examples of any lengths go through
/// together, attention within each: nothing is padded.
///
/// # Errors
/// A token that has no row, a device without room, a stop.
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
///
/// # Errors
/// A token that has no row, a device without room, a stop.
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
    let said: Vec<Said> = (0..groups.model().len())
        .filter(|_| weights.model > 0.0)
        .map(|number| Said::of(examples, number as u32))
        .collect();
    let answers = if weights.answers > 0.0 { Answers::of(examples) } else { Answers::default() };
    if answers.places.is_empty() && said.iter().all(|said| said.places.is_empty()) {
        return Ok(parts);
    }
    let rule = stage.mask.rule();
    let layers: Vec<Option<usize>> = groups.model().iter().map(|group| group.layer).collect();
    let (last, inner) = states(model, examples, rule, features.as_ref(), &layers, compute)?;
    let at = |states: &Tensor, places: &[u32]| -> Result<Tensor> {
        Ok(states.index_select(&Tensor::new(places, model.device())?, 0)?)
    };
    if !answers.places.is_empty() {
        parts.answers = Some(model.text.losses(&at(&last, &answers.places)?, &answers.targets, compute)?);
    }
    for ((group, inner), Said { places, words, shares }) in groups.model().iter().zip(inner).zip(said) {
        if places.is_empty() {
            continue;
        }
        let losses = word_losses(group, model, &at(&inner, &places)?, words)?;
        let total: f32 = shares.iter().sum();
        let shares = Tensor::new(shares, model.device())?;
        let sum = (losses * shares)?.sum_all()?;
        parts.model.push((group.name.clone(), (sum / f64::from(total))?));
    }
    Ok(parts)
}

/// Where the tokens of answers are predicted in a packed pass, and what they are.
#[derive(Default)]
struct Answers {
    places: Vec<u32>,
    targets: Vec<u32>,
}

impl Answers {
    fn of(examples: &[Arc<Example>]) -> Self {
        let (mut answers, mut start) = (Self::default(), 0);
        for example in examples {
            let end = start + example.ids.len();
            answers.places.extend((end - example.targets.len()..end).map(|token| token as u32));
            answers.targets.extend_from_slice(&example.targets);
            start = end;
        }
        answers
    }
}

/// Where the words of a group are said in a packed pass, and which they are.
#[derive(Default)]
struct Said {
    places: Vec<u32>,
    words: Vec<u32>,
    /// What each counts, so that those of an example count 1 together.
    shares: Vec<f32>,
}

impl Said {
    fn of(examples: &[Arc<Example>], number: u32) -> Self {
        let (mut said, mut start) = (Self::default(), 0);
        for example in examples {
            let of_it = example.grounded.model.iter().filter(|[_, group, _]| *group == number);
            let count = of_it.clone().count();
            for [place, _, word] in of_it {
                said.places.push(start + place);
                said.words.push(*word);
                said.shares.push(1.0 / count as f32);
            }
            start += example.ids.len() as u32;
        }
        said
    }
}

/// Hidden states after the final norm that predict the answers' tokens, [M, D], and those tokens.
///
/// # Errors
/// A token that has no row, a device without room, a stop.
pub fn hidden(
    model: &Model,
    examples: &[Arc<Example>],
    rule: MaskRule,
    compute: &Compute<'_>,
) -> Result<(Tensor, Vec<u32>)> {
    let Answers { places, targets } = Answers::of(examples);
    let features = features(model, examples, compute)?;
    let (last, _) = states(model, examples, rule, features.as_ref(), &[], compute)?;
    Ok((last.index_select(&Tensor::new(places, model.device())?, 0)?, targets))
}

/// All hidden states of the packed pass, [T, D]: after the final norm; and after each of `layers`, to a mean square of
/// one, where a layer of `None` is the final norm too.
fn states(
    model: &Model,
    examples: &[Arc<Example>],
    rule: MaskRule,
    features: Option<&VisualFeatures>,
    layers: &[Option<usize>],
    compute: &Compute<'_>,
) -> Result<(Tensor, Vec<Tensor>)> {
    let unpacked = examples.iter().map(|example| UnpackedPrompt {
        ids: &example.ids,
        positions: &example.positions,
        image_spans: &example.image_spans,
    });
    let packed = PackedPrompts::new(model, unpacked, features)?;
    let sequences = examples.iter().map(|example| Sequence {
        roles: &example.roles,
        rule,
        cache: None,
        taps: Vec::new(),
    });
    let pass = packed.pass(sequences.collect(), None, compute);
    let mut inner: BTreeMap<usize, Tensor> = BTreeMap::new();
    let last = model.text.watched(pass, &mut |site, states| {
        if let Site::AfterLayer(LayerIdx(layer)) = site
            && layers.contains(&Some(layer))
        {
            inner.insert(layer, states.clone());
        }
    })?;
    let of_layer = |layer: &Option<usize>| match layer {
        Some(layer) => scaled(&inner[layer]),
        None => Ok(last.clone()),
    };
    let inner = layers.iter().map(of_layer).collect::<Result<_>>()?;
    Ok((last, inner))
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
    VisualFeatures::together(&kept)
}
