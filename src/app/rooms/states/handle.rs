//! Layouts of hidden states: what is wished of them, and what the engine says.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::analysis::query::Query;
use crate::app::hub::actions::LayoutAction;
use crate::app::hub::controller::Controller;
use crate::app::hub::files::{FileEvent, OpenedLayouts};
use crate::app::hub::state::PathKind;
use crate::app::kit::geometry::Region;
use crate::app::parts::data::{DataForm, DataSet, DataTable, RowFilter};
use crate::app::parts::samples::Taken;
use crate::app::parts::states::saving::{LayoutInHand, pictured, write_table};
use crate::app::parts::states::{LayoutStatus, PictureOf, SidePoint, patch};
use crate::app::parts::tiling::{Pane, Preset};
use crate::ask::{Condition, Decoding, HiddenLayers};
use crate::digest;
use crate::engine::ids::ModelId;
use crate::engine::project::{Collected, DataChoice, Layout, LayoutOrder, ReadingOrder, StatesOrder};
use crate::engine::protocol::{Command, News, Purpose};
use crate::export::scatter;
use crate::paths;
use crate::projection::tsne::DescentSchedule;
use crate::projection::{LayoutEngine, Options};
use crate::units::{LayerIdx, Role};

/// Said where the samples of a layout that was opened are not where they were.
const NOT_AT_HAND: &str = "The data file of this layout is not where it was, nor beside the layout: put it there and open the layout again";

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
        LayoutAction::SetView(side, view) => projection.set_view(side, view),
        LayoutAction::Hover(point) => {
            projection.hovered = point;
            want_picture(controller);
        }
        LayoutAction::ToData => to_data(controller),
        LayoutAction::Draw(side, line) => projection.line = (side, line),
        LayoutAction::Select(side, points) => {
            projection.line.1.clear();
            projection.select(side, points);
            read(controller);
        }
        LayoutAction::Open(point) => open(controller, point),
        LayoutAction::SetBeside(model) => set_beside(controller, model),
        LayoutAction::Crop(of) => crop(controller, &of),
    }
}

/// Shows another layer's layout; maps are then of the layer that made those states.
fn show_layer(controller: &mut Controller, place: usize) {
    let state = &mut controller.state;
    let projection = &mut state.projection;
    let count = projection.first().map_or(0, |side| side.layouts.len());
    projection.shown = place.min(count.saturating_sub(1));
    let Some(layer) = projection.layer() else { return };
    // The embedding is no layer's; behind the last norm stands what the last layer made.
    state.kept.view.selection.layer = layer.checked_sub(1).map(LayerIdx);
}

/// Has the picture of the point under the pointer made, one at a time.
fn want_picture(controller: &mut Controller) {
    let projection = &mut controller.state.projection;
    let Some(at) = projection.hovered else { return };
    let Some(side) = projection.sides.get(at.side) else { return };
    let (Some(of), collected) = (side.picture_of(at.point), side.collected.clone()) else { return };
    if projection.thumbnail.wanted.is_none() && !projection.thumbnail.has(of) {
        projection.thumbnail.wanted = Some(of);
        controller.files.picture(of, collected);
    }
}

/// Takes what came of reading pictures and layouts.
pub fn take_event(controller: &mut Controller, event: FileEvent) {
    match event {
        FileEvent::Pictured(of, picture) => picture_made(controller, of, picture),
        FileEvent::Cropped(of, piece) => controller.state.projection.crops.take(of, piece),
        FileEvent::LayoutsRead(kind, read) => opened(controller, kind, *read),
        _ => {}
    }
}

/// A picture is made; the pointer may be elsewhere by now.
fn picture_made(controller: &mut Controller, of: PictureOf, picture: egui::ColorImage) {
    controller.state.projection.thumbnail.take(of, picture);
    want_picture(controller);
}

/// Has pieces of images made in the place of points.
fn crop(controller: &mut Controller, of: &[PictureOf]) {
    let projection = &mut controller.state.projection;
    for side in &projection.sides {
        let own: Vec<PictureOf> = of.iter().copied().filter(|of| of.side == side.id()).collect();
        if !own.is_empty() {
            projection.crops.wanted.extend(own.iter().copied());
            controller.files.crop(own, side.collected.clone());
        }
    }
}

/// Another model's layout beside, or none.
fn set_beside(controller: &mut Controller, model: Option<ModelId>) {
    let state = &mut controller.state;
    state.kept.map.beside = model;
    if state.projection.for_second {
        controller.jobs.abandon(Purpose::Layout);
        over(controller, None);
    }
    let projection = &mut controller.state.projection;
    projection.end_second();
    if !projection.is_running() {
        start_second(controller);
    }
}

/// The samples of what is chosen become the rows in sight of the data pane.
fn to_data(controller: &mut Controller) {
    let state = &mut controller.state;
    let Some(collected) = state.projection.first().map(|side| side.collected.clone()) else { return };
    let of_records = |numbers: Vec<usize>| -> BTreeSet<String> {
        numbers.into_iter().filter_map(|i| Some(collected.records.get(i)?.id.clone())).collect()
    };
    let chosen = of_records(state.projection.chosen_records());
    if !chosen.iter().all(|id| state.data.set.place(id).is_some()) {
        let set = match &collected.data {
            None => return state.notify(NOT_AT_HAND),
            Some(DataChoice::Gallery) => DataSet::gallery(),
            Some(DataChoice::File(path)) => {
                DataSet::new(paths::file_name(path), Some(path.clone()), collected.records.clone())
            }
        };
        state.data = DataTable::of(set);
    }
    state.data.choose(&chosen);
    state.kept.data = DataForm { filter: RowFilter::Chosen, ..DataForm::default() };
    state.kept.layout.show(Pane::Data, true);
}

/// A path that was typed, or that the system's dialog gave.
pub fn take_path(controller: &mut Controller, kind: PathKind, path: PathBuf) {
    match kind {
        PathKind::MapData => controller.state.kept.map.data = path.display().to_string(),
        PathKind::Layout | PathKind::LayoutBeside => controller.files.read_layouts(kind, path),
        _ => save(controller, kind, path),
    }
}

/// Writes the layout as it is seen.
fn save(controller: &mut Controller, kind: PathKind, path: PathBuf) {
    let (state, files) = (&controller.state, &controller.files);
    let first = state.projection.first();
    let Some((scene, collected)) = first.and_then(|side| Some((side.scene()?, &side.collected))) else {
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

/// Layouts that were made elsewhere are there, or why not.
fn opened(controller: &mut Controller, kind: PathKind, read: Result<OpenedLayouts, String>) {
    let (collected, layouts) = match read {
        Ok(read) => read,
        Err(problem) => return controller.unnamed(kind, problem),
    };
    controller.close_dialog(kind);
    let second = kind == PathKind::LayoutBeside;
    controller.jobs.abandon(Purpose::Layout);
    over(controller, None);
    let state = &mut controller.state;
    state.projection.take(second, collected, layouts);
    state.kept.layout.show(Pane::States, true);
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
    state.projection.for_second = false;
    let form = &state.kept.map;
    let order = StatesOrder {
        model,
        data: form.choice(),
        limit: form.samples,
        layers: form.all_layers.then_some(HiddenLayers::All),
        roles: form.roles(),
        // As runs are made, but for what only the answer in sight needs.
        condition: Condition { decoding: Decoding::of_studies(), ..state.kept.condition.clone() },
        folder: PathBuf::new(),
    };
    keep_states(controller, order);
}

/// The same of the model that is to stand beside, where there is one: of the first's samples.
fn start_second(controller: &mut Controller) {
    let state = &mut controller.state;
    let (Some(model), Some(first)) = (state.kept.map.beside.clone(), state.projection.first()) else {
        return;
    };
    let collected = first.collected.clone();
    if state.ui.engine_died || collected.model.as_ref() == Some(&model) {
        return;
    }
    let Some(data) = collected.data.clone() else { return state.notify(NOT_AT_HAND) };
    let hidden = collected.plan.keep.as_ref().and_then(|keep| keep.hidden.clone());
    let order = StatesOrder {
        model,
        data,
        limit: collected.records.len(),
        layers: hidden.as_ref().map(|hidden| hidden.layers.clone()),
        roles: hidden.map_or_else(|| state.kept.map.roles(), |hidden| hidden.roles),
        condition: collected.plan.condition.clone(),
        folder: PathBuf::new(),
    };
    state.projection.for_second = true;
    keep_states(controller, order);
}

/// What is kept already is not run again.
fn keep_states(controller: &mut Controller, order: StatesOrder) {
    let StatesOrder { model, data, limit, layers, roles, condition, .. } = &order;
    let key = serde_json::to_vec(&(model, data, limit, roles, layers, condition));
    let folder = controller.states_in.join(&digest::of_bytes(&key.expect("plain data serialises"))[..16]);
    let order = StatesOrder { folder, ..order };
    let projection = &mut controller.state.projection;
    projection.problem = None;
    projection.under = LayoutStatus::States;
    controller.send(Command::KeepStates(Box::new(order)));
}

fn make_layouts(controller: &mut Controller, collected: Arc<Collected>) {
    let form = &controller.state.kept.map;
    let options = Options {
        perplexity: form.perplexity,
        engine: LayoutEngine::Cpu,
        seed: form.seed,
        schedule: DescentSchedule::of_steps(form.steps),
        ..Options::default()
    };
    let projection = &mut controller.state.projection;
    projection.begins(collected.clone());
    // The second begins at the first where it is of the same tokens: what says the same then stays where it is.
    let onto = match &projection.sides[..] {
        [first, second] => {
            let is_same = |own: &&Arc<Layout>| second.is_of_tokens_of(own, &first.collected);
            first.layouts.iter().filter(is_same).cloned().collect()
        }
        _ => Vec::new(),
    };
    controller.send(Command::MakeLayouts(Box::new(LayoutOrder { collected, options, onto })));
}

/// Puts a point's sample in the window, and asks it; its latent or its patch is what is shown.
fn open(controller: &mut Controller, at: SidePoint) {
    let state = &mut controller.state;
    let Some(side) = state.projection.sides.get(at.side) else { return };
    let (Some((number, point)), collected) = (side.sample_of(at.point), side.collected.clone()) else {
        return;
    };
    if collected.data.is_none() {
        return state.notify(NOT_AT_HAND);
    }
    let Some(record) = collected.records.get(number) else { return };
    match record.sample() {
        Ok(sample) => {
            state.take_sample(sample.clone());
            state.gallery.taken = Some(Taken { record: record.clone(), sample });
            state.projection.opened = Some(at);
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
    let Some(side) = projection.sides.get(projection.chosen_on) else { return };
    let (choice, points) = (projection.choice, side.chosen.clone());
    let (Some(scene), collected) = (side.scene(), &side.collected) else { return };
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
        News::StatesKept(collected) => make_layouts(controller, collected),
        News::LayoutMoved { layer, places } => {
            if let Some(side) = projection.sides.last_mut() {
                side.moving = Some((layer, places));
            }
        }
        News::LayoutMade(layout) => projection.made(layout),
        News::LayoutsMade => {
            let is_first = !projection.for_second;
            over(controller, None);
            if is_first {
                start_second(controller);
            }
        }
        News::StatesRead(reading) if reading.choice == projection.choice => {
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
    for side in &mut projection.sides {
        side.moving = None;
    }
    projection.problem = problem.map(str::to_owned);
}
