//! The command line: each subcommand in its own file, all on the engine the window uses.

pub mod accuracies;
mod args;
pub mod ask;
pub mod bench;
pub mod check;
pub mod compare;
pub mod completions;
mod condition_args;
pub mod download;
pub mod eval;
pub mod experiment;
mod figure;
mod means;
pub mod output;
pub mod project;
#[cfg(feature = "offscreen")]
pub mod screenshot;
pub mod study;
pub mod tasks;
pub mod trace;
pub mod train;
mod values;
pub mod window;
mod window_args;

use clap::{Parser, Subcommand};

/// See where the latent tokens of a vision-language model look, what they hold, what they cause.
///
/// Without a subcommand it opens the window.
#[derive(Debug, Parser)]
#[command(name = "livr", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; nothing opens the window.
    #[command(subcommand)]
    pub command: Option<CliCommand>,
    /// What the window opens with.
    #[command(flatten)]
    pub window: window_args::WindowArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Ask about images: the answer, the choices, timings.
    Ask(ask::AskArgs),
    /// Run once and write everything captured to a safetensors file.
    Trace(trace::TraceArgs),
    /// Say what a checkpoint folder is and what it lacks, without reading weights.
    Check(check::CheckArgs),
    /// Bring a checkpoint or an adapter from the Hugging Face Hub into its cache.
    Download(download::DownloadArgs),
    /// Make a figure of a sample's images under maps, of one model or of several.
    Figure(Box<figure::FigureArgs>),
    /// Make a picture of the window, with or without a display.
    #[cfg(feature = "offscreen")]
    Screenshot(Box<screenshot::ScreenshotArgs>),
    /// Open the window with a session in it.
    Open(window::OpenArgs),
    /// Answer a data set: accuracy and predictions.
    Eval(eval::EvalArgs),
    /// Compare results of the same samples, paired: differences with intervals, exact tests.
    Compare(compare::CompareArgs),
    /// Ask a data set of several adapters under sets of conditions, paired: tables, findings, charts.
    #[command(visible_alias = "experiment")]
    Battery(experiment::ExperimentArgs),
    /// Ask models x conditions x records, as a file says; put shares together.
    #[command(subcommand)]
    Study(study::StudyCommand),
    /// Average the states of the latents over a data set, to be put in the latents' place.
    Means(means::MeansArgs),
    /// Map the hidden states of a data set's tokens, or any states, in two dimensions.
    Project(Box<project::ProjectArgs>),
    /// Make data for the nine tasks.
    Tasks(tasks::TasksArgs),
    /// Train adapters or a whole model.
    Train(train::TrainArgs),
    /// Complete this program's commands and options in a shell.
    Completions(completions::CompletionsArgs),
    /// Write a manual page for each command.
    Man(completions::ManArgs),
    /// Measure.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
}

impl Cli {
    /// Runs what was asked for; nothing asked for is the window.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Some(command) => command.run(),
            None => window::run(&self.window),
        }
    }
}

impl CliCommand {
    /// Runs a subcommand to its end.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Ask(args) => ask::run(&args),
            Self::Trace(args) => trace::run(args),
            Self::Check(args) => check::run(&args),
            Self::Download(args) => download::run(&args),
            Self::Figure(args) => figure::run(&args),
            #[cfg(feature = "offscreen")]
            Self::Screenshot(args) => screenshot::screenshot(&args),
            Self::Open(args) => window::open_session(&args),
            Self::Eval(args) => eval::run(&args),
            Self::Compare(args) => compare::run(&args),
            Self::Battery(args) => experiment::run(&args),
            Self::Study(command) => command.run(),
            Self::Means(args) => means::run(&args),
            Self::Project(args) => project::run(&args),
            Self::Tasks(args) => tasks::run(&args),
            Self::Train(args) => train::run(args),
            Self::Completions(args) => completions::run(&args),
            Self::Man(args) => completions::man(&args),
            Self::Bench(command) => command.run(),
        }
    }
}
