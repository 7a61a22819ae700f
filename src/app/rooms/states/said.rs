//! What stands beside a layout: what colours mean, the point under the pointer, what is chosen, what the states say.

use egui::{Ui, vec2};

use crate::app::hub::actions::{Actions, LayoutAction};
use crate::app::hub::model_choices::name_of;
use crate::app::hub::state::State;
use crate::app::kit::theme::{GAP, SECTION_GAP};
use crate::app::kit::widgets::name_widget;
use crate::app::parts::states::{ROLES, SidePoint, tasks};
use crate::engine::ids::ModelId;
use crate::engine::project::{self, Reading, SPOKEN, StatePoint};
use crate::projection::geometry::Collapse;
use crate::units::Role;

/// Width of it.
pub const BESIDE: f32 = 250.0;

/// As people call a layer of a stack of hidden states.
pub fn layer_name(layer: usize) -> String {
    if layer == 0 { "embedding".to_owned() } else { layer.to_string() }
}

/// Draws it.
pub fn beside_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
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
    } else if projection.sides.iter().any(|side| !side.chosen.is_empty()) {
        chosen_ui(ui, state, actions);
    } else {
        for side in 0..projection.sides.len() {
            name_ui(ui, state, side);
            match projection.layout(side) {
                Some(layout) => layout_ui(ui, layout),
                None => drop(ui.weak("The layout is still moving")),
            }
            ui.add_space(SECTION_GAP);
        }
    }
}

/// What a point is of.
fn point_ui(ui: &mut Ui, state: &State, at: SidePoint) {
    let projection = &state.projection;
    let Some(side) = projection.sides.get(at.side) else { return };
    let (Some((number, point)), Some(picture)) = (side.sample_of(at.point), side.picture_of(at.point)) else {
        return;
    };
    let collected = &side.collected;
    name_ui(ui, state, at.side);
    let sample = &collected.states.samples()[number];
    ui.strong(token_name(&point));
    ui.label(format!("of {}", sample.id));
    let verdict = if sample.correct { "right" } else { "wrong" };
    ui.label(format!("Answered {} ({verdict}; {} expected)", sample.answer, sample.target));
    if let Some(texture) = projection.thumbnail.texture(ui.ctx(), picture) {
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
    match collected.records.get(number).filter(|_| collected.data.is_some()) {
        Some(record) => {
            ui.weak(&record.prompt);
            ui.weak("Click to ask it");
        }
        None => drop(ui.weak("Its data file is not where it was")),
    }
}

fn token_name(point: &StatePoint) -> String {
    match point.kept.role {
        Role::Latent => format!("Latent {}", point.kept.index),
        Role::Image => format!("Visual token {}", point.kept.index),
        Role::Prompt | Role::Answer => format!("Text token {}", point.kept.token),
    }
}

/// Of which of two it is said.
fn name_ui(ui: &mut Ui, state: &State, side: usize) {
    if state.projection.sides.len() > 1 {
        ui.strong(side_name(state, side));
    }
}

/// What a layout is called: by its model.
pub fn side_name(state: &State, side: usize) -> String {
    let sides = &state.projection.sides;
    let models: Vec<ModelId> = sides.iter().filter_map(|side| side.collected.model.clone()).collect();
    match sides.get(side).and_then(|side| side.collected.model.as_ref()) {
        Some(model) => name_of(model, &models),
        None => "a model that the file does not name".to_owned(),
    }
}

/// What is chosen.
fn chosen_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let projection = &state.projection;
    let Some(side) = projection.sides.get(projection.chosen_on) else { return };
    let (Some(scene), collected) = (side.scene(), &side.collected) else { return };
    let chosen: Vec<&StatePoint> = side.chosen.iter().filter_map(|i| scene.points.get(*i as usize)).collect();
    name_ui(ui, state, projection.chosen_on);
    ui.horizontal(|ui| {
        ui.strong(format!("{} points chosen", chosen.len()));
        if ui.button("Clear").clicked() {
            actions.push(LayoutAction::Select(0, Vec::new()));
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
