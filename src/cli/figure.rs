//! `livr figure`: the images of a sample under maps of one model, or of several beside each other, ready for a paper.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::args::{ModelArgs, ModelsArgs, RunArgs, name_among};
use super::output::{Terminal, print, print_json};
use crate::analysis::query::{Aggregation, Selection};
use crate::app::parts::chain::Chain;
use crate::app::parts::figure::{FigureOf, RunOfFigure};
use crate::app::parts::view::{FigureForm, View};
use crate::ask::{AttentionRows, Keep};
use crate::engine::ids::{JobId, ModelId, Request, Run, RunId};
use crate::engine::models::Models;
use crate::export::figure;
use crate::render::blend::{ColourMap, OverlayStyle};
use crate::trace::Trace;
use crate::units::{HeadIdx, LayerIdx};

/// Options of `livr figure`.
#[derive(Debug, Args)]
pub struct FigureArgs {
    #[command(flatten)]
    models: ModelsArgs,
    #[command(flatten)]
    run: RunArgs,
    /// The file to write: .pdf, .svg or .png
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Maps of all latents, of some as 0-3,8, or of the answer's tokens: answer
    #[arg(long, value_name = "WHICH", default_value = "all")]
    maps: String,
    /// One layer instead of all
    #[arg(long, value_name = "L")]
    layer: Option<usize>,
    /// One head instead of all
    #[arg(long, value_name = "H")]
    head: Option<usize>,
    /// How all layers and heads become one
    #[arg(long, value_enum, default_value_t = Aggregation::Mean)]
    aggregation: Aggregation,
    /// Colours
    #[arg(long, value_enum, default_value_t = ColourMap::Viridis)]
    colour_map: ColourMap,
    /// Pictures in a row
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=32))]
    columns: u32,
    /// Pixels each picture is wide
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(32..=4096))]
    width: u32,
    /// Leave out the images without a map
    #[arg(long)]
    no_plain: bool,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    out: &'a PathBuf,
    answers: Vec<&'a str>,
}

/// Runs it.
pub fn run(args: &FigureArgs) -> anyhow::Result<()> {
    figure::ending(&args.out)?;
    let asked = args.models.each()?;
    for model in &asked {
        model.check_output(&args.out, &args.run.image)?;
    }
    let sample = args.run.sample()?;
    let keep = Keep { attention: AttentionRows::LatentsAndAnswer, ..Keep::default() };
    let keep = match args.aggregation {
        Aggregation::Rollout => Keep { attention: AttentionRows::Full, ..keep },
        _ => keep,
    };
    let terminal = Terminal::new();
    let mut models = Models::default();
    let mut runs: Vec<Arc<Run>> = Vec::new();
    for (i, model) in asked.iter().enumerate() {
        let trace = model.run_in(&mut models, &args.run, sample.clone(), &keep, &terminal)?;
        args.check(&trace)?;
        let condition = trace.condition.clone();
        let request = Request { model: model.id(), sample: sample.clone(), condition };
        let id = RunId::Answer(JobId(i as u64));
        runs.push(Arc::new(Run { id, request, trace: Arc::new(trace) }));
    }
    terminal.finish();
    let usual = View::default();
    let style = OverlayStyle { colour_map: args.colour_map, ..usual.style };
    let view = View { selection: args.selection(), style, ..usual };
    let chains: Vec<Chain> = runs.iter().map(|run| Chain::of(run, &view)).collect();
    let ids: Vec<ModelId> = asked.iter().map(ModelArgs::id).collect();
    let mut of_figure = Vec::new();
    for (chain, id) in chains.iter().zip(&ids) {
        let name = if ids.len() > 1 { name_among(id, &ids) } else { String::new() };
        let Some(shown) = chain.in_sight(|_| 0) else {
            anyhow::bail!(
                "a figure shows images under maps: {}",
                if sample.images.is_empty() {
                    "expected --image, found none".to_owned()
                } else {
                    format!("{} kept none", name_among(id, &ids))
                }
            );
        };
        of_figure.push(RunOfFigure { name, shown });
    }
    let form = args.form();
    let prepared = FigureOf { runs: &of_figure, form: &form, selection: view.selection, style: view.style }
        .prepared()
        .map_err(|problem| anyhow::anyhow!(problem.replacen("Maps of", "--maps", 1)))?;
    figure::write(&prepared(), &args.out)?;
    if args.json {
        let answers = runs.iter().map(|run| run.trace.answer.as_str()).collect();
        print_json(&Report { out: &args.out, answers });
    } else {
        print(&format!("{} ({})", args.out.display(), crate::units::counted(of_figure.len(), "model")));
    }
    Ok(())
}

impl FigureArgs {
    fn form(&self) -> FigureForm {
        FigureForm {
            queries: self.maps.clone(),
            columns: self.columns as usize,
            width: self.width,
            plain: !self.no_plain,
            also: [false; 3],
        }
    }

    fn selection(&self) -> Selection {
        Selection {
            layer: self.layer.map(LayerIdx),
            head: self.head.map(HeadIdx),
            aggregation: self.aggregation,
        }
    }

    /// Refuses layers and heads that a model has not.
    fn check(&self, trace: &Trace) -> anyhow::Result<()> {
        let (layers, heads) = trace.attention_dims();
        for (option, asked, count) in [("--layer", self.layer, layers), ("--head", self.head, heads)] {
            if let Some(asked) = asked.filter(|asked| *asked >= count) {
                anyhow::bail!("{option}: expected a number below {count}, found {asked}");
            }
        }
        Ok(())
    }
}
