//! Statements about images: what the tower reads, and what it gives.

use candle_core::Tensor;

use crate::ask::EditValue;
use crate::error::{Error, Result};
use crate::input::image_processor::ImageProcessor;
use crate::input::model_input::ModelInput;
use crate::model::changes::{is_changed, with_rows};
use crate::model::to_host;
use crate::model::vision::VisualFeatures;
use crate::units::Span;

/// A statement about visual tokens.
pub struct ImageEdit {
    /// Its place among the edits.
    pub statement: usize,
    /// Visual tokens by number among all of the sample's, in the order named.
    pub visual: Vec<usize>,
    /// What becomes of them.
    pub value: EditValue,
}

/// How many of those named are others.
pub type ChangedCount = usize;

impl ImageEdit {
    /// Pixels of their patches, after resizing and normalising.
    pub fn pixels(&self, input: &mut ModelInput, images: &ImageProcessor) -> ChangedCount {
        let EditValue::Fill { rgb } = &self.value else { return 0 };
        let colour = images.normalised(*rgb);
        let (each, width) = (input.merge_size.pow(2), input.pixel_values.shape()[1]);
        let filled: Vec<f32> = (0..width).map(|i| colour[i * 3 / width]).collect();
        let mut changed = 0;
        let values = input.pixel_values.data_mut();
        for visual in &self.visual {
            let rows = &mut values[visual * each * width..][..each * width];
            let new = filled.repeat(each);
            changed += usize::from(is_changed(rows, &new));
            rows.copy_from_slice(&new);
        }
        changed
    }

    /// What the tower gives for them, every level of it.
    ///
    /// # Errors
    /// A device without room.
    pub fn features(&self, features: &mut VisualFeatures, spans: &[Span]) -> Result<ChangedCount> {
        let mut changed = vec![false; self.visual.len()];
        let levels = std::iter::once(&mut features.tokens).chain(&mut features.deepstack);
        for level in levels {
            *level = self.level(level, spans, &mut changed)?;
        }
        Ok(changed.into_iter().filter(|changed| *changed).count())
    }

    fn level(&self, level: &Tensor, spans: &[Span], changed: &mut [bool]) -> Result<Tensor> {
        let before = to_host(level)?;
        let width = before.shape()[1];
        let mut rows = Vec::with_capacity(self.visual.len() * width);
        for (i, visual) in self.visual.iter().enumerate() {
            let own = before.at(&[*visual]);
            let new = match self.value {
                EditValue::Zero => vec![0.0; width],
                EditValue::ImageMean => {
                    let (first, count) = image_of(*visual, spans);
                    let sum = |axis: usize| {
                        (first..first + count).map(|i| f64::from(before.at(&[i])[axis])).sum::<f64>()
                    };
                    (0..width).map(|axis| (sum(axis) / count as f64) as f32).collect()
                }
                _ => own.to_vec(),
            };
            changed[i] |= is_changed(own, &new);
            rows.extend(new);
        }
        let rows = Tensor::from_vec(rows, (self.visual.len(), width), level.device())?;
        with_rows(level, &self.visual, &rows)
    }

    /// Can it be done there?
    ///
    /// # Errors
    /// Another value.
    pub fn check(&self, pixels: bool) -> Result<()> {
        let fits = match self.value {
            EditValue::Itself => true,
            EditValue::Fill { .. } => pixels,
            EditValue::ImageMean | EditValue::Zero => !pixels,
            _ => false,
        };
        let expected = if pixels { "fill or self at pixels" } else { "image-mean, zero or self at features" };
        if fits { Ok(()) } else { Err(Error::Request(format!("expected {expected}, found another value"))) }
    }
}

/// The first visual token of the image that one is of, and how many it has.
fn image_of(visual: usize, spans: &[Span]) -> (usize, usize) {
    let mut first = 0;
    for span in spans {
        if visual < first + span.len() {
            return (first, span.len());
        }
        first += span.len();
    }
    (first, 1)
}
