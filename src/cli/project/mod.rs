//! `livr project`: hidden states of a data set's tokens, or anyone's, as a map of two dimensions.

mod said;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use self::said::{Said, line, samples, told};
use super::args::ModelArgs;
use super::output::{Terminal, print, print_json};
use crate::app::projection::{ColourBy, Colours};
use crate::atomic;
use crate::data::sample::Sample;
use crate::data::{dataset, matrix};
use crate::engine::models::Models;
use crate::engine::project::{Layout, Plan, States, collect, map_layers};
use crate::error::{Error, Result};
use crate::export::layout_file::{self, Mark};
use crate::export::scatter::{self, Scatter};
use crate::memory;
use crate::model::compute::Compute;
use crate::progress::Observer;
use crate::projection::rows::InMemory;
use crate::projection::tsne::Schedule;
use crate::projection::{Engine, Init, Options, prepare};
use crate::settings::{
    Capture, Decoding, HiddenLayers, HiddenRows, LatentChoice, MaskKind, PixelBudget, Settings,
};
use crate::units::Role;

/// Options of `livr project`.
#[derive(Debug, Args)]
pub struct ProjectArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Data file whose samples are run; their states are kept beside the result, in OUT.states
    #[arg(long, value_name = "FILE", required_unless_present = "states")]
    data: Option<PathBuf>,
    /// Any states instead: .npy, or safetensors with x [P, D]
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    states: Option<PathBuf>,
    /// Safetensors file for the map
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// 0 for the embedding, 1 to L for the output of a layer, the last after the final norm; last; or all, a map of
    /// each, turned onto the one before
    #[arg(long, value_name = "N", default_value = "last")]
    layer: Layers,
    /// Tokens that are mapped
    #[arg(long, value_enum, num_args = 1.., default_values = ["latent", "image", "text"])]
    role: Vec<Tokens>,
    /// How many neighbours count, about
    #[arg(long, value_name = "X", default_value_t = 30.0)]
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
    /// What makes the map
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// One seed, one map
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Threads, all of the processor's unless told otherwise
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Attention mask
    #[arg(long, value_enum, default_value_t = MaskKind::Standard)]
    mask: MaskKind,
    /// auto, off or a number of latents
    #[arg(long, default_value = "auto", allow_negative_numbers = true)]
    latents: LatentChoice,
    /// Most pixels of an image: auto, checkpoint or a number
    #[arg(long, value_name = "N", default_value = "auto", allow_negative_numbers = true)]
    max_pixels: PixelBudget,
    /// Samples that go through the model together
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// Only the first so many samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// A picture too: .svg or .png; of several layers the last
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
    let inputs: Vec<PathBuf> = args.data.iter().chain(&args.states).cloned().collect();
    args.model.check_output(&args.out, &inputs)?;
    for more in args.picture.iter().chain(&args.table) {
        args.model.check_output(more, &inputs)?;
    }
    args.picture.as_deref().map(scatter::ending).transpose()?;
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global()?;
    }
    let terminal = Terminal::new();
    let said = match &args.states {
        Some(states) => alone(args, states, &terminal),
        None => of_data(args, &terminal),
    }?;
    terminal.finish();
    if args.json {
        print_json(&said);
    } else {
        for map in &said {
            print(&line(map));
            map.measures.iter().flat_map(told).for_each(|line| print(&line));
        }
    }
    Ok(())
}

impl ProjectArgs {
    fn options(&self) -> Options {
        let exaggerated = (self.iterations / 3).min(250) as usize;
        let steps = [exaggerated, self.iterations as usize - exaggerated];
        Options {
            perplexity: self.perplexity,
            components: self.pca.0,
            init: self.init,
            engine: self.engine,
            seed: self.seed,
            schedule: Schedule { steps, ..Schedule::default() },
        }
    }

    fn write(
        &self,
        places: &[[f32; 2]],
        marks: &[Mark],
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

/// A map of states that are nobody's tokens.
fn alone(args: &ProjectArgs, path: &Path, observer: &dyn Observer) -> Result<Vec<Said>> {
    let states = matrix::read(path)?;
    let (options, width) = (args.options(), states.shape()[1]);
    let prepared = prepare(&InMemory::new(states.data(), width), &options, observer)?;
    let map = prepared.map(&options, None, observer, &mut |_| ())?;
    let quality = prepared.quality(&map.places, &vec![0; map.places.len()], observer)?;
    let (points, kl, seconds) = (map.places.len(), map.divergence, map.seconds);
    let said = vec![Said { layer: None, points, kl, quality, measures: None, seconds }];
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

fn of_data(args: &ProjectArgs, observer: &dyn Observer) -> Result<Vec<Said>> {
    let roles: Vec<Role> = args.role.iter().map(|tokens| tokens.role()).collect();
    let states = collected(args, &roles, observer)?;
    let layers = states.layers();
    let layouts = map_layers(&states, &layers, &args.options(), observer, &mut |_| ())?;
    let said: Vec<Said> = layouts
        .iter()
        .map(|layout| Said {
            layer: Some(layout.layer),
            points: layout.places.len(),
            kl: layout.divergence,
            quality: layout.quality,
            measures: Some(layout.measures.clone()),
            seconds: layout.seconds,
        })
        .collect();
    let places: Vec<[f32; 2]> = layouts.iter().flat_map(|layout| layout.places.iter().copied()).collect();
    let marks: Vec<Mark> = layouts.iter().flat_map(marks).collect();
    let samples = json(&samples(&states));
    args.write(&places, &marks, &said, &[("samples", samples)])?;
    if let (Some(picture), Some(layout)) = (&args.picture, layouts.last()) {
        scatter::write(&pictured(args.colour, &states, layout), picture)?;
    }
    if let Some(table) = &args.table {
        write_table(table, &states, &layouts)?;
    }
    Ok(said)
}

fn pictured(colour: ColourBy, states: &States, layout: &Layout) -> Scatter {
    let colours = Colours::new(colour, states, &layout.points, false);
    let points =
        layout.places.iter().zip(&layout.points).map(|(place, point)| (*place, colours.of(point))).collect();
    let title = format!("Layer {}, {} points", layout.layer, layout.places.len());
    Scatter { title, points, legend: colours.legend() }
}

/// A line for each point of each layer.
fn write_table(path: &Path, states: &States, layouts: &[Layout]) -> Result<()> {
    atomic::write(path, |out| {
        writeln!(out, "x,y,layer,role,index,sample,task,correct")?;
        for layout in layouts {
            for ([x, y], point) in layout.places.iter().zip(&layout.points) {
                let sample = &states.samples()[point.sample as usize];
                let role = point.kept.role.in_figures();
                let (layer, index) = (layout.layer, point.kept.index);
                // Ids and tasks are whatever a data file says.
                let [id, task] =
                    [&sample.id, &sample.task].map(|text| format!("\"{}\"", text.replace('"', "\"\"")));
                writeln!(out, "{x},{y},{layer},{role},{index},{id},{task},{}", sample.correct)?;
            }
        }
        Ok(())
    })
}

fn marks(layout: &Layout) -> impl Iterator<Item = Mark> + '_ {
    layout.points.iter().map(|point| Mark {
        role: point.kept.role.code(),
        sample: i64::from(point.sample),
        index: i64::from(point.kept.index),
        layer: i64::from(point.layer),
    })
}

fn collected(args: &ProjectArgs, roles: &[Role], observer: &dyn Observer) -> Result<States> {
    let data = args.data.as_ref().expect("there is one where no states are named");
    let mut records = dataset::read(data)?;
    records.truncate(args.limit.map_or(usize::MAX, |limit| limit as usize));
    let mut models = Models::default();
    let id = args.model.id();
    let info = models.open(&id, observer)?;
    let layers = match args.layer {
        Layers::All => HiddenLayers::All,
        Layers::Last => HiddenLayers::Only(vec![info.num_layers]),
        Layers::One(layer) if layer <= info.num_layers => HiddenLayers::Only(vec![layer]),
        Layers::One(layer) => {
            return Err(Error::Request(format!(
                "layer: expected last, all or a number from 0 to {}, found {layer}",
                info.num_layers
            )));
        }
    };
    let hidden = HiddenRows { layers, roles: roles.to_vec() };
    let settings = Settings {
        mask: args.mask,
        latents: args.latents,
        max_pixels: args.max_pixels,
        decoding: Decoding { max_new_tokens: 16, ..Decoding::default() },
        capture: Capture { hidden: Some(hidden), ..Capture::default() },
    };
    let session = models.session(&id).expect("opened above");
    let file = std::fs::metadata(data).map_err(|e| Error::io("read the data file", data, e))?;
    let place = std::path::absolute(data).map_err(|e| Error::io("find the data file", data, e))?;
    let plan = Plan {
        model: id,
        fingerprints: (session.base().fingerprint(), session.adapter_fingerprint()),
        data: (place, file.len(), file.modified().ok()),
        settings: settings.clone(),
    };
    let compute = Compute::observed(observer);
    let mut answering =
        |samples: &[&Sample]| session.run_many(samples, &settings, memory::free_bytes(), &compute);
    let folder = args.out.with_extension("states");
    collect(&folder, &plan, &records, args.batch as usize, &mut answering, observer)
}
