//! Trains latents of the demo on drawn samples: `cargo run --release --example train -- FOLDER`.
#![expect(clippy::print_stdout, reason = "an example shows what it finds")]

use std::path::PathBuf;

use livr_explorer::ask::DeviceChoice;
use livr_explorer::data::draw::marks::Ink;
use livr_explorer::data::tasks::{Counts, Task, TasksOrder, make};
use livr_explorer::engine::training::{TrainOrder, TrainWatch, train};
use livr_explorer::error::{Error, Result};
use livr_explorer::progress::{Observer, Progress, Unobserved};
use livr_explorer::train::Step;

struct Curve;
impl Observer for Curve {
    fn progress(&self, _: Progress) -> Result<()> {
        Ok(())
    }
}
impl TrainWatch for Curve {
    fn stepped(&self, step: &Step, total: usize) {
        println!("step {} of {total}: loss {:.3}", step.step, step.loss);
    }
}

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("a folder"));
    let (tasks, counts, images) = (vec![Task::Counting], Counts([16, 0, 0]), None);
    let order = TasksOrder { tasks, counts, seed: 0, side: 84, ink: Ink::Red, grounding: false, images };
    let data = &make(&order, &folder.join("data"), &Unobserved)?.files[0].0;
    let (recipe, out) = (folder.join("recipe.toml"), folder.join("run"));
    let stages = "stages = [{ mask = 'bottleneck', epochs = 1 }]";
    let text = format!("variant = 'prompt-tuning'\n{stages}\n[data]\ntrain = ['{}']\n", data.display());
    std::fs::write(&recipe, text).map_err(|e| Error::io("write", &recipe, e))?;
    let device = DeviceChoice::Cpu;
    train(&TrainOrder { recipe: Some(recipe), prepare: None, out, resume: false, device }, &Curve)
        .map(|trained| println!("{}", trained.folder.display()))
}
