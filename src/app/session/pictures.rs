//! The pictures of a session: PNG files in its folder, named by what they show.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::data::picture::Picture;
use crate::error::{Error, Result};

/// What the session file says of one.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct WrittenPicture {
    pub(super) name: String,
    #[serde(default, with = "crate::paths::text::option")]
    pub(super) path: Option<PathBuf>,
    pub(super) file: String,
}

/// Pictures as they are written, each once.
pub(super) struct Pictures<'a> {
    pub(super) folder: &'a Path,
    pub(super) written: Vec<WrittenPicture>,
    places: BTreeMap<u64, usize>,
}

impl<'a> Pictures<'a> {
    /// None yet, to be written to a folder.
    pub(super) fn new(folder: &'a Path) -> Self {
        Self { folder, written: Vec::new(), places: BTreeMap::new() }
    }

    /// Writes pictures, and says which they are of all of the session's.
    pub(super) fn places_of(&mut self, images: &[Arc<Picture>]) -> Result<Vec<usize>> {
        images.iter().map(|image| self.place_of(image)).collect()
    }

    /// Takes a picture over from another session's folder, and says which it is of all of this one's.
    pub(super) fn take_over(&mut self, folder: &Path, written: &WrittenPicture) -> Result<usize> {
        let is_it = |own: &WrittenPicture| own == written;
        if let Some(place) = self.written.iter().position(is_it) {
            return Ok(place);
        }
        let (from, to) = (folder.join(&written.file), self.folder.join(&written.file));
        if !to.is_file() {
            same(&from, &to)?;
        }
        self.written.push(written.clone());
        Ok(self.written.len() - 1)
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

/// Reads one.
pub(super) fn read_picture(folder: &Path, written: &WrittenPicture, path: &Path) -> Result<Arc<Picture>> {
    let mut picture = Picture::read(&plain(folder, &written.file, path)?)?;
    picture.name.clone_from(&written.name);
    picture.path.clone_from(&written.path);
    // Made here, so that the window need not wait for it.
    picture.shown();
    Ok(Arc::new(picture))
}

/// A file of the session's folder; a name that leads elsewhere is refused.
pub(super) fn plain(folder: &Path, name: &str, path: &Path) -> Result<PathBuf> {
    let is_plain = Path::new(name).file_name().is_some_and(|own| own == name);
    if is_plain {
        Ok(folder.join(name))
    } else {
        Err(Error::field(path, "file", "a name without folders", name))
    }
}

/// A name for what was hashed.
pub(super) fn short(hasher: Sha256) -> String {
    let first = hasher.finalize()[..8].iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
    format!("{first:016x}")
}

/// The same file in another place. Neither is ever written to, only replaced, so they may be one.
pub(super) fn same(from: &Path, to: &Path) -> Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let mut file = std::fs::File::open(from).map_err(|e| Error::io("read the run", from, e))?;
    atomic::write(to, |out| std::io::copy(&mut file, out).map(|_| ()))
}
