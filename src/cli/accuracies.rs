//! Accuracy by task, in lines.

use super::output::print;
use crate::engine::study::Accuracy;
use crate::engine::study::result::CellResult;

/// A line for each task, and one for all.
pub fn print_accuracies(result: &CellResult) {
    for (task, own) in result.tasks.iter().chain(std::iter::once((&"all".to_owned(), &result.all))) {
        print(&line(task, own));
    }
}

fn line(task: &str, own: &Accuracy) -> String {
    let chance = own.chance.map_or_else(String::new, |c| format!(", chance {:.1}", 100.0 * c));
    let [low, high] = own.interval.map(|x| 100.0 * x);
    let name = if task.is_empty() { "no task" } else { task };
    format!("{name}: {:.1} % of {} [{low:.1}, {high:.1}]{chance}", 100.0 * own.accuracy, own.samples)
}
