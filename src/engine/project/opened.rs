//! Layouts that `livr project` wrote, with the states they were made of.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::ids::ModelId;
use super::layers::Layout;
use super::measures::Measures;
use super::order::{Collected, DataChoice, in_order_of};
use super::plan::{StatesPlan, is_of_states};
use super::store::{Sampled, StatePoint, States};
use crate::data::record::Record;
use crate::error::{Error, Result};
use crate::export::layout_file::{self, LayoutFile, PointOrigin};
use crate::projection::{Quality, Seconds};

/// What files say of whose states they are, under which names.
pub const MODEL: &str = "model";
/// Of whose samples.
pub const DATA: &str = "data";
/// Of which of them.
pub const SAMPLES: &str = "samples";

/// As layout files have a point.
pub fn origin_of(point: &StatePoint) -> PointOrigin {
    PointOrigin {
        role: point.kept.role.code(),
        sample: i64::from(point.sample),
        index: i64::from(point.kept.index),
        layer: i64::from(point.layer),
    }
}

/// Opens a file of layouts with the folder of states beside it, of the same name with the ending `.states`. Samples are read
/// where the data file is as it was, or lies beside the layouts.
///
/// # Errors
/// A file that is no layout of a data set's states, no folder of states beside it, states of other points.
pub fn open_layouts(path: &Path) -> Result<(Arc<Collected>, Vec<Arc<Layout>>)> {
    let file = layout_file::read(path)?;
    if file.marks.is_empty() {
        let expected = "role, sample, index and layer of each point, of a layout of a data set's states";
        return Err(Error::field(path, "tensors", expected, "places only"));
    }
    let folder = path.with_extension("states");
    if !is_of_states(&folder) {
        return Err(Error::Missing { what: "folder of the layout's states".to_owned(), path: folder });
    }
    let wanted: HashSet<String> =
        said::<Vec<SampleId>>(&file, path, SAMPLES)?.into_iter().map(|own| own.id).collect();
    let states = States::open(&folder)?.filtered(|sample| wanted.contains(&sample.id));
    let layouts = layouts(&file, path, &states)?;
    // Files of earlier versions do not say.
    let model: Option<ModelId> = said(&file, path, MODEL).ok();
    let data: Option<DataChoice> = said(&file, path, DATA).ok().and_then(|own| found(own, path));
    let data = data.and_then(|data| Some((of_samples(data.records().ok()?, &states), data)));
    let (records, data) = data.map_or_else(Default::default, |(own, data)| (own, Some(data)));
    let records = in_order_of(&states, &records);
    let plan = StatesPlan::read(&folder)?;
    Ok((Arc::new(Collected { model, data, folder, plan, states, records }), layouts))
}

/// What counts here of a sample.
#[derive(Deserialize)]
struct SampleId {
    id: String,
}

fn said<T: DeserializeOwned>(file: &LayoutFile, path: &Path, name: &str) -> Result<T> {
    let Some(text) = file.metadata.get(name) else {
        return Err(Error::field(path, name, "metadata of livr project", "none"));
    };
    serde_json::from_str(text)
        .map_err(|problem| Error::field(path, name, "metadata of livr project", problem.to_string()))
}

/// One of each layout, or the only one.
fn each<T: DeserializeOwned>(file: &LayoutFile, path: &Path, name: &str, count: usize) -> Result<Vec<T>> {
    let all: Vec<T> = if count == 1 { vec![said(file, path, name)?] } else { said(file, path, name)? };
    if all.len() == count {
        return Ok(all);
    }
    Err(Error::field(path, name, format!("one of each of {count} layers"), all.len().to_string()))
}

fn layouts(file: &LayoutFile, path: &Path, states: &States) -> Result<Vec<Arc<Layout>>> {
    let of_layers: Vec<&[PointOrigin]> = file.marks.chunk_by(|a, b| a.layer == b.layer).collect();
    let count = of_layers.len();
    let divergences: Vec<f64> = each(file, path, "kl", count)?;
    let qualities: Vec<Quality> = each(file, path, "quality", count)?;
    let measures: Vec<Measures> = each(file, path, "measures", count)?;
    let seconds: Vec<Seconds> = each(file, path, "seconds", count)?;
    let mut layouts = Vec::with_capacity(count);
    let mut first = 0;
    for (i, (marks, measures)) in of_layers.into_iter().zip(measures).enumerate() {
        let layer = usize::try_from(marks[0].layer).unwrap_or(usize::MAX);
        let points = states.at_layer(layer).points().to_vec();
        if !points.iter().map(origin_of).eq(marks.iter().copied()) {
            let expected = format!("the {} points of the states beside it", points.len());
            let found = format!("{} points that are others", marks.len());
            return Err(Error::field(path, format!("layer {layer}"), expected, found));
        }
        let places = Arc::new(file.places[first..][..marks.len()].to_vec());
        first += marks.len();
        layouts.push(Arc::new(Layout {
            layer,
            points,
            places,
            divergence: divergences[i],
            quality: qualities[i],
            measures,
            seconds: seconds[i],
        }));
    }
    Ok(layouts)
}

/// The data file where it was, or beside the layouts; nothing where it is in neither place.
fn found(data: DataChoice, layouts: &Path) -> Option<DataChoice> {
    let DataChoice::File(data) = data else { return Some(data) };
    let beside = data.file_name().map(|name| layouts.with_file_name(name));
    let at = std::iter::once(data).chain(beside).find(|path| path.is_file());
    at.map(DataChoice::File)
}

/// Those records that are still what states were kept of, by their tasks and targets.
fn of_samples(mut records: Vec<Record>, states: &States) -> Vec<Record> {
    let of = |sample: &'_ Sampled| (sample.id.clone(), sample.task.clone(), sample.target.clone());
    let kept: HashSet<(String, String, String)> = states.samples().iter().map(of).collect();
    records.retain(|own| kept.contains(&(own.id.clone(), own.task.clone(), own.target.clone())));
    records
}
