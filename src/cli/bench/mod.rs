//! `livr bench`: the project's own measurements.

mod points;
#[cfg(feature = "offscreen")]
mod window;

use std::path::PathBuf;

use super::args::dtypes;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, value_parser};

use self::points::PointsArgs;
#[cfg(feature = "offscreen")]
use self::window::WindowBenchArgs;
use super::output::{print, print_json};
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::engine::bench::forward::{Forward, Report, RowsKept, forward};
use crate::engine::bench::load::{Load, LoadReport, load};
use crate::engine::bench::ops::{Ops, OpsReport, ops};
use crate::engine::bench::train::{Train, TrainReport, TrainedPart, train};
use crate::engine::bench::{NUM_LATENTS, SHAPES};
use crate::units::human_bytes;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Vision tower, prompt and decoding of one run, beside bare matrix products of the same size.
    Forward(ForwardArgs),
    /// Each operation beside its limit: the memory's bandwidth or the matrix kernel's peak, measured in the same run.
    Ops(OpsArgs),
    /// Opening a checkpoint beside reading its bytes, and the memory it takes.
    Load(LoadArgs),
    /// Steps of training a small model on packed batches.
    Train(BenchTrainArgs),
    /// Frames of a map of many points, beside frames of a thousand.
    Points(PointsArgs),
    /// Frames of the window with the demo's answer in it, and what it costs while nothing happens.
    #[cfg(feature = "offscreen")]
    Window(WindowBenchArgs),
}

impl BenchCommand {
    /// Runs it.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Forward(args) => run_forward(args),
            Self::Ops(args) => run_ops(&args),
            Self::Load(args) => run_load(args),
            Self::Train(args) => run_train(&args),
            Self::Points(args) => points::run(&args),
            #[cfg(feature = "offscreen")]
            Self::Window(args) => window::run(&args),
        }
    }
}

/// Options of `livr bench forward`. Lists measure every combination.
#[derive(Debug, Args)]
pub struct ForwardArgs {
    /// Shape of the model
    #[arg(long, value_parser = PossibleValuesParser::new(SHAPES.map(|(name, _)| name)))]
    shape: String,
    /// Decoder layers and vision blocks, at most; all by default
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    layers: Option<u32>,
    /// Prompt lengths, as 256,1024,4096; three quarters of each are visual tokens. Three of them give the fitted cost
    #[arg(long, value_name = "N", default_value = "1024", value_delimiter = ',', value_parser = value_parser!(u32).range(128..=32768))]
    tokens: Vec<u32>,
    /// Attention rows kept: off, of 16 latents (rows), of every token (full)
    #[arg(long, value_enum, default_value = "rows", value_delimiter = ',')]
    capture: Vec<RowsKept>,
    /// Element types and formats, as f32,bf16,q8
    #[arg(long, value_enum, default_value = "auto", value_delimiter = ',')]
    dtype: Vec<DtypeChoice>,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Tokens decoded; the median counts
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=256))]
    decode: u32,
    /// Times the images and the prompt are read; the median counts
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=100))]
    repeats: u32,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// Options of `livr bench ops`.
#[derive(Debug, Args)]
pub struct OpsArgs {
    /// Tokens
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = value_parser!(u32).range(16..=32768))]
    tokens: u32,
    /// Element type or format
    #[arg(long, default_value = "auto", value_parser = dtypes())]
    dtype: DtypeChoice,
    /// Times each is done; the median counts
    #[arg(long, default_value_t = 7, value_parser = value_parser!(u32).range(1..=1000))]
    repeats: u32,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// Options of `livr bench load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Checkpoint folder
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Element type or format
    #[arg(long, default_value = "auto", value_parser = dtypes())]
    dtype: DtypeChoice,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// Options of `livr bench train`.
#[derive(Debug, Args)]
pub struct BenchTrainArgs {
    /// What is trained
    #[arg(long, value_enum, default_value = "full")]
    trained: TrainedPart,
    /// Examples in a batch
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = value_parser!(u32).range(1..=1024))]
    batch: u32,
    /// Visual tokens on a side of each example's image
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u32).range(1..=32))]
    side: u32,
    /// Tokens of text, latents and answer of each example
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = value_parser!(u32).range(24..=4096))]
    text: u32,
    /// Steps; the median counts
    #[arg(long, default_value_t = 9, value_parser = value_parser!(u32).range(1..=10000))]
    steps: u32,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

fn run_forward(args: ForwardArgs) -> anyhow::Result<()> {
    let report = forward(&Forward {
        shape: args.shape,
        layers: args.layers.map(|layers| layers as usize),
        tokens: args.tokens.iter().map(|n| *n as usize).collect(),
        kept: args.capture,
        dtypes: args.dtype,
        device: args.device,
        decode: args.decode as usize,
        repeats: args.repeats as usize,
    })?;
    if args.json {
        print_json(&report);
    } else {
        show_forward(&report);
    }
    Ok(())
}

fn show_forward(r: &Report) {
    print(&format!("{}, {}, {}", r.shape, r.device, r.instructions));
    print(&format!("{} decoder layers, {} vision blocks; random weights", r.layers, r.vision_blocks));
    print(&format!(
        "{:6} {:>6} {:>7} {:>5} {:>10} {:>10} {:>12} {:>10} {:>9}",
        "type", "tokens", "visual", "rows", "vision s", "prompt s", "x products", "token s", "peak"
    ));
    for run in &r.runs {
        let kept = match run.kept {
            RowsKept::Off => "none".to_owned(),
            RowsKept::Rows => NUM_LATENTS.to_string(),
            RowsKept::Full => "all".to_owned(),
        };
        print(&format!(
            "{:6} {:>6} {:>7} {:>5} {:>10.3} {:>10.3} {:>12.2} {:>10.4} {:>9}",
            run.dtype,
            run.tokens,
            run.visual_tokens,
            kept,
            run.vision_secs,
            run.prompt_secs,
            run.prompt_over_matmul,
            run.decode_secs_per_token,
            run.peak_bytes.map_or_else(String::new, human_bytes)
        ));
    }
    for fitted in &r.costs {
        let cost = fitted.cost;
        print(&format!(
            "prompt of N tokens, {}, {} kept: {:.3} s + {:.3} ms N + {:.2} ns N²",
            fitted.dtype,
            match fitted.kept {
                RowsKept::Off => "no rows",
                RowsKept::Rows => "rows of latents",
                RowsKept::Full => "all rows",
            },
            cost.fixed,
            cost.per_token * 1e3,
            cost.per_pair * 1e9
        ));
    }
    for left_out in &r.left_out {
        print(&format!("left out: {left_out}"));
    }
}

fn run_ops(args: &OpsArgs) -> anyhow::Result<()> {
    let report =
        ops(&Ops { tokens: args.tokens as usize, dtype: args.dtype, repeats: args.repeats as usize })?;
    if args.json {
        print_json(&report);
    } else {
        show_ops(&report);
    }
    Ok(())
}

fn show_ops(r: &OpsReport) {
    print(&format!("{}, {}, {}; {} tokens", r.device, r.instructions, r.dtype, r.tokens));
    print(&format!(
        "limits in this run: {:.1} GB/s of memory, {:.0} GFLOP/s of products",
        r.bandwidth / 1e9,
        r.peak / 1e9
    ));
    print(&format!("{:28} {:>10} {:>10} {:>8}", "operation", "ms", "limit ms", "reached"));
    for op in &r.ops {
        print(&format!(
            "{:28} {:>10.3} {:>10.3} {:>6.0} % of {}",
            op.name,
            op.secs * 1e3,
            op.limit_secs * 1e3,
            op.share * 100.0,
            op.limit
        ));
    }
}

fn run_load(args: LoadArgs) -> anyhow::Result<()> {
    let report = load(&Load { model: args.model, dtype: args.dtype })?;
    if args.json {
        print_json(&report);
    } else {
        show_load(&report);
    }
    Ok(())
}

fn show_load(r: &LoadReport) {
    print(&format!("{} on disk, opened as {}", human_bytes(r.stored_bytes), r.dtype));
    print(&format!("reading   {:9.3} s", r.read_secs));
    print(&format!("opening   {:9.3} s  = {:.2} x reading", r.load_secs, r.load_secs / r.read_secs));
    print(&format!("weights   {:>9}  as computed before", human_bytes(r.need_bytes)));
    print(&format!("held      {:>9}", human_bytes(r.held_bytes)));
    if let Some(peak) = r.peak_bytes {
        let largest = human_bytes(r.largest_tensor_bytes);
        print(&format!("peak      {:>9}  (the largest tensor has {largest} as 16 bits)", human_bytes(peak)));
    }
}

fn run_train(args: &BenchTrainArgs) -> anyhow::Result<()> {
    let report = train(&Train {
        trained: args.trained,
        batch: args.batch as usize,
        side: args.side as usize,
        text: args.text as usize,
        steps: args.steps as usize,
    })?;
    if args.json {
        print_json(&report);
    } else {
        show_train(&report);
    }
    Ok(())
}

fn show_train(r: &TrainReport) {
    print(&format!("{}, {}; {} trained parameters", r.device, r.instructions, r.trained_parameters));
    print(&format!("{} tokens a batch", r.tokens));
    print(&format!("forward   {:9.4} s", r.forward_secs));
    print(&format!("backward  {:9.4} s", r.backward_secs));
    print(&format!("update    {:9.4} s", r.update_secs));
    print(&format!("speed     {:9.1} examples a second", r.examples_per_sec));
    print(&format!("loss      {:9.4} to {:.4}", r.loss[0], r.loss[1]));
    if let Some(peak) = r.peak_bytes {
        print(&format!("peak      {:>9}", human_bytes(peak)));
    }
}
