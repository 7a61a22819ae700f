//! Steps of training on a small model: one packed batch forward, backward, and `AdamW`.

use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use serde::Serialize;

use super::{NUM_LATENTS, shape};
use crate::array::Array;
use crate::checkpoint::adapter::LoraPair;
use crate::checkpoint::config::{ModelConfig, VisionKind};
use crate::engine::device;
use crate::error::Result;
use crate::input::positions::mrope_positions;
use crate::memory;
use crate::model::Model;
use crate::model::compute::Compute;
use crate::model::loader::{Loader, Random, Variables};
use crate::model::parts::Part;
use crate::model::text::{Pass, Sequence};
use crate::ops::isa::Isa;
use crate::progress::Unobserved;
use crate::settings::MaskKind;
use crate::units::{GridThw, Role, Span};

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Trained {
    /// Every weight.
    Full,
    /// Low-rank updates of rank 16 on the language model's linear layers, the vision tower frozen.
    Lora,
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Train {
    /// What is trained.
    pub trained: Trained,
    /// Examples in a batch, which go through as one.
    pub batch: usize,
    /// Visual tokens on a side of each example's image.
    pub side: usize,
    /// Tokens of text, latents and answer of each example.
    pub text: usize,
    /// Steps; the median counts.
    pub steps: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct TrainReport {
    /// What was trained.
    pub trained: Trained,
    /// Where it ran.
    pub device: String,
    /// With which instructions.
    pub instructions: &'static str,
    /// Values that are trained.
    pub trained_parameters: usize,
    /// Tokens of a batch, visual ones included.
    pub tokens: usize,
    /// Median of the forward pass, loss included.
    pub forward_secs: f64,
    /// Median of the backward pass.
    pub backward_secs: f64,
    /// Median of the update.
    pub update_secs: f64,
    /// Examples a second over all three.
    pub examples_per_sec: f64,
    /// The loss at the first and the last step.
    pub loss: [f32; 2],
    /// Most memory the process ever held.
    pub peak_bytes: Option<u64>,
    /// Of this program.
    pub version: &'static str,
}

/// A small model of the family that the demo is of: about 6 million parameters.
fn small() -> Result<ModelConfig> {
    let mut config = shape("qwen3-vl-2b").expect("a shape there is")?;
    let (text, vision) = (&mut config.text, &mut config.vision);
    (text.vocab_size, text.hidden_size, text.intermediate_size, text.num_layers) = (1024, 256, 768, 6);
    (text.num_heads, text.num_kv_heads, text.head_dim) = (8, 4, 32);
    text.rotary.axes = crate::checkpoint::config::RotaryAxes::Interleaved([6, 5, 5]);
    (vision.depth, vision.hidden_size, vision.intermediate_size, vision.num_heads) = (4, 192, 576, 6);
    (vision.out_hidden_size, vision.patch_size) = (256, 14);
    vision.kind = VisionKind::DeepStack { positions_per_side: 16, deepstack_blocks: vec![1, 3] };
    Ok(config)
}

/// One batch, its features and targets fixed.
struct Batch {
    patches: Array,
    grids: Vec<GridThw>,
    ids: Vec<u32>,
    spans: Vec<Span>,
    roles: Vec<Role>,
    positions: Vec<[i64; 3]>,
    /// Positions whose next token is a target.
    asked: Vec<u32>,
    targets: Vec<u32>,
    places: Tensor,
}

/// Answer tokens of an example.
const ANSWER: usize = 2;

impl Batch {
    fn new(args: &Train, config: &ModelConfig) -> Result<Self> {
        let merge = config.vision.merge_size;
        let grid = GridThw { t: 1, h: args.side * merge, w: args.side * merge };
        let (visual, length) = (args.side * args.side, args.side * args.side + args.text);
        let mut roles = vec![Role::Prompt; length];
        roles[2..2 + visual].fill(Role::Image);
        roles[length - ANSWER - NUM_LATENTS..length - ANSWER].fill(Role::Latent);
        roles[length - ANSWER..].fill(Role::Answer);
        let (own, _) = mrope_positions(roles.iter().map(|r| *r == Role::Image), &[grid], merge);
        let mut batch = Self {
            patches: Array::zeros(&[0]),
            grids: vec![grid; args.batch],
            ids: (0..args.batch * length).map(|i| (i * 7 % 1000) as u32).collect(),
            spans: Vec::new(),
            roles,
            positions: own.repeat(args.batch),
            asked: Vec::new(),
            targets: Vec::new(),
            places: Tensor::zeros(1, DType::U32, &Device::Cpu)?,
        };
        let count = args.batch * grid.num_patches() * config.vision.patch_dim();
        let values = (0..count).map(|i| ((i * 31 % 255) as f32) / 127.0 - 1.0).collect();
        batch.patches = Array::new([args.batch * grid.num_patches(), config.vision.patch_dim()], values);
        for example in 0..args.batch {
            let start = example * length;
            batch.spans.push(Span { start: start + 2, end: start + 2 + visual });
            for token in length - ANSWER..length {
                batch.asked.push((start + token - 1) as u32);
                batch.targets.push(batch.ids[start + token]);
            }
        }
        let places: Vec<u32> = batch.spans.iter().flat_map(|s| s.range()).map(|i| i as u32).collect();
        batch.places = Tensor::new(places, &Device::Cpu)?;
        Ok(batch)
    }

    fn loss(&self, model: &Model) -> Result<Tensor> {
        let compute = Compute::default();
        let features = model.encode_images(&self.patches, &self.grids, &compute)?;
        let rule = MaskKind::Bottleneck.rule();
        let sequence = || Sequence { roles: &self.roles, rule, cache: None, taps: Vec::new() };
        let pass = Pass {
            embeddings: model.embed(&self.ids, &self.spans, Some(&features))?,
            positions: &self.positions,
            sequences: (0..self.grids.len()).map(|_| sequence()).collect(),
            deepstack: Some((&self.places, &features.deepstack)),
            phase: None,
            compute,
        };
        let hidden = model.text.forward(pass)?;
        let asked = hidden.index_select(&Tensor::new(self.asked.clone(), &Device::Cpu)?, 0)?;
        Ok(model.text.losses(&asked, &self.targets, &compute)?.mean_all()?)
    }
}

/// Rank of the updates.
const RANK: usize = 16;

/// The model, and what of it is trained.
fn prepare(trained: Trained, config: &ModelConfig) -> Result<(Model, Vec<Var>)> {
    let (cpu, precision) = (Device::Cpu, DType::F32.into());
    if trained == Trained::Full {
        let variables = Variables::new(&Random);
        let model = Model::load(&Loader::new(&variables, precision, &cpu, &Unobserved), config)?;
        return Ok((model, variables.into_vars()));
    }
    let mut model = Model::load(&Loader::new(&Random, precision, &cpu, &Unobserved), config)?;
    let mut vars = Vec::new();
    model.text.each_part(&mut |part| {
        if let Part::Linear(linear) = part
            && linear.name() != "lm_head"
        {
            let (out_dim, in_dim) = linear.dims()?;
            let a = Var::rand(-0.1f32, 0.1, (RANK, in_dim), &cpu)?;
            let b = Var::zeros((out_dim, RANK), DType::F32, &cpu)?;
            let (a_tensor, b_tensor) = (a.as_tensor().clone(), b.as_tensor().clone());
            linear.set_lora(&LoraPair { a: a_tensor, b: b_tensor, scale: 2.0, magnitude: None })?;
            vars.extend([a, b]);
        }
        Ok(())
    })?;
    Ok((model, vars))
}

/// Measures it.
pub fn train(args: &Train) -> Result<TrainReport> {
    let config = small()?;
    let (model, vars) = prepare(args.trained, &config)?;
    let batch = Batch::new(args, &config)?;
    let trained_parameters = vars.iter().map(|var| var.elem_count()).sum();
    let mut optimizer = AdamW::new(vars, ParamsAdamW { lr: 1e-3, ..ParamsAdamW::default() })?;
    let (mut times, mut losses) = (Vec::new(), Vec::new());
    for _ in 0..args.steps {
        let started = Instant::now();
        let loss = batch.loss(&model)?;
        losses.push(loss.to_scalar::<f32>()?);
        let forward = started.elapsed().as_secs_f64();
        let grads = loss.backward()?;
        let backward = started.elapsed().as_secs_f64() - forward;
        optimizer.step(&grads)?;
        times.push([forward, backward, started.elapsed().as_secs_f64() - forward - backward]);
    }
    let median = |part: usize| {
        let mut part: Vec<f64> = times.iter().map(|time| time[part]).collect();
        part.sort_by(f64::total_cmp);
        part[part.len() / 2]
    };
    let [forward_secs, backward_secs, update_secs] = [0, 1, 2].map(median);
    Ok(TrainReport {
        trained: args.trained,
        device: device::describe(&Device::Cpu),
        instructions: Isa::best().name(),
        trained_parameters,
        tokens: batch.ids.len(),
        forward_secs,
        backward_secs,
        update_secs,
        examples_per_sec: args.batch as f64 / (forward_secs + backward_secs + update_secs),
        loss: [losses[0], losses[losses.len() - 1]],
        peak_bytes: memory::peak_bytes(),
        version: env!("CARGO_PKG_VERSION"),
    })
}
