//! `livr eval`: the same result in shares, and after a stop; never another model's predictions.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use livr_explorer::data::tasks::Task;
use serde_json::Value;

use crate::common::{drawn, fixture};

const COUNT: usize = 60;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = drawn(&[Task::ObjectLocalization], [COUNT, 0, 0]);
        // Two adapters in folders of one name.
        for (place, from) in [("a", "adapter"), ("b", "adapter")] {
            let to = dir.path().join(place).join("adapter");
            std::fs::create_dir_all(&to).unwrap();
            for entry in std::fs::read_dir(fixture("qwen3_vl").join(from)).unwrap() {
                let path = entry.unwrap().path();
                std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
        // A copy would be the same adapter.
        let livr = dir.path().join("b/adapter/livr.json");
        let text = std::fs::read_to_string(&livr).unwrap().replace("\\n", " ");
        std::fs::write(&livr, text).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn eval(&self, adapter: &str, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_livr"));
        command.arg("eval").arg("--data").arg(self.path("data/train.jsonl"));
        command.arg("--out").arg(self.path(out)).args(["--batch", "1"]).args(more);
        command.arg("--model").arg(fixture("qwen3_vl/model"));
        command.arg("--adapter").arg(self.path(adapter).join("adapter"));
        command
    }

    fn done(&self, adapter: &str, out: &str, more: &[&str]) -> (Value, String) {
        let output = self.eval(adapter, out, more).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        (read(&self.path(out)), said)
    }

    /// Starts a run and kills it once it has answered a few samples.
    fn killed(&self, adapter: &str, out: &str) {
        let mut command = self.eval(adapter, out, &[]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let partial = self.path(&format!("{out}.partial"));
        let started = Instant::now();
        while std::fs::read_to_string(&partial).map_or(0, |text| text.lines().count()) < 4 {
            assert!(started.elapsed() < Duration::from_mins(1), "it never began");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(partial.is_file() && !self.path(out).is_file(), "it was over before it was killed");
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_run_that_was_killed_goes_on_to_the_same_result() {
    let place = Place::new();
    let (whole, said) = place.done("a", "whole.json", &[]);
    assert!(!said.contains("going on"));
    assert_eq!(
        (whole["samples"].as_u64(), whole["tasks"]["object_localization"]["chance"].as_f64()),
        (Some(60), Some(0.5))
    );
    place.killed("a", "killed.json");
    let (killed, said) = place.done("a", "killed.json", &[]);
    assert!(said.contains("going on after"), "{said}");
    assert_eq!((&killed["predictions"], &killed["accuracy"]), (&whole["predictions"], &whole["accuracy"]));
    assert!(!place.path("killed.json.partial").exists());
}

#[test]
fn what_another_model_or_other_data_left_is_not_gone_on_with() {
    let place = Place::new();
    let partial = place.path("out.json.partial");
    place.killed("a", "out.json");
    let left = std::fs::read(&partial).unwrap();
    let again = |adapter: &str, more: &[&str]| {
        std::fs::write(&partial, &left).unwrap();
        place.done(adapter, "out.json", more).1
    };
    assert!(!again("b", &[]).contains("going on"));
    assert!(!again("a", &["--mask", "bottleneck"]).contains("going on"));
    assert!(again("a", &[]).contains("going on"));
    // The adapter changed in its place.
    let livr = place.path("a/adapter/livr.json");
    let text = std::fs::read_to_string(&livr).unwrap().replace("\\n", " ");
    std::fs::write(&livr, text).unwrap();
    assert!(!again("a", &[]).contains("going on"));
}

#[test]
fn shares_are_the_whole() {
    let place = Place::new();
    let (whole, _) = place.done("a", "whole.json", &["--limit", "10"]);
    let ids = |report: &Value| -> Vec<String> {
        report["predictions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&whole).len(), 10);
    let mut shares = Vec::new();
    for share in ["1/3", "2/3", "3/3"] {
        shares.extend(ids(&place.done("a", "share.json", &["--limit", "10", "--shard", share]).0));
    }
    shares.sort();
    assert_eq!(shares, ids(&whole));
    for wrong in ["0/3", "4/3", "1", "a/b"] {
        assert_eq!(place.eval("a", "x.json", &["--shard", wrong]).output().unwrap().status.code(), Some(2));
    }
}

#[test]
fn a_sample_that_the_model_cannot_take_is_named() {
    let place = Place::new();
    let text = std::fs::read_to_string(place.path("data/train.jsonl")).unwrap();
    let mut samples: Vec<Value> =
        text.lines().take(3).map(|line| serde_json::from_str(line).unwrap()).collect();
    let image = samples[1]["images"][0].clone();
    samples[1]["images"] = Value::Array(vec![image; 200]);
    let lines: Vec<String> = samples.iter().map(Value::to_string).collect();
    std::fs::write(place.path("data/many.jsonl"), lines.join("\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_livr"));
    command.arg("eval").arg("--data").arg(place.path("data/many.jsonl"));
    let output = command.arg("--out").arg(place.path("many.json")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let named = format!("livr: sample {}: the images are", samples[1]["id"]);
    assert!(!output.status.success() && said.contains(&named), "{said}");
}

#[test]
fn several_adapters_are_one_study() {
    let place = Place::new();
    let one = place.done("a", "one.json", &["--limit", "6"]).0;
    let out = place.path("both");
    let mut command = place.eval("a", "both", &["--limit", "6", "--json"]);
    let output = command.arg("--adapter").arg("none").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summaries: Value = serde_json::from_slice(&output.stdout).unwrap();
    let summaries = summaries.as_array().unwrap();
    let variants: Vec<&str> = summaries.iter().map(|own| own["variant"].as_str().unwrap()).collect();
    assert_eq!(variants, ["a-adapter", "none"], "told apart from others of its name by where it lies");
    assert_eq!(summaries[0]["all"]["accuracy"], one["accuracy"]);
    assert!(summaries[0]["latent_mass"].is_number() && summaries[1]["latent_mass"].is_null());
    // Each model's predictions are those it gives alone.
    let cells: Vec<Value> = std::fs::read_dir(out.join("cells"))
        .unwrap()
        .map(|entry| read(&entry.unwrap().path()))
        .filter(|cell| cell["adapter"] == "a-adapter")
        .collect();
    assert_eq!(cells.len(), 1);
    let answers = |of: &Value| -> Vec<Value> {
        of["predictions"].as_array().unwrap().iter().map(|own| own["answer"].clone()).collect()
    };
    assert_eq!(answers(&cells[0]), answers(&one));
}
