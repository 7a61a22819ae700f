//! Data sets, read off the window's thread: all of them, a record's images, small pictures of these.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{FileEvent, Files, caught};
use super::path_kind::PathKind;
use crate::app::parts::data::DataSet;
use crate::app::parts::states::{PictureOf, cropped, pictured};
use crate::data::dataset;
use crate::data::picture::Picture;
use crate::data::record::{ImageSource, Record};
use crate::engine::as_read::as_read;
use crate::engine::project::{Collected, open_layouts};
use crate::engine::study::{is_result, read_answers};
use crate::error::Result;
use crate::paths;

/// Height of small pictures, in pixels.
const THUMBNAIL: u32 = 72;

impl Files {
    /// Reads a data file, or the result of a study; of a folder each image becomes a sample with this question.
    pub fn read_data(&self, path: PathBuf, question: String) {
        self.count(move |tell| {
            if is_result(&path) {
                let read = caught("read", &path, || read_answers(&path));
                return tell(FileEvent::AnswersRead(Box::new(read)));
            }
            let read = caught("read", &path, || data_set(&path, &question));
            tell(FileEvent::DataRead(Box::new(read)));
        });
    }

    /// Reads the images of a record.
    pub fn read_sample(&self, record: Record) {
        self.count(move |tell| {
            let place = PathBuf::from(&record.id);
            let read = caught("read", &place, || {
                let sample = record.sample()?;
                // Made here, so that the window need not wait for it.
                for image in &sample.images {
                    image.shown();
                }
                Ok(sample)
            });
            tell(FileEvent::SampleRead(record.id.clone(), Box::new(read)));
        });
    }

    /// Makes the picture of a point of a layout.
    pub fn picture(&self, of: PictureOf, collected: Arc<Collected>) {
        self.count(move |tell| {
            // One that cannot be made is said when the sample is asked.
            let picture = pictured(&collected, of).unwrap_or_default();
            tell(FileEvent::Pictured(of, picture));
        });
    }

    /// Resizes an image as the model's processor does.
    pub fn resize(&self, picture: Arc<Picture>, size: (u32, u32)) {
        self.count(move |tell| {
            let resized = as_read(&picture, size);
            resized.shown();
            tell(FileEvent::AsRead((picture.id(), size), Arc::new(resized)));
        });
    }

    /// Makes pieces of images in the place of points of a layout.
    pub fn crop(&self, of: Vec<PictureOf>, collected: Arc<Collected>) {
        self.count(move |tell| {
            cropped(&collected, of, &|of, piece| tell(FileEvent::Cropped(of, piece)));
        });
    }

    /// Opens layouts that `livr project` wrote.
    pub fn read_layouts(&self, kind: PathKind, path: PathBuf) {
        self.count(move |tell| {
            let read = caught("read", &path, || open_layouts(&path));
            tell(FileEvent::LayoutsRead(kind, Box::new(read)));
        });
    }

    /// Reads small pictures of records' images, one after the other.
    pub fn read_thumbnails(&self, set: Arc<Vec<Record>>, wanted: Vec<usize>) {
        self.count(move |tell| {
            for record in wanted {
                let Some(own) = set.get(record) else { continue };
                // What cannot be read is said when it is asked.
                let small = own.images.iter().filter_map(|image| small(image).ok()).collect();
                tell(FileEvent::Thumbnails(set.clone(), record, small));
            }
        });
    }
}

fn data_set(path: &Path, question: &str) -> Result<DataSet> {
    let name = paths::file_name(path);
    let records = if path.is_dir() {
        let of = |image: PathBuf| Record {
            id: image.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            images: vec![ImageSource::File(image)],
            prompt: question.to_owned(),
            ..Record::default()
        };
        paths::images(vec![path.to_owned()])?.into_iter().map(of).collect()
    } else {
        dataset::read(path)?
    };
    Ok(DataSet::new(name, Some(path.to_owned()), records))
}

fn small(image: &ImageSource) -> Result<egui::ColorImage> {
    let picture = image.read()?;
    let (width, height) = picture.size();
    let wide = (u64::from(width) * u64::from(THUMBNAIL) / u64::from(height.max(1))).clamp(1, 1024) as u32;
    let small = image::imageops::thumbnail(&picture.pixels, wide, THUMBNAIL.min(height.max(1)));
    Ok(egui::ColorImage::from_rgb([small.width() as usize, small.height() as usize], small.as_raw()))
}
