//! A tap that records what another run may take over. It stands behind the edits: what goes on is kept, not what arrived.

use candle_core::Tensor;

use super::state::RunState;
use crate::array::Array;
use crate::ask::Tokens;
use crate::ask::looks::Prompt;
use crate::error::{Error, Result};
use crate::model::tap::{PassInfo, Site, Tap};
use crate::model::to_host;
use crate::trace::Recording;
use crate::units::{LayerIdx, Role};

/// Records the pass over a prompt.
pub struct Recorder {
    kept: Recording,
    places: Vec<u32>,
}

impl Recorder {
    /// Of these tokens of a run's prompt.
    ///
    /// # Errors
    /// Tokens that are not there.
    pub fn new(run: &RunState<'_>, tokens: &Tokens) -> Result<Self> {
        let (input, left) = (&run.job.input, &run.job.sequence.left);
        let prompt = Prompt { roles: &input.roles, image_spans: &input.image_spans, latents: Some(left) };
        let (mut chosen, _) =
            prompt.select(tokens).map_err(|why| Error::Request(format!("what is recorded: {why}")))?;
        chosen.sort_unstable();
        let (mut image, mut latent) = (vec![-1; input.num_tokens()], vec![-1; input.num_tokens()]);
        for (i, span) in input.image_spans.iter().enumerate() {
            image[span.range()].fill(i as i64);
        }
        let latents = (0..input.num_tokens()).filter(|token| input.roles[*token] == Role::Latent);
        for (token, number) in latents.zip(left) {
            latent[token] = *number as i64;
        }
        let kept = Recording {
            positions: input.positions.clone(),
            roles: input.roles.clone(),
            image,
            latent,
            tokens: chosen.clone(),
            ..Recording::default()
        };
        Ok(Self { kept, places: chosen.into_iter().map(|token| token as u32).collect() })
    }

    /// What was recorded.
    pub fn finish(self) -> Recording {
        self.kept
    }

    fn rows(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.contiguous()?.index_select(&Tensor::new(self.places.as_slice(), x.device())?, 0)?)
    }

    /// [n, heads, d] -> [1, heads, n, d].
    fn by_head(&self, x: &Tensor) -> Result<Array> {
        to_host(&self.rows(x)?.transpose(0, 1)?.contiguous()?.unsqueeze(0)?)
    }
}

impl Tap for Recorder {
    fn on_hidden(&mut self, _pass: &PassInfo<'_>, site: Site, hidden: &Tensor) -> Result<Option<Tensor>> {
        let rows = self.rows(hidden)?;
        match site {
            Site::Embedding => self.kept.embedding = to_host(&rows)?,
            Site::AfterLayer(_) => self.kept.after.extend(to_host(&rows.unsqueeze(0)?)?),
            Site::FinalNorm => self.kept.norm = to_host(&rows)?,
        }
        Ok(None)
    }

    fn reads_inputs(&self) -> bool {
        true
    }

    fn on_input(&mut self, _pass: &PassInfo<'_>, _layer: LayerIdx, input: &Tensor) -> Result<Option<Tensor>> {
        self.kept.into.extend(to_host(&self.rows(input)?.unsqueeze(0)?)?);
        Ok(None)
    }

    fn on_keys(
        &mut self,
        _pass: &PassInfo<'_>,
        _layer: LayerIdx,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<()> {
        let (keys, values) = (self.by_head(keys)?, self.by_head(values)?);
        self.kept.keys.extend(keys);
        self.kept.values.extend(values);
        Ok(())
    }

    fn on_heads(&mut self, _pass: &PassInfo<'_>, _layer: LayerIdx, mixed: &Tensor) -> Result<Option<Tensor>> {
        let heads = self.by_head(mixed)?;
        self.kept.heads.extend(heads);
        Ok(None)
    }
}
