//! Asks the demo about a picture, with the bottleneck mask off and on: `cargo run --release --example ask`.
#![expect(clippy::print_stdout, reason = "an example shows what it finds")]

use livr_explorer::ask::{Condition, DeviceChoice, DtypeChoice, Keep, MaskKind};
use livr_explorer::engine::demo;
use livr_explorer::engine::ids::{ModelId, Request};
use livr_explorer::engine::models::Models;
use livr_explorer::error::Result;
use livr_explorer::progress::Unobserved;

fn main() -> Result<()> {
    let record = &demo::gallery()[0];
    let model = ModelId::demo(DeviceChoice::Cpu, DtypeChoice::Auto);
    let mut models = Models::default();
    models.open(&model, &Unobserved)?;
    println!("{}", record.prompt);
    for mask in [MaskKind::Standard, MaskKind::Bottleneck] {
        let condition = Condition { mask, ..Condition::default() };
        let request = Request { model: model.clone(), sample: record.sample()?, condition };
        let trace = models.run(&request, &Keep::default(), &Unobserved)?;
        println!("{}: {}", mask.label(), trace.answer);
        for choice in &trace.choices {
            println!("  {} {:.3}", choice.choice, choice.probability);
        }
    }
    Ok(())
}
