//! Maps in the window: scales, layers one by one, patches and regions, differences, rollout.

use std::sync::Arc;

use egui_kittest::kittest::{NodeT, Queryable};
use livr_explorer::analysis::query::{Aggregation, Query, Selection};
use livr_explorer::app::hub::actions::{
    EditAction, ImagesAction, JobAction, RunAction, ViewAction, WindowAction,
};
use livr_explorer::app::hub::path_kind::PathKind;
use livr_explorer::app::parts::as_read::size_in;
use livr_explorer::app::parts::view::Strip;
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::Window;
use livr_explorer::ask::{DeviceChoice, DtypeChoice, LatentChoice, MaskKind};
use livr_explorer::data::picture::Picture;

use crate::common::photo;
use crate::window::{apply, click, first_actions, open, settle, state};

fn asked() -> Window {
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, first_actions());
    let mut window = open([1360.0, 860.0], egui::Theme::Dark, startup);
    settle(&mut window);
    click(&mut window, "Ask");
    window
}

fn shows(window: &mut Window, text: &str) -> bool {
    settle(window);
    window.query_all_by_label_contains(text).next().is_some()
}

#[test]
fn one_scale_for_all_latents_begins_at_zero() {
    let mut window = asked();
    let in_sight = |window: &Window| {
        let shown = state(window).panes.map.in_sight().unwrap();
        let ends = |query: usize| {
            let range = shown.ranges[query][0];
            (shown.times_uniform(query, range.low), shown.times_uniform(query, range.high))
        };
        (ends(0), ends(1))
    };
    let (first, second) = in_sight(&window);
    assert!(first.0 == 0.0 && (first.1 - second.1).abs() < 1e-4 && first.1 >= 2.0, "{first:?} {second:?}");
    click(&mut window, "One scale for all latents");
    let (first, second) = in_sight(&window);
    assert!(first.0 == 0.0 && second.0 == 0.0);
    click(&mut window, "From zero");
    let (first, second) = in_sight(&window);
    assert!(first.0 > 0.0 && second.0 > 0.0 && first != second, "{first:?} {second:?}");
}

#[test]
fn images_are_shown_as_they_are_read() {
    let mut window = asked();
    let run = state(&window).shown_run().unwrap().clone();
    let image = run.request.sample.images[0].clone();
    let size = size_in(&run.trace, 0).unwrap();
    assert_ne!(size, image.size());
    assert_eq!(size.0 as usize % run.trace.patch_size, 0, "{size:?}");
    assert!(state(&window).as_read.get(image.id(), size).is_none());
    click(&mut window, &format!("1. {}", image.name));
    assert!(shows(&mut window, &format!("read at {} x {}", size.0, size.1)));
    click(&mut window, "Show images as they are read");
    settle(&mut window);
    let read = state(&window).as_read.get(image.id(), size).unwrap();
    assert_eq!((read.size(), &read.name), (size, &image.name));
    window.key_press(egui::Key::Escape);
    window.run_steps(2);
    window.key_press(egui::Key::R);
    window.run_steps(2);
    assert!(!state(&window).kept.view.as_read);
}

#[test]
fn layers_go_by_by_hand_and_on_their_own() {
    let mut window = asked();
    click(&mut window, "Layers of latent 0");
    assert_eq!(state(&window).kept.view.strip, Strip::Layers);
    let layers = state(&window).models.in_use.as_ref().unwrap().num_layers;
    assert_eq!(window.query_all_by_label_contains("of its attention on the images").count(), layers);
    window.get_by_label_contains("Layer 1 of latent 0").click();
    settle(&mut window);
    assert_eq!(state(&window).kept.view.selection.layer.map(|layer| layer.0), Some(1));
    // The strip's map of a layer is the map of that layer.
    let pane = &state(&window).panes.map;
    let of_strip = &pane.layers_in_sight(None).unwrap().maps.maps[1][0];
    let shown = pane.in_sight().unwrap();
    assert_eq!(of_strip, &shown.maps.maps[shown.query][0]);
    click(&mut window, "Every latent");
    let mut seen = std::collections::BTreeSet::new();
    apply(&mut window, ViewAction::Play(true));
    for _ in 0..60 {
        window.step();
        seen.insert(state(&window).kept.view.selection.layer.map(|layer| layer.0));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_eq!(seen.len(), layers, "every layer, and not all of them at once: {seen:?}");
    window.get_by_label("Pause").click();
    settle(&mut window);
    assert!(!state(&window).panes.map.playing);
}

#[test]
fn a_patch_and_a_region_say_what_each_latent_gives_them() {
    let mut window = asked();
    let alt = egui::Modifiers::ALT;
    window.key_press_modifiers(alt, egui::Key::ArrowRight);
    assert!(shows(&mut window, "Patch: row"));
    let pin = state(&window).panes.map.pinned.unwrap();
    let shown = state(&window).panes.map.in_sight().unwrap();
    let map = &shown.maps.maps[shown.query][0];
    let most = map.values.iter().copied().fold(0.0, f32::max);
    assert_eq!(map.values[pin.rows.0 * map.cols + pin.cols.0], most, "the patch that is looked at most");
    let latents = shown.latents_on(0, &pin);
    assert_eq!((latents.len(), latents[0]), (16, most));
    let (down, right) = (pin.rows.0 == 0, pin.cols.0 == 0);
    let vertical = if down { egui::Key::ArrowDown } else { egui::Key::ArrowUp };
    let across = if right { egui::Key::ArrowRight } else { egui::Key::ArrowLeft };
    for key in [vertical, across] {
        window.key_press_modifiers(alt | egui::Modifiers::SHIFT, key);
        window.step();
    }
    assert!(shows(&mut window, "Region: rows"));
    // Twice the same way it grows twice, where there is room.
    let one = state(&window).panes.map.pinned.unwrap();
    window.key_press_modifiers(alt | egui::Modifiers::SHIFT, vertical);
    settle(&mut window);
    let two = state(&window).panes.map.pinned.unwrap();
    assert!(two.rows.1 - two.rows.0 >= one.rows.1 - one.rows.0, "{one:?} {two:?}");
    let region = state(&window).panes.map.pinned.unwrap();
    let whole = state(&window).panes.map.in_sight().unwrap().latents_on(0, &region);
    assert!(whole[0] > most, "a region holds more than its patch");
    // By mouse: a click chooses, the same click again lets go.
    click(&mut window, "Close");
    let canvas = window.query_all_by_label_contains("images with the attention").next().unwrap().rect();
    let point = canvas.center();
    for expected in [true, false] {
        window.drag_at(point);
        window.step();
        window.drop_at(point);
        settle(&mut window);
        window.hover_at(point);
        // Longer apart than a double click.
        window.run_steps(12);
        assert_eq!(state(&window).panes.map.pinned.is_some(), expected);
    }
}

#[test]
fn masked_maps_say_so_and_differences_have_two_signs() {
    let mut window = asked();
    let first = state(&window).panes.map.run.unwrap();
    apply(&mut window, EditAction::SetMask(MaskKind::Bottleneck));
    settle(&mut window);
    apply(&mut window, ViewAction::SelectQuery(Query::Answer(0)));
    assert!(shows(&mut window, "Answer token 0, masked: cannot see the image"));
    apply(&mut window, ViewAction::SelectQuery(Query::Latent(0)));
    apply(&mut window, RunAction::SetBase(Some(first)));
    settle(&mut window);
    click(&mut window, "Difference from the base run");
    let shown = state(&window).panes.map.in_sight().unwrap();
    assert!(shown.rows.is_difference());
    let (own, base) = (state(&window).shown_run().unwrap(), state(&window).runs.base().unwrap());
    let selection = state(&window).kept.view.selection;
    let map = |trace| livr_explorer::analysis::maps::image_maps(trace, Query::Latent(0), selection).unwrap();
    let (own, base) = (map(&own.trace), map(&base.trace));
    for (i, value) in shown.maps.maps[0][0].values.iter().enumerate() {
        assert!((value - (own[0].values[i] - base[0].values[i])).abs() < 1e-7);
    }
    let range = shown.ranges[0][0];
    assert_eq!(range.low, -range.high);
    // Only what both runs have is compared: without latents in the base there is nothing of latents.
    apply(&mut window, EditAction::SetLatents(LatentChoice::Off));
    settle(&mut window);
    let without = state(&window).panes.map.run.unwrap();
    apply(&mut window, EditAction::SetLatents(LatentChoice::Auto));
    apply(&mut window, RunAction::SetBase(Some(without)));
    settle(&mut window);
    let shown = state(&window).panes.map.in_sight().unwrap();
    assert!(shown.rows.queries.iter().all(|query| matches!(query, Query::Answer(_))));
    apply(&mut window, RunAction::SetBase(Some(first)));
    settle(&mut window);
    assert!(shows(&mut window, "against the base run"));
}

#[test]
fn rollout_asks_for_every_row() {
    let mut window = asked();
    let rollout = Selection { aggregation: Aggregation::Rollout, ..Selection::default() };
    apply(&mut window, ViewAction::Select(rollout));
    assert!(shows(&mut window, "Rollout needs every attention row"));
    click(&mut window, "Keep every attention row");
    let shown = state(&window).panes.map.in_sight().expect("it was asked again");
    let trace = &state(&window).shown_run().unwrap().trace;
    let expected = livr_explorer::analysis::maps::image_maps(trace, Query::Latent(0), rollout).unwrap();
    assert_eq!(shown.maps.maps[0], expected);
    // What reaches the answer by way of the latents is not more than what it gives them.
    let through = Selection { aggregation: Aggregation::ThroughLatents, ..Selection::default() };
    let map = livr_explorer::analysis::maps::image_maps(trace, Query::Answer(0), through).unwrap();
    assert!(map[0].mass() > 0.0 && map[0].mass() < 1.0);
}

#[test]
fn images_are_ordered_renamed_and_shown_alone() {
    let mut window = asked();
    let mut second = photo();
    second.name = "second.png".to_owned();
    apply(&mut window, ImagesAction::Add(vec![second.into()]));
    settle(&mut window);
    let shown = state(&window).panes.map.in_sight().is_some();
    assert!(shown, "the maps of the answer before are dimmed, not gone");
    apply(&mut window, ImagesAction::Rename(0, "kitchen".to_owned()));
    assert!(shows(&mut window, "Image 1, kitchen"));
    let run = state(&window).shown_run().unwrap().clone();
    assert_eq!(run.request.sample.images[0], state(&window).images[0], "renamed, it is the same picture");
    window.get_by_label_contains("Image 2, second.png").click();
    settle(&mut window);
    assert_eq!(state(&window).panes.map.maximised, Some(1));
    window.get_by_label_contains("show all images").click();
    settle(&mut window);
    assert_eq!(state(&window).panes.map.maximised, None);
    // Dragged by its name onto the other it takes its place.
    let name = window.get_by_label_contains("Image 2, second.png").rect().center();
    let first = window.get_by_label_contains("Image 1, kitchen").rect().center() + egui::vec2(40.0, 60.0);
    window.drag_at(name);
    window.step();
    window.hover_at(first);
    window.run_steps(2);
    window.drop_at(first);
    settle(&mut window);
    assert_eq!(state(&window).images[0].name, "second.png");
}

#[test]
fn paths_are_taken_as_people_give_them() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.png", "b c.png"] {
        photo().pixels.save(dir.path().join(name)).unwrap();
    }
    let mut window = asked();
    let count = |window: &Window| state(window).images.len();
    let mut give = |text: String| {
        apply(&mut window, WindowAction::OpenPathDialog(PathKind::Images));
        apply(&mut window, WindowAction::EditPath(text));
        apply(&mut window, JobAction::TakePath);
        settle(&mut window);
        let dialog = state(&window).ui.path_dialog.as_ref();
        (count(&window), dialog.and_then(|dialog| dialog.problem.clone()), dialog.map(|d| d.text.clone()))
    };
    let root = dir.path().display().to_string();
    assert_eq!(give(root.clone()).0, 3, "a folder is its images");
    assert_eq!(give(format!("{root}/*.png")).0, 5);
    assert_eq!(give(format!("'{root}/b c.png'")).0, 6);
    assert_eq!(give(format!("file://{root}/b%20c.png")).0, 7);
    let (count, problem, text) = give(format!("{root}/none.png"));
    assert_eq!((count, text), (7, Some(format!("{root}/none.png"))), "what was typed survives");
    assert!(problem.unwrap().contains("none.png"));
    assert!(window.query_by_label_contains("the image is missing").is_some());
}

#[test]
fn a_message_covers_nothing() {
    let mut window = asked();
    window.state_mut().controller.state.notify("something went wrong");
    window.run_steps(3);
    let message = window.get_by_label("something went wrong").rect();
    for pane in ["Images pane", "Latents pane", "Question pane", "Map pane"] {
        let place = window.get_by_label(pane).rect();
        assert!(!place.intersects(message), "{pane}: {place} and {message}");
    }
    assert!(!window.get_by_label("Dismiss").accesskit_node().is_disabled());
}

#[test]
fn the_models_of_this_machine_are_listed_and_opened() {
    let mut window = asked();
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::B);
    assert!(shows(&mut window, "Built in, used before"));
    let open = window.get_by_label("Open LIVR demo, with direct SFT");
    open.click();
    settle(&mut window);
    let info = state(&window).models.in_use.as_ref().unwrap();
    assert_eq!((info.name.as_str(), info.adapter.as_deref()), ("LIVR demo", Some("direct SFT")));
}

#[test]
fn a_pasted_picture_and_an_added_one_are_two() {
    let mut window = asked();
    let picture = || Arc::new(Picture::new("twin", image::RgbImage::new(8, 8)));
    let (one, other) = (picture(), picture());
    assert_ne!(one, other);
    apply(&mut window, ImagesAction::Add(vec![one.clone(), other.clone()]));
    apply(&mut window, ImagesAction::MoveEarlier(2));
    assert_eq!(state(&window).images[1..], [other, one]);
}
