//! The files that statements take states from.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::ask::Tokens;
use crate::ask::looks::Prompt;
use crate::error::Result;
use crate::export::recording_file::{RecordedFacts, RecordingFile};

/// Those of one run, each opened once.
#[derive(Default)]
pub struct Donors {
    /// That of all statements that name none.
    usual: Option<PathBuf>,
    open: HashMap<PathBuf, Rc<RecordingFile>>,
}

/// Tokens of a donor as a statement names them.
pub struct OfDonor {
    /// The file.
    pub file: Rc<RecordingFile>,
    /// Where the tokens stand in its sequence, [n].
    pub places: Vec<usize>,
    /// Which of its rows they are, [n].
    pub rows: Vec<usize>,
}

impl Donors {
    /// With a file for all statements that name none.
    pub fn new(usual: Option<&Path>) -> Self {
        Self { usual: usual.map(Path::to_owned), open: HashMap::new() }
    }

    /// The file that a statement names, or that of all; nothing where there is neither.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn file(&mut self, named: Option<&str>) -> Result<Option<Rc<RecordingFile>>> {
        let Some(path) = named.map(PathBuf::from).or_else(|| self.usual.clone()) else { return Ok(None) };
        if let Some(open) = self.open.get(&path) {
            return Ok(Some(open.clone()));
        }
        let file = Rc::new(RecordingFile::open(&path)?);
        self.open.insert(path, file.clone());
        Ok(Some(file))
    }
}

impl OfDonor {
    /// The tokens that a selection names on the donor's own facts, which must be as many as it names in this run.
    ///
    /// # Errors
    /// A file without facts, tokens that it has not, or of which it has no states, others than `count`.
    pub fn select(
        file: Rc<RecordingFile>,
        tokens: &Tokens,
        count: usize,
    ) -> std::result::Result<Self, String> {
        let at = file.path().display().to_string();
        let Some(RecordedFacts { roles, image_spans, latents, tokens: recorded, .. }) = &file.facts else {
            return Err(format!("expected a recording, found a file of vectors or of noise ({at})"));
        };
        let prompt = Prompt { roles, image_spans, latents: Some(latents) };
        let (places, _) = prompt.select(tokens).map_err(|why| format!("the donor: {why} ({at})"))?;
        if places.len() != count {
            return Err(format!(
                "expected {count} tokens, the donor has {} tokens there ({at})",
                places.len()
            ));
        }
        let row = |place: &usize| recorded.iter().position(|own| own == place);
        let rows: Option<Vec<usize>> = places.iter().map(row).collect();
        let Some(rows) = rows else {
            return Err(format!("the donor's file has no states of {tokens} ({at})"));
        };
        Ok(Self { file, places, rows })
    }

    /// Its positions of the tokens, [n].
    pub fn positions(&self) -> Vec<[i64; 3]> {
        let facts = self.file.facts.as_ref().expect("selected by them");
        self.places.iter().map(|place| facts.positions[*place]).collect()
    }
}
