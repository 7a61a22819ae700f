//! A drawn thing: filled outlines in its own units, with named points that move along with it.

use crate::random::Stream;
use rand::RngExt;
use tiny_skia::{Path, PathBuilder, Rect, Transform};

use super::canvas::Canvas;
use super::color::Rgb;

/// How an outline is drawn.
#[derive(Debug, Clone, Copy)]
enum Ink {
    /// Filled, lighter at the top left, with a darker rim.
    Fill(Rgb),
    /// A line of this width, in the sprite's units.
    Line(Rgb, f32),
}

/// Outlines from back to front.
#[derive(Debug, Clone, Default)]
pub struct Sprite {
    parts: Vec<(Path, Ink)>,
    /// Named places, in the sprite's units.
    pub points: Vec<(&'static str, [f32; 2])>,
}

impl Sprite {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn push(mut self, path: Option<Path>, ink: Ink) -> Self {
        self.parts.extend(path.map(|path| (path, ink)));
        self
    }

    /// A named place.
    #[must_use]
    pub fn point(mut self, name: &'static str, x: f32, y: f32) -> Self {
        self.points.push((name, [x, y]));
        self
    }

    /// An ellipse by centre and radii.
    #[must_use]
    pub fn oval(self, x: f32, y: f32, rx: f32, ry: f32, color: Rgb) -> Self {
        let rect = Rect::from_ltrb(x - rx, y - ry, x + rx, y + ry);
        self.push(rect.and_then(PathBuilder::from_oval), Ink::Fill(color))
    }

    /// An ellipse, turned by degrees.
    #[must_use]
    pub fn tilted(self, x: f32, y: f32, rx: f32, ry: f32, degrees: f32, color: Rgb) -> Self {
        let rect = Rect::from_ltrb(x - rx, y - ry, x + rx, y + ry);
        let path = rect.and_then(PathBuilder::from_oval);
        let turned = path.and_then(|path| path.transform(Transform::from_rotate_at(degrees, x, y)));
        self.push(turned, Ink::Fill(color))
    }

    /// An upright rectangle by its corners.
    #[must_use]
    pub fn block(self, left: f32, top: f32, right: f32, bottom: f32, color: Rgb) -> Self {
        self.polygon(&[[left, top], [right, top], [right, bottom], [left, bottom]], color)
    }

    /// A polygon.
    #[must_use]
    pub fn polygon(self, corners: &[[f32; 2]], color: Rgb) -> Self {
        self.push(polygon(corners), Ink::Fill(color))
    }

    /// A smooth closed outline through points (Catmull-Rom).
    #[must_use]
    pub fn blob(self, through: &[[f32; 2]], color: Rgb) -> Self {
        self.push(smooth(through), Ink::Fill(color))
    }

    /// A line through points.
    #[must_use]
    pub fn line(self, through: &[[f32; 2]], width: f32, color: Rgb) -> Self {
        let mut builder = PathBuilder::new();
        for (i, [x, y]) in through.iter().enumerate() {
            if i == 0 { builder.move_to(*x, *y) } else { builder.line_to(*x, *y) }
        }
        self.push(builder.finish(), Ink::Line(color, width))
    }

    /// Left, top, right and bottom of all outlines, lines with their width.
    pub fn bounds(&self) -> [f32; 4] {
        let empty = [f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY];
        self.parts.iter().fold(empty, |[l, t, r, b], (path, ink)| {
            let tight = path.compute_tight_bounds().unwrap_or_else(|| path.bounds());
            let grown = if let Ink::Line(_, width) = ink { width / 2.0 } else { 0.0 };
            [
                l.min(tight.left() - grown),
                t.min(tight.top() - grown),
                r.max(tight.right() + grown),
                b.max(tight.bottom() + grown),
            ]
        })
    }

    /// The same, turned by degrees, mirrored, or leaning.
    #[must_use]
    pub fn transformed(mut self, transform: Transform) -> Self {
        let scale = transform.get_scale().0.abs();
        let move_part = |(path, ink): (Path, Ink)| {
            let ink = match ink {
                Ink::Line(color, width) => Ink::Line(color, width * scale),
                fill @ Ink::Fill(_) => fill,
            };
            Some((path.transform(transform)?, ink))
        };
        self.parts = self.parts.into_iter().filter_map(move_part).collect();
        for (_, at) in &mut self.points {
            let mut point = tiny_skia::Point::from_xy(at[0], at[1]);
            transform.map_point(&mut point);
            *at = [point.x, point.y];
        }
        self
    }

    /// Moved and scaled so that its bounds are this rectangle. Lines keep their width's share, so a rectangle of
    /// another shape is met to within a line's width.
    #[must_use]
    pub fn fitted(self, [left, top, right, bottom]: [f32; 4]) -> Self {
        let [l, t, r, b] = self.bounds();
        let (sx, sy) = ((right - left) / (r - l).max(1e-6), (bottom - top) / (b - t).max(1e-6));
        self.transformed(Transform::from_row(sx, 0.0, 0.0, sy, left - l * sx, top - t * sy))
    }

    /// Moved and scaled to a centre and the length of its longer side.
    #[must_use]
    pub fn placed(self, x: f32, y: f32, size: f32) -> Self {
        let [l, t, r, b] = self.bounds();
        let half = 0.5 * size / (r - l).max(b - t).max(1e-6);
        let (w, h) = ((r - l) * half, (b - t) * half);
        self.fitted([x - w, y - h, x + w, y + h])
    }

    /// Where a named point is.
    pub fn named(&self, name: &str) -> Option<[f32; 2]> {
        self.points.iter().find(|(known, _)| *known == name).map(|(_, at)| *at)
    }

    /// Where it covers a picture of this size: a mask, row by row.
    pub fn coverage(&self, width: u32, height: u32) -> Vec<bool> {
        // What is the same on white and on black is the sprite's own.
        let drawn = [0.0, 1.0].map(|grey| {
            let mut canvas = Canvas::new(width, height, Rgb::grey(grey));
            self.draw(&mut canvas, None);
            canvas.into_image()
        });
        drawn[0].pixels().zip(drawn[1].pixels()).map(|(a, b)| a == b).collect()
    }

    /// Draws it, with a shadow beneath where asked.
    pub fn draw(&self, canvas: &mut Canvas, shadow: Option<[f32; 2]>) {
        let [l, t, r, b] = self.bounds();
        let size = (r - l).max(b - t);
        if let Some([dx, dy]) = shadow {
            for (path, ink) in &self.parts {
                let moved = path.clone().transform(Transform::from_translate(dx * size, dy * size));
                let dark = Rgb::grey(0.0).with_alpha(0.22);
                match (moved, ink) {
                    (Some(path), Ink::Fill(_)) => canvas.fill(&path, dark),
                    (Some(path), Ink::Line(_, width)) => canvas.stroke(&path, *width, dark),
                    (None, _) => {}
                }
            }
        }
        for (path, ink) in &self.parts {
            match ink {
                Ink::Line(color, width) => canvas.stroke(path, *width, color.opaque()),
                Ink::Fill(color) => {
                    let own = path.bounds();
                    let (from, to) = ([own.left(), own.top()], [own.right(), own.bottom()]);
                    canvas.fill_gradient(path, (from, color.times(1.18)), (to, color.times(0.78)));
                    canvas.stroke(path, (size * 0.012).max(0.6), color.times(0.55).with_alpha(0.85));
                }
            }
        }
    }
}

/// A closed polygon.
pub fn polygon(corners: &[[f32; 2]]) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (i, [x, y]) in corners.iter().enumerate() {
        if i == 0 { builder.move_to(*x, *y) } else { builder.line_to(*x, *y) }
    }
    builder.close();
    builder.finish()
}

/// A closed Catmull-Rom curve.
fn smooth(through: &[[f32; 2]]) -> Option<Path> {
    let count = through.len();
    let at = |i: usize| through[i % count];
    let mut builder = PathBuilder::new();
    builder.move_to(at(0)[0], at(0)[1]);
    for i in 0..count {
        let (before, from, to, after) = (at(i + count - 1), at(i), at(i + 1), at(i + 2));
        let control = |a: [f32; 2], b: [f32; 2], c: [f32; 2], sign: f32| {
            [b[0] + sign * (c[0] - a[0]) / 6.0, b[1] + sign * (c[1] - a[1]) / 6.0]
        };
        let (first, second) = (control(before, from, to, 1.0), control(from, to, after, -1.0));
        builder.cubic_to(first[0], first[1], second[0], second[1], to[0], to[1]);
    }
    builder.close();
    builder.finish()
}

/// An outline around the origin whose radius wavers: stones, leaves, clouds.
pub fn wavering(rng: &mut Stream, corners: usize, radius: f32, waver: f32) -> Vec<[f32; 2]> {
    (0..corners)
        .map(|i| {
            let angle = i as f32 / corners as f32 * std::f32::consts::TAU;
            let radius = radius * (1.0 + rng.random_range(-waver..=waver));
            [radius * angle.cos(), radius * angle.sin()]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_fit_a_rectangle_and_points_move_along() {
        let sprite = Sprite::new()
            .oval(0.0, 0.0, 2.0, 1.0, Rgb::grey(0.5))
            .tilted(1.0, 1.0, 1.5, 0.5, 45.0, Rgb::grey(0.5))
            .point("right", 2.0, 0.0);
        let fitted = sprite.fitted([10.0, 20.0, 50.0, 40.0]);
        for (found, expected) in fitted.bounds().into_iter().zip([10.0, 20.0, 50.0, 40.0]) {
            assert!((found - expected).abs() < 0.1, "{:?}", fitted.bounds());
        }
        let right = fitted.named("right").unwrap();
        assert!(right[0] > 40.0 && right[0] <= 50.0 && right[1] > 20.0 && right[1] < 40.0, "{right:?}");
    }
}
