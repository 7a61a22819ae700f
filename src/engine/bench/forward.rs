//! Vision tower, prompt and decoding, by precision, what is captured, and length.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::fit::Cost;
use super::{NUM_LATENTS, grid_for, limit, median_secs, shape, timed};
use crate::array::Array;
use crate::ask::{DeviceChoice, DtypeChoice, MaskKind};
use crate::checkpoint::config::TextConfig;
use crate::engine::answer::RowCollector;
use crate::engine::device;
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
use crate::ops::linear::linear_of;
use crate::ops::matmul::RowsOf;
use crate::ops::weight::{Precision, Weight};
use crate::progress::Unobserved;
use crate::units::{GridThw, Role, Span, human_bytes};

/// Which attention rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowsKept {
    /// None.
    Off,
    /// Of 16 latents.
    Rows,
    /// Of every token.
    Full,
}

/// What is measured: every precision, at every length, with everything kept.
#[derive(Debug, Clone)]
pub struct Forward {
    /// One of [`super::SHAPES`].
    pub shape: String,
    /// Decoder layers and vision blocks, at most.
    pub layers: Option<usize>,
    /// Prompt lengths; three quarters of each are visual tokens.
    pub tokens: Vec<usize>,
    /// Attention rows kept.
    pub kept: Vec<RowsKept>,
    /// Element types and formats.
    pub dtypes: Vec<DtypeChoice>,
    /// Where it runs.
    pub device: DeviceChoice,
    /// Tokens decoded.
    pub decode: usize,
    /// Times each part is done; the median counts.
    pub repeats: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which shape.
    pub shape: String,
    /// Where it ran.
    pub device: String,
    /// With which instructions.
    pub instructions: &'static str,
    /// Decoder layers.
    pub layers: usize,
    /// Vision blocks.
    pub vision_blocks: usize,
    /// Each combination.
    pub runs: Vec<Measured>,
    /// The prompt's time by its length, where there are three lengths.
    pub costs: Vec<Fitted>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
    /// Of this program.
    pub version: &'static str,
}

/// One combination.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Precision.
    pub dtype: &'static str,
    /// Attention rows kept.
    pub kept: RowsKept,
    /// Prompt length.
    pub tokens: usize,
    /// Visual tokens among them.
    pub visual_tokens: usize,
    /// Making the random weights.
    pub weights_secs: f64,
    /// The vision tower, median.
    pub vision_secs: f64,
    /// The prompt, median.
    pub prompt_secs: f64,
    /// One decoded token, median.
    pub decode_secs_per_token: f64,
    /// Matrix products of the prompt's linear layers alone, in this run.
    pub matmul_secs: f64,
    /// `prompt_secs` over `matmul_secs`.
    pub prompt_over_matmul: f64,
    /// Most memory the process ever held, so far.
    pub peak_bytes: Option<u64>,
}

/// The prompt's time by its length.
#[derive(Debug, Serialize)]
pub struct Fitted {
    /// Precision.
    pub dtype: &'static str,
    /// Attention rows kept.
    pub kept: RowsKept,
    /// Its cost.
    pub cost: Cost,
}

/// Measures every combination.
///
/// # Errors
/// A device that is not there or has no room, a precision that it does not compute in.
pub fn forward(args: &Forward) -> Result<Report> {
    let device = device::open(args.device)?;
    let mut config = shape(&args.shape).expect("the command line offers only shapes there are")?;
    if let Some(layers) = args.layers {
        limit(&mut config, layers);
    }
    let mut report = Report {
        shape: args.shape.clone(),
        device: device::describe(&device),
        instructions: Isa::best().name(),
        layers: config.text.num_layers,
        vision_blocks: config.vision.depth,
        runs: Vec::new(),
        costs: Vec::new(),
        left_out: Vec::new(),
        version: env!("CARGO_PKG_VERSION"),
    };
    for choice in &args.dtypes {
        let precision = device::resolve(*choice, &device, DType::BF16)?;
        let load = || Model::load(&Loader::new(&Random::new(0), precision, &device, &Unobserved), &config);
        let (model, weights_secs) = timed(load)?;
        for tokens in &args.tokens {
            measure(args, &model, *tokens, weights_secs, &mut report)?;
        }
        for kept in &args.kept {
            let own = report.runs.iter().filter(|run| run.dtype == precision.name() && run.kept == *kept);
            let measured: Vec<(usize, f64)> = own.map(|run| (run.tokens, run.prompt_secs)).collect();
            let fitted =
                Cost::fit(&measured).map(|cost| Fitted { dtype: precision.name(), kept: *kept, cost });
            report.costs.extend(fitted);
        }
    }
    Ok(report)
}

/// All that is kept, at one length.
fn measure(
    args: &Forward,
    model: &Model,
    tokens: usize,
    weights_secs: f64,
    report: &mut Report,
) -> Result<()> {
    let (config, precision) = (&model.config, model.precision());
    let grid = grid_for(tokens * 3 / 4, config.vision.merge_size);
    let patches = Array::zeros(&[grid.num_patches(), config.vision.patch_dim()]);
    let mut features = None;
    let vision_secs = median_secs(args.repeats, || {
        features = Some(model.encode_images(&patches, &[grid], &Compute::default())?);
        Ok(model.device().synchronize()?)
    })?;
    let features = features.expect("encoded at least once");
    let matmul_secs = bare_products(&config.text, tokens, precision, model.device())?;
    for kept in &args.kept {
        let bytes = match kept {
            RowsKept::Full => 4 * (config.text.num_layers * config.text.num_heads * tokens * tokens) as u64,
            RowsKept::Rows | RowsKept::Off => 0,
        };
        if let Some(free) = memory::free_bytes().filter(|free| bytes > *free) {
            let (need, free) = (human_bytes(bytes), human_bytes(free));
            let what = format!("{} at {tokens} tokens, every row kept", precision.name());
            report.left_out.push(format!("{what}: needs {need}, {free} are free"));
            continue;
        }
        let mut text = TextBench::new(model, grid, &features, tokens, *kept, args.decode);
        let prompt_secs = median_secs(args.repeats, || text.read_prompt())?;
        let decode_secs_per_token = median_secs(args.decode, || text.decode())?;
        report.runs.push(Measured {
            dtype: precision.name(),
            kept: *kept,
            tokens,
            visual_tokens: grid.num_visual_tokens(config.vision.merge_size),
            weights_secs,
            vision_secs,
            prompt_secs,
            decode_secs_per_token,
            matmul_secs,
            prompt_over_matmul: prompt_secs / matmul_secs,
            peak_bytes: memory::peak_bytes(),
        });
    }
    Ok(())
}

/// A prompt of one image and the latents, read and gone on from.
struct TextBench<'a> {
    model: &'a Model,
    features: &'a VisualFeatures,
    span: Span,
    roles: Vec<Role>,
    positions: Vec<[i64; 3]>,
    next_position: i64,
    cache: KvCache,
    num_tokens: usize,
    kept: RowsKept,
}

impl<'a> TextBench<'a> {
    fn new(
        model: &'a Model,
        grid: GridThw,
        features: &'a VisualFeatures,
        num_tokens: usize,
        kept: RowsKept,
        decode: usize,
    ) -> Self {
        let merge_size = model.config.vision.merge_size;
        let span = Span { start: 4, end: 4 + grid.num_visual_tokens(merge_size) };
        let mut roles = vec![Role::Prompt; num_tokens];
        roles[span.range()].fill(Role::Image);
        roles[num_tokens - NUM_LATENTS..].fill(Role::Latent);
        let (positions, next_position) =
            mrope_positions(roles.iter().map(|r| *r == Role::Image), &[grid], merge_size);
        let cache = KvCache::new(model.config.text.num_layers, num_tokens + decode);
        Self { model, features, span, roles, positions, next_position, cache, num_tokens, kept }
    }

    fn read_prompt(&mut self) -> Result<()> {
        self.cache.truncate(0);
        self.roles.truncate(self.num_tokens);
        let device = self.model.device();
        let places = Tensor::new(self.span.range().map(|i| i as u32).collect::<Vec<_>>(), device)?;
        let ids = vec![0u32; self.num_tokens];
        let rows = match self.kept {
            RowsKept::Off => 0..0,
            RowsKept::Rows => self.num_tokens - NUM_LATENTS..self.num_tokens,
            RowsKept::Full => 0..self.num_tokens,
        };
        let mut rows = RowCollector::new(rows.collect());
        let pass = Pass {
            embeddings: self.model.embed(&ids, &[self.span], Some(self.features))?,
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
        Ok(device.synchronize()?)
    }

    fn decode(&mut self) -> Result<()> {
        let place = self.cache.len();
        self.roles.push(Role::Answer);
        let position = self.next_position + (place - self.num_tokens) as i64;
        let mut rows = RowCollector::new(if self.kept == RowsKept::Off { Vec::new() } else { vec![place] });
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
            compute: Compute::default().of_steps(),
        };
        let hidden = self.model.text.forward(pass)?;
        self.model.text.logits(&hidden, &Compute::default().of_steps())?;
        Ok(self.model.device().synchronize()?)
    }
}

/// Seconds for the products of the linear layers alone, each shape timed and counted for all layers.
fn bare_products(c: &TextConfig, num_tokens: usize, precision: Precision, device: &Device) -> Result<f64> {
    let (q, kv) = (c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim);
    let (d, m) = (c.hidden_size, c.intermediate_size);
    let of = if num_tokens == 1 { RowsOf::Steps } else { RowsOf::Whole };
    let mut total = 0.0;
    for (inner, outer, count) in [(d, q, 1), (d, kv, 2), (q, d, 1), (d, m, 2), (m, d, 1)] {
        let x = Tensor::ones((num_tokens, inner), precision.dtype, device)?;
        let w = Tensor::ones((outer, inner), precision.dtype, device)?;
        let w = match precision.quantised {
            Some(format) => Weight::packed(&w, format)?,
            None => Weight::new(w)?,
        };
        let secs = median_secs(3, || {
            linear_of(&x, &w, None, of, Isa::best())?;
            Ok(device.synchronize()?)
        })?;
        total += secs * f64::from(count);
    }
    Ok(total * c.num_layers as f64)
}
