//! A data set: opened, asked, looked through.

use std::path::PathBuf;

use crate::app::hub::actions::DataAction;
use crate::app::hub::controller::Controller;
use crate::app::hub::model_choices::name_of;
use crate::app::hub::path_kind::PathKind;
use crate::app::hub::state::{PathDialog, State};
use crate::app::parts::compare::CompareForm;
use crate::app::parts::data::{AskedOf, DataColumn, DataForm, DataSet, DataTable};
use crate::app::parts::samples::Taken;
use crate::app::parts::tiling::Pane;
use crate::ask::Condition;
use crate::data::record::Record;
use crate::data::sample::Sample;
use crate::engine::ids::ModelId;
use crate::engine::protocol::{Command, Purpose};
use crate::engine::study::{AnsweredRecord, Prediction, ReadAnswers, RecordsOrder};
use crate::export::csv;

/// Records that go through a model in one go: so long an answer of one's own waits at most.
const AT_ONCE: usize = 4;

/// Does what is asked.
pub fn apply(controller: &mut Controller, action: DataAction) {
    let state = &mut controller.state;
    match action {
        DataAction::Edit(form) => state.kept.data = *form,
        DataAction::OpenGallery => state.data = DataTable::of(DataSet::gallery()),
        DataAction::Take(record) => take(controller, record),
        DataAction::AskAll(asking) => {
            state.data.asking = asking;
            state.data.problem = None;
            state.data.failed_in_a_row = 0;
            if asking {
                state.data.problems.clear();
            } else {
                controller.jobs.cancel(Purpose::Data);
            }
        }
        DataAction::Want(records) => {
            controller.files.read_thumbnails(state.data.set.records.clone(), records);
        }
    }
}

/// The models side by side, else the one in use.
fn models(state: &State) -> Vec<ModelId> {
    let CompareForm { columns, .. } = &state.kept.compare;
    let chosen = state.models.chosen().cloned();
    let is_there = chosen.as_ref().is_some_and(|own| columns.contains(own));
    if is_there { columns.clone() } else { chosen.into_iter().collect() }
}

/// The columns of the table: those models, asked as the controls say, and what was read.
pub fn columns(state: &State) -> Vec<DataColumn> {
    let condition = &state.kept.condition;
    let asked = models(state).into_iter().map(|model| AskedOf { model, condition: condition.clone() });
    asked.map(DataColumn::from).chain(state.data.read_columns()).collect()
}

/// Everybody who is to be asked: those models under each of the comparison's rows, as the controls say first.
pub fn asked(state: &State) -> Vec<AskedOf> {
    let now = &state.kept.condition;
    let rows = state.kept.compare.conditions(now).into_iter().filter(|own| own != now);
    let conditions = std::iter::once(now.clone()).chain(rows);
    let models = models(state);
    let under = |condition: Condition| {
        let own = models.clone().into_iter();
        own.map(move |model| AskedOf { model, condition: condition.clone() }).collect::<Vec<_>>()
    };
    conditions.flat_map(under).collect()
}

/// What a column is called.
pub fn column_name(state: &State, column: &DataColumn) -> String {
    match column {
        DataColumn::Asked(asked) => name_of(&asked.model, &state.kept.compare.columns),
        DataColumn::Read(name) => name.clone(),
    }
}

/// Answers of a study were read, or why they cannot be: they join the table of their data, else one of their own.
pub fn answers_read(controller: &mut Controller, read: Result<Vec<ReadAnswers>, String>) {
    let state = &mut controller.state;
    let read = match read {
        Ok(read) => read,
        Err(problem) => return state.notify(problem),
    };
    let is_here =
        |answers: &ReadAnswers| answers.predictions.iter().any(|own| state.data.set.place(&own.id).is_some());
    if !read.iter().any(is_here) {
        let Some(first) = read.first() else { return };
        let record = |own: &Prediction| Record {
            id: own.id.clone(),
            task: own.task.clone(),
            target: own.target.clone(),
            ..Record::default()
        };
        let records = first.predictions.iter().map(record).collect();
        state.data = DataTable::of(DataSet::new(format!("samples of {}", first.name), None, records));
        state.say("Open the data file too, to see and ask its samples");
    }
    for answers in read {
        state.data.take_read(answers);
    }
    state.kept.data = DataForm::default();
    state.kept.layout.show(Pane::Data, true);
}

/// A data set was read, or why it cannot be.
pub fn opened(controller: &mut Controller, read: Result<DataSet, String>) {
    let state = &mut controller.state;
    match read {
        Ok(set) => {
            // A data file may be named where images were asked for.
            let asks = |own: &PathDialog| matches!(own.kind, PathKind::Images | PathKind::Data);
            state.ui.path_dialog.take_if(|own| asks(own));
            state.say(format!("{} samples of {}", set.records.len(), set.name));
            let mut table = DataTable::of(set);
            table.take_over(&mut state.data);
            state.data = table;
            state.kept.data.task.clear();
            state.kept.layout.show(Pane::Data, true);
        }
        Err(problem) => state.notify(problem),
    }
}

/// Puts a record into the window, once its images are read.
fn take(controller: &mut Controller, record: usize) {
    let state = &mut controller.state;
    if let Some(own) = state.data.set.records.get(record) {
        state.data.selected = Some(record);
        controller.files.read_sample(own.clone());
    }
}

/// The sample of a record is there, and is asked.
pub fn sample_read(controller: &mut Controller, id: &str, read: Result<Sample, String>) {
    let state = &mut controller.state;
    let Some(record) = state.data.record(id).cloned() else { return };
    match read {
        Ok(sample) => {
            state.take_sample(sample.clone());
            state.gallery.taken = Some(Taken { record, sample });
            if state.models.chosen().is_some() {
                controller.ask();
            }
        }
        Err(problem) => state.notify(problem),
    }
}

/// Has the next records answered, where that is wished and nobody waits for an answer of their own.
pub fn go_on(controller: &mut Controller) {
    let busy =
        [Purpose::Answer, Purpose::Model, Purpose::Data].iter().any(|own| controller.jobs.is_running(*own));
    if !controller.state.data.asking || busy || controller.state.ui.engine_died {
        return;
    }
    let asked = asked(&controller.state);
    let data = &mut controller.state.data;
    let Some((column, records)) = data.next(&asked, AT_ONCE) else {
        data.asking = false;
        let left_out = data.problems.len();
        let done = format!("{} samples answered", data.set.records.len() - left_out);
        let said = if left_out > 0 { format!("{done}, {left_out} could not be asked") } else { done };
        return controller.state.say(said);
    };
    let records = records.into_iter().map(|record| data.set.records[record].clone()).collect();
    let known_in = controller.answers_in.clone();
    let order = RecordsOrder { model: column.model, condition: column.condition, records, known_in };
    controller.send(Command::AnswerRecords(Box::new(order)));
}

/// Answers are there.
pub fn answered(controller: &mut Controller, order: &RecordsOrder, answers: Vec<AnsweredRecord>) {
    let column = AskedOf { model: order.model.clone(), condition: order.condition.clone() };
    controller.state.data.failed_in_a_row = 0;
    controller.state.data.take(&column.into(), answers);
}

/// Some records came to nothing: each is tried alone, and the one that is at fault is passed over. Where one after the other is
/// the model is.
pub fn failed(controller: &mut Controller, order: &RecordsOrder, problem: Option<&str>) {
    const ONE_AFTER_THE_OTHER: usize = 3;
    let data = &mut controller.state.data;
    let Some(problem) = problem else {
        data.asking = false;
        return;
    };
    let places: Vec<usize> = order.records.iter().filter_map(|own| data.set.place(&own.id)).collect();
    if let [place] = places[..] {
        data.problems.insert(place, problem.to_owned());
        data.failed_in_a_row += 1;
    } else {
        data.alone.extend(places);
    }
    if data.failed_in_a_row >= ONE_AFTER_THE_OTHER {
        data.asking = false;
        data.problem = Some(problem.to_owned());
    }
}

/// Writes what the table shows as CSV.
pub fn save(controller: &mut Controller, path: PathBuf) {
    if let Err(problem) = csv::check_ending(&path) {
        return controller.unnamed(PathKind::DataTable, problem.to_string());
    }
    let state = &controller.state;
    let columns = columns(state);
    let mut names =
        vec!["id", "task", "question", "expected"].into_iter().map(str::to_owned).collect::<Vec<_>>();
    for own in &columns {
        let model = column_name(state, own);
        names.extend(["answer", "right", "probability"].map(|what| format!("{model}: {what}")));
    }
    let row = |row: &usize| {
        let record = &state.data.set.records[*row];
        let mut cells =
            vec![record.id.clone(), record.task.clone(), record.prompt.clone(), record.target.clone()];
        for column in &columns {
            let answer = state.data.answer(column, *row);
            let said = answer.map(|own| &own.prediction);
            cells.push(said.map_or_else(String::new, |own| own.pred.clone()));
            cells.push(said.map_or_else(String::new, |own| own.correct.to_string()));
            let sure = answer.and_then(|own| own.certainty);
            cells.push(sure.map_or_else(String::new, |p| p.to_string()));
        }
        cells
    };
    let rows: Vec<Vec<String>> = state.data.rows().iter().map(row).collect();
    controller.close_dialog(PathKind::DataTable);
    controller.files.save(path, move |path| csv::write(path, &names, &rows));
}
