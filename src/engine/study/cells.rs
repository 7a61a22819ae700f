//! Cells of a study in a folder: each in a file of its own, with a journal beside it until it is whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::accuracy::{Accuracy, Prediction};
use super::plan::{CellOf, Cells, Heading, NamedCondition};
use super::result::Predictions;
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
    /// Of a share, its number among the cells of the study.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
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
        part: Option<(Share, usize)>,
        predictions: Vec<Prediction>,
    ) -> Self {
        let (share, place) = part.unzip();
        let masses: Vec<f64> = predictions.iter().filter_map(|own| own.latent_mass).collect();
        Self {
            adapter,
            condition,
            fingerprint,
            share,
            place,
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

/// A folder of cells.
pub struct CellFolder<'a> {
    folder: &'a Path,
    /// Those that are whole, in the order they were asked.
    pub whole: Vec<Cell>,
}

impl<'a> CellFolder<'a> {
    /// A folder, made where it is not there.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn open(folder: &'a Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder, e))?;
        Ok(Self { folder, whole: Vec::new() })
    }
}

impl Cells for CellFolder<'_> {
    type Kept = Predictions;

    fn begin(&mut self, cell: &CellOf<'_>) -> Result<Option<Predictions>> {
        let fingerprint = fingerprint(&cell.heading, cell.info.auto_max_pixels)?;
        let (path, held) = place_of(self.folder, &cell.model.name, cell.condition, cell.heading.share)?;
        if let Some(held) = held.filter(|held| held.fingerprint == fingerprint) {
            Predictions::clear(&path, &cell.heading)?;
            self.whole.push(held);
            return Ok(None);
        }
        Predictions::open(&path, &cell.heading).map(Some)
    }

    fn end(&mut self, cell: &CellOf<'_>, kept: Predictions) -> Result<()> {
        let fingerprint = fingerprint(&cell.heading, cell.info.auto_max_pixels)?;
        let (path, _) = place_of(self.folder, &cell.model.name, cell.condition, cell.heading.share)?;
        let predictions = kept.in_order(cell.records);
        let part = cell.heading.share.map(|share| (share, cell.place));
        let whole =
            Cell::new(cell.model.name.clone(), cell.condition.clone(), fingerprint, part, predictions);
        whole.write(&path)?;
        kept.close()?;
        self.whole.push(whole);
        Ok(())
    }
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
    let part = share.map_or_else(String::new, |share| format!(".{}", share.as_file_name()));
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

/// Puts the shares of cells in some folders together, in the first's order of cells, and writes the whole ones to another.
///
/// # Errors
/// A share that is not there, or there twice; cells of other models or samples; a place that cannot be written.
pub fn collect(folders: &[PathBuf], out: &Path) -> Result<Vec<Cell>> {
    let mut groups: Vec<Vec<(Cell, PathBuf)>> = Vec::new();
    for folder in folders {
        for path in cell_files(folder)? {
            let Some(cell) = read(&path, &Decoding::of_studies()).filter(|cell| cell.share.is_some()) else {
                continue;
            };
            let is_alike = |group: &&mut Vec<(Cell, PathBuf)>| {
                let (first, _) = &group[0];
                first.adapter == cell.adapter && first.condition == cell.condition
            };
            match groups.iter_mut().find(is_alike) {
                Some(group) => group.push((cell, path)),
                None => groups.push(vec![(cell, path)]),
            }
        }
    }
    groups.sort_by_key(|group| group[0].0.place);
    if groups.is_empty() {
        let what = "a share of a cell, as a study with --shard leaves them,".to_owned();
        return Err(Error::Missing { what, path: folders.first().cloned().unwrap_or_default() });
    }
    std::fs::create_dir_all(out).map_err(|e| Error::io("make the folder", out, e))?;
    let mut whole = Vec::new();
    for group in groups {
        let (first, path) = group[0].clone();
        if let Some((_, other)) = group.iter().find(|(cell, _)| cell.fingerprint != first.fingerprint) {
            let expected = format!("that of {}", path.display());
            return Err(Error::field(other, "fingerprint", expected, "another: other files or samples"));
        }
        let shares =
            group.into_iter().map(|(cell, path)| (cell.share.expect("shares alone"), cell.predictions, path));
        let predictions = Share::joined(shares.collect())?;
        let cell = Cell::new(first.adapter, first.condition, first.fingerprint, None, predictions);
        let (path, _) = place_of(out, &cell.adapter, &cell.condition, None)?;
        cell.write(&path)?;
        whole.push(cell);
    }
    Ok(whole)
}

fn cell_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("read the folder", folder, e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
