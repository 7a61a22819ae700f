//! The scale of the maps in sight: their colours, from which to which attention, and what it is under the pointer.

use crate::app::hub::state::State;
use crate::app::kit::geometry::{Hovered, Region};
use crate::app::kit::theme::DIMMED;
use crate::app::parts::chain::InSight;
use crate::app::parts::figure;
use crate::render::blend::{ColourMap, OverlayStyle};

/// What attention is counted in.
pub fn what_uniform_is(shown: InSight<'_>) -> String {
    let visible = shown.rows.visible[shown.query];
    format!(
        "Uniform is 1 / {visible} = {:.3} %: what each of the {visible} tokens it may look at would have, were all alike to \
         it. \"2 x uniform\" is twice that; \"≥\": some patches are above, and have the last colour.",
        100.0 / visible.max(1) as f32
    )
}

/// The colours in between.
pub fn colours(state: &State) -> Vec<[u8; 3]> {
    figure::colours(shown_style(state).colour_map)
}

/// How maps lie over images now: those of another request than the controls describe are dimmed.
pub fn shown_style(state: &State) -> OverlayStyle {
    let mut style = state.kept.view.style;
    if state.panes.map.in_sight().is_some_and(|shown| shown.rows.is_difference()) {
        (style.colour_map, style.fade) = (ColourMap::Difference, false);
    }
    if state.panes.map.in_sight().is_some_and(|shown| !state.is_current(&shown.rows.run)) {
        style.opacity *= DIMMED;
    }
    if state.ui.peeks {
        style.opacity = 0.0;
    }
    style
}

/// The image under the pointer has the scale that is shown, else the first.
pub fn image_of_pointer(state: &State, shown: InSight<'_>) -> usize {
    let place = state.panes.map.hovered.map_or(0, |hovered| hovered.image);
    state.images.get(place).and_then(|picture| shown.image_of(place, picture)).unwrap_or(0)
}

/// What stands under the pointer, in one line.
pub fn read_out(state: &State) -> Option<String> {
    let pane = &state.panes.map;
    let Hovered { image: place, row, col } = pane.hovered?;
    let picture = state.images.get(place)?;
    let in_sight = pane.in_sight()?;
    let image = in_sight.image_of(place, picture)?;
    let map = &in_sight.maps.maps[in_sight.query][image];
    if row >= map.rows || col >= map.cols {
        return None;
    }
    let value = map.values[row * map.cols + col];
    let patch = Region { image: place, rows: (row, row), cols: (col, col) };
    let [left, top, right, bottom] = patch.pixels(picture.size(), map.rows, map.cols);
    let looking = in_sight.who_looks_at(image, row, col);
    let lookers: Vec<String> =
        looking.iter().take(3).map(|(latent, p)| format!("{latent} ({:.2} %)", 100.0 * p)).collect();
    let lookers = if lookers.is_empty() {
        String::new()
    } else {
        format!("  ·  most from latents {}", lookers.join(", "))
    };
    Some(format!(
        "image {}, row {row}, column {col}, pixels x {left} to {right}, y {top} to {bottom}: {:.2} %, {:.2} x uniform, \
         above {:.0} % of patches{lookers}",
        place + 1,
        100.0 * value,
        in_sight.times_uniform(in_sight.query, value),
        in_sight.maps.rank(in_sight.query, image, value),
    ))
}
