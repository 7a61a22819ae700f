//! What the window asks for: states of samples by a model, then layouts of them, which need no model.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::super::demo;
use super::super::ids::ModelId;
use super::super::models::Models;
use super::super::study::{NamedCondition, NamedModel, Study};
use super::collect::{Others, collect};
use super::layers::{Happening, Layout, lay_out_layers};
use super::plan::{StatesPlan, is_of_states};
use super::store::{StatePoint, States};
use crate::ask::{AttentionRows, Condition, HiddenLayers, HiddenRows, Keep};
use crate::atomic::Hold;
use crate::data::dataset;
use crate::data::record::Record;
use crate::error::Result;
use crate::progress::{Observer, Phase};
use crate::projection::Options;
use crate::units::Role;

/// Whose samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataChoice {
    /// The built-in samples.
    Gallery,
    /// Those of a data file.
    File(#[serde(with = "crate::paths::text")] PathBuf),
}

impl DataChoice {
    /// They.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn records(&self) -> Result<Vec<Record>> {
        match self {
            Self::Gallery => Ok(demo::gallery().to_vec()),
            Self::File(path) => dataset::read(path),
        }
    }
}

/// States to keep, so that layouts of them need no model.
#[derive(Debug, Clone, PartialEq)]
pub struct StatesOrder {
    /// Whose.
    pub model: ModelId,
    /// Of which samples.
    pub data: DataChoice,
    /// The first so many.
    pub limit: usize,
    /// Of which layers; nothing for the last: all of a large model's are gigabytes.
    pub layers: Option<HiddenLayers>,
    /// Of tokens of these roles.
    pub roles: Vec<Role>,
    /// How samples are asked.
    pub condition: Condition,
    /// Where states are kept: a folder of its own for each order.
    pub folder: PathBuf,
}

/// States that are there.
pub struct Collected {
    /// Whose; nothing where a file does not say.
    pub model: Option<ModelId>,
    /// Whose samples; nothing where they are not at hand.
    pub data: Option<DataChoice>,
    /// Where they are kept.
    pub folder: PathBuf,
    /// What they hang on.
    pub plan: StatesPlan,
    /// The states.
    pub states: States,
    /// The samples, in the order of the states'; of those not at hand the id only.
    pub records: Vec<Record>,
}

impl std::fmt::Debug for Collected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collected").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Samples that go through the model together.
const BATCH: usize = 4;

/// A study of one cell that keeps hidden states, with what points of a layout can be coloured by.
pub fn of_states(model: ModelId, condition: Condition, records: Vec<Record>, hidden: HiddenRows) -> Study {
    Study {
        models: vec![NamedModel { name: "model".to_owned(), id: model }],
        conditions: vec![NamedCondition::of(condition, &Condition::of_studies())],
        records,
        limit: None,
        keep: Keep { attention: AttentionRows::LatentsAndAnswer, hidden: Some(hidden), ..Keep::default() },
        batch: BATCH,
        share: None,
        phase: Phase::States,
    }
}

impl StatesOrder {
    /// Runs what is not kept yet.
    ///
    /// # Errors
    /// A model or data that cannot be read, a full disk, a stop.
    pub fn collect(self, models: &mut Models, observer: &dyn Observer) -> Result<Collected> {
        let records = self.data.records()?;
        let num_layers = models.open(&self.model, observer)?.num_layers;
        let layers = self.layers.clone().unwrap_or_else(|| HiddenLayers::Only(vec![num_layers]));
        let study = of_states(
            self.model.clone(),
            self.condition.clone(),
            records.clone(),
            HiddenRows { layers, roles: self.roles.clone() },
        );
        let study = Study { limit: Some(self.limit), ..study };
        tidy(&self.folder);
        // The folder is this order's own: what it holds of a model or of data that were others then is of no use.
        let states = collect(&study, &self.folder, Others::Go, models, observer)?;
        let records = in_order_of(&states, &records);
        let plan = StatesPlan::read(&self.folder)?;
        let (model, data) = (Some(self.model), Some(self.data));
        Ok(Collected { model, data, folder: self.folder, plan, states, records })
    }
}

/// Records in the order of the states, which may have been kept in another.
pub(super) fn in_order_of(states: &States, records: &[Record]) -> Vec<Record> {
    let by_id: HashMap<&str, &Record> = records.iter().map(|record| (record.id.as_str(), record)).collect();
    let of = |id: &String| {
        let record = by_id.get(id.as_str()).map(|record| (*record).clone());
        record.unwrap_or_else(|| Record { id: id.clone(), ..Record::default() })
    };
    states.samples().iter().map(|sample| of(&sample.id)).collect()
}

/// Lets go of the states of earlier orders, but for those of the latest.
fn tidy(folder: &Path) {
    const KEPT: usize = 3;
    let entries = folder.parent().and_then(|parent| std::fs::read_dir(parent).ok());
    let mut others: Vec<(SystemTime, PathBuf)> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path != folder && is_of_states(path))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    others.sort();
    for (_, path) in others.iter().rev().skip(KEPT) {
        // Held until it is gone, so that no other window begins to write there meanwhile.
        let Ok(_hold) = Hold::of_folder(path) else { continue };
        if let Err(problem) = std::fs::remove_dir_all(path) {
            log::warn!("old states stay: {problem}");
        }
    }
}

/// Layouts to make, one of each layer whose states there are.
#[derive(Debug, Clone)]
pub struct LayoutOrder {
    /// Of these.
    pub collected: Arc<Collected>,
    /// How.
    pub options: Options,
    /// Layouts of the same tokens under another model, which these begin at and are turned onto; none where there are none.
    pub onto: Vec<Arc<Layout>>,
}

impl LayoutOrder {
    /// The points of a layer's layout, in its order.
    pub fn points(&self, layer: usize) -> Vec<StatePoint> {
        self.collected.states.at_layer(layer).points().to_vec()
    }

    /// Makes them.
    ///
    /// # Errors
    /// Too few points, a stop.
    pub fn make(&self, observer: &dyn Observer, told: &mut dyn FnMut(Happening<'_>)) -> Result<Vec<Layout>> {
        let states = &self.collected.states;
        let others: BTreeMap<usize, Vec<[f32; 2]>> =
            self.onto.iter().map(|layout| (layout.layer, layout.places.to_vec())).collect();
        lay_out_layers(states, &states.layers(), &others, &self.options, observer, told)
    }
}
