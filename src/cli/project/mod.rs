//! `livr project`: hidden states of a data set's tokens, or anyone's, as a layout of two dimensions.

mod data;
mod said;

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueEnum};
use serde::Serialize;

use self::said::{Said, line, spoken, told};
use super::args::ModelArgs;
use super::condition_args::{ConditionArgs, StatesOnly};
use super::output::{Terminal, print, print_json};
use crate::app::parts::states::ColourBy;
use crate::atomic;
use crate::data::matrix;
use crate::engine::study::Share;
use crate::error::Result;
use crate::export::csv;
use crate::export::layout_file::{self, PointOrigin};
use crate::export::scatter::{self, Scatter};
use crate::progress::Observer;
use crate::projection::align::onto;
use crate::projection::rows::InMemory;
use crate::projection::tsne::DescentSchedule;
use crate::projection::{Init, LayoutEngine, Options, prepare};
use crate::units::Role;

/// The number of points, which bounds it from above, is known later.
fn perplexity(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 1.0 && value.is_finite() => Ok(value),
        _ => Err(format!("expected a number from 1, found {text}")),
    }
}

/// Options of `livr project`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true)))]
pub struct ProjectArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Data file whose samples are run; their states are kept beside the result, with the ending .states
    #[arg(long, value_name = "FILE", group = "what")]
    data: Option<PathBuf>,
    /// Any states instead, floats: .npy, or safetensors with x [P, D]
    #[arg(long, value_name = "FILE", group = "what")]
    states: Option<PathBuf>,
    /// Safetensors file for the layout
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// 0 for the embedding, 1 to L for the output of a layer, the last after the final norm; last; or all, a layout of
    /// each, turned onto the one before
    #[arg(long, value_name = "N", default_value = "last")]
    layer: Layers,
    /// Tokens that are mapped
    #[arg(long, value_enum, num_args = 1.., default_values = ["latent", "image", "text"])]
    role: Vec<Tokens>,
    /// How many neighbours count, about
    #[arg(long, value_name = "X", default_value_t = 30.0, value_parser = perplexity, allow_negative_numbers = true)]
    perplexity: f64,
    /// Steps; the first third of them, 250 at most, with exaggerated attraction
    #[arg(long, value_name = "N", default_value_t = 750, value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// Principal components that distances are taken in, or off
    #[arg(long, value_name = "D", default_value = "50")]
    pca: Components,
    /// Where points begin
    #[arg(long, value_enum, default_value_t)]
    init: Init,
    /// What makes the layout
    #[arg(long, value_enum, default_value_t)]
    engine: LayoutEngine,
    /// Begin at the layout of the same points in this file, of another checkpoint say, and turn the result onto it
    #[arg(long, value_name = "FILE")]
    onto: Option<PathBuf>,
    /// Print the words that tokens of each role would say at each layer, were no layer to follow (logit lens)
    #[arg(long, conflicts_with = "states")]
    words: bool,
    /// One seed, one layout
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Threads, all of the processor's unless told otherwise
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    #[command(flatten)]
    condition: ConditionArgs<StatesOnly>,
    /// Only keep the states of the i-th of n shares of the samples, as 1/4; livr study collect puts them together
    #[arg(long, value_name = "I/N", conflicts_with = "states")]
    shard: Option<Share>,
    /// Samples that go through the model together
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// Only the first so many samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// A picture too: .svg, .pdf or .png; of several layers the last
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// What its points are coloured by
    #[arg(long, value_enum, default_value_t)]
    colour: ColourBy,
    /// A table too: x, y and what each point is of, as CSV
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// Which layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layers {
    Last,
    All,
    One(usize),
}

impl std::str::FromStr for Layers {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "last" => Ok(Self::Last),
            "all" => Ok(Self::All),
            number => number
                .parse()
                .map(Self::One)
                .ok()
                .ok_or_else(|| format!("expected last, all or a number from 0, found {text}")),
        }
    }
}

/// How many components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Components(Option<usize>);

impl std::str::FromStr for Components {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            number => match number.parse() {
                Ok(count) if count >= 2 => Ok(Self(Some(count))),
                _ => Err(format!("expected off or a number from 2, found {text}")),
            },
        }
    }
}

/// The roles by which figures call them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tokens {
    Latent,
    Image,
    Text,
}

impl Tokens {
    fn role(self) -> Role {
        match self {
            Self::Latent => Role::Latent,
            Self::Image => Role::Image,
            Self::Text => Role::Prompt,
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data serialises")
}

/// Runs it.
pub fn run(args: &ProjectArgs) -> anyhow::Result<()> {
    let inputs: Vec<PathBuf> = args.data.iter().chain(&args.states).chain(&args.onto).cloned().collect();
    args.model.check_output(&args.out, &inputs)?;
    for more in args.picture.iter().chain(&args.table) {
        args.model.check_output(more, &inputs)?;
    }
    args.picture.as_deref().map(scatter::ending).transpose()?;
    args.table.as_deref().map(csv::check_ending).transpose()?;
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global()?;
    }
    let terminal = Terminal::new();
    let said = match &args.states {
        Some(states) => alone(args, states, &terminal),
        None => data::of_data(args, &terminal),
    }?;
    terminal.finish();
    if args.json {
        print_json(&said);
    } else {
        for map in &said {
            print(&line(map));
            map.measures.iter().flat_map(told).for_each(|line| print(&line));
            map.words.iter().map(spoken).for_each(|line| print(&line));
        }
    }
    Ok(())
}

impl ProjectArgs {
    fn options(&self) -> Options {
        Options {
            perplexity: self.perplexity,
            components: self.pca.0,
            init: self.init,
            engine: self.engine,
            seed: self.seed,
            schedule: DescentSchedule::of_steps(self.iterations as usize),
        }
    }

    fn write(
        &self,
        places: &[[f32; 2]],
        marks: &[PointOrigin],
        said: &[Said],
        more: &[(&str, String)],
    ) -> Result<()> {
        let one_or_all = |of: &dyn Fn(&Said) -> String| match said {
            [one] => of(one),
            all => format!("[{}]", all.iter().map(of).collect::<Vec<_>>().join(", ")),
        };
        let mut metadata = vec![
            ("kl", one_or_all(&|said| said.kl.to_string())),
            ("seconds", one_or_all(&|said| json(&said.seconds))),
            ("quality", one_or_all(&|said| json(&said.quality))),
            ("measures", one_or_all(&|said| json(&said.measures))),
            ("perplexity", self.perplexity.to_string()),
            ("iterations", self.iterations.to_string()),
            ("engine", json(&self.engine).trim_matches('"').to_owned()),
            ("seed", self.seed.to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        metadata.extend(more.iter().cloned());
        layout_file::write(&self.out, places, marks, &metadata)
    }
}

/// A layout of states that are nobody's tokens.
fn alone(args: &ProjectArgs, path: &Path, observer: &dyn Observer) -> Result<Vec<Said>> {
    let states = matrix::read(path)?;
    let (options, width) = (args.options(), states.shape()[1]);
    let rows = InMemory::new(states.data(), width);
    let prepared = prepare(&rows, &options, observer)?;
    let other = args.onto.as_deref().map(layout_file::read).transpose()?;
    if let (Some(other), Some(path)) = (&other, &args.onto) {
        other.is_of(states.shape()[0], path)?;
    }
    let before = other.as_ref().map(|other| &other.places[..]);
    let mut map = prepared.map(&options, before, observer, &mut |_| ())?;
    if let Some(before) = before {
        onto(&mut map.places, before);
    }
    let yardstick = prepared.yardstick(&rows, observer)?;
    let groups = vec![0; map.places.len()];
    let quality = prepared.quality(&rows, &yardstick, &map.places, &groups, observer)?;
    let (points, kl, seconds) = (map.places.len(), map.divergence, map.seconds);
    let said = vec![Said { layer: None, points, kl, quality, measures: None, words: Vec::new(), seconds }];
    args.write(&map.places, &[], &said, &[])?;
    if let Some(picture) = &args.picture {
        let points = map.places.iter().map(|place| (*place, [0, 114, 178])).collect();
        let title = format!("{points_said} points", points_said = map.places.len());
        scatter::write(&Scatter { title, points, legend: Vec::new() }, picture)?;
    }
    if let Some(table) = &args.table {
        atomic::write(table, |out| {
            writeln!(out, "x,y")?;
            map.places.iter().try_for_each(|[x, y]| writeln!(out, "{x},{y}"))
        })?;
    }
    Ok(said)
}
