//! `livr tasks`: data for the nine tasks, and contact sheets of them.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde::Serialize;

use super::output::{Terminal, print, print_json};
use crate::atomic;
use crate::data::draw::marks::Ink;
use crate::data::tasks::{Counts, Photos, Task, TasksOrder, make, sheet};
use crate::units::counted;

/// Most samples of a task, which take a day or so.
const MOST: i64 = 1_000_000;

/// Options of `livr tasks`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("number").required(true)), group(ArgGroup::new("place").required(true)))]
pub struct TasksArgs {
    /// all, a task, grounded, or a simpler task
    #[arg(value_name = "NAME", value_parser = parse_tasks, long_help = long_help())]
    tasks: Tasks,
    /// Samples of each task: a tenth each goes into validation and test
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST), group = "number")]
    count: Option<u32>,
    /// Samples of each task for train, validation and test, instead of the shares
    #[arg(long, value_name = "N,N,N", value_parser = parse_split, group = "number")]
    split: Option<Counts>,
    /// Decides every sample: the same seed makes the same bytes
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Folder to write to, new or empty
    #[arg(long, value_name = "DIR", group = "place")]
    out: Option<PathBuf>,
    /// Photographs for jigsaw, visual correspondence, art style and visual similarity [default: drawn scenes]
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Pixels on a side of an image
    #[arg(long, value_name = "N", default_value_t = 336, value_parser = clap::value_parser!(u32).range(56..=2048))]
    side: u32,
    /// Draw each letter's marks in its own colour: for images too small to read letters in
    #[arg(long)]
    colours: bool,
    /// Write what is true of places of the images too: for pre-training
    #[arg(long)]
    grounding: bool,
    /// Write a contact sheet of the first samples to this PNG instead; only for one task
    #[arg(long, value_name = "FILE", group = "place")]
    sheet: Option<PathBuf>,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

fn long_help() -> String {
    let names = |tasks: &[Task]| tasks.iter().map(|task| task.name()).collect::<Vec<_>>().join(", ");
    format!(
        "all, or one of {}; grounded, or one of the simpler tasks for pre-training: {}",
        names(&Task::ALL),
        names(&Task::GROUNDED)
    )
}

/// The tasks a name stands for.
#[derive(Debug, Clone)]
struct Tasks(Vec<Task>);

fn parse_tasks(text: &str) -> Result<Tasks, String> {
    match text {
        "all" => Ok(Tasks(Task::ALL.to_vec())),
        "grounded" => Ok(Tasks(Task::GROUNDED.to_vec())),
        name => match name.parse() {
            Ok(task) => Ok(Tasks(vec![task])),
            Err(problem) => Err(problem.replacen("expected all or", "expected all, grounded or", 1)),
        },
    }
}

fn parse_split(text: &str) -> Result<Counts, String> {
    let wrong =
        || format!("expected three numbers up to {MOST}, as 800,100,100, not all of them 0, found {text}");
    let numbers = text.split(',').map(|part| part.trim().parse::<usize>().ok()).collect::<Option<Vec<_>>>();
    let counts: [usize; 3] = numbers.ok_or_else(wrong)?.try_into().map_err(|_other| wrong())?;
    let is_fine = counts.iter().all(|count| *count as i64 <= MOST) && counts != [0; 3];
    if is_fine { Ok(Counts(counts)) } else { Err(wrong()) }
}

#[derive(Serialize)]
struct Report {
    files: Vec<FileReport>,
    seed: u64,
    version: &'static str,
}

#[derive(Serialize)]
struct FileReport {
    path: PathBuf,
    samples: usize,
}

/// Runs it.
pub fn run(args: &TasksArgs) -> anyhow::Result<()> {
    let order = TasksOrder {
        tasks: args.tasks.0.clone(),
        counts: args.split.unwrap_or_else(|| Counts::shared_out(args.count.unwrap_or(0) as usize)),
        seed: args.seed,
        side: args.side,
        ink: if args.colours { Ink::ByLetter } else { Ink::Red },
        grounding: args.grounding,
        images: args.images.clone(),
    };
    if let Some(path) = &args.sheet {
        return write_sheet(args, order, path);
    }
    let out = args.out.as_ref().expect("clap asks for it");
    let terminal = Terminal::new();
    let made = make(&order, out, &terminal)?;
    terminal.finish();
    if args.json {
        let files = made.files.into_iter().map(|(path, samples)| FileReport { path, samples }).collect();
        print_json(&Report { files, seed: args.seed, version: env!("CARGO_PKG_VERSION") });
        return Ok(());
    }
    for (path, samples) in made.files {
        print(&format!("{} in {}", counted(samples, "sample"), path.display()));
    }
    Ok(())
}

fn write_sheet(args: &TasksArgs, order: TasksOrder, path: &std::path::Path) -> anyhow::Result<()> {
    let [task] = order.tasks[..] else { anyhow::bail!("--sheet: expected one task, found all") };
    let photos = match &order.images {
        Some(folder) => {
            let [train, ..] = Photos::share(folder, order.seed)?;
            train
        }
        None => Photos::Scenes,
    };
    let count = args.count.map_or(order.counts.0[0], |count| count as usize);
    let order = TasksOrder { counts: Counts([count, 0, 0]), ..order };
    let columns = if matches!(task, Task::Counting | Task::ObjectLocalization | Task::RelativeReflectance) {
        5
    } else {
        2
    };
    let picture = sheet(&order, task, &photos, count, columns)?;
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::from_path(path)?)?;
    atomic::write(path, |out| out.write_all(bytes.get_ref()))?;
    Ok(())
}
