//! A data set in the window: its records, what each model of the comparison answered, which rows are in sight.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use egui::{ColorImage, Context, TextureHandle, TextureOptions};
use serde::{Deserialize, Serialize};

use crate::ask::Condition;
use crate::data::record::Record;
use crate::engine::demo;
use crate::engine::ids::ModelId;
use crate::engine::study::{Accuracy, AnsweredRecord, Prediction, ReadAnswers};

/// What rows are in sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowFilter {
    /// All.
    #[default]
    All,
    /// Some model answered otherwise than another.
    Disagree,
    /// Some model answers otherwise under another condition.
    Flips,
    /// Some model was wrong.
    Wrong,
    /// All models that answered were right.
    Right,
    /// Some answer names none of the choices.
    Unparsed,
    /// Some model has not answered yet.
    Open,
    /// Chosen elsewhere: by a lasso in a layout.
    Chosen,
}

impl RowFilter {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::All,
        Self::Disagree,
        Self::Flips,
        Self::Wrong,
        Self::Right,
        Self::Unparsed,
        Self::Open,
        Self::Chosen,
    ];

    /// What it shows, in a sentence.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::All => "Every sample",
            Self::Disagree => "One column answers otherwise than another",
            Self::Flips => {
                "A model answers otherwise under another condition, as behind the mask: ask under both"
            }
            Self::Wrong => "A column is wrong",
            Self::Right => "All columns that answered are right",
            Self::Unparsed => "An answer names none of the choices",
            Self::Open => "A column has no answer yet",
            Self::Chosen => "Chosen by a lasso in a layout of hidden states",
        }
    }

    /// As controls call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Disagree => "They disagree",
            Self::Flips => "Flips",
            Self::Wrong => "Wrong",
            Self::Right => "Right",
            Self::Unparsed => "No choice named",
            Self::Open => "Not answered",
            Self::Chosen => "Chosen in a layout",
        }
    }
}

/// What rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowOrder {
    /// As in the file.
    #[default]
    File,
    /// By task.
    Task,
    /// By question.
    Question,
    /// By what is expected.
    Expected,
    /// By how sure the model of a column was, the least sure first.
    Certainty(usize),
}

/// What is kept of it between starts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DataForm {
    /// What rows are in sight.
    pub filter: RowFilter,
    /// Of this task; of all where it is empty.
    pub task: String,
    /// With these letters in id, question, expectation or an answer.
    pub search: String,
    /// What they are ordered by.
    pub order: RowOrder,
    /// The other way round.
    pub reversed: bool,
    /// The row of the paper's table that stands beside the accuracies; none where it is empty.
    pub paper: String,
}

/// Records with a name.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// As the pane calls it.
    pub name: String,
    /// The file, where it is one.
    pub path: Option<PathBuf>,
    /// In the order of the file.
    pub records: Arc<Vec<Record>>,
    /// By their ids.
    places: Arc<HashMap<String, usize>>,
}

impl DataSet {
    /// Records under a name.
    pub fn new(name: String, path: Option<PathBuf>, records: Vec<Record>) -> Self {
        let places = records.iter().enumerate().map(|(place, record)| (record.id.clone(), place)).collect();
        Self { name, path, records: Arc::new(records), places: Arc::new(places) }
    }

    /// The built-in samples.
    pub fn gallery() -> Self {
        Self::new("built-in samples".to_owned(), None, demo::gallery().to_vec())
    }

    /// The place of a record.
    pub fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }
}

/// Who was asked, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedOf {
    /// Who.
    pub model: ModelId,
    /// How.
    pub condition: Condition,
}

/// Whose answers a column has.
#[derive(Debug, Clone, PartialEq)]
pub enum DataColumn {
    /// A model's under a condition, asked here.
    Asked(Box<AskedOf>),
    /// Those of a study that were read, by their name.
    Read(String),
}

impl From<AskedOf> for DataColumn {
    fn from(asked: AskedOf) -> Self {
        Self::Asked(Box::new(asked))
    }
}

impl DataColumn {
    /// Who is asked, where it is somebody.
    pub fn asked(&self) -> Option<&AskedOf> {
        match self {
            Self::Asked(asked) => Some(asked),
            Self::Read(_) => None,
        }
    }
}

/// Thumbnails of a record, where it was asked for them.
enum Thumbnail {
    Wanted,
    Read(Vec<ColorImage>),
    Shown(Vec<TextureHandle>),
}

/// Thumbnails that are kept.
const MOST_THUMBNAILS: usize = 600;

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
    thumbnails: RefCell<BTreeMap<usize, Thumbnail>>,
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
            thumbnails: RefCell::default(),
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

    /// Of these records, those whose thumbnails nobody has asked for yet; from now on somebody has.
    pub fn want_thumbnails(&self, records: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut held = self.thumbnails.borrow_mut();
        let wanted: Vec<usize> = records.filter(|record| !held.contains_key(record)).collect();
        if held.len() > MOST_THUMBNAILS {
            // Those that are farthest from what is looked at now.
            let near = wanted.first().copied().unwrap_or(0);
            held.retain(|record, _| record.abs_diff(near) < MOST_THUMBNAILS / 2);
        }
        held.extend(wanted.iter().map(|record| (*record, Thumbnail::Wanted)));
        wanted
    }

    /// Takes small pictures of a record's images.
    pub fn take_thumbnails(&self, record: usize, images: Vec<ColorImage>) {
        self.thumbnails.borrow_mut().insert(record, Thumbnail::Read(images));
    }

    /// Small pictures of a record's images; none where they are not there yet.
    pub fn thumbnails(&self, ctx: &Context, record: usize) -> Vec<TextureHandle> {
        let mut held = self.thumbnails.borrow_mut();
        let Some(own) = held.get_mut(&record) else { return Vec::new() };
        if let Thumbnail::Read(images) = own {
            let made = std::mem::take(images)
                .into_iter()
                .map(|image| ctx.load_texture(format!("record {record}"), image, TextureOptions::LINEAR));
            *own = Thumbnail::Shown(made.collect());
        }
        if let Thumbnail::Shown(textures) = own { textures.clone() } else { Vec::new() }
    }
}

/// How likely what was said was among the choices; nothing where none were scored.
fn certainty_of(prediction: &Prediction) -> Option<f32> {
    let logs = &prediction.choice_logprobs;
    let most = logs.iter().copied().reduce(f32::max).filter(|most| most.is_finite())?;
    Some(1.0 / logs.iter().map(|own| (own - most).exp()).sum::<f32>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{DeviceChoice, DtypeChoice};

    fn asked(adapter: Option<crate::engine::ids::Source>) -> AskedOf {
        let demo = ModelId::demo(DeviceChoice::Cpu, DtypeChoice::F32);
        AskedOf { model: demo.with_adapter(adapter), condition: Condition::default() }
    }

    fn answered(data: &DataTable, record: usize, pred: &str, certainty: f32) -> AnsweredRecord {
        let record = &data.set.records[record];
        let prediction = Prediction {
            id: record.id.clone(),
            task: record.task.clone(),
            target: record.target.clone(),
            pred: pred.to_owned(),
            answer: pred.to_owned(),
            correct: pred == record.target,
            choice_logprobs: Vec::new(),
            chance: None,
            latent_mass: None,
        };
        AnsweredRecord { prediction, certainty: Some(certainty) }
    }

    #[test]
    fn rows_are_filtered_sorted_and_walked() {
        let mut data = DataTable::default();
        let asked = [asked(None), asked(Some(crate::engine::ids::Source::Demo))];
        let columns = asked.clone().map(DataColumn::from);
        let form = |filter| DataForm { filter, ..DataForm::default() };
        data.refresh(&form(RowFilter::All), &columns);
        assert_eq!(data.rows().len(), data.set.records.len());
        assert_eq!(data.next(&asked, 4), Some((asked[0].clone(), vec![0, 1, 2, 3])));
        let targets: Vec<String> = data.set.records.iter().map(|own| own.target.clone()).collect();
        let first: Vec<_> = (0..4).map(|i| answered(&data, i, &targets[i], 0.9 - 0.1 * i as f32)).collect();
        data.take(&columns[0], first);
        assert_eq!(data.next(&asked, 4), Some((asked[1].clone(), vec![0, 1, 2, 3])), "both fill together");
        let other = vec![answered(&data, 0, &targets[0], 0.5), answered(&data, 2, "nothing", 0.5)];
        data.take(&columns[1], other);
        for (filter, rows) in
            [(RowFilter::Disagree, vec![2]), (RowFilter::Wrong, vec![2]), (RowFilter::Right, vec![0, 1, 3])]
        {
            data.refresh(&form(filter), &columns);
            assert_eq!(data.rows(), rows, "{filter:?}");
        }
        let sure = DataForm { order: RowOrder::Certainty(0), ..form(RowFilter::Right) };
        data.refresh(&sure, &columns);
        assert_eq!(data.rows(), [3, 1, 0]);
        data.selected = Some(1);
        assert_eq!((data.step(1), data.step(-1), data.step(2)), (Some(0), Some(3), Some(3)));
        let all = data.accuracies(&columns);
        let (_, whole) = all.last().unwrap();
        assert_eq!(whole[0].as_ref().map(|own| own.samples), Some(4));
        assert_eq!(whole[1].as_ref().map(|own| own.accuracy), Some(0.5));
        data.refresh(&DataForm { search: targets[2].clone() + "☃", ..DataForm::default() }, &columns);
        assert!(data.rows().is_empty() && data.step(1).is_none());
    }

    #[test]
    fn answers_that_were_read_have_a_column_and_what_flips_is_found() {
        let mut data = DataTable::default();
        let usual = asked(None);
        let masked = AskedOf {
            condition: usual.condition.clone().masked(crate::ask::MaskKind::Bottleneck),
            ..usual.clone()
        };
        let targets: Vec<String> = data.set.records.iter().map(|own| own.target.clone()).collect();
        data.take(&usual.clone().into(), (0..3).map(|i| answered(&data, i, &targets[i], 0.5)).collect());
        let behind = vec![answered(&data, 0, &targets[0], 0.5), answered(&data, 1, "nothing", 0.5)];
        data.take(&masked.clone().into(), behind);
        let columns = [DataColumn::from(usual)];
        data.refresh(&DataForm { filter: RowFilter::Flips, ..DataForm::default() }, &columns);
        assert_eq!(data.rows(), [1]);
        assert_eq!(data.other_conditions(&columns), [masked.condition]);
        let mut read = answered(&data, 2, "nothing", 0.5).prediction;
        read.choice_logprobs = vec![-1.0, -1.0, f32::NEG_INFINITY];
        data.take_read(ReadAnswers { name: "elsewhere".to_owned(), predictions: vec![read] });
        let [column] = &data.read_columns()[..] else { panic!("one was read") };
        assert_eq!(data.answer(column, 2).and_then(|own| own.certainty), Some(0.5));
        // Its own data opened, it stays.
        let mut same = DataTable::default();
        same.take_over(&mut data);
        assert_eq!((same.read_columns().len(), data.read_columns().len()), (1, 0));
    }
}
