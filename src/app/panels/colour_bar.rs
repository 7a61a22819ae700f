//! The scale of the maps in sight: from which to which attention, in times uniform.

use egui::{Align2, Color32, FontId, Rect, Ui, pos2, vec2};

use super::shown_style;
use crate::analysis::normalise::Range;
use crate::app::map_pane::InSight;
use crate::app::state::State;
use crate::app::theme::palette;

/// Rectangles that make up the bar.
const STEPS: usize = 64;

/// What stands at the ends of the scale of an image under a query's map.
pub fn ends(shown: InSight<'_>, query: usize, range: Range, image: usize) -> Option<(String, String)> {
    let [low, high] = [range.low, range.high].map(|value| shown.times_uniform(query, value));
    let signed =
        |value: f32| if shown.rows.is_difference() { format!("{value:+.2}") } else { format!("{value:.2}") };
    let low = if low == 0.0 { "0".to_owned() } else { signed(low) };
    // What is above takes the last colour too.
    let most = shown.maps.maps[query][image].values.iter().copied().fold(0.0, f32::max);
    let beyond = if most > range.high { "≥ " } else { "" };
    Some((low, format!("{beyond}{} x uniform", signed(high))))
}

/// The colours in between.
pub fn colours(state: &State) -> Vec<[u8; 3]> {
    let map = shown_style(state).colour_map;
    (0..STEPS).map(|i| map.at(i as f32 / (STEPS - 1) as f32)).collect()
}

/// Paints the scale into a corner of the canvas.
pub fn paint(ui: &Ui, state: &State, shown: InSight<'_>, area: Rect) {
    const WIDTH: f32 = 110.0;
    const HEIGHT: f32 = 8.0;
    const EDGE: f32 = 6.0;
    let image = image_of_pointer(state, shown);
    let large = state.panes.map.large(state.kept.view.selection.layer);
    let Some((low, high)) =
        large.and_then(|(_, ranges)| ends(shown, shown.query, *ranges.get(image)?, image))
    else {
        return;
    };
    if area.width() < WIDTH * 2.4 || area.height() < 60.0 {
        return;
    }
    let palette = palette(ui.visuals());
    let painter = ui.painter();
    let font = FontId::proportional(11.5);
    let [low, high] = [low, high].map(|text| painter.layout_no_wrap(text, font.clone(), palette.text));
    let left = pos2(area.min.x + EDGE + 4.0, area.max.y - EDGE - 10.0);
    let start = left.x + low.size().x + 6.0;
    let ground = Rect::from_min_max(
        pos2(area.min.x + EDGE, area.max.y - EDGE - 20.0),
        pos2(start + WIDTH + 12.0 + high.size().x, area.max.y - EDGE),
    );
    painter.rect_filled(ground, 4.0, ui.visuals().panel_fill.gamma_multiply(0.88));
    let bar = Rect::from_min_size(pos2(start, left.y - HEIGHT / 2.0), vec2(WIDTH, HEIGHT));
    for (i, [r, g, b]) in colours(state).into_iter().enumerate() {
        let mut part = bar;
        part.min.x = bar.min.x + WIDTH * i as f32 / STEPS as f32;
        part.max.x = bar.min.x + WIDTH * (i + 1) as f32 / STEPS as f32;
        painter.rect_filled(part, 0.0, Color32::from_rgb(r, g, b));
    }
    let middle = |height: f32| left.y - height / 2.0;
    let (low_at, high_at) =
        (pos2(left.x, middle(low.size().y)), pos2(bar.max.x + 6.0, middle(high.size().y)));
    painter.galley(low_at, low, palette.text);
    painter.galley(high_at, high, palette.text);
}

/// The image under the pointer has the scale that is shown, else the first.
pub fn image_of_pointer(state: &State, shown: InSight<'_>) -> usize {
    let place = state.panes.map.hovered.map_or(0, |hovered| hovered.image);
    state.images.get(place).and_then(|picture| shown.image_of(place, picture)).unwrap_or(0)
}

/// Says something in the middle of a picture, on a ground that makes it readable.
pub fn paint_note(ui: &Ui, area: Rect, text: &str, size: f32) {
    let palette = palette(ui.visuals());
    let galley = ui.painter().layout(
        text.to_owned(),
        FontId::proportional(size),
        palette.text,
        area.width().max(20.0),
    );
    let place = Align2::CENTER_CENTER.anchor_size(area.center(), galley.size());
    let ground = place.expand2(vec2(6.0, 3.0)).intersect(area);
    ui.painter().rect_filled(ground, 4.0, ui.visuals().panel_fill.gamma_multiply(0.88));
    ui.painter().with_clip_rect(area.intersect(ui.clip_rect())).galley(place.min, galley, palette.text);
}
