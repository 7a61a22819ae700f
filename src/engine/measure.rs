//! How far a precision is from single precision on this checkpoint: the scores after a prompt about a picture.

use serde::Serialize;

use super::demo;
use super::ids::{BaseId, ModelId, Request};
use super::models::Models;
use super::sampler::{argmax, log_softmax};
use crate::data::sample::Sample;
use crate::error::Result;
use crate::progress::Observer;
use crate::settings::{Capture, Decoding, DtypeChoice, LogitRows, PixelBudget, Settings};

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
pub fn deviations(
    model: &ModelId,
    dtypes: &[DtypeChoice],
    observer: &dyn Observer,
) -> Result<Vec<Deviation>> {
    let sample = Sample { choices: Vec::new(), ..demo::gallery()[0].sample()? };
    let capture = Capture { logits: LogitRows::Answer, ..Capture::default() };
    // The picture at one size, whatever the precision would read it at.
    let settings = Settings {
        max_pixels: PixelBudget::Pixels(448 * 448),
        decoding: Decoding { max_new_tokens: 1, ..Decoding::default() },
        capture,
        ..Settings::default()
    };
    let mut models = Models::default();
    let mut scores = |dtype: DtypeChoice| -> Result<Vec<f32>> {
        let base = BaseId { dtype, ..model.base.clone() };
        let model = ModelId { base: base.clone(), adapter: model.adapter.clone() };
        models.open(&model, observer)?;
        let request = Request { model, sample: sample.clone(), settings: settings.clone() };
        let trace = models.run(&request, observer)?;
        models.close(&base);
        Ok(trace.logits.map_or_else(Vec::new, |logits| logits.data().to_vec()))
    };
    let exact = scores(DtypeChoice::F32)?;
    let each = dtypes.iter().map(|dtype| Ok(deviation(*dtype, &scores(*dtype)?, &exact)));
    each.collect()
}

fn deviation(dtype: DtypeChoice, ours: &[f32], exact: &[f32]) -> Deviation {
    let finite = || ours.iter().zip(exact).filter(|(a, b)| a.is_finite() && b.is_finite());
    let most = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, |most, v| most.max(v.abs()));
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>();
    let (ours_log, exact_log) = (log_softmax(ours), log_softmax(exact));
    let divergence = exact_log.iter().zip(&ours_log).filter(|(p, q)| p.is_finite() && q.is_finite());
    Deviation {
        dtype: format!("{dtype:?}").to_lowercase(),
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
