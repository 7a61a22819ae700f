//! Sessions: saved, kept up to date, taken up again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::hub::actions::{FileAction, WindowAction};
use crate::app::hub::controller::Controller;
use crate::app::hub::path_kind::PathKind;
use crate::app::hub::report::report;
use crate::app::rooms::maps::exports;
use crate::app::session::{ReadRuns, Saving, Session, SessionFile, SessionPlace, folder_of};
use crate::error::Error;
use crate::units::counted;

pub fn apply(controller: &mut Controller, action: FileAction, ctx: &egui::Context) {
    match action {
        FileAction::SaveSession => match controller.state.ui.session.clone() {
            Some(path) => save_as(controller, path),
            None => controller.apply(WindowAction::OpenPathDialog(PathKind::SaveSession), ctx),
        },
        FileAction::OpenSession(path) => controller.files.read_session(path),
        FileAction::TakeSession(read) => {
            let SessionFile { path, session } = *read;
            take(controller, path, Arc::unwrap_or_clone(session));
        }
        FileAction::Reopen => match controller.last_session() {
            Some(path) => controller.files.read_session(path),
            None => controller.state.notify("There is no session from before: sessions with runs are kept"),
        },
        FileAction::SetFigure(form) => controller.state.kept.figure = form,
        FileAction::CopyMap => exports::copy_map(controller, ctx),
        FileAction::CopyReport => {
            ctx.copy_text(report(&controller.state));
            controller.state.say("The report is on the clipboard");
        }
        FileAction::CopyCommand => exports::copy_command(controller, ctx),
        FileAction::TakeText(text) => controller.files.open_pasted(text),
    }
}

/// Saves under a name, which is the session's from now on.
pub fn save_as(controller: &mut Controller, path: PathBuf) {
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
    let session = controller.state.session();
    controller.saving_session = Some(Saving { path: path.clone(), session: session.clone(), hold });
    controller.files.save(path, move |path| session.write(path));
}

/// Something was saved, or not; where it was the session, that is where it is kept from now on.
pub fn saved(controller: &mut Controller, path: &Path, is_there: bool) {
    let Some(saving) = controller.saving_session.take_if(|saving| saving.path == path) else { return };
    if is_there {
        if controller.state.ui.session.as_deref() != Some(path) {
            controller.session_hold = saving.hold;
        }
        let runs = &mut controller.state.runs;
        runs.set_kept_in(Some(folder_of(path)));
        runs.evicted_written(&saving.session.evicted, &folder_of(path));
        runs.set_files(saving.session.files_in(path), controller.state.panes.map.run);
        controller.state.ui.session = Some(saving.path);
        controller.kept_session = Some(saving.session);
    }
}

/// Takes a session up: its runs join those that are there, so that nothing is lost.
pub fn take(controller: &mut Controller, path: PathBuf, session: Session) {
    controller.stop_answer();
    let is_own = controller.session_place.as_ref().is_some_and(|place| place.is_beside(&path));
    let state = &mut controller.state;
    state.ui.path_dialog = None;
    // What the window asked by itself as it opened is in nobody's way.
    if state.runs.forget_if_no_work() {
        state.panes.map.run = None;
    }
    let was_empty = state.runs.listed().is_empty();
    let numbers: Vec<_> = session.runs.iter().map(|(listed, run)| (listed.number, run.id)).collect();
    let id = |number: Option<usize>| numbers.iter().find(|(own, _)| Some(*own) == number).map(|(_, id)| *id);
    let (shown, base) = (id(session.shown), id(session.base));
    state.keep_draft(None);
    state.runs.set_files(session.files, state.panes.map.run);
    let own = if was_empty { session.evicted.clone() } else { Vec::new() };
    if own.is_empty() && !session.evicted.is_empty() {
        let (count, path) = (counted(session.evicted.len(), "older run"), path.display());
        state
            .notify(format!("{count} of {path} stay there: opened in a window without runs it has them too"));
    }
    state.runs.restore(session.runs, own);
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
    (state.kept.condition, state.kept.keep) = (session.condition, session.keep);
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
            Err(problem) => state.notify(format!(
                "What is asked here stays out of the session: {problem}; Save session as keeps it"
            )),
            Ok(hold) => {
                controller.session_hold = hold;
                state.runs.set_kept_in(Some(folder_of(&path)));
                state.ui.session = Some(path);
                state.ui.session_rest = session.rest;
            }
        }
    }
    if let Some(model) = session.model.filter(|model| state.models.chosen() != Some(model)) {
        controller.open_quietly(model);
    }
    // What it joined is in no file yet.
    controller.kept_session = was_empty.then(|| controller.state.session());
}

/// Puts runs back on the list that only the session's file holds: the latest of them.
pub fn show_older(controller: &mut Controller) {
    const AT_ONCE: usize = 100;
    let evicted = controller.state.runs.evicted();
    controller.files.read_runs(evicted[evicted.len().saturating_sub(AT_ONCE)..].to_vec());
}

/// Runs that only the session's file held, or why they cannot be read.
pub fn take_older(controller: &mut Controller, read: Result<ReadRuns, String>) {
    let state = &mut controller.state;
    match read {
        Ok(read) => {
            read.problems.into_iter().for_each(|problem| state.notify(problem));
            state.runs.bring_back(read.runs, read.files);
        }
        Err(problem) => state.notify(problem),
    }
}

/// What became of keeping the session up to date.
pub fn kept(controller: &mut Controller, outcome: Result<PathBuf, String>) {
    controller.keeping_session = false;
    match (outcome, &controller.kept_session) {
        (Ok(path), Some(kept)) => {
            let in_sight = controller.state.panes.map.run;
            let runs = &mut controller.state.runs;
            runs.evicted_written(&kept.evicted, &folder_of(&path));
            runs.set_files(kept.files_in(&path), in_sight);
        }
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
        let has_runs = !self.state.runs.listed().is_empty() || !self.state.runs.evicted().is_empty();
        if !has_runs && self.kept_session.is_none() || self.files.is_busy() && !at_once {
            return;
        }
        if at_once {
            self.state.runs.forget_deleted(0);
        }
        let named = self.state.ui.session.clone();
        let Some(path) = named.clone().or_else(|| self.session_place.as_ref().map(SessionPlace::path)) else {
            return;
        };
        let mut session = self.state.session();
        let is_kept = self.kept_session.as_ref().is_some_and(|kept| kept.is_like(&session));
        // Before the window goes what is on its way is written once more: it may not be there in time.
        if is_kept && !(at_once && self.keeping_session) {
            return;
        }
        // A window in which nobody did anything has nothing that another's session should make room for.
        let is_work = session.runs.iter().any(|(listed, _)| listed.is_work());
        if !is_work && named.is_none() && self.kept_session.is_none() {
            return;
        }
        // The one of the window before is kept until this one has runs of its own, and then beside it.
        let place = self.session_place.as_mut().filter(|_| named.is_none());
        let before = match place.map_or(Ok(None), SessionPlace::make_room) {
            Ok(before) => before,
            Err(problem) => return self.state.notify(format!("The session is not kept: {problem}")),
        };
        if let Some(before) = before {
            self.state.runs.files_moved(&folder_of(&path), &folder_of(&before));
            session.files.clone_from(self.state.runs.files());
            session.evicted = self.state.runs.evicted().to_vec();
        }
        self.kept_session = Some(session.clone());
        if at_once {
            if let Err(problem) = session.write(&path) {
                log::error!("the session is not kept: {problem}");
            }
        } else {
            self.keeping_session = true;
            self.files.keep_session(session, path);
        }
    }
}
