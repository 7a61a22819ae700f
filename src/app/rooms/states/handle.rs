//! Layouts of hidden states: what is wished of them, and what the engine says.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::analysis::query::Query;
use crate::app::hub::actions::LayoutAction;
use crate::app::hub::controller::Controller;
use crate::app::hub::state::PathKind;
use crate::app::kit::geometry::Region;
use crate::app::parts::data::{DataForm, DataSet, DataTable, RowFilter};
use crate::app::parts::samples::Taken;
use crate::app::parts::states::saving::{LayoutInHand, pictured, write_table};
use crate::app::parts::states::{LayoutStatus, PictureOf, patch};
use crate::app::parts::tiling::{Pane, Preset};
use crate::ask::{Condition, Decoding};
use crate::digest;
use crate::engine::project::{Collected, DataChoice, LayoutOrder, ReadingOrder, StatesOrder};
use crate::engine::protocol::{Command, News, Purpose};
use crate::export::scatter;
use crate::paths;
use crate::projection::tsne::DescentSchedule;
use crate::projection::{LayoutEngine, Options};
use crate::units::{LayerIdx, Role};

pub fn apply(controller: &mut Controller, action: LayoutAction) {
    let (projection, kept) = (&mut controller.state.projection, &mut controller.state.kept.map);
    match action {
        LayoutAction::Toggle => controller.state.toggle_panes(Preset::States),
        LayoutAction::Edit(form) => *kept = *form,
        LayoutAction::Browse => {
            controller.files.browse(PathKind::MapData, PathBuf::from(&kept.data).parent());
        }
        LayoutAction::Start => start(controller),
        LayoutAction::Stop => controller.jobs.cancel(Purpose::Layout),
        LayoutAction::StepLayer(step) => {
            let next = projection.shown.saturating_add_signed(step);
            show_layer(controller, next);
        }
        LayoutAction::ShowLayer(place) => show_layer(controller, place),
        LayoutAction::SetTool(tool) => projection.tool = tool,
        LayoutAction::SetView(view) => projection.view = view,
        LayoutAction::Hover(point) => {
            projection.hovered = point;
            want_picture(controller);
        }
        LayoutAction::ToData => to_data(controller),
        LayoutAction::Draw(line) => projection.line = line,
        LayoutAction::Select(points) => {
            projection.line.clear();
            projection.select(points);
            read(controller);
        }
        LayoutAction::Open(point) => open(controller, point),
    }
}

/// Shows another layer's layout; maps are then of the layer that made those states.
fn show_layer(controller: &mut Controller, place: usize) {
    let state = &mut controller.state;
    let projection = &mut state.projection;
    projection.shown = place.min(projection.layouts.len().saturating_sub(1));
    let Some(layer) = projection.layouts.get(projection.shown).map(|own| own.layer) else { return };
    // The embedding is no layer's; behind the last norm stands what the last layer made.
    state.kept.view.selection.layer = layer.checked_sub(1).map(LayerIdx);
}

/// Has the picture of the point under the pointer made, one at a time.
fn want_picture(controller: &mut Controller) {
    let projection = &mut controller.state.projection;
    let point = projection.hovered.and_then(|point| projection.sample_of(point));
    let (Some((_, point)), Some(collected)) = (point, projection.collected.clone()) else { return };
    let of = PictureOf::from(point);
    if projection.thumbnail.wanted.is_none() && !projection.thumbnail.has(of) {
        projection.thumbnail.wanted = Some(of);
        controller.files.picture(of, collected);
    }
}

/// A picture is made; the pointer may be elsewhere by now.
pub fn picture_made(controller: &mut Controller, of: PictureOf, picture: egui::ColorImage) {
    controller.state.projection.thumbnail.take(of, picture);
    want_picture(controller);
}

/// The samples of what is chosen become the rows in sight of the data pane.
fn to_data(controller: &mut Controller) {
    let state = &mut controller.state;
    let Some(collected) = state.projection.collected.clone() else { return };
    let of_records = |numbers: Vec<usize>| -> BTreeSet<String> {
        numbers.into_iter().filter_map(|i| Some(collected.records.get(i)?.id.clone())).collect()
    };
    let chosen = of_records(state.projection.chosen_records());
    if !chosen.iter().all(|id| state.data.set.place(id).is_some()) {
        let (name, path) = match &collected.order.data {
            DataChoice::Gallery => (String::new(), None),
            DataChoice::File(path) => (paths::file_name(path), Some(path.clone())),
        };
        let set = match path {
            None => DataSet::gallery(),
            path => DataSet::new(name, path, collected.records.clone()),
        };
        state.data = DataTable::of(set);
    }
    state.data.choose(&chosen);
    state.kept.data = DataForm { filter: RowFilter::Chosen, ..DataForm::default() };
    state.kept.layout.show(Pane::Data, true);
}

/// A path that was typed, or that the system's dialog gave.
pub fn take_path(controller: &mut Controller, kind: PathKind, path: PathBuf) {
    if kind == PathKind::MapData {
        controller.state.kept.map.data = path.display().to_string();
    } else {
        save(controller, kind, path);
    }
}

/// Writes the layout as it is seen.
fn save(controller: &mut Controller, kind: PathKind, path: PathBuf) {
    let (state, files) = (&controller.state, &controller.files);
    let (Some(scene), Some(collected)) = (state.projection.scene(), &state.projection.collected) else {
        controller.state.notify("Make a layout first");
        return;
    };
    let (layer, colour, shown) = (scene.layer, state.kept.map.colour, scene.shown.clone());
    let (points, places, collected) = (scene.points.clone(), scene.places.clone(), collected.clone());
    files.save(path, move |path| {
        let map = LayoutInHand { layer, points: &points, places: &places, shown: Some(&shown) };
        match kind {
            PathKind::LayoutPicture => scatter::write(&pictured(map, colour, &collected.states), path),
            _ => write_table(path, &collected.states, &[map]),
        }
    });
}

fn start(controller: &mut Controller) {
    let state = &mut controller.state;
    if state.projection.is_running() || state.ui.engine_died {
        return;
    }
    let Some(model) = state.models.chosen().cloned() else {
        state.projection.problem = Some("Open a model first".to_owned());
        return;
    };
    let form = &state.kept.map;
    // As runs are made, but for what only the answer in sight needs.
    let decoding = Decoding::of_studies();
    let condition = Condition { decoding, ..state.kept.condition.clone() };
    let data = form.choice();
    let (roles, all_layers) = (form.roles(), form.all_layers);
    let key = serde_json::to_vec(&(&model, &data, form.samples, &roles, all_layers, &condition));
    let folder = controller.states_in.join(&digest::of_bytes(&key.expect("plain data serialises"))[..16]);
    let order = StatesOrder { model, data, limit: form.samples, all_layers, roles, condition, folder };
    let projection = &mut state.projection;
    projection.problem = None;
    projection.under = LayoutStatus::States;
    // What is kept already is not run again.
    controller.send(Command::KeepStates(Box::new(order)));
}

fn make_layouts(controller: &mut Controller, collected: &Arc<Collected>) {
    let form = &controller.state.kept.map;
    let options = Options {
        perplexity: form.perplexity,
        engine: LayoutEngine::Cpu,
        seed: form.seed,
        schedule: DescentSchedule::of_steps(form.steps),
        ..Options::default()
    };
    let order = LayoutOrder { collected: collected.clone(), options };
    controller.state.projection.begins(order.clone());
    controller.send(Command::MakeLayouts(Box::new(order)));
}

/// Puts a point's sample in the window, and asks it; its latent or its patch is what is shown.
fn open(controller: &mut Controller, place: u32) {
    let state = &mut controller.state;
    let (Some((number, point)), Some(collected)) =
        (state.projection.sample_of(place), state.projection.collected.clone())
    else {
        return;
    };
    let Some(record) = collected.records.get(number) else { return };
    match record.sample() {
        Ok(sample) => {
            state.take_sample(sample.clone());
            state.gallery.taken = Some(Taken { record: record.clone(), sample });
            state.projection.opened = Some(place);
            controller.ask();
            let pane = &mut controller.state.panes.map;
            match point.kept.role {
                Role::Latent => pane.query = Query::Latent(point.kept.index as usize),
                Role::Image => {
                    let patch = patch(&collected.states.samples()[number], point.kept.index);
                    pane.pinned = patch.map(|patch| Region::between(patch, patch));
                }
                Role::Prompt | Role::Answer => {}
            }
        }
        Err(problem) => state.notify(problem.to_string()),
    }
}

/// Has what is chosen read.
fn read(controller: &mut Controller) {
    let projection = &controller.state.projection;
    let (choice, points) = projection.selected.clone();
    let (Some(scene), Some(collected)) = (projection.scene(), &projection.collected) else { return };
    if points.is_empty() || controller.state.ui.engine_died {
        controller.jobs.cancel(Purpose::Reading);
        return;
    }
    let order = ReadingOrder { collected: collected.clone(), layer: scene.layer, points, choice };
    controller.send(Command::ReadStates(Box::new(order)));
}

/// What is chosen could not be read.
pub fn unread(controller: &mut Controller, problem: Option<&str>) {
    if let Some(problem) = problem {
        controller.state.projection.reading = Some(Err(problem.to_owned()));
    }
}

/// News of states and layouts.
pub fn hear(controller: &mut Controller, news: News) {
    let projection = &mut controller.state.projection;
    match news {
        News::Progressed(progress) => projection.progress = Some(progress),
        News::StatesKept(collected) => make_layouts(controller, &collected),
        News::LayoutMoved { layer, places } => projection.moving = Some((layer, places)),
        News::LayoutMade(layout) => {
            projection.moving = None;
            projection.shown = projection.layouts.len();
            projection.layouts.push(layout);
        }
        News::LayoutsMade => over(controller, None),
        News::StatesRead(reading) if reading.choice == projection.selected.0 => {
            projection.reading = Some(Ok(reading));
        }
        _ => {}
    }
}

/// It came to its end, to nothing, or was stopped.
pub fn over(controller: &mut Controller, problem: Option<&str>) {
    let projection = &mut controller.state.projection;
    projection.under = LayoutStatus::Nothing;
    projection.progress = None;
    projection.moving = None;
    projection.problem = problem.map(str::to_owned);
}
