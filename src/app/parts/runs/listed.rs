//! A run as the list has it, and one that is on its way there.

use std::path::PathBuf;
use std::time::Instant;

use crate::engine::ids::{Request, RunId};

/// What was asked and has no answer yet.
#[derive(Debug)]
pub struct Asked {
    /// What.
    pub request: Request,
    /// The answer so far.
    pub partial_answer: String,
    /// It goes into the list only: what is in sight stays.
    pub aside: bool,
    /// The window asked by itself as it opened.
    pub automatic: bool,
    /// What was in sight before its own maps.
    pub before: Option<RunId>,
    /// When it was asked.
    pub since: Instant,
    /// When its first token was there, and how many there are.
    pub tokens: Option<(Instant, usize)>,
}

impl Asked {
    /// Asked now.
    pub fn new(request: Request, aside: bool) -> Self {
        Self {
            request,
            partial_answer: String::new(),
            aside,
            automatic: false,
            before: None,
            since: Instant::now(),
            tokens: None,
        }
    }

    /// Another token is there.
    pub fn grew(&mut self, answer: String) {
        self.partial_answer = answer;
        let (first, count) = self.tokens.unwrap_or_else(|| (Instant::now(), 0));
        self.tokens = Some((first, count + 1));
    }

    /// Seconds so far, and tokens a second where there are enough to say.
    pub fn pace(&self) -> (f32, Option<f32>) {
        let a_second = self
            .tokens
            .filter(|(_, count)| *count > 1)
            .map(|(first, count)| (count - 1) as f32 / first.elapsed().as_secs_f32().max(1e-3));
        (self.since.elapsed().as_secs_f32(), a_second)
    }
}

/// A run of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub id: RunId,
    /// As the list counts, from 1; never given twice.
    pub number: usize,
    /// As the user calls it; empty where it has no name.
    pub name: String,
    /// Stays when the list is full, maps and all.
    pub pinned: bool,
    /// The id of the built-in sample that was asked.
    pub sample: Option<String>,
    /// The window asked by itself as it opened, and nobody did anything with the answer.
    pub automatic: bool,
    /// What a later version of the program says of it in a session's file.
    pub rest: serde_json::Map<String, serde_json::Value>,
}

impl Listed {
    pub(super) fn new(id: RunId, number: usize) -> Self {
        let (name, rest) = (String::new(), serde_json::Map::new());
        Self { id, number, name, pinned: false, sample: None, automatic: false, rest }
    }

    /// By its name, else by its number.
    pub fn title(&self) -> String {
        if self.name.is_empty() { format!("run {}", self.number) } else { self.name.clone() }
    }

    /// Did somebody ask for it, name it or keep it?
    pub fn is_work(&self) -> bool {
        !self.automatic || self.pinned || !self.name.is_empty()
    }
}

/// A run that only a session's file holds: the list was full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evicted {
    /// As the list counted it.
    pub number: usize,
    /// Its trace, in the session's folder.
    pub file: PathBuf,
}
