//! What can be asked of the window, by panels, keys, the command line and tests: nothing changes but by these.

use std::path::PathBuf;
use std::sync::Arc;

use super::path_kind::PathKind;
use super::state::ActionSearch;
use crate::analysis::maps::Scalar;
use crate::analysis::normalise::Normalisation;
use crate::analysis::query::{Query, Selection};
use crate::app::kit::geometry::{CanvasView, Hovered, Region};
use crate::app::parts::compare::CompareRows;
use crate::app::parts::data::DataForm;
use crate::app::parts::states::{LayoutForm, LayoutView, PictureOf, SidePoint, Tool};
use crate::app::parts::tiling::{Pane, Preset, Tiling};
use crate::app::parts::training::RecipeForm;
use crate::app::parts::view::{FigureForm, Strip};
use crate::app::session::SessionFile;
use crate::ask::{Edit, LatentChoice, MaskKind, PixelBudget, Published};
use crate::data::picture::Picture;
use crate::engine::ids::{ModelId, RunId, Source};
use crate::render::blend::OverlayStyle;

/// One wish; each kind has a handler of its own in `handle`.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Changes what is asked and how.
    Edit(EditAction),
    /// Changes what is seen.
    View(ViewAction),
    /// Changes the window itself.
    Window(WindowAction),
    /// Has work done.
    Job(JobAction),
    /// Changes the images.
    Images(ImagesAction),
    /// Trains.
    Train(TrainAction),
    /// Takes a built-in sample.
    Gallery(GalleryAction),
    /// Maps hidden states.
    Layout(LayoutAction),
    /// Goes through the runs.
    Run(RunAction),
    /// Sets things side by side.
    Compare(CompareAction),
    /// Goes through a data set.
    Data(DataAction),
    /// Takes something away, or brings it back.
    File(FileAction),
}

/// What is asked and how.
#[derive(Debug, Clone, PartialEq)]
pub enum EditAction {
    /// A letter typed in the question box.
    TypeQuestion(String),
    /// Another question in place of the one there.
    SetQuestion(String),
    /// The answers to choose from, as they are typed; empty for those the question offers.
    SetChoices(String),
    /// The attention mask.
    SetMask(MaskKind),
    /// The latents.
    SetLatents(LatentChoice),
    /// What is changed in runs.
    SetEdits(Vec<Edit>),
    /// The file that edits take states from.
    SetDonor(Option<PathBuf>),
    /// A statement is being written, or no more.
    WriteStatement(Option<String>),
    /// Length of the answer.
    SetMaxNewTokens(usize),
    /// Most pixels of an image.
    SetMaxPixels(PixelBudget),
    /// Keep every attention row, or those of latents and answer.
    KeepEveryRow(bool),
    /// The penalty on repetitions.
    SetRepetitionPenalty(Published<f32>),
    /// Takes the last change of question or images back.
    Undo,
    /// Brings it back.
    Redo,
}

/// What of a chosen region moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinEnd {
    /// All of it becomes the patch beside it.
    Patch,
    /// The corner across from where it was begun.
    FarCorner,
}

/// What is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ViewAction {
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
    /// Choose a patch or a region, or none.
    Pin(Option<Region>),
    /// A region is being drawn from this corner, or no more.
    DrawFrom(Option<Hovered>),
    /// Move the chosen patch, or the far corner of the region.
    MovePin {
        /// What of it.
        end: PinEnd,
        /// Downwards.
        rows: isize,
        /// To the right.
        cols: isize,
    },
    /// Give an image all the room, or each its own.
    Maximise(Option<usize>),
    /// Let layers go by, or stop.
    Play(bool),
    /// Show how attention differs from the base run's, or attention itself.
    SetDifference(bool),
    /// Show images at the size in which the model reads them, or as they are.
    SetAsRead(bool),
    /// What the strip of thumbnails shows.
    SetStrip(Strip),
    /// Layers and heads of the matrix by their means, or by their numbers.
    SortMatrix(bool),
}

/// The window itself: its panes, its dialogs, what it says.
#[derive(Debug, Clone, PartialEq)]
pub enum WindowAction {
    /// Light, dark, or as the system.
    SetTheme(egui::ThemePreference),
    /// Panes were moved or sized.
    SetLayout(Box<Tiling>),
    /// Panes as in a preset.
    UsePreset(Preset),
    /// Show or hide a pane.
    ShowPane(Pane, bool),
    /// Open or close the window of models.
    ToggleBrowser,
    /// Show or hide the list of keys.
    ToggleHelp,
    /// What is said at the first start was read.
    WordsRead,
    /// Look for an action by its name, or no more.
    SearchActions(Option<ActionSearch>),
    /// Give the next pane in sight the focus, or the one before.
    StepPane(isize),
    /// It has it, or another thing has.
    PaneFocused(Option<Pane>),
    /// Close a notice.
    DismissNotice(usize),
    /// Put the cursor in the question box.
    FocusQuestion,
    /// It is there.
    QuestionFocused,
    /// Open the dialog for a path.
    OpenPathDialog(PathKind),
    /// Edit the path in the dialog.
    EditPath(String),
    /// Close the dialog.
    ClosePathDialog,
}

/// Work.
#[derive(Debug, Clone, PartialEq)]
pub enum JobAction {
    /// Open a checkpoint, with an adapter or without.
    OpenModel {
        /// The checkpoint.
        base: Source,
        /// Its adapter.
        adapter: Option<Source>,
    },
    /// Put an adapter on the model in use or on its way, or take it off.
    SetAdapter(Option<Source>),
    /// Edit the name of a repository.
    EditRepository(String),
    /// Download it.
    Download,
    /// Stop that.
    StopDownload,
    /// See which models this machine has.
    LookForModels,
    /// Open what the path in the dialog names.
    TakePath,
    /// Open what these paths name, whatever they are.
    TakePaths(Vec<PathBuf>),
    /// Ask the system for a path.
    Browse(PathKind),
    /// Answer the question.
    Ask,
    /// Stop all work; where there is none, clear the notices.
    Stop,
}

/// Runs of the list.
#[derive(Debug, Clone, PartialEq)]
pub enum RunAction {
    /// Back to one: its maps, and the controls as they were.
    Show(RunId),
    /// Keep it, maps and all, when the list is full; or let it go.
    Pin(RunId, bool),
    /// Call it something.
    Name(RunId, String),
    /// Take it off the list.
    Delete(RunId),
    /// Bring the one back that was deleted last.
    UndoDelete,
    /// Compare the others with it, or with none.
    SetBase(Option<RunId>),
    /// Ask with and without the bottleneck, each with and without latents.
    AskFour,
    /// Put those back on the list that only the session's file holds, the latest of them.
    ShowOlder,
}

/// Checkpoints and conditions side by side.
#[derive(Debug, Clone, PartialEq)]
pub enum CompareAction {
    /// Another model behind the last.
    AddColumn(ModelId),
    /// Another model in a column.
    SetColumn(usize, ModelId),
    /// Takes a column away.
    RemoveColumn(usize),
    /// What rows there are.
    SetRows(CompareRows),
    /// Keeps what the controls say as a row of one's own.
    AddRow,
    /// Takes a row of one's own away.
    RemoveRow(usize),
    /// Shows by how much maps differ from the first column's, or maps themselves.
    SetDifference(bool),
    /// Asks what has no answer yet, and once more what failed.
    Ask,
}

/// A data set.
#[derive(Debug, Clone, PartialEq)]
pub enum DataAction {
    /// What of it is in sight changes.
    Edit(Box<DataForm>),
    /// Look at the built-in samples.
    OpenGallery,
    /// Put a record, by its number, into the window and ask it.
    Take(usize),
    /// Have every model of the comparison asked, or stop.
    AskAll(bool),
    /// Read small pictures of these records.
    Want(Vec<usize>),
}

/// Files and the clipboard.
#[derive(Debug, Clone, PartialEq)]
pub enum FileAction {
    /// Save the session under its name, or ask for one.
    SaveSession,
    /// Take up a session.
    OpenSession(PathBuf),
    /// Take up a session that was read, from this file.
    TakeSession(Box<SessionFile>),
    /// Take up what the window held when it was last closed.
    Reopen,
    /// How figures are made.
    SetFigure(FigureForm),
    /// Put the images under the map in hand on the clipboard.
    CopyMap,
    /// Put the command that makes the run in sight on the clipboard.
    CopyCommand,
    /// Put what a report of a fault should say on the clipboard.
    CopyReport,
    /// Open what a pasted text names.
    TakeText(String),
}

/// Images.
#[derive(Debug, Clone, PartialEq)]
pub enum ImagesAction {
    /// Read files and add them.
    Read(Vec<PathBuf>),
    /// Add pictures that can be shown at once.
    Add(Vec<Arc<Picture>>),
    /// Add pictures that came in a lump, once they can be shown.
    Take(Vec<Arc<Picture>>),
    /// Ask the system for what is on the clipboard.
    Paste,
    /// Take one out.
    Remove(usize),
    /// Move one a place towards the first.
    MoveEarlier(usize),
    /// Move one a place towards the last.
    MoveLater(usize),
    /// Move one to the place of another.
    MoveTo(usize, usize),
    /// Call one something.
    Rename(usize, String),
    /// Take all out.
    Clear,
}

/// Training.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainAction {
    /// Open or close its window.
    Toggle,
    /// Fill in the recipe.
    EditForm(Box<RecipeForm>),
    /// Edit the path of the recipe.
    EditRecipe(String),
    /// Edit the path of the run's folder.
    EditFolder(String),
    /// Go on with what the folder holds, or begin anew.
    SetResume(bool),
    /// Ask the system for one of the paths.
    Browse(PathKind),
    /// Start.
    Start,
    /// Save the state and stop.
    Stop,
    /// Show a look at the probe sample.
    ShowProbe(usize),
    /// Show that look in the other panes.
    ProbeToPanes,
    /// Show each new look as it comes.
    Follow(bool),
    /// Put the probe sample's images and question in the window.
    TakeProbe,
}

/// Built-in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GalleryAction {
    /// Open or close their window.
    Toggle,
    /// Put the images of the one taken last in the window, as at a start; where its question is there too, ask it.
    Return,
    /// Put one in the window and ask it.
    Take(usize),
    /// The next, or the one before.
    Step(isize),
}

/// Maps of hidden states.
#[derive(Debug, Clone, PartialEq)]
pub enum LayoutAction {
    /// Open or close their window.
    Toggle,
    /// What is asked for, or how it is looked at, changes.
    Edit(Box<LayoutForm>),
    /// Ask the system for a data file.
    Browse,
    /// Keep what states are not kept yet, and make the layout.
    Start,
    /// Stop.
    Stop,
    /// Show the map of another layer, so many on.
    StepLayer(isize),
    /// Show this one, by its place.
    ShowLayer(usize),
    /// What drags do.
    SetTool(Tool),
    /// Zoom and pan on a side; nothing for all of it.
    SetView(usize, Option<LayoutView>),
    /// The point under the pointer.
    Hover(Option<SidePoint>),
    /// The line or box being drawn, and on which side.
    Draw(usize, Vec<[f32; 2]>),
    /// Choose these of a side.
    Select(usize, Vec<u32>),
    /// Show the samples of what is chosen as rows of data.
    ToData,
    /// Put a point's sample in the window and ask it, with its latent or patch shown.
    Open(SidePoint),
    /// Show another model's layout of the same samples beside, or none.
    SetBeside(Option<ModelId>),
    /// Make pieces of images in the place of these points.
    Crop(Vec<PictureOf>),
}

/// A kind of action is an action.
macro_rules! kinds {
    ($($kind:ident($actions:ident)),* $(,)?) => {
        $(impl From<$actions> for Action {
            fn from(action: $actions) -> Self {
                Self::$kind(action)
            }
        })*
    };
}

kinds! {
    Edit(EditAction),
    View(ViewAction),
    Window(WindowAction),
    Job(JobAction),
    Images(ImagesAction),
    Train(TrainAction),
    Gallery(GalleryAction),
    Layout(LayoutAction),
    Run(RunAction),
    Compare(CompareAction),
    Data(DataAction),
    File(FileAction),
}

/// Where panels put what they ask for.
#[derive(Debug, Default)]
pub struct Actions(Vec<Action>);

impl Actions {
    /// Asks for something.
    pub fn push(&mut self, action: impl Into<Action>) {
        self.0.push(action.into());
    }

    /// Was this asked for?
    pub fn contains(&self, action: &Action) -> bool {
        self.0.contains(action)
    }
}

impl IntoIterator for Actions {
    type Item = Action;
    type IntoIter = std::vec::IntoIter<Action>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
