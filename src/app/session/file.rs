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
use crate::analysis::maps::Query;
use crate::app::kept::View;
use crate::app::layout::Layout;
use crate::app::runs::{Listed, next_loaded_id};
use crate::atomic::{self, Hold, LOCK};
use crate::data::picture::Picture;
use crate::data::sample::Sample;
use crate::engine::protocol::{ModelId, Request, Run};
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
struct WrittenPicture {
    name: String,
    path: Option<PathBuf>,
    file: String,
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
fn folder_of(path: &Path) -> PathBuf {
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
        let mut pictures = Pictures { folder: &folder, written: Vec::new(), places: BTreeMap::new() };
        let images = pictures.places_of(&self.images)?;
        let runs = self.runs.iter().map(|(listed, run)| written_run(listed, run, &mut pictures));
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

    /// Reads a session.
    ///
    /// # Errors
    /// A file that is none, of a later version, or whose folder lacks something.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::Missing { what: "the session".to_owned(), path: path.to_owned() }
            }
            _ => Error::io("read the session", path, e),
        })?;
        let written = parsed(&text, path)?;
        let folder = folder_of(path);
        let pictures: Vec<Arc<Picture>> =
            written.pictures.iter().map(|own| read_picture(&folder, own, path)).collect::<Result<_>>()?;
        let images_of = |places: &[usize]| {
            let found: Option<Vec<_>> = places.iter().map(|place| pictures.get(*place).cloned()).collect();
            found.ok_or_else(|| {
                Error::field(
                    path,
                    "images",
                    format!("numbers below {}", pictures.len()),
                    format!("{places:?}"),
                )
            })
        };
        let mut problems = Vec::new();
        let read = |own: WrittenRun| -> Result<_> {
            let sample = Sample { images: images_of(&own.images)?, prompt: own.prompt, choices: own.choices };
            let request = Request { model: own.model, sample, settings: own.settings };
            let trace = trace_file::read(&plain(&folder, &own.file, path)?)?;
            if trace.grids.len() != request.sample.images.len() {
                let expected = format!("{} images, as the run has", request.sample.images.len());
                return Err(Error::field(path, own.file, expected, trace.grids.len().to_string()));
            }
            let id = next_loaded_id();
            let (number, name, pinned, sample) = (own.number, own.name, own.pinned, own.sample);
            let listed = Listed { id, number, name, pinned, sample };
            Ok((listed, Arc::new(Run { id, request, trace: Arc::new(trace) })))
        };
        // A run that cannot be read is left out, and said.
        let runs = written.runs.into_iter().filter_map(|own| {
            let number = own.number;
            let note = |e: Error| problems.push(format!("run {number} is left out: {e}"));
            read(own).map_err(note).ok()
        });
        let runs = runs.collect();
        Ok(Self {
            runs,
            problems,
            images: images_of(&written.images)?,
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

/// A file of the session's folder; a name that leads elsewhere is refused.
fn plain(folder: &Path, name: &str, path: &Path) -> Result<PathBuf> {
    let is_plain = Path::new(name).file_name().is_some_and(|own| own == name);
    if is_plain {
        Ok(folder.join(name))
    } else {
        Err(Error::field(path, "file", "a name without folders", name))
    }
}

/// Pictures as they are written, each once.
struct Pictures<'a> {
    folder: &'a Path,
    written: Vec<WrittenPicture>,
    places: BTreeMap<u64, usize>,
}

impl Pictures<'_> {
    fn places_of(&mut self, images: &[Arc<Picture>]) -> Result<Vec<usize>> {
        images.iter().map(|image| self.place_of(image)).collect()
    }

    fn place_of(&mut self, picture: &Picture) -> Result<usize> {
        if let Some(place) = self.places.get(&picture.id().0) {
            return Ok(*place);
        }
        let (width, height) = picture.size();
        let mut hasher = Sha256::new();
        hasher.update(width.to_le_bytes());
        hasher.update(height.to_le_bytes());
        hasher.update(picture.pixels.as_raw());
        let file = format!("picture-{}.png", short(hasher));
        let target = self.folder.join(&file);
        if !target.is_file() {
            atomic::write(&target, |out| {
                let mut bytes = std::io::Cursor::new(Vec::new());
                picture
                    .pixels
                    .write_to(&mut bytes, image::ImageFormat::Png)
                    .map_err(std::io::Error::other)?;
                out.write_all(bytes.get_ref())
            })?;
        }
        let place = self.written.len();
        self.written.push(WrittenPicture { name: picture.name.clone(), path: picture.path.clone(), file });
        self.places.insert(picture.id().0, place);
        Ok(place)
    }
}

fn read_picture(folder: &Path, written: &WrittenPicture, path: &Path) -> Result<Arc<Picture>> {
    let mut picture = Picture::read(&plain(folder, &written.file, path)?)?;
    picture.name.clone_from(&written.name);
    picture.path.clone_from(&written.path);
    // Made here, so that the window need not wait for it.
    picture.shown();
    Ok(Arc::new(picture))
}

fn written_run(listed: &Listed, run: &Run, pictures: &mut Pictures<'_>) -> Result<WrittenRun> {
    let Request { model, sample, settings } = &run.request;
    let images = pictures.places_of(&sample.images)?;
    let mut hasher = Sha256::new();
    let facts = (model, &sample.prompt, settings, &run.trace.answer, &run.trace.timings, listed.number);
    hasher.update(serde_json::to_vec(&facts).expect("plain data serialises"));
    let file = format!("run-{}-{}.safetensors", listed.number, short(hasher));
    let target = pictures.folder.join(&file);
    // A run that lost its maps in memory keeps them there.
    if !target.is_file() {
        trace_file::write(&run.trace, &target)?;
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

fn short(hasher: Sha256) -> String {
    let first = hasher.finalize()[..8].iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
    format!("{first:016x}")
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
