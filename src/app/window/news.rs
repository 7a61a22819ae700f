//! What the disk and the system's dialogs say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::jobs;
use crate::app::hub::actions::EditAction;
use crate::app::hub::controller::Controller;
use crate::app::hub::files::FileEvent;
use crate::app::hub::path_kind::PathKind;
use crate::app::hub::state::PathDialog;
use crate::app::rooms::maps::exports;
use crate::app::rooms::models::shelf;
use crate::app::rooms::{ask, data, runs, sessions, states, train};
use crate::data::picture::Picture;

/// Takes what came of reading files and of the system's dialogs.
pub fn drain(controller: &mut Controller) {
    while let Some(event) = controller.files.poll() {
        match event {
            FileEvent::ImagesToRead(count) => controller.state.ui.reading.begin(count),
            FileEvent::ImageRead { first, left, read } => image_read(controller, first, left, read),
            FileEvent::Found(kind, Err(problem)) | FileEvent::Unnamed(kind, problem) => {
                controller.unnamed(kind, problem);
            }
            FileEvent::Completions(text, completions) => {
                if let Some(dialog) = controller.state.ui.path_dialog.as_mut().filter(|own| own.text == text)
                {
                    dialog.completions = completions;
                }
            }
            FileEvent::Noted(note) => controller.state.notify(note),
            FileEvent::Downloading(share) => {
                if let Some(download) = &mut controller.state.models.download {
                    download.share = share;
                }
            }
            FileEvent::Downloaded(end) => shelf::downloaded(controller, end),
            FileEvent::ShelfSeen(shelf) => controller.state.models.shelf = Some(shelf),
            FileEvent::Saved(path, outcome) => saved(controller, &path, outcome),
            FileEvent::Exists(kind, text, path) => exists(controller, kind, text, &path),
            FileEvent::RunsRead(read) => sessions::handle::take_older(controller, *read),
            FileEvent::SessionRead(read) => match *read {
                Ok((path, read)) => sessions::handle::take(controller, path, read),
                Err(problem) => controller.unnamed(PathKind::OpenSession, problem),
            },
            FileEvent::DataRead(read) => data::handle::opened(controller, *read),
            FileEvent::AnswersRead(read) => data::handle::answers_read(controller, *read),
            FileEvent::SampleRead(id, read) => data::handle::sample_read(controller, &id, *read),
            FileEvent::Thumbnails(set, record, images) => {
                let data = &mut controller.state.data;
                // They may be of a set that was closed since.
                if Arc::ptr_eq(&set, &data.set.records) {
                    data.thumbnails.take(record, images);
                }
            }
            FileEvent::AsRead(of, picture) => controller.state.as_read.take(of, picture),
            event @ (FileEvent::Pictured(..) | FileEvent::Cropped(..) | FileEvent::LayoutsRead(..)) => {
                states::handle::take_event(controller, event);
            }
            FileEvent::TraceRead(run, read) => runs::handle::read_back(controller, run, *read),
            FileEvent::SessionKept(kept) => sessions::handle::kept(controller, kept),
            FileEvent::Sorted(sorted) => jobs::take_sorted(controller, sorted),
            FileEvent::Found(kind, Ok(source)) => {
                controller.close_dialog(kind);
                jobs::take_folder(controller, kind, source);
            }
            FileEvent::Picked(kind, paths) => {
                // What is read may yet be nothing, and then the path typed is wanted again.
                let is_read_first =
                    matches!(kind, PathKind::OpenSession | PathKind::Layout | PathKind::LayoutBeside);
                if !is_read_first && !kind.is_written() {
                    controller.close_dialog(kind);
                }
                take_paths_as(controller, kind, paths);
            }
        }
    }
}

/// An image joins the others, or why not is said.
fn image_read(controller: &mut Controller, first: bool, left: usize, read: Result<Arc<Picture>, String>) {
    controller.state.ui.reading.left = left;
    match read {
        Ok(picture) => {
            controller.close_dialog(PathKind::Images);
            controller.state.add_images(&[picture], first);
        }
        Err(problem) => controller.unnamed(PathKind::Images, problem),
    }
}

/// A file is written, or not: then the path typed is wanted again.
fn saved(controller: &mut Controller, path: &Path, outcome: Result<(), String>) {
    sessions::handle::saved(controller, path, outcome.is_ok());
    let dialog = controller.state.ui.path_dialog.as_ref();
    let kind = dialog.map(|dialog| dialog.kind).filter(|kind| kind.is_written());
    match (outcome, kind) {
        (Ok(()), kind) => {
            if let Some(kind) = kind {
                controller.close_dialog(kind);
            }
            controller.state.say(format!("Saved in {}", path.display()));
        }
        (Err(problem), Some(kind)) => controller.unnamed(kind, problem),
        (Err(problem), None) => controller.state.notify(problem),
    }
}

/// Something is there already: it is replaced when that is asked for once more.
fn exists(controller: &mut Controller, kind: PathKind, text: String, path: &Path) {
    let problem = Some(format!("{} is there already: Save once more replaces it", path.display()));
    match &mut controller.state.ui.path_dialog {
        // Typed on since: what stands there now has not been looked at.
        Some(dialog) if dialog.kind == kind && dialog.text == text => {
            (dialog.problem, dialog.replace) = (problem, Some(text));
        }
        dialog => {
            let replace = Some(text.clone());
            *dialog = Some(PathDialog { problem, replace, ..PathDialog::new(kind, text) });
        }
    }
}

/// Takes paths for what the user said they are.
fn take_paths_as(controller: &mut Controller, kind: PathKind, paths: Vec<PathBuf>) {
    if let Some(first) = paths.first() {
        controller.state.kept.remember_place(kind, first);
    }
    match kind {
        PathKind::Images => controller.files.read_images(paths),
        PathKind::Model | PathKind::Adapter => controller.files.find(kind, paths),
        PathKind::Recipe | PathKind::RunFolder => train::handle::take_paths(controller, kind, &paths),
        other => {
            let Some(path) = paths.into_iter().next() else { return };
            match other {
                PathKind::OpenSession => controller.files.read_session(path),
                PathKind::SaveSession => sessions::handle::save_as(controller, path),
                PathKind::Figure | PathKind::Trace => exports::write(controller, kind, path),
                PathKind::Data => {
                    let question = controller.state.kept.question.clone();
                    controller.files.read_data(path, question);
                }
                PathKind::DataTable => data::handle::save(controller, path),
                PathKind::Donor => ask::handle::apply(controller, EditAction::SetDonor(Some(path))),
                _ => states::handle::take_path(controller, kind, path),
            }
        }
    }
}
