//! What leaves the window: figures, traces, the clipboard.

use std::path::PathBuf;

use super::figure::{composed, figure_of};
use crate::app::hub::command_line::command_of;
use crate::app::hub::controller::Controller;
use crate::app::hub::path_kind::PathKind;
use crate::error::Error;
use crate::export::{figure, trace_file};

/// Writes a figure of the maps in sight, or the trace of their run.
pub fn write(controller: &mut Controller, kind: PathKind, path: PathBuf) {
    let state = &controller.state;
    if kind == PathKind::Trace {
        return match state.shown_run().cloned() {
            Some(run) => controller.files.save(path, move |path| trace_file::write(&run.trace, path)),
            None => controller.unnamed(kind, "Ask first: there is no trace yet".to_owned()),
        };
    }
    match figure_of(state, &state.kept.figure) {
        Ok(drawn) => {
            let endings = state.kept.figure.also.into_iter().zip(["png", "svg", "pdf"]);
            let also: Vec<&str> = endings.filter(|(wanted, _)| *wanted).map(|(_, ending)| ending).collect();
            controller.files.save(path, move |path| {
                let others: Vec<PathBuf> =
                    also.into_iter().map(|ending| path.with_extension(ending)).collect();
                let others = others.into_iter().filter(|other| other != path);
                // Who said that one may be replaced spoke of its siblings too.
                let may_replace = path.exists();
                let mut all = vec![path.to_owned()];
                for other in others {
                    if other.exists() && !may_replace {
                        return Err(Error::field(&other, "the figure's sibling", "nothing there", "a file"));
                    }
                    all.push(other);
                }
                let figure = drawn();
                all.iter().try_for_each(|path| figure::write(&figure, path))
            });
        }
        Err(problem) => controller.unnamed(kind, problem),
    }
}

/// The images under the map in hand, side by side.
pub fn copy_map(controller: &mut Controller, ctx: &egui::Context) {
    let state = &mut controller.state;
    let Some(picture) = composed(state) else {
        return state.notify("Ask first: there is no map yet");
    };
    let size = [picture.width() as usize, picture.height() as usize];
    ctx.copy_image(egui::ColorImage::from_rgb(size, picture.as_raw()));
    state.say(format!("The map is on the clipboard, {} x {} pixels", size[0], size[1]));
}

pub fn copy_command(controller: &mut Controller, ctx: &egui::Context) {
    let state = &mut controller.state;
    let request = state.shown_run().map(|run| run.request.clone()).or_else(|| state.described());
    let Some(request) = request else { return state.notify("Open a model first") };
    let (command, unnamed) = command_of(&request);
    ctx.copy_text(command);
    state.say(if unnamed.is_empty() {
        "The command is on the clipboard".to_owned()
    } else {
        format!(
            "The command is on the clipboard; {} lies in no file and has to be saved first",
            unnamed.join(", ")
        )
    });
}
