//! The built-in samples: which was taken last, and what it should be answered with.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use egui::{ColorImage, Context, TextureHandle, TextureOptions};
use image::RgbImage;

use crate::app::kit::sheet;
use crate::data::record::{ImageSource, Record};
use crate::data::sample::Sample;
use crate::data::score::is_correct;
use crate::engine::demo;
use crate::engine::ids::Run;

/// The gallery.
#[derive(Default)]
pub struct Gallery {
    /// Is its window open?
    pub open: bool,
    /// The sample that was taken last.
    pub taken: Option<Taken>,
    thumbnails: OnceCell<Vec<TextureHandle>>,
}

/// A sample as it was taken.
pub struct Taken {
    /// The record.
    pub record: Record,
    /// As it went into the window.
    pub sample: Sample,
}

/// What was expected of a run, and whether it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The right answer.
    pub target: String,
    /// Was it given?
    pub correct: bool,
}

impl Gallery {
    /// The id of the sample that a run was asked, where that is the one taken last.
    pub fn asked_by(&self, run: &Run) -> Option<String> {
        let taken = self.taken.as_ref().filter(|taken| {
            let asked = &run.request.sample;
            taken.sample.images == asked.images && taken.sample.prompt == asked.prompt
        })?;
        Some(taken.record.id.clone())
    }

    /// The images of every sample, small and side by side.
    pub fn thumbnails(&self, ctx: &Context) -> &[TextureHandle] {
        self.thumbnails.get_or_init(|| {
            let one = |record: &Record| {
                let image = side_by_side(record);
                ctx.load_texture(format!("sample {}", record.id), image, TextureOptions::LINEAR)
            };
            demo::gallery().iter().map(one).collect()
        })
    }
}

/// Height of small pictures, in pixels.
const SMALL: u32 = 72;

fn side_by_side(record: &Record) -> ColorImage {
    const GAP: u32 = 3;
    let small = |source: &ImageSource| {
        let picture = source.read().ok()?;
        let (width, height) = picture.size();
        let wide = (u64::from(width) * u64::from(SMALL) / u64::from(height.max(1))).clamp(1, 512) as u32;
        Some(image::imageops::thumbnail(&picture.pixels, wide, SMALL))
    };
    let all: Vec<RgbImage> = record.images.iter().filter_map(small).collect();
    let sheet = sheet::side_by_side(&all, GAP, 128);
    ColorImage::from_rgb([sheet.width() as usize, sheet.height() as usize], sheet.as_raw())
}

/// The right answer to a sample, and whether a run gave it.
pub fn verdict(record: &Record, run: &Run) -> Verdict {
    Verdict { target: record.target.clone(), correct: is_correct(record, &run.trace.answer) }
}

/// The place of a record among the built-in samples, where it is one.
pub fn place_of(record: &Record) -> Option<usize> {
    demo::gallery().iter().position(|own| own.id == record.id)
}

/// Samples by task, in the gallery's order.
pub fn by_task() -> Vec<(&'static str, Vec<usize>)> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut tasks: Vec<(&str, Vec<usize>)> = Vec::new();
    for (i, record) in demo::gallery().iter().enumerate() {
        let place = *places.entry(record.task.as_str()).or_insert(tasks.len());
        if place == tasks.len() {
            tasks.push((&record.task, Vec::new()));
        }
        tasks[place].1.push(i);
    }
    tasks
}
