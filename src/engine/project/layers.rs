//! A layout of each layer, turned so that one can go through layers and watch points move.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::measures::Measures;
use super::store::{StatePoint, States};
use crate::error::{Error, Result};
use crate::progress::Observer;
use crate::projection::align::onto;
use crate::projection::rows::Rows;
use crate::projection::{Options, Quality, Seconds, prepare};

/// The layout of a layer.
#[derive(Debug, Clone)]
pub struct Layout {
    /// 0 is the embedding, i + 1 the output of layer i, L after the final norm.
    pub layer: usize,
    /// What each place is of.
    pub points: Vec<StatePoint>,
    /// [P].
    pub places: Arc<Vec<[f32; 2]>>,
    /// KL(P || Q).
    pub divergence: f64,
    /// How much of the neighbourhoods it keeps.
    pub quality: Quality,
    /// What the states say besides.
    pub measures: Measures,
    /// By stage.
    pub seconds: Seconds,
}

/// What happens while layouts are made.
pub enum Happening<'a> {
    /// The layout of this layer has moved.
    Moved(usize, &'a [[f64; 2]]),
    /// The layout of a layer is there.
    Made(&'a Layout),
}

/// Layouts of these layers, each begun where the one before it ended, or at the other layout of the same layer where there is
/// one, and then turned, mirrored and moved onto it (orthogonal Procrustes, Schönemann 1966): points that stay what they
/// are stay where they are.
///
/// # Errors
/// A layer without states, too few points, a stop.
pub fn lay_out_layers(
    states: &States,
    layers: &[usize],
    others: &BTreeMap<usize, Vec<[f32; 2]>>,
    options: &Options,
    observer: &dyn Observer,
    told: &mut dyn FnMut(Happening<'_>),
) -> Result<Vec<Layout>> {
    let mut layouts: Vec<Layout> = Vec::new();
    for layer in layers {
        let chosen = states.at_layer(*layer);
        if chosen.count() == 0 {
            return Err(Error::Request(format!(
                "layer: expected one of {:?} with tokens of the roles asked for, found {layer}",
                states.layers()
            )));
        }
        let prepared = prepare(&chosen, options, observer)?;
        let other = others.get(layer).map(Vec::as_slice);
        let before = other.or_else(|| layouts.last().map(|layout| &layout.places[..]));
        let mut result =
            prepared.map(options, before, observer, &mut |map| told(Happening::Moved(*layer, map)))?;
        if let Some(before) = before {
            onto(&mut result.places, before);
        }
        let groups: Vec<u32> = chosen.points().iter().map(|point| point.kept.role.code() as u32).collect();
        let yardstick = prepared.yardstick(&chosen, observer)?;
        let quality = prepared.quality(&chosen, &yardstick, &result.places, &groups, observer)?;
        let measures = Measures::new(states, &chosen, &prepared, &yardstick, options.seed, observer)?;
        let layout = Layout {
            layer: *layer,
            points: chosen.points().to_vec(),
            places: Arc::new(result.places),
            divergence: result.divergence,
            quality,
            measures,
            seconds: result.seconds,
        };
        told(Happening::Made(&layout));
        layouts.push(layout);
    }
    Ok(layouts)
}
