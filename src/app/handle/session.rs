//! Sessions: saved, kept up to date, taken up again.

use std::path::{Path, PathBuf};

use super::{exports, jobs};
use crate::app::actions::{FileAction, ViewAction};
use crate::app::controller::Controller;
use crate::app::path_kind::PathKind;
use crate::app::session::{Place, SESSION, Saving, Session, folder_of};
use crate::error::Error;

pub(super) fn apply(controller: &mut Controller, action: FileAction, ctx: &egui::Context) {
    match action {
        FileAction::SaveSession => match controller.state.ui.session.clone() {
            Some(path) => save_as(controller, path),
            None => controller.apply(ViewAction::OpenPathDialog(PathKind::SaveSession), ctx),
        },
        FileAction::OpenSession(path) => controller.files.read_session(path),
        FileAction::TakeSession(read) => {
            let (path, session) = (*read).clone();
            take(controller, path, session);
        }
        FileAction::Reopen => match controller.last_session() {
            Some(path) => controller.files.read_session(path),
            None => controller.state.notify("There is no session from before: sessions with runs are kept"),
        },
        FileAction::SetFigure(form) => controller.state.kept.figure = form,
        FileAction::CopyMap => exports::copy_map(controller, ctx),
        FileAction::CopyCommand => exports::copy_command(controller, ctx),
        FileAction::TakeText(text) => controller.files.open_pasted(text),
    }
}

/// Saves under a name, which is the session's from now on.
pub(super) fn save_as(controller: &mut Controller, path: PathBuf) {
    let path = if path.extension().is_none() { path.with_extension(SESSION) } else { path };
    let hold = match Session::hold(&path) {
        // It is this window's.
        _ if controller.state.ui.session.as_ref() == Some(&path) => None,
        Ok(None) => {
            let expected = "one that no other window has open";
            let refuse =
                move |path: &Path| Err(Error::field(path, "the session", expected, "one that is open"));
            return controller.files.save(path, refuse);
        }
        // Where there can be none, writing says why.
        hold => hold.ok().flatten(),
    };
    let session = Session::of(&controller.state);
    controller.saving_session = Some(Saving { path: path.clone(), session: session.clone(), hold });
    controller.files.save(path, move |path| session.write(path));
}

/// Something was saved, or not; where it was the session, that is where it is kept from now on.
pub(super) fn saved(controller: &mut Controller, path: &Path, is_there: bool) {
    let Some(saving) = controller.saving_session.take_if(|saving| saving.path == path) else { return };
    if is_there {
        if controller.state.ui.session.as_deref() != Some(path) {
            controller.session_hold = saving.hold;
        }
        controller.state.runs.set_files(saving.session.files_in(path));
        controller.state.ui.session = Some(saving.path);
        controller.kept_session = Some(saving.session);
    }
}

/// Takes a session up: its runs join those that are there, so that nothing is lost.
pub(super) fn take(controller: &mut Controller, path: PathBuf, session: Session) {
    jobs::stop_answer(controller);
    let is_own = controller.session_place.as_ref().is_some_and(|place| place.is_beside(&path));
    let state = &mut controller.state;
    state.ui.path_dialog = None;
    let was_empty = state.runs.listed().is_empty();
    let numbers: Vec<_> = session.runs.iter().map(|(listed, run)| (listed.number, run.id)).collect();
    let id = |number: Option<usize>| numbers.iter().find(|(own, _)| Some(*own) == number).map(|(_, id)| *id);
    let (shown, base) = (id(session.shown), id(session.base));
    state.keep_draft(None);
    state.runs.set_files(session.files);
    state.runs.restore(session.runs);
    if base.is_some() {
        state.runs.set_base(base);
    }
    let is_whole = session.problems.is_empty();
    for problem in session.problems {
        state.notify(problem);
    }
    state.set_images(session.images);
    state.kept.question = session.question;
    state.kept.choices = session.choices;
    state.kept.settings = session.settings;
    state.kept.view = session.view;
    state.kept.layout = session.layout;
    state.panes.map.run = shown.or(state.panes.map.run);
    state.panes.map.query = session.query;
    state.gallery.taken = None;
    if !is_own && was_empty {
        match Session::hold(&path) {
            // What could not be read would be gone from the file.
            _ if !is_whole => {}
            Ok(None) => state.notify(format!(
                "{} is open in another window: what is asked here stays out of it; Save session as keeps it",
                path.display()
            )),
            hold => {
                controller.session_hold = hold.ok().flatten();
                state.ui.session = Some(path);
            }
        }
    }
    if let Some(model) = session.model.filter(|model| state.models.chosen() != Some(model)) {
        jobs::open_quietly(controller, model);
    }
    // What it joined is in no file yet.
    controller.kept_session = was_empty.then(|| Session::of(&controller.state));
}

/// What became of keeping the session up to date.
pub(super) fn kept(controller: &mut Controller, outcome: Result<PathBuf, String>) {
    match (outcome, &controller.kept_session) {
        (Ok(path), Some(kept)) => controller.state.runs.set_files(kept.files_in(&path)),
        (Ok(_), None) => {}
        (Err(problem), _) => {
            controller.kept_session = None;
            controller.state.notify(format!("The session is not kept: {problem}"));
        }
    }
}

impl Controller {
    /// What the window held when it was last closed.
    pub fn last_session(&self) -> Option<PathBuf> {
        self.session_place.as_ref()?.last()
    }

    /// Brings the session's file up to date where something has changed: the one it was saved under, else one of the
    /// window's own.
    pub fn keep_session(&mut self) {
        self.write_session(false);
    }

    /// Before the window goes: the session is written, and its place is another window's to take.
    pub fn close(&mut self) {
        self.write_session(true);
        (self.session_place, self.session_hold) = (None, None);
    }

    fn write_session(&mut self, at_once: bool) {
        if self.state.runs.listed().is_empty() || self.files.is_busy() && !at_once {
            return;
        }
        let named = self.state.ui.session.clone();
        let Some(path) = named.clone().or_else(|| self.session_place.as_ref().map(Place::path)) else {
            return;
        };
        let mut session = Session::of(&self.state);
        // Before the window goes it is written whatever is said to be on its way: that may not be there in time.
        if !at_once && self.kept_session.as_ref().is_some_and(|kept| kept.is_like(&session)) {
            return;
        }
        // The one of the window before is kept until this one has runs of its own, and then beside it.
        let place = self.session_place.as_mut().filter(|_| named.is_none());
        if let Some(before) = place.and_then(Place::make_room) {
            self.state.runs.files_moved(&folder_of(&path), &folder_of(&before));
            session.files.clone_from(self.state.runs.files());
        }
        self.kept_session = Some(session.clone());
        if at_once {
            if let Err(problem) = session.write(&path) {
                log::warn!("the session is not kept: {problem}");
            }
        } else {
            self.files.keep_session(session, path);
        }
    }
}
