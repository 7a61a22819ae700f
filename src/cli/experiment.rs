//! `livr battery`, also called `livr experiment`: sets of conditions over several adapters, paired, as tables and charts.

use std::path::PathBuf;

use clap::Args;

use super::args::dtypes;
use super::study::to_folder;
use crate::ask::{
    AttentionRows, Condition, ConditionSet, DeviceChoice, Disturbance, DtypeChoice, Edit, Keep,
};
use crate::checkpoint::config::ModelConfig;
use crate::data::dataset;
use crate::engine::demo::DemoAdapter;
use crate::engine::ids::{BaseId, ModelId, Source};
use crate::engine::study::file::check_name;
use crate::engine::study::{NamedCondition, NamedModel, Share, Study};
use crate::error::Error;
use crate::progress::Phase;

/// Options of `livr experiment`.
#[derive(Debug, Args)]
pub struct ExperimentArgs {
    /// Checkpoint folder [default: the built-in demo]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Adapters by name: NAME=DIR, NAME=demo:livr, or NAME=none; several seeds of one way as way/1, way/2 [default: the demo's,
    /// or none]
    #[arg(long, value_name = "NAME=DIR", num_args = 1.., value_parser = named)]
    adapters: Vec<Named>,
    /// Conditions: paper (mask x latents), replacement (something else in the latents' place, with controls), robustness
    /// (samples made harder), layers (zeroed and blinded layer by layer), all
    #[arg(long, value_name = "SET", num_args = 1.., default_values = ["paper"], value_parser = sets)]
    set: Vec<Sets>,
    /// A condition of your own, as its name has it: "mask=bottleneck 'do=latents=zero@after-4'"; repeatable
    #[arg(long, value_name = "NAME")]
    condition: Vec<String>,
    /// The file that edits take states from
    #[arg(long, value_name = "FILE")]
    donor: Option<PathBuf>,
    /// Ask the sham of each edited condition too: the same edits, done with what was there
    #[arg(long)]
    sham: bool,
    /// Data file
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Folder for the result; what it has already is not measured again
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Ask disturbed samples too: occlusion=SHARE, noise=DEVIATION, rotation=DEGREES, no-images, no-question
    #[arg(long, value_name = "HOW", num_args = 1..)]
    disturb: Vec<Disturbance>,
    /// Samples of each task, the first ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    per_task: Option<u32>,
    /// Samples that go through the model together
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// Decides how samples are disturbed
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// The i-th of n shares of the samples, as 1/4; livr study collect puts them together
    #[arg(long, value_name = "I/N")]
    shard: Option<Share>,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Element type of the weights
    #[arg(long, default_value = "auto", value_parser = dtypes())]
    dtype: DtypeChoice,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// What a word of --set names.
#[derive(Debug, Clone)]
struct Sets(Vec<ConditionSet>);

fn sets(text: &str) -> Result<Sets, String> {
    match text {
        "all" => Ok(Sets(ConditionSet::NAMES.map(|(_, set)| set).to_vec())),
        name => name.parse().map(|set| Sets(vec![set])).map_err(|why: String| format!("{why} (or all)")),
    }
}

/// An adapter under a name.
#[derive(Debug, Clone)]
struct Named {
    name: String,
    /// None for the base alone.
    adapter: Option<Source>,
}

fn named(text: &str) -> Result<Named, String> {
    let wrong = || format!("expected NAME=DIR, NAME=demo:livr or NAME=none, found {text}");
    let (name, place) = text.split_once('=').ok_or_else(wrong)?;
    if place.is_empty() || check_name(name).is_err() {
        return Err(wrong());
    }
    Ok(Named { name: name.to_owned(), adapter: Source::adapter(place.as_ref())? })
}

/// Two of one name would be taken for seeds of one way, and have one file.
fn check_names(adapters: &[Named]) -> anyhow::Result<()> {
    let file = |named: &Named| named.name.replace('/', "-");
    for (i, named) in adapters.iter().enumerate() {
        let is_taken = adapters[..i].iter().any(|other| file(other) == file(named));
        anyhow::ensure!(!is_taken, "--adapters: expected names of their own, found {} twice", named.name);
    }
    Ok(())
}

/// The demo's own, or none.
fn usual_adapter(base: &BaseId) -> Named {
    match base.source {
        Source::Demo => {
            Named { name: "livr".to_owned(), adapter: Some(Source::DemoAdapter(DemoAdapter::Livr)) }
        }
        _ => Named { name: "base".to_owned(), adapter: None },
    }
}

/// What is asked: the sets, disturbed samples, conditions of one's own, each once; the base comes first.
fn conditions(args: &ExperimentArgs, usual: &Condition, base: &BaseId) -> anyhow::Result<Vec<Condition>> {
    let sets: Vec<ConditionSet> = args.set.iter().flat_map(|own| own.0.clone()).collect();
    let num_layers = if sets.contains(&ConditionSet::Layers) {
        ModelConfig::read(&base.source.open()?)?.text.num_layers
    } else {
        0
    };
    let mut all: Vec<Condition> = Vec::new();
    let named = args.condition.iter().map(|name| {
        let own = Condition::named(name, usual);
        own.map_err(|problem| Error::Request(format!("--condition: {problem}")))
    });
    let named = named.collect::<Result<Vec<_>, _>>()?;
    let of_sets = sets.iter().flat_map(|set| set.conditions(usual, num_layers));
    let disturbed = args.disturb.iter().map(|how| Condition { disturbance: Some(*how), ..usual.clone() });
    for own in of_sets.chain(disturbed).chain(named) {
        let donor = own.edits.iter().any(Edit::takes_a_file).then(|| args.donor.clone()).flatten();
        let own = Condition { donor: donor.or(own.donor.clone()), ..own };
        let sham = (args.sham && !own.edits.is_empty()).then(|| Condition { sham: true, ..own.clone() });
        for own in std::iter::once(own).chain(sham) {
            if !all.contains(&own) {
                all.push(own);
            }
        }
    }
    Ok(all)
}

/// Runs it.
pub fn run(args: &ExperimentArgs) -> anyhow::Result<()> {
    check_names(&args.adapters)?;
    for (i, disturbance) in args.disturb.iter().enumerate() {
        // The same twice would be taken for two seeds.
        let is_twice = args.disturb[..i].contains(disturbance);
        anyhow::ensure!(!is_twice, "--disturb: expected each way once, found {disturbance} twice");
    }
    let source = args.model.as_ref().map_or(Source::Demo, |path| Source::named(path.as_os_str()));
    let mut records = dataset::read(&args.data)?;
    if let Some(most) = args.per_task {
        records = dataset::per_task(records, most as usize);
    }
    let base = BaseId { source, device: args.device, dtype: args.dtype };
    let adapters = if args.adapters.is_empty() { vec![usual_adapter(&base)] } else { args.adapters.clone() };
    let model = |named: Named| NamedModel {
        name: named.name,
        id: ModelId { base: base.clone(), adapter: named.adapter },
    };
    let mut usual = Condition::of_studies();
    usual.decoding.seed = args.seed;
    let conditions = conditions(args, &usual, &base)?;
    let study = Study {
        models: adapters.into_iter().map(model).collect(),
        conditions: conditions.into_iter().map(|own| NamedCondition::of(own, &usual)).collect(),
        records,
        limit: None,
        keep: Keep { attention: AttentionRows::LatentsAndAnswer, ..Keep::default() },
        batch: args.batch as usize,
        share: args.shard,
        phase: Phase::Evaluating,
    };
    to_folder(&study, &args.out, args.json)
}
