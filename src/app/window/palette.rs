//! Every action by its name: keys, adapters, panes, samples and runs, found by letters of their names.

use egui::{Id, Key, KeyboardShortcut, Modal, Modifiers, Role, ScrollArea, TextEdit, Ui};

use crate::analysis::query::Query;
use crate::app::hub::actions::{
    Action, Actions, EditAction, GalleryAction, JobAction, RunAction, WindowAction,
};
use crate::app::hub::keyboard::{BINDINGS, does, keys};
use crate::app::hub::state::{ActionSearch, State};
use crate::app::kit::theme::palette;
use crate::app::kit::widgets::name_widget;
use crate::app::parts::tiling::Pane;
use crate::app::rooms::maps::latent_menu::latent_edits;
use crate::engine::demo::{self, DemoAdapter};
use crate::engine::ids::Source;

/// Something that can be done.
struct Entry {
    name: String,
    shortcut: Option<KeyboardShortcut>,
    action: Action,
}

impl Entry {
    fn new(name: String, action: impl Into<Action>) -> Self {
        Self { name, shortcut: None, action: action.into() }
    }

    /// Are all words there, whatever their case and order?
    fn is_found(&self, words: &[String]) -> bool {
        let name = self.name.to_lowercase();
        words.iter().all(|word| name.contains(word))
    }
}

/// Draws it where it is open.
pub fn palette_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let Some(search) = &state.ui.action_search else { return };
    let words: Vec<String> = search.text.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let found: Vec<Entry> = entries(state).into_iter().filter(|entry| entry.is_found(&words)).collect();
    let chosen = search.chosen.min(found.len().saturating_sub(1));
    let (step, taken) = ui.input_mut(|input| {
        let mut pressed = |key| input.consume_key(Modifiers::NONE, key);
        (isize::from(pressed(Key::ArrowDown)) - isize::from(pressed(Key::ArrowUp)), pressed(Key::Enter))
    });
    let modal = Modal::new(Id::unique("actions")).show(ui.ctx(), |ui| {
        let screen = ui.ctx().content_rect().size();
        ui.set_width(520.0_f32.min(screen.x - 60.0));
        let mut text = search.text.clone();
        let field = TextEdit::singleline(&mut text).hint_text("What to do").desired_width(f32::INFINITY);
        let field = ui.add(field);
        name_widget(ui, &field, Role::TextInput, None, || "What to do".to_owned());
        field.request_focus();
        if field.changed() {
            actions.push(WindowAction::SearchActions(Some(ActionSearch { text, chosen: 0 })));
        }
        // Of one size, whatever is found: what is about to be clicked stays where it is.
        let height = (screen.y - 200.0).clamp(80.0, 420.0);
        ScrollArea::vertical().max_height(height).auto_shrink([false, false]).show(ui, |ui| {
            if found.is_empty() {
                ui.weak("Nothing is called so");
            }
            for (i, entry) in found.iter().enumerate() {
                if entry_ui(ui, entry, i == chosen, step != 0) {
                    take(actions, entry);
                }
            }
        });
    });
    if let (true, Some(entry)) = (taken, found.get(chosen)) {
        take(actions, entry);
    } else if step != 0 && !found.is_empty() {
        let chosen = (chosen as isize + step).rem_euclid(found.len() as isize) as usize;
        actions.push(WindowAction::SearchActions(Some(ActionSearch { chosen, ..search.clone() })));
    } else if modal.should_close() {
        actions.push(WindowAction::SearchActions(None));
    }
}

/// Closes the list first: what is taken may open something else.
fn take(actions: &mut Actions, entry: &Entry) {
    actions.push(WindowAction::SearchActions(None));
    actions.push(entry.action.clone());
}

fn entry_ui(ui: &mut Ui, entry: &Entry, is_chosen: bool, scroll: bool) -> bool {
    let palette = palette(ui.visuals());
    let colour = if is_chosen { palette.on_accent } else { palette.text };
    let name = egui::RichText::new(&entry.name).color(colour);
    let mut button = egui::Button::selectable(is_chosen, name).truncate();
    if let Some(shortcut) = entry.shortcut {
        button = button.shortcut_text(egui::RichText::new(keys(ui.ctx(), &shortcut)).color(colour));
    }
    let response = ui.add(button.min_size([ui.available_width(), 0.0].into()));
    name_widget(ui, &response, Role::Button, Some(is_chosen), || entry.name.clone());
    if is_chosen && scroll {
        response.scroll_to_me(None);
    }
    response.clicked()
}

/// All there is to do, what has a key first.
fn entries(state: &State) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for binding in BINDINGS.iter().filter(|own| ![does::STOP, does::ACTIONS].contains(&own.does)) {
        if entries.iter().all(|entry| entry.name != binding.does) {
            let shortcut = Some(binding.shortcut);
            entries.push(Entry { shortcut, ..Entry::new(binding.does.to_owned(), binding.action(state)) });
        }
    }
    let chosen = state.models.chosen();
    if chosen.is_some_and(|model| model.base.source == Source::Demo) {
        entries.extend(DemoAdapter::ALL.into_iter().map(|own| {
            let source = Some(Source::DemoAdapter(own));
            Entry::new(format!("Adapter: {}", own.name()), JobAction::SetAdapter(source))
        }));
    }
    let recent = state.kept.recent_adapters.iter().map(|path| Source::Folder(path.clone()));
    entries.extend(recent.map(|source| {
        Entry::new(format!("Adapter: {}", source.name()), JobAction::SetAdapter(Some(source)))
    }));
    if chosen.is_some_and(|model| model.adapter.is_some()) {
        entries.push(Entry::new("Take the adapter off".to_owned(), JobAction::SetAdapter(None)));
    }
    entries.extend(Pane::ALL.into_iter().map(|pane| {
        let is_shown = state.kept.layout.is_shown(pane);
        let verb = if is_shown { "Hide" } else { "Show" };
        Entry::new(format!("{verb} {}", pane.title().to_lowercase()), WindowAction::ShowPane(pane, !is_shown))
    }));
    entries.push(Entry::new(
        "Change the run by a statement…".to_owned(),
        EditAction::WriteStatement(Some(String::new())),
    ));
    if let (Query::Latent(latent), true) = (state.panes.map.query, chosen.is_some()) {
        let edits = &state.kept.condition.edits;
        let own = latent_edits(latent, state.kept.view.selection.layer, edits);
        entries.extend(own.into_iter().map(|(name, edit)| {
            Entry::new(name, EditAction::SetEdits(edits.iter().cloned().chain([edit]).collect()))
        }));
    }
    let runs = state.runs.listed().iter().rev();
    entries.extend(runs.map(|own| Entry::new(format!("Show {}", own.title()), RunAction::Show(own.id))));
    let samples = demo::gallery().iter().enumerate();
    entries.extend(samples.map(|(i, record)| {
        let task = record.task.replace('_', " ");
        Entry::new(format!("Sample: {task}, {}", record.id), GalleryAction::Take(i))
    }));
    entries
}
