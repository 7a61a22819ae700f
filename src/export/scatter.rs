//! A layout of points as a picture: SVG, PDF or PNG, by the ending of its file.

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{font, pdf};
use crate::atomic;
use crate::error::{Error, Result};

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Scatter {
    /// Above the layout.
    pub title: String,
    /// In the order they are drawn: each point's place and colour.
    pub points: Vec<([f32; 2], [u8; 3])>,
    /// Names with their colours.
    pub legend: Vec<(String, [u8; 3])>,
}

/// Pixels on a side.
const SIDE: u32 = 1200;

/// Writes the picture.
///
/// # Errors
/// Another ending than .svg, .pdf or .png, a disk that cannot be written.
pub fn write(scatter: &Scatter, path: &Path) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::format(path, "cannot draw the layout", e);
    let svg = || -> Result<String> {
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, (SIDE, SIDE)).into_drawing_area();
        draw(scatter, &area).map_err(|e| failed(&e))?;
        drop(area);
        Ok(text)
    };
    match ending(path)? {
        ScatterFormat::Svg => {
            let text = svg()?;
            atomic::write(path, |out| out.write_all(text.as_bytes()))
        }
        ScatterFormat::Pdf => {
            let bytes = pdf::of_svg(&svg()?).map_err(|e| failed(&e))?;
            atomic::write(path, |out| out.write_all(&bytes))
        }
        ScatterFormat::Png => {
            let mut pixels = vec![0u8; (SIDE * SIDE * 3) as usize];
            let area = BitMapBackend::with_buffer(&mut pixels, (SIDE, SIDE)).into_drawing_area();
            draw(scatter, &area).map_err(|e| failed(&e))?;
            drop(area);
            let image = RgbImage::from_raw(SIDE, SIDE, pixels).expect("three bytes a pixel");
            let mut bytes = Cursor::new(Vec::new());
            image.write_to(&mut bytes, ImageFormat::Png).map_err(|e| failed(&e))?;
            atomic::write(path, |out| out.write_all(bytes.get_ref()))
        }
    }
}

/// A kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScatterFormat {
    /// Scalable.
    Svg,
    /// Scalable, for a paper.
    Pdf,
    /// Pixels.
    Png,
}

/// The kind that a file's name asks for.
///
/// # Errors
/// Another ending.
pub fn ending(path: &Path) -> Result<ScatterFormat> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "svg" => Ok(ScatterFormat::Svg),
        "pdf" => Ok(ScatterFormat::Pdf),
        "png" => Ok(ScatterFormat::Png),
        _ => {
            let expected = "an ending of .svg, .pdf or .png";
            Err(Error::field(path, "the picture's name", expected, format!("{ending:?}")))
        }
    }
}

fn draw<B: DrawingBackend>(
    scatter: &Scatter,
    area: &DrawingArea<B, Shift>,
) -> std::result::Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    const EDGE: i32 = 40;
    const LINE: i32 = 26;
    font::register();
    area.fill(&WHITE)?;
    area.draw(&Text::new(scatter.title.clone(), (EDGE, 12), ("sans-serif", 24).into_font()))?;
    let top = EDGE + 12;
    let room = SIDE as i32 - 2 * EDGE;
    let bound = |axis: usize| {
        let values = scatter.points.iter().map(|(place, _)| place[axis]);
        values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let ((left, right), (low, high)) = (bound(0), bound(1));
    let scale = room as f32 / (right - left).max(high - low).max(1e-6);
    // Fewer and larger, or many and small.
    let radius = (220.0 / (scatter.points.len().max(1) as f32).sqrt()).clamp(1.5, 6.0) as i32;
    for (place, [r, g, b]) in &scatter.points {
        let x = EDGE + ((place[0] - left) * scale) as i32;
        // Up on the layout is up on the page.
        let y = top + ((high - place[1]) * scale) as i32;
        area.draw(&Circle::new((x, y), radius, RGBColor(*r, *g, *b).mix(0.7).filled()))?;
    }
    for (i, (name, [r, g, b])) in scatter.legend.iter().enumerate() {
        let y = SIDE as i32 - EDGE - LINE * (scatter.legend.len() - i) as i32;
        area.draw(&Circle::new((EDGE, y), 7, RGBColor(*r, *g, *b).filled()))?;
        area.draw(&Text::new(name.clone(), (EDGE + 16, y - 10), ("sans-serif", 20).into_font()))?;
    }
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Scatter {
        Scatter {
            title: "Layer 3".to_owned(),
            points: vec![([0.0, 0.0], [255, 0, 0]), ([4.0, 1.0], [0, 0, 255]), ([2.0, 3.0], [0, 160, 0])],
            legend: vec![("latent".to_owned(), [255, 0, 0])],
        }
    }

    #[test]
    fn a_picture_has_its_points_and_its_legend() {
        let dir = tempfile::tempdir().unwrap();
        write(&three(), &dir.path().join("layout.svg")).unwrap();
        let text = std::fs::read_to_string(dir.path().join("layout.svg")).unwrap();
        assert_eq!(text.matches("<circle").count(), 4);
        assert!(text.contains("Layer 3") && text.contains("latent") && text.contains("#FF0000"));
        write(&three(), &dir.path().join("layout.png")).unwrap();
        let image = image::open(dir.path().join("layout.png")).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (SIDE, SIDE));
        let reddish = image.pixels().filter(|p| p.0[0] > 200 && p.0[1] < 100 && p.0[2] < 100).count();
        let dark = image.pixels().filter(|p| p.0.iter().all(|v| *v < 100)).count();
        assert!(reddish > 50 && dark > 20, "{reddish} {dark}");
        write(&three(), &dir.path().join("layout.pdf")).unwrap();
        assert!(std::fs::read(dir.path().join("layout.pdf")).unwrap().starts_with(b"%PDF-"));
    }

    #[test]
    fn another_ending_is_refused() {
        let said = write(&three(), Path::new("layout.jpeg")).unwrap_err().to_string();
        assert!(said.contains("expected an ending of .svg, .pdf or .png"), "{said}");
        let nothing = Scatter { points: Vec::new(), ..three() };
        let dir = tempfile::tempdir().unwrap();
        write(&nothing, &dir.path().join("none.svg")).unwrap();
    }
}
