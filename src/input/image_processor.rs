//! Resize, normalise and cut into patches as `Qwen2VLImageProcessor` does.

use std::borrow::Cow;

use image::RgbImage;
use rayon::prelude::*;

use super::resample::bicubic;
use crate::array::Array;
use crate::checkpoint::config::VisionConfig;
use crate::checkpoint::folder::Folder;
use crate::checkpoint::json::Json;
use crate::error::{Error, Result};

use crate::units::GridThw;

/// What `preprocessor_config.json` says, or the image processor inside `processor_config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageProcessor {
    /// Fewest pixels after resizing.
    pub min_pixels: usize,
    /// Most pixels after resizing.
    pub max_pixels: usize,
    /// Side of a patch.
    pub patch_size: usize,
    /// Frames in a patch; a still image is repeated.
    pub temporal_patch_size: usize,
    /// Patches on a side of a visual token.
    pub merge_size: usize,
    mean: [f32; 3],
    std: [f32; 3],
    rescale: f64,
}

const FILE: &str = "preprocessor_config.json";
/// What `AutoProcessor.save_pretrained` writes today instead; the reference looks here first.
const COMBINED: (&str, &str) = ("processor_config.json", "image_processor");
/// Longest side over shortest; the reference refuses more.
const MAX_ASPECT: f64 = 200.0;
const CLIP_MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

impl ImageProcessor {
    /// A colour from 0 to 255 as the tower reads it; its middle, which is 0, where there is none.
    pub fn normalised(&self, rgb: Option<[f64; 3]>) -> [f32; 3] {
        let Some(rgb) = rgb else { return [0.0; 3] };
        std::array::from_fn(|c| {
            ((rgb[c] * self.rescale - f64::from(self.mean[c])) / f64::from(self.std[c])) as f32
        })
    }

    /// Reads the folder's file and checks it against the vision tower.
    ///
    /// # Errors
    /// A file that is not there or damaged, steps other than the reference's, sizes other than the tower's, bounds
    /// that no image can keep.
    pub fn read(folder: &Folder, vision: &VisionConfig) -> Result<Self> {
        let combined = folder.has(COMBINED.0).then(|| folder.json(COMBINED.0)).transpose()?;
        let json = match combined.and_then(|json| json.object(COMBINED.1)) {
            Some(json) => json,
            None => folder.json(FILE)?,
        };
        check_steps(&json)?;
        check_tower(&json, folder, vision)?;
        let (min_pixels, max_pixels) = pixel_bounds(&json, vision.patch_size * vision.merge_size)?;
        let triple = |key: &str, default: [f64; 3]| -> Result<[f32; 3]> {
            let list = if json.has(key) { json.numbers(key, 3)? } else { default.to_vec() };
            Ok([list[0] as f32, list[1] as f32, list[2] as f32])
        };
        let std = triple("image_std", CLIP_STD)?;
        if std.contains(&0.0) {
            return Err(json.wrong("image_std", "numbers other than 0"));
        }
        Ok(Self {
            min_pixels,
            max_pixels,
            patch_size: vision.patch_size,
            temporal_patch_size: vision.temporal_patch_size,
            merge_size: vision.merge_size,
            mean: triple("image_mean", CLIP_MEAN)?,
            std,
            rescale: json.number_or("rescale_factor", 1.0 / 255.0)?,
        })
    }

    /// Height and width the reference resizes to: multiples of a visual token, of at most `max_pixels`.
    ///
    /// # Errors
    /// An image with a side more than 200 times the other.
    pub fn target_size(&self, height: usize, width: usize, max_pixels: usize) -> Result<(usize, usize)> {
        let (h, w) = (height as f64, width as f64);
        let aspect = h.max(w) / h.min(w);
        if aspect > MAX_ASPECT {
            return Err(Error::Request(format!(
                "the image is {width} x {height} pixels: expected sides within {MAX_ASPECT} to 1, found {aspect:.0} to 1"
            )));
        }
        let factor = (self.patch_size * self.merge_size) as f64;
        if max_pixels < self.min_pixels {
            return Ok(small(h, w, factor, max_pixels as f64));
        }
        let (min_pixels, max_pixels) = (self.min_pixels as f64, max_pixels as f64);
        // Python's round: halves go to the even neighbour.
        let (mut new_h, mut new_w) =
            ((h / factor).round_ties_even() * factor, (w / factor).round_ties_even() * factor);
        if new_h * new_w > max_pixels {
            let beta = (h * w / max_pixels).sqrt();
            new_h = factor.max((h / beta / factor).floor() * factor);
            new_w = factor.max((w / beta / factor).floor() * factor);
        } else if new_h * new_w < min_pixels {
            let beta = (min_pixels / (h * w)).sqrt();
            new_h = (h * beta / factor).ceil() * factor;
            new_w = (w * beta / factor).ceil() * factor;
        }
        Ok((new_h as usize, new_w as usize))
    }

    /// The image as the vision tower reads it: patches [P, C*T*P*P], by visual token, and their grid.
    ///
    /// # Errors
    /// An image with a side more than 200 times the other.
    pub fn process(&self, image: &RgbImage, max_pixels: usize) -> Result<(Array, GridThw)> {
        let (height, width) =
            self.target_size(image.height() as usize, image.width() as usize, max_pixels)?;
        let resized = if (image.height() as usize, image.width() as usize) == (height, width) {
            Cow::Borrowed(image)
        } else {
            Cow::Owned(bicubic(image, width as u32, height as u32))
        };
        let grid = GridThw { t: 1, h: height / self.patch_size, w: width / self.patch_size };
        Ok((self.patchify(&resized, grid), grid))
    }

    fn patchify(&self, image: &RgbImage, grid: GridThw) -> Array {
        let (side, merge) = (self.patch_size, self.merge_size);
        let area = side * side;
        let patch_dim = 3 * self.temporal_patch_size * area;
        // 256 levels, 3 channels: the reference's rounding once per level instead of once per pixel.
        let levels: Vec<[f32; 256]> = (0..3)
            .map(|c| std::array::from_fn(|v| ((v as f64 * self.rescale) as f32 - self.mean[c]) / self.std[c]))
            .collect();
        let (_, token_cols) = grid.merged(merge);
        let width = image.width() as usize;
        let raw = image.as_raw();
        let mut data = vec![0f32; grid.num_patches() * patch_dim];
        data.par_chunks_mut(patch_dim).enumerate().for_each(|(patch, out)| {
            let (token, inside) = (patch / (merge * merge), patch % (merge * merge));
            let row = token / token_cols * merge + inside / merge;
            let col = token % token_cols * merge + inside % merge;
            for (channel, table) in levels.iter().enumerate() {
                for frame in 0..self.temporal_patch_size {
                    let plane = &mut out[(channel * self.temporal_patch_size + frame) * area..][..area];
                    for (i, value) in plane.iter_mut().enumerate() {
                        let (y, x) = (row * side + i / side, col * side + i % side);
                        *value = table[raw[(y * width + x) * 3 + channel] as usize];
                    }
                }
            }
        });
        Array::new([grid.num_patches(), patch_dim], data)
    }
}

/// Height and width under a budget below the checkpoint's least, which the reference has no rule for: as near to the
/// image's shape as whole visual tokens allow, at least one and never more than the budget, where that holds one.
fn small(h: f64, w: f64, factor: f64, max_pixels: f64) -> (usize, usize) {
    let whole = |side: f64| (side / factor).round_ties_even().max(1.0) * factor;
    let (mut new_h, mut new_w) = (whole(h), whole(w));
    if new_h * new_w > max_pixels {
        let beta = (h * w / max_pixels).sqrt();
        let within = |side: f64, most: f64| (side.min(most) / factor).floor().max(1.0) * factor;
        (new_h, new_w) = (within(h / beta, f64::INFINITY), within(w / beta, f64::INFINITY));
        // A side of one token may be more than its share; the other has what is left.
        if new_h * new_w > max_pixels {
            if h < w {
                new_w = within(new_w, max_pixels / new_h);
            } else {
                new_h = within(new_h, max_pixels / new_w);
            }
        }
    }
    (new_h as usize, new_w as usize)
}

/// Every step is done, and the resize is the bicubic one.
fn check_steps(json: &Json) -> Result<()> {
    for flag in ["do_resize", "do_rescale", "do_normalize"] {
        if !json.flag_or(flag, true)? {
            return Err(json.wrong(flag, "true"));
        }
    }
    if json.has("resample") && json.size("resample")? != 3 {
        return Err(json.wrong("resample", "3 (bicubic)"));
    }
    Ok(())
}

/// What both files say is said alike.
fn check_tower(json: &Json, folder: &Folder, vision: &VisionConfig) -> Result<()> {
    for (key, expected) in [
        ("patch_size", vision.patch_size),
        ("temporal_patch_size", vision.temporal_patch_size),
        ("merge_size", vision.merge_size),
    ] {
        if json.size_or(key, expected)? != expected {
            return Err(json.wrong(key, &format!("{expected} as in the vision_config of config.json")));
        }
    }
    if vision.in_channels == 3 {
        return Ok(());
    }
    let (path, found) = (folder.path("config.json"), vision.in_channels.to_string());
    Err(Error::field(path, "vision_config.in_channels", "3", found))
}

/// Fewest and most pixels, under their old names or inside `size`; a visual token is `side` x `side` pixels.
fn pixel_bounds(json: &Json, side: usize) -> Result<(usize, usize)> {
    let size = json.object("size");
    if let Some(size) = &size
        && ["height", "width"].iter().any(|key| size.has(key))
    {
        // The reference refuses it too: every image would have to be of one size.
        return Err(json.wrong("size", "shortest_edge and longest_edge"));
    }
    let bound = |old: &str, new: &str, default: usize| -> Result<usize> {
        if json.has(old) {
            return json.size(old);
        }
        match &size {
            Some(size) if size.has(new) => size.size(new),
            Some(size) if size.has(old) => size.size(old),
            _ => Ok(default),
        }
    };
    let fewest = bound("min_pixels", "shortest_edge", 56 * 56)?;
    let most = bound("max_pixels", "longest_edge", 28 * 28 * 1280)?;
    if most >= side.pow(2) && fewest <= most {
        return Ok((fewest, most));
    }
    Err(Error::field(
        json.path(),
        "min_pixels, max_pixels",
        format!("at least one {side} x {side} visual token, and the smaller first"),
        format!("{fewest}, {most}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_budget_holds_and_leaves_at_least_a_token() {
        for side in [28.0, 32.0] {
            for tokens in 1..=20u32 {
                let budget = f64::from(tokens) * side * side + 3.0;
                for (w, h) in
                    [(600, 9), (9, 600), (1, 1), (31, 639), (332, 27), (50, 40), (4000, 21), (640, 480)]
                {
                    let (new_h, new_w) = small(f64::from(h), f64::from(w), side, budget);
                    assert!(new_h >= side as usize && new_w >= side as usize, "{w} x {h}, {tokens}");
                    assert!((new_h * new_w) as f64 <= budget, "{w} x {h}, {tokens}: {new_w} x {new_h}");
                    assert!(new_h.is_multiple_of(side as usize) && new_w.is_multiple_of(side as usize));
                }
            }
        }
        // An image that fits stays as near to its size as tokens allow.
        assert_eq!(small(62.0, 95.0, 32.0, 8192.0), (64, 96));
    }
}
