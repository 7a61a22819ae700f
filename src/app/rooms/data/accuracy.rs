//! Tasks by columns, filling as answers come: how many were right, how sure that is, and what the paper reports.

use egui::{CollapsingHeader, ComboBox, Grid, Role, ScrollArea, Sense, Ui};

use crate::app::hub::state::State;
use crate::app::kit::widgets::name_widget;
use crate::app::parts::data::{AskedOf, DataColumn, DataForm, RowFilter};
use crate::app::rooms::compare::heads::row_name;
use crate::ask::Condition;
use crate::data::published::{PublishedRow, TABLE};
use crate::engine::study::Accuracy;

/// Columns with what they are called.
pub struct Columns<'a> {
    /// Whose answers.
    pub columns: &'a [DataColumn],
    /// [columns].
    pub names: &'a [String],
}

/// Draws the table where anything was answered; a number opens its samples.
pub fn accuracy_ui(ui: &mut Ui, state: &State, of: &Columns<'_>, form: &mut DataForm) {
    let rows = state.data.accuracies(of.columns);
    if rows.last().is_none_or(|(_, all)| all.iter().all(Option::is_none)) {
        return;
    }
    // The same models under conditions they were asked under before: a line each below the task's own.
    let others: Vec<Others> = state
        .data
        .other_conditions(of.columns)
        .into_iter()
        .map(|condition| {
            let columns: Vec<DataColumn> = of.columns.iter().map(|own| under(own, &condition)).collect();
            Others { name: row_name(&condition), rows: state.data.accuracies(&columns) }
        })
        .collect();
    CollapsingHeader::new("Accuracy").default_open(true).show(ui, |ui| {
        paper_ui(ui, form);
        let paper = TABLE.iter().find(|row| row.name == form.paper);
        ScrollArea::both().max_height(220.0).auto_shrink([false, true]).id_salt("accuracy").show(ui, |ui| {
            let columns = of.names.len() + 2 + usize::from(paper.is_some());
            Grid::new("accuracies").num_columns(columns).striped(true).show(ui, |ui| {
                ui.weak("task");
                for name in of.names {
                    ui.strong(name);
                }
                if let Some(paper) = paper {
                    ui.strong(paper.name)
                        .on_hover_text("As published, Table 1 of the paper's second version");
                }
                ui.weak("chance");
                ui.end_row();
                for (i, (task, own)) in rows.iter().enumerate() {
                    row_ui(ui, of.names, (task, None), own, paper, form);
                    for other in &others {
                        row_ui(ui, of.names, (task, Some(&other.name)), &other.rows[i].1, None, form);
                    }
                }
            });
        });
    });
}

struct Others {
    name: String,
    rows: Vec<(String, Vec<Option<Accuracy>>)>,
}

/// The column of the same model under another condition; what was read has none.
fn under(column: &DataColumn, condition: &Condition) -> DataColumn {
    match column.asked() {
        Some(asked) => AskedOf { condition: condition.clone(), ..asked.clone() }.into(),
        None => DataColumn::Read(String::new()),
    }
}

fn paper_ui(ui: &mut Ui, form: &mut DataForm) {
    ui.horizontal(|ui| {
        let label = ui.label("Beside it, the paper's");
        let name = if form.paper.is_empty() { "none" } else { form.paper.as_str() }.to_owned();
        let combo = ComboBox::from_id_salt("paper").selected_text(name).show_ui(ui, |ui| {
            ui.selectable_value(&mut form.paper, String::new(), "none");
            for row in &TABLE {
                ui.selectable_value(&mut form.paper, row.name.to_owned(), row.name);
            }
        });
        combo.response.labelled_by(label.id);
    });
}

fn row_ui(
    ui: &mut Ui,
    names: &[String],
    (task, condition): (&str, Option<&str>),
    own: &[Option<Accuracy>],
    paper: Option<&PublishedRow>,
    form: &mut DataForm,
) {
    let name = if task.is_empty() { "all".to_owned() } else { task.replace('_', " ") };
    match condition {
        None => drop(ui.label(&name)),
        Some(condition) => drop(ui.weak(format!("   {condition}"))),
    }
    for (accuracy, model) in own.iter().zip(names) {
        let Some(accuracy) = accuracy else {
            ui.weak("–");
            continue;
        };
        let link = ui.add(egui::Label::new(percent(accuracy)).sense(Sense::click()));
        name_widget(ui, &link, Role::Button, None, || {
            let under = condition.map_or_else(String::new, |own| format!(", {own}"));
            format!("{name}{under}, {model}: {}", percent(accuracy))
        });
        let [low, high] = accuracy.interval.map(|x| 100.0 * x);
        let hover = format!(
            "{low:.1} to {high:.1} (95 %, Wilson) of {} samples; click for its samples",
            accuracy.samples
        );
        if link.on_hover_text(hover).clicked() {
            (form.task, form.filter) = (task.to_owned(), RowFilter::All);
        }
    }
    if let Some(paper) = paper {
        let said =
            paper.of(task).map_or_else(|| "–".to_owned(), |(percent, n)| format!("{percent:.1} %  n {n}"));
        ui.label(said);
    }
    let chance = own.iter().flatten().find_map(|own| own.chance);
    ui.weak(chance.map_or_else(String::new, |chance| format!("{:.1}", 100.0 * chance)));
    ui.end_row();
}

fn percent(accuracy: &Accuracy) -> String {
    let [low, high] = accuracy.interval.map(|x| 100.0 * x);
    format!("{:.1} % [{low:.0}, {high:.0}]  n {}", 100.0 * accuracy.accuracy, accuracy.samples)
}
