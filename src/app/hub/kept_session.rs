//! What of the state a session is.

use super::state::State;
use crate::app::session::Session;

impl State {
    /// What the window holds now.
    pub fn session(&self) -> Session {
        let listed = self.runs.listed();
        let number = |id| listed.iter().find(|own| Some(own.id) == id).map(|own| own.number);
        let runs = listed.iter().filter_map(|own| Some((own.clone(), self.runs.get(own.id)?.clone())));
        Session {
            model: self.models.chosen().cloned(),
            images: self.images.clone(),
            question: self.kept.question.clone(),
            choices: self.kept.choices.clone(),
            condition: self.kept.condition.clone(),
            keep: self.kept.keep.clone(),
            view: self.kept.view,
            layout: self.kept.layout.clone(),
            query: self.panes.map.query,
            runs: runs.collect(),
            shown: number(self.panes.map.run),
            base: number(self.runs.base().map(|run| run.id)),
            files: self.runs.files().clone(),
            problems: Vec::new(),
            evicted: self.runs.evicted().to_vec(),
            deleted: self.runs.deleted_files(),
            forgotten: self.runs.forgotten_files().to_vec(),
            rest: self.ui.session_rest.clone(),
        }
    }
}
