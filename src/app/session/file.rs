//! The session file: JSON with a version, and a folder beside it that holds pictures (PNG) and traces (safetensors).
//!
//! What is in the folder is named by what it is, so that saving again writes only what is new; the JSON is replaced in
//! one move, and what it no longer names is removed after that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Session;
use super::pictures::{Pictures, WrittenPicture, plain, read_picture, short};
use crate::analysis::maps::Query;
use crate::app::kept::View;
use crate::app::layout::Layout;
use crate::app::runs::{Listed, MOST_BYTES, next_loaded_id};
use crate::atomic::{self, Hold, LOCK};
use crate::data::picture::Picture;
use crate::data::sample::Sample;
use crate::engine::protocol::{ModelId, Request, Run, RunId};
use crate::error::{Error, Result};
use crate::export::trace_file;
use crate::settings::Settings;

const FORMAT: &str = "livr-session";
const VERSION: u32 = 1;

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
    settings: Settings,
    view: View,
    layout: Layout,
    query: Query,
    runs: Vec<WrittenRun>,
    shown: Option<usize>,
    base: Option<usize>,
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
    settings: Settings,
    file: String,
}

/// The folder beside a session file.
pub fn folder_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".arrays");
    path.with_file_name(name)
}

/// Moves a session to another name, in the place of one there.
pub fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    // Where it was cut short before, what is left to do is the file itself.
    let is_cut_short = !folder_of(from).is_dir() && folder_of(to).is_dir() && !to.is_file();
    if !is_cut_short {
        remove(to)?;
        std::fs::rename(folder_of(from), folder_of(to))?;
    }
    std::fs::rename(from, to)
}

fn remove(path: &Path) -> std::io::Result<()> {
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
        let mut pictures = Pictures::new(&folder);
        let images = pictures.places_of(&self.images)?;
        let runs = self.runs.iter().map(|(listed, run)| {
            written_run(listed, run, self.files.get(&run.id).map(PathBuf::as_path), &mut pictures)
        });
        let runs = runs.collect::<Result<_>>()?;
        let written = Written {
            format: FORMAT.to_owned(),
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            pictures: pictures.written,
            model: self.model.clone(),
            images,
            question: self.question.clone(),
            choices: self.choices.clone(),
            settings: self.settings.clone(),
            view: self.view,
            layout: self.layout.clone(),
            query: self.query,
            runs,
            shown: self.shown,
            base: self.base,
        };
        let text = serde_json::to_string_pretty(&written).expect("plain data serialises");
        atomic::write(path, |out| out.write_all(text.as_bytes()))?;
        clear(&folder, &written)
    }

    /// Where the traces of its runs are once it is in this file.
    pub fn files_in(&self, path: &Path) -> BTreeMap<RunId, PathBuf> {
        let folder = folder_of(path);
        self.runs.iter().map(|(listed, run)| (run.id, folder.join(file_of(listed, run)))).collect()
    }

    /// Reads a session; of more runs than memory is to hold the older ones without their maps, which stay in their files.
    ///
    /// # Errors
    /// A file that is none, of a later version, or whose folder lacks something.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_holding(path, MOST_BYTES)
    }

    fn read_holding(path: &Path, most_bytes: usize) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::Missing { what: "the session".to_owned(), path: path.to_owned() }
            }
            _ => Error::io("read the session", path, e),
        })?;
        let written = parsed(&text, path)?;
        let folder = folder_of(path);
        let pictures =
            written.pictures.iter().map(|own| read_picture(&folder, own, path)).collect::<Result<_>>()?;
        let mut reader = Reader { path, folder, pictures, files: BTreeMap::new(), room: most_bytes };
        let (mut runs, mut problems) = (Vec::new(), Vec::new());
        // The newest first, as they keep their maps.
        for own in written.runs.into_iter().rev() {
            let number = own.number;
            match reader.run(own) {
                Ok(run) => runs.push(run),
                Err(problem) => problems.push(format!("run {number} is left out: {problem}")),
            }
        }
        runs.reverse();
        Ok(Self {
            runs,
            problems,
            images: reader.images(&written.images)?,
            files: reader.files,
            model: written.model,
            question: written.question,
            choices: written.choices,
            settings: written.settings,
            view: written.view,
            layout: written.layout,
            query: written.query,
            shown: written.shown,
            base: written.base,
        })
    }
}

/// What is read of a session's folder.
struct Reader<'a> {
    path: &'a Path,
    folder: PathBuf,
    pictures: Vec<Arc<Picture>>,
    files: BTreeMap<RunId, PathBuf>,
    /// Bytes of captures that may yet be held.
    room: usize,
}

impl Reader<'_> {
    fn images(&self, places: &[usize]) -> Result<Vec<Arc<Picture>>> {
        let found: Option<Vec<_>> = places.iter().map(|place| self.pictures.get(*place).cloned()).collect();
        found.ok_or_else(|| {
            let expected = format!("numbers below {}", self.pictures.len());
            Error::field(self.path, "images", expected, format!("{places:?}"))
        })
    }

    fn run(&mut self, own: WrittenRun) -> Result<(Listed, Arc<Run>)> {
        let sample = Sample { images: self.images(&own.images)?, prompt: own.prompt, choices: own.choices };
        let request = Request { model: own.model, sample, settings: own.settings };
        let file = plain(&self.folder, &own.file, self.path)?;
        let mut trace = trace_file::read(&file)?;
        if trace.grids.len() != request.sample.images.len() {
            let expected = format!("{} images, as the run has", request.sample.images.len());
            return Err(Error::field(self.path, own.file, expected, trace.grids.len().to_string()));
        }
        match self.room.checked_sub(trace.captured_bytes()) {
            Some(room) => self.room = room,
            None if own.pinned => self.room = 0,
            None => trace = trace.without_captures(),
        }
        let id = next_loaded_id();
        self.files.insert(id, file);
        let (number, name, pinned, sample) = (own.number, own.name, own.pinned, own.sample);
        let listed = Listed { id, number, name, pinned, sample };
        Ok((listed, Arc::new(Run { id, request, trace: Arc::new(trace) })))
    }
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
    serde_json::from_str(text).map_err(|e| no_session(&e))
}

/// The file of a run in a session's folder.
fn file_of(listed: &Listed, run: &Run) -> String {
    let Request { model, sample, settings } = &run.request;
    let mut hasher = Sha256::new();
    let facts = (model, &sample.prompt, settings, &run.trace.answer, &run.trace.timings, listed.number);
    hasher.update(serde_json::to_vec(&facts).expect("plain data serialises"));
    format!("run-{}-{}.safetensors", listed.number, short(hasher))
}

/// Writes what there is of a run; `kept` is where another session keeps all of it.
fn written_run(
    listed: &Listed,
    run: &Run,
    kept: Option<&Path>,
    pictures: &mut Pictures<'_>,
) -> Result<WrittenRun> {
    let Request { model, sample, settings } = &run.request;
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
        settings: settings.clone(),
        file,
    })
}

/// The same file in another place. Neither is ever written to, only replaced, so they may be one.
fn same(from: &Path, to: &Path) -> Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let mut file = std::fs::File::open(from).map_err(|e| Error::io("read the run", from, e))?;
    atomic::write(to, |out| std::io::copy(&mut file, out).map(|_| ()))
}

/// Removes what the session no longer names.
fn clear(folder: &Path, written: &Written) -> Result<()> {
    let failed = |e| Error::io("look into the folder", folder, e);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_ours = name.starts_with("run-") || name.starts_with("picture-");
        let is_named = written.runs.iter().any(|run| run.file == name)
            || written.pictures.iter().any(|picture| picture.file == name);
        if is_ours && !is_named {
            std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::kept::Kept;
    use crate::array::Array;
    use crate::engine::protocol::ModelId;
    use crate::settings::{DeviceChoice, DtypeChoice};
    use crate::trace::Trace;
    use crate::units::{GridThw, Role, Span};

    fn session() -> Session {
        let pixels = image::RgbImage::from_fn(28, 14, |x, y| image::Rgb([x as u8, y as u8, 7]));
        let picture = Arc::new(Picture::new("cat.png", pixels));
        let model = ModelId::demo(DeviceChoice::Cpu, DtypeChoice::F32);
        let kept = Kept::default();
        let trace = Trace {
            input_ids: vec![1, 2, 9],
            roles: vec![Role::Prompt, Role::Image, Role::Latent],
            positions: vec![[0; 3]; 3],
            grids: vec![GridThw { t: 1, h: 2, w: 2 }],
            patch_size: 14,
            merge_size: 2,
            image_spans: vec![Span { start: 1, end: 2 }],
            latent_attentions: Some(Array::new([1, 1, 1, 3], vec![0.25, 0.5, 0.25])),
            answer: "B".to_owned(),
            settings: kept.settings.clone(),
            ..Trace::default()
        };
        let sample = Sample { images: vec![picture.clone()], prompt: "What?".to_owned(), choices: vec![] };
        let request = Request { model: model.clone(), sample, settings: kept.settings.clone() };
        let id = next_loaded_id();
        let listed = Listed { id, number: 3, name: "mine".to_owned(), pinned: true, sample: None };
        Session {
            model: Some(model),
            images: vec![picture],
            question: "And now?".to_owned(),
            choices: "yes, no".to_owned(),
            settings: kept.settings,
            view: kept.view,
            layout: kept.layout,
            query: Query::Latent(0),
            runs: vec![(listed, Arc::new(Run { id, request, trace: Arc::new(trace) }))],
            shown: Some(3),
            base: None,
            files: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.livr");
        let written = session();
        written.write(&path).unwrap();
        let found = Session::read(&path).unwrap();
        assert_eq!((&found.question, found.shown, found.base), (&written.question, Some(3), None));
        assert_eq!(
            (&found.settings, &found.layout, &found.model),
            (&written.settings, &written.layout, &written.model)
        );
        assert_eq!(found.images[0].pixels, written.images[0].pixels);
        let ((listed, run), (before, first)) = (&found.runs[0], &written.runs[0]);
        assert_eq!((listed.number, &listed.name, listed.pinned), (3, &before.name, true));
        assert_eq!(format!("{:?}", run.trace), format!("{:?}", first.trace));
        assert_eq!(run.request.sample.images[0], found.images[0], "one picture is one still");
        // Moved, it is whole; saved without its run, the run's file goes.
        let moved = dir.path().join("b.livr");
        rename(&path, &moved).unwrap();
        let mut rest = Session::read(&moved).unwrap();
        rest.runs.clear();
        rest.write(&moved).unwrap();
        let files = std::fs::read_dir(folder_of(&moved)).unwrap().count();
        assert_eq!((files, path.exists()), (1, false), "the picture is still named");
    }

    #[test]
    fn maps_that_memory_has_no_room_for_stay_in_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let [path, other] = ["a.livr", "b.livr"].map(|name| dir.path().join(name));
        let mut first = session();
        let (listed, run) = first.runs[0].clone();
        first.runs.push((Listed { number: 4, pinned: false, ..listed.clone() }, run.clone()));
        first.runs[0].0.pinned = false;
        first.write(&path).unwrap();
        let has_maps = |session: &Session| {
            let runs = session.runs.iter();
            runs.map(|(_, run)| run.trace.latent_attentions.is_some()).collect::<Vec<_>>()
        };
        let each = run.trace.captured_bytes();
        let found = Session::read_holding(&path, each).unwrap();
        assert_eq!(
            (found.runs[0].0.number, has_maps(&found)),
            (3, vec![false, true]),
            "the newest has its maps"
        );
        // Saved elsewhere, and there without what it came from, it is whole.
        found.write(&other).unwrap();
        remove(&path).unwrap();
        assert_eq!(has_maps(&Session::read_holding(&other, 2 * each).unwrap()), [true, true]);
        assert!(found.files_in(&other).values().all(|file| file.is_file()));
    }

    #[test]
    fn what_is_no_session_is_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.livr");
        session().write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let problem = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Session::read(&path).unwrap_err().to_string()
        };
        for (text, expected) in [
            ("{", "the file is no session"),
            ("{\"format\": \"other\", \"version\": 1}", "format: expected livr-session, found other"),
            (&text.replace("\"version\": 1", "\"version\": 9"), "version: expected at most 1, found 9"),
        ] {
            let found = problem(text);
            assert!(found.contains(expected), "{found}");
        }
        assert!(
            Session::read(&dir.path().join("none.livr")).unwrap_err().to_string().contains("the session")
        );
    }
}
