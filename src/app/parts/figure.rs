//! Figures of maps: which of them, of which runs, how large, in how many columns.

use std::sync::Arc;

use image::RgbImage;
use image::imageops::FilterType;

use super::chain::InSight;
use super::view::{FigureForm, MOST_COLUMNS, PICTURE_WIDTHS};
use crate::analysis::maps::GridMap;
use crate::analysis::normalise::Range;
use crate::analysis::query::{Query, Selection};
use crate::app::kit::sheet;
use crate::app::kit::words::{query_name, signed, visible};
use crate::data::picture::Picture;
use crate::export::figure::{Figure, MOST_PIXELS};
use crate::render::blend::{ColourMap, OverlayStyle, compose};

/// Colours that stand for all of a scale.
pub const STEPS: usize = 64;

/// The colours of a scale, from its lower end.
pub fn colours(map: ColourMap) -> Vec<[u8; 3]> {
    (0..STEPS).map(|i| map.at(i as f32 / (STEPS - 1) as f32)).collect()
}

/// What stands at the ends of the scale of an image under a query's map.
pub fn ends(shown: InSight<'_>, query: usize, range: Range, image: usize) -> Option<(String, String)> {
    let [low, high] = [range.low, range.high].map(|value| shown.times_uniform(query, value));
    let written =
        |value: f32| if shown.rows.is_difference() { signed(value, 2) } else { format!("{value:.2}") };
    let low = if low == 0.0 { "0".to_owned() } else { written(low) };
    // What is above takes the last colour too.
    let most = shown.maps.maps[query][image].values.iter().copied().fold(0.0, f32::max);
    let beyond = if most > range.high { "≥ " } else { "" };
    Some((low, format!("{beyond}{} x uniform", written(high))))
}

/// One picture of the figure, to be made elsewhere.
struct Panel {
    label: String,
    /// What stands at the ends of each image's scale; none without maps.
    ends: Vec<(String, String)>,
    maps: Option<Vec<(GridMap, Range)>>,
}

/// The scale of a figure: where pictures have several, each says its own, and the bar only what the colours mean.
fn scale(panels: &mut [Panel]) -> (String, String) {
    let mut all: Vec<&(String, String)> = panels.iter().flat_map(|panel| &panel.ends).collect();
    all.sort();
    all.dedup();
    if let [one] = all[..] {
        return one.clone();
    }
    for panel in panels.iter_mut().filter(|panel| !panel.ends.is_empty()) {
        let mut own = panel.ends.clone();
        own.dedup();
        let short = |(low, high): &(String, String)| {
            let high = high.trim_start_matches("≥ ").trim_end_matches(" uniform");
            if low == "0" { format!("to {high}") } else { format!("{low} to {high}") }
        };
        let own: Vec<String> = own.iter().map(short).collect();
        panel.label = format!("{}, {}", panel.label, own.join(", "));
    }
    ("least of each".to_owned(), "most of each, as said below it, x uniform".to_owned())
}

/// A run of a figure, and what it is called beside others; nothing where it is alone.
pub struct RunOfFigure<'a> {
    /// Its name.
    pub name: String,
    /// Its maps.
    pub shown: InSight<'a>,
}

/// What a figure shows.
pub struct FigureOf<'a> {
    /// Of one sample, at least one.
    pub runs: &'a [RunOfFigure<'a>],
    /// Which maps, how large.
    pub form: &'a FigureForm,
    /// Which layers and heads they are of.
    pub selection: Selection,
    /// How maps lie over images.
    pub style: OverlayStyle,
}

impl FigureOf<'_> {
    /// The figure; the closure makes it, which takes a while.
    ///
    /// # Errors
    /// Latents that there are not, more pictures than memory holds.
    pub fn prepared(&self) -> Result<impl FnOnce() -> Figure + Send + use<>, String> {
        let first =
            &self.runs.first().ok_or("Ask first: a figure shows the maps of an answer")?.shown.rows.run;
        let form = self.form;
        let mut panels = Vec::new();
        if form.plain {
            panels.push(Panel { label: "no map".to_owned(), ends: Vec::new(), maps: None });
        }
        for run in self.runs {
            for index in chosen(run.shown, &form.queries)? {
                panels.push(panel(run, index));
            }
        }
        let (images, style) = (first.request.sample.images.clone(), self.style);
        let (title, width, columns) = (first.request.sample.prompt.clone(), form.width, form.columns);
        // Before it is drawn: it would not fit into memory.
        let across: f64 =
            images.iter().map(|image| f64::from(image.size().0) / f64::from(image.size().1)).sum();
        let pixels = panels.len() as f64 * f64::from(width).powi(2) * (1.0 / across).min(4.0);
        if pixels > MOST_PIXELS as f64 {
            return Err(format!(
                "{} pictures of {width} pixels are too many: take fewer or smaller ones",
                panels.len()
            ));
        }
        let (low, high) = scale(&mut panels);
        let scale = (low, high, colours(style.colour_map));
        let subtitle = self.subtitle();
        Ok(move || {
            let size = (width.clamp(*PICTURE_WIDTHS.start(), *PICTURE_WIDTHS.end()), None);
            let drawn = panels
                .into_iter()
                .map(|panel| (panel.label, side_by_side(&images, panel.maps.as_deref(), style, size)));
            Figure {
                title,
                subtitle,
                panels: drawn.collect(),
                columns: columns.clamp(1, MOST_COLUMNS),
                scale,
            }
        })
    }

    fn subtitle(&self) -> String {
        let run = &self.runs[0].shown.rows.run.trace;
        let (layers, heads) = run.attention_dims();
        let maps = self.selection.describe(layers, heads);
        let looks = run.condition.looks();
        let answers: Vec<String> = self
            .runs
            .iter()
            .map(|own| {
                if own.name.is_empty() {
                    format!("answer: {}", own.shown.rows.run.trace.answer)
                } else {
                    format!("{} answers {}", own.name, own.shown.rows.run.trace.answer)
                }
            })
            .collect();
        let answers = answers.join(", ");
        format!("{} · {maps} · {looks} · {answers} · %: attention on the images", run.model_name())
    }
}

fn panel(run: &RunOfFigure<'_>, index: usize) -> Panel {
    let shown = run.shown;
    let maps = &shown.maps.maps[index];
    let mass: f32 = maps.iter().map(GridMap::mass).sum();
    let query = match shown.rows.queries[index] {
        Query::Answer(i) => {
            let tokens = &shown.rows.run.trace.generated;
            format!("\"{}\"", visible(tokens.get(i).map_or("", |token| &token.text)))
        }
        query @ Query::Latent(_) => query_name(query),
    };
    let ranges = &shown.ranges[index];
    let ends = ranges.iter().enumerate().filter_map(|(image, range)| ends(shown, index, *range, image));
    let maps = maps.iter().cloned().zip(ranges.iter().copied()).collect();
    let of = if run.name.is_empty() { String::new() } else { format!("{}: ", run.name) };
    Panel { label: format!("{of}{query}, {:.1} %", 100.0 * mass), ends: ends.collect(), maps: Some(maps) }
}

/// Pixels across that a clipboard can be asked to hold.
const LARGEST: f64 = 8192.0;

/// The images of a run under the map in hand, at their own size.
pub fn composed(shown: InSight<'_>, style: OverlayStyle) -> Option<RgbImage> {
    let images = &shown.rows.run.request.sample.images;
    let maps: Vec<_> =
        shown.maps.maps[shown.query].iter().cloned().zip(shown.ranges[shown.query].iter().copied()).collect();
    let across: f64 = images.iter().map(|image| f64::from(image.size().0) / f64::from(image.size().1)).sum();
    let height =
        images.iter().map(|image| image.size().1).max()?.min(2048).min((LARGEST / across) as u32).max(1);
    Some(side_by_side(images, Some(&maps), style, (u32::MAX, Some(height))))
}

/// Images of one height beside each other, each under its map, together as wide as `width` or as high as said.
fn side_by_side(
    images: &[Arc<Picture>],
    maps: Option<&[(GridMap, Range)]>,
    style: OverlayStyle,
    (width, height): (u32, Option<u32>),
) -> RgbImage {
    const GAP: u32 = 4;
    let gaps = GAP * (images.len().max(1) - 1) as u32;
    let aspect = |image: &Arc<Picture>| f64::from(image.size().0) / f64::from(image.size().1.max(1));
    let total: f64 = images.iter().map(aspect).sum();
    // A very high picture is narrower than asked for, rather than of a size that no memory holds.
    let highest = width.saturating_mul(4);
    let height =
        height.unwrap_or_else(|| (f64::from(width.saturating_sub(gaps)) / total).round().max(1.0) as u32);
    let height = height.min(highest);
    let widths: Vec<u32> =
        images.iter().map(|image| (f64::from(height) * aspect(image)).round().max(1.0) as u32).collect();
    let drawn = images.iter().zip(widths).enumerate().map(|(i, (image, width))| {
        let picture = image::imageops::resize(&image.pixels, width, height, FilterType::Triangle);
        match maps.and_then(|maps| maps.get(i)) {
            Some((map, range)) => compose(&picture, map, *range, &style),
            None => picture,
        }
    });
    sheet::side_by_side(&drawn.collect::<Vec<_>>(), GAP, 255)
}

/// Places of the queries that a text names: `all` latents, `shown`, `answer`, numbers of latents as `0-3, 8`.
fn chosen(shown: InSight<'_>, text: &str) -> Result<Vec<usize>, String> {
    let queries = &shown.rows.queries;
    let of_kind = |latents: bool| {
        let is_meant = move |i: &usize| matches!(queries[*i], Query::Latent(_)) == latents;
        (0..queries.len()).filter(is_meant).collect::<Vec<_>>()
    };
    let latents = of_kind(true);
    let mut found = Vec::new();
    for part in text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty()) {
        match part {
            "all" if latents.is_empty() => found.extend(of_kind(false)),
            "all" => found.extend(&latents),
            "shown" => found.push(shown.query),
            "answer" => found.extend(of_kind(false)),
            range => {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let number = |text: &str| text.trim().parse::<usize>().ok().filter(|i| *i < latents.len());
                match (number(first), number(last)) {
                    (Some(first), Some(last)) if first <= last => found.extend(&latents[first..=last]),
                    _ => {
                        return Err(format!(
                            "Maps of: expected all, shown, answer or latents below {}, found {part}",
                            latents.len()
                        ));
                    }
                }
            }
        }
    }
    if found.is_empty() {
        return Err("Maps of: expected all, shown, answer or numbers of latents, found nothing".to_owned());
    }
    Ok(found)
}
