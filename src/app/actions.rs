//! What a panel can ask for.

use std::path::PathBuf;

use super::state::{CanvasView, Hovered, PathKind};
use crate::analysis::maps::{Query, Scalar, Selection};
use crate::analysis::normalise::Normalisation;
use crate::render::blend::OverlayStyle;
use crate::settings::MaskKind;

/// One wish of the user; [`super::update`] has one arm for each.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Open the dialog for a path.
    OpenPathDialog(PathKind),
    /// Edit the path in the dialog.
    EditPath(String),
    /// Take the path in the dialog.
    TakePath,
    /// Close the dialog.
    ClosePathDialog,
    /// Ask the system for a path.
    Browse(PathKind),
    /// Load a checkpoint folder.
    LoadModel(PathBuf),
    /// Load the built-in demo.
    LoadDemo,
    /// Put an adapter on, or take it off.
    SetAdapter(Option<PathBuf>),
    /// Read images and add them.
    ReadImages(Vec<PathBuf>),
    /// Ask the system for what is on the clipboard.
    Paste,
    /// Take an image out.
    RemoveImage(usize),
    /// Move an image one place; true for later.
    MoveImage(usize, bool),
    /// Take all images out.
    ClearImages,
    /// Bring the last removed images back.
    UndoImages,
    /// Edit the question.
    SetPrompt(String),
    /// Put the cursor in the question box.
    FocusQuestion,
    /// Ask.
    Ask,
    /// Stop all work.
    Cancel,
    /// Choose the attention mask.
    SetMask(MaskKind),
    /// Latents on or off.
    SetLatents(bool),
    /// Length of the answer.
    SetMaxNewTokens(usize),
    /// Whose attention to show.
    SelectQuery(Query),
    /// Go to the next latent or answer token, or back.
    StepQuery(isize),
    /// Which layers and heads.
    Select(Selection),
    /// What the matrix shows.
    SetScalar(Scalar),
    /// How maps lie over images.
    SetStyle(OverlayStyle),
    /// How maps get their range.
    SetNormalisation(Normalisation),
    /// Zoom and pan.
    SetCanvas(CanvasView),
    /// The patch under the pointer.
    Hover(Option<Hovered>),
    /// Light, dark, or as the system.
    SetTheme(egui::ThemePreference),
    /// Show or hide the list of keys.
    ToggleHelp,
    /// Close a notice.
    DismissNotice(usize),
}
