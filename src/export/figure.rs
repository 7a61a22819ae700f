//! Pictures under their maps as one figure, labelled: PNG, SVG or PDF, by the ending of its file.

use std::fmt::Display;
use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::{ImageFormat, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{font, pdf};
use crate::atomic;
use crate::error::{Error, Result};

/// Pixels of a figure at most.
pub const MOST_PIXELS: u64 = 400_000_000;

/// What is drawn.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Above all.
    pub title: String,
    /// Below the title.
    pub subtitle: String,
    /// Pictures with what stands below each, all of one size, in reading order.
    pub panels: Vec<(String, RgbImage)>,
    /// Pictures in a row.
    pub columns: usize,
    /// The scale of the colours: from, to, and the colours in between.
    pub scale: (String, String, Vec<[u8; 3]>),
}

/// A kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureFormat {
    /// Pixels.
    Png,
    /// Scalable, pictures within.
    Svg,
    /// One page.
    Pdf,
}

/// The kind that a file's name asks for.
///
/// # Errors
/// Another ending.
pub fn ending(path: &Path) -> Result<FigureFormat> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "png" => Ok(FigureFormat::Png),
        "svg" => Ok(FigureFormat::Svg),
        "pdf" => Ok(FigureFormat::Pdf),
        _ => {
            let found = format!("{ending:?}");
            Err(Error::field(path, "the figure's name", "an ending of .png, .svg or .pdf", found))
        }
    }
}

/// Writes the figure.
///
/// # Errors
/// Another ending, a disk that cannot be written, a figure too large to draw.
pub fn write(figure: &Figure, path: &Path) -> Result<()> {
    let failed = |e: &dyn Display| Error::format(path, "cannot draw the figure", e);
    let ending = ending(path)?;
    let places = Places::new(figure);
    let (width, height) = places.size;
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(failed(&format!("{width} x {height} pixels are more than {MOST_PIXELS}")));
    }
    let bytes = match ending {
        FigureFormat::Png => png_of(figure, &places).map_err(|e| failed(&e))?,
        FigureFormat::Svg => svg_of(figure, &places).map_err(|e| failed(&e))?.into_bytes(),
        FigureFormat::Pdf => {
            let svg = svg_of(figure, &places).map_err(|e| failed(&e))?;
            pdf::of_svg(&svg).map_err(|e| failed(&e))?
        }
    };
    atomic::write(path, |out| out.write_all(&bytes))
}

/// Where everything lies, in pixels.
struct Places {
    size: (u32, u32),
    /// Height of letters.
    letter: i32,
    edge: i32,
    /// The title, in as many lines as it takes.
    title: Vec<String>,
    /// Left upper corner of each picture.
    pictures: Vec<(i32, i32)>,
    /// Left upper corner and size of the scale's colours.
    scale: (i32, i32, i32, i32),
}

impl Places {
    fn new(figure: &Figure) -> Self {
        let (width, height) = figure.panels.first().map_or((1, 1), |(_, picture)| picture.dimensions());
        let (width, height) = (width as i32, height as i32);
        let letter = (width / 14).clamp(11, 48);
        let edge = letter * 3 / 2;
        let columns = figure.columns.clamp(1, figure.panels.len().max(1)) as i32;
        let room = (columns * (width + letter) - letter).max(letter * 21);
        let title = wrapped(&figure.title, letter * 5 / 4, room);
        let top = edge + letter * 3 / 2 * title.len() as i32 + letter * 2;
        let (step_x, step_y) = (width + letter, height + letter * 5 / 2);
        let place = |i: i32| (edge + i % columns * step_x, top + i / columns * step_y);
        let rows = (figure.panels.len() as i32 + columns - 1) / columns;
        let bottom = top + rows * step_y;
        let scale = (edge, bottom, room.min(letter * 16), letter);
        Self {
            size: ((room + 2 * edge) as u32, (bottom + letter * 3 + edge) as u32),
            pictures: (0..figure.panels.len() as i32).map(place).collect(),
            letter,
            edge,
            title,
            scale,
        }
    }
}

/// A text in lines of letters of this size; letters are about half as wide as high.
fn wrapped(text: &str, size: i32, room: i32) -> Vec<String> {
    let most = (room * 2 / size).max(8) as usize;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("begun above");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > most {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

fn png_of(figure: &Figure, places: &Places) -> std::result::Result<Vec<u8>, String> {
    let (width, height) = places.size;
    let mut pixels = vec![0u8; width as usize * height as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, places.size).into_drawing_area();
        draw(figure, places, &area).map_err(|e| e.to_string())?;
        for ((_, picture), place) in figure.panels.iter().zip(&places.pictures) {
            let buffer = picture.as_raw().clone();
            let element = BitMapElement::with_owned_buffer(*place, picture.dimensions(), buffer);
            area.draw(&element.ok_or("a picture has no pixels")?).map_err(|e| e.to_string())?;
        }
        area.present().map_err(|e| e.to_string())?;
    }
    encoded(&RgbImage::from_raw(width, height, pixels).expect("three bytes a pixel"))
}

fn encoded(image: &RgbImage) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).map_err(|e| e.to_string())?;
    Ok(bytes.into_inner())
}

/// Text and colours by plotters, pictures put in beside them: its own way with pictures is a square for each pixel.
fn svg_of(figure: &Figure, places: &Places) -> std::result::Result<String, String> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, places.size).into_drawing_area();
    draw(figure, places, &area).map_err(|e| e.to_string())?;
    area.present().map_err(|e| e.to_string())?;
    drop(area);
    let end = text.rfind("</svg>").ok_or("the drawing does not end")?;
    text.truncate(end);
    for ((_, picture), (x, y)) in figure.panels.iter().zip(&places.pictures) {
        let (width, height) = picture.dimensions();
        let data = BASE64_STANDARD.encode(encoded(picture)?);
        let picture = format!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" href=\"data:image/png;base64,{data}\"/>\n"
        );
        text.push_str(&picture);
    }
    Ok(text + "</svg>\n")
}

fn draw<B: DrawingBackend>(
    figure: &Figure,
    places: &Places,
    area: &DrawingArea<B, Shift>,
) -> std::result::Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    font::register();
    area.fill(&WHITE)?;
    let Places { letter, edge, .. } = *places;
    let write = |text: &str, at: (i32, i32), size: i32| {
        area.draw(&Text::new(text.to_owned(), at, ("sans-serif", size).into_font()))
    };
    // What does not fit on a line is cut off; letters are about half as wide as high.
    let fitting = |text: &str, size: i32, room: i32| -> String {
        let most = (room * 2 / size).max(4) as usize;
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if one_line.chars().count() <= most {
            return one_line;
        }
        one_line.chars().take(most - 1).collect::<String>() + "…"
    };
    let room = places.size.0 as i32 - 2 * edge;
    let line = letter * 3 / 2;
    for (i, text) in places.title.iter().enumerate() {
        write(text, (edge, edge + i as i32 * line), letter * 5 / 4)?;
    }
    let below = edge + places.title.len() as i32 * line + letter / 4;
    write(&fitting(&figure.subtitle, letter, room), (edge, below), letter)?;
    for ((label, picture), (x, y)) in figure.panels.iter().zip(&places.pictures) {
        let (width, height) = picture.dimensions();
        write(&fitting(label, letter, width as i32), (*x, y + height as i32 + letter / 3), letter)?;
    }
    let (x, y, width, height) = places.scale;
    let (from, to, colours) = &figure.scale;
    for (i, [r, g, b]) in colours.iter().enumerate() {
        let at = |i: usize| x + (width as usize * i / colours.len()) as i32;
        area.draw(&Rectangle::new([(at(i), y), (at(i + 1), y + height)], RGBColor(*r, *g, *b).filled()))?;
    }
    write(from, (x, y + height + letter / 3), letter)?;
    area.draw(&Text::new(
        to.clone(),
        (x + width - (to.chars().count() as i32 * letter) / 2, y + height + letter / 3),
        ("sans-serif", letter).into_font(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure() -> Figure {
        let picture = |r: u8| RgbImage::from_pixel(120, 80, image::Rgb([r, 40, 90]));
        Figure {
            title: "How many cups?".to_owned(),
            subtitle: "mean over 8 layers".to_owned(),
            panels: (0..5).map(|i| (format!("latent {i}"), picture(40 * i as u8))).collect(),
            columns: 3,
            scale: ("0".to_owned(), "4 x uniform".to_owned(), vec![[0, 0, 0], [255, 255, 255]]),
        }
    }

    #[test]
    fn a_figure_has_its_pictures_in_every_format() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["f.png", "f.svg", "f.pdf"] {
            write(&figure(), &at(name)).unwrap();
        }
        let png = image::open(at("f.png")).unwrap().into_rgb8();
        let places = Places::new(&figure());
        assert_eq!(png.dimensions(), places.size);
        for (i, (x, y)) in places.pictures.iter().enumerate() {
            assert_eq!(png.get_pixel(*x as u32 + 60, *y as u32 + 40).0, [40 * i as u8, 40, 90]);
        }
        let svg = std::fs::read_to_string(at("f.svg")).unwrap();
        assert_eq!(svg.matches("<image ").count(), 5);
        assert!(svg.contains("latent 4") && svg.contains("4 x uniform"));
        let pdf = std::fs::read(at("f.pdf")).unwrap();
        assert!(pdf.starts_with(b"%PDF"));
        let count = pdf.windows(b"/Subtype /Image".len()).filter(|part| part == b"/Subtype /Image").count();
        assert_eq!(count, 5);
    }

    #[test]
    fn a_long_question_takes_several_lines() {
        let lines =
            wrapped("Which point on the second image shows the same as the one on the first?", 20, 300);
        assert!(lines.len() >= 2 && lines.iter().all(|line| line.chars().count() <= 30), "{lines:?}");
        assert_eq!(
            lines.join(" "),
            "Which point on the second image shows the same as the one on the first?"
        );
    }

    #[test]
    fn another_ending_is_refused() {
        let problem = write(&figure(), Path::new("f.bmp")).unwrap_err().to_string();
        assert!(problem.contains("expected an ending of .png, .svg or .pdf, found \"bmp\""), "{problem}");
    }
}
