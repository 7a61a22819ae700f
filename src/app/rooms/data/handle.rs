//! A data set: opened, asked, looked through.

use std::path::PathBuf;

use crate::app::hub::actions::DataAction;
use crate::app::hub::controller::Controller;
use crate::app::hub::path_kind::PathKind;
use crate::app::hub::state::State;
use crate::app::parts::compare::CompareForm;
use crate::app::parts::data::{AskedOf, DataSet, DataTable};
use crate::app::parts::samples::Taken;
use crate::app::parts::tiling::Pane;
use crate::app::rooms::compare::heads::name_of;
use crate::data::sample::Sample;
use crate::engine::protocol::{Command, Purpose};
use crate::engine::study::{AnsweredRecord, RecordsOrder};
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

/// Who is asked in the table: the models side by side, else the one in use.
pub fn columns(state: &State) -> Vec<AskedOf> {
    let CompareForm { columns, .. } = &state.kept.compare;
    let chosen = state.models.chosen().cloned();
    let is_there = chosen.as_ref().is_some_and(|own| columns.contains(own));
    let models = if is_there { columns.clone() } else { chosen.into_iter().collect() };
    let condition = &state.kept.condition;
    models.into_iter().map(|model| AskedOf { model, condition: condition.clone() }).collect()
}

/// A data set was read, or why it cannot be.
pub fn opened(controller: &mut Controller, read: Result<DataSet, String>) {
    let state = &mut controller.state;
    match read {
        Ok(set) => {
            state.say(format!("{} samples of {}", set.records.len(), set.name));
            state.data = DataTable::of(set);
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
    let columns = columns(&controller.state);
    let data = &mut controller.state.data;
    let Some((column, records)) = data.next(&columns, AT_ONCE) else {
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
    controller.state.data.take(&column, answers);
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
        let model = name_of(&own.model, &state.kept.compare.columns);
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
