//! Disk and dialogs, off the window's thread.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::path_kind::{PathKind, Picks};
use super::sorting::{Sorted, sorted};
use crate::app::parts::as_read::ImageAtSize;
use crate::app::parts::data::DataSet;
use crate::app::parts::runs::Evicted;
use crate::app::parts::states::PictureOf;
use crate::app::session::{ReadRuns, Session};
use crate::data::dataset::is_data_file;
use crate::data::picture::{Picture, on_white};
use crate::data::record::Record;
use crate::data::sample::Sample;
use crate::engine::hub;
use crate::engine::ids::{RunId, Source};
use crate::engine::project::{Collected, Layout};
use crate::engine::shelf::{HubCache, Search, Shelf};
use crate::engine::study::ReadAnswers;
use crate::error::{Error, Result};
use crate::export::trace_file;
use crate::logging;
use crate::paths;
use crate::paths::complete::completions;
use crate::progress::{Observer, Progress};
use crate::trace::Trace;

/// How a download ended.
#[derive(Debug)]
pub enum DownloadEnd {
    /// The repository is in the cache.
    Cached,
    /// It was stopped.
    Stopped,
    /// Why it is not.
    Failed(String),
}

/// Layouts that were read, with their states.
pub type OpenedLayouts = (Arc<Collected>, Vec<Arc<Layout>>);

/// What came of it.
pub enum FileEvent {
    /// So many images are about to be read.
    ImagesToRead(usize),
    /// An image was read, or could not be.
    ImageRead {
        /// It begins a batch: one step to take back.
        first: bool,
        /// Images of the batch that are still to be read.
        left: usize,
        /// The image, or why not.
        read: Result<Arc<Picture>, String>,
    },
    /// The user picked paths in the system's dialog.
    Picked(PathKind, Vec<PathBuf>),
    /// Paths of any kind, sorted by what lies there.
    Sorted(Sorted),
    /// A folder of the kind the user said, or why there is none.
    Found(PathKind, Result<Source, String>),
    /// How what was typed in the dialog may go on.
    Completions(String, Vec<String>),
    /// What the user typed names nothing of the kind.
    Unnamed(PathKind, String),
    /// Something the user should know.
    Noted(String),
    /// A file is written, or why it is not.
    Saved(PathBuf, Result<(), String>),
    /// What was typed as a file to write is there already, under this path.
    Exists(PathKind, String, PathBuf),
    /// So much of a repository is there: share of it.
    Downloading(f32),
    /// A download ended.
    Downloaded(DownloadEnd),
    /// The models of this machine.
    ShelfSeen(Shelf),
    /// A session was read, with its file, or why not.
    SessionRead(Box<Result<(PathBuf, Session), String>>),
    /// Runs that only files held, or why they cannot be read.
    RunsRead(Box<Result<ReadRuns, String>>),
    /// The session is in its file, or why not.
    SessionKept(Result<PathBuf, String>),
    /// A data set, or why it cannot be read.
    DataRead(Box<Result<DataSet, String>>),
    /// The answers of a study, or why they cannot be read.
    AnswersRead(Box<Result<Vec<ReadAnswers>, String>>),
    /// The sample of a record, by its id, or why it cannot be read.
    SampleRead(String, Box<Result<Sample, String>>),
    /// Small pictures of a record's images, by its number in these records.
    Thumbnails(Arc<Vec<Record>>, usize, Vec<egui::ColorImage>),
    /// The picture of a point of a layout.
    Pictured(PictureOf, egui::ColorImage),
    /// An image at the size in which the model reads it.
    AsRead(ImageAtSize, Arc<Picture>),
    /// The piece of an image in a point's place, where there is one.
    Cropped(PictureOf, Option<egui::ColorImage>),
    /// Layouts that were made elsewhere, for the first or the second place, or why they cannot be read.
    LayoutsRead(PathKind, Box<Result<OpenedLayouts, String>>),
    /// All there was of a run, or why it cannot be read.
    TraceRead(RunId, Box<Result<Trace, String>>),
}

/// Runs file work on short-lived threads and gathers its results.
pub struct Files {
    outbox: Sender<FileEvent>,
    inbox: Receiver<FileEvent>,
    wake: Arc<dyn Fn() + Send + Sync>,
    /// Pieces of work under way, dialogs aside.
    working: Arc<AtomicUsize>,
}

impl Files {
    /// `wake` is called after each event.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (outbox, inbox) = unbounded();
        Self { outbox, inbox, wake: Arc::new(wake), working: Arc::default() }
    }

    /// Are files being read, or events waiting?
    pub fn is_busy(&self) -> bool {
        self.working.load(Ordering::Acquire) > 0 || !self.inbox.is_empty()
    }

    /// The next event, if there is one.
    pub fn poll(&self) -> Option<FileEvent> {
        self.inbox.try_recv().ok()
    }

    fn spawn(&self, work: impl FnOnce(&dyn Fn(FileEvent)) + Send + 'static) {
        let (outbox, wake) = (self.outbox.clone(), self.wake.clone());
        std::thread::spawn(move || {
            work(&|event| {
                if outbox.send(event).is_ok() {
                    wake();
                }
            });
        });
    }

    /// Reads images in their order; folders stand for the images in them.
    pub fn read_images(&self, paths: Vec<PathBuf>) {
        self.count(move |tell| match paths::images(paths) {
            Ok(paths) => take_in(paths.into_iter().map(|path| move || Picture::read(&path)), tell),
            Err(problem) => tell(FileEvent::Unnamed(PathKind::Images, problem.to_string())),
        });
    }

    /// Takes pictures that are in memory already.
    pub fn take_pictures(&self, pictures: Vec<Picture>) {
        self.count(move |tell| take_in(pictures.into_iter().map(|picture| move || Ok(picture)), tell));
    }

    /// Opens what a text names, as a thing of this kind; `replace` what is there, where something is to be written.
    pub fn open_named(&self, kind: PathKind, text: String, replace: bool) {
        self.count(move |tell| {
            let unnamed = |problem: Error| tell(FileEvent::Unnamed(kind, problem.to_string()));
            match kind {
                PathKind::Images if paths::one(&text).is_ok_and(|path| is_data_file(&path)) => {
                    let path = paths::one(&text).expect("looked at above");
                    tell(FileEvent::Picked(PathKind::Data, vec![path]));
                }
                PathKind::Images => match paths::named(&text).and_then(paths::images) {
                    Ok(paths) => take_in(paths.into_iter().map(|path| move || Picture::read(&path)), tell),
                    Err(problem) => unnamed(problem),
                },
                PathKind::Model | PathKind::Adapter => {
                    let found = paths::one(&text).map(|_| Source::named(text.trim().as_ref()));
                    match found.and_then(|source| source.open().map(|_| source)) {
                        Ok(source) => tell(FileEvent::Found(kind, Ok(source))),
                        Err(problem) => unnamed(problem),
                    }
                }
                // A name to be written is no pattern.
                _ if kind.is_written() => match paths::literal(&text).map(|path| kind.completed(path)) {
                    Ok(path) if path.exists() && !replace => tell(FileEvent::Exists(kind, text, path)),
                    Ok(path) => tell(FileEvent::Picked(kind, vec![path])),
                    Err(problem) => unnamed(problem),
                },
                _ => match paths::one(&text) {
                    Ok(path) => tell(FileEvent::Picked(kind, vec![path])),
                    Err(problem) => unnamed(problem),
                },
            }
        });
    }

    /// Opens what a pasted text names, whatever it is.
    pub fn open_pasted(&self, text: String) {
        self.count(move |tell| tell(pasted(&text)));
    }

    /// Takes what is on the clipboard: files, a picture, or a text that names some.
    pub fn paste(&self) {
        self.count(move |tell| {
            let mut clipboard = match arboard::Clipboard::new() {
                Ok(clipboard) => clipboard,
                Err(problem) => {
                    return tell(FileEvent::Noted(format!("The clipboard cannot be read: {problem}")));
                }
            };
            if let Ok(paths) = clipboard.get().file_list() {
                return tell(FileEvent::Sorted(sorted(paths)));
            }
            if let Ok(image) = clipboard.get_image() {
                let pixels = image::RgbaImage::from_raw(
                    image.width as u32,
                    image.height as u32,
                    image.bytes.into_owned(),
                );
                let picture = move || Ok(Picture::new("pasted", on_white(&pixels.unwrap_or_default())));
                return take_in([picture].into_iter(), tell);
            }
            tell(pasted(&clipboard.get_text().unwrap_or_default()));
        });
    }

    /// Looks for how a half-typed path may go on.
    pub fn complete(&self, text: String) {
        self.count(move |tell| {
            let completions = completions(&text);
            tell(FileEvent::Completions(text, completions));
        });
    }

    /// Finds out what lies at paths; a slow disk must not hold the window up.
    pub fn sort(&self, paths: Vec<PathBuf>) {
        self.count(move |tell| tell(FileEvent::Sorted(sorted(paths))));
    }

    /// Sees that folders are there: a slip of the pen must not stop what is being loaded.
    pub fn find(&self, kind: PathKind, paths: Vec<PathBuf>) {
        self.count(move |tell| {
            for path in paths {
                tell(FileEvent::Found(kind, Source::existing(&path).map_err(|e| e.to_string())));
            }
        });
    }

    /// Brings a repository into the cache, until the flag is up.
    pub fn download(&self, repository: String, cache: HubCache, stop: Arc<AtomicBool>) {
        // Not counted: nothing else has to wait for it.
        self.spawn(move |tell| {
            let outcome = hub::download(&repository, &cache, &Downloading { tell, stop });
            tell(FileEvent::Downloaded(match outcome {
                Ok(_) => DownloadEnd::Cached,
                Err(problem) if problem.is_cancelled() => DownloadEnd::Stopped,
                Err(problem) => DownloadEnd::Failed(problem.to_string()),
            }));
        });
    }

    /// Sees which models there are.
    pub fn look_for_models(&self, search: Search) {
        self.count(move |tell| tell(FileEvent::ShelfSeen(search.look())));
    }

    /// Reads a session.
    pub fn read_session(&self, path: PathBuf) {
        self.count(move |tell| {
            let read = caught("read", &path, || Session::read(&path));
            tell(FileEvent::SessionRead(Box::new(read.map(|session| (path, session)))));
        });
    }

    /// Reads runs that only sessions' files hold.
    pub fn read_runs(&self, evicted: Vec<Evicted>) {
        self.count(move |tell| {
            let path = evicted.first().map(|run| run.file.clone()).unwrap_or_default();
            let read = caught("read", &path, || Session::read_runs(&evicted));
            tell(FileEvent::RunsRead(Box::new(read)));
        });
    }

    /// Reads a run's trace from a session's folder.
    pub fn read_trace(&self, run: RunId, path: PathBuf) {
        self.count(move |tell| {
            let read = caught("read", &path, || trace_file::read(&path));
            tell(FileEvent::TraceRead(run, Box::new(read)));
        });
    }

    /// Writes a session, without a word where that works.
    pub fn keep_session(&self, session: Session, path: PathBuf) {
        self.count(move |tell| {
            let written = caught("written", &path, || session.write(&path));
            tell(FileEvent::SessionKept(written.map(|()| path)));
        });
    }

    /// Writes a file.
    pub fn save(&self, path: PathBuf, write: impl FnOnce(&Path) -> Result<()> + Send + 'static) {
        self.count(move |tell| {
            let outcome = caught("written", &path, || write(&path));
            tell(FileEvent::Saved(path, outcome));
        });
    }

    /// Work that ends by itself, and counts as being busy until then.
    pub(super) fn count(&self, work: impl FnOnce(&dyn Fn(FileEvent)) + Send + 'static) {
        let working = Working::begin(&self.working);
        self.spawn(move |tell| {
            // Ends with the work, however that ends.
            let _working = working;
            if std::panic::catch_unwind(AssertUnwindSafe(|| work(tell))).is_err() {
                tell(FileEvent::Noted("A file could not be worked on: the program has a fault".to_owned()));
            }
        });
    }

    /// Opens the system's dialog; where there is none that is said.
    pub fn browse(&self, kind: PathKind, start: Option<&Path>) {
        let wanted = kind.wanted();
        let mut dialog = rfd::AsyncFileDialog::new().set_title(wanted.title);
        if let Some(dir) = start {
            dialog = dialog.set_directory(dir);
        }
        if !wanted.extensions.is_empty() {
            dialog = dialog.add_filter(wanted.filter, wanted.extensions);
        }
        let picking: Pin<Box<dyn Future<Output = Option<Vec<rfd::FileHandle>>> + Send>> = match wanted.picks {
            Picks::Files => Box::pin(dialog.pick_files()),
            Picks::File => Box::pin(alone(dialog.pick_file())),
            Picks::Folder => Box::pin(alone(dialog.pick_folder())),
            Picks::NewFile => {
                let name = format!("{}.{}", wanted.name, wanted.extensions[0]);
                Box::pin(alone(dialog.set_file_name(name).save_file()))
            }
        };
        self.spawn(move |tell| {
            // It comes back as one that was closed does, but says so in the log.
            let complaints = logging::messages_of("rfd");
            let Some(files) = pollster::block_on(picking) else {
                if logging::messages_of("rfd") > complaints {
                    let none = "This system has no file chooser that can be used: type the path";
                    tell(FileEvent::Unnamed(kind, none.to_owned()));
                }
                return;
            };
            let paths: Vec<PathBuf> = files.iter().map(|file| file.path().to_owned()).collect();
            if let Some(path) = paths.first().filter(|_| kind.is_written()) {
                // The system's dialog asked about the name without its ending.
                let completed = kind.completed(path.clone());
                if completed != *path && completed.exists() {
                    return tell(FileEvent::Exists(kind, completed.display().to_string(), completed));
                }
                return tell(FileEvent::Picked(kind, vec![completed]));
            }
            tell(FileEvent::Picked(kind, paths));
        });
    }
}

/// What came of work on a file; a panic is a sentence like any other.
pub(super) fn caught<T>(action: &str, path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T, String> {
    match std::panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(|problem| problem.to_string()),
        Err(_) => Err(format!("{} could not be {action}: the program has a fault", path.display())),
    }
}

async fn alone(
    picking: impl Future<Output = Option<rfd::FileHandle>> + Send,
) -> Option<Vec<rfd::FileHandle>> {
    picking.await.map(|file| vec![file])
}

/// A piece of work under way.
struct Working(Arc<AtomicUsize>);

impl Working {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count.clone())
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Downloading<'a> {
    tell: &'a dyn Fn(FileEvent),
    stop: Arc<AtomicBool>,
}

impl Observer for Downloading<'_> {
    fn progress(&self, progress: Progress) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        (self.tell)(FileEvent::Downloading(progress.fraction()));
        Ok(())
    }
}

/// Makes pictures, one after the other.
fn take_in<F: FnOnce() -> Result<Picture>>(
    mut batch: impl ExactSizeIterator<Item = F>,
    tell: &dyn Fn(FileEvent),
) {
    let mut first = true;
    tell(FileEvent::ImagesToRead(batch.len()));
    while let Some(make) = batch.next() {
        // A decoder's fault must not end the batch without a word.
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let picture = make()?;
            // Made here, so that the window need not wait for it.
            picture.shown();
            Ok(picture)
        }));
        let read = match made {
            Ok(made) => made.map(Arc::new).map_err(|e: Error| e.to_string()),
            Err(_) => Err("the image decoder failed".to_owned()),
        };
        let is_there = read.is_ok();
        tell(FileEvent::ImageRead { first, left: batch.len(), read });
        first &= !is_there;
    }
}

fn pasted(text: &str) -> FileEvent {
    if text.trim().is_empty() {
        return FileEvent::Noted("The clipboard is empty: copy an image, files or a path".to_owned());
    }
    match paths::named(text) {
        Ok(paths) if paths.iter().all(|path| path.exists()) => FileEvent::Sorted(sorted(paths)),
        Ok(_) | Err(_) => FileEvent::Noted(
            "The text on the clipboard names no file: copy an image, files or a path".to_owned(),
        ),
    }
}
