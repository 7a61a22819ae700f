//! Styles of painting, applied to any picture.

use crate::random::Stream;
use image::RgbImage;
use rand::RngExt;
use tiny_skia::PathBuilder;

use super::canvas::Canvas;
use super::color::Rgb;
use super::noise::Noise;
use super::sprite::polygon;

/// A way to paint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Dots of pure colour.
    Pointillism,
    /// Thick strokes along the contours.
    Oil,
    /// Flat facets.
    Cubism,
    /// Small square stones with grout between.
    Mosaic,
    /// Dark lines on paper, closer where it is dark.
    Etching,
    /// Few flat colours and a raster of dots.
    PopArt,
    /// Washed-out colours that run, on rough paper.
    Watercolour,
    /// Glowing panes between black lead.
    StainedGlass,
}

impl Style {
    /// Every style.
    pub const ALL: [Self; 8] = [
        Self::Pointillism,
        Self::Oil,
        Self::Cubism,
        Self::Mosaic,
        Self::Etching,
        Self::PopArt,
        Self::Watercolour,
        Self::StainedGlass,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pointillism => "pointillism",
            Self::Oil => "oil",
            Self::Cubism => "cubism",
            Self::Mosaic => "mosaic",
            Self::Etching => "etching",
            Self::PopArt => "pop art",
            Self::Watercolour => "watercolour",
            Self::StainedGlass => "stained glass",
        }
    }

    /// A picture painted in it.
    pub fn paint(self, rng: &mut Stream, picture: &RgbImage) -> RgbImage {
        let source = Source(picture);
        match self {
            Self::Pointillism => pointillism(rng, source),
            Self::Oil => oil(rng, source),
            Self::Cubism => panes(rng, source, 70, None),
            Self::Mosaic => mosaic(rng, source),
            Self::Etching => etching(rng, source),
            Self::PopArt => pop_art(rng, source),
            Self::Watercolour => watercolour(rng, source),
            Self::StainedGlass => panes(rng, source, 55, Some(Rgb::grey(0.06))),
        }
        .into_image()
    }
}

/// The picture that is painted.
#[derive(Clone, Copy)]
struct Source<'a>(&'a RgbImage);

impl Source<'_> {
    fn size(self) -> (f32, f32) {
        (self.0.width() as f32, self.0.height() as f32)
    }

    /// A unit of length: a two-hundredth of the longer side.
    fn unit(self) -> f32 {
        let (w, h) = self.size();
        w.max(h) / 200.0
    }

    fn at(self, x: f32, y: f32) -> Rgb {
        let (w, h) = self.0.dimensions();
        let inside = |v: f32, size: u32| (v.max(0.0) as u32).min(size - 1);
        Rgb(self.0.get_pixel(inside(x, w), inside(y, h)).0.map(|c| f32::from(c) / 255.0))
    }

    /// Mean of a few places around.
    fn around(self, x: f32, y: f32, reach: f32) -> Rgb {
        const PLACES: [[f32; 2]; 9] = [
            [0.0, 0.0],
            [0.5, 0.0],
            [-0.5, 0.0],
            [0.0, 0.5],
            [0.0, -0.5],
            [0.7, 0.7],
            [-0.7, 0.7],
            [0.7, -0.7],
            [-0.7, -0.7],
        ];
        let sum = PLACES.iter().fold([0.0; 3], |sum, [dx, dy]| {
            let color = self.at(x + dx * reach, y + dy * reach).0;
            std::array::from_fn(|i| sum[i] + color[i])
        });
        Rgb(sum.map(|c| c / PLACES.len() as f32))
    }

    /// Lightness grows this way.
    fn slope(self, x: f32, y: f32, reach: f32) -> (f32, f32) {
        let light = |dx: f32, dy: f32| self.around(x + dx, y + dy, reach * 0.5).luma();
        (light(reach, 0.0) - light(-reach, 0.0), light(0.0, reach) - light(0.0, -reach))
    }

    fn canvas(self, color: Rgb) -> Canvas {
        Canvas::new(self.0.width(), self.0.height(), color)
    }
}

/// More saturated, or less.
fn saturated(color: Rgb, by: f32) -> Rgb {
    let grey = color.luma();
    Rgb(color.0.map(|c| (grey + (c - grey) * by).clamp(0.0, 1.0)))
}

fn pointillism(rng: &mut Stream, source: Source<'_>) -> Canvas {
    let (w, h) = source.size();
    let mut canvas = source.canvas(Rgb([0.93, 0.9, 0.82]));
    let step = source.unit() * rng.random_range(3.2..4.2);
    for pass in 0..2 {
        let mut y = 0.0;
        while y < h + step {
            let mut x = 0.0;
            while x < w + step {
                let jitter = |rng: &mut Stream| rng.random_range(-0.6..0.6) * step;
                let (px, py) = (x + jitter(rng), y + jitter(rng));
                let shift: [f32; 3] = std::array::from_fn(|_| rng.random_range(-0.16..0.16));
                let color = saturated(source.around(px, py, step), 1.5);
                let color = Rgb(std::array::from_fn(|i| color.0[i] + shift[i]));
                let radius = step * rng.random_range(0.42..0.62);
                if let Some(dot) = PathBuilder::from_circle(px, py, radius) {
                    canvas.fill(&dot, color.with_alpha(if pass == 0 { 1.0 } else { 0.9 }));
                }
                x += step;
            }
            y += step;
        }
    }
    canvas
}

fn oil(rng: &mut Stream, source: Source<'_>) -> Canvas {
    let (w, h) = source.size();
    let mut canvas = source.canvas(Rgb([0.5, 0.42, 0.35]));
    let swirl = Noise(rng.random());
    for (step, width) in [(9.0, 8.0), (5.0, 4.2), (3.4, 2.4)] {
        let (step, width) = (step * source.unit(), width * source.unit());
        let count = (w * h / (step * step) * 1.6) as usize;
        for _ in 0..count {
            let (x, y) = (rng.random_range(0.0..w), rng.random_range(0.0..h));
            let (gx, gy) = source.slope(x, y, width);
            let turn = swirl.value(x / w * 4.0, y / w * 4.0) * 6.0;
            let angle = if gx.abs() + gy.abs() > 0.05 { gx.atan2(-gy) } else { turn };
            let (dx, dy) = (angle.cos() * width * 1.6, angle.sin() * width * 1.6);
            let color = saturated(source.around(x, y, width * 0.5), 1.25).times(rng.random_range(0.88..1.14));
            let mut builder = PathBuilder::new();
            builder.move_to(x - dx, y - dy);
            builder.quad_to(x + dy * 0.25, y - dx * 0.25, x + dx, y + dy);
            if let Some(stroke) = builder.finish() {
                canvas.stroke(&stroke, width, color.opaque());
                canvas.stroke(&stroke, width * 0.25, color.times(1.2).with_alpha(0.5));
            }
        }
    }
    canvas
}

/// Cells around scattered sites, each of the colour of its place: facets, or panes between lead.
fn panes(rng: &mut Stream, source: Source<'_>, count: usize, lead: Option<Rgb>) -> Canvas {
    let (w, h) = source.size();
    let sites: Vec<[f32; 2]> =
        (0..count).map(|_| [rng.random_range(0.0..w), rng.random_range(0.0..h)]).collect();
    let tones: Vec<f32> = sites.iter().map(|_| rng.random_range(0.75..1.25)).collect();
    let leans: Vec<(f32, f32)> = sites.iter().map(|_| super::canvas::direction(rng)).collect();
    let colors: Vec<Rgb> = sites.iter().map(|[x, y]| source.around(*x, *y, source.unit() * 8.0)).collect();
    let grain = Noise(rng.random());
    let (width, unit) = (source.unit() * 2.2, source.unit());
    let place = |x: f32, y: f32| {
        let mut nearest = [(f32::INFINITY, 0); 2];
        for (i, [sx, sy]) in sites.iter().enumerate() {
            let far = (x - sx).powi(2) + (y - sy).powi(2);
            if far < nearest[0].0 {
                nearest = [(far, i), nearest[0]];
            } else if far < nearest[1].0 {
                nearest[1] = (far, i);
            }
        }
        (nearest[0].1, nearest[1].0.sqrt() - nearest[0].0.sqrt())
    };
    Canvas::from_fn(source.0.width(), source.0.height(), |x, y| {
        let (cell, edge) = place(x, y);
        let color = colors[cell];
        if let Some(lead) = lead {
            if edge < width {
                return lead.times(1.0 + edge / width);
            }
            let glow = 0.75 + 0.5 * grain.fractal(x / unit / 14.0, y / unit / 14.0, 3);
            return saturated(color, 2.2).times(1.25 * glow * tones[cell]);
        }
        // A facet is lit from one side.
        let ([sx, sy], (lx, ly)) = (sites[cell], leans[cell]);
        let shade = 1.0 + 0.016 * ((x - sx) * lx + (y - sy) * ly) / unit;
        let muted = saturated(color, 0.6).mix(Rgb([0.55, 0.45, 0.32]), 0.25);
        muted.times(tones[cell] * shade.clamp(0.6, 1.4) * if edge < unit { 0.7 } else { 1.0 })
    })
}

fn mosaic(rng: &mut Stream, source: Source<'_>) -> Canvas {
    let (w, h) = source.size();
    let mut canvas = source.canvas(Rgb([0.78, 0.74, 0.68]));
    let step = source.unit() * rng.random_range(6.0..8.0);
    let mut y = step * 0.5;
    while y < h + step {
        let mut x = step * 0.5;
        while x < w + step {
            let color = source.around(x, y, step * 0.5).times(rng.random_range(0.8..1.2));
            let (half, lean) = (step * 0.43, rng.random_range(-0.12..0.12) * step);
            let stone = polygon(&[
                [x - half + lean, y - half],
                [x + half, y - half + lean],
                [x + half - lean, y + half],
                [x - half, y + half - lean],
            ]);
            if let Some(stone) = stone {
                canvas.fill_gradient(
                    &stone,
                    ([x - half, y - half], color.times(1.15)),
                    ([x + half, y + half], color.times(0.85)),
                );
            }
            x += step;
        }
        y += step;
    }
    canvas
}

fn etching(rng: &mut Stream, source: Source<'_>) -> Canvas {
    let (paper, ink) = (Rgb([0.93, 0.89, 0.78]), Rgb([0.16, 0.12, 0.1]));
    let waver = Noise(rng.random());
    let unit = source.unit() * rng.random_range(2.6..3.4);
    Canvas::from_fn(source.0.width(), source.0.height(), |x, y| {
        let light = source.around(x, y, unit * 0.6).luma().powf(0.8);
        let wave = 1.2 * waver.value(x / unit / 7.0, y / unit / 7.0);
        let line = |u: f32, dark: f32| {
            let distance = ((u / unit + wave).rem_euclid(1.0) - 0.5).abs();
            ((dark * 0.55 - distance) * 5.0).clamp(0.0, 1.0)
        };
        let dark = 1.0 - light;
        let mut cover = line(x * 0.7 + y * 0.7, dark);
        if dark > 0.45 {
            cover = cover.max(line(x * 0.7 - y * 0.7, dark - 0.2));
        }
        if dark > 0.68 {
            cover = cover.max(line(y, dark - 0.4));
        }
        paper.mix(ink, cover)
    })
}

fn pop_art(rng: &mut Stream, source: Source<'_>) -> Canvas {
    let unit = source.unit() * rng.random_range(4.2..5.4);
    let turn: f32 = rng.random_range(0.2..0.6);
    let (cos, sin) = (turn.cos(), turn.sin());
    Canvas::from_fn(source.0.width(), source.0.height(), |x, y| {
        let color = saturated(source.around(x, y, unit * 0.5), 2.6);
        let flat = Rgb(color.0.map(|c| (c * 2.99).floor() / 2.0));
        let (u, v) = ((x * cos - y * sin) / unit, (x * sin + y * cos) / unit);
        let (du, dv) = (u.rem_euclid(1.0) - 0.5, v.rem_euclid(1.0) - 0.5);
        let dark = 1.0 - source.around(x, y, unit).luma();
        let (gx, gy) = source.slope(x, y, source.unit());
        if gx.abs() + gy.abs() > 0.3 {
            return Rgb::grey(0.05);
        }
        if (du * du + dv * dv).sqrt() < 0.5 * dark {
            flat.times(0.55)
        } else {
            flat.mix(Rgb::grey(1.0), 0.12)
        }
    })
}

fn watercolour(rng: &mut Stream, source: Source<'_>) -> Canvas {
    let (run, fibre) = (Noise(rng.random()), Noise(rng.random()));
    let unit = source.unit();
    let reach = unit * rng.random_range(5.0..8.0);
    Canvas::from_fn(source.0.width(), source.0.height(), |x, y| {
        let (u, v) = (x / unit, y / unit);
        let dx = (run.fractal(u / 11.0, v / 11.0, 3) - 0.5) * reach * 3.0;
        let dy = (run.fractal(u / 11.0 + 31.0, v / 11.0, 3) - 0.5) * reach * 3.0;
        let color = source.around(x + dx, y + dy, reach);
        let (gx, gy) = source.slope(x + dx, y + dy, reach * 0.6);
        let pooled = ((gx.abs() + gy.abs()) * 1.2).clamp(0.0, 0.35);
        let thin = 0.42 + 0.35 * run.fractal(u / 23.0, v / 23.0, 4);
        let paper = 0.965 + 0.05 * (fibre.fractal(u * 0.9, v * 0.9, 2) - 0.5);
        saturated(color, 1.25).mix(Rgb([paper, paper, paper * 0.97]), thin).times(1.08 - pooled)
    })
}
