//! How alike the latents of two runs are.

use crate::trace::Trace;
use crate::units::{LayerIdx, Role};

/// The cosine of each latent's hidden state in one run with that of the same latent in another, after a layer, or after the
/// last; -1 to 1, NaN where one is nothing at all. None where a run kept no such states, or their widths or numbers differ.
pub fn latent_cosines(a: &Trace, b: &Trace, after: Option<LayerIdx>) -> Option<Vec<f32>> {
    let (a, b) = (latent_states(a, after)?, latent_states(b, after)?);
    let is_alike = a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.len() == b.len());
    is_alike.then(|| a.iter().zip(&b).map(|(a, b)| cosine(a, b)).collect())
}

/// [K][D].
fn latent_states(trace: &Trace, after: Option<LayerIdx>) -> Option<Vec<&[f32]>> {
    let states = trace.hidden_states.as_ref()?;
    let place = match after {
        Some(layer) => states.layers.iter().position(|own| *own == layer.0 + 1)?,
        None => states.layers.len().checked_sub(1)?,
    };
    let &[_, tokens, width] = states.values.shape() else { return None };
    let state_of = |position: usize| {
        let token = states.tokens.iter().position(|own| *own == position)?;
        states.values.data().get((place * tokens + token) * width..)?.get(..width)
    };
    let found: Option<Vec<&[f32]>> = trace.positions_of(Role::Latent).map(state_of).collect();
    found.filter(|found| !found.is_empty())
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Array;
    use crate::trace::HiddenStates;

    fn trace(layers: &[usize], latents: &[&[f32]]) -> Trace {
        let width = latents[0].len();
        let data: Vec<f32> =
            layers.iter().flat_map(|_| latents.iter().flat_map(|own| own.iter().copied())).collect();
        let values = Array::new(vec![layers.len(), latents.len(), width], data);
        let roles = std::iter::once(Role::Prompt).chain(latents.iter().map(|_| Role::Latent)).collect();
        let tokens = (1..=latents.len()).collect();
        Trace {
            roles,
            hidden_states: Some(HiddenStates { layers: layers.to_vec(), tokens, values }),
            ..Trace::default()
        }
    }

    #[test]
    fn latents_are_compared_one_by_one() {
        let a = trace(&[0, 1, 2], &[&[1.0, 0.0], &[1.0, 1.0], &[0.0, 0.0]]);
        let b = trace(&[1, 2], &[&[0.0, 3.0], &[-2.0, -2.0], &[1.0, 0.0]]);
        for after in [None, Some(LayerIdx(0))] {
            let found = latent_cosines(&a, &b, after).expect("both have them");
            assert_eq!(found[..2], [0.0, -1.0]);
            assert!(found[2].is_nan());
        }
        assert_eq!(latent_cosines(&a, &b, Some(LayerIdx(5))), None, "no such layer");
        assert_eq!(latent_cosines(&a, &Trace::default(), None), None);
        assert_eq!(latent_cosines(&a, &trace(&[2], &[&[1.0, 0.0, 0.0][..]; 3]), None), None, "another width");
        assert_eq!(latent_cosines(&a, &trace(&[2], &[&[1.0, 0.0][..]; 2]), None), None, "fewer");
    }
}
