//! The figure of what is in sight.

use image::RgbImage;

use crate::app::hub::state::State;
use crate::app::parts::figure::{self, FigureOf, RunOfFigure};
use crate::app::parts::view::FigureForm;
use crate::app::rooms::maps::scale::shown_style;
use crate::export::figure::Figure;

/// The figure of what is in sight; the closure makes it, which takes a while.
///
/// # Errors
/// Nothing in sight, latents that there are not.
pub fn figure_of(state: &State, form: &FigureForm) -> Result<impl FnOnce() -> Figure + Send + use<>, String> {
    let shown = state.panes.map.in_sight().ok_or("Ask first: a figure shows the maps of an answer")?;
    let runs = [RunOfFigure { name: String::new(), shown }];
    let (selection, style) = (state.kept.view.selection, shown_style(state));
    FigureOf { runs: &runs, form, selection, style }.prepared()
}

/// The images of the run in sight under the map in hand, at their own size.
pub fn composed(state: &State) -> Option<RgbImage> {
    figure::composed(state.panes.map.in_sight()?, shown_style(state))
}
