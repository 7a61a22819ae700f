//! The table of a data set: what was asked, what was expected, what each model said.

use egui::{
    Align2, ComboBox, FontId, Image, Key, Rect, Role, ScrollArea, Sense, Stroke, StrokeKind, TextEdit, Ui,
    pos2, vec2,
};

use super::accuracy::{Columns, accuracy_ui};
use super::handle::{asked, column_name, columns};
use crate::app::hub::actions::{Actions, DataAction, WindowAction};
use crate::app::hub::path_kind::PathKind;
use crate::app::hub::state::State;
use crate::app::kit::theme::palette;
use crate::app::kit::widgets::name_widget;
use crate::app::parts::data::{DataColumn, DataForm, RowFilter, RowOrder};
use crate::data::record::Record;
use crate::engine::study::AnsweredRecord;

const ROW: f32 = 44.0;
const HEAD: f32 = 22.0;
const FONT: f32 = 12.5;

/// Draws the pane.
pub fn data_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let columns = columns(state);
    let names: Vec<String> = columns.iter().map(|own| column_name(state, own)).collect();
    bar_ui(ui, state, actions);
    let mut form = state.kept.data.clone();
    filters_ui(ui, state, &mut form);
    progress_ui(ui, state, actions);
    accuracy_ui(ui, state, &Columns { columns: &columns, names: &names }, &mut form);
    let places = Places::of(ui.available_width(), columns.len());
    head_ui(ui, &places, &names, &mut form);
    table_ui(ui, state, &columns, &names, &places, actions);
    if form != state.kept.data {
        actions.push(DataAction::Edit(Box::new(form)));
    }
}

fn bar_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let data = &state.data;
    ui.horizontal_wrapped(|ui| {
        if ui.button("Open data…").on_hover_text("JSONL, parquet, a folder of images, or the result of a study").clicked() {
            actions.push(WindowAction::OpenPathDialog(PathKind::Data));
        }
        if data.set.path.is_some() && ui.button("Built-in samples").clicked() {
            actions.push(DataAction::OpenGallery);
        }
        let ready = state.models.chosen().is_some();
        let label = if data.asking { "Stop asking" } else { "Ask all" };
        let hint = "Asks every model of the comparison, as the controls and the comparison's rows say, in the background: a question of your own goes first";
        if ui.add_enabled(ready, egui::Button::new(label)).on_hover_text(hint).clicked() {
            actions.push(DataAction::AskAll(!data.asking));
        }
        if ui.button("Save table…").on_hover_text("What is in sight, as CSV").clicked() {
            actions.push(WindowAction::OpenPathDialog(PathKind::DataTable));
        }
        let shown = data.rows().len();
        let total = data.set.records.len();
        let of = if shown == total { format!("{total}") } else { format!("{shown} of {total}") };
        let place = data.set.path.as_ref().map(|path| path.display().to_string());
        ui.weak(format!("{}: {of} samples", data.set.name)).on_hover_text(place.unwrap_or_default());
    });
}

fn filters_ui(ui: &mut Ui, state: &State, form: &mut DataForm) {
    ui.horizontal_wrapped(|ui| {
        for filter in RowFilter::ALL {
            ui.selectable_value(&mut form.filter, filter, filter.label()).on_hover_text(filter.explanation());
        }
    });
    ui.horizontal(|ui| {
        let tasks = state.data.tasks();
        if tasks.len() > 1 {
            let label =
                |task: &str| if task.is_empty() { "All tasks".to_owned() } else { task.replace('_', " ") };
            let combo = ComboBox::from_id_salt("task of the table").selected_text(label(&form.task));
            combo.show_ui(ui, |ui| {
                for task in std::iter::once("").chain(tasks) {
                    ui.selectable_value(&mut form.task, task.to_owned(), label(task));
                }
            });
        }
        let label = ui.label("Search");
        ui.add(TextEdit::singleline(&mut form.search).desired_width(140.0).hint_text("id, question, answer"))
            .labelled_by(label.id);
    });
}

fn progress_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let columns: Vec<DataColumn> = asked(state).into_iter().map(DataColumn::from).collect();
    let data = &state.data;
    if let Some(problem) = &data.problem {
        ui.colored_label(palette(ui.visuals()).warning, problem);
    }
    let total = data.set.records.len() * columns.len();
    let done: usize = columns.iter().map(|column| data.answered(column)).sum();
    if data.asking {
        ui.horizontal(|ui| {
            ui.add(egui::ProgressBar::new(done as f32 / total.max(1) as f32).desired_width(160.0));
            ui.label(format!("{done} of {total} answers"));
        });
    } else if done > 0
        && done < total
        && ui.button(format!("Go on: {} answers are missing", total - done)).clicked()
    {
        actions.push(DataAction::AskAll(true));
    }
}

/// Where the columns of the table lie, from its left edge.
struct Places {
    task: f32,
    question: f32,
    expected: f32,
    answers: Vec<f32>,
    width: f32,
}

impl Places {
    fn of(width: f32, answers: usize) -> Self {
        let width = width - 12.0;
        let pictures = 96.0_f32.min(width * 0.2);
        let task = pictures + 6.0;
        let each = ((width * 0.5) / answers.max(1) as f32).clamp(64.0, 150.0);
        let first = width - each * answers as f32;
        let expected = first - 74.0;
        let question = (task + 96.0).min(expected - 20.0).max(task);
        Self {
            task,
            question,
            expected,
            answers: (0..answers).map(|i| first + each * i as f32).collect(),
            width,
        }
    }
}

fn head_ui(ui: &mut Ui, places: &Places, names: &[String], form: &mut DataForm) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), HEAD), Sense::hover());
    let mut ends: Vec<f32> = vec![places.question, places.expected];
    ends.push(places.answers.first().copied().unwrap_or(places.width));
    ends.extend(places.answers.iter().skip(1).copied());
    ends.push(places.width);
    let fixed = [
        (RowOrder::Task, "Task", places.task),
        (RowOrder::Question, "Question", places.question),
        (RowOrder::Expected, "Expected", places.expected),
    ];
    let heads: Vec<(RowOrder, String, f32)> = fixed
        .into_iter()
        .map(|(order, name, left)| (order, name.to_owned(), left))
        .chain(
            places
                .answers
                .iter()
                .enumerate()
                .map(|(i, left)| (RowOrder::Certainty(i), names[i].clone(), *left)),
        )
        .collect();
    for ((order, name, left), end) in heads.into_iter().zip(ends) {
        let place =
            Rect::from_min_max(pos2(rect.min.x + left, rect.min.y), pos2(rect.min.x + end - 4.0, rect.max.y));
        let sign = match (form.order == order, form.reversed) {
            (false, _) => "",
            (true, false) => " ↓",
            (true, true) => " ↑",
        };
        let response = ui.interact(place, ui.scope_id().with(("head", &name, left as i32)), Sense::click());
        name_widget(ui, &response, Role::Button, Some(form.order == order), || format!("Sort by {name}"));
        let colour = if response.hovered() || response.has_focus() {
            palette(ui.visuals()).accent
        } else {
            palette(ui.visuals()).weak
        };
        text(ui, place, &format!("{name}{sign}"), colour);
        if response.clicked() {
            form.reversed = form.order == order && !form.reversed;
            form.order = order;
        }
    }
}

fn table_ui(
    ui: &mut Ui,
    state: &State,
    columns: &[DataColumn],
    names: &[String],
    places: &Places,
    actions: &mut Actions,
) {
    let rows = state.data.rows();
    if rows.is_empty() {
        ui.centered_and_justified(|ui| ui.weak("No sample is like that: choose All, or another task"));
        return;
    }
    let mut seen = Vec::new();
    ScrollArea::vertical().auto_shrink([false, false]).id_salt("rows of data").show_rows(
        ui,
        ROW,
        rows.len(),
        |ui, range| {
            for row in range {
                let record = rows[row];
                seen.push(record);
                row_ui(ui, state, (columns, names), places, record, actions);
            }
        },
    );
    let wanted = state.data.thumbnails.want(seen.into_iter());
    if !wanted.is_empty() {
        actions.push(DataAction::Want(wanted));
    }
}

fn row_ui(
    ui: &mut Ui,
    state: &State,
    (columns, names): (&[DataColumn], &[String]),
    places: &Places,
    index: usize,
    actions: &mut Actions,
) {
    let palette = palette(ui.visuals());
    let record = &state.data.set.records[index];
    let (rect, response) =
        ui.allocate_exact_size(vec2(ui.available_width(), ROW - ui.spacing().item_spacing.y), Sense::click());
    let is_taken = state.data.selected == Some(index);
    let answers: Vec<Option<&AnsweredRecord>> =
        columns.iter().map(|column| state.data.answer(column, index)).collect();
    name_widget(ui, &response, Role::Button, Some(is_taken), || described(record, &answers, names));
    let enter = response.has_focus() && ui.input(|input| input.key_pressed(Key::Enter));
    if response.clicked() || enter {
        actions.push(DataAction::Take(index));
    }
    if response.hovered() {
        ui.painter().rect_filled(rect, 3.0, ui.visuals().widgets.hovered.weak_bg_fill);
    }
    if is_taken || response.has_focus() {
        ui.painter().rect_stroke(rect, 3.0, Stroke::new(1.5, palette.accent), StrokeKind::Inside);
    }
    pictures_ui(
        ui,
        state,
        index,
        Rect::from_min_size(rect.min, vec2(places.task - 6.0, rect.height())).shrink(2.0),
    );
    let cell = |left: f32, right: f32| {
        Rect::from_min_max(pos2(rect.min.x + left, rect.min.y), pos2(rect.min.x + right - 4.0, rect.max.y))
    };
    text(ui, cell(places.task, places.question), &record.task.replace('_', " "), palette.weak);
    text(ui, cell(places.question, places.expected), &record.prompt, palette.text);
    let first = places.answers.first().copied().unwrap_or(places.width);
    text(ui, cell(places.expected, first), &record.target, palette.text);
    for (i, answer) in answers.iter().enumerate() {
        let end = places.answers.get(i + 1).copied().unwrap_or(places.width);
        let place = cell(places.answers[i], end);
        match answer {
            Some(answer) => {
                let colour = if answer.prediction.correct { palette.right } else { palette.warning };
                text(ui, place, &said(answer), colour);
            }
            None if state.data.problems.contains_key(&index) => {
                text(ui, place, "cannot be asked", palette.warning);
            }
            None => text(ui, place, "–", palette.weak),
        }
    }
    if let Some(problem) = state.data.problems.get(&index) {
        response.on_hover_text(problem);
    } else {
        response.on_hover_text(&record.prompt);
    }
}

/// "✔ B  97 %".
fn said(answer: &AnsweredRecord) -> String {
    let sign = if answer.prediction.correct { "✔" } else { "✖" };
    let sure = answer.certainty.map_or_else(String::new, |p| format!("  {:.0} %", 100.0 * p));
    format!("{sign} {}{sure}", answer.prediction.pred)
}

fn described(record: &Record, answers: &[Option<&AnsweredRecord>], names: &[String]) -> String {
    let each = answers.iter().zip(names).map(|(answer, name)| match answer {
        Some(own) => {
            let verdict = if own.prediction.correct { "right" } else { "wrong" };
            format!("{name} {} {verdict}", own.prediction.pred)
        }
        None => format!("{name} not asked"),
    });
    let each: Vec<String> = each.collect();
    format!("Sample {}, expected {}: {}", record.id, record.target, each.join(", "))
}

fn pictures_ui(ui: &mut Ui, state: &State, index: usize, area: Rect) {
    let mut left = area.min.x;
    for texture in state.data.thumbnails.of(ui.ctx(), index) {
        let size = texture.size_vec2();
        let width = size.x * area.height() / size.y.max(1.0);
        if left + width > area.max.x + 1.0 {
            break;
        }
        let place = Rect::from_min_size(pos2(left, area.min.y), vec2(width, area.height()));
        Image::new(&texture).paint_at(ui, place);
        left += width + 2.0;
    }
}

/// A line that ends where its column does.
fn text(ui: &Ui, place: Rect, text: &str, colour: egui::Color32) {
    let one_line: String = text.chars().take(240).map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let mut job = egui::text::LayoutJob::simple_singleline(one_line, FontId::proportional(FONT), colour);
    job.wrap = egui::text::TextWrapping::truncate_at_width(place.width().max(8.0));
    let painter = ui.painter().with_clip_rect(place.intersect(ui.clip_rect()));
    let galley = painter.layout_job(job);
    let at = Align2::LEFT_CENTER.anchor_size(place.left_center(), galley.size());
    painter.galley(at.min, galley, colour);
}
