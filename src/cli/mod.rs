//! The command line: each subcommand in its own file, all on the engine the window uses.

pub mod args;
pub mod ask;
pub mod output;
pub mod trace;

use clap::{Parser, Subcommand};

/// See where the latent tokens of a vision-language model look, what they hold, what they cause.
///
/// Without a subcommand it opens the window.
#[derive(Debug, Parser)]
#[command(name = "livr", version, about)]
pub struct Cli {
    /// What to do; nothing opens the window.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask about images: the answer, the choices, timings.
    Ask(ask::AskArgs),
    /// Run once and write everything captured to a safetensors file.
    Trace(trace::TraceArgs),
}

impl Command {
    /// Runs a subcommand to its end.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Ask(args) => ask::run(args),
            Self::Trace(args) => trace::run(args),
        }
    }
}
