//! The session file: JSON with a version, and a folder beside it that holds pictures (PNG) and traces (safetensors).
//!
//! What is in the folder is named by what it is, so that saving again writes only what is new; the JSON is replaced in
//! one move, and what the one before named and it does not is removed after that. What a later version of the program
//! says beside what this one knows stays in the file.

pub mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Session;
use super::pictures::{Pictures, WrittenPicture, same, short};
use crate::analysis::query::Query;
use crate::app::parts::runs::{Evicted, Listed};
use crate::app::parts::tiling::Tiling;
use crate::app::parts::view::View;
use crate::ask::keep::of_earlier_versions;
use crate::ask::{Condition, Keep};
use crate::atomic::{self, Hold, LOCK};
use crate::engine::ids::{ModelId, Request, Run, RunId};
use crate::error::{Error, Result};
use crate::export::trace_file;

const FORMAT: &str = "livr-session";
/// Raised with each field that an older program must not leave out. Version 2 has edits and disturbances, and what is kept of
/// runs beside how they are asked.
const VERSION: u32 = 2;
const ARRAYS: &str = ".arrays";

#[derive(Serialize, Deserialize)]
struct Written {
    format: String,
    version: u32,
    program: String,
    pictures: Vec<WrittenPicture>,
    model: Option<ModelId>,
    /// Places in `pictures`.
    images: Vec<usize>,
    question: String,
    choices: String,
    settings: Condition,
    #[serde(default)]
    keep: Keep,
    view: View,
    layout: Tiling,
    query: Query,
    runs: Vec<WrittenRun>,
    shown: Option<usize>,
    base: Option<usize>,
    /// Of a later version.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct WrittenRun {
    number: usize,
    name: String,
    pinned: bool,
    #[serde(default)]
    sample: Option<String>,
    model: ModelId,
    /// Places in `pictures`.
    images: Vec<usize>,
    prompt: String,
    choices: Vec<String>,
    settings: Condition,
    file: String,
    /// Of a later version.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The folder beside a session file.
pub fn folder_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ARRAYS);
    path.with_file_name(name)
}

/// The session file beside a folder of arrays.
fn session_of(folder: &Path) -> Option<PathBuf> {
    Some(folder.with_file_name(folder.file_name()?.to_str()?.strip_suffix(ARRAYS)?))
}

/// Moves a session to another name, where there is none yet. Its folder goes first; a session without one, which somebody
/// has tidied away, is moved all the same.
///
/// # Errors
/// Something that is there already, or cannot be moved: then all is where it was.
pub fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    let (folder, moved) = (folder_of(from), folder_of(to));
    // A move that was cut short is ended: then only the folder is there.
    let has_folder = folder.is_dir();
    if to.exists() || (has_folder && moved.exists()) {
        return Err(std::io::ErrorKind::AlreadyExists.into());
    }
    if has_folder {
        std::fs::rename(&folder, &moved)?;
    }
    let result = std::fs::rename(from, to);
    if result.is_err() && has_folder {
        std::fs::rename(&moved, &folder)?;
    }
    result
}

/// Removes a session.
pub fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_file() {
        std::fs::remove_file(path)?;
    }
    if folder_of(path).is_dir() {
        std::fs::remove_dir_all(folder_of(path))?;
    }
    Ok(())
}

impl Session {
    /// Takes hold of a session's file, so that no other window keeps its own there; nothing where another has it.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn hold(path: &Path) -> Result<Option<Hold>> {
        atomic::check(path)?;
        let folder = folder_of(path);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create the folder", &folder, e))?;
        Hold::take(&folder.join(LOCK))
    }

    /// Writes the session: the folder first, so that what the file names is there.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        // One after the other: each removes what it does not name.
        static WRITING: Mutex<()> = Mutex::new(());
        let _writing = WRITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        atomic::check(path)?;
        let folder = folder_of(path);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create the folder", &folder, e))?;
        // What a program that was killed while it wrote has left.
        atomic::clear_parts(&folder)?;
        let before = written_at(path);
        let mut pictures = Pictures::new(&folder);
        let images = pictures.places_of(&self.images)?;
        let runs = self.runs.iter().map(|(listed, run)| {
            written_run(listed, run, self.files.get(&run.id).map(PathBuf::as_path), &mut pictures)
        });
        let mut runs = runs.collect::<Result<Vec<_>>>()?;
        runs.extend(carried_over(&self.evicted, &mut pictures)?);
        runs.sort_by_key(|run| run.number);
        let written = Written {
            format: FORMAT.to_owned(),
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            pictures: pictures.written,
            model: self.model.clone(),
            images,
            question: self.question.clone(),
            choices: self.choices.clone(),
            settings: self.condition.clone(),
            keep: self.keep.clone(),
            view: self.view,
            layout: self.layout.clone(),
            query: self.query,
            runs,
            shown: self.shown,
            base: self.base,
            rest: self.rest.clone(),
        };
        atomic::write_json(path, &written)?;
        self.clear(&folder, before.as_ref(), &written)
    }

    /// Removes what the session named and no longer does, but for runs that may yet come back; what is nobody's here stays.
    fn clear(&self, folder: &Path, before: Option<&Written>, written: &Written) -> Result<()> {
        let files = |of: &Written| -> BTreeSet<PathBuf> {
            let runs = of.runs.iter().map(|run| &run.file);
            runs.chain(of.pictures.iter().map(|picture| &picture.file))
                .map(|name| folder.join(name))
                .collect()
        };
        let mut gone: BTreeSet<PathBuf> = self.forgotten.iter().cloned().collect();
        gone.extend(before.map(files).unwrap_or_default());
        for path in gone.difference(&files(written)).filter(|path| !self.deleted.contains(path)) {
            if path.parent() == Some(folder) && path.is_file() {
                std::fs::remove_file(path).map_err(|e| Error::io("remove", path, e))?;
            }
        }
        Ok(())
    }

    /// Where the traces of its runs are once it is in this file.
    pub fn files_in(&self, path: &Path) -> BTreeMap<RunId, PathBuf> {
        let folder = folder_of(path);
        self.runs.iter().map(|(listed, run)| (run.id, folder.join(file_of(listed, run)))).collect()
    }
}

/// A session file's content.
fn read_written(path: &Path) -> Result<Written> {
    let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::Missing { what: "the session".to_owned(), path: path.to_owned() }
        }
        _ => Error::io("read the session", path, e),
    })?;
    parsed(&text, path)
}

/// What a session file named before it is replaced; nothing where there is none that can be read.
fn written_at(path: &Path) -> Option<Written> {
    path.is_file().then(|| read_written(path).ok()).flatten()
}

fn folders_of(evicted: &[Evicted]) -> BTreeSet<PathBuf> {
    evicted.iter().filter_map(|run| run.file.parent().map(Path::to_owned)).collect()
}

/// Runs that only a session's file holds, for this one: their files are put beside the others.
fn carried_over(evicted: &[Evicted], pictures: &mut Pictures<'_>) -> Result<Vec<WrittenRun>> {
    let mut runs = Vec::new();
    for folder in folders_of(evicted) {
        let path = session_of(&folder)
            .ok_or_else(|| Error::Missing { what: "the session".to_owned(), path: folder.clone() })?;
        let written = read_written(&path)?;
        for own in written.runs {
            let Some(wanted) = evicted.iter().find(|other| other.file == folder.join(&own.file)) else {
                continue;
            };
            let target = pictures.folder.join(&own.file);
            if !target.is_file() {
                same(&wanted.file, &target)?;
            }
            let images = own.images.iter().map(|place| {
                let picture = written.pictures.get(*place).ok_or_else(|| {
                    let expected = format!("numbers below {}", written.pictures.len());
                    Error::field(&path, "images", expected, format!("{:?}", own.images))
                })?;
                pictures.take_over(&folder, picture)
            });
            let images = images.collect::<Result<_>>()?;
            runs.push(WrittenRun { number: wanted.number, images, ..own });
        }
    }
    if let Some(lost) = evicted.iter().find(|wanted| !runs.iter().any(|run| run.number == wanted.number)) {
        let what = format!("run {} of the session", lost.number);
        return Err(Error::Missing { what, path: lost.file.clone() });
    }
    Ok(runs)
}

/// The file's content, where it is a session that this program can read.
fn parsed(text: &str, path: &Path) -> Result<Written> {
    #[derive(Deserialize)]
    struct Head {
        format: String,
        version: u32,
    }
    let no_session = |e: &dyn std::fmt::Display| Error::format(path, "the file is no session", e);
    let head: Head = serde_json::from_str(text).map_err(|e| no_session(&e))?;
    if head.format != FORMAT {
        return Err(Error::field(path, "format", FORMAT, head.format));
    }
    if head.version > VERSION {
        let found = format!("{}, of a later version of this program", head.version);
        return Err(Error::field(path, "version", format!("at most {VERSION}"), found));
    }
    let mut file = serde_json::from_str(text).map_err(|e| no_session(&e))?;
    of_earlier_versions(&mut file);
    serde_json::from_value(file).map_err(|e| no_session(&e))
}

/// The file of a run in a session's folder.
fn file_of(listed: &Listed, run: &Run) -> String {
    let Request { model, sample, condition } = &run.request;
    let mut hasher = Sha256::new();
    let facts = (model, &sample.prompt, condition, &run.trace.answer, &run.trace.timings, listed.number);
    hasher.update(serde_json::to_vec(&facts).expect("plain data serialises, paths too"));
    format!("run-{}-{}.safetensors", listed.number, short(hasher))
}

/// Writes what there is of a run; `kept` is where another session keeps all of it.
fn written_run(
    listed: &Listed,
    run: &Run,
    kept: Option<&Path>,
    pictures: &mut Pictures<'_>,
) -> Result<WrittenRun> {
    let Request { model, sample, condition } = &run.request;
    let images = pictures.places_of(&sample.images)?;
    let file = file_of(listed, run);
    let target = pictures.folder.join(&file);
    // A run that lost its maps in memory keeps them there.
    if !target.is_file() {
        match kept.filter(|kept| kept.is_file()) {
            Some(kept) => same(kept, &target)?,
            None => trace_file::write(&run.trace, &target)?,
        }
    }
    Ok(WrittenRun {
        number: listed.number,
        name: listed.name.clone(),
        pinned: listed.pinned,
        sample: listed.sample.clone(),
        model: model.clone(),
        images,
        prompt: sample.prompt.clone(),
        choices: sample.choices.clone(),
        settings: condition.clone(),
        file,
        rest: listed.rest.clone(),
    })
}
