//! `livr bench`: the project's own measurements.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};

use super::output::{print, print_json};
use crate::engine::bench::{Forward, NUM_LATENTS, Report, SHAPES, forward};
use crate::settings::{DeviceChoice, DtypeChoice};
use crate::units::human_bytes;

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
            Self::Forward(args) => run_forward(args),
        }
    }
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
    #[arg(long, value_parser = PossibleValuesParser::new(SHAPES.map(|(name, _)| name)))]
    shape: String,
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

fn run_forward(args: ForwardArgs) -> anyhow::Result<()> {
    let json = args.json;
    let report = forward(&Forward {
        shape: args.shape,
        layers: args.layers.map(|layers| layers as usize),
        tokens: args.tokens as usize,
        capture: args.capture == Switch::On,
        dtype: args.dtype,
        device: args.device,
        decode: args.decode as usize,
        repeats: args.repeats as usize,
    })?;
    if json {
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
