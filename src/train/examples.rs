//! What is learned from, ready for the model: tokens, roles, positions, and what the vision tower made of the images.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::grounded::{Grounded, Groups};
use super::recipe::{Recipe, Updates, Variant};
use crate::array::Array;
use crate::ask::Disturbance;
use crate::ask::LatentChoice;
use crate::data::dataset;
use crate::data::record::Record;
use crate::error::{Error, Result};
use crate::input::processor::Processor;
use crate::model::Model;
use crate::model::compute::Compute;
use crate::model::vision::VisualFeatures;
use crate::progress::Unobserved;
use crate::units::{GridThw, Role, Span};

/// What an example has of its images.
#[derive(Debug, Clone)]
pub enum Seen {
    /// It has none.
    Nothing,
    /// What a frozen tower made of them.
    Features(VisualFeatures),
    /// Patches, [P, C*T*P*P], for a tower that is trained.
    Pixels(Array),
}

/// A prompt with its answer, all but whose last token the model reads.
#[derive(Debug, Clone)]
pub struct Example {
    /// [N]: the prompt, and the answer but for its last token.
    pub ids: Vec<u32>,
    /// [N].
    pub roles: Vec<Role>,
    /// [N]: temporal, height and width.
    pub positions: Vec<[i64; 3]>,
    /// Where each image's tokens are.
    pub image_spans: Vec<Span>,
    /// [I], in patches.
    pub grids: Vec<GridThw>,
    /// What the last so many tokens predict: the answer, its end included.
    pub targets: Vec<u32>,
    /// Its images.
    pub seen: Seen,
    /// What it knows of its visual tokens.
    pub grounded: Grounded,
}

impl Example {
    /// Bytes it holds, as far as they are worth counting.
    fn held_bytes(&self) -> u64 {
        let seen = match &self.seen {
            Seen::Nothing => 0,
            Seen::Pixels(array) => array.data().len() * 4,
            Seen::Features(features) => {
                let of = |t: &candle_core::Tensor| t.elem_count() * t.dtype().size_in_bytes();
                of(&features.tokens) + features.deepstack.iter().map(of).sum::<usize>()
            }
        };
        (seen + self.ids.len() * 64) as u64
    }
}

/// Reads the training and the validation records of a recipe.
///
/// # Errors
/// Files that cannot be read, and tasks of which there is no sample.
pub fn read_records(recipe: &Recipe) -> Result<(Vec<Record>, Vec<Record>)> {
    let data = &recipe.data;
    let all = |paths: &[std::path::PathBuf], per_task: Option<usize>| -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for path in paths {
            records.extend(dataset::read(path)?);
        }
        records.retain(|record| data.tasks.is_empty() || data.tasks.contains(&record.task));
        if let Some(most) = per_task {
            records = dataset::per_task(records, most);
        }
        let absent = data.tasks.iter().find(|task| !records.iter().any(|record| record.task == **task));
        match absent.filter(|_| !paths.is_empty()) {
            None => Ok(records),
            Some(task) => {
                let found = format!("none in {} files", paths.len());
                Err(Error::field(&paths[0], "data.tasks", format!("samples of {task}"), found))
            }
        }
    };
    let (train, validation) =
        (all(&data.train, data.per_task)?, all(&data.validation, data.validation_per_task)?);
    if train.is_empty() {
        return Err(Error::field(&data.train[0], "data.train", "at least one sample", "none"));
    }
    Ok((train, validation))
}

/// The examples of a run, made when they are asked for and kept while there is room.
pub struct Examples {
    records: Vec<Record>,
    processor: Processor,
    latents: LatentChoice,
    max_pixels: usize,
    twice: bool,
    disturbance: Option<(Disturbance, u64)>,
    trains_vision: bool,
    groups: Groups,
    /// Tokens of each answer.
    num_targets: Vec<usize>,
    kept: BTreeMap<usize, Arc<Example>>,
    held_bytes: u64,
    limit_bytes: u64,
}

impl Examples {
    /// Of these records, for a model that reads them by `processor`. What is kept stays below `limit_bytes`.
    ///
    /// # Errors
    /// An answer that the model has no tokens for.
    pub fn new(
        records: Vec<Record>,
        processor: &Processor,
        recipe: &Recipe,
        max_pixels: usize,
        limit_bytes: u64,
    ) -> Result<Self> {
        let tokens = |record: &Record| match processor.answer(&record.target) {
            Ok(ids) => Ok(ids.len()),
            Err(problem) => Err(Error::Request(format!("the answer of sample {:?}: {problem}", record.id))),
        };
        Ok(Self {
            num_targets: records.iter().map(tokens).collect::<Result<_>>()?,
            groups: Groups::of(&records, &recipe.grounding, processor)?,
            processor: processor.clone(),
            latents: if recipe.latents.count > 0 { LatentChoice::Auto } else { LatentChoice::Off },
            max_pixels,
            disturbance: recipe.data.disturb.map(|disturbance| (disturbance, recipe.seed)),
            twice: recipe.variant == Variant::ImageTwice,
            trains_vision: recipe.updates == Some(Updates::Everything),
            kept: BTreeMap::new(),
            held_bytes: 0,
            limit_bytes,
            records,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records they are made of.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Tokens of the answer of example `i`.
    pub fn num_targets(&self, i: usize) -> usize {
        self.num_targets[i]
    }

    /// The groups of words that are learned.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// These examples. Features of each are made alone, whatever batch asks for it: so they are the same after a
    /// resume.
    ///
    /// # Errors
    /// A sample whose images cannot be read, that cannot be asked so or is too long with its answer, by its id; a
    /// stop.
    pub fn get(
        &mut self,
        chosen: &[usize],
        model: &Model,
        compute: &Compute<'_>,
    ) -> Result<Vec<Arc<Example>>> {
        let missing: Vec<usize> = chosen.iter().copied().filter(|i| !self.kept.contains_key(i)).collect();
        let prepared = missing.par_iter().map(|i| self.prepare(*i)).collect::<Result<Vec<Example>>>()?;
        let mut made: BTreeMap<usize, Arc<Example>> = BTreeMap::new();
        for (i, mut example) in missing.into_iter().zip(prepared) {
            compute.check()?;
            if let Seen::Pixels(pixels) = &example.seen
                && !self.trains_vision
            {
                let features = model.encode_images(pixels, &example.grids, compute)?;
                example.seen = Seen::Features(features.detached());
            }
            let example = Arc::new(example);
            let bytes = example.held_bytes();
            if self.held_bytes + bytes <= self.limit_bytes {
                self.held_bytes += bytes;
                self.kept.insert(i, example.clone());
            }
            made.insert(i, example);
        }
        Ok(chosen.iter().map(|i| made.get(i).unwrap_or_else(|| &self.kept[i]).clone()).collect())
    }

    /// Example `i` before the tower.
    fn prepare(&self, i: usize) -> Result<Example> {
        self.prepare_unnamed(i).map_err(|e| e.of_index(0).named(|_| &self.records[i].id))
    }

    fn prepare_unnamed(&self, i: usize) -> Result<Example> {
        let mut sample = self.records[i].sample()?;
        if let Some((disturbance, seed)) = self.disturbance {
            sample = disturbance.of(&sample, &self.records[i].id, seed);
        }
        if self.twice {
            sample.images.extend(sample.images.clone());
        }
        let input = self.processor.process(&sample, self.latents, self.max_pixels, &Unobserved)?;
        let grounded = Grounded::new(&self.records[i], &sample, &input, &self.groups, &self.processor)?;
        let seen = if input.grids.is_empty() { Seen::Nothing } else { Seen::Pixels(input.pixel_values) };
        let targets = self.processor.answer(&self.records[i].target)?;
        let (mut ids, mut roles, mut positions) = (input.input_ids, input.roles, input.positions);
        for (place, id) in targets[..targets.len() - 1].iter().enumerate() {
            ids.push(*id);
            roles.push(self.processor.generated_role(*id, self.latents));
            positions.push([input.next_position + place as i64; 3]);
        }
        if ids.len() >= self.processor.max_positions() {
            let most = self.processor.max_positions();
            return Err(Error::Request(format!(
                "prompt and answer are {} tokens long, the model takes less than {most} (max_position_embeddings)",
                ids.len()
            )));
        }
        Ok(Example {
            ids,
            roles,
            positions,
            image_spans: input.image_spans,
            grids: input.grids,
            targets,
            seen,
            grounded,
        })
    }
}
