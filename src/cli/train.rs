//! `livr train`: from a recipe to a folder that opens as an adapter or a checkpoint.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};

use super::output::{Terminal, note, print, print_json};
use crate::ask::DeviceChoice;
use crate::engine::training::{Begun, TrainOrder, TrainWatch, Validation, train};
use crate::error::Result;
use crate::progress::{Observer, Progress};
use crate::train::{ResultChoice, Step};

/// Options of `livr train`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).multiple(true)))]
pub struct TrainArgs {
    /// TOML file that says what to train on what; with --resume that of the folder
    #[arg(long, value_name = "FILE", group = "which")]
    recipe: Option<PathBuf>,
    /// Folder of the run, new or empty; the result is opened from it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on with a run that was stopped, from its last saved state
    #[arg(long, group = "which")]
    resume: bool,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// Says what happens, a line every few seconds.
struct Log {
    terminal: Terminal,
    last: std::cell::Cell<Option<Instant>>,
}

impl Observer for Log {
    fn progress(&self, progress: Progress) -> Result<()> {
        self.terminal.progress(progress)
    }

    fn note(&self, text: &str) {
        self.terminal.note(text);
    }
}

impl TrainWatch for Log {
    fn begun(&self, begun: &Begun) {
        self.say(&format!(
            "{} samples, {} for validation; {} steps, {} values trained",
            begun.samples[0], begun.samples[1], begun.total_steps, begun.trained_values
        ));
        if let Some(step) = begun.before.steps.last() {
            self.say(&format!("going on after step {}", step.step));
        }
    }

    fn stepped(&self, step: &Step, total: usize) {
        const INTERVAL: Duration = Duration::from_secs(5);
        let due = self.last.get().is_none_or(|last| last.elapsed() >= INTERVAL);
        if due || step.ends_stage {
            self.last.set(Some(Instant::now()));
            self.say(&format!(
                "stage {} step {}/{total} epoch {:.2}: loss {:.4}, gradient {:.3}, rate {:.2e}, {:.1} examples/s",
                step.stage,
                step.step,
                step.epoch,
                step.loss,
                step.grad_norm,
                step.rate,
                step.examples as f64 / step.secs.max(1e-9)
            ));
        }
    }

    fn validated(&self, validation: &Validation) {
        let all = &validation.all;
        let tasks: Vec<String> = validation
            .tasks
            .iter()
            .filter(|_| validation.tasks.len() > 1)
            .map(|(task, own)| format!("{task} {:.1}", 100.0 * own.accuracy))
            .collect();
        let tasks = if tasks.is_empty() { String::new() } else { format!(" ({})", tasks.join(", ")) };
        self.say(&format!(
            "validation after step {}: {:.1} % of {} [{:.1}, {:.1}]{tasks}",
            validation.step,
            100.0 * all.accuracy,
            all.samples,
            100.0 * all.interval[0],
            100.0 * all.interval[1]
        ));
    }
}

impl Log {
    fn say(&self, text: &str) {
        self.terminal.finish();
        note(text);
    }
}

/// Runs it.
pub fn run(args: TrainArgs) -> anyhow::Result<()> {
    let order = TrainOrder {
        recipe: args.recipe,
        prepare: None,
        out: args.out,
        resume: args.resume,
        device: args.device,
    };
    let log = Log { terminal: Terminal::new(), last: std::cell::Cell::new(None) };
    let trained = train(&order, &log)?;
    log.terminal.finish();
    if args.json {
        print_json(&trained);
        return Ok(());
    }
    let which = match trained.keep {
        ResultChoice::Best => "the best checkpoint of the last stage",
        ResultChoice::Final => "the last checkpoint",
    };
    let accuracy = trained
        .accuracy
        .map_or_else(String::new, |a| format!(", {:.1} % of the validation samples", 100.0 * a));
    print(&format!("{} steps in {:.0} s: {which}{accuracy}", trained.steps, trained.seconds));
    print(&format!("result in {}", trained.folder.display()));
    Ok(())
}
