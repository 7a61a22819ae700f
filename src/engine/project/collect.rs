//! Runs samples and keeps their states.

use std::collections::HashSet;
use std::path::Path;

use super::super::evaluate::{Answering, predicted};
use super::scalars::Scalars;
use super::store::{KeptToken, Sampled, States, StatesPlan, Writer};
use crate::data::record::Record;
use crate::error::Result;
use crate::progress::{Observer, Phase, Progress};
use crate::trace::{HiddenStates, Trace};
use crate::units::{HeadIdx, LayerIdx, Role};

/// Runs those records whose states are not in the folder yet, `batch` at a time.
///
/// # Errors
/// A folder of another plan, an image that cannot be read, a full disk, a stop.
pub fn collect(
    folder: &Path,
    plan: &StatesPlan,
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
        let traces =
            answering(&samples.iter().collect::<Vec<_>>()).map_err(|e| e.named(|i| &records[i].id))?;
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
        KeptToken { token: *token as u32, role, index: index as u32 }
    };
    Sampled {
        id: prediction.id,
        task: prediction.task,
        target: prediction.target,
        answer: prediction.answer,
        correct: prediction.correct,
        layers: states.layers.clone(),
        tokens: states.tokens.iter().map(kept).collect(),
        looks: states.layers.iter().map(|layer| looks(trace, *layer)).collect(),
        scalars: Scalars::new(trace, states),
        grids: trace.grids.clone(),
        image_spans: trace.image_spans.clone(),
        patch_size: trace.patch_size,
        merge_size: trace.merge_size,
        width: states.values.shape().last().copied().unwrap_or(0),
    }
}

/// The visual token that each latent looks at most in the layer that makes a place of the residual stream.
fn looks(trace: &Trace, layer: usize) -> Vec<u32> {
    let (num_layers, num_heads) = trace.attention_dims();
    let Some(layer) = layer.checked_sub(1).filter(|layer| *layer < num_layers) else { return Vec::new() };
    let visual: Vec<usize> = trace.image_spans.iter().flat_map(|span| span.range()).collect();
    let most = |latent: usize| {
        let mut sums = vec![0f32; visual.len()];
        for head in 0..num_heads {
            let row = trace.latent_row(LayerIdx(layer), HeadIdx(head), latent)?;
            sums.iter_mut().zip(&visual).for_each(|(sum, token)| *sum += row[*token]);
        }
        let most = (0..sums.len()).max_by(|a, b| sums[*a].total_cmp(&sums[*b]).then(b.cmp(a)))?;
        Some(most as u32)
    };
    (0..trace.num_latents()).map_while(most).collect()
}
