//! The layers of the decoder.

use candle_core::Tensor;

use super::changes::{PathEnd, PathPart, PathStart, with_head};
use super::compute::Compute;
use super::linear::Linear;
use super::loader::Loader;
use super::norm::{Norm, gate};
use super::parts::{Part, Visit};
use super::pass::PassState;
use crate::checkpoint::config::{Activation, TextConfig};
use crate::error::Result;
use crate::ops::elementwise::add;
use crate::ops::tape;
use crate::units::LayerIdx;

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

    /// Paths that begin at heads of this layer take what they add from the heads' outputs, [T, H, d].
    fn begin_paths(&self, mixed: &Tensor, layer: LayerIdx, shared: &mut PassState<'_, '_>) -> Result<()> {
        let compute = shared.compute;
        for (start, first, own) in shared.rewired() {
            for path in own.paths.iter_mut().filter(|path| path.is_of_pass(first)) {
                let PathStart::Head(at, head) = path.start else { continue };
                if at != layer.0 {
                    continue;
                }
                let own = path.rows_of(mixed, start, first)?;
                let beside = path.beside(&own.narrow(1, head, 1)?.squeeze(1)?)?;
                let nothing = own.zeros_like()?;
                let wide = with_head(&nothing, head, &beside.unsqueeze(1)?)?;
                let flat = |x: &Tensor| x.reshape((x.dims()[0], self.num_heads * self.head_dim));
                // Without the bias, which the head does not add.
                let added = self.o_proj.forward(&flat(&wide)?, &compute)?;
                path.delta = Some((added - self.o_proj.forward(&flat(&nothing)?, &compute)?)?);
            }
        }
        Ok(())
    }

    /// Paths that end at heads of this layer: what these read of the layer's input x [T, D] with what the path adds.
    fn end_paths(
        &self,
        x: &Tensor,
        norm: &Norm,
        layer: LayerIdx,
        shared: &mut PassState<'_, '_>,
    ) -> Result<()> {
        let (compute, rotary) = (shared.compute, shared.rotary.clone());
        for (start, first, own) in shared.rewired() {
            for i in 0..own.paths.len() {
                let path = &own.paths[i];
                let PathEnd::Head(at, head, part) = path.end else { continue };
                let Some(delta) = path.delta.as_ref().filter(|_| at == layer.0 && path.is_of_pass(first))
                else {
                    continue;
                };
                let read = norm.forward(&(path.rows_of(x, start, first)? + delta)?, &compute)?;
                let group = self.num_heads / self.num_kv_heads;
                let (projection, norm, heads, head) = match part {
                    PathPart::Queries => (&self.q_proj, self.q_norm.as_ref(), self.num_heads, head),
                    PathPart::Keys => (&self.k_proj, self.k_norm.as_ref(), self.num_kv_heads, head / group),
                    PathPart::Values => (&self.v_proj, None, self.num_kv_heads, head / group),
                };
                let y = projection.forward(&read, &compute)?;
                let mut y = y.reshape((path.tokens.len(), heads, self.head_dim))?;
                if let Some(norm) = norm {
                    y = norm.forward(&y, &compute)?;
                }
                if part != PathPart::Values {
                    y = rotary.rows(&path.places(start, first))?.apply(&y, &compute)?;
                }
                own.take_end(layer.0, i, y.narrow(1, head, 1)?);
            }
        }
        Ok(())
    }

    /// x: [T, D] -> [T, D].
    fn forward(&self, x: &Tensor, layer: LayerIdx, shared: &mut PassState<'_, '_>) -> Result<Tensor> {
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
        self.begin_paths(&mixed, layer, shared)?;
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
pub(super) struct DecoderLayer {
    input_layernorm: Norm,
    self_attn: SelfAttention,
    post_attention_layernorm: Norm,
    mlp: Mlp,
}

impl DecoderLayer {
    pub fn load(loader: &Loader<'_>, name: &str, c: &TextConfig) -> Result<Self> {
        let norm = |part: &str| Norm::rms(loader, &format!("{name}.{part}"), c.hidden_size, c.rms_norm_eps);
        Ok(Self {
            input_layernorm: norm("input_layernorm")?,
            self_attn: SelfAttention::load(loader, &format!("{name}.self_attn"), c)?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            mlp: Mlp::load(loader, &format!("{name}.mlp"), c)?,
        })
    }

    pub fn forward(&self, x: &Tensor, layer: LayerIdx, shared: &mut PassState<'_, '_>) -> Result<Tensor> {
        let compute = shared.compute;
        self.self_attn.end_paths(x, &self.input_layernorm, layer, shared)?;
        let normed = self.input_layernorm.forward(x, &compute)?;
        let x = add(x, &self.self_attn.forward(&normed, layer, shared)?, compute.isa)?;
        let normed = self.post_attention_layernorm.forward(&x, &compute)?;
        add(&x, &self.mlp.forward(&normed, &compute)?, compute.isa)
    }

    pub fn each_part(&mut self, visit: &mut Visit<'_>) -> Result<()> {
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
