//! The project's own measurements, on random weights of published shapes.

use std::path::PathBuf;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use super::collector::RowCollector;
use super::device;
use crate::array::Array;
use crate::checkpoint::config::{ModelConfig, TextConfig, VisionKind};
use crate::checkpoint::json::Json;
use crate::error::Result;
use crate::input::positions::mrope_positions;
use crate::memory;
use crate::model::Model;
use crate::model::cache::KvCache;
use crate::model::compute::Compute;
use crate::model::loader::{Loader, Random};
use crate::model::text::{Pass, Sequence};
use crate::model::vision::VisualFeatures;
use crate::ops::isa::Isa;
use crate::ops::linear::linear;
use crate::ops::weight::{Precision, Weight};
use crate::progress::Unobserved;
use crate::settings::{DeviceChoice, DtypeChoice, MaskKind};
use crate::units::{GridThw, Role, Span};

/// Published shapes: name, and the `config.json` as published.
pub const SHAPES: [(&str, &str); 5] = [
    ("qwen2.5-vl-3b", include_str!("../../assets/shapes/qwen2.5-vl-3b.json")),
    ("qwen2.5-vl-7b", include_str!("../../assets/shapes/qwen2.5-vl-7b.json")),
    ("qwen3-vl-2b", include_str!("../../assets/shapes/qwen3-vl-2b.json")),
    ("qwen3-vl-4b", include_str!("../../assets/shapes/qwen3-vl-4b.json")),
    ("qwen3-vl-8b", include_str!("../../assets/shapes/qwen3-vl-8b.json")),
];

/// Latents at the end of the prompt.
pub const NUM_LATENTS: usize = 16;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Forward {
    /// One of [`SHAPES`].
    pub shape: String,
    /// Decoder layers and vision blocks, at most.
    pub layers: Option<usize>,
    /// Prompt length; three quarters of it are visual tokens.
    pub tokens: usize,
    /// Keep the attention rows of the latents.
    pub capture: bool,
    /// Element type.
    pub dtype: DtypeChoice,
    /// Where it runs.
    pub device: DeviceChoice,
    /// Tokens decoded.
    pub decode: usize,
    /// Times the prompt is read; the median counts.
    pub repeats: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which shape.
    pub shape: String,
    /// Where it ran.
    pub device: String,
    /// Element type.
    pub dtype: &'static str,
    /// Decoder layers.
    pub layers: usize,
    /// Vision blocks.
    pub vision_blocks: usize,
    /// Prompt length.
    pub tokens: usize,
    /// Visual tokens among them.
    pub visual_tokens: usize,
    /// Were attention rows kept?
    pub capture: bool,
    /// Making the random weights.
    pub weights_secs: f64,
    /// The vision tower.
    pub vision_secs: f64,
    /// The prompt, median.
    pub prompt_secs: f64,
    /// One decoded token, mean.
    pub decode_secs_per_token: f64,
    /// Matrix products of the prompt's linear layers alone, in this run.
    pub matmul_secs: f64,
    /// `prompt_secs` over `matmul_secs`.
    pub prompt_over_matmul: f64,
    /// Most memory the process ever held.
    pub peak_bytes: Option<u64>,
    /// Of this program.
    pub version: &'static str,
}

/// The config of a published shape.
pub fn shape(name: &str) -> Option<Result<ModelConfig>> {
    let (name, text) = SHAPES.iter().find(|(known, _)| *known == name)?;
    let value = serde_json::from_str(text).expect("shapes are valid JSON; a test reads them all");
    Some(ModelConfig::from_json(&Json::new(value, PathBuf::from(format!("{name}.json")))))
}

/// Vision tower, prompt and decoding of one run, beside bare matrix products of the same size.
pub fn forward(args: &Forward) -> Result<Report> {
    let device = device::open(args.device)?;
    let precision = device::resolve(args.dtype, &device, DType::BF16)?;
    let mut config = shape(&args.shape).expect("the command line offers only shapes there are")?;
    if let Some(layers) = args.layers {
        limit(&mut config, layers);
    }
    let grid = grid_for(args.tokens * 3 / 4, config.vision.merge_size);
    let started = Instant::now();
    let model = Model::load(&Loader::new(&Random, precision, &device, &Unobserved), &config)?;
    let weights_secs = started.elapsed().as_secs_f64();

    let started = Instant::now();
    let patches = Array::zeros(&[grid.num_patches(), config.vision.patch_dim()]);
    let features = model.encode_images(&patches, &[grid], &Compute::default())?;
    device.synchronize()?;
    let vision_secs = started.elapsed().as_secs_f64();

    let mut text = TextBench::new(&model, grid, features, args);
    let mut prompt_times = (0..args.repeats).map(|_| text.read_prompt()).collect::<Result<Vec<_>>>()?;
    prompt_times.sort_by(f64::total_cmp);
    let prompt_secs = prompt_times[prompt_times.len() / 2];
    let decode_secs = (0..args.decode).map(|_| text.decode()).sum::<Result<f64>>()?;
    let matmul_secs = bare_products(&config.text, args.tokens, precision, &device)?;
    Ok(Report {
        shape: args.shape.clone(),
        device: device::describe(&device),
        dtype: precision.name(),
        layers: config.text.num_layers,
        vision_blocks: config.vision.depth,
        tokens: args.tokens,
        visual_tokens: grid.num_visual_tokens(config.vision.merge_size),
        capture: args.capture,
        weights_secs,
        vision_secs,
        prompt_secs,
        decode_secs_per_token: decode_secs / args.decode as f64,
        matmul_secs,
        prompt_over_matmul: prompt_secs / matmul_secs,
        peak_bytes: memory::peak_bytes(),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// A prompt of one image and the latents, read and gone on from.
struct TextBench<'a> {
    model: &'a Model,
    features: VisualFeatures,
    span: Span,
    roles: Vec<Role>,
    positions: Vec<[i64; 3]>,
    next_position: i64,
    cache: KvCache,
    num_tokens: usize,
    capture: bool,
}

impl<'a> TextBench<'a> {
    fn new(model: &'a Model, grid: GridThw, features: VisualFeatures, args: &Forward) -> Self {
        let merge_size = model.config.vision.merge_size;
        let span = Span { start: 4, end: 4 + grid.num_visual_tokens(merge_size) };
        let mut roles = vec![Role::Prompt; args.tokens];
        roles[span.range()].fill(Role::Image);
        roles[args.tokens - NUM_LATENTS..].fill(Role::Latent);
        let (positions, next_position) =
            mrope_positions(roles.iter().map(|r| *r == Role::Image), &[grid], merge_size);
        let cache = KvCache::new(model.config.text.num_layers, args.tokens + args.decode);
        Self {
            model,
            features,
            span,
            roles,
            positions,
            next_position,
            cache,
            num_tokens: args.tokens,
            capture: args.capture,
        }
    }

    fn read_prompt(&mut self) -> Result<f64> {
        self.cache.truncate(0);
        self.roles.truncate(self.num_tokens);
        let device = self.model.device();
        let places = Tensor::new(self.span.range().map(|i| i as u32).collect::<Vec<_>>(), device)?;
        let ids = vec![0u32; self.num_tokens];
        let embeddings = self.model.embed(&ids, &[self.span], Some(&self.features))?;
        let started = Instant::now();
        let kept = if self.capture { self.num_tokens - NUM_LATENTS..self.num_tokens } else { 0..0 };
        let mut rows = RowCollector::new(kept.collect());
        let pass = Pass {
            embeddings,
            positions: &self.positions,
            sequences: vec![Sequence {
                roles: &self.roles,
                rule: MaskKind::Bottleneck.rule(),
                cache: Some(&mut self.cache),
                taps: vec![&mut rows],
            }],
            deepstack: Some((&places, &self.features.deepstack)),
            phase: None,
            compute: Compute::default(),
        };
        let hidden = self.model.text.forward(pass)?;
        self.model.text.logits(&hidden.narrow(0, self.num_tokens - 1, 1)?, &Compute::default())?;
        device.synchronize()?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn decode(&mut self) -> Result<f64> {
        let started = Instant::now();
        let place = self.cache.len();
        self.roles.push(Role::Answer);
        let position = self.next_position + (place - self.num_tokens) as i64;
        let mut rows = RowCollector::new(if self.capture { vec![place] } else { Vec::new() });
        let pass = Pass {
            embeddings: self.model.text.embedding().forward(&[0])?,
            positions: &[[position; 3]],
            sequences: vec![Sequence {
                roles: &self.roles,
                rule: MaskKind::Bottleneck.rule(),
                cache: Some(&mut self.cache),
                taps: vec![&mut rows],
            }],
            deepstack: None,
            phase: None,
            compute: Compute::default(),
        };
        let hidden = self.model.text.forward(pass)?;
        self.model.text.logits(&hidden, &Compute::default())?;
        self.model.device().synchronize()?;
        Ok(started.elapsed().as_secs_f64())
    }
}

/// Seconds for the products of the linear layers alone, each shape timed once and counted for all layers.
fn bare_products(c: &TextConfig, num_tokens: usize, precision: Precision, device: &Device) -> Result<f64> {
    let (q, kv) = (c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim);
    let (d, m) = (c.hidden_size, c.intermediate_size);
    let mut total = 0.0;
    for (inner, outer, count) in [(d, q, 1), (d, kv, 2), (q, d, 1), (d, m, 2), (m, d, 1)] {
        let x = Tensor::ones((num_tokens, inner), precision.dtype, device)?;
        let w = Tensor::ones((outer, inner), precision.dtype, device)?;
        let w = match precision.quantised {
            Some(format) => Weight::packed(&w, format)?,
            None => Weight::new(w)?,
        };
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let started = Instant::now();
            linear(&x, &w, None, Isa::best())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_by_the_parser_of_checkpoints() {
        let read: Vec<ModelConfig> = SHAPES.iter().map(|(name, _)| shape(name).unwrap().unwrap()).collect();
        let sizes: Vec<[usize; 4]> = read
            .iter()
            .map(|c| [c.text.num_layers, c.text.hidden_size, c.text.num_heads, c.text.num_kv_heads])
            .collect();
        let expected =
            [[36, 2048, 16, 2], [28, 3584, 28, 4], [28, 2048, 16, 8], [36, 2560, 32, 8], [36, 4096, 32, 8]];
        assert_eq!(sizes, expected);
        let tied: Vec<bool> = read.iter().filter_map(|c| c.text.tied).collect();
        assert_eq!(tied, [true, false, true, true, false]);
        assert!(shape("gpt-2").is_none());
    }
}
