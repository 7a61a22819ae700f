//! What can be done to a latent: statements that change the run.

use egui::Response;

use crate::app::hub::actions::{Actions, EditAction};
use crate::app::hub::state::State;
use crate::ask::Edit;
use crate::units::LayerIdx;

/// Statements about a latent, with what they are called.
pub fn latent_edits(latent: usize, layer: Option<LayerIdx>, edits: &[Edit]) -> Vec<(String, Edit)> {
    let own = format!("latents[{latent}]");
    let is_sequence = |edit: &Edit| matches!(edit, Edit::Sequence { .. });
    let mut all = vec![
        (format!("Zero latent {latent} in every layer"), format!("{own}=zero@embedding..")),
        (
            format!("Noise of its length for latent {latent}"),
            format!("{own}=norm-matched:seed=0@embedding.."),
        ),
        (format!("Nobody looks at latent {latent}"), format!("block all->{own}")),
        (format!("Latent {latent} sees no image"), format!("block {own}->image")),
    ];
    if let Some(layer) = layer {
        all.insert(
            1,
            (
                format!("Zero latent {latent} after layer {}", layer.0),
                format!("{own}=zero@after-{}", layer.0),
            ),
        );
    }
    // One change of the sequence at a time.
    if !edits.iter().any(is_sequence) {
        all.insert(0, (format!("Remove latent {latent}"), format!("{own}=remove")));
        all.insert(1, (format!("Leave a gap for latent {latent}"), format!("{own}=gap")));
    }
    let parsed = |(name, text): (String, String)| Some((name, text.parse::<Edit>().ok()?));
    all.into_iter().filter_map(parsed).filter(|(_, edit)| !edits.contains(edit)).collect()
}

/// The menu of a latent's picture.
pub fn latent_menu(response: &Response, state: &State, latent: usize, actions: &mut Actions) {
    response.context_menu(|ui| {
        let edits = &state.kept.condition.edits;
        for (name, edit) in latent_edits(latent, state.kept.view.selection.layer, edits) {
            if ui.button(name).on_hover_text(edit.to_string()).clicked() {
                let all = edits.iter().cloned().chain([edit]).collect();
                actions.push(EditAction::SetEdits(all));
                ui.close();
            }
        }
        ui.separator();
        if ui.button("Change the run by a statement…").clicked() {
            actions.push(EditAction::WriteStatement(Some(String::new())));
            ui.close();
        }
    });
}
