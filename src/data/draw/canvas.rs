//! What is drawn on: tiny-skia's pixels, with the few ways this project draws.

use crate::random::Stream;
use image::RgbImage;
use rand::RngExt;
use tiny_skia::{
    FillRule, GradientStop, LineCap, LineJoin, LinearGradient, Paint, Path, Pixmap, Point, Shader,
    SpreadMode, Stroke, Transform,
};

use super::color::Rgb;
use super::noise::Noise;

/// Opaque pixels.
pub struct Canvas {
    pixmap: Pixmap,
}

impl Canvas {
    /// All of one colour.
    pub fn new(width: u32, height: u32, color: Rgb) -> Self {
        let mut pixmap = Pixmap::new(width, height).expect("a size that fits in memory");
        pixmap.fill(color.opaque());
        Self { pixmap }
    }

    /// A picture to draw on.
    pub fn from_image(image: &RgbImage) -> Self {
        let mut canvas = Self::new(image.width(), image.height(), Rgb::grey(0.0));
        for (pixel, rgb) in canvas.pixmap.data_mut().as_chunks_mut::<4>().0.iter_mut().zip(image.pixels()) {
            pixel[..3].copy_from_slice(&rgb.0);
        }
        canvas
    }

    /// A colour for every pixel.
    pub fn from_fn(width: u32, height: u32, color: impl Fn(f32, f32) -> Rgb) -> Self {
        let mut canvas = Self::new(width, height, Rgb::grey(0.0));
        canvas.each(|x, y, _| color(x, y));
        canvas
    }

    /// Changes every pixel, by its place and colour.
    pub fn each(&mut self, change: impl Fn(f32, f32, Rgb) -> Rgb) {
        let width = self.pixmap.width() as usize;
        for (i, pixel) in self.pixmap.data_mut().as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let (x, y) = ((i % width) as f32 + 0.5, (i / width) as f32 + 0.5);
            let color = Rgb([pixel[0], pixel[1], pixel[2]].map(|c| f32::from(c) / 255.0));
            pixel[..3].copy_from_slice(&change(x, y, color).bytes());
        }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.pixmap.width(), self.pixmap.height())
    }

    /// Fills a path with one colour, partly transparent.
    pub fn fill(&mut self, path: &Path, color: tiny_skia::Color) {
        self.fill_with(path, Shader::SolidColor(color));
    }

    /// Fills a path with a gradient between two points.
    pub fn fill_gradient(&mut self, path: &Path, from: ([f32; 2], Rgb), to: ([f32; 2], Rgb)) {
        let stops = vec![GradientStop::new(0.0, from.1.opaque()), GradientStop::new(1.0, to.1.opaque())];
        let ([x0, y0], [x1, y1]) = (from.0, to.0);
        let (start, end) = (Point::from_xy(x0, y0), Point::from_xy(x1, y1));
        let gradient = LinearGradient::new(start, end, stops, SpreadMode::Pad, Transform::identity());
        self.fill_with(path, gradient.unwrap_or(Shader::SolidColor(from.1.opaque())));
    }

    fn fill_with(&mut self, path: &Path, shader: Shader<'_>) {
        let paint = Paint { shader, anti_alias: true, ..Paint::default() };
        self.pixmap.fill_path(path, &paint, FillRule::Winding, Transform::identity(), None);
    }

    /// Draws along a path, with round ends.
    pub fn stroke(&mut self, path: &Path, width: f32, color: tiny_skia::Color) {
        let paint = Paint { shader: Shader::SolidColor(color), anti_alias: true, ..Paint::default() };
        let stroke =
            Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
        self.pixmap.stroke_path(path, &paint, &stroke, Transform::identity(), None);
    }

    /// Light that falls off to a side, a colour cast, and the grain of a sensor: what no drawing program has and
    /// every camera does.
    pub fn develop(&mut self, rng: &mut Stream) {
        let (width, height) = self.size();
        let (dx, dy) = direction(rng);
        let strength = rng.random_range(0.05..0.25);
        let cast: [f32; 3] = std::array::from_fn(|_| rng.random_range(0.94..1.06));
        let grain = rng.random_range(0.01..0.035);
        let noise = Noise(rng.random());
        let half = width.max(height) as f32 / 2.0;
        self.each(|x, y, color| {
            let (u, v) = (x / half - 1.0, y / half - 1.0);
            let light = 1.0 + strength * (u * dx + v * dy) - 0.06 * (u * u + v * v);
            let speck = grain * (noise.value(x * 0.97, y * 1.03) - 0.5) * 2.0;
            Rgb(std::array::from_fn(|i| color.0[i] * light * cast[i] + speck))
        });
    }

    /// The pixels.
    pub fn into_image(self) -> RgbImage {
        let (width, height) = self.size();
        let pixels = self.pixmap.data().as_chunks::<4>().0;
        let data = pixels.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect();
        RgbImage::from_raw(width, height, data).expect("three values a pixel")
    }
}

/// A unit vector in any direction.
pub fn direction(rng: &mut Stream) -> (f32, f32) {
    let angle = rng.random_range(0.0..std::f32::consts::TAU);
    (angle.cos(), angle.sin())
}
