//! Whole sequences side by side, as one pass reads them.

use candle_core::Tensor;

use super::Model;
use super::compute::Compute;
use super::text::{Pass, Sequence};
use super::vision::VisualFeatures;
use crate::error::Result;
use crate::progress::Phase;
use crate::units::Span;

/// A sequence to be read from its start.
#[derive(Debug, Clone, Copy)]
pub struct UnpackedPrompt<'a> {
    /// [N].
    pub ids: &'a [u32],
    /// [N]: temporal, height and width.
    pub positions: &'a [[i64; 3]],
    /// Where each image's tokens are.
    pub image_spans: &'a [Span],
}

/// T tokens of sequences one after the other, image features in place.
pub struct PackedPrompts {
    embeddings: Tensor,
    positions: Vec<[i64; 3]>,
    /// Positions of visual tokens among the T.
    places: Tensor,
    /// Per early layer what is added there, [n, D].
    deepstack: Vec<Tensor>,
}

impl PackedPrompts {
    /// Sequences, with the features of all their images in order.
    ///
    /// # Errors
    /// A device without room.
    pub fn new<'a>(
        model: &Model,
        sequences: impl IntoIterator<Item = UnpackedPrompt<'a>>,
        features: Option<&VisualFeatures>,
    ) -> Result<Self> {
        let (mut ids, mut positions, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        for sequence in sequences {
            let start = ids.len();
            let shifted = |span: &Span| Span { start: start + span.start, end: start + span.end };
            spans.extend(sequence.image_spans.iter().map(shifted));
            ids.extend_from_slice(sequence.ids);
            positions.extend_from_slice(sequence.positions);
        }
        let deepstack = features.map_or_else(Vec::new, |features| features.deepstack.clone());
        let places: Vec<u32> = spans.iter().flat_map(|span| span.range()).map(|place| place as u32).collect();
        // Without features there are no places: a GPU has no tensor of nothing.
        let places = Tensor::new(if deepstack.is_empty() { vec![0] } else { places }, model.device())?;
        Ok(Self { embeddings: model.embed(&ids, &spans, features)?, positions, places, deepstack })
    }

    /// The pass over them.
    pub fn pass<'s, 'a: 's>(
        &'a self,
        sequences: Vec<Sequence<'s>>,
        phase: Option<Phase>,
        compute: &Compute<'a>,
    ) -> Pass<'a, 's> {
        Pass {
            embeddings: self.embeddings.clone(),
            positions: &self.positions,
            sequences,
            deepstack: (!self.deepstack.is_empty()).then_some((&self.places, self.deepstack.as_slice())),
            phase,
            compute: *compute,
        }
    }
}
