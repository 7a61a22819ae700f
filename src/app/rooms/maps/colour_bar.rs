//! The scale of the maps in sight: from which to which attention, in times uniform.

use egui::{Align2, Color32, FontId, Id, Mesh, Rect, Sense, Ui, pos2, vec2};

use crate::app::hub::state::State;
use crate::app::kit::theme::palette;
use crate::app::parts::chain::InSight;
use crate::app::parts::figure::{STEPS, ends};
use crate::app::rooms::maps::scale::{colours, image_of_pointer, what_uniform_is};

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
    // One mesh: as rectangles of their own they have five times as many corners.
    let mut steps = Mesh::default();
    for (i, [r, g, b]) in colours(state).into_iter().enumerate() {
        let mut part = bar;
        part.min.x = bar.min.x + WIDTH * i as f32 / STEPS as f32;
        part.max.x = bar.min.x + WIDTH * (i + 1) as f32 / STEPS as f32;
        steps.add_colored_rect(part, Color32::from_rgb(r, g, b));
    }
    painter.add(steps);
    let middle = |height: f32| left.y - height / 2.0;
    let (low_at, high_at) =
        (pos2(left.x, middle(low.size().y)), pos2(bar.max.x + 6.0, middle(high.size().y)));
    painter.galley(low_at, low, palette.text);
    painter.galley(high_at, high, palette.text);
    let hint = ui.interact(ground, Id::unique("colour bar"), Sense::hover());
    hint.on_hover_text(what_uniform_is(shown));
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
