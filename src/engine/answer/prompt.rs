//! The pass over the prompts of runs, and what is kept of it.

use candle_core::Tensor;

use super::collector::{HiddenCollector, RowCollector};
use super::recorder::Recorder;
use super::state::RunState;
use crate::array::Array;
use crate::ask::{AttentionRows, LogitRows};
use crate::error::Result;
use crate::model::compute::Compute;
use crate::model::pack::{PackedPrompts, UnpackedPrompt};
use crate::model::tap::Tap;
use crate::model::text::Sequence;
use crate::model::vision::VisualFeatures;
use crate::model::{Model, to_host};
use crate::progress::Phase;
use crate::trace::{AnswerRows, PromptPart};

/// What is taken out of the pass over the prompt.
struct PromptTaps {
    rows: RowCollector,
    /// Of the token that says the first of the answer.
    last_row: RowCollector,
    hidden: Option<HiddenCollector>,
    recorder: Option<Recorder>,
}

impl PromptTaps {
    fn of(run: &RunState<'_>) -> Result<Self> {
        let keep = run.job.keep;
        let all = 0..run.roles.len();
        let (rows, last) = match keep.attention {
            AttentionRows::Nothing => (Vec::new(), None),
            AttentionRows::LatentsAndAnswer => (run.latents(), all.last()),
            AttentionRows::Full => (all.clone().collect(), all.last()),
        };
        Ok(Self {
            rows: RowCollector::new(rows),
            last_row: RowCollector::new(last.into_iter().collect()),
            hidden: keep.hidden.clone().map(HiddenCollector::new),
            recorder: keep.recording.as_ref().map(|of| Recorder::new(run, of)).transpose()?,
        })
    }
}

/// Reads all prompts in one pass.
pub(super) fn read(model: &Model, runs: &mut [RunState<'_>], compute: &Compute<'_>) -> Result<()> {
    let mut watching = runs.iter().map(PromptTaps::of).collect::<Result<Vec<_>>>()?;
    let packed = {
        let inputs = runs.iter().map(|run| UnpackedPrompt {
            ids: &run.job.input.input_ids,
            positions: &run.job.input.positions,
            image_spans: &run.job.input.image_spans,
        });
        let features: Vec<&VisualFeatures> =
            runs.iter().filter_map(|run| run.job.features.as_ref()).collect();
        PackedPrompts::new(model, inputs, VisualFeatures::together(&features)?.as_ref())?
    };
    let sequences = runs.iter_mut().zip(&mut watching).map(|(run, kept)| {
        // Who watches stands behind who changes.
        let mut taps: Vec<&mut dyn Tap> = Vec::new();
        taps.extend(run.intervention.as_mut().map(|tap| -> &mut dyn Tap { tap }));
        taps.push(&mut kept.rows);
        taps.push(&mut kept.last_row);
        taps.extend(kept.hidden.as_mut().map(|tap| -> &mut dyn Tap { tap }));
        taps.extend(kept.recorder.as_mut().map(|tap| -> &mut dyn Tap { tap }));
        let rule = run.job.condition.mask.rule();
        Sequence { roles: &run.roles, rule, cache: Some(&mut run.cache), taps }
    });
    let output = model.text.forward(packed.pass(sequences.collect(), Some(Phase::Prompt), compute))?;
    let mut start = 0;
    for (run, kept) in runs.iter_mut().zip(watching) {
        let len = run.job.input.num_tokens();
        run.keep(model, &output.narrow(0, start, len)?, kept, compute)?;
        start += len;
    }
    Ok(())
}

impl RunState<'_> {
    /// Keeps what the pass over the prompt left.
    fn keep(
        &mut self,
        model: &Model,
        output: &Tensor,
        kept: PromptTaps,
        compute: &Compute<'_>,
    ) -> Result<()> {
        let keep = self.job.keep;
        let last = output.narrow(0, output.dim(0)? - 1, 1)?;
        let last_state = to_host(&last)?.data().to_vec();
        let last = to_host(&model.text.logits(&last, &compute.of_steps())?)?;
        self.after_prompt = last.data().to_vec();
        let logits = match keep.logits {
            LogitRows::Nothing => None,
            LogitRows::Answer => Some(last),
            LogitRows::Full => Some(all_logits(model, output, compute)?),
        };
        let latents = self.latents();
        let before = kept.last_row.finish().map(|rows| {
            let &[layers, heads, _, keys] = rows.shape() else { unreachable!("attention has four axes") };
            rows.reshaped([layers, heads, keys])
        });
        self.answer_rows = (keep.attention != AttentionRows::Nothing).then(|| AnswerRows::after(before));
        let (attentions, latent_attentions) = match (keep.attention, kept.rows.finish()) {
            (AttentionRows::Full, Some(full)) => {
                let of_latents = (!latents.is_empty()).then(|| select_rows(&full, &latents));
                (Some(full), of_latents)
            }
            (_, rows) => (None, rows),
        };
        let hidden_states = kept.hidden.map(HiddenCollector::finish);
        let recording = kept.recorder.map(|own| Box::new(own.finish()));
        self.read =
            PromptPart { logits, hidden_states, attentions, latent_attentions, last_state, recording };
        Ok(())
    }
}

/// Scores of every position, [T, D] -> [T, V], a few rows at a time: the tensor and its copy on the host never
/// exist at once.
fn all_logits(model: &Model, hidden: &Tensor, compute: &Compute<'_>) -> Result<Array> {
    const ROWS: usize = 64;
    let num_tokens = hidden.dim(0)?;
    let (mut data, mut width) = (Vec::new(), 0);
    for start in (0..num_tokens).step_by(ROWS) {
        let rows = hidden.narrow(0, start, ROWS.min(num_tokens - start))?;
        let rows = to_host(&model.text.logits(&rows, compute)?)?;
        width = rows.shape()[1];
        data.reserve_exact(if start == 0 { num_tokens * width } else { 0 });
        data.extend_from_slice(rows.data());
    }
    Ok(Array::new([num_tokens, width], data))
}

/// [L, H, N, S] and row numbers -> [L, H, R, S].
fn select_rows(full: &Array, rows: &[usize]) -> Array {
    let [layers, heads, _, keys] = full.shape()[..] else { unreachable!("attention has four axes") };
    let mut data = Vec::with_capacity(layers * heads * rows.len() * keys);
    for layer in 0..layers {
        for head in 0..heads {
            for row in rows {
                data.extend_from_slice(full.at(&[layer, head, *row]));
            }
        }
    }
    Array::new([layers, heads, rows.len(), keys], data)
}
