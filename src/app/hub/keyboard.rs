//! A key for everything, told once: in one table that the window obeys, the help shows and hints quote.

use egui::{Key, KeyboardShortcut, ModifierNames, Modifiers};

use super::actions::{
    Action, CompareAction, EditAction, FileAction, GalleryAction, JobAction, LayoutAction, PinEnd, RunAction,
    TrainAction, ViewAction, WindowAction,
};
use super::path_kind::PathKind;
use super::state::{ActionSearch, State};
use crate::analysis::query::Selection;
use crate::app::kit::geometry::{CanvasView, MAX_ZOOM, MIN_ZOOM};
use crate::app::parts::tiling::{Pane, Preset};
use crate::ask::{LatentChoice, MaskKind};
use crate::units::{HeadIdx, LayerIdx};

/// When a key is the window's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Always.
    Always,
    /// While no text is being edited.
    NotTyping,
    /// While no control has the focus: arrows move sliders, and the focus itself.
    NothingFocused,
}

/// One key and what it does.
pub struct Binding {
    /// As the help explains it.
    pub does: &'static str,
    /// As egui formats it for the system in use.
    pub shortcut: KeyboardShortcut,
    when: When,
    action: fn(&State) -> Action,
}

const fn plain(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::NONE, key)
}

const fn ctrl(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND, key)
}

const fn ctrl_shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), key)
}

const fn alt(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::ALT, key)
}

const fn alt_shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::ALT.plus(Modifiers::SHIFT), key)
}

const fn shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::SHIFT, key)
}

/// Asks, in the question box.
pub const ENTER: KeyboardShortcut = plain(Key::Enter);
/// A new line, in the question box.
pub const NEW_LINE: KeyboardShortcut = shift(Key::Enter);
/// The system's own.
pub const PASTE: KeyboardShortcut = ctrl(Key::V);

/// Keys that others than this table obey, for the list of keys, and whether they change what is seen.
pub const ELSEWHERE: [(KeyboardShortcut, &str, bool); 7] = [
    (ENTER, "Ask", false),
    (NEW_LINE, "New line in the question", false),
    (PASTE, "Paste images", false),
    (plain(PEEK), "The pictures without maps, while it is held", true),
    (ctrl(Key::Plus), "Everything larger", true),
    (ctrl(Key::Minus), "Everything smaller", true),
    (ctrl(Key::Num0), "Everything at its own size", true),
];

/// While it is held maps are not drawn.
pub const PEEK: Key = Key::H;

/// What controls do too, for hints at their keys.
pub mod does {
    pub const ASK: &str = "Ask";
    pub const STOP: &str = "Stop, clear messages, close what is open";
    pub const OPEN_ADAPTER: &str = "Open adapter…";
    pub const OPEN_MODEL: &str = "Open model…";
    pub const OPEN_IMAGES: &str = "Open images…";
    pub const TRAIN: &str = "Training window";
    pub const STATES: &str = "Layout of hidden states";
    pub const SAMPLES: &str = "Samples to begin with";
    pub const NEXT_SAMPLE: &str = "Ask the next sample";
    pub const PREVIOUS_SAMPLE: &str = "Ask the sample before";
    pub const FOUR: &str = "Mask and latents, each on and off, as a table";
    pub const KEYS: &str = "Show these keys";
    pub const UNDO: &str = "Undo a change of question, choices or images";
    pub const REDO: &str = "Redo";
    pub const MASK: &str = "Stage-1 bottleneck mask on or off";
    pub const LATENTS: &str = "Latents on or off";
    pub const SMOOTH: &str = "Smooth or sharp patches";
    pub const AS_READ: &str = "Images at the size in which the model reads them";
    pub const FIT: &str = "Fit the images";
    pub const BROWSE: &str = "Models of this machine";
    pub const PLAY: &str = "Play through the layers, or pause";
    pub const OPEN_SESSION: &str = "Open session…";
    pub const SAVE_SESSION: &str = "Save session";
    pub const SAVE_SESSION_AS: &str = "Save session as…";
    pub const REOPEN: &str = "Reopen the last session";
    pub const SAVE_FIGURE: &str = "Save figure…";
    pub const COPY_MAP: &str = "Copy the map";
    pub const COPY_COMMAND: &str = "Copy the run as a command";
    pub const COMPARE: &str = "Panes to compare checkpoints side by side";
    pub const ACTIONS: &str = "Every action by its name";
    pub const DIFFERENCE: &str = "Differences from the first column or the base run";
    /// All of them.
    pub const ALL: [&str; 31] = [
        ACTIONS,
        AS_READ,
        COMPARE,
        DIFFERENCE,
        SAVE_SESSION_AS,
        BROWSE,
        PLAY,
        OPEN_SESSION,
        SAVE_SESSION,
        REOPEN,
        SAVE_FIGURE,
        COPY_MAP,
        COPY_COMMAND,
        FOUR,
        ASK,
        STOP,
        OPEN_ADAPTER,
        OPEN_MODEL,
        OPEN_IMAGES,
        TRAIN,
        STATES,
        SAMPLES,
        NEXT_SAMPLE,
        PREVIOUS_SAMPLE,
        KEYS,
        UNDO,
        REDO,
        MASK,
        LATENTS,
        SMOOTH,
        FIT,
    ];
}

impl Binding {
    /// What it asks for.
    pub fn action(&self, state: &State) -> Action {
        (self.action)(state)
    }
}

const fn bind(
    does: &'static str,
    shortcut: KeyboardShortcut,
    when: When,
    action: fn(&State) -> Action,
) -> Binding {
    Binding { does, shortcut, when, action }
}

/// All of them. Longer modifiers come first, so that they win.
pub const BINDINGS: &[Binding] = &[
    bind(does::ASK, ctrl(Key::Enter), When::Always, |_| JobAction::Ask.into()),
    bind(does::ASK, ENTER, When::NothingFocused, |_| JobAction::Ask.into()),
    bind(does::STOP, plain(Key::Escape), When::Always, |_| JobAction::Stop.into()),
    bind(does::COPY_COMMAND, shift(Key::C), When::NotTyping, |_| FileAction::CopyCommand.into()),
    bind(does::REOPEN, ctrl_shift(Key::R), When::Always, |_| FileAction::Reopen.into()),
    bind(does::SAVE_SESSION_AS, ctrl_shift(Key::S), When::Always, |_| {
        WindowAction::OpenPathDialog(PathKind::SaveSession).into()
    }),
    bind(does::OPEN_SESSION, ctrl(Key::L), When::Always, |_| {
        WindowAction::OpenPathDialog(PathKind::OpenSession).into()
    }),
    bind(does::SAVE_SESSION, ctrl(Key::S), When::Always, |_| FileAction::SaveSession.into()),
    bind(does::SAVE_FIGURE, ctrl(Key::E), When::Always, |_| {
        WindowAction::OpenPathDialog(PathKind::Figure).into()
    }),
    bind(does::COPY_MAP, plain(Key::C), When::NotTyping, |_| FileAction::CopyMap.into()),
    bind(does::OPEN_ADAPTER, ctrl_shift(Key::O), When::Always, |_| {
        WindowAction::OpenPathDialog(PathKind::Adapter).into()
    }),
    bind(does::OPEN_MODEL, ctrl(Key::O), When::Always, |_| {
        WindowAction::OpenPathDialog(PathKind::Model).into()
    }),
    bind(does::BROWSE, ctrl(Key::B), When::Always, |_| WindowAction::ToggleBrowser.into()),
    bind(does::OPEN_IMAGES, ctrl(Key::I), When::Always, |_| {
        WindowAction::OpenPathDialog(PathKind::Images).into()
    }),
    bind(does::TRAIN, ctrl(Key::T), When::Always, |_| TrainAction::Toggle.into()),
    bind(does::STATES, ctrl(Key::P), When::Always, |_| LayoutAction::Toggle.into()),
    bind(does::SAMPLES, ctrl(Key::G), When::Always, |_| GalleryAction::Toggle.into()),
    bind(does::NEXT_SAMPLE, plain(Key::PageDown), When::Always, |_| GalleryAction::Step(1).into()),
    bind(does::PREVIOUS_SAMPLE, plain(Key::PageUp), When::Always, |_| GalleryAction::Step(-1).into()),
    bind("Panes to ask", ctrl(Key::Num1), When::Always, |_| WindowAction::UsePreset(Preset::Ask).into()),
    bind("Panes to inspect", ctrl(Key::Num2), When::Always, |_| {
        WindowAction::UsePreset(Preset::Inspect).into()
    }),
    bind("Panes to present", ctrl(Key::Num3), When::Always, |_| {
        WindowAction::UsePreset(Preset::Present).into()
    }),
    bind(does::COMPARE, ctrl(Key::Num4), When::Always, |_| WindowAction::UsePreset(Preset::Compare).into()),
    bind("Panes of hidden states", ctrl(Key::Num6), When::Always, |_| {
        WindowAction::UsePreset(Preset::States).into()
    }),
    bind("Panes to train", ctrl(Key::Num8), When::Always, |_| {
        WindowAction::UsePreset(Preset::Training).into()
    }),
    bind("Panes to look through a data set", ctrl(Key::Num7), When::Always, |_| {
        WindowAction::UsePreset(Preset::Data).into()
    }),
    bind(does::DIFFERENCE, plain(Key::D), When::NotTyping, toggle_difference),
    bind(does::FOUR, ctrl(Key::M), When::Always, |_| RunAction::AskFour.into()),
    bind(does::ACTIONS, ctrl(Key::K), When::Always, |_| {
        WindowAction::SearchActions(Some(ActionSearch::default())).into()
    }),
    bind("The pane before", shift(Key::F6), When::Always, |_| WindowAction::StepPane(-1).into()),
    bind("The next pane", plain(Key::F6), When::Always, |_| WindowAction::StepPane(1).into()),
    bind(does::KEYS, plain(Key::F1), When::Always, |_| WindowAction::ToggleHelp.into()),
    bind(does::REDO, ctrl_shift(Key::Z), When::NotTyping, |_| EditAction::Redo.into()),
    bind(does::UNDO, ctrl(Key::Z), When::NotTyping, |_| EditAction::Undo.into()),
    bind("Stretch the region right", alt_shift(Key::ArrowRight), When::Always, |_| stretch(0, 1)),
    bind("Stretch the region left", alt_shift(Key::ArrowLeft), When::Always, |_| stretch(0, -1)),
    bind("Stretch the region down", alt_shift(Key::ArrowDown), When::Always, |_| stretch(1, 0)),
    bind("Stretch the region up", alt_shift(Key::ArrowUp), When::Always, |_| stretch(-1, 0)),
    bind(
        "Choose the patch looked at most, or the next to the right",
        alt(Key::ArrowRight),
        When::Always,
        |_| pin(0, 1),
    ),
    bind("Choose the patch to the left", alt(Key::ArrowLeft), When::Always, |_| pin(0, -1)),
    bind("Choose the patch below", alt(Key::ArrowDown), When::Always, |_| pin(1, 0)),
    bind("Choose the patch above", alt(Key::ArrowUp), When::Always, |_| pin(-1, 0)),
    bind("Move the view right", shift(Key::ArrowRight), When::NotTyping, |s| pan(s, -1.0, 0.0)),
    bind("Move the view left", shift(Key::ArrowLeft), When::NotTyping, |s| pan(s, 1.0, 0.0)),
    bind("Move the view down", shift(Key::ArrowDown), When::NotTyping, |s| pan(s, 0.0, -1.0)),
    bind("Move the view up", shift(Key::ArrowUp), When::NotTyping, |s| pan(s, 0.0, 1.0)),
    bind("Write the question", plain(Key::Slash), When::NotTyping, |_| WindowAction::FocusQuestion.into()),
    bind("Next latent or answer token", plain(Key::ArrowRight), When::NothingFocused, |_| {
        ViewAction::StepQuery(1).into()
    }),
    bind("Previous latent or answer token", plain(Key::ArrowLeft), When::NothingFocused, |_| {
        ViewAction::StepQuery(-1).into()
    }),
    bind("Next layer", plain(Key::ArrowDown), When::NothingFocused, |s| step_layer(s, 1)),
    bind("Previous layer", plain(Key::ArrowUp), When::NothingFocused, |s| step_layer(s, -1)),
    bind("Next head", plain(Key::CloseBracket), When::NotTyping, |s| step_head(s, 1)),
    bind("Previous head", plain(Key::OpenBracket), When::NotTyping, |s| step_head(s, -1)),
    bind(does::PLAY, plain(Key::Space), When::NothingFocused, |s| {
        ViewAction::Play(!s.panes.map.playing).into()
    }),
    bind("All layers and heads", plain(Key::A), When::NotTyping, |s| {
        select(Selection { layer: None, head: None, ..s.kept.view.selection })
    }),
    bind(does::MASK, plain(Key::M), When::NotTyping, toggle_mask),
    bind(does::LATENTS, plain(Key::L), When::NotTyping, toggle_latents),
    bind(does::SMOOTH, plain(Key::S), When::NotTyping, toggle_smooth),
    bind(does::AS_READ, plain(Key::R), When::NotTyping, |s| {
        ViewAction::SetAsRead(!s.kept.view.as_read).into()
    }),
    bind("Zoom in", plain(Key::Plus), When::NotTyping, |s| zoom(s, 1.25)),
    bind("Zoom in", plain(Key::Equals), When::NotTyping, |s| zoom(s, 1.25)),
    bind("Zoom out", plain(Key::Minus), When::NotTyping, |s| zoom(s, 0.8)),
    bind(does::FIT, plain(Key::Num0), When::NotTyping, |_| {
        ViewAction::SetCanvas(CanvasView::default()).into()
    }),
];

/// egui's own arrows, which are not in its monospaced font, and some that are.
const ARROWS: [(&str, &str); 4] = [("⏵", "→"), ("⏴", "←"), ("⏷", "↓"), ("⏶", "↑")];

/// A shortcut as egui formats it for the system in use, keys by their signs.
pub fn keys(ctx: &egui::Context, shortcut: &KeyboardShortcut) -> String {
    if ctx.os().is_mac() {
        return ctx.format_shortcut(shortcut);
    }
    let text = shortcut.format(&ModifierNames { is_short: true, ..ModifierNames::NAMES }, false);
    ARROWS.iter().fold(text, |text, (theirs, ours)| text.replace(theirs, ours))
}

/// The key of what a control does too, for its hint; nothing where there is none.
pub fn hint(ctx: &egui::Context, does: &str) -> String {
    let binding = BINDINGS.iter().find(|binding| binding.does == does);
    binding.map(|binding| keys(ctx, &binding.shortcut)).unwrap_or_default()
}

/// The Stage-1 switch.
pub fn toggle_mask(state: &State) -> Action {
    let on = state.kept.condition.mask == MaskKind::Bottleneck;
    EditAction::SetMask(if on { MaskKind::Standard } else { MaskKind::Bottleneck }).into()
}

/// Of cells side by side, else of the run in sight.
fn toggle_difference(state: &State) -> Action {
    if state.is_comparing() {
        CompareAction::SetDifference(!state.compare.difference).into()
    } else {
        ViewAction::SetDifference(!state.kept.view.difference).into()
    }
}

fn toggle_latents(state: &State) -> Action {
    let on = state.kept.condition.latents != LatentChoice::Off;
    EditAction::SetLatents(if on { LatentChoice::Off } else { LatentChoice::Auto }).into()
}

fn toggle_smooth(state: &State) -> Action {
    let mut style = state.kept.view.style;
    style.smooth = !style.smooth;
    ViewAction::SetStyle(style).into()
}

fn zoom(state: &State, factor: f32) -> Action {
    let canvas = state.panes.map.canvas;
    let zoom = (canvas.zoom * factor).clamp(MIN_ZOOM, MAX_ZOOM);
    ViewAction::SetCanvas(CanvasView { zoom, pan: canvas.pan * (zoom / canvas.zoom) }).into()
}

fn pan(state: &State, x: f32, y: f32) -> Action {
    const STEP: f32 = 60.0;
    let canvas = state.panes.map.canvas;
    ViewAction::SetCanvas(CanvasView { pan: canvas.pan + STEP * egui::vec2(x, y), ..canvas }).into()
}

fn pin(rows: isize, cols: isize) -> Action {
    ViewAction::MovePin { end: PinEnd::Patch, rows, cols }.into()
}

fn stretch(rows: isize, cols: isize) -> Action {
    ViewAction::MovePin { end: PinEnd::FarCorner, rows, cols }.into()
}

fn select(selection: Selection) -> Action {
    ViewAction::Select(selection).into()
}

/// Steps through all, 0, 1, .. and around.
fn step(current: Option<usize>, count: usize, by: isize) -> Option<usize> {
    let place = current.map_or(0, |i| i as isize + 1) + by;
    match place.rem_euclid(count as isize + 1) {
        0 => None,
        i => Some(i as usize - 1),
    }
}

/// The next layer, or the one before; all of them between the last and the first.
pub fn step_layer(state: &State, by: isize) -> Action {
    let selection = state.kept.view.selection;
    let (count, _) = dims(state);
    let layer = step(selection.layer.map(|l| l.0), count, by).map(LayerIdx);
    select(Selection { layer, ..selection })
}

/// Layers and heads of the run in sight, or of the model that will answer.
fn dims(state: &State) -> (usize, usize) {
    let of_run = state.shown_run().map(|run| run.trace.attention_dims()).filter(|dims| dims.0 > 0);
    let of_model = || state.models.in_use.as_ref().map_or((0, 0), |info| (info.num_layers, info.num_heads));
    of_run.unwrap_or_else(of_model)
}

fn step_head(state: &State, by: isize) -> Action {
    let selection = state.kept.view.selection;
    let (_, count) = dims(state);
    let head = step(selection.head.map(|h| h.0), count, by).map(HeadIdx);
    select(Selection { head, ..selection })
}

/// What the keys pressed in this frame ask for.
pub fn actions(ctx: &egui::Context, state: &State) -> Vec<Action> {
    let typing = ctx.text_edit_focused();
    // A pane that has the focus as a whole leaves the window its keys.
    let of_pane = state.ui.focused_pane.map(Pane::id);
    let focused = ctx.memory(egui::Memory::focused).is_some_and(|id| Some(id) != of_pane);
    // A menu is closed by Escape first.
    let menu_open = egui::Popup::is_any_open(ctx);
    let mut actions = Vec::new();
    ctx.input_mut(|input| {
        for binding in BINDINGS {
            let is_ours = match binding.when {
                // What is pressed while a menu is open is the menu's.
                _ if menu_open => binding.when == When::Always,
                When::Always => true,
                When::NotTyping => !typing,
                When::NothingFocused => !focused,
            };
            let is_menus = menu_open && binding.shortcut.logical_key == Key::Escape;
            if is_ours && !is_menus && input.consume_shortcut(&binding.shortcut) {
                actions.push((binding.action)(state));
            }
        }
    });
    // While a dialog is open, Esc closes it and nothing else.
    if actions.contains(&JobAction::Stop.into()) {
        if state.ui.path_dialog.is_some() {
            return vec![WindowAction::ClosePathDialog.into()];
        }
        if state.ui.action_search.is_some() {
            return vec![WindowAction::SearchActions(None).into()];
        }
        if state.ui.help_open {
            return vec![WindowAction::ToggleHelp.into()];
        }
        let is_idle =
            state.runs.asked.is_none() && state.models.opening.is_none() && state.ui.notices.is_empty();
        if is_idle {
            let open: [(bool, Action); 4] = [
                (!state.kept.words_read, WindowAction::WordsRead.into()),
                (state.ui.browser_open, WindowAction::ToggleBrowser.into()),
                (state.gallery.open, GalleryAction::Toggle.into()),
                (state.panes.map.pinned.is_some(), ViewAction::Pin(None).into()),
            ];
            if let Some((_, close)) = open.into_iter().find(|(is_open, _)| *is_open) {
                return vec![close];
            }
        }
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hint_names_a_key() {
        let ctx = egui::Context::default();
        for does in does::ALL {
            assert!(!hint(&ctx, does).is_empty(), "{does}");
        }
        assert_eq!(hint(&ctx, "nothing at all"), "");
    }

    #[test]
    fn stepping_goes_through_all_and_around() {
        assert_eq!(step(None, 3, 1), Some(0));
        assert_eq!(step(Some(2), 3, 1), None);
        assert_eq!(step(None, 3, -1), Some(2));
        assert_eq!(step(Some(0), 3, -1), None);
        assert_eq!(step(None, 0, 1), None);
    }
}
