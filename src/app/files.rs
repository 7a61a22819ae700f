//! Disk and dialogs, off the window's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::state::PathKind;
use crate::data::picture::Picture;

/// What came of it.
pub enum FileEvent {
    /// An image was read, or could not be.
    ImageRead(Result<Arc<Picture>, String>),
    /// The user picked paths in the system's dialog.
    Picked(PathKind, Vec<PathBuf>),
}

/// Runs file work on short-lived threads and gathers its results.
pub struct Files {
    outbox: Sender<FileEvent>,
    inbox: Receiver<FileEvent>,
    wake: Arc<dyn Fn() + Send + Sync>,
    /// Batches of images being read.
    reading: Arc<AtomicUsize>,
}

/// What image dialogs offer.
const IMAGE_EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];

impl Files {
    /// `wake` is called after each event.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (outbox, inbox) = unbounded();
        Self { outbox, inbox, wake: Arc::new(wake), reading: Arc::default() }
    }

    /// Are files being read, or events waiting?
    pub fn is_busy(&self) -> bool {
        self.reading.load(Ordering::Acquire) > 0 || !self.inbox.is_empty()
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
        let reading = self.reading.clone();
        reading.fetch_add(1, Ordering::AcqRel);
        self.spawn(move |tell| {
            for path in paths {
                // A decoder's fault must not end the batch without a word.
                let read = std::panic::catch_unwind(|| {
                    let picture = Picture::read(&path)?;
                    // Made here, so that the window need not wait for it.
                    picture.shown();
                    Ok(picture)
                });
                let read = read.map_or_else(
                    |_| Err(format!("the decoder failed on the image ({})", path.display())),
                    |read: crate::error::Result<_>| read.map(Arc::new).map_err(|e| e.to_string()),
                );
                tell(FileEvent::ImageRead(read));
            }
            reading.fetch_sub(1, Ordering::AcqRel);
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
            PathKind::Model | PathKind::Adapter => {
                let title =
                    if kind == PathKind::Model { "Open checkpoint folder" } else { "Open adapter folder" };
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
