//! The first words, every key from the table the window obeys, what was logged last, and a report for whoever mends faults.

use egui::{Grid, Id, Modal, ScrollArea, Ui};

use super::first_words::words_ui;
use crate::app::hub::actions::{Action, Actions, FileAction, GalleryAction, WindowAction};
use crate::app::hub::keyboard::{BINDINGS, ELSEWHERE, keys};
use crate::app::hub::state::State;
use crate::logging;

/// Draws it where it is open.
pub fn help_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    if !state.ui.help_open {
        return;
    }
    let modal = Modal::new(Id::unique("help")).show(ui.ctx(), |ui| {
        let screen = ui.ctx().content_rect().size();
        let is_wide = screen.x > 1000.0;
        ui.set_width(if is_wide { 860.0 } else { 480.0_f32.min(screen.x - 60.0) });
        ui.heading("Help");
        ScrollArea::vertical().max_height((screen.y - 130.0).max(120.0)).show(ui, |ui| {
            words_ui(ui);
            ui.separator();
            keys_ui(ui, state, if is_wide { 2 } else { 1 });
            ui.weak("Tab moves between controls. Scroll zooms, drag moves, double-click fits the images; a click chooses a patch, Shift and drag a region.");
            messages_ui(ui);
        });
        ui.horizontal(|ui| {
            let report = ui.button("Copy a report").on_hover_text(
                "What a report of a fault should say: version, system, device, model, and the last messages",
            );
            if report.clicked() {
                actions.push(FileAction::CopyReport);
            }
            if ui.button("Close").clicked() {
                actions.push(WindowAction::ToggleHelp);
            }
        });
    });
    if modal.should_close() && !actions.contains(&WindowAction::ToggleHelp.into()) {
        actions.push(WindowAction::ToggleHelp);
    }
}

/// What keys are there for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Asking,
    Looking,
    Panes,
    Files,
}

impl Group {
    const ALL: [(Self, &str); 4] = [
        (Self::Asking, "Asking"),
        (Self::Looking, "Looking"),
        (Self::Panes, "Panes and lists"),
        (Self::Files, "Opening and saving"),
    ];

    fn of(action: &Action) -> Self {
        match action {
            Action::File(_) | Action::Window(WindowAction::OpenPathDialog(_)) => Self::Files,
            Action::Window(WindowAction::FocusQuestion) => Self::Asking,
            Action::Window(_)
            | Action::Train(_)
            | Action::Layout(_)
            | Action::Gallery(GalleryAction::Toggle) => Self::Panes,
            Action::View(_) | Action::Compare(_) => Self::Looking,
            _ => Self::Asking,
        }
    }
}

/// Every key, by what it is there for.
fn keys_ui(ui: &mut Ui, state: &State, columns: usize) {
    let elsewhere = ELSEWHERE.into_iter().map(|(shortcut, does, is_view)| {
        (if is_view { Group::Looking } else { Group::Asking }, shortcut, does)
    });
    let table = BINDINGS.iter().map(|own| (Group::of(&own.action(state)), own.shortcut, own.does));
    let mut all: Vec<_> = elsewhere.collect();
    // A key that several things obey is told once.
    for own in table {
        if !all.contains(&own) {
            all.push(own);
        }
    }
    ui.columns(columns, |columns| {
        let count = columns.len();
        for (i, (group, title)) in Group::ALL.into_iter().enumerate() {
            let ui = &mut columns[if count > 1 { usize::from(group != Group::Looking) } else { 0 }];
            ui.strong(title);
            Grid::new(("keys", i)).num_columns(2).spacing([16.0, 3.0]).show(ui, |ui| {
                for (_, shortcut, does) in all.iter().filter(|(own, ..)| *own == group) {
                    ui.monospace(keys(ui.ctx(), shortcut));
                    ui.add(egui::Label::new(*does).truncate());
                    ui.end_row();
                }
            });
            ui.add_space(6.0);
        }
    });
}

/// What was logged last, where anything was.
fn messages_ui(ui: &mut Ui) {
    let lines = logging::recent();
    if lines.is_empty() {
        return;
    }
    ui.separator();
    ui.strong("Last messages");
    ScrollArea::vertical().id_salt("messages").max_height(90.0).stick_to_bottom(true).show(ui, |ui| {
        for line in &lines {
            ui.small(line);
        }
    });
}
