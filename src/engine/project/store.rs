//! Hidden states of many samples on disk: half precision, one row after the other, with a line for each sample. Only
//! rows whose line is there count, so that a stop at any moment loses at most the samples under way.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::super::study::Share;
use super::super::study::journal::{Journal, OpenedJournal};
use super::plan::{SAMPLES, STATES, StatesPlan};
use super::scalars::{Scalars, StateScalar};
use crate::atomic::{Hold, LOCK};
use crate::error::{Error, Result};
use crate::projection::rows::Rows;
use crate::units::{GridThw, Role, Span};

/// A token whose states are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeptToken {
    /// Position in the prompt.
    pub token: u32,
    /// What it is for.
    pub role: Role,
    /// Number of the latent, or of the visual token among all of its sample's; else the position.
    pub index: u32,
}

/// A sample whose states are kept, [l, t] rows of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// Of the record.
    pub id: String,
    /// Of the record.
    pub task: String,
    /// Of the record.
    pub target: String,
    /// What the model said.
    pub answer: String,
    /// Is it what the target says?
    pub correct: bool,
    /// [l]: 0 is the embedding, i + 1 the output of layer i, L after the final norm.
    pub layers: Vec<usize>,
    /// [t].
    pub tokens: Vec<KeptToken>,
    /// [l][K]: the visual token, among all of its sample's, that the latent looks at most in the layer that made its
    /// state, all heads taken together; nothing where there is none.
    #[serde(default)]
    pub looks: Vec<Vec<u32>>,
    /// Numbers of its tokens.
    #[serde(default)]
    pub scalars: Scalars,
    /// Of its images.
    pub grids: Vec<GridThw>,
    /// Where each image's tokens are.
    pub image_spans: Vec<Span>,
    /// Pixels on a side of a patch.
    pub patch_size: usize,
    /// Patches on a side of a visual token.
    pub merge_size: usize,
    /// D.
    pub width: usize,
    /// Where its rows begin among all of the folder's; nothing in folders of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_row: Option<usize>,
}

impl Sampled {
    /// Where a visual token is, by its number among all of the sample's.
    pub fn place(&self, index: u32) -> Option<Patch> {
        let mut left = index as usize;
        for (image, grid) in self.grids.iter().enumerate() {
            let size @ (_, columns) = grid.merged(self.merge_size);
            let count = grid.num_visual_tokens(self.merge_size);
            if left < count {
                return Some(Patch { image, row: left / columns, column: left % columns, size });
            }
            left -= count;
        }
        None
    }

    /// A number of a token at a layer, where it is known.
    pub fn scalar(&self, scalar: StateScalar, layer: u32, token: u32) -> Option<f32> {
        let layer = self.layers.iter().position(|own| *own == layer as usize)?;
        let token = self.tokens.binary_search_by_key(&token, |kept| kept.token).ok()?;
        self.scalars.of(scalar, layer, token)
    }

    fn num_rows(&self) -> usize {
        self.layers.len() * self.tokens.len()
    }
}

/// Where a visual token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// Of the sample's.
    pub image: usize,
    /// From the top.
    pub row: usize,
    /// From the left.
    pub column: usize,
    /// Rows and columns of the grid.
    pub size: (usize, usize),
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |e| Error::io(action, path, e)
}

/// Of each sample the number of its first row, and of all the number of rows.
fn first_rows(samples: &[Sampled], folder: &Path) -> Result<Vec<usize>> {
    let (mut firsts, mut total) = (Vec::with_capacity(samples.len() + 1), 0);
    for sample in samples {
        let wrong = |field: &str, expected: String, found: usize| {
            let field = format!("{field} of {}", sample.id);
            Err(Error::field(folder.join(SAMPLES), field, expected, found.to_string()))
        };
        if sample.width != samples[0].width {
            return wrong("width", format!("{} in all samples", samples[0].width), sample.width);
        }
        if let Some(first) = sample.first_row.filter(|first| *first != total) {
            return wrong("first_row", format!("{total}, where the one before it ends"), first);
        }
        firsts.push(total);
        total += sample.num_rows();
    }
    firsts.push(total);
    Ok(firsts)
}

/// A folder that states are written to.
pub struct Writer {
    _hold: Hold,
    folder: PathBuf,
    journal: Journal,
    states: File,
    ids: HashSet<String>,
    /// Those that are whole.
    rows: usize,
}

impl Writer {
    /// A new folder, or one of the same plan that was stopped.
    ///
    /// # Errors
    /// A folder of another plan or that another writes to, a disk that cannot be written.
    pub fn open(folder: &Path, plan: &StatesPlan) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(failed("make the folder", folder))?;
        let hold = Hold::of_folder(folder)?;
        let path = folder.join(SAMPLES);
        if StatesPlan::of(folder).is_some_and(|held| held != *plan) {
            let expected = "states of this model, data and settings";
            let found = "others: name another output, or remove the folder it is in";
            return Err(Error::field(path, "the folder", expected, found));
        }
        let OpenedJournal { journal, lines: samples } = Journal::open::<_, Sampled>(&path, plan)?;
        let path = folder.join(STATES);
        let states =
            OpenOptions::new().append(true).create(true).open(&path).map_err(failed("write", &path))?;
        let firsts = first_rows(&samples, folder)?;
        let width = samples.first().map_or(0, |sample| sample.width);
        let rows = firsts.last().copied().unwrap_or(0);
        let whole = rows * width * size_of::<f16>();
        let length = states.metadata().map_err(failed("read", &path))?.len();
        if length < whole as u64 {
            return Err(Error::field(path, "length", format!("at least {whole} bytes"), length.to_string()));
        }
        if length > whole as u64 {
            states.set_len(whole as u64).map_err(failed("write", &path))?;
        }
        let ids = samples.into_iter().map(|sample| sample.id).collect();
        Ok(Self { _hold: hold, folder: folder.to_owned(), journal, states, ids, rows })
    }

    /// Removes a folder in which nothing was kept, and nothing else is.
    ///
    /// # Errors
    /// One that another writes to, something that cannot be removed.
    pub fn clear_empty(folder: &Path) -> Result<()> {
        let hold = Hold::of_folder(folder)?;
        if StatesPlan::count(folder) != Some(0) {
            return Ok(());
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |e| Error::io("remove", &path, e)
        };
        for path in [SAMPLES, STATES, LOCK].map(|name| folder.join(name)) {
            std::fs::remove_file(&path).map_err(failed(&path))?;
        }
        drop(hold);
        std::fs::remove_dir(folder).map_err(failed(folder))
    }

    /// Is a sample there?
    pub fn has_sample(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// Adds a sample with its states, [l, t, D].
    ///
    /// # Errors
    /// A disk that is full.
    pub fn add(&mut self, sample: Sampled, states: &[f32]) -> Result<()> {
        let largest = f32::from(f16::MAX);
        let narrow: Vec<f16> = states.iter().map(|v| f16::from_f32(v.clamp(-largest, largest))).collect();
        self.add_as_kept(sample, &narrow)
    }

    /// The same of states that are in half precision already.
    fn add_as_kept(&mut self, sample: Sampled, narrow: &[f16]) -> Result<()> {
        assert_eq!(narrow.len(), sample.num_rows() * sample.width, "states of a sample");
        let path = self.folder.join(STATES);
        self.states.write_all(bytemuck::cast_slice(narrow)).map_err(failed("write the states", &path))?;
        // On the disk before the line that names them.
        self.states.sync_data().map_err(failed("write the states", &path))?;
        let rows = sample.num_rows();
        let sample = Sampled { first_row: Some(self.rows), ..sample };
        self.journal.add(&sample)?;
        self.rows += rows;
        self.ids.insert(sample.id);
        Ok(())
    }
}

/// A point: a token of a sample at a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatePoint {
    /// Number of the sample in the folder.
    pub sample: u32,
    /// Which of the sample's layers.
    pub layer: u32,
    /// The token.
    pub kept: KeptToken,
}

/// The states of a folder, mapped into memory.
pub struct States {
    samples: Vec<Sampled>,
    /// Of each sample, the number of its first row.
    firsts: Vec<usize>,
    width: usize,
    map: Mmap,
}

impl States {
    /// What a folder holds.
    ///
    /// # Errors
    /// No states, samples of different widths, files that are cut off.
    #[expect(unsafe_code, reason = "memory maps")]
    pub fn open(folder: &Path) -> Result<Self> {
        let samples: Vec<Sampled> = Journal::lines_of(&folder.join(SAMPLES))?;
        let path = folder.join(STATES);
        let width = samples.first().map_or(0, |sample| sample.width);
        let mut firsts = first_rows(&samples, folder)?;
        let total = firsts.pop().unwrap_or(0);
        let file = File::open(&path).map_err(failed("read", &path))?;
        // SAFETY: the file is this program's own, and only grows; a reader that it is cut off under sees zeros or is
        // ended by the system, as with every map of a file.
        let map = unsafe { Mmap::map(&file) }.map_err(failed("read", &path))?;
        let bytes = total * width * size_of::<f16>();
        if map.len() < bytes {
            return Err(Error::field(path, "length", format!("{bytes} bytes"), map.len().to_string()));
        }
        Ok(Self { samples, firsts, width, map })
    }

    /// Only the samples that `is_wanted` says.
    #[must_use]
    pub fn filtered(mut self, is_wanted: impl Fn(&Sampled) -> bool) -> Self {
        let both = self.samples.into_iter().zip(self.firsts).filter(|(sample, _)| is_wanted(sample));
        (self.samples, self.firsts) = both.unzip();
        self
    }

    /// In their order.
    pub fn samples(&self) -> &[Sampled] {
        &self.samples
    }

    /// Every layer that any sample has, ascending.
    pub fn layers(&self) -> Vec<usize> {
        let mut layers: Vec<usize> = self.samples.iter().flat_map(|sample| sample.layers.clone()).collect();
        layers.sort_unstable();
        layers.dedup();
        layers
    }

    /// The points of a layer, sample by sample.
    pub fn at_layer(&self, layer: usize) -> Chosen<'_> {
        let (mut points, mut rows) = (Vec::new(), Vec::new());
        for (number, sample) in self.samples.iter().enumerate() {
            let Some(place) = sample.layers.iter().position(|own| *own == layer) else { continue };
            let first = self.firsts[number] + place * sample.tokens.len();
            for (i, kept) in sample.tokens.iter().enumerate() {
                points.push(StatePoint { sample: number as u32, layer: layer as u32, kept: *kept });
                rows.push((first + i) as u64);
            }
        }
        Chosen { states: self, points, rows }
    }

    /// All values of a sample, [l, t, D].
    fn of_sample(&self, number: usize) -> &[f16] {
        let bytes = self.width * size_of::<f16>();
        let rows = self.samples[number].num_rows();
        bytemuck::cast_slice(&self.map[self.firsts[number] * bytes..][..rows * bytes])
    }

    fn row(&self, number: u64) -> &[f16] {
        let bytes = self.width * size_of::<f16>();
        bytemuck::cast_slice(&self.map[number as usize * bytes..][..bytes])
    }
}

/// Some of the states of a folder.
pub struct Chosen<'a> {
    states: &'a States,
    points: Vec<StatePoint>,
    rows: Vec<u64>,
}

impl Chosen<'_> {
    /// What each row is of.
    pub fn points(&self) -> &[StatePoint] {
        &self.points
    }

    /// Only the rows of points that `is_wanted` says.
    #[must_use]
    pub fn filtered(mut self, is_wanted: impl Fn(&StatePoint) -> bool) -> Self {
        let both = self.points.into_iter().zip(self.rows).filter(|(point, _)| is_wanted(point));
        (self.points, self.rows) = both.unzip();
        self
    }

    /// At most so many of the rows, evenly among them.
    #[must_use]
    pub fn thinned(mut self, most: usize) -> Self {
        let count = self.rows.len();
        if count > most {
            let places = (0..most).map(|i| i * count / most);
            (self.points, self.rows) = places.map(|place| (self.points[place], self.rows[place])).unzip();
        }
        self
    }

    /// All of them, [P, D].
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn values(&self) -> Result<Vec<f32>> {
        let mut values = vec![0f32; self.rows.len() * self.states.width];
        self.read(0, &mut values)?;
        Ok(values)
    }
}

impl Rows for Chosen<'_> {
    fn count(&self) -> usize {
        self.rows.len()
    }

    fn width(&self) -> usize {
        self.states.width
    }

    fn read(&self, first: usize, values: &mut [f32]) -> Result<()> {
        let width = self.states.width;
        values.par_chunks_exact_mut(width).zip(&self.rows[first..]).for_each(|(values, row)| {
            self.states.row(*row).convert_to_f32_slice(values);
        });
        Ok(())
    }
}

/// Puts the states of all shares of a data set together in another folder, in the order of the samples. -> how many.
///
/// # Errors
/// A share that is not there, or there twice; states of another plan; a folder that cannot be written.
pub fn collect_shares(folders: &[PathBuf], out: &Path) -> Result<usize> {
    let mut parts = Vec::new();
    let mut first: Option<StatesPlan> = None;
    for folder in folders {
        let path = folder.join(SAMPLES);
        let plan = StatesPlan::of(folder);
        let Some((plan, share)) = plan.and_then(|plan| plan.share.map(|share| (plan, share))) else {
            return Err(Error::field(path, "share", "a share of the samples, as 1/4", "none"));
        };
        let divided = plan.divided;
        let whole = StatesPlan { share: None, divided: None, ..plan };
        if first.get_or_insert_with(|| whole.clone()) != &whole {
            return Err(Error::field(
                path,
                "the folder",
                "states of one model, data and condition",
                "others",
            ));
        }
        let samples: Vec<Sampled> = Journal::lines_of(&path)?;
        let due = divided.map_or(0, |divided| share.count_of(divided));
        if samples.len() != due {
            let found = format!("{}: it was stopped, and goes on where it was", samples.len());
            return Err(Error::field(path, "samples", due.to_string(), found));
        }
        let number = parts.len();
        let placed = samples.into_iter().enumerate().map(|(i, sample)| (number, i, sample)).collect();
        parts.push((share, placed, path));
    }
    let Some(plan) = first else {
        return Err(Error::Request("expected folders of states to put together, found none".to_owned()));
    };
    let joined: Vec<(usize, usize, Sampled)> = Share::joined(parts)?;
    let states = folders.iter().map(|folder| States::open(folder)).collect::<Result<Vec<_>>>()?;
    let mut writer = Writer::open(out, &plan)?;
    let count = joined.len();
    for (number, i, sample) in joined {
        if !writer.has_sample(&sample.id) {
            let narrow = states[number].of_sample(i);
            writer.add_as_kept(sample, narrow)?;
        }
    }
    Ok(count)
}
