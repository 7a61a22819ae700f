//! Steps of training on a small model: one packed batch forward, backward, and `AdamW`.

use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Device, Var};
use serde::Serialize;

use super::{NUM_LATENTS, shape};
use crate::array::Array;
use crate::ask::MaskKind;
use crate::checkpoint::config::{ModelConfig, VisionKind};
use crate::engine::device;
use crate::error::Result;
use crate::input::positions::mrope_positions;
use crate::memory;
use crate::model::Model;
use crate::model::compute::Compute;
use crate::model::loader::{Loader, Random, Variables};
use crate::ops::isa::Isa;
use crate::ops::tape;
use crate::progress::Unobserved;
use crate::train::{AdamW, Example, Recipe, Seen, Trained as Values, Updates, clip, losses};
use crate::units::{GridThw, Role, Span};

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainedPart {
    /// Every weight, the vision tower's too.
    Full,
    /// Low-rank updates of rank 16 on the language model's linear layers, and the latents' rows; features of the
    /// frozen vision tower are at hand, as they are from the second epoch on.
    Lora,
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Train {
    /// What is trained.
    pub trained: TrainedPart,
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
    pub trained: TrainedPart,
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

/// Answer tokens of an example.
const ANSWER: usize = 2;

/// Examples of one length, made of fixed numbers.
fn examples(args: &Train, config: &ModelConfig, model: &Model) -> Result<Vec<Arc<Example>>> {
    let merge = config.vision.merge_size;
    let grid = GridThw { t: 1, h: args.side * merge, w: args.side * merge };
    let (visual, length) = (args.side * args.side, args.side * args.side + args.text);
    let mut roles = vec![Role::Prompt; length];
    roles[2..2 + visual].fill(Role::Image);
    roles[length - ANSWER - NUM_LATENTS..length - ANSWER].fill(Role::Latent);
    roles[length - ANSWER..].fill(Role::Answer);
    let (positions, _) = mrope_positions(roles.iter().map(|r| *r == Role::Image), &[grid], merge);
    let num_values = grid.num_patches() * config.vision.patch_dim();
    let example = |number: usize| {
        let value = |i: usize| (((number * num_values + i) * 31 % 255) as f32) / 127.0 - 1.0;
        let patches =
            Array::new([grid.num_patches(), config.vision.patch_dim()], (0..num_values).map(value).collect());
        let ids: Vec<u32> = (0..length).map(|i| ((number * length + i) * 7 % 1000) as u32).collect();
        let seen = match args.trained {
            TrainedPart::Full => Seen::Pixels(patches),
            TrainedPart::Lora => {
                Seen::Features(model.encode_images(&patches, &[grid], &Compute::default())?.detached())
            }
        };
        Ok(Arc::new(Example {
            targets: ids[length - ANSWER..].to_vec(),
            ids,
            roles: roles.clone(),
            positions: positions.clone(),
            image_spans: vec![Span { start: 2, end: 2 + visual }],
            grids: vec![grid],
            seen,
            grounded: crate::train::Grounded::default(),
        }))
    };
    (0..args.batch).map(example).collect()
}

/// The recipe of what is measured.
fn recipe(trained: TrainedPart) -> Recipe {
    const TEXT: &str = "variant = \"livr\"\n[data]\ntrain = [\"none\"]\n[optimizer]\nlearning_rate = 1e-3\n";
    let mut recipe =
        Recipe::parse(TEXT, std::path::Path::new("benchmark")).expect("a recipe of this program");
    recipe.updates = Some(match trained {
        TrainedPart::Full => Updates::Everything,
        TrainedPart::Lora => Updates::Lora,
    });
    recipe.resolved(1)
}

/// The model, and what of it is trained.
fn prepare(trained: TrainedPart, config: &ModelConfig, recipe: &Recipe) -> Result<(Model, Values)> {
    let is_trained = |_: &str| trained == TrainedPart::Full;
    let random = Random::new(0);
    let variables = Variables::new(&random, &is_trained);
    let loader = Loader::new(&variables, DType::F32.into(), &Device::Cpu, &Unobserved);
    let mut model = Model::load(&loader, config)?;
    let weights: Vec<(String, Var)> = variables.into_vars();
    let token_ids: Vec<u32> = (1000..1000 + NUM_LATENTS as u32).collect();
    let values = Values::attach(&mut model, recipe, &token_ids, weights, None)?;
    Ok((model, values))
}

/// Measures it.
pub fn train(args: &Train) -> Result<TrainReport> {
    let (config, recipe) = (small()?, recipe(args.trained));
    let (model, trained) = prepare(args.trained, &config, &recipe)?;
    let examples = examples(args, &config, &model)?;
    let mut adamw = AdamW::new(&recipe.optimizer, trained.values.iter().map(|value| value.var.elem_count()));
    let (mut times, mut steps) = (Vec::new(), Vec::new());
    for step in 0..args.steps {
        let compute = Compute { dropout: Some(step as u64), ..Compute::default() };
        let started = Instant::now();
        let loss = losses(&model, &examples, MaskKind::Bottleneck.rule(), &compute)?.mean_all()?;
        steps.push(loss.to_scalar::<f32>()?);
        let forward = started.elapsed().as_secs_f64();
        let grads = tape::backward(&loss)?;
        let backward = started.elapsed().as_secs_f64() - forward;
        let grad = |value: &crate::train::TrainedValue| match grads.get(value.var.as_tensor())? {
            Some(grad) => Ok(grad),
            None => Ok(value.var.zeros_like()?),
        };
        let grads = trained.values.iter().map(grad).collect::<Result<Vec<_>>>()?;
        let (_, scale) = clip(&grads, 1.0)?;
        adamw.begin();
        for (i, (value, grad)) in trained.values.iter().zip(&grads).enumerate() {
            adamw.update(i, &value.var, grad, scale, 1e-3, 0.01)?;
        }
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
        trained_parameters: trained.num_values(),
        tokens: examples.iter().map(|example| example.ids.len()).sum(),
        forward_secs,
        backward_secs,
        update_secs,
        examples_per_sec: args.batch as f64 / (forward_secs + backward_secs + update_secs),
        loss: [steps[0], steps[steps.len() - 1]],
        peak_bytes: memory::peak_bytes(),
        version: env!("CARGO_PKG_VERSION"),
    })
}
