//! A layout as a picture and as a table, from the command line and from the window.

use std::path::Path;

use super::{ColourBy, Colours};
use crate::atomic;
use crate::engine::project::{StatePoint, StateScalar, States};
use crate::error::Result;
use crate::export::csv;
use crate::export::scatter::Scatter;

/// A layout, or those points of one that are to be seen.
#[derive(Clone, Copy)]
pub struct LayoutInHand<'a> {
    /// Which layer's.
    pub layer: usize,
    /// What each place is of.
    pub points: &'a [StatePoint],
    /// Where points are.
    pub places: &'a [[f32; 2]],
    /// Which are seen; all where nothing is said.
    pub shown: Option<&'a [bool]>,
}

impl LayoutInHand<'_> {
    fn seen(&self) -> impl Iterator<Item = (&StatePoint, [f32; 2])> {
        let is_seen = |i: &usize| self.shown.is_none_or(|shown| shown[*i]);
        (0..self.points.len()).filter(is_seen).map(|i| (&self.points[i], self.places[i]))
    }
}

/// As a picture.
pub fn pictured(layout: LayoutInHand<'_>, colour: ColourBy, states: &States) -> Scatter {
    let colours = Colours::new(colour, states, layout.points, false);
    let points: Vec<_> = layout.seen().map(|(point, place)| (place, colours.of(point))).collect();
    Scatter {
        title: format!("Layer {}, {} points", layout.layer, points.len()),
        points,
        legend: colours.legend(),
    }
}

/// As a table: a line for each point of each layout.
///
/// # Errors
/// Another ending than .csv, a disk that cannot be written.
pub fn write_table(path: &Path, states: &States, layouts: &[LayoutInHand<'_>]) -> Result<()> {
    csv::check_ending(path)?;
    atomic::write(path, |out| {
        writeln!(out, "x,y,layer,role,index,sample,task,correct,length,attended,certainty")?;
        for layout in layouts {
            for (point, [x, y]) in layout.seen() {
                let sample = &states.samples()[point.sample as usize];
                let role = point.kept.role.in_figures();
                let (layer, index) = (layout.layer, point.kept.index);
                // Ids and tasks are whatever a data file says.
                let [id, task] = [&sample.id, &sample.task].map(|text| csv::quoted(text));
                let [length, attended, certainty] =
                    [StateScalar::Length, StateScalar::Attended, StateScalar::Certainty].map(|scalar| {
                        let value = sample.scalar(scalar, point.layer, point.kept.token);
                        value.map_or_else(String::new, |value| value.to_string())
                    });
                let correct = sample.correct;
                writeln!(
                    out,
                    "{x},{y},{layer},{role},{index},{id},{task},{correct},{length},{attended},{certainty}"
                )?;
            }
        }
        Ok(())
    })
}
