//! Runs samples and keeps their states.

use std::collections::HashSet;
use std::path::Path;

use super::super::evaluate::{Answering, predicted};
use super::store::{Kept, Plan, Sampled, States, Writer};
use crate::data::record::Record;
use crate::error::Result;
use crate::progress::{Observer, Phase, Progress};
use crate::trace::{HiddenStates, Trace};
use crate::units::Role;

/// Runs those records whose states are not in the folder yet, `batch` at a time.
///
/// # Errors
/// A folder of another plan, an image that cannot be read, a full disk, a stop.
pub fn collect(
    folder: &Path,
    plan: &Plan,
    records: &[Record],
    batch: usize,
    answering: &mut Answering<'_>,
    observer: &dyn Observer,
) -> Result<States> {
    let mut writer = Writer::open(folder, plan)?;
    let there = writer.ids();
    let left: Vec<&Record> = records.iter().filter(|record| !there.contains(&record.id)).collect();
    if !there.is_empty() && !left.is_empty() {
        observer.note(&format!("going on after {} samples ({})", there.len(), folder.display()));
    }
    let total = writer.count() + left.len();
    for records in left.chunks(batch.max(1)) {
        observer.progress(Progress { phase: Phase::States, done: writer.count(), total })?;
        let samples = records.iter().map(|record| record.sample()).collect::<Result<Vec<_>>>()?;
        let traces = answering(&samples.iter().collect::<Vec<_>>())?;
        for (record, trace) in records.iter().zip(traces) {
            let states = trace.hidden_states.as_ref().expect("asked for");
            writer.add(sampled(record, &trace, states), states.values.data())?;
        }
    }
    drop(writer);
    // More may have been kept before.
    let wanted: HashSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    Ok(States::open(folder)?.filtered(|sample| wanted.contains(sample.id.as_str())))
}

fn sampled(record: &Record, trace: &Trace, states: &HiddenStates) -> Sampled {
    let prediction = predicted(record, trace);
    let latents: Vec<usize> = trace.positions_of(Role::Latent).collect();
    let kept = |token: &usize| {
        let role = trace.roles[*token];
        let index = match role {
            Role::Latent => latents.partition_point(|latent| latent < token),
            Role::Image => {
                trace.image_spans.iter().map(|span| token.saturating_sub(span.start).min(span.len())).sum()
            }
            Role::Prompt | Role::Answer => *token,
        };
        Kept { token: *token as u32, role, index: index as u32 }
    };
    Sampled {
        id: prediction.id,
        task: prediction.task,
        target: prediction.target,
        answer: prediction.answer,
        correct: prediction.correct,
        layers: states.layers.clone(),
        tokens: states.tokens.iter().map(kept).collect(),
        grids: trace.grids.clone(),
        image_spans: trace.image_spans.clone(),
        patch_size: trace.patch_size,
        merge_size: trace.merge_size,
        width: states.values.shape().last().copied().unwrap_or(0),
    }
}
