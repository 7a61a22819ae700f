//! How much of attention falls on which tokens.

use crate::trace::Trace;
use crate::units::{HeadIdx, LayerIdx, Role};

/// Attention to all latents together of the positions that the answer is said from, each token's one before it: mean over
/// them, layers and heads. None where there are no latents, or no rows.
pub fn latent_mass(trace: &Trace) -> Option<f64> {
    let latents: Vec<usize> = trace.positions_of(Role::Latent).collect();
    let (layers, heads) = trace.attention_dims();
    if latents.is_empty() || trace.generated.is_empty() || layers == 0 {
        return None;
    }
    let mut sum = 0.0;
    for token in 0..trace.generated.len() {
        for (layer, head) in (0..layers).flat_map(|layer| (0..heads).map(move |head| (layer, head))) {
            let row = trace.saying_row(LayerIdx(layer), HeadIdx(head), token)?;
            sum += latents.iter().map(|key| f64::from(row[*key])).sum::<f64>();
        }
    }
    Some(sum / (trace.generated.len() * layers * heads) as f64)
}
