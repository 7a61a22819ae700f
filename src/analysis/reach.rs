//! Whether what the images say can reach an answer at all.

use super::maps::looks;
use crate::trace::Trace;

/// Is there a way from any visual token to where the first token of the answer is said, through whatever layers and tokens
/// the mask, the latents and the edits of a run leave open? Where there is none the model answers blind.
pub fn reaches_images(trace: &Trace) -> bool {
    let count = trace.roles.len();
    if count == 0 {
        return false;
    }
    let (num_layers, _) = trace.attention_dims();
    // Where no rows were kept the layers are not known: of masks alone each layer is like the other, and no way is longer
    // than there are roles.
    let num_layers = num_layers.max(4);
    let mut reached = vec![false; count];
    reached[count - 1] = true;
    for layer in (0..num_layers).rev() {
        let looks = looks(trace, count, layer);
        let groups = looks.groups();
        // Of each group the last token that is reached: who is before it and may be looked at is reached too.
        let mut last = vec![None; looks.num_groups()];
        for (token, group) in groups.iter().enumerate().filter(|(token, _)| reached[*token]) {
            last[*group as usize] = Some(token);
        }
        for (key, group) in groups.iter().enumerate() {
            let is_seen = |(query, last): (usize, &Option<usize>)| {
                last.is_some_and(|last| key < last) && looks.group_allows(query as u32, *group)
            };
            reached[key] |= last.iter().enumerate().any(is_seen);
        }
    }
    trace.image_spans.iter().flat_map(|span| span.range()).any(|token| reached[token])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{Condition, MaskKind};
    use crate::units::{Role, Span};

    /// An image of two tokens, one of text, latents, and the end of the prompt.
    fn trace(latents: usize, mask: MaskKind, edits: &[&str]) -> Trace {
        let mut roles = vec![Role::Prompt, Role::Image, Role::Image, Role::Prompt];
        roles.extend(vec![Role::Latent; latents]);
        roles.push(Role::Prompt);
        let edits = edits.iter().map(|text| text.parse().unwrap()).collect();
        let condition = Condition { mask, edits, ..Condition::default() };
        let image_spans = vec![Span { start: 1, end: 3 }];
        Trace { roles, image_spans, condition, ..Trace::default() }
    }

    #[test]
    fn an_answer_is_blind_where_no_way_is_left() {
        let reaches = |latents, mask, edits: &[&str]| reaches_images(&trace(latents, mask, edits));
        assert!(reaches(0, MaskKind::Standard, &[]));
        assert!(reaches(4, MaskKind::Bottleneck, &[]), "by way of the latents");
        assert!(!reaches(0, MaskKind::Bottleneck, &[]));
        assert!(!reaches(4, MaskKind::Bottleneck, &["block latents->image"]));
        assert!(reaches(4, MaskKind::Bottleneck, &["block latents[0-2]->image"]), "one is left");
        assert!(!reaches(4, MaskKind::Bottleneck, &["block readers->latents"]));
        let in_layer = |layers: &str| format!("block readers->latents @{layers}");
        assert!(
            !reaches(4, MaskKind::Bottleneck, &[&in_layer("1-")]),
            "what latents are at first has seen nothing"
        );
        assert!(
            reaches(4, MaskKind::Bottleneck, &[&in_layer("2-")]),
            "seen in the first layer, read in the second"
        );
        assert!(!reaches(4, MaskKind::Standard, &["block all->image"]));
        assert!(reaches(4, MaskKind::Standard, &["block last->image"]), "by way of other words");
    }
}
