//! The language model all families share: a decoder with rotary positions.

use candle_core::{D, Tensor};

use super::attention::attend;
use super::cache::KvCache;
use super::compute::Compute;
use super::embedding::Embedding;
use super::linear::Linear;
use super::loader::Loader;
use super::mask::Mask;
use super::norm::Norm;
use super::parts::{Part, Visit};
use super::rotary::{Rotary, inverse_frequencies, text_angles};
use super::tap::{PassInfo, Site, Tap, Taps};
use crate::checkpoint::config::TextConfig;
use crate::error::Result;
use crate::progress::{Phase, Progress};
use crate::settings::MaskRule;
use crate::units::{LayerIdx, Role};

/// What goes through the decoder in one pass: the whole prompt, or the tokens after what the cache holds.
pub struct Pass<'a> {
    /// Token embeddings, image features in place: [T, D].
    pub embeddings: Tensor,
    /// Temporal, height and width position of each of the T tokens.
    pub positions: &'a [[i64; 3]],
    /// Of all S tokens: those in the cache and the T of this pass.
    pub roles: &'a [Role],
    /// Who may look at whom.
    pub rule: MaskRule,
    /// Positions of visual tokens among the T, and per early layer the features added there, [n, D].
    pub deepstack: Option<(&'a Tensor, &'a [Tensor])>,
    /// Keys and values of earlier tokens; grows by T.
    pub cache: Option<&'a mut KvCache>,
    /// Layers are steps to tell of.
    pub phase: Option<Phase>,
    /// How operations run.
    pub compute: Compute<'a>,
}

/// What every layer of a pass needs besides its input.
struct Shared<'a> {
    info: PassInfo<'a>,
    rotary: Rotary,
    compute: Compute<'a>,
    /// One mask per rule that a layer of this pass has had.
    masks: Vec<Mask>,
    cache: Option<&'a mut KvCache>,
}

impl Shared<'_> {
    fn mask(&mut self, rule: MaskRule, like: &Tensor) -> Result<&Mask> {
        let place = self.masks.iter().position(|mask| mask.rule() == rule).unwrap_or(self.masks.len());
        if place == self.masks.len() {
            let num_queries = self.info.tokens().len();
            self.masks.push(Mask::new(rule, self.info.roles, num_queries, like.device())?);
        }
        Ok(&self.masks[place])
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
    fn forward(
        &self,
        x: &Tensor,
        layer: LayerIdx,
        rule: MaskRule,
        shared: &mut Shared<'_>,
        taps: &mut Taps<'_, '_>,
    ) -> Result<Tensor> {
        let (num_tokens, compute, info) = (x.dim(0)?, shared.compute, shared.info);
        let heads = |y: Tensor, n: usize, norm: Option<&Norm>| -> Result<Tensor> {
            let mut y = y.reshape((num_tokens, n, self.head_dim))?;
            if let Some(norm) = norm {
                y = norm.forward(&y, &compute)?;
            }
            Ok(y.transpose(0, 1)?.contiguous()?)
        };
        let q = heads(self.q_proj.forward(x, &compute)?, self.num_heads, self.q_norm.as_ref())?;
        let k = heads(self.k_proj.forward(x, &compute)?, self.num_kv_heads, self.k_norm.as_ref())?;
        let v = heads(self.v_proj.forward(x, &compute)?, self.num_kv_heads, None)?;
        let q = shared.rotary.apply(&q, &compute)?;
        let k = shared.rotary.apply(&k, &compute)?;
        let (k, v) = match &mut shared.cache {
            Some(cache) => cache.append(layer, &k, &v)?,
            None => (k, v),
        };
        let scale = 1.0 / (self.head_dim as f64).sqrt();
        let wanted = taps.wanted_rows(&info, layer);
        let queries: Vec<usize> = wanted.iter().map(|token| token - info.first_token).collect();
        let attended = attend(&q, &k, &v, scale, Some(shared.mask(rule, x)?), &queries, &compute)?;
        if let Some(rows) = &attended.rows {
            taps.on_rows(&info, layer, &wanted, rows)?;
        }
        let mut mixed = attended.output;
        if let Some(scales) = taps.head_scales(&info, layer) {
            let scales = Tensor::from_vec(scales, (self.num_heads, 1, 1), mixed.device())?;
            mixed = mixed.broadcast_mul(&scales.to_dtype(mixed.dtype())?)?;
        }
        let mixed = mixed.transpose(0, 1)?.contiguous()?.flatten_from(1)?;
        self.o_proj.forward(&mixed, &compute)
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
        let gate = self.gate_proj.forward(x, compute)?.silu()?;
        self.down_proj.forward(&(gate * self.up_proj.forward(x, compute)?)?, compute)
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

    fn forward(
        &self,
        x: &Tensor,
        layer: LayerIdx,
        rule: MaskRule,
        shared: &mut Shared<'_>,
        taps: &mut Taps<'_, '_>,
    ) -> Result<Tensor> {
        let compute = shared.compute;
        let normed = self.input_layernorm.forward(x, &compute)?;
        let x = (x + self.self_attn.forward(&normed, layer, rule, shared, taps)?)?;
        let normed = self.post_attention_layernorm.forward(&x, &compute)?;
        Ok((&x + self.mlp.forward(&normed, &compute)?)?)
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
    tied: bool,
    inverse_frequencies: Vec<f32>,
}

const HEAD: &str = "lm_head";

impl TextModel {
    /// `language_model.*` and, where untied, `lm_head.weight`.
    pub fn load(loader: &Loader<'_>, config: &TextConfig) -> Result<Self> {
        let (embed_tokens, lm_head) = load_ends(loader, config)?;
        let tied = lm_head.is_none();
        let lm_head = lm_head.unwrap_or_else(|| embed_tokens.rows().clone());
        let layers = (0..config.num_layers)
            .map(|i| DecoderLayer::load(loader, &format!("language_model.layers.{i}"), config))
            .collect::<Result<_>>()?;
        Ok(Self {
            embed_tokens,
            layers,
            norm: Norm::rms(loader, "language_model.norm", config.hidden_size, config.rms_norm_eps)?,
            lm_head: Linear::from_parts(HEAD, lm_head, None),
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

    /// The token embeddings.
    pub fn embedding(&self) -> &Embedding {
        &self.embed_tokens
    }

    /// Every part, with its canonical name.
    pub fn each_part(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        visit(Part::Embedding(&mut self.embed_tokens))?;
        self.layers.iter_mut().try_for_each(|layer| layer.each_part(visit))?;
        visit(Part::Norm(&mut self.norm))?;
        visit(Part::Linear(&mut self.lm_head))
    }

    /// Runs the decoder: [T, D] embeddings -> [T, D] after the final norm. The cache then holds the tokens.
    pub fn forward(&self, mut pass: Pass<'_>, taps: &mut [&mut dyn Tap]) -> Result<Tensor> {
        let mut taps = Taps(taps);
        let num_tokens = pass.positions.len();
        let info = PassInfo {
            first_token: pass.cache.as_ref().map_or(0, |cache| cache.len()),
            roles: pass.roles,
            num_layers: self.layers.len(),
            num_heads: self.config.num_heads,
        };
        assert_eq!(info.tokens().len(), num_tokens, "roles cover the cache and this pass");
        let mut x = pass.embeddings;
        let angles = text_angles(pass.positions, &self.inverse_frequencies, &self.config.rotary);
        let rotary = Rotary::from_angles(&angles, self.inverse_frequencies.len(), x.dtype(), x.device())?;
        let cache = pass.cache.take();
        let mut shared = Shared { info, rotary, compute: pass.compute, masks: Vec::new(), cache };
        x = taps.on_hidden(&info, Site::Embedding, x)?;
        for (i, layer) in self.layers.iter().enumerate() {
            pass.compute.check()?;
            if let Some(phase) = pass.phase {
                let progress = Progress { phase, done: i, total: self.layers.len() };
                pass.compute.observer.progress(progress)?;
            }
            let layer_idx = LayerIdx(i);
            let rule = taps.edit_mask(&info, layer_idx, pass.rule);
            x = layer.forward(&x, layer_idx, rule, &mut shared, &mut taps)?;
            x = taps.on_hidden(&info, Site::AfterLayer(layer_idx), x)?;
            if let Some((positions, features)) = pass.deepstack
                && let Some(features) = features.get(i)
            {
                x = x.index_add(positions, features, 0)?;
            }
        }
        if let Some(cache) = shared.cache {
            cache.advance(num_tokens);
        }
        x = self.norm.forward(&x, &pass.compute)?;
        taps.on_hidden(&info, Site::FinalNorm, x)
    }

    /// Output scores: [T, D] after the final norm -> [T, V], V grown by latents past the vocabulary.
    pub fn logits(&self, hidden: &Tensor, compute: &Compute<'_>) -> Result<Tensor> {
        let logits = self.lm_head.forward(hidden, compute)?;
        let (Some(latents), true) = (self.embed_tokens.latents(), self.tied) else { return Ok(logits) };
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
        let rows = latents.rows.to_dtype(hidden.dtype())?;
        let both = Tensor::cat(&[&logits, &hidden.matmul(&rows.t()?)?, &impossible], D::Minus1)?;
        let columns = Tensor::from_vec(columns, width, hidden.device())?;
        Ok(both.index_select(&columns, 1)?)
    }
}

/// The embedding, and the output weight where it is one of its own.
///
/// Tied or not by what the files hold, as transformers 5 decides: where the config ties and both are there,
/// they stay apart if they differ; where only one is there, it serves as both.
fn load_ends(loader: &Loader<'_>, config: &TextConfig) -> Result<(Embedding, Option<Tensor>)> {
    let shape = [config.vocab_size, config.hidden_size];
    let (head_name, rows_name) = (format!("{HEAD}.weight"), format!("{}.weight", super::embedding::NAME));
    let has_head = loader.has(&head_name);
    if config.tied.unwrap_or(!has_head) {
        if has_head && !loader.has(&rows_name) {
            return Ok((Embedding::from_rows(loader.tensor(&head_name, &shape)?), None));
        }
        let embedding = Embedding::load(loader, config.vocab_size, config.hidden_size)?;
        if !has_head {
            return Ok((embedding, None));
        }
        let head = loader.tensor(&head_name, &shape)?;
        let differs = loader.reads_values() && differ(embedding.rows(), &head)?;
        return Ok((embedding, differs.then_some(head)));
    }
    let head = loader.tensor(&head_name, &shape)?;
    Ok((Embedding::load(loader, config.vocab_size, config.hidden_size)?, Some(head)))
}

fn differ(a: &Tensor, b: &Tensor) -> Result<bool> {
    Ok(a.ne(b)?.flatten_all()?.max(0)?.to_scalar::<u8>()? != 0)
}
