//! Every action by its name, as one looks for it with Ctrl+K.

use egui_kittest::kittest::Queryable;
use livr_explorer::app::hub::actions::JobAction;
use livr_explorer::app::hub::keyboard::{BINDINGS, does};
use livr_explorer::app::parts::tiling::Pane;
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::Window;
use livr_explorer::ask::{DeviceChoice, DtypeChoice, MaskKind};
use livr_explorer::engine::demo::DemoAdapter;
use livr_explorer::engine::ids::Source;

use crate::window::{apply, first_actions, open, picture, settle, state, tolerant};

fn window() -> Window {
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, first_actions());
    let mut window = open([1000.0, 700.0], egui::Theme::Dark, startup);
    settle(&mut window);
    window
}

fn look_for(window: &mut Window, text: &str) {
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::K);
    window.step();
    window.step();
    window.get_by_label("What to do").type_text(text);
    window.step();
    window.step();
}

fn press(window: &mut Window, key: egui::Key) {
    window.key_press(key);
    settle(window);
}

#[test]
fn an_action_is_found_by_words_of_its_name() {
    let mut window = window();
    look_for(&mut window, "mask stage");
    press(&mut window, egui::Key::Enter);
    assert_eq!(state(&window).kept.condition.mask, MaskKind::Bottleneck);
    assert!(state(&window).ui.action_search.is_none());

    // Nothing else is done while it is open, and Escape closes it alone.
    look_for(&mut window, "m");
    assert_eq!(state(&window).kept.condition.mask, MaskKind::Bottleneck);
    press(&mut window, egui::Key::Escape);
    assert!(state(&window).ui.action_search.is_none());
    look_for(&mut window, "no such thing");
    assert!(window.query_by_label("Nothing is called so").is_some());
    press(&mut window, egui::Key::Enter);
    assert!(state(&window).ui.action_search.is_some(), "there is nothing to do");
    press(&mut window, egui::Key::Escape);
}

#[test]
fn arrows_choose_and_a_click_takes() {
    let mut window = window();
    assert!(!state(&window).kept.layout.is_shown(Pane::Data));
    look_for(&mut window, "show data");
    window.snapshot_options("actions", &tolerant());
    window.get_by_label("Show data").click();
    settle(&mut window);
    assert!(state(&window).kept.layout.is_shown(Pane::Data));
    look_for(&mut window, "panes to");
    for key in [egui::Key::ArrowDown, egui::Key::ArrowDown, egui::Key::ArrowUp, egui::Key::Enter] {
        press(&mut window, key);
    }
    // The second of those found: map and matrix beside each other.
    assert!(["Map pane", "Matrix pane"].into_iter().all(|pane| window.query_by_label(pane).is_some()));
}

#[test]
fn whatever_has_a_key_is_there_and_adapters_are() {
    let mut window = window();
    let adapter = Some(Source::DemoAdapter(DemoAdapter::Livr));
    apply(&mut window, JobAction::OpenModel { base: Source::Demo, adapter });
    settle(&mut window);
    for binding in BINDINGS.iter().filter(|own| ![does::STOP, does::ACTIONS].contains(&own.does)) {
        look_for(&mut window, binding.does);
        assert!(window.query_all_by_label(binding.does).next().is_some(), "{}", binding.does);
        press(&mut window, egui::Key::Escape);
    }
    look_for(&mut window, "adapter latents only");
    press(&mut window, egui::Key::Enter);
    let chosen = state(&window).models.chosen().unwrap();
    assert_eq!(chosen.adapter, Some(Source::DemoAdapter(DemoAdapter::LatentsOnly)));
}

#[test]
fn the_list_of_keys() {
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, first_actions());
    let mut window = open([900.0, 620.0], egui::Theme::Dark, startup);
    settle(&mut window);
    window.key_press(egui::Key::F1);
    window.run_steps(3);
    picture(&mut window, "keys");
    window.key_press(egui::Key::Escape);
    window.run_steps(3);
    assert!(!state(&window).ui.help_open);
}
