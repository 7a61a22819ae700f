//! What the tasks draw over a picture: lettered points and boxes. A letter stands beside its point, not over it.

use ab_glyph::{Font, FontRef, OutlineCurve};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use tiny_skia::{PathBuilder, Rect};

use super::canvas::Canvas;
use super::color::Rgb;

/// A lettered place, in pixels of one of a sample's images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Which image, from 0.
    pub image: usize,
    /// The letter, or REF.
    pub label: String,
    /// x and y of a point; left, top, right and bottom of a box.
    pub at: Vec<f32>,
}

impl Mark {
    /// A point.
    pub fn point(image: usize, label: &str, [x, y]: [f32; 2]) -> Self {
        Self { image, label: label.to_owned(), at: vec![x, y] }
    }

    /// A box.
    pub fn rect(image: usize, label: &str, at: [f32; 4]) -> Self {
        Self { image, label: label.to_owned(), at: at.to_vec() }
    }
}

const RED: Rgb = Rgb([0.93, 0.08, 0.08]);
const BOXES: [Rgb; 2] = [RED, Rgb([0.05, 0.75, 0.15])];

/// In which colours marks are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ink {
    /// Points red, two boxes red and green.
    #[default]
    Red,
    /// Each letter in its own, so that small images show which is which.
    ByLetter,
}

/// Colours of A, B, C ..; REF has the last.
const LETTERS: [Rgb; 9] = [
    RED,
    Rgb([0.1, 0.3, 0.95]),
    Rgb([0.05, 0.62, 0.15]),
    Rgb([1.0, 0.62, 0.0]),
    Rgb([0.0, 0.75, 0.8]),
    Rgb([0.5, 0.3, 0.1]),
    Rgb([0.95, 0.95, 0.2]),
    Rgb([0.05, 0.05, 0.05]),
    Rgb([0.85, 0.1, 0.85]),
];

impl Ink {
    fn of(self, label: &str) -> Rgb {
        match (self, label.as_bytes()) {
            (Self::Red, _) => RED,
            (Self::ByLetter, [letter @ b'A'..=b'H']) => LETTERS[usize::from(letter - b'A')],
            (Self::ByLetter, _) => LETTERS[8],
        }
    }
}

/// Draws the marks of image number `image` on it.
pub fn draw(picture: &RgbImage, image: usize, marks: &[Mark], ink: Ink) -> RgbImage {
    let mut canvas = Canvas::from_image(picture);
    let side = picture.width().max(picture.height()) as f32;
    for (i, mark) in marks.iter().filter(|mark| mark.image == image).enumerate() {
        let colour = ink.of(&mark.label);
        match mark.at[..] {
            [x, y] => {
                // A ring by its colour alone needs to be seen.
                let radius = if ink == Ink::ByLetter { radius(side).max(5.0) } else { radius(side) };
                point(&mut canvas, [x, y], &mark.label, side, (radius, colour));
            }
            [l, t, r, b] => {
                let colour = if ink == Ink::Red { BOXES[i % 2] } else { colour };
                bounding_box(&mut canvas, [l, t, r, b], &mark.label, colour, side);
            }
            _ => {}
        }
    }
    canvas.into_image()
}

/// Radius of the circle around a point, in pixels.
pub fn radius(side: f32) -> f32 {
    (side * 0.022).max(2.5)
}

/// Height of capital letters, in pixels.
fn letter_height(side: f32) -> f32 {
    (side * 0.05).max(11.0)
}

/// A circle around a point, and its label beside it, on whichever side there is room.
fn point(canvas: &mut Canvas, [x, y]: [f32; 2], label: &str, side: f32, (radius, colour): (f32, Rgb)) {
    let height = letter_height(side);
    if let Some(circle) = PathBuilder::from_circle(x, y, radius) {
        canvas.stroke(&circle, radius * 0.9, Rgb::grey(1.0).with_alpha(0.9));
        canvas.stroke(&circle, radius * 0.5, colour.opaque());
    }
    let width = text_width(label, height);
    let gap = radius * 1.6 + 1.0;
    let left = if x + gap + width < canvas.size().0 as f32 { x + gap } else { x - gap - width };
    let top = (y - height / 2.0).clamp(1.0, (canvas.size().1 as f32 - height - 1.0).max(1.0));
    text(canvas, [left, top], height, label, colour);
}

/// A picture with text on it, its capitals of this height.
pub fn caption(picture: &RgbImage, at: [f32; 2], height: f32, label: &str) -> RgbImage {
    let mut canvas = Canvas::from_image(picture);
    text(&mut canvas, at, height, label, RED);
    canvas.into_image()
}

fn bounding_box(canvas: &mut Canvas, [l, t, r, b]: [f32; 4], label: &str, color: Rgb, side: f32) {
    let Some(rect) = Rect::from_ltrb(l, t, r, b) else { return };
    let width = (side * 0.007).max(1.2);
    let path = PathBuilder::from_rect(rect);
    canvas.stroke(&path, width * 1.9, Rgb::grey(1.0).with_alpha(0.6));
    canvas.stroke(&path, width, color.opaque());
    let height = letter_height(side);
    text(canvas, [l + width + 1.0, t + width + 1.0], height, label, color);
}

/// Text with its capitals' top left at a place.
fn text(canvas: &mut Canvas, [left, top]: [f32; 2], height: f32, text: &str, color: Rgb) {
    let font = font();
    let scale = scale(&font, height);
    let mut builder = PathBuilder::new();
    let mut x = left;
    for letter in text.chars() {
        let id = font.glyph_id(letter);
        if let Some(outline) = font.outline(id) {
            let place = |p: ab_glyph::Point| (x + p.x * scale, top + height - p.y * scale);
            let mut last = None;
            for curve in &outline.curves {
                let (start, end) = match curve {
                    OutlineCurve::Line(a, b)
                    | OutlineCurve::Quad(a, _, b)
                    | OutlineCurve::Cubic(a, _, _, b) => (*a, *b),
                };
                if last != Some(start) {
                    let (x, y) = place(start);
                    builder.move_to(x, y);
                }
                last = Some(end);
                let (ex, ey) = place(end);
                match curve {
                    OutlineCurve::Line(..) => builder.line_to(ex, ey),
                    OutlineCurve::Quad(_, c, _) => {
                        let (cx, cy) = place(*c);
                        builder.quad_to(cx, cy, ex, ey);
                    }
                    OutlineCurve::Cubic(_, c, d, _) => {
                        let ((cx, cy), (dx, dy)) = (place(*c), place(*d));
                        builder.cubic_to(cx, cy, dx, dy, ex, ey);
                    }
                }
            }
        }
        x += font.h_advance_unscaled(id) * scale;
    }
    if let Some(path) = builder.finish() {
        canvas.stroke(&path, (height * 0.28).max(1.6), Rgb::grey(1.0).with_alpha(0.9));
        canvas.fill(&path, color.opaque());
        canvas.stroke(&path, height * 0.07, color.opaque());
    }
}

fn text_width(text: &str, height: f32) -> f32 {
    let font = font();
    let scale = scale(&font, height);
    text.chars().map(|letter| font.h_advance_unscaled(font.glyph_id(letter)) * scale).sum()
}

fn font() -> FontRef<'static> {
    FontRef::try_from_slice(epaint_default_fonts::HACK_REGULAR).expect("a whole font, built in")
}

/// Pixels of a font unit, for capitals of a height (seven tenths of the em in this font).
fn scale(font: &FontRef<'_>, height: f32) -> f32 {
    height / 0.73 / font.units_per_em().unwrap_or(2048.0)
}
