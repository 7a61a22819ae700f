//! A session file taken up again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{WrittenRun, folder_of, folders_of, read_written, session_of};
use crate::app::parts::runs::{Evicted, Listed, MOST, MOST_BYTES, next_loaded_id};
use crate::app::session::Session;
use crate::app::session::pictures::{WrittenPicture, plain, read_picture};
use crate::data::picture::Picture;
use crate::data::sample::Sample;
use crate::engine::ids::{Request, Run, RunId};
use crate::error::{Error, Result};
use crate::export::trace_file;

impl Session {
    /// Reads a session; of more runs than memory is to hold the older ones without their maps, which stay in their files,
    /// and of more than a list holds the oldest not at all.
    ///
    /// # Errors
    /// A file that is none, of a later version, or whose folder lacks something.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_holding(path, MOST_BYTES, MOST)
    }

    /// Reads runs by their files, which lie in sessions' folders. What cannot be read is left out, and said.
    ///
    /// # Errors
    /// A session that is none any more.
    pub fn read_runs(evicted: &[Evicted]) -> Result<ReadRuns> {
        let mut read = ReadRuns::default();
        for folder in folders_of(evicted) {
            let path = session_of(&folder)
                .ok_or_else(|| Error::Missing { what: "the session".to_owned(), path: folder.clone() })?;
            let written = read_written(&path)?;
            let mut reader = Reader::new(&path, &written.pictures, MOST_BYTES / 4)?;
            for own in written.runs {
                let Some(wanted) = evicted.iter().find(|other| other.file == folder.join(&own.file)) else {
                    continue;
                };
                match reader.run(own) {
                    Ok((listed, run)) => read.runs.push((Listed { number: wanted.number, ..listed }, run)),
                    Err(problem) => {
                        read.problems.push(format!("run {} is left out: {problem}", wanted.number));
                    }
                }
            }
            read.files.extend(reader.files);
        }
        Ok(read)
    }

    pub(super) fn read_holding(path: &Path, most_bytes: usize, most_runs: usize) -> Result<Self> {
        let written = read_written(path)?;
        let mut reader = Reader::new(path, &written.pictures, most_bytes)?;
        let (mut runs, mut problems, mut evicted) = (Vec::new(), Vec::new(), Vec::new());
        // The newest first, as they keep their maps, and their places in the list.
        for own in written.runs.into_iter().rev() {
            let number = own.number;
            let is_marked = own.pinned || [written.shown, written.base].contains(&Some(number));
            if runs.len() >= most_runs && !is_marked {
                let file = plain(&reader.folder, &own.file, path)?;
                evicted.push(Evicted { number, file });
                continue;
            }
            match reader.run(own) {
                Ok(run) => runs.push(run),
                Err(problem) => problems.push(format!("run {number} is left out: {problem}")),
            }
        }
        runs.reverse();
        evicted.reverse();
        Ok(Self {
            runs,
            evicted,
            deleted: Vec::new(),
            forgotten: Vec::new(),
            problems,
            images: reader.images(&written.images)?,
            files: reader.files,
            model: written.model,
            question: written.question,
            choices: written.choices,
            condition: written.settings,
            keep: written.keep,
            view: written.view,
            layout: written.layout,
            query: written.query,
            shown: written.shown,
            base: written.base,
            rest: written.rest,
        })
    }
}

/// Runs that were read by their files.
#[derive(Debug, Clone, Default)]
pub struct ReadRuns {
    /// By number.
    pub runs: Vec<(Listed, Arc<Run>)>,
    /// Where their traces are.
    pub files: BTreeMap<RunId, PathBuf>,
    /// What could not be read, and why.
    pub problems: Vec<String>,
}

/// What is read of a session's folder.
struct Reader<'a> {
    path: &'a Path,
    folder: PathBuf,
    pictures: Vec<Arc<Picture>>,
    files: BTreeMap<RunId, PathBuf>,
    /// Bytes of captures that may yet be held.
    room: usize,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, pictures: &[WrittenPicture], most_bytes: usize) -> Result<Self> {
        let folder = folder_of(path);
        let pictures = pictures.iter().map(|own| read_picture(&folder, own, path)).collect::<Result<_>>()?;
        Ok(Self { path, folder, pictures, files: BTreeMap::new(), room: most_bytes })
    }

    fn images(&self, places: &[usize]) -> Result<Vec<Arc<Picture>>> {
        let found: Option<Vec<_>> = places.iter().map(|place| self.pictures.get(*place).cloned()).collect();
        found.ok_or_else(|| {
            let expected = format!("numbers below {}", self.pictures.len());
            Error::field(self.path, "images", expected, format!("{places:?}"))
        })
    }

    fn run(&mut self, own: WrittenRun) -> Result<(Listed, Arc<Run>)> {
        let sample = Sample { images: self.images(&own.images)?, prompt: own.prompt, choices: own.choices };
        let request = Request { model: own.model, sample, condition: own.settings };
        let file = plain(&self.folder, &own.file, self.path)?;
        let mut trace = trace_file::read(&file)?;
        if trace.grids.len() != request.sample.images.len() {
            let expected = format!("{} images, as the run has", request.sample.images.len());
            return Err(Error::field(self.path, own.file, expected, trace.grids.len().to_string()));
        }
        match self.room.checked_sub(trace.captured_bytes()) {
            Some(room) => self.room = room,
            None if own.pinned => self.room = 0,
            None => trace = trace.without_captures(),
        }
        let id = next_loaded_id();
        self.files.insert(id, file);
        let (number, name, pinned, sample) = (own.number, own.name, own.pinned, own.sample);
        let listed = Listed { id, number, name, pinned, sample, automatic: false, rest: own.rest };
        Ok((listed, Arc::new(Run { id, request, trace: Arc::new(trace) })))
    }
}
