//! Whole training runs through the command line: killed and resumed, every variant, wrong input.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use livr_explorer::data::tasks::Task;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{drawn, fixture};

/// A folder with data of two tasks and room for runs.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        let dir = drawn(&[Task::ObjectLocalization, Task::Counting], [10, 3, 2]);
        Self(dir)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a recipe with these lines before and after the data.
    pub fn recipe(&self, head: &str, rest: &str) -> PathBuf {
        let path = self.path("recipe.toml");
        let tiny = fixture("tiny/model");
        let model = if head.contains("\nmodel =") {
            String::new()
        } else {
            format!("model = '{}'\n", tiny.display())
        };
        let text = format!(
            "{model}{head}\n[data]\ntrain = [\"data/train.jsonl\"]\nvalidation = [\"data/validation.jsonl\"]\nmax_pixels = 4096\n{rest}\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn train(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_livr"));
        command.arg("train").arg("--out").arg(self.path(out)).args(more).env("RAYON_NUM_THREADS", "1");
        command
    }

    fn run(&self, out: &str, recipe: &Path) -> Output {
        self.train(out, &["--recipe", recipe.to_str().unwrap()]).output().unwrap()
    }

    pub fn done(&self, out: &str, recipe: &Path) {
        let output = self.run(out, recipe);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn problem(&self, out: &str, recipe: &Path) -> String {
        let output = self.run(out, recipe);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        said.lines().last().unwrap().to_owned()
    }
}

pub const SHORT: &str =
    "[latents]\ncount = 4\n[lora]\nrank = 2\n[optimizer]\naccumulation = 4\nlearning_rate = 1e-3\n";

/// Everything a run leaves that does not depend on the clock.
pub fn result(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for folder in ["", "best", "stage-1", "stage-2"] {
        let Ok(entries) = std::fs::read_dir(dir.join(folder)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            let name = format!("{folder}/{}", path.file_name().unwrap().to_string_lossy());
            if name.ends_with("state.safetensors") {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            all.insert(name, if path.ends_with("metrics.jsonl") { timeless(&bytes) } else { bytes });
        }
    }
    all
}

/// Metrics without seconds.
fn timeless(bytes: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    let line = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("secs");
        value.to_string() + "\n"
    };
    text.lines().map(line).collect::<String>().into_bytes()
}

#[test]
fn a_run_killed_at_any_moment_comes_to_the_same_bits() {
    let place = Place::new();
    let stages = "[[stages]]\nmask = \"bottleneck\"\nepochs = 6\n[[stages]]\nepochs = 6\n";
    let recipe =
        place.recipe("variant = \"livr\"\nsave_every = 2\nkeep = \"best\"", &format!("{SHORT}{stages}"));
    place.done("whole", &recipe);
    let whole = result(&place.path("whole"));
    assert!(whole.len() > 12, "{:?}", whole.keys());

    // On other numbers of threads too.
    let three = ["--recipe", recipe.to_str().unwrap()];
    assert!(place.train("three", &three).env("RAYON_NUM_THREADS", "3").output().unwrap().status.success());
    let of_three = result(&place.path("three"));
    for (name, bytes) in whole.iter().filter(|(name, _)| !name.ends_with("run.json")) {
        assert!(of_three[name] == *bytes, "{name} differs on three threads");
    }

    let started = std::time::Instant::now();
    place.done("timed", &recipe);
    let takes = started.elapsed();
    let mut kills = 0;
    for (i, share) in [0.15, 0.3, 0.45, 0.2, 0.35].into_iter().enumerate() {
        let resume = ["--resume"];
        let first = ["--recipe", recipe.to_str().unwrap()];
        let begun = place.path("killed").join("recipe.toml").is_file();
        let mut child = place
            .train("killed", if begun { &resume } else { &first })
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(takes.mul_f64(share) + Duration::from_millis(7 * i as u64));
        if child.try_wait().unwrap().is_none() {
            kills += 1;
            // SIGKILL: nothing is tidied up.
            child.kill().unwrap();
        }
        child.wait().unwrap();
        if !place.path("killed").join("recipe.toml").is_file() {
            // Killed before it wrote anything to go on with.
            std::fs::remove_dir_all(place.path("killed")).ok();
        }
    }
    assert!(kills > 0);
    let output = place.train("killed", &["--resume"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let killed = result(&place.path("killed"));
    assert_eq!(whole.keys().collect::<Vec<_>>(), killed.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(killed[name] == *bytes, "{name} differs");
    }
    // A finished run stays as it is, but for what a kill left half written.
    std::fs::write(place.path("killed/.livr-part-abc"), "half").unwrap();
    let again = place.train("killed", &["--resume"]).output().unwrap();
    assert!(again.status.success());
    assert_eq!(result(&place.path("killed")), killed);
}

#[test]
fn every_variant_trains_what_it_says() {
    let place = Place::new();
    let short = |options: &str| format!("{options}\n[[stages]]\nepochs = 1\nmax_steps = 2\n");
    let json = |out: &str, file: &str| -> Value {
        serde_json::from_slice(&std::fs::read(place.path(out).join(file)).unwrap()).unwrap()
    };
    for variant in ["sft", "mask-only", "image-twice", "latents-only", "livr", "prompt-tuning"] {
        place.done(variant, &place.recipe(&format!("variant = \"{variant}\""), &short(SHORT)));
        let has_latents = ["latents-only", "livr", "prompt-tuning"].contains(&variant);
        assert_eq!(place.path(variant).join("latent_rows.safetensors").is_file(), has_latents, "{variant}");
        assert_eq!(place.path(variant).join("livr.json").is_file(), has_latents, "{variant}");
        let has_lora = variant != "prompt-tuning";
        assert_eq!(place.path(variant).join("adapter_model.safetensors").is_file(), has_lora, "{variant}");
    }
    assert_eq!(json("livr", "livr.json")["num_latents"], 4);
    assert_eq!(json("livr", "adapter_config.json")["r"], 2);

    for (placement, options) in [
        ("before_prompt", "[latents]\ncount = 3\nplacement = \"before_prompt\"\nshared = true\n"),
        ("user_suffix", "[latents]\ncount = 3\nplacement = \"user_suffix\"\nseparator = \"\"\n"),
    ] {
        place.done(placement, &place.recipe("variant = \"livr\"", &short(options)));
        assert_eq!(json(placement, "livr.json")["placement"], placement);
        let bytes = std::fs::read(place.path(placement).join("latent_rows.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let rows = file.tensor("latent_rows").unwrap();
        let width = rows.data().len() / 3;
        let same = rows.data()[..width] == rows.data()[width..2 * width];
        assert_eq!(same, placement == "before_prompt", "shared rows are one row");
        // And it opens.
        let asked = Command::new(env!("CARGO_BIN_EXE_livr"))
            .args(["ask", "--prompt", "How many?", "--json", "--model"])
            .arg(fixture("tiny/model"))
            .arg("--adapter")
            .arg(place.path(placement))
            .output()
            .unwrap();
        let asked: Value = serde_json::from_slice(&asked.stdout).unwrap();
        assert_eq!(asked["num_latents"], 3);
    }
}

/// What opens the result of a run: an adapter of its base, or a model.
fn opened(updates: &str, folder: &Path) -> Vec<std::ffi::OsString> {
    match updates {
        "lora" => {
            vec!["--model".into(), fixture("tiny/model").into(), "--adapter".into(), folder.into()]
        }
        _ => vec!["--model".into(), folder.into()],
    }
}

#[test]
fn a_trained_checkpoint_answers_as_its_run_validated() {
    let place = Place::new();
    let rest = format!("{SHORT}[[stages]]\nmask = \"bottleneck\"\nepochs = 1\n[[stages]]\nepochs = 2\n");
    // The last has more latents than the base has rows without a token: its vocabulary grows.
    let many = rest.replace("count = 4", "count = 90");
    for (name, updates, rest) in [
        ("lora", "lora", &rest),
        ("full", "full", &rest),
        ("everything", "everything", &rest),
        ("grown", "everything", &many),
    ] {
        let head = format!("variant = \"livr\"\nupdates = \"{updates}\"\nkeep = \"final\"");
        place.done(name, &place.recipe(&head, rest));
        let out = place.path("eval.json");
        let evaluated = Command::new(env!("CARGO_BIN_EXE_livr"))
            .args(["eval", "--max-pixels", "4096", "--json", "--data"])
            .arg(place.path("data/validation.jsonl"))
            .arg("--out")
            .arg(&out)
            .args(opened(updates, &place.path(name)))
            .output()
            .unwrap();
        assert!(evaluated.status.success(), "{}", String::from_utf8_lossy(&evaluated.stderr));
        let report: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
        let metrics = std::fs::read_to_string(place.path(name).join("metrics.jsonl")).unwrap();
        let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
        assert_eq!(last["kind"], "validation");
        assert_eq!(report["accuracy"], last["all"]["accuracy"], "{name}");
        assert_eq!(report["samples"], 6);
    }
    let config = std::fs::read(place.path("grown/config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    let tokens = config["text_config"]["vocab_size"].as_u64().unwrap();
    assert!(tokens > 448, "{tokens} rows hold 90 latents more than there are tokens");
    assert_eq!(config["dtype"], "float32");
}

#[test]
fn a_model_of_nothing_learns_a_sample_by_heart() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("blank")).unwrap();
    for entry in std::fs::read_dir(fixture("qwen3_vl/model")).unwrap() {
        let path = entry.unwrap().path();
        // Everything of a checkpoint but its weights.
        if path.extension().is_none_or(|e| e != "safetensors") {
            std::fs::copy(&path, place.path("blank").join(path.file_name().unwrap())).unwrap();
        }
    }
    let head = "variant = \"livr\"\nupdates = \"everything\"\nrandom_weights = 5\nmodel = \"blank\"";
    let rest = "per_task = 2\n[latents]\ncount = 4\n[optimizer]\nlearning_rate = 6e-3\nbatch_size = 4\naccumulation = 1\n[[stages]]\nepochs = 80\n";
    place.done("run", &place.recipe(head, rest));
    let metrics = std::fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    let losses: Vec<f64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|metric| metric["kind"] == "step")
        .map(|metric| metric["loss"].as_f64().unwrap())
        .collect();
    assert_eq!(losses.len(), 80);
    assert!(losses[0] > 3.0 && losses[79] < 0.3, "{losses:?}");
}

#[test]
fn what_cannot_be_trained_is_said_in_a_sentence() {
    let place = Place::new();
    let good = place.recipe("variant = \"livr\"", SHORT);
    let missing = place.path("nowhere.toml");
    assert!(place.problem("a", &missing).contains("the recipe is missing"));
    let misspelt = place.recipe("variant = \"livr\"\nsede = 4", SHORT);
    assert!(place.problem("a", &misspelt).contains("unknown field `sede`"));
    let no_model = place.recipe("variant = \"livr\"\nmodel = \"nowhere\"", SHORT);
    assert!(place.problem("a", &no_model).contains("nowhere"));
    let no_task = place.recipe("variant = \"livr\"", &format!("tasks = [\"jigsaw\"]\n{SHORT}"));
    let problem = place.problem("a", &no_task);
    assert!(problem.contains("data.tasks: expected samples of jigsaw, found none"), "{problem}");
    let pixels = place.recipe("variant = \"livr\"", SHORT);
    std::fs::write(&pixels, std::fs::read_to_string(&pixels).unwrap().replace("4096", "10")).unwrap();
    assert!(place.problem("a", &pixels).contains("data.max_pixels: expected at least 1024"));
    for (grounding, words) in [
        ("model = [\"sane\"]", "found \"sane\""),
        ("layer = 99", "grounding.layer: expected a decoder layer below 3, found 99"),
    ] {
        let recipe = place.recipe("variant = \"livr\"", &format!("[grounding]\n{grounding}\n{SHORT}"));
        let problem = place.problem("a", &recipe);
        assert!(problem.contains(words), "{problem}");
    }
    let huge = place.recipe("variant = \"livr\"", SHORT);
    let text = std::fs::read_to_string(&huge).unwrap();
    assert!(text.contains("[optimizer]\n"));
    std::fs::write(&huge, text.replace("[optimizer]\n", "[optimizer]\nbatch_size = 4000000000\n")).unwrap();
    let problem = place.problem("a", &huge);
    assert!(problem.contains("optimizer.batch_size: a batch of 4000000000 with"), "{problem}");
    assert!(!place.path("a").join("recipe.toml").exists(), "nothing is begun that cannot be");

    std::fs::create_dir(place.path("taken")).unwrap();
    std::fs::write(place.path("taken/mine.txt"), "dear").unwrap();
    let good = {
        std::fs::write(&good, "").unwrap();
        place.recipe("variant = \"livr\"", &format!("{SHORT}[[stages]]\nepochs = 1\n"))
    };
    assert!(place.problem("taken", &good).contains("expected a new or empty one, found files in it"));
    assert_eq!(std::fs::read(place.path("taken/mine.txt")).unwrap(), b"dear");
    let nothing = place.train("nothing", &["--resume"]).output().unwrap();
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("recipe.toml of a run to resume is missing"));

    // A folder that cannot be made, said once.
    let inside_a_file = place.problem("data/train.jsonl/run", &good);
    assert_eq!(inside_a_file.matches("os error").count(), 1, "{inside_a_file}");

    place.done("run", &good);
    assert!(place.problem("run", &good).contains("found a run; --resume goes on with it"));
    let other = place.recipe("variant = \"livr\"\nseed = 9", &format!("{SHORT}[[stages]]\nepochs = 1\n"));
    let resumed = place.train("run", &["--resume", "--recipe", other.to_str().unwrap()]).output().unwrap();
    assert!(String::from_utf8_lossy(&resumed.stderr).contains("expected those it began with"));

    let data = place.path("data/train.jsonl");
    let text = std::fs::read_to_string(&data).unwrap();
    for (damaged, said) in [
        (text.replacen("000001-1.png", "gone.png", 1), "gone.png"),
        (text.clone() + text.lines().next().unwrap(), "expected one id for one sample"),
        (String::new(), "expected at least one sample"),
    ] {
        std::fs::write(&data, damaged).unwrap();
        assert!(place.problem("b", &good).contains(said), "{said}");
    }
}

#[test]
fn a_loss_that_is_no_number_keeps_the_last_good_state() {
    let place = Place::new();
    let rest = "[latents]\ncount = 4\n[optimizer]\nlearning_rate = 1e30\nwarmup = 0.0\nmax_grad_norm = 0.0\n[[stages]]\nepochs = 3\n";
    let recipe = place.recipe("variant = \"livr\"\nsave_every = 1", rest);
    let problem = place.problem("run", &recipe);
    assert!(
        problem.contains("training: expected numbers, found a loss of") && problem.contains("samples"),
        "{problem}"
    );
    let state = std::fs::read(place.path("run/state.safetensors")).unwrap();
    let metrics = std::fs::read(place.path("run/metrics.jsonl")).unwrap();
    let again = place.train("run", &["--resume"]).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("expected numbers"));
    assert_eq!(std::fs::read(place.path("run/state.safetensors")).unwrap(), state);
    assert_eq!(std::fs::read(place.path("run/metrics.jsonl")).unwrap(), metrics);
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_full_keeps_the_last_good_state() {
    let place = Place::new();
    let recipe =
        place.recipe("variant = \"livr\"\nsave_every = 1", &format!("{SHORT}[[stages]]\nepochs = 2\n"));
    place.done("whole", &recipe);
    // A limit on the size of files fails a write as a full disk does: in the middle.
    let limited = format!(
        "trap '' XFSZ; ulimit -f 20; exec {} train --recipe {} --out {}",
        env!("CARGO_BIN_EXE_livr"),
        recipe.display(),
        place.path("run").display()
    );
    let output = Command::new("sh").args(["-c", &limited]).env("RAYON_NUM_THREADS", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.lines().last().unwrap().contains("cannot write"), "{said}");
    let resumed = place.train("run", &["--resume"]).output().unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    let (whole, run) = (result(&place.path("whole")), result(&place.path("run")));
    for (name, bytes) in &whole {
        assert!(run[name] == *bytes, "{name} differs");
    }
}
