//! The built-in samples, as one meets them in the window.

use egui_kittest::kittest::Queryable;
use livr_explorer::app::hub::actions::{EditAction, GalleryAction, JobAction};
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::Window;
use livr_explorer::ask::{DeviceChoice, DtypeChoice};
use livr_explorer::data::score::is_correct;
use livr_explorer::engine::demo::{self, DemoAdapter};
use livr_explorer::engine::ids::Source;

use crate::window::{apply, click, open, settle, state};

fn window() -> Window {
    let actions = vec![
        JobAction::OpenModel { base: Source::Demo, adapter: Some(Source::DemoAdapter(DemoAdapter::Livr)) }
            .into(),
        GalleryAction::Return.into(),
    ];
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, actions);
    let mut window = open([1200.0, 800.0], egui::Theme::Dark, startup);
    settle(&mut window);
    window
}

#[test]
fn every_task_has_samples_that_can_be_read() {
    let tasks: std::collections::BTreeSet<&str> =
        demo::gallery().iter().map(|record| record.task.as_str()).collect();
    assert_eq!(tasks.len(), 9);
    for record in demo::gallery() {
        assert!(!record.sample().unwrap().images.is_empty());
        assert!(is_correct(record, &record.target), "{}", record.id);
    }
}

#[test]
fn samples_are_taken_by_click_and_by_key_and_taken_back() {
    let mut window = window();
    assert!(!state(&window).undo.can_undo());
    // Keys of samples work while the question has the cursor, as it has at first.
    window.get_by_role(egui::accesskit::Role::MultilineTextInput).focus();
    settle(&mut window);
    window.key_press(egui::Key::PageDown);
    settle(&mut window);
    // The window begins with one of them, answered.
    let first = demo::first();
    let place = demo::gallery().iter().position(|own| own.id == first.id).unwrap();
    assert_eq!(state(&window).kept.question, demo::gallery()[place + 1].prompt);
    window.key_press(egui::Key::PageUp);
    settle(&mut window);
    assert_eq!(state(&window).kept.question, first.prompt);
    assert!(state(&window).shown_run().is_some());

    click(&mut window, "Samples");
    let other = &demo::gallery()[13];
    // It may have to be scrolled to.
    window.get_by_label(&format!("Sample {}", other.id)).click_accesskit();
    settle(&mut window);
    assert_eq!(state(&window).kept.question, other.prompt);
    assert_eq!(state(&window).images.len(), other.images.len());
    let run = state(&window).shown_run().unwrap().clone();
    assert_eq!(run.request.sample.prompt, other.prompt);
    let verdict = state(&window).verdict(&run).unwrap();
    assert_eq!(
        (verdict.target, verdict.correct),
        (other.target.clone(), is_correct(other, &run.trace.answer))
    );
    let sign = if verdict.correct { "right" } else { "wrong" };
    window.get_by_label(&format!("{sign}: the sample's answer is {}", other.target));

    window.key_press(egui::Key::PageDown);
    settle(&mut window);
    assert_eq!(state(&window).kept.question, demo::gallery()[14].prompt);
    window.key_press(egui::Key::PageUp);
    settle(&mut window);
    assert_eq!(state(&window).kept.question, other.prompt);

    apply(&mut window, EditAction::Undo);
    settle(&mut window);
    assert_eq!(state(&window).kept.question, demo::gallery()[14].prompt);
    // Another question about the sample's images has no known answer.
    apply(&mut window, EditAction::SetQuestion("What is this?".to_owned()));
    apply(&mut window, JobAction::Ask);
    settle(&mut window);
    let run = state(&window).shown_run().unwrap().clone();
    assert_eq!(state(&window).verdict(&run), None);
}

#[test]
fn the_demos_adapters_change_hands() {
    let mut window = window();
    for adapter in DemoAdapter::ALL {
        apply(&mut window, JobAction::SetAdapter(Some(Source::DemoAdapter(adapter))));
        settle(&mut window);
        let info = state(&window).models.in_use.clone().unwrap();
        assert_eq!(info.adapter.as_deref(), Some(adapter.name()));
        assert_eq!(info.trained_latents, if adapter == DemoAdapter::Sft { 0 } else { 16 });
        assert!(state(&window).kept.recent_adapters.is_empty());
    }
}
