//! Every room at three sizes of the window: a picture of each, and a name for everything that can be reached.

use egui::accesskit::Role;
use egui_kittest::kittest::{NodeT, Queryable};
use livr_explorer::app::hub::actions::{GalleryAction, JobAction, ViewAction, WindowAction};
use livr_explorer::app::parts::tiling::Preset;
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::Window;
use livr_explorer::ask::{DeviceChoice, DtypeChoice};
use livr_explorer::engine::demo::DemoAdapter;
use livr_explorer::engine::ids::Source;

use crate::window::{apply, open, picture, settle};

fn demo(size: [f32; 2], theme: egui::Theme) -> Window {
    let adapter = Some(Source::DemoAdapter(DemoAdapter::Livr));
    let actions = vec![
        JobAction::OpenModel { base: Source::Demo, adapter }.into(),
        GalleryAction::Return.into(),
        JobAction::Ask.into(),
    ];
    let mut window = open(size, theme, Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, actions));
    settle(&mut window);
    window
}

fn show(window: &mut Window, preset: Preset) {
    apply(window, WindowAction::UsePreset(preset));
    settle(window);
    // What slides into its place has come to rest.
    window.run_steps(8);
}

fn name(preset: Preset) -> String {
    preset.label().to_lowercase()
}

#[test]
fn every_room_on_a_small_screen() {
    let mut window = demo([900.0, 600.0], egui::Theme::Dark);
    for preset in Preset::ALL {
        show(&mut window, preset);
        picture(&mut window, &format!("room_{}_small", name(preset)));
    }
}

#[test]
fn every_room_on_a_usual_screen_in_light() {
    let mut window = demo([1360.0, 860.0], egui::Theme::Light);
    for preset in Preset::ALL {
        show(&mut window, preset);
        picture(&mut window, &format!("room_{}_usual", name(preset)));
    }
}

#[test]
fn every_room_on_a_large_screen() {
    let mut window = demo([2200.0, 1240.0], egui::Theme::Dark);
    for preset in Preset::ALL {
        show(&mut window, preset);
        picture(&mut window, &format!("room_{}_large", name(preset)));
    }
}

#[test]
fn every_room_with_text_at_twice_its_size() {
    // A usual screen at 200 %: half as many points.
    let mut window = demo([700.0, 450.0], egui::Theme::Dark);
    for preset in Preset::ALL {
        show(&mut window, preset);
        picture(&mut window, &format!("room_{}_twice", name(preset)));
    }
}

/// What the keyboard and screen readers reach.
const REACHED: [Role; 11] = [
    Role::Button,
    Role::CheckBox,
    Role::ComboBox,
    Role::Link,
    Role::MultilineTextInput,
    Role::RadioButton,
    Role::Slider,
    Role::SpinButton,
    Role::TextInput,
    Role::Image,
    Role::Canvas,
];

#[test]
fn everything_that_can_be_reached_has_a_name() {
    let mut window = demo([1360.0, 860.0], egui::Theme::Dark);
    let mut nameless = Vec::new();
    for preset in Preset::ALL {
        show(&mut window, preset);
        let mut count = 0;
        for role in REACHED {
            for node in window.query_all_by_role(role) {
                count += 1;
                let own = node.accesskit_node();
                let says = |text: Option<String>| text.is_some_and(|text| !text.trim().is_empty());
                if !says(own.label()) && !says(own.value()) {
                    let place = own.raw_bounds().map(|own| (own.x0, own.y0));
                    nameless.push(format!("{role:?} in {} at {place:?}", name(preset)));
                }
            }
        }
        assert!(count > 20, "{}: {count}", name(preset));
    }
    assert!(nameless.is_empty(), "{}", nameless.join("\n"));
}

#[test]
fn f6_walks_the_panes_and_tab_goes_on_from_there() {
    let mut window = demo([1360.0, 860.0], egui::Theme::Dark);
    let focused = |window: &Window| -> Option<String> {
        let panes = window.query_all_by_role(Role::Pane);
        let mut own = panes.filter(|node| node.accesskit_node().is_focused());
        own.find_map(|node| node.accesskit_node().label())
    };
    let mut walked = Vec::new();
    for _ in 0..3 {
        window.key_press(egui::Key::F6);
        window.run_steps(2);
        walked.extend(focused(&window));
    }
    assert_eq!(walked, ["Images pane", "Latents pane", "Question pane"]);
    window.key_press_modifiers(egui::Modifiers::SHIFT, egui::Key::F6);
    window.run_steps(2);
    assert_eq!(focused(&window).as_deref(), Some("Latents pane"));
    // Letters and arrows stay the window's, and Tab enters the pane.
    let query = crate::window::state(&window).panes.map.query;
    window.key_press(egui::Key::ArrowRight);
    window.run_steps(2);
    assert_ne!(crate::window::state(&window).panes.map.query, query);
    window.key_press(egui::Key::Tab);
    window.run_steps(2);
    assert_eq!(focused(&window), None);
    let rect = window.get_by_label("Latents pane").rect();
    let inside = window.ctx.memory(egui::Memory::focused).and_then(|id| window.ctx.read_response(id));
    let inside = inside.map(|own| own.rect);
    assert!(inside.is_some_and(|own| rect.intersects(own)), "the focus is in {rect}: {inside:?}");
    // A pane behind others comes to the front.
    for _ in 0..4 {
        window.key_press(egui::Key::F6);
        window.run_steps(2);
    }
    assert!(focused(&window).is_some());
}

#[test]
fn what_stands_still_looks_as_what_is_drawn_anew_and_has_fewer_corners() {
    let mut window = demo([1000.0, 700.0], egui::Theme::Dark);
    let corners = |window: &Window| -> usize {
        let shapes = window.output().shapes.clone();
        let count = |own: &egui::ClippedPrimitive| match &own.primitive {
            egui::epaint::Primitive::Mesh(mesh) => mesh.vertices.len(),
            egui::epaint::Primitive::Callback(_) => 0,
        };
        window.ctx.tessellate(shapes, 1.0).iter().map(count).sum()
    };
    window.remove_cursor();
    for action in [ViewAction::StepQuery(1), ViewAction::StepQuery(1), ViewAction::Play(false)] {
        apply(&mut window, action);
        apply(&mut window, WindowAction::SetTheme(egui::ThemePreference::Light));
        window.step();
        apply(&mut window, WindowAction::SetTheme(egui::ThemePreference::Dark));
        // Everything is of another colour than in the frame before: nothing stands still.
        window.step();
        let (anew, many) = (window.render().unwrap(), corners(&window));
        window.run_steps(6);
        let (still, few) = (window.render().unwrap(), corners(&window));
        assert!(few * 3 < many, "{few} of {many} corners");
        let far = |(a, b): (&image::Rgba<u8>, &image::Rgba<u8>)| {
            a.0.iter().zip(b.0).any(|(a, b)| a.abs_diff(b) > 2)
        };
        let differing = anew.pixels().zip(still.pixels()).filter(|pair| far(*pair)).count();
        assert!(differing < 40, "{differing} pixels differ");
    }
}
