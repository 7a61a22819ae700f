//! A study of one cell whose runs leave their states in a folder.

use std::collections::HashSet;
use std::path::Path;

use super::super::models::Models;
use super::super::study::run::{CellOf, Cells};
use super::super::study::{Sink, Study, predicted};
use super::plan::{StatesPlan, is_of_states};
use super::scalars::Scalars;
use super::store::{KeptToken, Sampled, States, Writer};
use crate::ask::Keep;
use crate::atomic::Hold;
use crate::data::record::Record;
use crate::error::{Error, Result};
use crate::progress::Observer;
use crate::trace::{HiddenStates, Trace};
use crate::units::{HeadIdx, LayerIdx, Role};

/// What becomes of states of another plan in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They stay, and nothing is kept there.
    Stay,
    /// They go: the folder is this program's own.
    Go,
}

/// Runs those records of a study of one model and one condition whose states are not in the folder yet.
///
/// # Errors
/// A folder of another plan, an image that cannot be read, a full disk, a stop.
pub fn collect(
    study: &Study,
    folder: &Path,
    others: Others,
    models: &mut Models,
    observer: &dyn Observer,
) -> Result<States> {
    let mut kept =
        StatesFolder { folder, keep: &study.keep, others, observer, wanted: HashSet::new(), made: false };
    let outcome = study.run(models, &mut kept, observer);
    let (wanted, made) = (kept.wanted, kept.made);
    if let Err(problem) = outcome {
        if made && let Err(problem) = Writer::clear_empty(folder) {
            log::warn!("an empty folder of states stays: {problem}");
        }
        return Err(problem);
    }
    // More may have been kept before; of a small data set a share may have none.
    if wanted.is_empty() && study.share.is_none() {
        return Err(Error::Missing { what: "states of a sample".to_owned(), path: folder.to_owned() });
    }
    Ok(States::open(folder)?.filtered(|sample| wanted.contains(&sample.id)))
}

/// The folder of a study's only cell.
struct StatesFolder<'a> {
    folder: &'a Path,
    keep: &'a Keep,
    others: Others,
    observer: &'a dyn Observer,
    /// Ids of the records that are asked.
    wanted: HashSet<String>,
    /// Was the folder not there before?
    made: bool,
}

impl Cells for StatesFolder<'_> {
    type Kept = Writer;

    fn begin(&mut self, cell: &CellOf<'_>) -> Result<Option<Writer>> {
        self.wanted = cell.records.iter().map(|record| record.id.clone()).collect();
        let heading = cell.heading.clone();
        let plan = StatesPlan {
            what: heading.what,
            condition: heading.condition,
            keep: Some(self.keep.clone()),
            share: heading.share,
            divided: heading.share.map(|_| cell.divided),
        };
        let folder = self.folder;
        let is_others = is_of_states(folder) && StatesPlan::of(folder).as_ref() != Some(&plan);
        if is_others && self.others == Others::Go {
            let _hold = Hold::of_folder(folder)?;
            std::fs::remove_dir_all(folder).map_err(|e| Error::io("remove old states from", folder, e))?;
        }
        let was_there = folder.exists();
        let writer = Writer::open(folder, &plan)?;
        self.made = !was_there;
        let there = writer.count();
        if there > 0 && cell.records.iter().any(|record| !writer.has(&record.id)) {
            self.observer.note(&format!("going on after {there} samples ({})", folder.display()));
        }
        Ok(Some(writer))
    }

    fn end(&mut self, _cell: &CellOf<'_>, _kept: Writer) -> Result<()> {
        Ok(())
    }
}

impl Sink for Writer {
    fn has(&self, id: &str) -> bool {
        self.has_sample(id)
    }

    fn take(&mut self, record: &Record, trace: Trace) -> Result<()> {
        let states = trace.hidden_states.as_ref().expect("asked for");
        self.add(sampled(record, &trace, states), states.values.data())
    }
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
        first_row: None,
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
