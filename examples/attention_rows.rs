//! Where each latent looks: its attention on the image, mean over layers and heads.
#![expect(clippy::print_stdout, reason = "an example shows what it finds")]

use livr_explorer::analysis::maps::aggregated_row;
use livr_explorer::analysis::query::{Query, Selection};
use livr_explorer::ask::{AttentionRows, Condition, DeviceChoice, DtypeChoice, Keep};
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
    let keep = Keep { attention: AttentionRows::LatentsAndAnswer, ..Keep::default() };
    let sample = demo::gallery()[0].sample()?;
    let trace =
        models.run(&Request { model, sample, condition: Condition::default() }, &keep, &Unobserved)?;
    for latent in 0..trace.num_latents() {
        let row =
            aggregated_row(&trace, Query::Latent(latent), Selection::default()).expect("rows were kept");
        let mass: f32 = trace.positions_of(Role::Image).map(|place| row[place]).sum();
        let patch = trace.positions_of(Role::Image).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        println!("latent {latent}: {:.1} % on the image, most at token {patch:?}", 100.0 * mass);
    }
    Ok(())
}
