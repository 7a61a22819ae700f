//! `livr experiment`: each cell is what `livr eval` finds, and is measured once.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use livr_explorer::data::tasks::Task;
use serde_json::Value;

use crate::common::{drawn, fixture};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = drawn(&[Task::ObjectLocalization, Task::ArtStyle], [6, 0, 0]);
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn livr(&self, command: &str, args: &[&str]) -> Output {
        let mut livr = Command::new(env!("CARGO_BIN_EXE_livr"));
        livr.arg(command).args(["--data".as_ref(), self.path("data/train.jsonl").as_os_str()]);
        livr.arg("--model").arg(fixture("tiny/model")).args(args).output().unwrap()
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn cells_are_those_of_eval_and_are_kept() {
    let place = Place::new();
    let adapter = fixture("tiny/adapter").display().to_string();
    let (named, again) = (format!("way/1={adapter}"), format!("way/2={adapter}"));
    let out = place.path("out").display().to_string();
    let args = ["--adapters", &named, &again, "base=none", "--out", &out, "--disturb", "noise=0.1", "--json"];
    let output = place.livr("experiment", &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summaries: Value = serde_json::from_slice(&output.stdout).unwrap();
    let summaries = summaries.as_array().unwrap();
    // Five conditions of one way; the base has no latents to leave out.
    assert_eq!(summaries.len(), 5 + 3);
    let of = |variant: &str, condition: &str| {
        summaries.iter().find(|s| s["variant"] == variant && s["condition"] == condition).unwrap()
    };
    let mass = of("way", "normal")["latent_mass"].as_f64().unwrap();
    assert!((0.0..1.0).contains(&mass) && mass > 0.0);
    assert!(of("base", "normal")["latent_mass"].is_null());
    assert_eq!(of("way", "normal")["seeds"].as_array().unwrap().len(), 2);
    assert_eq!(of("way", "normal")["all"]["samples"], 12, "of each seed");
    // Asked twice the same, which makes nobody surer.
    let once = read(&place.path("out/cells/way-1-normal.json"));
    assert_eq!(of("way", "normal")["all"]["interval"], once["all"]["interval"]);

    for (condition, options) in [
        ("bottleneck", ["--mask", "bottleneck", "--latents", "auto"]),
        ("no-latents", ["--mask", "standard", "--latents", "off"]),
    ] {
        let file = place.path(&format!("{condition}.json")).display().to_string();
        let rest = ["--adapter", &adapter, "--out", &file, "--batch", "8"];
        let output = place.livr("eval", &[&options[..], &rest].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let (alone, cell) =
            (read(Path::new(&file)), read(&place.path(&format!("out/cells/way-1-{condition}.json"))));
        let answers = |value: &Value| -> Vec<String> {
            let list = value["predictions"].as_array().unwrap();
            list.iter().map(|p| p["answer"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(answers(&alone).len(), 12);
        assert_eq!(answers(&alone), answers(&cell), "{condition}");
    }
    for name in ["tables.md", "battery.svg", "results.json"] {
        assert!(place.path("out").join(name).is_file(), "{name}");
    }
    let tables = std::fs::read_to_string(place.path("out/tables.md")).unwrap();
    assert!(
        tables.contains("| way | ")
            && tables.contains("### noise=0.1")
            && tables.contains("| art_style | 50.0 |")
    );

    // Again: what is there is not measured; what is damaged is.
    let cell = place.path("out/cells/way-1-bottleneck.json");
    let stamp = |name: &str| {
        std::fs::metadata(place.path(&format!("out/cells/{name}.json"))).unwrap().modified().unwrap()
    };
    let (whole, before) = (std::fs::read(&cell).unwrap(), stamp("way-1-normal"));
    std::fs::write(&cell, "{").unwrap();
    let output = place.livr("experiment", &args);
    assert!(output.status.success());
    assert_eq!((std::fs::read(&cell).unwrap(), stamp("way-1-normal")), (whole, before));
}

#[test]
fn cells_of_the_version_before_are_read() {
    let place = Place::new();
    let out = place.path("out").display().to_string();
    let run = || {
        let output =
            place.livr("experiment", &["--adapters", "base=none", "--out", &out, "--disturb", "no-images"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run();
    for name in ["base-bottleneck", "base-no-images"] {
        let path = place.path(&format!("out/cells/{name}.json"));
        // As it was: without what all studies had in common.
        let mut cell = read(&path);
        let condition = cell["condition"].as_object_mut().unwrap();
        condition.remove("decoding");
        condition.remove("max_pixels");
        condition.entry("disturbance").or_insert(Value::Null);
        std::fs::write(&path, cell.to_string()).unwrap();
        let before = std::fs::read(&path).unwrap();
        run();
        assert_eq!(std::fs::read(&path).unwrap(), before, "{name} was measured again");
    }
}

#[test]
fn other_images_of_the_same_questions_are_measured_anew() {
    let place = Place::new();
    let out = place.path("out").display().to_string();
    let fingerprint = || {
        let output = place.livr("experiment", &["--adapters", "base=none", "--out", &out]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        read(&place.path("out/cells/base-normal.json"))["fingerprint"].clone()
    };
    let before = fingerprint();
    assert_eq!(fingerprint(), before);
    let lines = std::fs::read_to_string(place.path("data/train.jsonl")).unwrap();
    let image = |line: &str| {
        let record = serde_json::from_str::<Value>(line).unwrap();
        place.path("data").join(record["images"][0].as_str().unwrap())
    };
    let images: Vec<_> = lines.lines().take(2).map(image).collect();
    std::fs::copy(&images[1], &images[0]).unwrap();
    assert_ne!(fingerprint(), before);
}

#[test]
fn adapters_built_in_are_not_taken_for_each_other() {
    let place = Place::new();
    let out = place.path("out").display().to_string();
    let answers = |adapter: &str| {
        let named = format!("way={adapter}");
        let output = Command::new(env!("CARGO_BIN_EXE_livr"))
            .args(["experiment", "--adapters", &named, "--out", &out, "--data"])
            .arg(place.path("data/train.jsonl"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        read(&place.path("out/cells/way-normal.json"))["latent_mass"].clone()
    };
    assert!(answers("demo:sft").is_null());
    assert!(answers("demo:livr").is_number());
}

#[test]
fn what_cannot_be_is_said_in_a_sentence() {
    let place = Place::new();
    let out = place.path("out").display().to_string();
    for (adapters, status, words) in [
        (&["nothing"][..], 2, "NAME=DIR"),
        (&["../a=none"], 2, "NAME=DIR"),
        (&["a=demo:best"], 2, "demo:livr"),
        (&["a=/nowhere"], 1, "/nowhere"),
        (&["a/1=none", "b=none", "a-1=demo:livr"], 1, "expected names of their own, found a-1 twice"),
    ] {
        let output = place.livr("experiment", &[&["--out", &out, "--adapters"], adapters].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

/// Edits with their shams, paired with the base; what does nothing is called that, what blinds moves the scores.
#[test]
fn a_battery_of_replacements_is_paired_and_shams_are_kept() {
    let place = Place::new();
    let adapter = format!("tiny={}", fixture("tiny/adapter").display());
    let out = place.path("battery").display().to_string();
    let own = "'do=latents=zero@after-1'";
    let args = ["--adapters", &adapter, "--out", &out, "--set", "replacement", "--condition", own, "--sham"];
    let output = place.livr("battery", &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("nothing was changed: +0.0 points"), "{said}");
    let battery = read(&place.path("battery/battery.json"));
    let conditions = battery["conditions"].as_array().unwrap();
    // All but the base, and no sham for itself.
    assert_eq!(conditions.len(), 13 + 1);
    let of = |name: &str| conditions.iter().find(|own| own["name"] == name).unwrap();
    let still = of("'do=latents=self@embedding..'");
    assert_eq!((&still["sham"], &still["difference"]), (&Value::Bool(true), &Value::from(0.0)));
    assert_eq!(
        (&still["changed"][0]["changed"], &still["changed"][0]["samples"]),
        (&Value::from(0), &Value::from(0))
    );
    for own in conditions.iter().filter(|own| own["changed"].is_array()) {
        // Of another mask without edits nothing was asked here.
        let masked = own["name"].as_str().unwrap().starts_with("mask=");
        assert_eq!(own["sham"], if masked { Value::Null } else { Value::Bool(true) }, "{}", own["name"]);
        assert_eq!(own["base"], "normal");
    }
    let zero = of("'do=latents=zero@embedding..'");
    assert_eq!(zero["changed"][0]["samples"], 12);
    assert!(zero["delta_margin"]["mean"].as_f64().is_none_or(|mean| mean != 0.0));
    // A page that names what it quotes, and a line a sample and condition.
    let page = std::fs::read_to_string(place.path("battery/report.html")).unwrap();
    assert!(page.contains("latents=zero@embedding..") && page.contains("12 samples"));
    for outside in ["src=", "href=", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let lines = std::fs::read_to_string(place.path("battery/samples.csv")).unwrap();
    // What is said may have lines of its own.
    let of_samples = lines.lines().filter(|line| line.starts_with("\"tiny\","));
    assert_eq!(of_samples.count(), 12 * (1 + 14 + 14));
    // A second time nothing is asked, and the same is said.
    let again = place.livr("experiment", &args);
    assert_eq!(String::from_utf8_lossy(&again.stdout), said);
    assert_eq!(read(&place.path("battery/battery.json")), battery);

    let wrong = place.livr("battery", &["--out", &out, "--set", "everything"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("expected one of paper, replacement"));
}
