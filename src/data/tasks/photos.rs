//! Where pictures without labels come from: the user's folder, or scenes drawn in its place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use image::RgbImage;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::super::draw::{scenes, view};
use super::super::picture::Picture;
use super::Split;
use crate::error::{Error, Result};
use crate::paths::{is_hidden, is_image};
use crate::random::{Stream, stream};

/// Pictures of one split.
#[derive(Debug, Clone)]
pub enum Photos {
    /// Drawn from the stream that asks.
    Scenes,
    /// Files, each decoded when asked for.
    Files(Vec<PathBuf>),
}

/// Smaller photographs have nothing to find in them.
const LEAST_SIDE: u32 = 32;

impl Photos {
    /// The photographs under a folder, looked at once each, and shared out among the splits by the seed.
    ///
    /// # Errors
    /// A file that is no image, one that is too small, or fewer than are needed for three splits.
    pub fn share(folder: &Path, seed: u64) -> Result<[Self; 3]> {
        let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
        collect(folder, &mut files, &mut seen)?;
        files.sort();
        if files.len() < Split::ALL.len() {
            let expected = "at least 3 photographs, one for each of train, validation and test";
            return Err(Error::field(folder, "the folder of images", expected, files.len().to_string()));
        }
        for file in &files {
            let (width, height) = Picture::read(file)?.size();
            if width.min(height) < LEAST_SIDE {
                let (expected, found) =
                    (format!("at least {LEAST_SIDE} pixels on a side"), format!("{width} x {height}"));
                return Err(Error::field(file, "the photograph", expected, found));
            }
        }
        files.shuffle(&mut stream(seed, &[0x70_68_6f_74_6f]));
        let few = (files.len() / 10).max(1);
        let test = files.split_off(files.len() - few);
        let validation = files.split_off(files.len() - few);
        Ok([files, validation, test].map(Self::Files))
    }

    /// A picture that covers a width and height, and what it is called.
    pub(super) fn pick(&self, rng: &mut Stream, width: u32, height: u32) -> Result<(RgbImage, String)> {
        match self {
            Self::Scenes => Ok((scenes::any(rng, width, height), "scene".to_owned())),
            Self::Files(files) => {
                let file = &files[rng.random_range(0..files.len())];
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Ok((view::covering(&Picture::read(file)?.pixels, width, height), name))
            }
        }
    }

    /// `count` pictures, different ones where there are enough.
    pub(super) fn pick_several(
        &self,
        rng: &mut Stream,
        count: usize,
        width: u32,
        height: u32,
    ) -> Result<Vec<(RgbImage, String)>> {
        let Self::Files(files) = self else {
            return (0..count).map(|_| self.pick(rng, width, height)).collect();
        };
        let mut order: Vec<&PathBuf> = files.iter().collect();
        order.shuffle(rng);
        let one = |i: usize| Self::Files(vec![order[i % order.len()].clone()]).pick(rng, width, height);
        (0..count).map(one).collect()
    }
}

/// The images under a folder, each once: a link may lead to a folder that was there already, its own too.
fn collect(folder: &Path, files: &mut Vec<PathBuf>, seen: &mut BTreeSet<PathBuf>) -> Result<()> {
    let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if !seen.insert(place(folder)) {
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).map_err(|e| {
        if e.kind() == std::io::ErrorKind::NotFound {
            return Error::Missing { what: "the folder of images".to_owned(), path: folder.to_owned() };
        }
        Error::io("read the folder of images", folder, e)
    })?;
    for entry in entries {
        let path = entry.map_err(|e| Error::io("read the folder of images", folder, e))?.path();
        if path.is_dir() && !is_hidden(&path) {
            collect(&path, files, seen)?;
        } else if is_image(&path) && seen.insert(place(&path)) {
            files.push(path);
        }
    }
    Ok(())
}
