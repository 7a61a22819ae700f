//! What a study will ask, known before a weight is read: its cells, and those left out because a model has nothing of what
//! they speak of. What cannot be asked is said here, before the first sample is.

use serde::{Deserialize, Serialize};

use super::super::ids::{ModelId, Source};
use super::super::opening::Described;
use super::super::session::ReadAdapter;
use super::design::{NamedCondition, NamedModel, Study};
use super::share::Share;
use crate::ask::fit::{Misfit, Reach};
use crate::ask::{Condition, Disturbance, LatentChoice};
use crate::data::record::Record;
use crate::error::{Error, Result};
use crate::input::latents::LatentSetup;
use crate::input::processor::Processor;

/// The cells of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyPlan {
    /// Records that all shares ask together.
    pub samples: usize,
    /// Which of them are asked here; all where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// In the order they are asked.
    pub cells: Vec<PlannedCell>,
    /// What is not asked, and why.
    pub left_out: Vec<LeftOut>,
    /// Of the program.
    pub version: String,
}

/// A model under a condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedCell {
    /// The model's name.
    pub model: String,
    /// How it is asked.
    pub condition: NamedCondition,
}

/// A cell that there is nothing to ask in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The model's name.
    pub model: String,
    /// The condition's name.
    pub condition: String,
    /// "readers: without latents nothing is behind them".
    pub why: String,
}

impl StudyPlan {
    /// Is a model asked under a condition?
    pub fn has(&self, model: &NamedModel, condition: &NamedCondition) -> bool {
        self.cells.iter().any(|cell| cell.model == model.name && cell.condition == *condition)
    }

    /// Each cell that is left out, in words.
    pub fn notes(&self) -> impl Iterator<Item = String> + '_ {
        self.left_out
            .iter()
            .map(|own| format!("{} under {} is left out: {}", own.model, own.condition, own.why))
    }
}

/// What conditions speak of in a model.
struct ModelShape {
    latents: LatentSetup,
    num_layers: usize,
}

/// Bases whose folders were read for their shapes.
#[derive(Default)]
struct Shapes {
    bases: Vec<(Source, Described, Processor)>,
}

impl Shapes {
    fn of(&mut self, id: &ModelId) -> Result<ModelShape> {
        let source = &id.base.source;
        if !self.bases.iter().any(|(own, ..)| own == source) {
            let described = Described::open(source.open()?)?;
            let processor = described.processor()?;
            self.bases.push((source.clone(), described, processor));
        }
        let known = self.bases.iter().find(|(own, ..)| own == source);
        let (_, described, processor) = known.expect("read above");
        let num_layers = described.config.text.num_layers;
        let latents = match &id.adapter {
            Some(adapter) => {
                let read = ReadAdapter::read(adapter.clone(), &adapter.open()?)?;
                processor.with_adapter(&processor.sorted(read.adapter)?)?.latents().clone()
            }
            None => processor.latents().clone(),
        };
        Ok(ModelShape { latents, num_layers })
    }
}

impl Study {
    /// What will be asked.
    ///
    /// # Errors
    /// A model that is not there, a condition that cannot be asked of one, or of a sample.
    pub fn plan(&self) -> Result<StudyPlan> {
        let records = &self.records[..self.records.len().min(self.limit.unwrap_or(usize::MAX))];
        let (mut cells, mut left_out) = (Vec::new(), Vec::new());
        let mut shapes = Shapes::default();
        for model in &self.models {
            // The tokenizer and the adapter of a large model take their time: most conditions fit any.
            let hangs_on_shape = self.conditions.iter().any(|own| !own.condition.edits.is_empty())
                || (self.conditions.len() > 1
                    && self.conditions.iter().any(|own| own.condition.latents != LatentChoice::Auto));
            let shape = if hangs_on_shape { Some(shapes.of(&model.id)?) } else { None };
            for condition in &self.conditions {
                let why = match &shape {
                    Some(shape) => self.vain(&condition.condition, shape, records)?,
                    None => None,
                };
                let (model, own) = (model.name.clone(), condition.clone());
                match why {
                    Some(why) => left_out.push(LeftOut { model, condition: own.name, why }),
                    None => cells.push(PlannedCell { model, condition: own }),
                }
            }
        }
        if let (true, Some(first)) = (cells.is_empty(), left_out.first()) {
            return Err(Error::Request(first.why.clone()));
        }
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(StudyPlan { samples: records.len(), share: self.share, cells, left_out, version })
    }

    /// Why there is nothing to ask a model of this shape in a cell, if so.
    fn vain(&self, condition: &Condition, shape: &ModelShape, records: &[Record]) -> Result<Option<String>> {
        // Where the same is asked with those there are.
        let with = condition.clone().with_latents(LatentChoice::Auto);
        if shape.latents.trained == 0
            && condition.latents == LatentChoice::Off
            && self.conditions.iter().any(|other| other.condition == with)
        {
            return Ok(Some("the model has no latents to leave out".to_owned()));
        }
        let num_latents = shape.latents.select(condition.latents)?.names.len();
        let reach = Reach { num_latents, num_layers: shape.num_layers, num_images: None };
        match condition.fits(reach) {
            Ok(()) => {}
            Err(Misfit::NoLatents(why)) => return Ok(Some(why)),
            Err(Misfit::Absent(why)) => return Err(Error::Request(why)),
        }
        for record in records {
            let shows_none = condition.disturbance == Some(Disturbance::NoImages);
            let num_images = Some(if shows_none { 0 } else { record.images.len() });
            let fits = condition.fits(Reach { num_images, ..reach });
            fits.map_err(|why| Error::Request(format!("sample {:?}: {}", record.id, why.into_text())))?;
        }
        Ok(None)
    }
}
