//! One picture seen again: from elsewhere, in another light.

use image::RgbImage;
use image::imageops::{FilterType, interpolate_bilinear};

use super::canvas::Canvas;
use super::color::Rgb;

/// A projective map of the plane, row by row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Homography([f64; 9]);

impl Homography {
    /// Takes the corners of a width x height rectangle, from the top left clockwise, to four others (Heckbert 1989,
    /// section 2.2.3).
    pub fn from_rectangle(width: f32, height: f32, corners: [[f32; 2]; 4]) -> Self {
        let [[x0, y0], [x1, y1], [x2, y2], [x3, y3]] = corners.map(|c| c.map(f64::from));
        let (dx1, dx2, sx) = (x1 - x2, x3 - x2, x0 - x1 + x2 - x3);
        let (dy1, dy2, sy) = (y1 - y2, y3 - y2, y0 - y1 + y2 - y3);
        let det = dx1 * dy2 - dx2 * dy1;
        let (g, h) = ((sx * dy2 - dx2 * sy) / det, (dx1 * sy - sx * dy1) / det);
        let unit =
            [x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h, 1.0];
        let (w, t) = (f64::from(width), f64::from(height));
        Self(std::array::from_fn(|i| unit[i] / [w, t, 1.0][i % 3]))
    }

    /// Where a point goes.
    pub fn map(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (m, x, y) = (&self.0, f64::from(x), f64::from(y));
        let w = m[6] * x + m[7] * y + m[8];
        [((m[0] * x + m[1] * y + m[2]) / w) as f32, ((m[3] * x + m[4] * y + m[5]) / w) as f32]
    }

    /// The way back (by the adjugate).
    #[must_use]
    pub fn inverse(&self) -> Self {
        let [a, b, c, d, e, f, g, h, i] = self.0;
        Self([
            e * i - f * h,
            c * h - b * i,
            b * f - c * e,
            f * g - d * i,
            a * i - c * g,
            c * d - a * f,
            d * h - e * g,
            b * g - a * h,
            a * e - b * d,
        ])
    }

    /// A width x height picture whose pixels lie where this map takes them in `from`.
    pub fn view(&self, from: &RgbImage, width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let [u, v] = self.map([x as f32 + 0.5, y as f32 + 0.5]);
            let inside = |t: f32, size: u32| (t - 0.5).clamp(0.0, (size - 1) as f32);
            let (u, v) = (inside(u, from.width()), inside(v, from.height()));
            interpolate_bilinear(from, u, v).expect("a place inside the picture")
        })
    }
}

/// Light on a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Light {
    /// Brightness.
    pub gain: f32,
    /// Contrast of the dark parts; 1 leaves them.
    pub gamma: f32,
    /// Of red, green and blue.
    pub cast: [f32; 3],
    /// Turn of all hues, in turns.
    pub hue: f32,
    /// Brighter towards this side.
    pub slope: [f32; 2],
}

impl Light {
    /// As it is.
    pub const PLAIN: Self = Self { gain: 1.0, gamma: 1.0, cast: [1.0; 3], hue: 0.0, slope: [0.0; 2] };

    /// A picture in this light.
    pub fn on(&self, picture: &RgbImage) -> RgbImage {
        let mut canvas = Canvas::from_image(picture);
        let (w, h) = (picture.width() as f32, picture.height() as f32);
        canvas.each(|x, y, color| {
            let lit = self.gain * (1.0 + self.slope[0] * (x / w - 0.5) + self.slope[1] * (y / h - 0.5));
            let turned = turned(color, self.hue);
            Rgb(std::array::from_fn(|i| turned.0[i].powf(self.gamma) * lit * self.cast[i]))
        });
        canvas.into_image()
    }
}

/// All hues turned, lightness kept: a rotation of the chroma plane (YIQ).
fn turned(color: Rgb, turns: f32) -> Rgb {
    if turns == 0.0 {
        return color;
    }
    let [r, g, b] = color.0;
    let y = color.luma();
    let (i, q) = (0.596 * r - 0.274 * g - 0.322 * b, 0.211 * r - 0.523 * g + 0.312 * b);
    let (sin, cos) = (turns * std::f32::consts::TAU).sin_cos();
    let (i, q) = (i * cos - q * sin, i * sin + q * cos);
    Rgb([y + 0.956 * i + 0.621 * q, y - 0.272 * i - 0.647 * q, y - 1.106 * i + 1.703 * q])
}

/// A picture scaled so that it covers a width and height, with nothing cut off.
pub fn covering(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (w, h) = picture.dimensions();
    let factor = (f64::from(width) / f64::from(w)).max(f64::from(height) / f64::from(h));
    let scaled = |side: u32, least: u32| ((f64::from(side) * factor).round() as u32).max(least);
    let (w, h) = (scaled(w, width), scaled(h, height));
    if (w, h) == picture.dimensions() {
        picture.clone()
    } else {
        image::imageops::resize(picture, w, h, FilterType::Triangle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_go_to_corners_and_back() {
        let corners = [[10.0, 20.0], [110.0, 5.0], [130.0, 140.0], [0.0, 90.0]];
        let map = Homography::from_rectangle(80.0, 60.0, corners);
        for (from, to) in [[0.0, 0.0], [80.0, 0.0], [80.0, 60.0], [0.0, 60.0]].into_iter().zip(corners) {
            let (found, back) = (map.map(from), map.inverse().map(to));
            for i in 0..2 {
                assert!((found[i] - to[i]).abs() < 1e-3, "{found:?} {to:?}");
                assert!((back[i] - from[i]).abs() < 1e-3, "{back:?} {from:?}");
            }
        }
    }

    #[test]
    fn plain_light_leaves_a_picture() {
        let picture = RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 20, y as u8 * 30, 200]));
        assert_eq!(Light::PLAIN.on(&picture), picture);
        let turned = Light { hue: 1.0, ..Light::PLAIN }.on(&picture);
        for (a, b) in turned.pixels().zip(picture.pixels()) {
            assert!((0..3).all(|i| a.0[i].abs_diff(b.0[i]) <= 2), "{a:?} {b:?}");
        }
    }
}
