//! Attention over an image, the plain way: what `shaders/overlay.wgsl` does, one pixel at a time.
//!
//! The shader is tested against this.

use image::{Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use crate::analysis::maps::GridMap;
use crate::analysis::normalise::Range;

/// Perceptually uniform colour maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ColourMap {
    /// Blue to yellow.
    #[default]
    Viridis,
    /// Black to white through purple.
    Magma,
    /// Black to yellow through red.
    Inferno,
    /// Blue to yellow through red.
    Plasma,
    /// Blue to yellow, alike for colour-blind readers.
    Cividis,
    /// Blue to red through white: what is less and what is more.
    Difference,
}

impl ColourMap {
    /// All, in the order they are offered.
    pub const ALL: [Self; 6] =
        [Self::Viridis, Self::Magma, Self::Inferno, Self::Plasma, Self::Cividis, Self::Difference];

    /// The name shown to the user.
    pub fn label(self) -> &'static str {
        match self {
            Self::Viridis => "Viridis",
            Self::Magma => "Magma",
            Self::Inferno => "Inferno",
            Self::Plasma => "Plasma",
            Self::Cividis => "Cividis",
            Self::Difference => "Blue to red",
        }
    }

    /// The colour at `t`, 0 to 1.
    pub fn at(self, t: f32) -> [u8; 3] {
        let gradient = match self {
            Self::Viridis => colorous::VIRIDIS,
            Self::Magma => colorous::MAGMA,
            Self::Inferno => colorous::INFERNO,
            Self::Plasma => colorous::PLASMA,
            Self::Cividis => colorous::CIVIDIS,
            Self::Difference => {
                return colorous::RED_BLUE.eval_continuous(f64::from(1.0 - t.clamp(0.0, 1.0))).into_array();
            }
        };
        gradient.eval_continuous(f64::from(t.clamp(0.0, 1.0))).into_array()
    }

    /// 256 colours, as the shader takes them.
    pub fn table(self) -> [[u8; 4]; 256] {
        std::array::from_fn(|i| {
            let [r, g, b] = self.at(i as f32 / 255.0);
            [r, g, b, 255]
        })
    }
}

/// How a map lies over its image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OverlayStyle {
    /// Share of the map's colour, 0 to 1.
    pub opacity: f32,
    /// Colours.
    pub colour_map: ColourMap,
    /// Bilinear between patches, instead of one colour a patch.
    pub smooth: bool,
    /// Let low attention show the image: opacity times the value.
    pub fade: bool,
}

impl Default for OverlayStyle {
    fn default() -> Self {
        Self { opacity: 0.6, colour_map: ColourMap::default(), smooth: false, fade: false }
    }
}

/// Attention at a place of the image; `u`, `v` from 0 to 1 across it.
pub fn sample(map: &GridMap, u: f32, v: f32, smooth: bool) -> f32 {
    // A pixel whose centre lies on an edge belongs to the patch after it, however its place was rounded.
    const EDGE: f32 = 1e-3;
    let at = |row: usize, col: usize| map.values[row * map.cols + col];
    let (x, y) = (u * map.cols as f32, v * map.rows as f32);
    if !smooth {
        let col = ((x + EDGE).floor().max(0.0) as usize).min(map.cols - 1);
        let row = ((y + EDGE).floor().max(0.0) as usize).min(map.rows - 1);
        return at(row, col);
    }
    let (x, y) = ((x - 0.5).clamp(0.0, (map.cols - 1) as f32), (y - 0.5).clamp(0.0, (map.rows - 1) as f32));
    let (col, row) = (x.floor() as usize, y.floor() as usize);
    let (next_col, next_row) = ((col + 1).min(map.cols - 1), (row + 1).min(map.rows - 1));
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let top = mix(at(row, col), at(row, next_col), x.fract());
    let bottom = mix(at(next_row, col), at(next_row, next_col), x.fract());
    mix(top, bottom, y.fract())
}

/// The place of a value between the ends of the colour map.
pub fn position(value: f32, range: Range) -> f32 {
    ((value - range.low) / (range.high - range.low).max(1e-12)).clamp(0.0, 1.0)
}

/// One pixel: the image's colour with the map's over it.
pub fn blend(pixel: [u8; 3], t: f32, style: &OverlayStyle, table: &[[u8; 4]; 256]) -> [u8; 3] {
    let colour = table[(t * 255.0).round() as usize];
    let share = style.opacity * if style.fade { t } else { 1.0 };
    std::array::from_fn(|c| {
        let (under, over) = (f32::from(pixel[c]), f32::from(colour[c]));
        (under + (over - under) * share).round() as u8
    })
}

/// The whole image with the map over it, at the image's own size.
pub fn compose(image: &RgbImage, map: &GridMap, range: Range, style: &OverlayStyle) -> RgbImage {
    let table = style.colour_map.table();
    let (width, height) = image.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = ((x as f32 + 0.5) / width as f32, (y as f32 + 0.5) / height as f32);
        let t = position(sample(map, u, v, style.smooth), range);
        Rgb(blend(image.get_pixel(x, y).0, t, style, &table))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_take_the_ends_of_the_colours() {
        let map = GridMap { rows: 1, cols: 2, values: vec![0.0, 1.0] };
        let image = RgbImage::from_pixel(4, 2, Rgb([10, 20, 30]));
        let style = OverlayStyle { opacity: 1.0, ..OverlayStyle::default() };
        let out = compose(&image, &map, Range { low: 0.0, high: 1.0 }, &style);
        assert_eq!(out.get_pixel(0, 0).0, ColourMap::Viridis.at(0.0));
        assert_eq!(out.get_pixel(3, 1).0, ColourMap::Viridis.at(1.0));
        let clear =
            compose(&image, &map, Range { low: 0.0, high: 1.0 }, &OverlayStyle { opacity: 0.0, ..style });
        assert_eq!(clear, image);
    }

    #[test]
    fn smooth_sampling_meets_the_centres() {
        let map = GridMap { rows: 2, cols: 2, values: vec![0.0, 1.0, 2.0, 3.0] };
        assert_eq!(sample(&map, 0.25, 0.25, true), 0.0);
        assert_eq!(sample(&map, 0.5, 0.5, true), 1.5);
        assert_eq!(sample(&map, 1.0, 1.0, true), 3.0);
        assert_eq!(sample(&map, 1.0, 1.0, false), 3.0);
    }
}
