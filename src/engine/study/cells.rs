//! Cells of a study in a folder: each in a file of its own, with a journal beside it until it is whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::accuracy::{Accuracy, Prediction};
use super::design::NamedCondition;
use super::plan::{PlannedCell, StudyPlan};
use super::result::{Predictions, check_count};
use super::run::{CellOf, Cells, Heading};
use super::share::Share;
use crate::ask::Decoding;
use crate::atomic;
use crate::digest;
use crate::error::{Error, Result};

/// One model under one condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The model's name.
    pub adapter: String,
    /// What was asked how.
    pub condition: NamedCondition,
    /// What all of it hangs on: the adapter, the base and the samples.
    pub fingerprint: String,
    /// Which of the samples; all where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// Over all samples.
    pub all: Accuracy,
    /// Of each task.
    pub tasks: BTreeMap<String, Accuracy>,
    /// Attention to all latents together from where the answer is said, mean over its tokens, heads, layers and samples.
    pub latent_mass: Option<f64>,
    /// Answers.
    pub predictions: Vec<Prediction>,
}

impl Cell {
    fn new(
        adapter: String,
        condition: NamedCondition,
        fingerprint: String,
        share: Option<Share>,
        predictions: Vec<Prediction>,
    ) -> Self {
        let masses: Vec<f64> = predictions.iter().filter_map(|own| own.latent_mass).collect();
        Self {
            adapter,
            condition,
            fingerprint,
            share,
            all: Accuracy::of(&predictions),
            tasks: Accuracy::by_task(&predictions),
            latent_mass: (!masses.is_empty()).then(|| masses.iter().sum::<f64>() / masses.len() as f64),
            predictions,
        }
    }

    fn write(&self, path: &Path) -> Result<()> {
        let text = atomic::json_line(self, path)?;
        atomic::write(path, |out| out.write_all(text.as_bytes()))
    }
}

/// The folder of a study.
pub struct CellFolder<'a> {
    out: &'a Path,
    /// Told what was there of something else.
    note: &'a dyn Fn(&str),
    /// Those that are whole, in the order they were asked.
    pub whole: Vec<Cell>,
}

/// What a study, or a share of one, is to have when it is whole.
fn plan_file(out: &Path, share: Option<Share>) -> PathBuf {
    out.join(format!("study{}.json", of_share(share)))
}

fn of_share(share: Option<Share>) -> String {
    share.map_or_else(String::new, |share| format!(".{}", share.as_file_name()))
}

/// Where a study's folder has its cells.
pub(super) fn cells_of(out: &Path) -> PathBuf {
    out.join("cells")
}

impl<'a> CellFolder<'a> {
    /// A folder, made once it is known what will be asked.
    pub fn at(out: &'a Path, note: &'a dyn Fn(&str)) -> Self {
        Self { out, note, whole: Vec::new() }
    }
}

impl Cells for CellFolder<'_> {
    type Kept = Predictions;

    fn planned(&mut self, plan: &StudyPlan) -> Result<()> {
        begin_folder(self.out)?;
        atomic::write_json(&plan_file(self.out, plan.share), plan)
    }

    fn begin(&mut self, cell: &CellOf<'_>) -> Result<Option<Predictions>> {
        let fingerprint = fingerprint(&cell.heading, cell.info.auto_max_pixels)?;
        let (path, held) =
            place_of(&cells_of(self.out), &cell.model.name, cell.condition, cell.heading.share)?;
        if let Some(held) = held {
            let is_of_these =
                held.predictions.iter().map(|own| &own.id).eq(cell.records.iter().map(|own| &own.id));
            if held.fingerprint == fingerprint && is_of_these {
                Predictions::clear(&path, &cell.heading)?;
                self.take(&held, &path)?;
                return Ok(None);
            }
            let why = if is_of_these { "of other files or another seed" } else { "of other samples" };
            (self.note)(&format!("{why}, and asked anew ({})", path.display()));
        }
        Predictions::open(&path, &cell.heading).map(Some)
    }

    fn end(&mut self, cell: &CellOf<'_>, kept: Predictions) -> Result<()> {
        let fingerprint = fingerprint(&cell.heading, cell.info.auto_max_pixels)?;
        let (path, _) = place_of(&cells_of(self.out), &cell.model.name, cell.condition, cell.heading.share)?;
        let predictions = kept.in_order(cell.records);
        let (model, condition) = (cell.model.name.clone(), cell.condition.clone());
        let whole = Cell::new(model, condition, fingerprint, cell.heading.share, predictions);
        whole.write(&path)?;
        kept.close()?;
        self.whole.push(whole);
        Ok(())
    }
}

impl CellFolder<'_> {
    /// A cell that is there, as its answers say it: what was changed beside them does not count.
    fn take(&mut self, held: &Cell, path: &Path) -> Result<()> {
        let (model, condition, predictions) =
            (held.adapter.clone(), held.condition.clone(), held.predictions.clone());
        let whole = Cell::new(model, condition, held.fingerprint.clone(), held.share, predictions);
        if whole != *held {
            whole.write(path)?;
        }
        self.whole.push(whole);
        Ok(())
    }
}

fn begin_folder(out: &Path) -> Result<()> {
    let cells = cells_of(out);
    std::fs::create_dir_all(&cells).map_err(|e| Error::io("make the folder", &cells, e))?;
    atomic::clear_parts(out)?;
    atomic::clear_parts(&cells)
}

/// Of all that an answer hangs on besides the condition, whose seed is the study's.
fn fingerprint(heading: &Heading, auto_max_pixels: usize) -> Result<String> {
    let facts = (&heading.what, heading.condition.decoding.seed, auto_max_pixels);
    Ok(digest::of_bytes(atomic::json_line(&facts, Path::new("a fingerprint"))?.as_bytes()))
}

/// A cell's file, read; nothing where there is none that can be. `usual` is what all conditions of its study have in common.
fn read(path: &Path, usual: &Decoding) -> Option<Cell> {
    let mut value: Value = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    // Earlier versions left out what all studies had in common.
    let condition = value.get_mut("condition")?.as_object_mut()?;
    if !condition.contains_key("decoding") {
        condition.insert("decoding".to_owned(), serde_json::to_value(usual).ok()?);
    }
    serde_json::from_value(value).ok()
}

/// A cell's file, and what it holds of this cell. Where names run together, as `x` under `bottleneck-no-latents` and
/// `x-bottleneck` under `no-latents`, the second has a file of its own.
fn place_of(
    folder: &Path,
    adapter: &str,
    condition: &NamedCondition,
    share: Option<Share>,
) -> Result<(PathBuf, Option<Cell>)> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_. =,".contains(c);
    let plain: String = condition.name.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    let mut name = format!("{}-{plain}", adapter.replace('/', "-"));
    let usual = &condition.condition.decoding;
    let part = of_share(share);
    let own = digest::of_bytes(format!("{adapter}\0{}", condition.name).as_bytes());
    // File systems have names of 255 bytes at most.
    if name.len() > 150 {
        name.truncate(150);
        name = format!("{name}-{}", &own[..8]);
    }
    let places = [format!("{name}{part}.json"), format!("{name}-{}{part}.json", &own[..8])];
    let places = places.map(|name| folder.join(name));
    let is_it = |held: &Cell| held.adapter == adapter && held.condition == *condition && held.share == share;
    let held = places.iter().find_map(|place| Some((place, read(place, usual).filter(is_it)?)));
    if let Some((place, held)) = held {
        if held.fingerprint.len() != own.len() {
            let found = "one of an earlier version of this program: remove it, or name another output";
            return Err(Error::field(place, "the cell", "one of this version", found));
        }
        return Ok((place.clone(), Some(held)));
    }
    // One that is damaged, or of another condition of this name, is made anew.
    let [plain, apart] = places;
    let is_anothers = read(&plain, usual)
        .is_some_and(|held| held.adapter != adapter || held.condition.name != condition.name);
    Ok((if is_anothers { apart } else { plain }, None))
}

/// Puts the shares of a study together and writes it to another folder, byte for byte as one run does.
///
/// # Errors
/// A share that is not there, or there twice, or not whole yet; one of another study; a place that cannot be written.
pub fn collect(folders: &[PathBuf], out: &Path) -> Result<Vec<Cell>> {
    let mut shares: Vec<(Share, StudyPlan, PathBuf)> = Vec::new();
    for folder in folders {
        let files = share_files(folder)?;
        if files.is_empty() {
            let what = "a share of a study, as livr study run --shard leaves it,".to_owned();
            return Err(Error::Missing { what, path: folder.clone() });
        }
        for path in files {
            let bytes = std::fs::read(&path).map_err(|e| Error::io("read the share", &path, e))?;
            let plan: StudyPlan = serde_json::from_slice(&bytes)
                .map_err(|e| Error::format(&path, "the file is no share of a study", e))?;
            let Some(share) = plan.share else {
                return Err(Error::field(&path, "share", "a share of the samples, as 1/4", "none"));
            };
            shares.push((share, StudyPlan { share: None, ..plan }, path));
        }
    }
    Share::check_all(&shares.iter().map(|(share, _, path)| (*share, path.as_path())).collect::<Vec<_>>())?;
    shares.sort_by_key(|(share, ..)| *share);
    let (_, plan, first) = &shares[0];
    if let Some((_, _, other)) = shares.iter().find(|(_, own, _)| own != plan) {
        let expected = format!("the cells of {}", first.display());
        return Err(Error::field(other, "cells", expected, "those of another study"));
    }
    let whole = plan.cells.iter().map(|cell| joined(cell, plan, &shares)).collect::<Result<Vec<_>>>()?;
    begin_folder(out)?;
    atomic::write_json(&plan_file(out, None), plan)?;
    for cell in &whole {
        let (path, _) = place_of(&cells_of(out), &cell.adapter, &cell.condition, None)?;
        cell.write(&path)?;
    }
    Ok(whole)
}

/// A cell of all shares.
fn joined(planned: &PlannedCell, plan: &StudyPlan, shares: &[(Share, StudyPlan, PathBuf)]) -> Result<Cell> {
    let mut parts = Vec::new();
    let mut first: Option<(String, PathBuf)> = None;
    for (share, _, plan_path) in shares {
        let folder = cells_of(plan_path.parent().unwrap_or(Path::new("")));
        let (path, held) = place_of(&folder, &planned.model, &planned.condition, Some(*share))?;
        let Some(held) = held else {
            let expected = format!("all its cells, {} under {} too", planned.model, planned.condition.name);
            let found = "that one missing or damaged: it is not whole, and goes on where it was";
            return Err(Error::field(plan_path, format!("share {share}"), expected, found));
        };
        let (fingerprint, first_path) = first.get_or_insert_with(|| (held.fingerprint.clone(), path.clone()));
        if held.fingerprint != *fingerprint {
            let expected = format!("that of {}", first_path.display());
            return Err(Error::field(&path, "fingerprint", expected, "another: other files or another seed"));
        }
        check_count(&held.predictions, share.count_of(plan.samples), &path)?;
        parts.push((*share, held.predictions, path));
    }
    let (fingerprint, _) = first.expect("at least one share");
    let predictions = Share::joined(parts)?;
    Ok(Cell::new(planned.model.clone(), planned.condition.clone(), fingerprint, None, predictions))
}

/// The plans of shares that a folder has.
fn share_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("read the folder", folder, e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let share = name.strip_prefix("study.").and_then(|rest| rest.strip_suffix(".json"));
        if share.is_some() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
