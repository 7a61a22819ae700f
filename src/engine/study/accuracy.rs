//! How many samples of a data set a model answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::analysis::mass::latent_mass;
use crate::analysis::statistics::wilson;
use crate::data::record::Record;
use crate::data::score::{chance, is_correct, prediction};
use crate::trace::Trace;

/// What came of one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Of the record.
    pub id: String,
    /// Of the record.
    pub task: String,
    /// Of the record.
    pub target: String,
    /// What the answer says: a letter, a number or a text.
    pub pred: String,
    /// The answer as it was generated.
    pub answer: String,
    /// Does it say what the target says?
    pub correct: bool,
    /// Log-probability of each choice, where choices were scored.
    #[serde(deserialize_with = "numbers_or_none")]
    pub choice_logprobs: Vec<f32>,
    /// Chance of guessing right.
    pub chance: Option<f64>,
    /// Attention to all latents together from where the answer is said, mean over its tokens, layers and heads; where rows
    /// were kept and there are latents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent_mass: Option<f64>,
    /// The photograph or scene it was made of: samples that share one are not independent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How often each edit of the condition changed something, as it counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<usize>,
}

/// JSON has no infinity: nothing stands for the logarithm of nothing.
fn numbers_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    let all: Vec<Option<f32>> = Vec::deserialize(deserializer)?;
    Ok(all.into_iter().map(|value| value.unwrap_or(f32::NEG_INFINITY)).collect())
}

/// A share with how sure it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// How many were asked.
    pub samples: usize,
    /// Share answered correctly.
    pub accuracy: f64,
    /// 95 %, by Wilson.
    pub interval: [f64; 2],
    /// What guessing would get; `None` where some answers are free.
    pub chance: Option<f64>,
}

impl Accuracy {
    /// Over these predictions.
    pub fn of<'a>(predictions: impl IntoIterator<Item = &'a Prediction>) -> Self {
        let (mut samples, mut correct, mut chance) = (0, 0, Some(0.0));
        for prediction in predictions {
            samples += 1;
            correct += usize::from(prediction.correct);
            chance = chance.zip(prediction.chance).map(|(sum, own)| sum + own);
        }
        let share = |sum: f64| if samples == 0 { 0.0 } else { sum / samples as f64 };
        Self {
            samples,
            accuracy: share(correct as f64),
            interval: wilson(correct, samples),
            chance: chance.map(share),
        }
    }

    /// Of each task.
    pub fn by_task(predictions: &[Prediction]) -> BTreeMap<String, Self> {
        let mut tasks: BTreeMap<String, Vec<&Prediction>> = BTreeMap::new();
        for prediction in predictions {
            tasks.entry(prediction.task.clone()).or_default().push(prediction);
        }
        tasks.into_iter().map(|(task, own)| (task, Self::of(own))).collect()
    }
}

/// What a trace says of its record.
pub fn predicted(record: &Record, trace: &Trace) -> Prediction {
    Prediction {
        id: record.id.clone(),
        task: record.task.clone(),
        target: record.target.clone(),
        pred: prediction(record, &trace.answer),
        answer: trace.answer.clone(),
        correct: is_correct(record, &trace.answer),
        choice_logprobs: trace.choices.iter().map(|choice| choice.logprob).collect(),
        chance: chance(record),
        latent_mass: latent_mass(trace),
        source: record.source.clone(),
        changed: trace.interventions.iter().map(|own| own.changed).collect(),
    }
}

/// What a model said to a record, and how sure it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnsweredRecord {
    /// What it said.
    pub prediction: Prediction,
    /// As [`Trace::certainty`].
    pub certainty: Option<f32>,
}

impl AnsweredRecord {
    /// Of its run.
    pub fn of(record: &Record, trace: &Trace) -> Self {
        Self { prediction: predicted(record, trace), certainty: trace.certainty() }
    }
}
