//! Layouts of hidden states: what is mapped, the layout, and what the states say besides.

use egui::{Align, ComboBox, DragValue, Layout, ProgressBar, ScrollArea, Slider, TextEdit, Ui, vec2};

use super::scatter::scatter_ui;
use crate::app::hub::actions::{Actions, LayoutAction, WindowAction};
use crate::app::hub::state::{PathKind, State};
use crate::app::kit::theme::{GAP, SECTION_GAP, palette};
use crate::app::kit::widgets::name_widget;
use crate::app::parts::states::{Answered, ColourBy, LayoutForm, Projection, ROLES, Tool, tasks};
use crate::engine::project::{self, Reading, SPOKEN, StatePoint};
use crate::projection::geometry::Collapse;
use crate::units::Role;

/// Width of what stands beside the layout.
const BESIDE: f32 = 250.0;

/// Draws the pane.
pub fn projection_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let mut form = state.kept.map.clone();
    form_ui(ui, state, &mut form, actions);
    view_ui(ui, state, &mut form, actions);
    if form != state.kept.map {
        actions.push(LayoutAction::Edit(Box::new(form)));
    }
    ui.separator();
    body_ui(ui, state, actions);
}

/// What is mapped.
fn form_ui(ui: &mut Ui, state: &State, form: &mut LayoutForm, actions: &mut Actions) {
    let projection = &state.projection;
    ui.horizontal_wrapped(|ui| {
        ui.add_enabled_ui(!projection.is_running(), |ui| {
            let label = ui.label("Samples");
            let edit =
                TextEdit::singleline(&mut form.data).hint_text("The built-in ones").desired_width(150.0);
            ui.add(edit).labelled_by(label.id).on_hover_text("A data file: JSONL or parquet");
            if ui.button("Browse…").clicked() {
                actions.push(LayoutAction::Browse);
            }
            ui.add(DragValue::new(&mut form.samples).range(1..=1_000_000).prefix("at most "))
                .on_hover_text("Samples that are run, the first ones");
            for (wanted, (_, name)) in form.tokens.iter_mut().zip(ROLES) {
                ui.checkbox(wanted, name);
            }
            let layers = |all: bool| if all { "All layers" } else { "Last layer" };
            ComboBox::from_id_salt("layers").selected_text(layers(form.all_layers)).show_ui(ui, |ui| {
                for all in [false, true] {
                    ui.selectable_value(&mut form.all_layers, all, layers(all));
                }
            });
            ui.add(DragValue::new(&mut form.perplexity).range(1.0..=1000.0).speed(0.2).prefix("perplexity "))
                .on_hover_text("How many neighbours of each point count, about");
            ui.add(DragValue::new(&mut form.seed).prefix("seed ")).on_hover_text("One seed, one layout");
        });
    });
    // A row of its own: what comes and goes with the work moves nothing else.
    ui.horizontal(|ui| {
        if projection.is_running() {
            if ui.button("Stop").on_hover_text("States that are kept stay").clicked() {
                actions.push(LayoutAction::Stop);
            }
            let (text, share) =
                projection.progress.map_or(("Waiting", 0.0), |p| (p.phase.label(), p.fraction()));
            ui.add(ProgressBar::new(share).desired_width(120.0));
            // Beside it: on it half of the letters would be of the bar's own darkness.
            ui.label(text);
        } else {
            let can = form.tokens.iter().any(|wanted| *wanted) && state.models.chosen().is_some();
            let start = ui.add_enabled(can, egui::Button::new("Make layout"));
            if start.on_disabled_hover_text("Needs a model and tokens of some role").clicked() {
                actions.push(LayoutAction::Start);
            }
        }
    });
    if let Some(problem) = &projection.problem {
        let palette = palette(ui.visuals());
        egui::Frame::new().fill(palette.problem).inner_margin(GAP).show(ui, |ui| {
            ui.colored_label(palette.on_problem, problem);
        });
    }
}

/// How the layout is looked at.
fn view_ui(ui: &mut Ui, state: &State, form: &mut LayoutForm, actions: &mut Actions) {
    let projection = &state.projection;
    if projection.scene().is_none() {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        ui.label("Colour");
        ComboBox::from_id_salt("colour").selected_text(form.colour.label()).show_ui(ui, |ui| {
            for colour in ColourBy::ALL {
                ui.selectable_value(&mut form.colour, colour, colour.label());
            }
        });
        ui.label("Show");
        for (shown, (_, name)) in form.shown.iter_mut().zip(ROLES) {
            ui.toggle_value(shown, name);
        }
        let answered = |answered: Answered| match answered {
            Answered::Either => "Right and wrong",
            Answered::Right => "Answered right",
            Answered::Wrong => "Answered wrong",
        };
        ComboBox::from_id_salt("answered").selected_text(answered(form.answered)).show_ui(ui, |ui| {
            for which in [Answered::Either, Answered::Right, Answered::Wrong] {
                ui.selectable_value(&mut form.answered, which, answered(which));
            }
        });
        task_ui(ui, projection, form);
        latent_ui(ui, projection, form);
        let label = ui.label("Sample");
        let edit = TextEdit::singleline(&mut form.sample).hint_text("All").desired_width(90.0);
        ui.add(edit).labelled_by(label.id).on_hover_text("Part of the name of the samples that are shown");
        tools_ui(ui, projection, actions);
    });
    if projection.layouts.len() > 1 {
        let mut shown = projection.shown;
        let last = projection.layouts.len() - 1;
        let name = |place: usize| {
            projection.layouts.get(place).map_or_else(String::new, |layout| layer_name(layout.layer))
        };
        let slider =
            Slider::new(&mut shown, 0..=last).text("Layer").custom_formatter(move |v, _| name(v as usize));
        if ui.add(slider).changed() {
            actions.push(LayoutAction::ShowLayer(shown));
        }
    }
}

/// What drags do, and what can be done with the layout.
fn tools_ui(ui: &mut Ui, projection: &Projection, actions: &mut Actions) {
    for (tool, name, what) in [
        (Tool::Pan, "Move", "Drags move the layout; the wheel zooms, a double click shows all"),
        (Tool::Box, "Box", "Drags choose what is in a box"),
        (Tool::Lasso, "Lasso", "Drags choose what is inside a line"),
    ] {
        if ui.selectable_label(projection.tool == tool, name).on_hover_text(what).clicked() {
            actions.push(LayoutAction::SetTool(tool));
        }
    }
    if ui.button("Show all").clicked() {
        actions.push(LayoutAction::SetView(None));
    }
    for (name, kind) in [("Save picture…", PathKind::LayoutPicture), ("Save table…", PathKind::LayoutTable)]
    {
        if ui.button(name).on_hover_text("The points that are shown").clicked() {
            actions.push(WindowAction::OpenPathDialog(kind));
        }
    }
}

fn layer_name(layer: usize) -> String {
    if layer == 0 { "embedding".to_owned() } else { layer.to_string() }
}

fn task_ui(ui: &mut Ui, projection: &Projection, form: &mut LayoutForm) {
    let Some(collected) = &projection.collected else { return };
    let name = |task: &str| if task.is_empty() { "All tasks".to_owned() } else { task.replace('_', " ") };
    ComboBox::from_id_salt("task").selected_text(name(&form.task)).show_ui(ui, |ui| {
        for task in std::iter::once(String::new()).chain(tasks(&collected.states)) {
            let label = name(&task);
            ui.selectable_value(&mut form.task, task, label);
        }
    });
}

fn latent_ui(ui: &mut Ui, projection: &Projection, form: &mut LayoutForm) {
    let latents = projection.scene().map_or(0, |scene| scene.num_latents);
    let name =
        |latent: Option<u32>| latent.map_or("All latents".to_owned(), |latent| format!("Latent {latent}"));
    ComboBox::from_id_salt("latent").selected_text(name(form.latent)).show_ui(ui, |ui| {
        for latent in std::iter::once(None).chain((0..latents).map(Some)) {
            ui.selectable_value(&mut form.latent, latent, name(latent));
        }
    });
}

/// The layout, and beside it what it shows.
fn body_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let room = ui.available_size();
    let beside = if room.x > 2.2 * BESIDE && state.projection.scene().is_some() { BESIDE } else { 0.0 };
    let height = room.y.max(160.0);
    ui.horizontal_top(|ui| {
        let width = (room.x - beside - GAP).max(120.0);
        ui.allocate_ui(vec2(width, height), |ui| scatter_ui(ui, state, actions));
        if beside > 0.0 {
            ui.allocate_ui_with_layout(vec2(beside, height), Layout::top_down(Align::Min), |ui| {
                ui.set_width(beside);
                ScrollArea::vertical()
                    .auto_shrink([false, false])
                    .show(ui, |ui| beside_ui(ui, state, actions));
            });
        }
    });
}

fn beside_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let projection = &state.projection;
    let Some(scene) = projection.scene() else { return };
    for (name, [r, g, b]) in &scene.legend {
        ui.horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(12.0, 12.0), egui::Sense::hover());
            ui.painter().circle_filled(rect.center(), 5.0, egui::Color32::from_rgb(*r, *g, *b));
            ui.label(name);
        });
    }
    ui.add_space(SECTION_GAP);
    if let Some(point) = projection.hovered {
        point_ui(ui, state, point);
    } else if !projection.selected.1.is_empty() {
        chosen_ui(ui, projection, actions);
    } else if let Some(layout) = projection.layout() {
        layout_ui(ui, layout);
    } else {
        ui.weak("The layout is still moving");
    }
}

/// What a point is of.
fn point_ui(ui: &mut Ui, state: &State, point: u32) {
    let projection = &state.projection;
    let (Some((number, point)), Some(collected)) = (projection.sample_of(point), &projection.collected)
    else {
        return;
    };
    let sample = &collected.states.samples()[number];
    ui.strong(token_name(&point));
    ui.label(format!("of {}", sample.id));
    let verdict = if sample.correct { "right" } else { "wrong" };
    ui.label(format!("Answered {} ({verdict}; {} expected)", sample.answer, sample.target));
    if let Some(texture) = projection.thumbnail.texture(ui.ctx(), point.into()) {
        let size = texture.size_vec2();
        let scale = ((BESIDE - 20.0) / size.x).min((BESIDE - 40.0) / size.y);
        let picture = ui.add(egui::Image::new(&texture).fit_to_exact_size(size * scale));
        name_widget(ui, &picture, egui::Role::Image, None, || format!("Images of {}", sample.id));
        let framed = match point.kept.role {
            Role::Latent => "framed: what it looks at most",
            Role::Image => "framed: this token",
            Role::Prompt | Role::Answer => "mean over latents and heads",
        };
        ui.weak(format!("Where the latents look in this layer; {framed}"));
    }
    if let Some(record) = collected.records.get(number) {
        ui.weak(&record.prompt);
    }
    ui.weak("Click to ask it");
}

fn token_name(point: &StatePoint) -> String {
    match point.kept.role {
        Role::Latent => format!("Latent {}", point.kept.index),
        Role::Image => format!("Visual token {}", point.kept.index),
        Role::Prompt | Role::Answer => format!("Text token {}", point.kept.token),
    }
}

/// What is chosen.
fn chosen_ui(ui: &mut Ui, projection: &Projection, actions: &mut Actions) {
    let (Some(scene), Some(collected)) = (projection.scene(), &projection.collected) else { return };
    let chosen: Vec<&StatePoint> =
        projection.selected.1.iter().filter_map(|i| scene.points.get(*i as usize)).collect();
    ui.horizontal(|ui| {
        ui.strong(format!("{} points chosen", chosen.len()));
        if ui.button("Clear").clicked() {
            actions.push(LayoutAction::Select(Vec::new()));
        }
    });
    let share = |count: usize| 100.0 * count as f32 / chosen.len().max(1) as f32;
    for (role, name) in ROLES {
        let count = chosen.iter().filter(|point| point.kept.role == role).count();
        ui.label(format!("{name}: {count} ({:.0} %)", share(count)));
    }
    let mut samples: Vec<u32> = chosen.iter().map(|point| point.sample).collect();
    samples.dedup();
    let right = samples.iter().filter(|sample| collected.states.samples()[**sample as usize].correct).count();
    ui.label(format!("Of {} samples, {right} answered right", samples.len()));
    let rows = ui.button("Show them in Data").on_hover_text("The samples of these points, as rows");
    if rows.clicked() {
        actions.push(LayoutAction::ToData);
    }
    for task in tasks(&collected.states) {
        let is_own = |point: &&&StatePoint| collected.states.samples()[point.sample as usize].task == task;
        let count = chosen.iter().filter(is_own).count();
        if count > 0 {
            ui.label(format!("{}: {:.0} %", task.replace('_', " "), share(count)));
        }
    }
    ui.add_space(GAP);
    match &projection.reading {
        Some(Ok(reading)) => reading_ui(ui, reading),
        Some(Err(problem)) => {
            ui.label(problem);
        }
        None => {
            ui.weak("Reading what they say");
        }
    }
}

/// Whom the chosen are near, and the words they would say.
fn reading_ui(ui: &mut Ui, reading: &Reading) {
    for near in &reading.near {
        let name = near.role.in_figures();
        let cosine = if near.cosine.is_nan() { "-".to_owned() } else { format!("{:.2}", near.cosine) };
        ui.label(format!("To {name}: cosine {cosine}, {:.0} % of the nearest", 100.0 * near.share)).on_hover_text(
            "Mean cosine with such tokens of the same sample, and their share among the ten nearest of all samples",
        );
    }
    ui.add_space(GAP);
    ui.strong("Would say").on_hover_text(format!(
        "The likeliest words were no layer to follow (logit lens, nostalgebraist 2020), on average over {} of the \
         points; behind the final norm, what the model says",
        reading.points.min(SPOKEN)
    ));
    egui::Grid::new("words").num_columns(2).spacing([GAP, 2.0]).show(ui, |ui| {
        for at in &reading.words {
            ui.weak(if at.layer == 0 { "embedding".to_owned() } else { format!("after layer {}", at.layer) });
            let words: Vec<String> = at
                .words
                .iter()
                .take(3)
                .map(|(word, share)| format!("{} {:.0} %", word.trim(), 100.0 * share))
                .collect();
            ui.label(words.join(", "));
            ui.end_row();
        }
    });
}

/// What a layer's states say.
fn layout_ui(ui: &mut Ui, layout: &project::Layout) {
    ui.strong(format!("Layer {}, {} points", layer_name(layout.layer), layout.places.len()));
    let quality = layout.quality;
    ui.label(format!("KL {:.3}", layout.divergence))
        .on_hover_text("How far the layout's neighbourhoods are from the states'");
    ui.label(format!("{:.0} % of {} neighbours kept", 100.0 * quality.recall, quality.neighbours));
    if let Some(found) = quality.found {
        ui.label(format!("Made with {:.1} % of the nearest states", 100.0 * found))
            .on_hover_text("Of so many points only those in cells near by were compared");
    }
    ui.label(format!("Trustworthiness {:.3}", quality.trustworthiness))
        .on_hover_text("1 where no stranger is near on the layout (Venna and Kaski 2001)");
    if let Some(silhouette) = quality.silhouette {
        ui.label(format!("Silhouette by role {silhouette:.2}"))
            .on_hover_text("1 where roles are apart, 0 where they overlap (Rousseeuw 1987)");
    }
    let measures = &layout.measures;
    for (role, near) in &measures.near {
        let shares: Vec<String> =
            near.iter().map(|(other, share)| format!("{other} {:.0} %", 100.0 * share)).collect();
        ui.label(format!("Nearest to {role}: {}", shares.join(", ")));
    }
    if let Some(collapse) = &measures.collapse {
        collapse_ui(ui, collapse);
    }
    ui.add_space(GAP);
    for own in &measures.best {
        let best = &own.best;
        ui.label(format!(
            "The {} can be read off latent {}: {:.0} % ({:.0} % with labels shuffled)",
            own.of.name(),
            own.latent,
            100.0 * best.right,
            100.0 * best.shuffled
        ))
            .on_hover_text(format!(
                "By linear probes of samples they were not fitted on, the best of {}; with labels shuffled the best has \
                 {:.0} %, in one of twenty {:.0} % or more (p = {:.2}); {:.0} % by the commonest",
                own.among,
                100.0 * best.shuffled,
                100.0 * best.shuffled_95,
                best.p,
                100.0 * own.commonest
            ));
        if best.p > 0.05 {
            ui.weak(format!("No more than chance gives the best of {} (p = {:.2})", own.among, best.p));
        }
    }
}

fn collapse_ui(ui: &mut Ui, collapse: &Collapse) {
    ui.add_space(GAP);
    ui.label(format!("Latents span {:.1} directions", collapse.rank))
        .on_hover_text("Effective rank of a sample's latents (Roy and Vetterli 2007)");
    ui.label(format!("Cosine {:.2} within a sample, {:.2} across samples", collapse.within, collapse.across));
    // Without states of a kind there is nothing to compare with.
    let with = [("image", collapse.with_image), ("text", collapse.with_text)];
    let with = with.into_iter().filter(|(_, cosine)| cosine.is_finite());
    let with: Vec<String> = with.map(|(name, cosine)| format!("with {name} {cosine:.2}")).collect();
    if !with.is_empty() {
        let text = with.join(", ");
        ui.label(text[..1].to_uppercase() + &text[1..]);
    }
    if collapse.to_image.is_finite() {
        ui.label(format!("{:.2} times as long as image states", collapse.to_image));
    }
}
