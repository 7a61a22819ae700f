//! Widgets that several panels use.

use egui::{Response, Role, Ui, WidgetInfo};

/// Gives a hand-drawn widget a name for screen readers and tests.
pub fn name_widget(
    ui: &Ui,
    response: &Response,
    role: Role,
    selected: Option<bool>,
    label: impl Fn() -> String,
) {
    let enabled = ui.is_enabled();
    response.widget_info(|| match selected {
        Some(selected) => WidgetInfo::selected(role, enabled, selected, label()),
        None => WidgetInfo::labeled(role, enabled, label()),
    });
}

/// A bar from nothing to `share`.
pub fn bar_ui(ui: &mut Ui, share: f32, width: f32) {
    let palette = crate::app::kit::theme::palette(ui.visuals());
    let (rect, _) = ui.allocate_exact_size(egui::vec2(width, 8.0), egui::Sense::hover());
    let mut filled = rect;
    filled.set_width(rect.width() * share.clamp(0.0, 1.0));
    ui.painter().rect_filled(rect, 3.0, palette.trough);
    ui.painter().rect_filled(filled, 3.0, palette.accent);
}
