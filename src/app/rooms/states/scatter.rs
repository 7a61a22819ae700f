//! The points of a layout: zoom and pan, what is under the pointer, boxes and lines drawn around some.

use egui::{Color32, Pos2, Rect, Response, Sense, Shape, Stroke, Ui, Vec2, pos2, vec2};

use super::said::side_name;
use crate::analysis::query::Query;
use crate::app::hub::actions::{Actions, LayoutAction};
use crate::app::hub::state::State;
use crate::app::kit::geometry::Hovered;
use crate::app::kit::theme::palette;
use crate::app::kit::widgets::name_widget;
use crate::app::parts::states::{
    LayoutScene, LayoutSide, LayoutView, PictureOf, Projection, SidePoint, Tool, token_of,
};
use crate::projection::pick::around;
use crate::render::paint::in_rect;
use crate::render::points::PointsPaint;
use crate::units::Role;

/// How far the pointer may be off a point, in points of the screen.
const REACH: f32 = 8.0;
/// Room around all of a layout.
const MARGIN: f32 = 0.06;

/// From the layout to the screen.
#[derive(Debug, Clone, Copy)]
struct Place {
    side: usize,
    rect: Rect,
    view: LayoutView,
}

impl Place {
    fn on_screen(self, place: [f32; 2]) -> Pos2 {
        let off = vec2(place[0] - self.view.centre[0], self.view.centre[1] - place[1]) * self.view.scale;
        self.rect.center() + off
    }

    fn on_map(self, at: Pos2) -> [f32; 2] {
        let off = (at - self.rect.center()) / self.view.scale;
        [self.view.centre[0] + off.x, self.view.centre[1] - off.y]
    }
}

/// All of a layout.
pub fn fit(places: &[[f32; 2]], size: Vec2) -> LayoutView {
    let mut bounds = Rect::NOTHING;
    for place in places.iter().filter(|place| place.iter().all(|v| v.is_finite())) {
        bounds.extend_with(pos2(place[0], place[1]));
    }
    if !bounds.is_positive() {
        bounds = Rect::from_center_size(
            if bounds.is_finite() { bounds.center() } else { Pos2::ZERO },
            vec2(1.0, 1.0),
        );
    }
    let across = (size.x / bounds.width()).min(size.y / bounds.height());
    LayoutView { centre: [bounds.center().x, bounds.center().y], scale: across * (1.0 - 2.0 * MARGIN) }
}

/// Half the size of a point in points of the screen, and its opacity: fewer and larger, or many and faint.
fn look(count: usize, size: Vec2, zoom: f32) -> (f32, f32) {
    let each = (size.x * size.y / count.max(1) as f32).sqrt();
    let radius = (0.22 * each * zoom.max(1.0).sqrt()).clamp(1.2, 5.0);
    let covered = radius * radius * 3.1 * count as f32 / (size.x * size.y).max(1.0);
    (radius, (1.4 / (1.0 + covered)).clamp(0.25, 0.9))
}

/// Draws the layout of a side, and takes what the pointer does on it.
pub fn scatter_ui(ui: &mut Ui, state: &State, side: usize, actions: &mut Actions) {
    let size = ui.available_size();
    let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
    let projection = &state.projection;
    ui.painter().rect_filled(rect, 4.0, palette(ui.visuals()).canvas);
    let Some((own, scene)) = projection.sides.get(side).and_then(|own| Some((own, own.scene()?))) else {
        empty_ui(ui, rect, projection);
        return;
    };
    let whole = fit(&scene.places, rect.size());
    let view = own.view.unwrap_or(whole);
    let place = Place { side, rect, view };
    let (radius, opacity) = look(scene.set.instances.len(), rect.size(), view.scale / whole.scale);
    let pixels = ui.ctx().pixels_per_point();
    let paint = PointsPaint {
        points: scene.set.clone(),
        centre: view.centre,
        scale: view.scale * pixels,
        radius: radius * pixels,
        opacity,
        size: [rect.width() * pixels, rect.height() * pixels],
    };
    ui.painter().add(in_rect(rect, paint));
    let is_alone = projection.sides.len() == 1;
    name_widget(ui, &response, egui::Role::Canvas, None, || {
        let of = if is_alone { String::new() } else { format!(" of {}", side_name(state, side)) };
        format!("Layout of {} points, {} chosen{of}", scene.places.len(), own.chosen.len())
    });
    pieces_ui(ui, projection, own, place, radius, actions);
    if !is_alone {
        title_ui(ui, &side_name(state, side), rect);
    }
    ring_ui(ui, state, place, radius);
    drawn_over_ui(ui, projection, scene, place, radius);
    navigate(ui, &response, place, whole, actions);
    draw_line(ui, &response, projection, scene, place, actions);
    point_at(&response, projection, scene, place, actions);
}

fn empty_ui(ui: &Ui, rect: Rect, projection: &Projection) {
    let said = if projection.is_running() {
        "Samples go through the model; the layout follows"
    } else {
        "Make a layout to see where the model's latents lie among its image and text tokens"
    };
    let font = egui::TextStyle::Body.resolve(ui.style());
    let colour = ui.visuals().weak_text_color();
    let galley = ui.painter().layout(said.to_owned(), font, colour, rect.width() - 40.0);
    ui.painter().galley(rect.center() - galley.size() / 2.0, galley, colour);
}

/// Whose layout it is, in its corner.
fn title_ui(ui: &Ui, name: &str, rect: Rect) {
    let font = egui::TextStyle::Body.resolve(ui.style());
    let colour = ui.visuals().strong_text_color();
    let galley = ui.painter().layout(name.to_owned(), font, colour, rect.width() - 12.0);
    let own = Rect::from_min_size(rect.min + vec2(6.0, 4.0), galley.size());
    ui.painter().rect_filled(own.expand(3.0), 3.0, palette(ui.visuals()).canvas.gamma_multiply(0.85));
    ui.painter().galley(own.min, galley, colour);
}

/// Where few points are in view, pieces of their images stand in their place.
fn pieces_ui(
    ui: &Ui,
    projection: &Projection,
    own: &LayoutSide,
    place: Place,
    radius: f32,
    actions: &mut Actions,
) {
    /// Points that are pieces at most.
    const MOST: usize = 64;
    /// Points of the screen on a side of a piece.
    const SIDE: f32 = 36.0;
    let Some(scene) = own.scene().filter(|scene| !scene.moving) else { return };
    let corner = |at: Pos2| place.on_map(at);
    let in_view = scene.picker.inside(&around(corner(place.rect.min), corner(place.rect.max)));
    let is_seen = |i: &u32| {
        let role = scene.points[*i as usize].kept.role;
        scene.shown[*i as usize] && matches!(role, Role::Latent | Role::Image)
    };
    let seen: Vec<u32> = in_view.into_iter().filter(is_seen).take(MOST + 1).collect();
    if seen.len() > MOST {
        return;
    }
    let of: Vec<(u32, PictureOf)> = seen.iter().filter_map(|i| Some((*i, own.picture_of(*i)?))).collect();
    let missing = projection.crops.missing(of.iter().map(|(_, of)| *of));
    if !missing.is_empty() {
        actions.push(LayoutAction::Crop(missing));
    }
    let painter = ui.painter().with_clip_rect(place.rect);
    let palette = palette(ui.visuals());
    for (i, of) in of {
        let Some(texture) = projection.crops.texture(ui.ctx(), of) else { continue };
        let at = place.on_screen(scene.places[i as usize]);
        // Above and beside its point, which stays to be seen.
        let piece = Rect::from_min_size(at + vec2(radius * 0.7, -radius * 0.7 - SIDE), Vec2::splat(SIDE));
        let frame = if of.kept.role == Role::Latent { palette.accent } else { palette.weak };
        painter.rect_filled(piece.expand(1.5), 2.0, frame);
        painter.image(texture.id(), piece, Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0)), Color32::WHITE);
    }
}

/// Rings what is chosen in the other panes: the latent or the patch of the sample that is asked, and the point it was
/// opened by.
fn ring_ui(ui: &Ui, state: &State, place: Place, radius: f32) {
    let projection = &state.projection;
    let (Some(taken), Some(own)) = (&state.gallery.taken, projection.sides.get(place.side)) else { return };
    let Some(scene) = own.scene() else { return };
    let of_query = match state.panes.map.query {
        Query::Latent(latent) => own.points_of(&taken.record.id, Role::Latent, latent as u32),
        Query::Answer(_) => Vec::new(),
    };
    let patch = state.panes.map.hovered.or(state.panes.map.pinned.map(|own| Hovered {
        image: own.image,
        row: own.rows.0,
        col: own.cols.0,
    }));
    let of_patch = patch.and_then(|patch| {
        let samples = own.collected.states.samples();
        let sampled = samples.iter().find(|own| own.id == taken.record.id)?;
        Some(own.points_of(&taken.record.id, Role::Image, token_of(sampled, patch)?))
    });
    let opened = projection.opened.and_then(|opened| projection.same(opened, place.side));
    let painter = ui.painter().with_clip_rect(place.rect);
    let palette = palette(ui.visuals());
    for point in of_query.into_iter().chain(of_patch.into_iter().flatten()).chain(opened) {
        if let Some(at) = scene.places.get(point as usize) {
            let at = place.on_screen(*at);
            painter.circle_stroke(at, radius + 6.0, Stroke::new(3.0, palette.canvas));
            painter.circle_stroke(at, radius + 6.0, Stroke::new(1.8, palette.accent));
        }
    }
}

/// The point under the pointer, on either side, and the line that is being drawn.
fn drawn_over_ui(ui: &Ui, projection: &Projection, scene: &LayoutScene, place: Place, radius: f32) {
    let painter = ui.painter().with_clip_rect(place.rect);
    let palette = palette(ui.visuals());
    let hovered = projection.hovered.and_then(|hovered| projection.same(hovered, place.side));
    if let Some(at) = hovered.and_then(|point| scene.places.get(point as usize)) {
        painter.circle_stroke(place.on_screen(*at), radius + 2.5, Stroke::new(2.0, palette.hover));
    }
    let (side, line) = &projection.line;
    if *side == place.side && line.len() > 1 {
        let line: Vec<Pos2> = line.iter().map(|at| place.on_screen(*at)).collect();
        painter.add(Shape::convex_polygon(line.clone(), Color32::TRANSPARENT, Stroke::NONE));
        painter.add(Shape::closed_line(line, Stroke::new(1.5, palette.accent)));
    }
}

/// Wheel and pinch zoom about the pointer, drags move, a double click shows all.
fn navigate(ui: &Ui, response: &Response, place: Place, whole: LayoutView, actions: &mut Actions) {
    if response.double_clicked() {
        actions.push(LayoutAction::SetView(place.side, None));
        return;
    }
    let mut view = place.view;
    let tool_pans = response.dragged_by(egui::PointerButton::Secondary)
        || response.dragged_by(egui::PointerButton::Middle);
    if tool_pans {
        let moved = response.drag_delta() / view.scale;
        view.centre = [view.centre[0] - moved.x, view.centre[1] + moved.y];
    }
    if let Some(pointer) = response.hover_pos() {
        let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
        let factor = pinch * (scroll * 0.004).exp();
        if (factor - 1.0).abs() > 1e-4 {
            let at = place.on_map(pointer);
            let scale = (view.scale * factor).clamp(whole.scale * 0.2, whole.scale * 400.0);
            let kept = view.scale / scale;
            view.centre = [0, 1].map(|axis| at[axis] + (view.centre[axis] - at[axis]) * kept);
            view.scale = scale;
        }
    }
    if view != place.view {
        actions.push(LayoutAction::SetView(place.side, Some(view)));
    }
}

/// Drags with the first button do what the tool says.
fn draw_line(
    ui: &Ui,
    response: &Response,
    projection: &Projection,
    scene: &LayoutScene,
    place: Place,
    actions: &mut Actions,
) {
    let by_first =
        |of: fn(&Response, egui::PointerButton) -> bool| of(response, egui::PointerButton::Primary);
    let Some(at) = response.interact_pointer_pos().map(|at| place.on_map(at)) else { return };
    match projection.tool {
        Tool::Pan => {
            if by_first(Response::dragged_by) {
                let moved = response.drag_delta() / place.view.scale;
                let centre = [place.view.centre[0] - moved.x, place.view.centre[1] + moved.y];
                actions.push(LayoutAction::SetView(place.side, Some(LayoutView { centre, ..place.view })));
            }
        }
        Tool::Box | Tool::Lasso => {
            let (drawn_on, drawn) = &projection.line;
            let mut line = if *drawn_on == place.side { drawn.clone() } else { Vec::new() };
            if by_first(Response::drag_started_by) || (by_first(Response::dragged_by) && line.is_empty()) {
                // A drag is known for one only some way after its beginning.
                let origin = ui.input(|input| input.pointer.press_origin());
                line = vec![origin.map_or(at, |origin| place.on_map(origin))];
            }
            if by_first(Response::dragged_by) {
                if projection.tool == Tool::Box {
                    line = around(line[0], at).to_vec();
                } else if line.last() != Some(&at) {
                    line.push(at);
                }
                actions.push(LayoutAction::Draw(place.side, line.clone()));
            }
            if by_first(Response::drag_stopped_by) {
                let inside = scene.picker.inside(&line);
                actions.push(LayoutAction::Select(
                    place.side,
                    inside.into_iter().filter(|i| scene.shown[*i as usize]).collect(),
                ));
            }
        }
    }
}

/// The nearest point is hovered; a click opens its sample, one on nothing chooses nothing.
fn point_at(
    response: &Response,
    projection: &Projection,
    scene: &LayoutScene,
    place: Place,
    actions: &mut Actions,
) {
    let nearest = response.hover_pos().and_then(|pointer| {
        scene.picker.nearest(place.on_map(pointer), REACH / place.view.scale, |i| scene.shown[i as usize])
    });
    let nearest = nearest.map(|point| SidePoint { side: place.side, point });
    // Of two sides that the pointer is not on neither speaks for the other.
    if nearest != projection.hovered.filter(|own| own.side == place.side) {
        actions.push(LayoutAction::Hover(nearest));
    }
    if response.clicked() {
        match nearest {
            Some(point) => actions.push(LayoutAction::Open(point)),
            None => actions.push(LayoutAction::Select(place.side, Vec::new())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screen_and_map_agree_and_all_fits() {
        let places = [[-3.0, 2.0], [5.0, -1.0], [0.0, 0.5]];
        let rect = Rect::from_min_size(pos2(20.0, 10.0), vec2(300.0, 200.0));
        let place = Place { side: 0, rect, view: fit(&places, rect.size()) };
        for at in places {
            let on_screen = place.on_screen(at);
            assert!(rect.contains(on_screen));
            let back = place.on_map(on_screen);
            assert!((back[0] - at[0]).abs() < 1e-4 && (back[1] - at[1]).abs() < 1e-4);
        }
        // Up on the layout is up on the screen.
        assert!(place.on_screen([0.0, 1.0]).y < place.on_screen([0.0, 0.0]).y);
        for few in [&[][..], &[[1.0, 1.0]], &[[f32::NAN, 0.0]]] {
            let view = fit(few, rect.size());
            assert!(view.scale.is_finite() && view.scale > 0.0 && view.centre.iter().all(|v| v.is_finite()));
        }
    }
}
