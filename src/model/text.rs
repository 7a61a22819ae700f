//! The language model all families share: a decoder with rotary positions.

use candle_core::{D, DType, Tensor};

use super::changes::PathStart;
use super::compute::Compute;
use super::decoder::DecoderLayer;
use super::embedding::{self, Embedding, FittedRows};
use super::linear::Linear;
use super::loader::Loader;
use super::norm::Norm;
use super::parts::{Part, Visit};
use super::pass::PassState;
pub use super::pass::{Pass, Sequence};
use super::rotary::{Rotary, inverse_frequencies, text_angles};
use super::tap::Site;
use crate::checkpoint::config::TextConfig;
use crate::checkpoint::latent_rows::LatentRows;
use crate::error::Result;
use crate::ops::cross_entropy::{LatentHead, cross_entropy};
use crate::ops::tape;
use crate::progress::Progress;
use crate::units::LayerIdx;

/// Embedding, decoder layers, final norm and output.
#[derive(Debug, Clone)]
pub struct TextModel {
    config: TextConfig,
    embed_tokens: Embedding,
    layers: Vec<DecoderLayer>,
    norm: Norm,
    /// Where tied, its weight is the embedding's.
    lm_head: Linear,
    /// Trained rows of an output of its own.
    head_rows: Option<FittedRows>,
    tied: bool,
    inverse_frequencies: Vec<f32>,
}

impl TextModel {
    /// `language_model.*` and, where untied, `lm_head.weight`.
    pub fn load(loader: &Loader<'_>, config: &TextConfig) -> Result<Self> {
        let (embed_tokens, lm_head) = embedding::load_ends(loader, config)?;
        let (tied, dtype) = (lm_head.is_none(), loader.precision.dtype);
        let lm_head = lm_head.unwrap_or_else(|| embed_tokens.rows().clone());
        let layers = (0..config.num_layers)
            .map(|i| DecoderLayer::load(loader, &format!("language_model.layers.{i}"), config))
            .collect::<Result<_>>()?;
        Ok(Self {
            embed_tokens,
            layers,
            norm: Norm::rms(loader, "language_model.norm", config.hidden_size, config.rms_norm_eps)?,
            lm_head: Linear::from_parts(embedding::HEAD, lm_head, None, dtype),
            head_rows: None,
            tied,
            inverse_frequencies: inverse_frequencies(config.head_dim, config.rotary.theta),
            config: config.clone(),
        })
    }

    /// L.
    pub fn num_layers(&self) -> usize {
        self.layers.len()
    }

    /// Are the embedding rows the output rows too?
    pub fn is_tied(&self) -> bool {
        self.tied
    }

    /// Puts trained rows of an output of its own in.
    pub fn set_head_rows(&mut self, rows: &LatentRows) -> Result<()> {
        self.head_rows = Some(FittedRows::on(self.lm_head.weight().device(), rows)?);
        Ok(())
    }

    /// Trained rows in the place of the output's: the embedding's where they are tied.
    fn output_over(&self) -> Option<&FittedRows> {
        if self.tied { self.embed_tokens.trained_rows() } else { self.head_rows.as_ref() }
    }

    /// The output's rows of some tokens, [M, D]: what a hidden state is compared with to say one of them.
    pub fn output_rows(&self, ids: &[u32]) -> Result<Tensor> {
        let rows = self.lm_head.weight().values()?;
        Ok(rows.index_select(&Tensor::new(ids, rows.device())?, 0)?)
    }

    /// The token embeddings.
    pub fn embedding(&self) -> &Embedding {
        &self.embed_tokens
    }

    /// The token embeddings, to put rows of latents in.
    pub fn embedding_mut(&mut self) -> &mut Embedding {
        &mut self.embed_tokens
    }

    /// Every part, with its canonical name.
    pub fn each_part(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        visit(Part::Embedding(&mut self.embed_tokens))?;
        self.layers.iter_mut().try_for_each(|layer| layer.each_part(visit))?;
        visit(Part::Norm(&mut self.norm))?;
        visit(Part::Linear(&mut self.lm_head))
    }

    /// Runs the decoder: [T, D] embeddings -> [T, D] after the final norm. Caches then hold the tokens.
    pub fn forward(&self, pass: Pass<'_, '_>) -> Result<Tensor> {
        self.watched(pass, &mut |_, _| {})
    }

    /// The same; `watch` sees the residual stream of all sequences, [T, D], at each place.
    pub fn watched(&self, pass: Pass<'_, '_>, watch: &mut dyn FnMut(Site, &Tensor)) -> Result<Tensor> {
        let mut x = pass.embeddings;
        let num_tokens: usize = pass.sequences.iter().map(Sequence::len).sum();
        assert_eq!(num_tokens, pass.positions.len(), "roles cover the caches and this pass");
        let angles = text_angles(pass.positions, &self.inverse_frequencies, &self.config.rotary);
        let rotary = Rotary::from_angles(&angles, self.inverse_frequencies.len(), x.dtype(), x.device())?;
        let mut shared =
            PassState { config: &self.config, sequences: pass.sequences, rotary, compute: pass.compute };
        x = shared.on_hidden(Site::Embedding, x)?;
        shared.begin_paths(PathStart::Embedding, &x)?;
        watch(Site::Embedding, &x);
        for (i, layer) in self.layers.iter().enumerate() {
            pass.compute.check()?;
            if let Some(phase) = pass.phase {
                let progress = Progress { phase, done: i, total: self.layers.len() };
                pass.compute.observer.progress(progress)?;
            }
            x = shared.on_input(LayerIdx(i), x)?;
            x = tape::stretch(&x, |x| layer.forward(x, LayerIdx(i), &mut shared))?;
            x = shared.on_hidden(Site::AfterLayer(LayerIdx(i)), x)?;
            shared.begin_paths(PathStart::After(i), &x)?;
            watch(Site::AfterLayer(LayerIdx(i)), &x);
            if let Some((positions, features)) = pass.deepstack
                && let Some(features) = features.get(i)
            {
                x = x.index_add(positions, features, 0)?;
            }
        }
        x = shared.end_paths(x)?;
        x = self.norm.forward(&x, &pass.compute)?;
        x = shared.on_hidden(Site::FinalNorm, x)?;
        watch(Site::FinalNorm, &x);
        for mut sequence in shared.sequences {
            let new = sequence.len();
            if let Some(cache) = &mut sequence.cache {
                cache.advance(new);
            }
        }
        Ok(x)
    }

    /// -log p of targets, [M], from the hidden states after the final norm that predict them, [M, D]. Scores of
    /// the whole vocabulary exist for a few positions at a time.
    pub fn losses(&self, hidden: &Tensor, targets: &[u32], compute: &Compute<'_>) -> Result<Tensor> {
        let trained = self.output_over();
        let trained = trained.map(|trained| LatentHead { rows: &trained.rows, ids: &trained.token_ids });
        cross_entropy(hidden, self.lm_head.weight(), trained, targets, compute.isa)
    }

    /// What residual streams would say were no layer to follow, [M, D] -> [M, V]: the logit lens (nostalgebraist 2020).
    pub fn lens(&self, hidden: &Tensor, compute: &Compute<'_>) -> Result<Tensor> {
        self.logits(&self.norm.forward(hidden, compute)?, compute)
    }

    /// Output scores: [T, D] after the final norm -> [T, V], V grown by latents past the vocabulary.
    pub fn logits(&self, hidden: &Tensor, compute: &Compute<'_>) -> Result<Tensor> {
        let logits = self.lm_head.forward(hidden, compute)?;
        let Some(latents) = self.output_over() else { return Ok(logits) };
        let vocab = logits.dim(D::Minus1)?;
        let width = latents.token_ids.iter().map(|id| *id as usize + 1).max().unwrap_or(0).max(vocab);
        // An id that neither the vocabulary nor the latents have is never generated.
        let nothing = (vocab + latents.token_ids.len()) as u32;
        let mut columns: Vec<u32> =
            (0..width as u32).map(|id| if (id as usize) < vocab { id } else { nothing }).collect();
        for (i, id) in latents.token_ids.iter().enumerate() {
            columns[*id as usize] = (vocab + i) as u32;
        }
        let impossible = (logits.narrow(1, 0, 1)?.zeros_like()? + f64::NEG_INFINITY)?;
        // As the reference does it: rows of latents are rounded to the type of the others.
        let rows = latents.rows.to_dtype(hidden.dtype())?.to_dtype(DType::F32)?;
        let own = hidden.to_dtype(DType::F32)?.matmul(&rows.t()?)?.to_dtype(logits.dtype())?;
        let both = Tensor::cat(&[&logits, &own, &impossible], D::Minus1)?;
        let columns = Tensor::from_vec(columns, width, hidden.device())?;
        Ok(both.index_select(&columns, 1)?)
    }
}
