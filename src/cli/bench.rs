//! `livr bench`: the project's own measurements, on random weights of published shapes.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::output::{print, print_json};
use crate::checkpoint::config::{
    Activation, Family, ModelConfig, MropeConfig, TextConfig, VisionConfig, VisionKind,
};
use crate::device::{DeviceChoice, DtypeChoice, describe, human_bytes, peak_memory_bytes};
use crate::error::Result;
use crate::input::positions::mrope_positions;
use crate::model::Model;
use crate::model::cache::KvCache;
use crate::model::layers::Math;
use crate::model::loader::Loader;
use crate::model::mask::Mask;
use crate::model::tap::Tap;
use crate::model::text::Pass;
use crate::progress::Unobserved;
use crate::settings::MaskKind;
use crate::trace::Array;
use crate::units::{GridThw, LayerIdx, Role, Span};

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Vision tower, prompt and decoding of one run, beside bare matrix products of the same size.
    Forward(ForwardArgs),
}

impl BenchCommand {
    /// Runs it.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Forward(args) => forward(&args),
        }
    }
}

/// Published shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Qwen2.5-VL-3B-Instruct.
    #[value(name = "qwen2.5-vl-3b")]
    Qwen2_5Vl3b,
    /// Qwen2.5-VL-7B-Instruct.
    #[value(name = "qwen2.5-vl-7b")]
    Qwen2_5Vl7b,
    /// Qwen3-VL-4B-Instruct.
    #[value(name = "qwen3-vl-4b")]
    Qwen3Vl4b,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// Options of `livr bench forward`.
#[derive(Debug, Args)]
pub struct ForwardArgs {
    /// Shape of the model
    #[arg(long, value_enum)]
    shape: Shape,
    /// Decoder layers and vision blocks, at most; all by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    layers: Option<u32>,
    /// Prompt length; three quarters of it are visual tokens
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..=32768))]
    tokens: u32,
    /// Keep the attention rows of 16 latents
    #[arg(long, value_enum, default_value_t = Switch::On)]
    capture: Switch,
    /// Element type
    #[arg(long, value_enum, default_value_t = DtypeChoice::Auto)]
    dtype: DtypeChoice,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Tokens decoded
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    decode: u32,
    /// Times the prompt is read; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeats: u32,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    shape: String,
    device: String,
    dtype: &'static str,
    layers: usize,
    vision_blocks: usize,
    tokens: usize,
    visual_tokens: usize,
    capture: bool,
    weights_secs: f64,
    vision_secs: f64,
    prompt_secs: f64,
    decode_secs_per_token: f64,
    /// Matrix products of the prompt's linear layers alone, in this run.
    matmul_secs: f64,
    /// `prompt_secs` over `matmul_secs`.
    prompt_over_matmul: f64,
    peak_bytes: Option<u64>,
    version: &'static str,
}

const NUM_LATENTS: usize = 16;

/// Keeps rows as a run would.
struct Rows {
    rows: Vec<usize>,
    kept: usize,
}

impl Tap for Rows {
    fn rows(&self) -> &[usize] {
        &self.rows
    }

    fn on_attention(&mut self, _layer: LayerIdx, probs: Tensor) -> Result<()> {
        self.kept += crate::model::generate::to_host(&probs)?.data.len();
        Ok(())
    }
}

fn forward(args: &ForwardArgs) -> anyhow::Result<()> {
    let device = args.device.open()?;
    let dtype = args.dtype.resolve(&device);
    let mut config = config(args.shape);
    if let Some(layers) = args.layers {
        limit(&mut config, layers as usize);
    }
    let num_tokens = args.tokens as usize;
    let grid = grid_for(num_tokens * 3 / 4, config.vision.merge_size);
    let visual = grid.num_visual_tokens(config.vision.merge_size);

    let started = Instant::now();
    let model = Model::load(&Loader::random(dtype, &device), &config)?;
    let weights_secs = started.elapsed().as_secs_f64();

    let started = Instant::now();
    let patches = Array::zeros(&[grid.num_patches(), config.vision.patch_dim()]);
    let features = model.encode_images(&patches, &[grid], Math::Fused, &Unobserved)?;
    device.synchronize()?;
    let vision_secs = started.elapsed().as_secs_f64();

    let span = Span { start: 4, end: 4 + visual };
    let mut roles = vec![Role::Prompt; num_tokens];
    roles[span.range()].fill(Role::Image);
    roles[num_tokens - NUM_LATENTS..].fill(Role::Latent);
    let (positions, next) =
        mrope_positions(roles.iter().map(|r| *r == Role::Image), &[grid], config.vision.merge_size);
    let ids = vec![0u32; num_tokens];
    let embeddings = model.embed(&ids, &[span], Some(&features))?;
    let places = Tensor::new(span.range().map(|i| i as u32).collect::<Vec<_>>(), &device)?;
    let rows: Vec<usize> = if args.capture == Switch::On {
        (num_tokens - NUM_LATENTS..num_tokens).collect()
    } else {
        Vec::new()
    };

    let mut prompt_times = Vec::new();
    let mut cache = KvCache::new(config.text.num_layers, num_tokens + args.decode as usize);
    for _ in 0..args.repeats {
        cache.truncate(0);
        let started = Instant::now();
        let mask = Mask::new(MaskKind::Bottleneck, &roles, num_tokens, &device)?;
        let pass = Pass {
            embeddings: embeddings.clone(),
            positions: &positions,
            mask: &mask,
            deepstack: Some((&places, &features.deepstack)),
            cache: Some(&mut cache),
            math: Math::Fused,
        };
        let hidden = model.text.forward(pass, &mut Rows { rows: rows.clone(), kept: 0 })?;
        model.text.logits(&hidden.narrow(0, num_tokens - 1, 1)?)?;
        device.synchronize()?;
        cache.advance(num_tokens);
        prompt_times.push(started.elapsed().as_secs_f64());
    }
    prompt_times.sort_by(f64::total_cmp);
    let prompt_secs = prompt_times[prompt_times.len() / 2];

    let started = Instant::now();
    for step in 0..args.decode as usize {
        roles.push(Role::Answer);
        let mask = Mask::new(MaskKind::Bottleneck, &roles, 1, &device)?;
        let pass = Pass {
            embeddings: model.text.embed(&[0])?,
            positions: &[[next + step as i64; 3]],
            mask: &mask,
            deepstack: None,
            cache: Some(&mut cache),
            math: Math::Fused,
        };
        let hidden = model.text.forward(pass, &mut Rows { rows: vec![0], kept: 0 })?;
        model.text.logits(&hidden)?;
        device.synchronize()?;
        cache.advance(1);
    }
    let decode_secs_per_token = started.elapsed().as_secs_f64() / f64::from(args.decode);
    let matmul_secs = bare_products(&config.text, num_tokens, dtype, &device)?;

    let report = Report {
        shape: args.shape.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned()),
        device: describe(&device),
        dtype: dtype.as_str(),
        layers: config.text.num_layers,
        vision_blocks: config.vision.depth,
        tokens: num_tokens,
        visual_tokens: visual,
        capture: args.capture == Switch::On,
        weights_secs,
        vision_secs,
        prompt_secs,
        decode_secs_per_token,
        matmul_secs,
        prompt_over_matmul: prompt_secs / matmul_secs,
        peak_bytes: peak_memory_bytes(),
        version: env!("CARGO_PKG_VERSION"),
    };
    if args.json {
        print_json(&report);
    } else {
        show(&report);
    }
    Ok(())
}

fn show(r: &Report) {
    print(&format!("{}, {}, {}", r.shape, r.device, r.dtype));
    print(&format!("{} decoder layers, {} vision blocks", r.layers, r.vision_blocks));
    print(&format!(
        "{} tokens, {} of them visual; rows of {NUM_LATENTS} latents {}",
        r.tokens,
        r.visual_tokens,
        if r.capture { "kept" } else { "not kept" }
    ));
    print(&format!("weights   {:9.3} s  (random)", r.weights_secs));
    print(&format!("vision    {:9.3} s", r.vision_secs));
    print(&format!(
        "prompt    {:9.3} s  = {:.2} x its bare matrix products ({:.3} s)",
        r.prompt_secs, r.prompt_over_matmul, r.matmul_secs
    ));
    print(&format!("decode    {:9.3} s per token", r.decode_secs_per_token));
    if let Some(peak) = r.peak_bytes {
        print(&format!("peak      {:>9}", human_bytes(peak)));
    }
}

/// Seconds for the products of the linear layers alone, each shape timed once and counted for all layers.
fn bare_products(c: &TextConfig, num_tokens: usize, dtype: DType, device: &Device) -> Result<f64> {
    let (q, kv) = (c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim);
    let (d, m) = (c.hidden_size, c.intermediate_size);
    let mut total = 0.0;
    for (inner, outer, count) in [(d, q, 1), (d, kv, 2), (q, d, 1), (d, m, 2), (m, d, 1)] {
        let x = Tensor::ones((num_tokens, inner), dtype, device)?;
        let w = Tensor::ones((outer, inner), dtype, device)?;
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let started = Instant::now();
            x.matmul(&w.t()?)?;
            device.synchronize()?;
            best = best.min(started.elapsed().as_secs_f64());
        }
        total += best * f64::from(count);
    }
    Ok(total * c.num_layers as f64)
}

/// A landscape grid of about so many visual tokens.
fn grid_for(visual_tokens: usize, merge_size: usize) -> GridThw {
    let rows = ((visual_tokens as f64 / 1.5).sqrt() as usize).max(1);
    let cols = (visual_tokens / rows).max(1);
    GridThw { t: 1, h: rows * merge_size, w: cols * merge_size }
}

fn limit(config: &mut ModelConfig, layers: usize) {
    config.text.num_layers = config.text.num_layers.min(layers);
    let depth = config.vision.depth.min(layers);
    config.vision.depth = depth;
    match &mut config.vision.kind {
        VisionKind::Windowed { full_attention_blocks: blocks, .. }
        | VisionKind::DeepStack { deepstack_blocks: blocks, .. } => {
            blocks.retain(|block| *block < depth);
        }
    }
}

/// Shapes as published in the models' config.json.
fn config(shape: Shape) -> ModelConfig {
    let qwen2_5 =
        |hidden_size, intermediate_size, num_layers, num_heads, num_kv_heads, vocab_size, tied| ModelConfig {
            family: Family::Qwen2_5Vl,
            text: TextConfig {
                vocab_size,
                hidden_size,
                intermediate_size,
                num_layers,
                num_heads,
                num_kv_heads,
                head_dim: 128,
                max_positions: 128_000,
                rms_norm_eps: 1e-6,
                mrope: MropeConfig { section: [16, 24, 24], interleaved: false, theta: 1e6 },
                qkv_bias: true,
                output_bias: false,
                qk_norm: false,
                tied: Some(tied),
            },
            vision: VisionConfig {
                depth: 32,
                hidden_size: 1280,
                intermediate_size: 3420,
                num_heads: 16,
                out_hidden_size: hidden_size,
                in_channels: 3,
                patch_size: 14,
                temporal_patch_size: 2,
                merge_size: 2,
                rope_theta: 1e4,
                activation: Activation::Silu,
                kind: VisionKind::Windowed { window_size: 112, full_attention_blocks: vec![7, 15, 23, 31] },
            },
            image_token_id: 151_655,
            eos_token_ids: vec![151_645],
        };
    match shape {
        Shape::Qwen2_5Vl3b => qwen2_5(2048, 11_008, 36, 16, 2, 151_936, true),
        Shape::Qwen2_5Vl7b => qwen2_5(3584, 18_944, 28, 28, 4, 152_064, false),
        Shape::Qwen3Vl4b => ModelConfig {
            family: Family::Qwen3Vl,
            text: TextConfig {
                vocab_size: 151_936,
                hidden_size: 2560,
                intermediate_size: 9728,
                num_layers: 36,
                num_heads: 32,
                num_kv_heads: 8,
                head_dim: 128,
                max_positions: 262_144,
                rms_norm_eps: 1e-6,
                mrope: MropeConfig { section: [24, 20, 20], interleaved: true, theta: 5e6 },
                qkv_bias: false,
                output_bias: false,
                qk_norm: true,
                tied: Some(true),
            },
            vision: VisionConfig {
                depth: 24,
                hidden_size: 1024,
                intermediate_size: 4096,
                num_heads: 16,
                out_hidden_size: 2560,
                in_channels: 3,
                patch_size: 16,
                temporal_patch_size: 2,
                merge_size: 2,
                rope_theta: 1e4,
                activation: Activation::GeluTanh,
                kind: VisionKind::DeepStack { positions_per_side: 48, deepstack_blocks: vec![5, 11, 17] },
            },
            image_token_id: 151_655,
            eos_token_ids: vec![151_645],
        },
    }
}
