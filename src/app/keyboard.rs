//! A key for everything, told in one table that the help shows and the window obeys.

use egui::{Key, KeyboardShortcut, Modifiers};

use super::actions::Action;
use super::state::{CanvasView, PathKind, State};
use crate::analysis::maps::Selection;
use crate::settings::MaskKind;
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
    /// As the help shows it.
    pub keys: &'static str,
    /// As the help explains it.
    pub does: &'static str,
    shortcut: KeyboardShortcut,
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

const fn shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::SHIFT, key)
}

/// All of them. Longer modifiers come first, so that they win.
pub const BINDINGS: &[Binding] = &[
    Binding {
        keys: "Ctrl+Enter",
        does: "Ask",
        shortcut: ctrl(Key::Enter),
        when: When::Always,
        action: |_| Action::Ask,
    },
    Binding {
        keys: "Esc",
        does: "Stop, or clear messages",
        shortcut: plain(Key::Escape),
        when: When::Always,
        action: |_| Action::Cancel,
    },
    Binding {
        keys: "Ctrl+Shift+O",
        does: "Open adapter…",
        shortcut: ctrl_shift(Key::O),
        when: When::Always,
        action: |_| Action::OpenPathDialog(PathKind::Adapter),
    },
    Binding {
        keys: "Ctrl+O",
        does: "Open model…",
        shortcut: ctrl(Key::O),
        when: When::Always,
        action: |_| Action::OpenPathDialog(PathKind::Model),
    },
    Binding {
        keys: "Ctrl+I",
        does: "Open images…",
        shortcut: ctrl(Key::I),
        when: When::Always,
        action: |_| Action::OpenPathDialog(PathKind::Images),
    },
    Binding {
        keys: "F1",
        does: "Show these keys",
        shortcut: plain(Key::F1),
        when: When::Always,
        action: |_| Action::ToggleHelp,
    },
    Binding {
        keys: "Ctrl+Z",
        does: "Undo a change of the images",
        shortcut: ctrl(Key::Z),
        when: When::NotTyping,
        action: |_| Action::UndoImages,
    },
    Binding {
        keys: "Shift+→",
        does: "Move the view right",
        shortcut: shift(Key::ArrowRight),
        when: When::NotTyping,
        action: |s| pan(s, -1.0, 0.0),
    },
    Binding {
        keys: "Shift+←",
        does: "Move the view left",
        shortcut: shift(Key::ArrowLeft),
        when: When::NotTyping,
        action: |s| pan(s, 1.0, 0.0),
    },
    Binding {
        keys: "Shift+↓",
        does: "Move the view down",
        shortcut: shift(Key::ArrowDown),
        when: When::NotTyping,
        action: |s| pan(s, 0.0, -1.0),
    },
    Binding {
        keys: "Shift+↑",
        does: "Move the view up",
        shortcut: shift(Key::ArrowUp),
        when: When::NotTyping,
        action: |s| pan(s, 0.0, 1.0),
    },
    Binding {
        keys: "/",
        does: "Write the question",
        shortcut: plain(Key::Slash),
        when: When::NotTyping,
        action: |_| Action::FocusQuestion,
    },
    Binding {
        keys: "→",
        does: "Next latent or answer token",
        shortcut: plain(Key::ArrowRight),
        when: When::NothingFocused,
        action: |_| Action::StepQuery(1),
    },
    Binding {
        keys: "←",
        does: "Previous latent or answer token",
        shortcut: plain(Key::ArrowLeft),
        when: When::NothingFocused,
        action: |_| Action::StepQuery(-1),
    },
    Binding {
        keys: "↓",
        does: "Next layer",
        shortcut: plain(Key::ArrowDown),
        when: When::NothingFocused,
        action: |s| step_layer(s, 1),
    },
    Binding {
        keys: "↑",
        does: "Previous layer",
        shortcut: plain(Key::ArrowUp),
        when: When::NothingFocused,
        action: |s| step_layer(s, -1),
    },
    Binding {
        keys: "]",
        does: "Next head",
        shortcut: plain(Key::CloseBracket),
        when: When::NotTyping,
        action: |s| step_head(s, 1),
    },
    Binding {
        keys: "[",
        does: "Previous head",
        shortcut: plain(Key::OpenBracket),
        when: When::NotTyping,
        action: |s| step_head(s, -1),
    },
    Binding {
        keys: "A",
        does: "All layers and heads",
        shortcut: plain(Key::A),
        when: When::NotTyping,
        action: |s| Action::Select(Selection { layer: None, head: None, ..s.selection }),
    },
    Binding {
        keys: "M",
        does: "Stage-1 bottleneck mask on or off",
        shortcut: plain(Key::M),
        when: When::NotTyping,
        action: |s| toggle_mask(s),
    },
    Binding {
        keys: "L",
        does: "Latents on or off",
        shortcut: plain(Key::L),
        when: When::NotTyping,
        action: |s| Action::SetLatents(!s.persisted.latents_on),
    },
    Binding {
        keys: "S",
        does: "Smooth or sharp patches",
        shortcut: plain(Key::S),
        when: When::NotTyping,
        action: |s| {
            let mut style = s.persisted.style;
            style.smooth = !style.smooth;
            Action::SetStyle(style)
        },
    },
    Binding {
        keys: "+",
        does: "Zoom in",
        shortcut: plain(Key::Plus),
        when: When::NotTyping,
        action: |s| zoom(s, 1.25),
    },
    Binding {
        keys: "=",
        does: "Zoom in",
        shortcut: plain(Key::Equals),
        when: When::NotTyping,
        action: |s| zoom(s, 1.25),
    },
    Binding {
        keys: "-",
        does: "Zoom out",
        shortcut: plain(Key::Minus),
        when: When::NotTyping,
        action: |s| zoom(s, 0.8),
    },
    Binding {
        keys: "0",
        does: "Fit the images",
        shortcut: plain(Key::Num0),
        when: When::NotTyping,
        action: |_| Action::SetCanvas(CanvasView::default()),
    },
];

/// The Stage-1 switch.
pub fn toggle_mask(state: &State) -> Action {
    let on = state.persisted.mask == MaskKind::Bottleneck;
    Action::SetMask(if on { MaskKind::Standard } else { MaskKind::Bottleneck })
}

fn zoom(state: &State, factor: f32) -> Action {
    let zoom = (state.canvas.zoom * factor).clamp(super::canvas::MIN_ZOOM, super::canvas::MAX_ZOOM);
    Action::SetCanvas(CanvasView { zoom, pan: state.canvas.pan * (zoom / state.canvas.zoom) })
}

fn pan(state: &State, x: f32, y: f32) -> Action {
    const STEP: f32 = 60.0;
    Action::SetCanvas(CanvasView { pan: state.canvas.pan + STEP * egui::vec2(x, y), ..state.canvas })
}

/// Steps through all, 0, 1, .. and around.
fn step(current: Option<usize>, count: usize, by: isize) -> Option<usize> {
    let place = current.map_or(0, |i| i as isize + 1) + by;
    match place.rem_euclid(count as isize + 1) {
        0 => None,
        i => Some(i as usize - 1),
    }
}

fn step_layer(state: &State, by: isize) -> Action {
    let count = state.model.latest().map_or(0, |info| info.num_layers);
    let layer = step(state.selection.layer.map(|l| l.0), count, by).map(LayerIdx);
    Action::Select(Selection { layer, ..state.selection })
}

fn step_head(state: &State, by: isize) -> Action {
    let count = state.model.latest().map_or(0, |info| info.num_heads);
    let head = step(state.selection.head.map(|h| h.0), count, by).map(HeadIdx);
    Action::Select(Selection { head, ..state.selection })
}

/// What the keys pressed in this frame ask for.
pub fn actions(ctx: &egui::Context, state: &State) -> Vec<Action> {
    let typing = ctx.text_edit_focused();
    let focused = ctx.memory(|memory| memory.focused().is_some());
    let mut actions = Vec::new();
    ctx.input_mut(|input| {
        for binding in BINDINGS {
            let is_ours = match binding.when {
                When::Always => true,
                When::NotTyping => !typing,
                When::NothingFocused => !focused,
            };
            if is_ours && input.consume_shortcut(&binding.shortcut) {
                actions.push((binding.action)(state));
            }
        }
    });
    // While a dialog is open, Esc closes it and nothing else.
    if actions.contains(&Action::Cancel) {
        if state.path_dialog.is_some() {
            return vec![Action::ClosePathDialog];
        }
        if state.help_open {
            return vec![Action::ToggleHelp];
        }
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stepping_goes_through_all_and_around() {
        assert_eq!(step(None, 3, 1), Some(0));
        assert_eq!(step(Some(2), 3, 1), None);
        assert_eq!(step(None, 3, -1), Some(2));
        assert_eq!(step(Some(0), 3, -1), None);
        assert_eq!(step(None, 0, 1), None);
    }
}
