//! Disk and dialogs, off the window's thread.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::state::PathKind;
use crate::data::picture::Picture;
use crate::engine::protocol::Source;
use crate::error::{Error, Result};

/// What came of it.
pub enum FileEvent {
    /// An image was read, or could not be.
    ImageRead {
        /// It begins a batch: one step to take back.
        first: bool,
        /// The image, or why not.
        read: Result<Arc<Picture>, String>,
    },
    /// The user picked paths in the system's dialog.
    Picked(PathKind, Vec<PathBuf>),
    /// Paths of any kind, sorted by what lies there.
    Sorted(Sorted),
    /// A folder of the kind the user said, or why there is none.
    Found(PathKind, Result<Source, String>),
    /// A file is written, or why it is not.
    Saved(Result<PathBuf, String>),
}

/// Paths by what lies there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    /// Folders with a `config.json`.
    pub models: Vec<PathBuf>,
    /// Other folders.
    pub adapters: Vec<PathBuf>,
    /// Everything else.
    pub images: Vec<PathBuf>,
}

/// Runs file work on short-lived threads and gathers its results.
pub struct Files {
    outbox: Sender<FileEvent>,
    inbox: Receiver<FileEvent>,
    wake: Arc<dyn Fn() + Send + Sync>,
    /// Pieces of work under way, dialogs aside.
    working: Arc<AtomicUsize>,
}

/// What image dialogs offer.
const IMAGE_EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];

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

    /// Reads images in their order.
    pub fn read_images(&self, paths: Vec<PathBuf>) {
        self.take_in(paths.into_iter().map(|path| move || Picture::read(&path)).collect());
    }

    /// Takes pictures that are in memory already.
    pub fn take_pictures(&self, pictures: Vec<Picture>) {
        self.take_in(pictures.into_iter().map(|picture| move || Ok(picture)).collect());
    }

    /// Makes pictures, one after the other.
    fn take_in(&self, batch: Vec<impl FnOnce() -> Result<Picture> + Send + 'static>) {
        self.count(move |tell| {
            let mut first = true;
            for make in batch {
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
                tell(FileEvent::ImageRead { first, read });
                first &= !is_there;
            }
        });
    }

    /// Finds out what lies at paths; a slow disk must not hold the window up.
    pub fn sort(&self, paths: Vec<PathBuf>) {
        self.count(move |tell| {
            let mut sorted = Sorted::default();
            for path in paths {
                if !path.is_dir() {
                    sorted.images.push(path);
                } else if path.join("config.json").is_file() {
                    sorted.models.push(path);
                } else {
                    sorted.adapters.push(path);
                }
            }
            tell(FileEvent::Sorted(sorted));
        });
    }

    /// Sees that folders are there: a slip of the pen must not stop what is being loaded.
    pub fn find(&self, kind: PathKind, paths: Vec<PathBuf>) {
        self.count(move |tell| {
            for path in paths {
                tell(FileEvent::Found(kind, Source::existing(&path).map_err(|e| e.to_string())));
            }
        });
    }

    /// Writes a file.
    pub fn save(&self, path: PathBuf, write: impl FnOnce(&Path) -> Result<()> + Send + 'static) {
        self.count(move |tell| {
            let written = std::panic::catch_unwind(AssertUnwindSafe(|| write(&path)));
            tell(FileEvent::Saved(match written {
                Ok(Ok(())) => Ok(path),
                Ok(Err(problem)) => Err(problem.to_string()),
                Err(_) => Err(format!("{} could not be written: the program has a fault", path.display())),
            }));
        });
    }

    /// Work that ends by itself, and counts as being busy until then.
    fn count(&self, work: impl FnOnce(&dyn Fn(FileEvent)) + Send + 'static) {
        let working = self.working.clone();
        working.fetch_add(1, Ordering::AcqRel);
        self.spawn(move |tell| {
            work(tell);
            working.fetch_sub(1, Ordering::AcqRel);
        });
    }

    /// Opens the system's dialog; without one nothing comes back, as if the user had closed it.
    pub fn browse(&self, kind: PathKind, start: Option<&Path>) {
        let mut dialog = rfd::AsyncFileDialog::new();
        if let Some(dir) = start {
            dialog = dialog.set_directory(dir);
        }
        match kind {
            PathKind::Images => {
                let picking =
                    dialog.set_title("Open images").add_filter("Images", &IMAGE_EXTENSIONS).pick_files();
                self.spawn(move |tell| {
                    if let Some(files) = pollster::block_on(picking) {
                        let paths = files.iter().map(|file| file.path().to_owned()).collect();
                        tell(FileEvent::Picked(kind, paths));
                    }
                });
            }
            PathKind::Recipe | PathKind::MapData => {
                let (title, filter, extensions): (_, _, &[&str]) = if kind == PathKind::Recipe {
                    ("Choose a recipe", "Recipes", &["toml"])
                } else {
                    ("Choose a data file", "Data files", &["jsonl", "json", "parquet"])
                };
                let picking = dialog.set_title(title).add_filter(filter, extensions).pick_file();
                self.spawn(move |tell| {
                    if let Some(file) = pollster::block_on(picking) {
                        tell(FileEvent::Picked(kind, vec![file.path().to_owned()]));
                    }
                });
            }
            PathKind::MapPicture | PathKind::MapTable => {
                let (title, filter, extensions): (_, _, &[&str]) = if kind == PathKind::MapPicture {
                    ("Save the map as a picture", "Pictures", &["png", "svg"])
                } else {
                    ("Save the map as a table", "Tables", &["csv"])
                };
                let name = format!("map.{}", extensions[0]);
                let picking =
                    dialog.set_title(title).add_filter(filter, extensions).set_file_name(name).save_file();
                self.spawn(move |tell| {
                    if let Some(file) = pollster::block_on(picking) {
                        tell(FileEvent::Picked(kind, vec![file.path().to_owned()]));
                    }
                });
            }
            PathKind::Model | PathKind::Adapter | PathKind::RunFolder => {
                let title = match kind {
                    PathKind::Model => "Open checkpoint folder",
                    PathKind::Adapter => "Open adapter folder",
                    _ => "Choose a folder for the run",
                };
                let picking = dialog.set_title(title).pick_folder();
                self.spawn(move |tell| {
                    if let Some(folder) = pollster::block_on(picking) {
                        tell(FileEvent::Picked(kind, vec![folder.path().to_owned()]));
                    }
                });
            }
        }
    }
}
