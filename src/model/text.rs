//! The language model all families share: a decoder with rotary positions.

use candle_core::{D, DType, Tensor};

use super::cache::KvCache;
use super::compute::Compute;
use super::embedding::{self, Embedding, FittedRows};
use super::linear::Linear;
use super::loader::Loader;
use super::norm::{Norm, gate};
use super::parts::{Part, Visit};
use super::rotary::{Rotary, inverse_frequencies, text_angles};
use super::tap::{PassInfo, Site, Tap, Taps};
use crate::ask::MaskRule;
use crate::ask::looks::Looks;
use crate::checkpoint::config::{Activation, TextConfig};
use crate::checkpoint::latent_rows::LatentRows;
use crate::error::Result;
use crate::ops::attention::{Mask, Segment, attend_watched, rows};
use crate::ops::cross_entropy::{LatentHead, cross_entropy};
use crate::ops::elementwise::add;
use crate::ops::tape;
use crate::progress::{Phase, Progress};
use crate::units::{LayerIdx, Role};

/// One sequence of a pass: its whole prompt, or the tokens after what its cache holds.
pub struct Sequence<'a> {
    /// Of all S tokens: those in the cache and those of this pass.
    pub roles: &'a [Role],
    /// Who may look at whom.
    pub rule: MaskRule,
    /// Keys and values of earlier tokens; grows by those of this pass.
    pub cache: Option<&'a mut KvCache>,
    /// Who watches it, in the order they act.
    pub taps: Vec<&'a mut dyn Tap>,
}

impl<'a> Sequence<'a> {
    fn held(&self) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.len())
    }

    /// Tokens of this pass.
    fn len(&self) -> usize {
        self.roles.len() - self.held()
    }

    fn info(&self, config: &TextConfig) -> PassInfo<'a> {
        PassInfo {
            first_token: self.held(),
            roles: self.roles,
            num_layers: config.num_layers,
            num_heads: config.num_heads,
        }
    }
}

/// What goes through the decoder at once: sequences one after the other, T tokens in all.
pub struct Pass<'a, 's> {
    /// Token embeddings, image features in place: [T, D].
    pub embeddings: Tensor,
    /// Temporal, height and width position of each of the T tokens.
    pub positions: &'a [[i64; 3]],
    /// Whose tokens they are.
    pub sequences: Vec<Sequence<'s>>,
    /// Positions of visual tokens among the T, and per early layer the features added there, [n, D].
    pub deepstack: Option<(&'a Tensor, &'a [Tensor])>,
    /// Layers are steps to tell of.
    pub phase: Option<Phase>,
    /// How operations run.
    pub compute: Compute<'a>,
}

/// What every layer of a pass needs besides its input.
struct Shared<'a, 's> {
    config: &'a TextConfig,
    sequences: Vec<Sequence<'s>>,
    rotary: Rotary,
    compute: Compute<'a>,
}

impl<'s> Shared<'_, 's> {
    /// Hands each sequence its part of `x` [T, ..]; where nobody watches, `x` stays as it is.
    fn each(
        &mut self,
        x: Tensor,
        mut change: impl FnMut(&mut Taps<'_, 's>, &PassInfo<'_>, Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        if self.sequences.iter().all(|sequence| sequence.taps.is_empty()) {
            return Ok(x);
        }
        let alone = self.sequences.len() == 1;
        let (mut parts, mut start) = (Vec::new(), 0);
        for sequence in &mut self.sequences {
            let (info, len) = (sequence.info(self.config), sequence.len());
            let part = if alone { x.clone() } else { x.narrow(0, start, len)? };
            parts.push(change(&mut Taps(&mut sequence.taps), &info, part)?);
            start += len;
        }
        if alone { Ok(parts.remove(0)) } else { Ok(Tensor::cat(&parts, 0)?) }
    }

    fn on_hidden(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        self.each(x, |taps, info, x| taps.on_hidden(info, site, x))
    }

    /// q: [T, H, d], k and v: [T, Hkv, d] -> [T, H, d]. Sequences without a cache go through together; where one
    /// has one, each with keys and values of its own.
    fn attend(&mut self, q: &Tensor, k: &Tensor, v: &Tensor, layer: LayerIdx) -> Result<Tensor> {
        let plan = self.compute.attention(self.config.head_dim);
        let together = self.sequences.iter().all(|sequence| sequence.cache.is_none());
        let (mut segments, mut outputs, mut start) = (Vec::new(), Vec::new(), 0);
        for sequence in &mut self.sequences {
            self.compute.check()?;
            let (info, len) = (sequence.info(self.config), sequence.len());
            let own = |x: &Tensor| x.narrow(0, start, len);
            let (k, v) = match &mut sequence.cache {
                Some(cache) => cache.append(layer, &own(k)?, &own(v)?)?,
                None if together => (k.clone(), v.clone()),
                None => (own(k)?, own(v)?),
            };
            let mut taps = Taps(&mut sequence.taps);
            let mut looks = Looks::of_roles(sequence.rule, info.roles);
            taps.edit_mask(&info, layer, &mut looks);
            let first_key = if together { start } else { 0 };
            let segment = Segment {
                queries: start..start + len,
                keys: first_key..first_key + info.roles.len(),
                mask: Some(Mask::of(looks, len)),
            };
            let wanted = taps.wanted_rows(&info, layer);
            if !wanted.is_empty() {
                let queries: Vec<usize> = wanted.iter().map(|token| token - info.first_token).collect();
                taps.on_rows(&info, layer, &wanted, &rows(q, &k, &segment, &queries, plan)?)?;
            }
            if together {
                segments.push(segment);
            } else {
                let alone = Segment { queries: 0..len, ..segment };
                outputs.push(attend_watched(&own(q)?, &k, &v, &[alone], plan, self.compute.observer)?);
            }
            start += len;
        }
        let mixed = match outputs.len() {
            0 => attend_watched(q, k, v, &segments, plan, self.compute.observer)?,
            1 => outputs.remove(0),
            _ => Tensor::cat(&outputs, 0)?,
        };
        self.each(mixed, |taps, info, mixed| {
            let Some(scales) = taps.head_scales(info, layer) else { return Ok(mixed) };
            let scales = Tensor::from_vec(scales, (1, info.num_heads, 1), mixed.device())?;
            Ok(mixed.broadcast_mul(&scales.to_dtype(mixed.dtype())?)?)
        })
    }
}

#[derive(Debug, Clone)]
struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: Option<Norm>,
    k_norm: Option<Norm>,
    num_heads: usize,
    num_kv_heads: usize,
    head_dim: usize,
}

impl SelfAttention {
    fn load(loader: &Loader<'_>, name: &str, c: &TextConfig) -> Result<Self> {
        let (q_dim, kv_dim) = (c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim);
        let norm = |part: &str| -> Result<Option<Norm>> {
            c.qk_norm
                .then(|| Norm::rms(loader, &format!("{name}.{part}"), c.head_dim, c.rms_norm_eps))
                .transpose()
        };
        Ok(Self {
            q_proj: Linear::load(loader, &format!("{name}.q_proj"), c.hidden_size, q_dim, c.qkv_bias)?,
            k_proj: Linear::load(loader, &format!("{name}.k_proj"), c.hidden_size, kv_dim, c.qkv_bias)?,
            v_proj: Linear::load(loader, &format!("{name}.v_proj"), c.hidden_size, kv_dim, c.qkv_bias)?,
            o_proj: Linear::load(loader, &format!("{name}.o_proj"), q_dim, c.hidden_size, c.output_bias)?,
            q_norm: norm("q_norm")?,
            k_norm: norm("k_norm")?,
            num_heads: c.num_heads,
            num_kv_heads: c.num_kv_heads,
            head_dim: c.head_dim,
        })
    }

    /// x: [T, D] -> [T, D].
    fn forward(&self, x: &Tensor, layer: LayerIdx, shared: &mut Shared<'_, '_>) -> Result<Tensor> {
        let (num_tokens, compute) = (x.dim(0)?, shared.compute);
        let heads = |y: Tensor, n: usize, norm: Option<&Norm>| -> Result<Tensor> {
            let y = tape::reshape(&y, (num_tokens, n, self.head_dim))?;
            match norm {
                Some(norm) => norm.forward(&y, &compute),
                None => Ok(y),
            }
        };
        let q = heads(self.q_proj.forward(x, &compute)?, self.num_heads, self.q_norm.as_ref())?;
        let k = heads(self.k_proj.forward(x, &compute)?, self.num_kv_heads, self.k_norm.as_ref())?;
        let v = heads(self.v_proj.forward(x, &compute)?, self.num_kv_heads, None)?;
        let q = shared.rotary.apply(&q, &compute)?;
        let k = shared.rotary.apply(&k, &compute)?;
        let mixed = shared.attend(&q, &k, &v, layer)?;
        self.o_proj.forward(&tape::reshape(&mixed, (num_tokens, self.num_heads * self.head_dim))?, &compute)
    }
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "the checkpoint's names")]
struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl Mlp {
    fn load(loader: &Loader<'_>, name: &str, c: &TextConfig) -> Result<Self> {
        let (d, m) = (c.hidden_size, c.intermediate_size);
        Ok(Self {
            gate_proj: Linear::load(loader, &format!("{name}.gate_proj"), d, m, false)?,
            up_proj: Linear::load(loader, &format!("{name}.up_proj"), d, m, false)?,
            down_proj: Linear::load(loader, &format!("{name}.down_proj"), m, d, false)?,
        })
    }

    /// down(silu(gate(x)) * up(x)) (`SwiGLU`, Shazeer 2020).
    fn forward(&self, x: &Tensor, compute: &Compute<'_>) -> Result<Tensor> {
        let gated = self.gate_proj.forward(x, compute)?;
        let gated = gate(&gated, &self.up_proj.forward(x, compute)?, Activation::Silu, compute)?;
        self.down_proj.forward(&gated, compute)
    }
}

#[derive(Debug, Clone)]
struct DecoderLayer {
    input_layernorm: Norm,
    self_attn: SelfAttention,
    post_attention_layernorm: Norm,
    mlp: Mlp,
}

impl DecoderLayer {
    fn load(loader: &Loader<'_>, name: &str, c: &TextConfig) -> Result<Self> {
        let norm = |part: &str| Norm::rms(loader, &format!("{name}.{part}"), c.hidden_size, c.rms_norm_eps);
        Ok(Self {
            input_layernorm: norm("input_layernorm")?,
            self_attn: SelfAttention::load(loader, &format!("{name}.self_attn"), c)?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            mlp: Mlp::load(loader, &format!("{name}.mlp"), c)?,
        })
    }

    fn forward(&self, x: &Tensor, layer: LayerIdx, shared: &mut Shared<'_, '_>) -> Result<Tensor> {
        let compute = shared.compute;
        let normed = self.input_layernorm.forward(x, &compute)?;
        let x = add(x, &self.self_attn.forward(&normed, layer, shared)?, compute.isa)?;
        let normed = self.post_attention_layernorm.forward(&x, &compute)?;
        add(&x, &self.mlp.forward(&normed, &compute)?, compute.isa)
    }

    fn each_part(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        let Self { input_layernorm, self_attn, post_attention_layernorm, mlp } = self;
        for linear in [
            &mut self_attn.q_proj,
            &mut self_attn.k_proj,
            &mut self_attn.v_proj,
            &mut self_attn.o_proj,
            &mut mlp.gate_proj,
            &mut mlp.up_proj,
            &mut mlp.down_proj,
        ] {
            visit(Part::Linear(linear))?;
        }
        let norms = [Some(input_layernorm), Some(post_attention_layernorm)];
        for norm in norms.into_iter().chain([self_attn.q_norm.as_mut(), self_attn.k_norm.as_mut()]).flatten()
        {
            visit(Part::Norm(norm))?;
        }
        Ok(())
    }
}

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
            Shared { config: &self.config, sequences: pass.sequences, rotary, compute: pass.compute };
        x = shared.on_hidden(Site::Embedding, x)?;
        watch(Site::Embedding, &x);
        for (i, layer) in self.layers.iter().enumerate() {
            pass.compute.check()?;
            if let Some(phase) = pass.phase {
                let progress = Progress { phase, done: i, total: self.layers.len() };
                pass.compute.observer.progress(progress)?;
            }
            x = tape::stretch(&x, |x| layer.forward(x, LayerIdx(i), &mut shared))?;
            x = shared.on_hidden(Site::AfterLayer(LayerIdx(i)), x)?;
            watch(Site::AfterLayer(LayerIdx(i)), &x);
            if let Some((positions, features)) = pass.deepstack
                && let Some(features) = features.get(i)
            {
                x = x.index_add(positions, features, 0)?;
            }
        }
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
