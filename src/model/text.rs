//! The language model both families share: a decoder with multimodal rotary positions.

use candle_core::{D, Tensor};

use super::attention::attend;
use super::cache::KvCache;
use super::layers::{Linear, Math, RmsNorm, Rotary, inverse_frequencies};
use super::loader::Loader;
use super::mask::Mask;
use super::tap::{Site, Tap};
use crate::checkpoint::config::{MropeConfig, TextConfig};
use crate::checkpoint::latent_rows::LatentRows;
use crate::error::Result;
use crate::units::LayerIdx;

/// What goes through the decoder in one pass: the whole prompt, or the tokens after what the cache holds.
pub struct Pass<'a> {
    /// Token embeddings, image features in place: [T, D].
    pub embeddings: Tensor,
    /// Temporal, height and width position of each of the T tokens.
    pub positions: &'a [[i64; 3]],
    /// Who may look at whom; over the cached keys too.
    pub mask: &'a Mask,
    /// Positions of visual tokens among the T, and per early layer the features added there, [n, D].
    pub deepstack: Option<(&'a Tensor, &'a [Tensor])>,
    /// Keys and values of earlier tokens; grows by T.
    pub cache: Option<&'a mut KvCache>,
    /// Fused or differentiable operations.
    pub math: Math,
}

struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: Option<RmsNorm>,
    k_norm: Option<RmsNorm>,
    num_heads: usize,
    num_kv_heads: usize,
    head_dim: usize,
}

impl SelfAttention {
    fn load(loader: &Loader<'_>, name: &str, c: &TextConfig) -> Result<Self> {
        let (q_dim, kv_dim) = (c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim);
        let norm = |part: &str| -> Result<Option<RmsNorm>> {
            c.qk_norm
                .then(|| RmsNorm::load(loader, &format!("{name}.{part}"), c.head_dim, c.rms_norm_eps))
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
        rotary: &Rotary,
        pass: &mut Pass<'_>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let num_tokens = x.dim(0)?;
        let math = pass.math;
        let heads = |y: Tensor, n: usize, norm: Option<&RmsNorm>| -> Result<Tensor> {
            let mut y = y.reshape((num_tokens, n, self.head_dim))?;
            if let Some(norm) = norm {
                y = norm.forward(&y, math)?;
            }
            Ok(y.transpose(0, 1)?.contiguous()?)
        };
        let q = heads(self.q_proj.forward(x)?, self.num_heads, self.q_norm.as_ref())?;
        let k = heads(self.k_proj.forward(x)?, self.num_kv_heads, self.k_norm.as_ref())?;
        let v = heads(self.v_proj.forward(x)?, self.num_kv_heads, None)?;
        let q = rotary.apply(&q, math)?;
        let k = rotary.apply(&k, math)?;
        let (k, v) = match &mut pass.cache {
            Some(cache) => cache.append(layer, &k, &v)?,
            None => (k, v),
        };
        let scale = 1.0 / (self.head_dim as f64).sqrt();
        let mixed = attend(&q, &k, &v, scale, Some(pass.mask), math, |queries, probs| {
            let wanted: Vec<u32> = tap
                .rows()
                .iter()
                .filter(|row| queries.contains(row))
                .map(|row| (row - queries.start) as u32)
                .collect();
            if wanted.is_empty() {
                return Ok(());
            }
            let rows = Tensor::new(wanted, probs.device())?;
            tap.on_attention(layer, probs.index_select(&rows, 1)?)
        })?;
        let mixed = mixed.transpose(0, 1)?.contiguous()?.flatten_from(1)?;
        self.o_proj.forward(&mixed)
    }
}

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
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let gate = self.gate_proj.forward(x)?.silu()?;
        self.down_proj.forward(&(gate * self.up_proj.forward(x)?)?)
    }
}

struct DecoderLayer {
    input_layernorm: RmsNorm,
    self_attn: SelfAttention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
}

impl DecoderLayer {
    fn load(loader: &Loader<'_>, name: &str, c: &TextConfig) -> Result<Self> {
        let norm =
            |part: &str| RmsNorm::load(loader, &format!("{name}.{part}"), c.hidden_size, c.rms_norm_eps);
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
        rotary: &Rotary,
        pass: &mut Pass<'_>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let normed = self.input_layernorm.forward(x, pass.math)?;
        let x = (x + self.self_attn.forward(&normed, layer, rotary, pass, tap)?)?;
        let normed = self.post_attention_layernorm.forward(&x, pass.math)?;
        Ok((&x + self.mlp.forward(&normed)?)?)
    }
}

/// Latent rows fitted to the model.
struct FittedRows {
    /// [K, D].
    rows: Tensor,
    token_ids: Vec<u32>,
}

/// Embedding, decoder layers, final norm and output.
pub struct TextModel {
    config: TextConfig,
    embed_tokens: Tensor,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    /// `None` where the embedding serves as output too.
    lm_head: Option<Tensor>,
    latent_rows: Option<FittedRows>,
    inverse_frequencies: Vec<f32>,
}

impl TextModel {
    /// `language_model.*` and, where untied, `lm_head.weight`.
    pub fn load(loader: &Loader<'_>, config: &TextConfig) -> Result<Self> {
        let shape = [config.vocab_size, config.hidden_size];
        let tied = config.tied.unwrap_or_else(|| !loader.has("lm_head.weight"));
        let lm_head = (!tied).then(|| loader.tensor("lm_head.weight", &shape)).transpose()?;
        let layers = (0..config.num_layers)
            .map(|i| DecoderLayer::load(loader, &format!("language_model.layers.{i}"), config))
            .collect::<Result<_>>()?;
        Ok(Self {
            embed_tokens: loader.tensor("language_model.embed_tokens.weight", &shape)?,
            layers,
            norm: RmsNorm::load(loader, "language_model.norm", config.hidden_size, config.rms_norm_eps)?,
            lm_head,
            latent_rows: None,
            inverse_frequencies: inverse_frequencies(config.head_dim, config.mrope.theta),
            config: config.clone(),
        })
    }

    /// L.
    pub fn num_layers(&self) -> usize {
        self.layers.len()
    }

    /// Are the embedding rows the output rows too?
    pub fn is_tied(&self) -> bool {
        self.lm_head.is_none()
    }

    /// Puts latent rows in, or takes them out. They replace embedding rows, and output rows where tied.
    pub fn set_latent_rows(&mut self, rows: Option<&LatentRows>) -> Result<()> {
        self.latent_rows = match rows {
            None => None,
            Some(rows) => Some(FittedRows {
                rows: rows.rows.to_device(self.embed_tokens.device())?.to_dtype(self.embed_tokens.dtype())?,
                token_ids: rows.token_ids.clone(),
            }),
        };
        Ok(())
    }

    /// Every linear layer `LoRA` can go on.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.layers.iter_mut().flat_map(|layer| {
            let DecoderLayer { self_attn, mlp, .. } = layer;
            [
                &mut self_attn.q_proj,
                &mut self_attn.k_proj,
                &mut self_attn.v_proj,
                &mut self_attn.o_proj,
                &mut mlp.gate_proj,
                &mut mlp.up_proj,
                &mut mlp.down_proj,
            ]
        })
    }

    /// Embeddings of tokens, latent rows in place of theirs: [T] ids -> [T, D].
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        let latents: &[u32] = self.latent_rows.as_ref().map_or(&[], |rows| &rows.token_ids);
        let latent_row = |id: &u32| latents.iter().position(|latent| latent == id);
        let mut parts = Vec::new();
        for run in ids.chunk_by(|a, b| latent_row(a).is_some() == latent_row(b).is_some()) {
            let (table, index) = match (&self.latent_rows, latent_row(&run[0])) {
                (Some(latent_rows), Some(_)) => (
                    &latent_rows.rows,
                    run.iter().filter_map(|id| latent_row(id).map(|row| row as u32)).collect(),
                ),
                _ => (&self.embed_tokens, run.to_vec()),
            };
            parts.push(table.index_select(&Tensor::new(index, table.device())?, 0)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, 0)? })
    }

    /// Runs the decoder: [T, D] embeddings -> [T, D] after the final norm.
    pub fn forward(&self, mut pass: Pass<'_>, tap: &mut dyn Tap) -> Result<Tensor> {
        let mut x = pass.embeddings.clone();
        let angles = mrope_angles(pass.positions, &self.inverse_frequencies, &self.config.mrope);
        let rotary = Rotary::from_angles(&angles, self.inverse_frequencies.len(), x.dtype(), x.device())?;
        x = tap.on_hidden(Site::Embedding, &x)?.unwrap_or(x);
        for (i, layer) in self.layers.iter().enumerate() {
            let layer_idx = LayerIdx(i);
            tap.on_layer(layer_idx, self.layers.len())?;
            x = layer.forward(&x, layer_idx, &rotary, &mut pass, tap)?;
            x = tap.on_hidden(Site::AfterLayer(layer_idx), &x)?.unwrap_or(x);
            if let Some((positions, features)) = pass.deepstack
                && let Some(features) = features.get(i)
            {
                x = x.index_add(positions, features, 0)?;
            }
        }
        x = self.norm.forward(&x, pass.math)?;
        Ok(tap.on_hidden(Site::FinalNorm, &x)?.unwrap_or(x))
    }

    /// Output scores: [T, D] after the final norm -> [T, V], V grown by latents past the vocabulary.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let output = self.lm_head.as_ref().unwrap_or(&self.embed_tokens);
        let logits = hidden.matmul(&output.t()?)?;
        let (Some(latents), true) = (&self.latent_rows, self.is_tied()) else { return Ok(logits) };
        let vocab = self.config.vocab_size;
        let width = latents.token_ids.iter().map(|id| *id as usize + 1).max().unwrap_or(0).max(vocab);
        // An id that neither the vocabulary nor the latents have is never generated.
        let nothing = (vocab + latents.token_ids.len()) as u32;
        let mut columns: Vec<u32> =
            (0..width as u32).map(|id| if (id as usize) < vocab { id } else { nothing }).collect();
        for (i, id) in latents.token_ids.iter().enumerate() {
            columns[*id as usize] = (vocab + i) as u32;
        }
        let impossible = (logits.narrow(1, 0, 1)?.zeros_like()? + f64::NEG_INFINITY)?;
        let both = Tensor::cat(&[&logits, &hidden.matmul(&latents.rows.t()?)?, &impossible], D::Minus1)?;
        let columns = Tensor::from_vec(columns, width, hidden.device())?;
        Ok(both.index_select(&columns, 1)?)
    }
}

/// Rotary angles of each token: every frequency turns with the axis its section gives it.
///
/// Sectioned (Qwen2-VL, section 2.1): frequencies in three blocks, temporal, height, width.
/// Interleaved (Qwen3-VL): height and width take every third frequency, temporal the rest.
/// -> [T, `head_dim` / 2] in row order.
fn mrope_angles(positions: &[[i64; 3]], frequencies: &[f32], mrope: &MropeConfig) -> Vec<f32> {
    let section = mrope.section;
    let axis_of = |i: usize| -> usize {
        if mrope.interleaved {
            match i % 3 {
                axis @ (1 | 2) if i < section[axis] * 3 => axis,
                _ => 0,
            }
        } else {
            (i >= section[0]) as usize + (i >= section[0] + section[1]) as usize
        }
    };
    let axes: Vec<usize> = (0..frequencies.len()).map(axis_of).collect();
    positions
        .iter()
        .flat_map(|position| axes.iter().zip(frequencies).map(|(axis, f)| position[*axis] as f32 * f))
        .collect()
}
