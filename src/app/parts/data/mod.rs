//! A data set in the window: its records, what each model of the comparison answered, which rows are in sight.

mod form;
mod set;
#[cfg(test)]
mod tests;
mod thumbnails;

use std::collections::{BTreeMap, BTreeSet};

pub use self::form::{DataForm, RowFilter, RowOrder};
pub use self::set::{AskedOf, DataColumn, DataSet};
pub use self::thumbnails::Thumbnails;
use crate::ask::Condition;
use crate::data::record::Record;
use crate::engine::study::{Accuracy, AnsweredRecord, Prediction, ReadAnswers};

/// What the window knows of data.
pub struct DataTable {
    /// The records.
    pub set: DataSet,
    /// Are the models being asked?
    pub asking: bool,
    /// The record that was taken last.
    pub selected: Option<usize>,
    /// Records that cannot be asked, and why.
    pub problems: BTreeMap<usize, String>,
    /// Why asking came to its end.
    pub problem: Option<String>,
    /// Records of a batch that failed: one of them was at fault.
    pub alone: BTreeSet<usize>,
    /// Records that could not be asked, one after the other.
    pub failed_in_a_row: usize,
    /// Those that were chosen elsewhere.
    chosen: BTreeSet<usize>,
    /// By whose they are, [records].
    answers: Vec<(DataColumn, Vec<Option<AnsweredRecord>>)>,
    rows: Vec<usize>,
    rows_of: Option<RowsOf>,
    /// Raised with each answer.
    version: u64,
    /// Small pictures of the records.
    pub thumbnails: Thumbnails,
}

/// What the rows in sight depend on.
#[derive(PartialEq)]
struct RowsOf {
    form: DataForm,
    columns: Vec<DataColumn>,
    version: u64,
}

impl Default for DataTable {
    fn default() -> Self {
        Self::of(DataSet::gallery())
    }
}

impl DataTable {
    /// A data set of which nothing was asked yet.
    pub fn of(set: DataSet) -> Self {
        Self {
            set,
            asking: false,
            selected: None,
            problems: BTreeMap::new(),
            problem: None,
            alone: BTreeSet::new(),
            failed_in_a_row: 0,
            chosen: BTreeSet::new(),
            answers: Vec::new(),
            rows: Vec::new(),
            rows_of: None,
            version: 0,
            thumbnails: Thumbnails::default(),
        }
    }

    /// What a model answered to a record.
    pub fn answer(&self, column: &DataColumn, record: usize) -> Option<&AnsweredRecord> {
        let (_, all) = self.answers.iter().find(|(own, _)| own == column)?;
        all.get(record)?.as_ref()
    }

    /// Takes answers to records of this set, by their ids.
    pub fn take(&mut self, column: &DataColumn, answered: Vec<AnsweredRecord>) {
        let count = self.set.records.len();
        let place = self.answers.iter().position(|(own, _)| own == column).unwrap_or_else(|| {
            self.answers.push((column.clone(), vec![None; count]));
            self.answers.len() - 1
        });
        for own in answered {
            let record = self.set.place(&own.prediction.id);
            if let Some(record) = record {
                self.answers[place].1[record] = Some(own);
            }
        }
        self.version += 1;
    }

    /// Takes the answers of a study that was read; those of one of this name make room.
    pub fn take_read(&mut self, read: ReadAnswers) {
        let column = DataColumn::Read(read.name);
        self.answers.retain(|(own, _)| *own != column);
        let answered = |prediction: Prediction| {
            let certainty = certainty_of(&prediction);
            AnsweredRecord { prediction, certainty }
        };
        self.take(&column, read.predictions.into_iter().map(answered).collect());
    }

    /// Columns of answers that were read.
    pub fn read_columns(&self) -> Vec<DataColumn> {
        let all = self.answers.iter().map(|(own, _)| own);
        all.filter(|own| matches!(own, DataColumn::Read(_))).cloned().collect()
    }

    /// Takes over what was read before another data set was opened, as far as it is of these records.
    pub fn take_over(&mut self, before: &mut Self) {
        for (column, all) in before.answers.drain(..).filter(|(own, _)| matches!(own, DataColumn::Read(_))) {
            let own: Vec<AnsweredRecord> = all.into_iter().flatten().collect();
            if own.iter().any(|answer| self.set.place(&answer.prediction.id).is_some()) {
                self.take(&column, own);
            }
        }
    }

    /// Conditions under which a model of these columns was asked, besides theirs.
    pub fn other_conditions(&self, columns: &[DataColumn]) -> Vec<Condition> {
        let mut found: Vec<Condition> = Vec::new();
        for asked in self.answers.iter().filter_map(|(own, _)| own.asked()) {
            let has_model = columns.iter().filter_map(DataColumn::asked).any(|own| own.model == asked.model);
            let is_theirs =
                columns.iter().filter_map(DataColumn::asked).any(|own| own.condition == asked.condition);
            if has_model && !is_theirs && !found.contains(&asked.condition) {
                found.push(asked.condition.clone());
            }
        }
        found
    }

    /// Does a model answer a record otherwise under another condition?
    fn flips(&self, column: &DataColumn, record: usize) -> bool {
        let Some(asked) = column.asked() else { return false };
        let of_model =
            self.answers.iter().filter(|(own, _)| own.asked().is_some_and(|own| own.model == asked.model));
        let mut said = of_model.filter_map(|(_, all)| Some(&all.get(record)?.as_ref()?.prediction.pred));
        let first = said.next();
        said.any(|other| Some(other) != first)
    }

    /// Chooses records by their ids.
    pub fn choose(&mut self, ids: &BTreeSet<String>) {
        self.chosen = ids.iter().filter_map(|id| self.set.place(id)).collect();
        self.version += 1;
    }

    /// How many records a model has answered.
    pub fn answered(&self, column: &DataColumn) -> usize {
        let own = self.answers.iter().find(|(own, _)| own == column);
        own.map_or(0, |(_, all)| all.iter().flatten().count())
    }

    /// The next records that some model is still to answer, those in sight first, and which model.
    pub fn next(&self, columns: &[AskedOf], most: usize) -> Option<(AskedOf, Vec<usize>)> {
        let in_sight: BTreeSet<usize> = self.rows.iter().copied().collect();
        let rest = (0..self.set.records.len()).filter(|record| !in_sight.contains(record));
        let order: Vec<usize> = self.rows.iter().copied().chain(rest).collect();
        // Together they fill from the top: what they disagree on is seen early.
        for chunk in order.chunks(most.max(1)) {
            for column in columns {
                let own = DataColumn::from(column.clone());
                let is_open = |record: &usize| {
                    self.answer(&own, *record).is_none() && !self.problems.contains_key(record)
                };
                let open: Vec<usize> = chunk.iter().copied().filter(is_open).collect();
                if let Some(alone) = open.iter().find(|record| self.alone.contains(record)) {
                    return Some((column.clone(), vec![*alone]));
                }
                if !open.is_empty() {
                    return Some((column.clone(), open));
                }
            }
        }
        None
    }

    /// Brings the rows in sight up to date.
    pub fn refresh(&mut self, form: &DataForm, columns: &[DataColumn]) {
        let of = RowsOf { form: form.clone(), columns: columns.to_vec(), version: self.version };
        if self.rows_of.as_ref() != Some(&of) {
            self.rows = self.sorted(form, columns);
            self.rows_of = Some(of);
        }
    }

    /// Numbers of the records in sight, in their order.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    fn sorted(&self, form: &DataForm, columns: &[DataColumn]) -> Vec<usize> {
        let search = form.search.to_lowercase();
        let is_wanted = |index: &usize| {
            let record = &self.set.records[*index];
            let answers: Vec<Option<&AnsweredRecord>> =
                columns.iter().map(|column| self.answer(column, *index)).collect();
            let said: Vec<&Prediction> = answers.iter().flatten().map(|own| &own.prediction).collect();
            let passes = match form.filter {
                RowFilter::All => true,
                RowFilter::Disagree => said.windows(2).any(|pair| pair[0].pred != pair[1].pred),
                RowFilter::Flips => columns.iter().any(|column| self.flips(column, *index)),
                RowFilter::Wrong => said.iter().any(|own| !own.correct),
                RowFilter::Right => !said.is_empty() && said.iter().all(|own| own.correct),
                RowFilter::Unparsed => {
                    !record.choices.is_empty() && said.iter().any(|own| !record.choices.contains(&own.pred))
                }
                RowFilter::Open => answers.iter().any(Option::is_none),
                RowFilter::Chosen => self.chosen.contains(index),
            };
            let found = |text: &str| text.to_lowercase().contains(&search);
            let is_found = search.is_empty()
                || [&record.id, &record.prompt, &record.target].into_iter().any(|text| found(text))
                || said.iter().any(|own| found(&own.answer));
            passes && is_found && (form.task.is_empty() || form.task == record.task)
        };
        let mut rows: Vec<usize> = (0..self.set.records.len()).filter(is_wanted).collect();
        let records = &self.set.records;
        match form.order {
            RowOrder::File => {}
            RowOrder::Task => rows.sort_by(|a, b| records[*a].task.cmp(&records[*b].task)),
            RowOrder::Question => rows.sort_by(|a, b| records[*a].prompt.cmp(&records[*b].prompt)),
            RowOrder::Expected => rows.sort_by(|a, b| records[*a].target.cmp(&records[*b].target)),
            RowOrder::Certainty(column) => {
                let certainty = |row: &usize| {
                    columns.get(column).and_then(|own| self.answer(own, *row)?.certainty).unwrap_or(2.0)
                };
                rows.sort_by(|a, b| certainty(a).total_cmp(&certainty(b)));
            }
        }
        if form.reversed {
            rows.reverse();
        }
        rows
    }

    /// Every task, in the order of the file.
    pub fn tasks(&self) -> Vec<&str> {
        let mut tasks: Vec<&str> = Vec::new();
        for record in self.set.records.iter() {
            if !record.task.is_empty() && !tasks.contains(&record.task.as_str()) {
                tasks.push(&record.task);
            }
        }
        tasks
    }

    /// How many each model answered rightly: of each task, and of all under an empty name.
    pub fn accuracies(&self, columns: &[DataColumn]) -> Vec<(String, Vec<Option<Accuracy>>)> {
        let of = |task: Option<&str>| -> Vec<Option<Accuracy>> {
            let one = |column: &DataColumn| {
                let (_, all) = self.answers.iter().find(|(own, _)| own == column)?;
                let own: Vec<&Prediction> = all
                    .iter()
                    .flatten()
                    .map(|own| &own.prediction)
                    .filter(|own| task.is_none_or(|task| own.task == task))
                    .collect();
                (!own.is_empty()).then(|| Accuracy::of(own))
            };
            columns.iter().map(one).collect()
        };
        let tasks = self.tasks().into_iter().map(|task| (task.to_owned(), of(Some(task))));
        tasks.chain(std::iter::once((String::new(), of(None)))).collect()
    }

    /// The record in sight that lies so many rows from the one taken last.
    pub fn step(&self, step: isize) -> Option<usize> {
        let count = self.rows.len() as isize;
        if count == 0 {
            return None;
        }
        let place = self.selected.and_then(|own| self.rows.iter().position(|row| *row == own));
        let next = place.map_or(0, |place| place as isize + step);
        self.rows.get(next.rem_euclid(count) as usize).copied()
    }

    /// A record by its id.
    pub fn record(&self, id: &str) -> Option<&Record> {
        self.set.place(id).map(|place| &self.set.records[place])
    }
}

/// How likely what was said was among the choices; nothing where none were scored.
fn certainty_of(prediction: &Prediction) -> Option<f32> {
    let logs = &prediction.choice_logprobs;
    let most = logs.iter().copied().reduce(f32::max).filter(|most| most.is_finite())?;
    Some(1.0 / logs.iter().map(|own| (own - most).exp()).sum::<f32>())
}
