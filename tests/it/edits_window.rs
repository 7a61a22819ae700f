//! Changing runs in the window: by a menu, by a statement, taken back; what each did, and what did nothing.

use egui::Key;
use egui_kittest::kittest::Queryable;
use livr_explorer::app::hub::actions::{EditAction, JobAction};
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::Window;
use livr_explorer::ask::{DeviceChoice, DtypeChoice};
use livr_explorer::trace::CHANGED_NOTHING;

use crate::window::{apply, click, first_actions, open, settle, state};

fn asked() -> Window {
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, first_actions());
    let mut window = open([1360.0, 900.0], egui::Theme::Dark, startup);
    settle(&mut window);
    click(&mut window, "Ask");
    settle(&mut window);
    window
}

fn edits(window: &Window) -> Vec<String> {
    state(window).kept.condition.edits.iter().map(ToString::to_string).collect()
}

/// Adds a statement by the keyboard.
fn write(window: &mut Window, statement: &str) {
    apply(window, EditAction::WriteStatement(Some(String::new())));
    window.run_steps(2);
    window.get_by_label("Change the run by a statement").type_text(statement);
    window.run_steps(2);
    window.key_press(Key::Enter);
    window.run_steps(2);
    settle(window);
}

#[test]
fn a_latent_is_changed_by_its_menu_and_that_is_taken_back() {
    let mut window = asked();
    let before = state(&window).shown_run().unwrap().trace.answer.clone();
    let thumbnail = window.query_all_by_label_contains("Latent 2").next().unwrap();
    thumbnail.click_secondary();
    window.run_steps(3);
    window.get_by_label("Zero latent 2 in every layer").click();
    window.run_steps(3);
    settle(&mut window);
    assert_eq!(edits(&window), ["latents[2]=zero@embedding.."]);
    let run = state(&window).shown_run().unwrap().clone();
    let receipt = run.trace.receipt.as_ref().unwrap();
    assert!(receipt.sham && receipt.last_state > 0.0, "{receipt:?}");
    assert_eq!(receipt.base_answer, before);
    // Embedding and after every layer, of one latent.
    let num_layers = state(&window).models.in_use.as_ref().unwrap().num_layers;
    assert_eq!(run.trace.interventions[0].changed, num_layers + 1);
    window.get_by_label(&format!("{} changed", num_layers + 1));
    window.get_by_label("✔ sham");
    window.get_by_label_contains("Without the edits");

    apply(&mut window, EditAction::Undo);
    settle(&mut window);
    assert!(edits(&window).is_empty());
    assert!(state(&window).shown_run().unwrap().trace.receipt.is_none());
    apply(&mut window, EditAction::Redo);
    settle(&mut window);
    assert_eq!(edits(&window), ["latents[2]=zero@embedding.."]);
    click(&mut window, "Remove the edit latents[2]=zero@embedding..");
    assert!(edits(&window).is_empty());
}

#[test]
fn a_statement_is_written_and_one_that_does_nothing_is_called_that() {
    let mut window = asked();
    write(&mut window, "latents=self@embedding");
    assert_eq!(edits(&window), ["latents=self@embedding"]);
    window.get_by_label(CHANGED_NOTHING);
    write(&mut window, "block latents->image @0");
    assert_eq!(edits(&window).len(), 2);
    assert!(state(&window).shown_run().unwrap().trace.interventions[1].changed > 0);

    // What cannot be read stays to be mended, and says why.
    write(&mut window, "latents=zero");
    assert_eq!(edits(&window).len(), 2);
    window.get_by_label_contains("zero wants a site");
    apply(&mut window, EditAction::WriteStatement(None));
    window.run_steps(2);

    // What cannot apply is refused by name, and the answer before stays.
    let shown = state(&window).shown_run().unwrap().id;
    write(&mut window, "latents[40]=zero@embedding");
    assert!(window.query_all_by_label_contains("latents[40]: this run has latents").next().is_some());
    assert_eq!(state(&window).shown_run().unwrap().id, shown);
    assert!(window.query_by_label("Donor: none").is_none());
    write(&mut window, "latents=cache");
    window.get_by_label("Donor: none");
    apply(&mut window, JobAction::Stop);
}
