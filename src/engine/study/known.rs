//! Answers that were given before, on disk, by what they hang on: opened again, a data set is not asked again.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::session::OpenModel;
use super::accuracy::AnsweredRecord;
use super::provenance::Provenance;
use crate::ask::Condition;
use crate::data::record::Record;
use crate::digest;
use crate::error::{Error, Result};
use crate::progress::Observer;

/// Files that are kept: the latest, one for each model under a condition.
const MOST_FILES: usize = 64;

/// A line of a file.
#[derive(Serialize, Deserialize)]
struct KnownLine {
    /// SHA-256 of the record, images among it.
    record: String,
    #[serde(flatten)]
    answered: AnsweredRecord,
}

/// What a model under a condition has answered.
pub struct KnownAnswers {
    file: PathBuf,
    by_record: HashMap<String, AnsweredRecord>,
}

impl KnownAnswers {
    /// Those in a folder, of an open model.
    ///
    /// # Errors
    /// A model whose files have changed since it was read, a folder that cannot be written, a stop.
    pub fn open(
        folder: &Path,
        session: &OpenModel,
        condition: &Condition,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let provenance = Provenance::of(session, String::new(), observer)?.under(condition, observer)?;
        let key = serde_json::to_vec(&(provenance, condition, env!("CARGO_PKG_VERSION")));
        let key = digest::of_bytes(&key.expect("plain data serialises"));
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, e))?;
        let file = folder.join(format!("{}.jsonl", &key[..32]));
        if !file.exists() {
            forget_oldest(folder);
        }
        let text = std::fs::read(&file).unwrap_or_default();
        // A line that was cut short by a full disk or a kill is asked anew.
        let lines = text.split(|byte| *byte == b'\n');
        let read = lines.filter_map(|line| serde_json::from_slice::<KnownLine>(line).ok());
        Ok(Self { file, by_record: read.map(|line| (line.record, line.answered)).collect() })
    }

    /// What a record is known by.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn key(record: &Record) -> Result<String> {
        let mut hasher = Sha256::new();
        record.hash_into(&mut hasher)?;
        Ok(digest::finished(hasher))
    }

    /// The answer to a record, by its key.
    pub fn get(&self, key: &str) -> Option<&AnsweredRecord> {
        self.by_record.get(key)
    }

    /// Keeps answers. Several windows may write at once: each line goes out in one piece, after a line's end.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn add(&mut self, answers: impl IntoIterator<Item = (String, AnsweredRecord)>) -> Result<()> {
        let failed = |e| Error::io("write", &self.file, e);
        let open = std::fs::OpenOptions::new().create(true).append(true).open(&self.file);
        let mut file = open.map_err(failed)?;
        for (record, answered) in answers {
            let line = KnownLine { record, answered };
            let text = serde_json::to_string(&line).expect("plain data serialises");
            file.write_all(format!("\n{text}\n").as_bytes()).map_err(failed)?;
            self.by_record.insert(line.record, line.answered);
        }
        Ok(())
    }
}

fn forget_oldest(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "jsonl"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    for (_, path) in files.iter().rev().skip(MOST_FILES - 1) {
        if let Err(problem) = std::fs::remove_file(path) {
            log::warn!("old answers stay: {}: {problem}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::RecordsOrder;
    use super::*;
    use crate::ask::{DeviceChoice, DtypeChoice, MaskKind};
    use crate::engine::demo;
    use crate::engine::ids::ModelId;
    use crate::engine::models::Models;
    use crate::progress::Unobserved;

    fn lines(folder: &Path) -> Vec<usize> {
        let count = |path: PathBuf| {
            std::fs::read_to_string(path).expect("text").lines().filter(|line| !line.is_empty()).count()
        };
        let entries = std::fs::read_dir(folder).expect("a folder").flatten();
        let mut counts: Vec<usize> = entries.map(|entry| count(entry.path())).collect();
        counts.sort_unstable();
        counts
    }

    #[test]
    fn what_was_answered_once_is_known() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut models = Models::default();
        let order = |count: usize, condition: &Condition| RecordsOrder {
            model: ModelId::demo(DeviceChoice::Cpu, DtypeChoice::F32),
            condition: condition.clone(),
            records: demo::gallery()[..count].to_vec(),
            known_in: Some(dir.path().to_owned()),
        };
        let usual = Condition::of_studies();
        let two = order(2, &usual).answer(&mut models, &Unobserved).expect("answers");
        assert_eq!(lines(dir.path()), [2]);
        let three = order(3, &usual).answer(&mut models, &Unobserved).expect("answers");
        assert_eq!((&three[..2], lines(dir.path())), (&two[..], vec![3]), "one was asked");
        // Another condition is another question; another text of a record another record.
        let masked = Condition { mask: MaskKind::Bottleneck, ..usual.clone() };
        order(1, &masked).answer(&mut models, &Unobserved).expect("answers");
        assert_eq!(lines(dir.path()), [1, 3]);
        let mut other = order(1, &usual);
        other.records[0].target = "nothing".to_owned();
        let answered = other.answer(&mut models, &Unobserved).expect("answers");
        assert!(!answered[0].prediction.correct);
        assert_eq!(lines(dir.path()), [1, 4]);
        // Known answers are taken as they were given: what is on disk is what is said.
        let path = std::fs::read_dir(dir.path()).expect("a folder").flatten().map(|entry| entry.path());
        let path = path.max_by_key(|path| path.metadata().map_or(0, |about| about.len())).expect("a file");
        let text = std::fs::read_to_string(&path).expect("text");
        let said = serde_json::to_string(&two[0].prediction.answer).expect("text");
        let torn = text.replacen(&format!("\"answer\":{said}"), "\"answer\":\"as on disk\"", 1);
        std::fs::write(&path, torn + "{\"record\":\"cut sh").expect("written");
        let again = order(3, &usual).answer(&mut models, &Unobserved).expect("answers");
        assert_eq!(again[0].prediction.answer, "as on disk");
        assert_eq!(again[1..], three[1..]);
    }
}
