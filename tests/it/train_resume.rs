//! Training runs that are stopped while they validate, that another program has, whose base has changed.

use std::cell::Cell;

use livr_explorer::ask::DeviceChoice;
use livr_explorer::atomic::Hold;
use livr_explorer::engine::training::{TrainOrder, TrainWatch, train};
use livr_explorer::error::Error;
use livr_explorer::progress::{Observer, Progress};
use livr_explorer::train::Step;
use serde_json::Value;

use crate::common::fixture;
use crate::train_runs::{Place, SHORT, result};

/// Stops what follows a step: the validation, where the step ends an epoch.
struct StopAfter(usize, Cell<bool>);

impl Observer for StopAfter {
    fn progress(&self, _progress: Progress) -> Result<(), Error> {
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        if self.1.get() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl TrainWatch for StopAfter {
    fn stepped(&self, step: &Step, _total: usize) {
        self.1.set(step.step == self.0);
    }
}

#[test]
fn a_run_stopped_while_it_validates_comes_to_the_same_bits() {
    let place = Place::new();
    let stages = "[[stages]]\nmask = \"bottleneck\"\nepochs = 2\n[[stages]]\nepochs = 2\n";
    let head = "variant = \"livr\"\nsave_every = 3\nkeep = \"best\"";
    let recipe = place.recipe(head, &format!("{SHORT}{stages}"));
    place.done("whole", &recipe);
    let whole = result(&place.path("whole"));
    let metrics = std::fs::read_to_string(place.path("whole/metrics.jsonl")).unwrap();
    let metrics = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ends: Vec<u64> =
        metrics.filter(|m| m["kind"] == "validation").map(|m| m["step"].as_u64().unwrap()).collect();
    assert_eq!(ends.len(), 4);
    for step in ends {
        let name = format!("stopped-{step}");
        let out = place.path(&name);
        let order = TrainOrder {
            recipe: Some(recipe.clone()),
            out: out.clone(),
            prepare: None,
            resume: false,
            device: DeviceChoice::Cpu,
        };
        let stopped = train(&order, &StopAfter(step as usize, Cell::new(false)));
        assert!(stopped.is_err_and(|problem| problem.is_cancelled()));
        let output = place.train(&name, &["--resume"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = result(&out);
        assert_eq!(whole.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
        // What says how many threads there were aside.
        for (file, bytes) in whole.iter().filter(|(file, _)| !file.ends_with("run.json")) {
            assert!(found[file] == *bytes, "{file} differs where step {step} was the last");
        }
    }
}

#[test]
fn a_run_goes_on_in_one_program_and_on_the_same_base() {
    let place = Place::new();
    let base = place.path("base");
    std::fs::create_dir(&base).unwrap();
    for entry in std::fs::read_dir(fixture("tiny/model")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, base.join(path.file_name().unwrap())).unwrap();
    }
    let rest = format!("{SHORT}[[stages]]\nepochs = 1\n");
    place.done("run", &place.recipe("variant = \"livr\"\nmodel = \"base\"", &rest));
    let problem = || {
        let output = place.train("run", &["--resume"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).lines().last().unwrap().to_owned()
    };
    let held = Hold::of_folder(&place.path("run")).unwrap();
    let said = problem();
    assert!(said.contains("expected one that no other window or program is writing to"), "{said}");
    drop(held);
    assert!(place.train("run", &["--resume"]).output().unwrap().status.success());
    // One bit of one weight.
    let weights = base.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let said = problem();
    assert!(said.contains("expected those it began with"), "{said}");
}
