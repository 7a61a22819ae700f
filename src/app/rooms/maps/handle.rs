//! What is seen.

use crate::app::hub::actions::{PinEnd, ViewAction};
use crate::app::hub::controller::Controller;
use crate::app::kit::geometry::{CanvasView, Hovered, Region};
use crate::app::parts::view::Strip;

pub fn apply(controller: &mut Controller, action: ViewAction) {
    let state = &mut controller.state;
    let (pane, view) = (&mut state.panes.map, &mut state.kept.view);
    match action {
        ViewAction::SelectQuery(query) => pane.query = query,
        ViewAction::StepQuery(step) => {
            if let Some(in_sight) = pane.in_sight() {
                let queries = &in_sight.rows.queries;
                let place = in_sight.query as isize + step;
                pane.query = queries[place.rem_euclid(queries.len() as isize) as usize];
            }
        }
        ViewAction::Select(selection) => view.selection = selection,
        ViewAction::SetScalar(scalar) => view.scalar = scalar,
        ViewAction::SetStyle(style) => view.style = style,
        ViewAction::SetNormalisation(normalisation) => view.normalisation = normalisation,
        ViewAction::SetCanvas(canvas) => pane.canvas = canvas,
        ViewAction::Hover(hovered) => pane.hovered = hovered,
        ViewAction::Pin(region) => pane.pinned = region,
        ViewAction::Maximise(image) => (pane.maximised, pane.canvas) = (image, CanvasView::default()),
        ViewAction::DrawFrom(corner) => pane.drawn_from = corner,
        ViewAction::MovePin { end, rows, cols } => move_pin(controller, end, rows, cols),
        ViewAction::Play(playing) => {
            pane.playing = playing;
            // The strip shows where it is, on the one scale that layers can be compared on.
            view.strip = if playing { Strip::Layers } else { view.strip };
        }
        ViewAction::SetAsRead(as_read) => view.as_read = as_read,
        ViewAction::SetDifference(difference) => view.difference = difference,
        ViewAction::SetStrip(strip) => view.strip = strip,
        ViewAction::SortMatrix(sorted) => view.matrix_sorted = sorted,
    }
}

/// Moves the chosen patch, or the far corner of the region; where there is none, the patch looked at most is chosen.
fn move_pin(controller: &mut Controller, end: PinEnd, rows: isize, cols: isize) {
    let is_corner = end == PinEnd::FarCorner;
    let state = &controller.state;
    let pane = &state.panes.map;
    let Some(shown) = pane.in_sight() else { return };
    let of_run = |place: usize| shown.image_of(place, state.images.get(place)?);
    let mut begun = None;
    let moved = match pane.pinned.and_then(|pin| Some((pin, of_run(pin.image)?))) {
        None => (0..state.images.len())
            .filter_map(|place| {
                let map = &shown.maps.maps[shown.query][of_run(place)?];
                let (best, value) = map.values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
                let patch = Hovered { image: place, row: best / map.cols, col: best % map.cols };
                Some((*value, Region::between(patch, patch)))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, region)| region),
        Some((pin, image)) => {
            let map = &shown.maps.maps[shown.query][image];
            let step = |at: usize, by: isize, count: usize| at.saturating_add_signed(by).min(count - 1);
            // The corner that moves is the one across from where the region was begun.
            let anchor = pane.anchor.filter(|_| is_corner).unwrap_or(Hovered {
                image: pin.image,
                row: pin.rows.0,
                col: pin.cols.0,
            });
            let across =
                |(first, last): (usize, usize), anchor: usize| if first == anchor { last } else { first };
            let far = Hovered {
                image: pin.image,
                row: step(across(pin.rows, anchor.row), rows, map.rows),
                col: step(across(pin.cols, anchor.col), cols, map.cols),
            };
            begun = is_corner.then_some(anchor);
            Some(Region::between(begun.unwrap_or(far), far))
        }
    };
    controller.state.panes.map.anchor = begun;
    controller.state.panes.map.pinned = moved;
}
