//! Hidden states of the latents after every layer, and how alike two of them are.
#![expect(clippy::print_stdout, reason = "an example shows what it finds")]

use livr_explorer::ask::{Condition, DeviceChoice, DtypeChoice, HiddenLayers, HiddenRows, Keep};
use livr_explorer::engine::demo;
use livr_explorer::engine::ids::{ModelId, Request};
use livr_explorer::engine::models::Models;
use livr_explorer::error::Result;
use livr_explorer::progress::Unobserved;
use livr_explorer::units::Role;

fn main() -> Result<()> {
    let model = ModelId::demo(DeviceChoice::Cpu, DtypeChoice::Auto);
    let mut models = Models::default();
    models.open(&model, &Unobserved)?;
    let rows = HiddenRows { layers: HiddenLayers::All, roles: vec![Role::Latent] };
    let keep = Keep { hidden: Some(rows), ..Keep::default() };
    let sample = demo::gallery()[0].sample()?;
    let trace =
        models.run(&Request { model, sample, condition: Condition::default() }, &keep, &Unobserved)?;
    let states = trace.hidden_states.as_ref().expect("states were kept");
    let (tokens, width) = (states.tokens.len(), states.values.shape()[2]);
    for (place, layer) in states.layers.iter().enumerate() {
        let row = |token: usize| &states.values.data()[(place * tokens + token) * width..][..width];
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let (first, last) = (row(0), row(tokens - 1));
        let cosine = dot(first, last) / (dot(first, first) * dot(last, last)).sqrt();
        println!("hidden_states[{layer}]: cosine of the first and the last latent {cosine:.3}");
    }
    Ok(())
}
