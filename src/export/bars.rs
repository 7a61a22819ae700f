//! A chart of grouped bars with intervals, as SVG.

use std::path::Path;

use plotters::prelude::*;

use super::font;
use crate::error::{Error, Result};

/// A bar: its height and the interval around it, from 0 to 1.
pub type Bar = Option<(f64, [f64; 2])>;

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// Above the chart.
    pub title: String,
    /// Along the axis.
    pub groups: Vec<String>,
    /// A colour each: name, and a bar for each group.
    pub series: Vec<(String, Vec<Bar>)>,
    /// A line across, where something is to be compared with.
    pub level: Option<(String, f64)>,
}

/// Colours that people of any colour vision tell apart (Okabe and Ito 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
];

/// The chart; `path` is for messages.
///
/// # Errors
/// What cannot be drawn.
pub fn svg(bars: &Bars, path: &Path) -> Result<String> {
    font::register();
    let mut text = String::new();
    draw(bars, &mut text).map_err(|e| Error::format(path, "cannot draw the chart", e))?;
    Ok(text)
}

fn draw(bars: &Bars, text: &mut String) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let width = 160 + 150 * bars.groups.len().max(3) as u32;
    let root = SVGBackend::with_string(text, (width, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let count = bars.groups.len();
    let mut chart = ChartBuilder::on(&root)
        .caption(&bars.title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(52)
        .build_cartesian_2d(-0.5..count as f64 - 0.5, 0.0..1.0)?;
    let label = |x: &f64| {
        let place = x.round();
        if (x - place).abs() > 0.01 {
            return String::new();
        }
        bars.groups.get(place as usize).filter(|_| place >= 0.0).cloned().unwrap_or_default()
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(2 * count + 1)
        .x_label_formatter(&label)
        .y_labels(11)
        .y_label_formatter(&|y| format!("{:.0} %", 100.0 * y))
        .label_style(("sans-serif", 14))
        .draw()?;
    let each = 0.8 / bars.series.len().max(1) as f64;
    for (i, (name, values)) in bars.series.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let left = |group: usize| group as f64 - 0.4 + each * i as f64;
        let drawn = values.iter().enumerate().filter_map(|(group, bar)| bar.map(|bar| (group, bar)));
        let drawn: Vec<(usize, (f64, [f64; 2]))> = drawn.collect();
        chart
            .draw_series(drawn.iter().map(|(group, (height, _))| {
                Rectangle::new([(left(*group), 0.0), (left(*group) + each * 0.9, *height)], colour.filled())
            }))?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        chart.draw_series(drawn.iter().map(|(group, (_, [low, high]))| {
            let middle = left(*group) + each * 0.45;
            PathElement::new(vec![(middle, *low), (middle, *high)], BLACK.stroke_width(1))
        }))?;
    }
    if let Some((name, level)) = &bars.level {
        let ends = [(-0.5, *level), (count as f64 - 0.5, *level)];
        chart
            .draw_series(std::iter::once(PathElement::new(ends, BLACK.mix(0.6).stroke_width(1))))?
            .label(name)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 12, y)], BLACK.mix(0.6)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 14))
        .draw()?;
    drop(chart);
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_and_name_is_there() {
        let bars = Bars {
            title: "Accuracy".to_owned(),
            groups: vec!["normal".to_owned(), "bottleneck".to_owned()],
            series: vec![
                ("LIVR".to_owned(), vec![Some((0.9, [0.85, 0.95])), Some((0.8, [0.7, 0.9]))]),
                ("latents only".to_owned(), vec![Some((0.88, [0.8, 0.92])), None]),
            ],
            level: Some(("chance".to_owned(), 0.3)),
        };
        let text = svg(&bars, Path::new("chart.svg")).unwrap();
        for name in ["Accuracy", "normal", "bottleneck", "LIVR", "latents only", "chance"] {
            assert!(text.contains(name), "{name}");
        }
        let filled = |colour: &str| text.matches(&format!("fill=\"{colour}\"")).count();
        // Each bar, and the one of the legend.
        assert_eq!((filled("#0072B2"), filled("#E69F00")), (3, 2));
    }
}
