//! Small pictures of records' images, read off the window's thread; those far from what is looked at go first.

use std::cell::RefCell;
use std::collections::BTreeMap;

use egui::{ColorImage, Context, TextureHandle, TextureOptions};

/// Thumbnails of a record, where it was asked for them.
enum Thumbnail {
    Wanted,
    Read(Vec<ColorImage>),
    Shown(Vec<TextureHandle>),
}

/// Thumbnails that are kept.
const MOST: usize = 600;

/// Thumbnails by the numbers of their records.
#[derive(Default)]
pub struct Thumbnails(RefCell<BTreeMap<usize, Thumbnail>>);

impl Thumbnails {
    /// Of these records, those whose thumbnails nobody has asked for yet; from now on somebody has.
    pub fn want(&self, records: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut held = self.0.borrow_mut();
        let wanted: Vec<usize> = records.filter(|record| !held.contains_key(record)).collect();
        if held.len() > MOST {
            // Those that are farthest from what is looked at now.
            let near = wanted.first().copied().unwrap_or(0);
            held.retain(|record, _| record.abs_diff(near) < MOST / 2);
        }
        held.extend(wanted.iter().map(|record| (*record, Thumbnail::Wanted)));
        wanted
    }

    /// Takes small pictures of a record's images.
    pub fn take(&self, record: usize, images: Vec<ColorImage>) {
        self.0.borrow_mut().insert(record, Thumbnail::Read(images));
    }

    /// Small pictures of a record's images; none where they are not there yet.
    pub fn of(&self, ctx: &Context, record: usize) -> Vec<TextureHandle> {
        let mut held = self.0.borrow_mut();
        let Some(own) = held.get_mut(&record) else { return Vec::new() };
        if let Thumbnail::Read(images) = own {
            let made = std::mem::take(images)
                .into_iter()
                .map(|image| ctx.load_texture(format!("record {record}"), image, TextureOptions::LINEAR));
            *own = Thumbnail::Shown(made.collect());
        }
        if let Thumbnail::Shown(textures) = own { textures.clone() } else { Vec::new() }
    }
}
