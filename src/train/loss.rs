//! The loss: negative log-likelihood of the answers' tokens, of several examples in one pass.

use std::sync::Arc;

use candle_core::Tensor;

use super::examples::{Example, Seen};
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

/// Hidden states after the final norm that predict the answers' tokens, [M, D], and those tokens.
pub fn hidden(
    model: &Model,
    examples: &[Arc<Example>],
    rule: MaskRule,
    compute: &Compute<'_>,
) -> Result<(Tensor, Vec<u32>)> {
    let (mut ids, mut positions, mut spans) = (Vec::new(), Vec::new(), Vec::new());
    let (mut asked, mut targets) = (Vec::new(), Vec::new());
    for example in examples {
        let start = ids.len();
        let shifted = |span: &Span| Span { start: start + span.start, end: start + span.end };
        spans.extend(example.image_spans.iter().map(shifted));
        ids.extend_from_slice(&example.ids);
        positions.extend_from_slice(&example.positions);
        asked.extend((ids.len() - example.targets.len()..ids.len()).map(|token| token as u32));
        targets.extend_from_slice(&example.targets);
    }
    let features = features(model, examples, compute)?;
    let places: Vec<u32> = spans.iter().flat_map(|span| span.range()).map(|place| place as u32).collect();
    let deepstack = features.as_ref().map_or(&[][..], |features| &features.deepstack);
    // Without features there are no places: a GPU has no tensor of nothing.
    let places = Tensor::new(if deepstack.is_empty() { vec![0] } else { places }, model.device())?;
    let pass = Pass {
        embeddings: model.embed(&ids, &spans, features.as_ref())?,
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
    let asked = hidden.index_select(&Tensor::new(asked, model.device())?, 0)?;
    Ok((asked, targets))
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
