//! How far a precision is from single precision on this checkpoint: a study of one record by a model in several types.

use serde::Serialize;

use super::super::answer::sampler::{argmax, log_softmax};
use super::super::demo;
use super::super::ids::{BaseId, ModelId};
use super::super::models::Models;
use super::cell::Answers;
use super::design::{NamedCondition, NamedModel, Study};
use super::run::{CellOf, Cells};
use crate::ask::{Condition, Decoding, DtypeChoice, Keep, LogitRows, PixelBudget};
use crate::error::Result;
use crate::progress::{Observer, Phase};

/// Scores of one precision beside those of f32.
#[derive(Debug, Clone, Serialize)]
pub struct Deviation {
    /// As `--dtype` has it.
    pub dtype: String,
    /// Largest difference of a score, relative to the largest score.
    pub largest: f32,
    /// Root of the mean square difference, relative to that of the scores.
    pub mean: f32,
    /// Kullback-Leibler divergence of the next token's probabilities, nats.
    pub divergence: f32,
    /// Is the likeliest next token the same?
    pub same_token: bool,
}

/// The same prompt in each of `dtypes` and in f32; models are in memory one at a time.
///
/// # Errors
/// A model that cannot be read or does not fit, a stop.
pub fn deviations(
    model: &ModelId,
    dtypes: &[DtypeChoice],
    observer: &dyn Observer,
) -> Result<Vec<Deviation>> {
    let mut record = demo::gallery()[0].clone();
    record.choices.clear();
    // The picture at one size, whatever the precision would read it at.
    let condition = Condition {
        max_pixels: PixelBudget::Pixels(448 * 448),
        decoding: Decoding { max_new_tokens: 1, ..Decoding::default() },
        ..Condition::default()
    };
    let in_type = |dtype: &DtypeChoice| {
        let base = BaseId { dtype: *dtype, ..model.base.clone() };
        let id = ModelId { base, adapter: model.adapter.clone() };
        NamedModel { name: dtype.name().to_owned(), id }
    };
    let study = Study {
        models: std::iter::once(&DtypeChoice::F32).chain(dtypes).map(in_type).collect(),
        conditions: vec![NamedCondition { name: "normal".to_owned(), condition }],
        records: vec![record],
        limit: None,
        keep: Keep { logits: LogitRows::Answer, ..Keep::default() },
        batch: 1,
        share: None,
        phase: Phase::Evaluating,
    };
    let mut scores = Scores(Vec::new());
    study.run(&mut Models::default(), &mut scores, observer)?;
    let Some((exact, others)) = scores.0.split_first() else { return Ok(Vec::new()) };
    Ok(dtypes.iter().zip(others).map(|(dtype, own)| deviation(*dtype, own, exact)).collect())
}

/// The scores after the prompt by each model, [V].
struct Scores(Vec<Vec<f32>>);

impl Cells for Scores {
    type Kept = Answers<Vec<f32>>;

    const HANGS_ON_FILES: bool = false;

    fn begin(&mut self, _cell: &CellOf<'_>) -> Result<Option<Self::Kept>> {
        let scores = |_: &_, trace: &crate::trace::Trace| {
            trace.logits.as_ref().map_or_else(Vec::new, |own| own.data().to_vec())
        };
        Ok(Some(Answers::new(scores)))
    }

    fn end(&mut self, _cell: &CellOf<'_>, mut kept: Self::Kept) -> Result<()> {
        self.0.append(&mut kept.all);
        Ok(())
    }
}

fn deviation(dtype: DtypeChoice, ours: &[f32], exact: &[f32]) -> Deviation {
    let finite = || ours.iter().zip(exact).filter(|(a, b)| a.is_finite() && b.is_finite());
    let most = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, |most, v| most.max(v.abs()));
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>();
    let (ours_log, exact_log) = (log_softmax(ours), log_softmax(exact));
    let divergence = exact_log.iter().zip(&ours_log).filter(|(p, q)| p.is_finite() && q.is_finite());
    Deviation {
        dtype: dtype.name().to_owned(),
        largest: most(&mut finite().map(|(a, b)| a - b)) / most(&mut finite().map(|(_, b)| *b)),
        mean: (square(&mut finite().map(|(a, b)| a - b)) / square(&mut finite().map(|(_, b)| *b))).sqrt(),
        divergence: divergence.map(|(p, q)| p.exp() * (p - q)).sum::<f32>().max(0.0),
        same_token: argmax(ours) == argmax(exact),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_deviates_by_nothing() {
        let exact = [1.0, -2.0, 3.0, f32::NEG_INFINITY];
        let same = deviation(DtypeChoice::Q8, &exact, &exact);
        assert_eq!((same.largest, same.mean, same.divergence), (0.0, 0.0, 0.0));
        assert!(same.same_token && same.dtype == "q8");
        let other = deviation(DtypeChoice::Q4, &[3.5, -2.0, 3.0, f32::NEG_INFINITY], &exact);
        assert!((other.largest - 2.5 / 3.0).abs() < 1e-6 && !other.same_token && other.divergence > 0.1);
    }
}
