//! Mean states of the latents over a data set: what a statement puts in their place by `mean`.

use super::super::ids::ModelId;
use super::super::models::Models;
use super::cell::Sink;
use super::design::{NamedCondition, NamedModel, Study};
use super::run::{CellOf, Cells};
use crate::array::Array;
use crate::ask::{Condition, Decoding, Keep, TokenGroup};
use crate::data::record::Record;
use crate::error::{Error, Result};
use crate::progress::{Observer, Phase};
use crate::trace::{Recording, Trace};
use crate::units::Role;

/// Samples that go through the model together.
const BATCH: usize = 4;

/// Sums of recordings, in f64.
#[derive(Default)]
struct Sums {
    count: usize,
    /// Embedding, norm, after, into: shape and sums.
    states: Vec<(Vec<usize>, Vec<f64>)>,
}

impl Sums {
    fn add(&mut self, own: &Recording) -> Result<()> {
        let arrays = [&own.embedding, &own.norm, &own.after, &own.into];
        if self.states.is_empty() {
            let zeros = |array: &&Array| (array.shape().to_vec(), vec![0.0; array.data().len()]);
            self.states = arrays.iter().map(zeros).collect();
        }
        for ((shape, sums), array) in self.states.iter_mut().zip(arrays) {
            if shape != array.shape() {
                return Err(Error::Request(
                    "means: expected samples of as many latents, found others".to_owned(),
                ));
            }
            sums.iter_mut().zip(array.data()).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        self.count += 1;
        Ok(())
    }

    fn means(self) -> Option<Recording> {
        let count = self.count as f64;
        let mean = |(shape, sums): (Vec<usize>, Vec<f64>)| {
            Array::new(shape, sums.into_iter().map(|sum| (sum / count) as f32).collect())
        };
        let [embedding, norm, after, into] =
            <[Array; 4]>::try_from(self.states.into_iter().map(mean).collect::<Vec<_>>()).ok()?;
        let latents = embedding.shape()[0];
        Some(Recording {
            positions: vec![[0; 3]; latents],
            roles: vec![Role::Latent; latents],
            image: vec![-1; latents],
            latent: (0..latents as i64).collect(),
            tokens: (0..latents).collect(),
            embedding,
            norm,
            after,
            into,
            ..Recording::default()
        })
    }
}

impl Sink for Sums {
    fn has(&self, _id: &str) -> bool {
        false
    }

    fn take(&mut self, _record: &Record, trace: Trace) -> Result<()> {
        trace.recording.as_ref().map_or(Ok(()), |own| self.add(own))
    }
}

/// The sums of the study's only cell.
struct OfCell(Option<Sums>);

impl Cells for OfCell {
    type Kept = Sums;

    const HANGS_ON_FILES: bool = false;

    fn begin(&mut self, _cell: &CellOf<'_>) -> Result<Option<Sums>> {
        Ok(Some(Sums::default()))
    }

    fn end(&mut self, _cell: &CellOf<'_>, kept: Sums) -> Result<()> {
        self.0 = Some(kept);
        Ok(())
    }
}

/// Means of the latents' states over records under a condition, per latent and site. -> as a recording without keys, and over
/// how many samples.
///
/// # Errors
/// A model without latents, an image that cannot be read, a stop.
pub fn means(
    model: ModelId,
    condition: &Condition,
    records: Vec<Record>,
    models: &mut Models,
    observer: &dyn Observer,
) -> Result<(Recording, usize)> {
    // Nothing of the answer is wanted.
    let decoding = Decoding { max_new_tokens: 1, ..condition.decoding };
    let condition = Condition { decoding, ..condition.clone() };
    let study = Study {
        models: vec![NamedModel { name: "model".to_owned(), id: model }],
        conditions: vec![NamedCondition::of(condition, &Condition::of_studies())],
        records,
        limit: None,
        keep: Keep { recording: Some(TokenGroup::Latents.into()), ..Keep::default() },
        batch: BATCH,
        share: None,
        phase: Phase::States,
    };
    let mut cell = OfCell(None);
    study.run(models, &mut cell, observer)?;
    let sums = cell.0.unwrap_or_default();
    let count = sums.count;
    let nothing = || Error::Request("means: expected samples, found none".to_owned());
    Ok((sums.means().ok_or_else(nothing)?, count))
}
