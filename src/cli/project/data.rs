//! Layouts of a data set's hidden states: its samples are run, or were.

use std::collections::BTreeMap;
use std::path::Path;

use super::said::{Said, samples};
use super::{Layers, ProjectArgs, json};
use crate::app::parts::states::saving::{LayoutInHand, pictured, write_table};
use crate::ask::{HiddenLayers, HiddenRows};
use crate::data::dataset;
use crate::engine::models::Models;
use crate::engine::project::{
    DATA, DataChoice, Layout, MODEL, Others, SAMPLES, States, collect, lay_out_layers, of_states, origin_of,
    words_by_role,
};
use crate::engine::study::Study;
use crate::error::{Error, Result};
use crate::export::layout_file::{self, LayoutFile, PointOrigin};
use crate::export::scatter;
use crate::model::compute::Compute;
use crate::progress::Observer;
use crate::units::Role;

/// Makes them.
pub fn of_data(args: &ProjectArgs, observer: &dyn Observer) -> Result<Vec<Said>> {
    // Before minutes of work.
    let other = args.onto.as_deref().map(layout_file::read).transpose()?;
    let roles: Vec<Role> = args.role.iter().map(|tokens| tokens.role()).collect();
    let mut models = Models::default();
    let states = collected(args, &roles, &mut models, observer)?;
    if let Some(share) = args.shard {
        let folder = args.out.with_extension("states");
        observer
            .note(&format!("share {share} of the states is kept: livr study collect ({})", folder.display()));
        return Ok(Vec::new());
    }
    let layers = states.layers();
    let others = others(args.onto.as_deref().zip(other.as_ref()), &states)?;
    let layouts = lay_out_layers(&states, &layers, &others, &args.options(), observer, &mut |_| ())?;
    let mut said: Vec<Said> = layouts.iter().map(Said::of).collect();
    if args.words {
        let session = models.session(&args.model.id()).expect("opened to run the samples");
        let num_layers = session.info().num_layers;
        for (role, words) in
            words_by_role(&states, &roles, num_layers, session, &Compute::observed(observer))?
        {
            for (said, at) in said.iter_mut().zip(words) {
                said.words.push((role.in_figures(), at.words));
            }
        }
    }
    let places: Vec<[f32; 2]> = layouts.iter().flat_map(|layout| layout.places.iter().copied()).collect();
    let marks: Vec<PointOrigin> =
        layouts.iter().flat_map(|layout| layout.points.iter().map(origin_of)).collect();
    let data = args.data.as_deref().map(|data| std::path::absolute(data).unwrap_or_else(|_| data.to_owned()));
    let data = data.map_or(DataChoice::Gallery, DataChoice::File);
    let of = [(MODEL, json(&args.model.id())), (DATA, json(&data)), (SAMPLES, json(&samples(&states)))];
    args.write(&places, &marks, &said, &of)?;
    if let (Some(picture), Some(layout)) = (&args.picture, layouts.last()) {
        scatter::write(&pictured(map_of(layout), args.colour, &states), picture)?;
    }
    if let Some(table) = &args.table {
        write_table(table, &states, &layouts.iter().map(map_of).collect::<Vec<_>>())?;
    }
    Ok(said)
}

fn map_of(layout: &Layout) -> LayoutInHand<'_> {
    LayoutInHand { layer: layout.layer, points: &layout.points, places: &layout.places, shown: None }
}

/// By layer, the places of the layout that is named to begin at.
fn others(named: Option<(&Path, &LayoutFile)>, states: &States) -> Result<BTreeMap<usize, Vec<[f32; 2]>>> {
    let Some((path, file)) = named else { return Ok(BTreeMap::new()) };
    let of = |layer: usize| {
        let own: Vec<PointOrigin> = states.at_layer(layer).points().iter().map(origin_of).collect();
        let is_own = |mark: &&PointOrigin| mark.layer == layer as i64;
        let places: Vec<[f32; 2]> = file
            .marks
            .iter()
            .zip(&file.places)
            .filter(|(mark, _)| is_own(mark))
            .map(|(_, place)| *place)
            .collect();
        if file.marks.iter().filter(is_own).eq(&own) {
            Ok((layer, places))
        } else {
            let found = format!("{} points that are others", places.len());
            Err(Error::field(path, "layer", format!("the {} points of layer {layer}", own.len()), found))
        }
    };
    states.layers().into_iter().map(of).collect()
}

fn collected(
    args: &ProjectArgs,
    roles: &[Role],
    models: &mut Models,
    observer: &dyn Observer,
) -> Result<States> {
    let data = args.data.as_ref().expect("there is one where no states are named");
    let records = dataset::read(data)?;
    let id = args.model.id();
    let info = models.open(&id, observer)?;
    let layers = match args.layer {
        Layers::All => HiddenLayers::All,
        Layers::Last => HiddenLayers::Only(vec![info.num_layers]),
        Layers::One(layer) if layer <= info.num_layers => HiddenLayers::Only(vec![layer]),
        Layers::One(layer) => {
            return Err(Error::Request(format!(
                "layer: expected last, all or a number from 0 to {}, found {layer}",
                info.num_layers
            )));
        }
    };
    let hidden = HiddenRows { layers, roles: roles.to_vec() };
    let study = Study {
        // Of all samples, so that more of them can be kept later.
        limit: args.limit.map(|limit| limit as usize),
        batch: args.batch as usize,
        share: args.shard,
        ..of_states(id, args.condition.condition.clone(), records, hidden)
    };
    collect(&study, &args.out.with_extension("states"), Others::Stay, models, observer)
}
