//! Maps of hidden states through the command line: of a data set, resumed, of anyone's states, wrong input.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use livr_explorer::data::tasks::Task;
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{drawn, fixture};

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(drawn(&[Task::Counting, Task::Jigsaw], [4, 0, 0]))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn project(&self, out: &str, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_livr"))
            .args(["project", "--out"])
            .arg(self.path(out))
            .args(more)
            .output()
            .unwrap()
    }

    /// Of the data set, by the tiny model.
    fn of_data(&self, out: &str, more: &[&str]) -> Output {
        let (model, adapter) = (fixture("tiny/model"), fixture("tiny/adapter"));
        let data = self.path("data/train.jsonl");
        let named = ["--model", text(&model), "--adapter", text(&adapter), "--data", text(&data)];
        let short = ["--max-pixels", "4096", "--iterations", "60", "--perplexity", "5", "--batch", "3"];
        self.project(out, &[&named[..], &short[..], more].concat())
    }

    fn problem(&self, more: &[&str]) -> String {
        said(&self.project("never.safetensors", more))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The last line of what failed.
fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    said.lines().last().unwrap().to_owned()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A column of a map's file.
fn integers(bytes: &[u8], name: &str) -> Vec<i64> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    bytemuck::pod_collect_to_vec(file.tensor(name).unwrap().data())
}

#[test]
fn every_layer_of_a_data_set_is_mapped_and_a_stopped_run_goes_on() {
    let place = Place::new();
    let maps = json(&place.of_data("map.safetensors", &["--layer", "all", "--json"]));
    let maps = maps.as_array().unwrap();
    let layers: Vec<u64> = maps.iter().map(|map| map["layer"].as_u64().unwrap()).collect();
    assert_eq!(layers, (0..maps.len() as u64).collect::<Vec<_>>());
    let bytes = std::fs::read(place.path("map.safetensors")).unwrap();
    let (roles, samples) = (integers(&bytes, "role"), integers(&bytes, "sample"));
    let (indices, of_layer) = (integers(&bytes, "index"), integers(&bytes, "layer"));
    let points = maps[0]["points"].as_u64().unwrap() as usize;
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("layout").unwrap().shape(), [points * maps.len(), 2]);
    assert_eq!((samples[0], *samples.last().unwrap()), (0, 7));
    // Each sample has its latents, by number, and all its visual tokens.
    let of_first: Vec<usize> = (0..points).filter(|i| samples[*i] == 0).collect();
    let numbers = |role: i64| -> Vec<i64> {
        of_first.iter().filter(|i| roles[**i] == role).map(|i| indices[*i]).collect()
    };
    assert_eq!(numbers(2), (0..16).collect::<Vec<_>>());
    let visual = numbers(1);
    assert!(!visual.is_empty() && visual == (0..visual.len() as i64).collect::<Vec<_>>());
    // The same points at every layer, in the same order.
    for layer in 0..maps.len() {
        let range = layer * points..(layer + 1) * points;
        assert!(of_layer[range.clone()].iter().all(|of| *of == layer as i64));
        assert_eq!(indices[range], indices[..points]);
    }
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    for name in ["kl", "perplexity", "iterations", "engine", "seed", "seconds", "samples"] {
        assert!(metadata.contains_key(name), "{name}");
    }
    let told: Value = serde_json::from_str(&metadata["samples"]).unwrap();
    assert_eq!(told.as_array().unwrap().len(), 8);

    // As a kill leaves it: a line cut off, rows without a line.
    let (lines, states) = (place.path("map.states/samples.jsonl"), place.path("map.states/states.f16"));
    let whole = (std::fs::read(&lines).unwrap(), std::fs::read(&states).unwrap());
    std::fs::write(&lines, &whole.0[..whole.0.len() * 2 / 3]).unwrap();
    std::fs::remove_file(place.path("map.safetensors")).unwrap();
    let again = place.of_data("map.safetensors", &["--layer", "all"]);
    assert!(again.status.success());
    assert!(String::from_utf8(again.stderr).unwrap().contains("going on after"));
    assert!(std::fs::read(&lines).unwrap() == whole.0 && std::fs::read(&states).unwrap() == whole.1);
    assert!(integers(&std::fs::read(place.path("map.safetensors")).unwrap(), "index") == indices);

    // Fewer samples than are kept are mapped alone.
    let fewer = json(&place.of_data("map.safetensors", &["--layer", "all", "--limit", "3", "--json"]));
    let bytes = std::fs::read(place.path("map.safetensors")).unwrap();
    let of_three = roles[..points].iter().zip(&samples).filter(|(_, sample)| **sample < 3).count();
    assert_eq!(fewer[0]["points"], of_three);
    assert_eq!(integers(&bytes, "sample").into_iter().max(), Some(2));
    assert!(std::fs::read(&states).unwrap() == whole.1);

    // States of other settings are not thrown away.
    let other = said(&place.of_data("map.safetensors", &["--layer", "0"]));
    assert!(other.contains("samples.jsonl") && other.contains("name another output"), "{other}");
    assert!(std::fs::read(&states).unwrap() == whole.1);
}

#[test]
fn a_layer_of_some_tokens() {
    let place = Place::new();
    let (picture, table) = (place.path("map.png"), place.path("map.csv"));
    let more = ["--picture", text(&picture), "--colour", "latent", "--table", text(&table)];
    let asked = ["--layer", "1", "--role", "latent", "--json"];
    let maps = json(&place.of_data("latents.safetensors", &[&asked[..], &more].concat()));
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
    let lines = std::fs::read_to_string(&table).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(
        (lines.len(), lines[0]),
        (129, "x,y,layer,role,index,sample,task,correct,length,attended,certainty")
    );
    assert!(lines[17].contains(",1,latent,0,\"") && lines[17].contains("\"counting\","), "{}", lines[17]);
    assert_eq!((&maps[0]["layer"], &maps[0]["points"]), (&1.into(), &128.into()));
    // Numbers of a point: of the first latent, from its half-precision state; attention is a share, as is certainty.
    let states = std::fs::read(place.path("latents.states/states.f16")).unwrap();
    let first: Vec<u8> = states[..states.len() / 128].to_vec();
    let squares = first.chunks_exact(2).map(|v| half::f16::from_le_bytes([v[0], v[1]]).to_f32().powi(2));
    let numbers: Vec<f32> = lines[1].rsplit(',').take(3).map(|v| v.parse().unwrap()).collect();
    let [certainty, attended, length] = numbers[..] else { panic!("{numbers:?}") };
    assert!((length / squares.sum::<f32>().sqrt() - 1.0).abs() < 1e-3, "{length}");
    assert!((0.0..1.0).contains(&attended) && attended > 0.0 && (0.0..=1.0).contains(&certainty));
    let measures = &maps[0]["measures"];
    assert_eq!(measures["collapse"]["samples"], 8);
    assert_eq!(measures["near"]["latent"]["latent"], 1.0);
    let probes = measures["probes"].as_array().unwrap();
    let of = |what: &str| probes.iter().filter(|probe| probe["of"] == what).count();
    assert_eq!((of("task"), of("answer")), (16, 16), "each of sixteen latents");
    assert!(of("place") > 0, "some look at more places than one");
    assert!(probes.iter().all(|probe| probe["rows"] == 8 && probe["right"].as_f64().unwrap() <= 1.0));
    // One role has no silhouette.
    assert!(maps[0]["silhouette"].is_null());
    let deep = said(&place.of_data("deep.safetensors", &["--layer", "99"]));
    assert!(deep.contains("layer: expected last, all or a number from 0 to 3, found 99"), "{deep}");
}

#[test]
fn words_by_layer_and_a_map_begun_at_anothers() {
    let place = Place::new();
    let asked = ["--layer", "all", "--role", "latent", "--json"];
    let first = json(&place.of_data("first.safetensors", &[&asked[..], &["--words"]].concat()));
    for map in first.as_array().unwrap() {
        let words = map["words"].as_array().unwrap();
        assert_eq!((words.len(), &words[0][0]), (1, &"latent".into()));
        let shares: Vec<f64> =
            words[0][1].as_array().unwrap().iter().map(|w| w[1].as_f64().unwrap()).collect();
        assert!(shares.len() == 5 && shares.is_sorted_by(|a, b| a >= b) && shares[0] > 0.0, "{shares:?}");
        assert!(shares.iter().sum::<f64>() <= 1.0 + 1e-6);
    }
    assert_ne!(first[0]["words"], first[3]["words"]);

    // The same states without the bottleneck: of their maps the one begun at the first is the nearer to it.
    let layout = |name: &str| {
        let bytes = std::fs::read(place.path(name)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        bytemuck::pod_collect_to_vec::<u8, [f32; 2]>(file.tensor("layout").unwrap().data())
    };
    let first_at = place.path("first.safetensors");
    let masked = [&asked[..], &["--mask", "bottleneck", "--seed", "9"]].concat();
    json(&place.of_data("free.safetensors", &masked));
    json(&place.of_data("onto.safetensors", &[&masked[..], &["--onto", text(&first_at)]].concat()));
    let apart = |name: &str| -> f32 {
        let both = layout(name).into_iter().zip(layout("first.safetensors"));
        both.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).sum()
    };
    assert!(apart("onto.safetensors") < 0.5 * apart("free.safetensors"));

    let fewer =
        said(&place.of_data(
            "fewer.safetensors",
            &[&asked[..], &["--limit", "4", "--onto", text(&first_at)]].concat(),
        ));
    assert!(fewer.contains("expected the 64 points of layer 0, found 128 points that are others"), "{fewer}");
    let none = said(&place.of_data(
        "none.safetensors",
        &[&asked[..], &["--onto", text(&place.path("data/train.jsonl"))]].concat(),
    ));
    assert!(none.contains("the layout is no safetensors"), "{none}");
    let table = said(&place.of_data("t.safetensors", &["--table", text(&place.path("map.txt"))]));
    assert!(table.contains("expected an ending of .csv"), "{table}");
}

/// A `.npy` file.
fn npy(path: &Path, shape: &str, values: &[f32]) {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn anyones_states_are_mapped_the_same_by_seed_and_on_any_threads() {
    let place = Place(TempDir::new().unwrap());
    let values: Vec<f32> =
        (0..400).map(|i| ((i * 7919) % 997) as f32 / 97.0 + (i / 200) as f32 * 20.0).collect();
    let states = place.path("x.npy");
    npy(&states, "(100, 4)", &values);
    let run = |out: &str, more: &[&str]| {
        let common = ["--states", text(&states), "--iterations", "120", "--perplexity", "8", "--json"];
        let said = json(&place.project(out, &[&common[..], more].concat()));
        assert_eq!(said[0]["points"], 100);
        let bytes = std::fs::read(place.path(out)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.names(), ["layout"]);
        (file.tensor("layout").unwrap().data().to_vec(), said[0]["kl"].as_f64().unwrap())
    };
    let (one, divergence) = run("one.safetensors", &["--threads", "1"]);
    assert_eq!(one, run("two.safetensors", &["--threads", "3"]).0);
    assert_ne!(one, run("other.safetensors", &["--seed", "1"]).0);
    assert!(divergence > 0.0 && divergence < 1.5);
    let (_, plain) = run("plain.safetensors", &["--pca", "off", "--init", "random", "--engine", "exact"]);
    assert!(plain > 0.0 && plain < 1.5);
}

#[test]
fn wrong_states_are_said_in_a_sentence() {
    let place = Place(TempDir::new().unwrap());
    let file = |name: &str, shape: &str, values: &[f32]| {
        npy(&place.path(name), shape, values);
        place.path(name)
    };
    let few = file("few.npy", "(3, 2)", &[1.0; 6]);
    assert!(place.problem(&["--states", text(&few)]).contains("at least 5 points, found 3"));
    let flat = file("flat.npy", "(6,)", &[1.0; 6]);
    assert!(
        place.problem(&["--states", text(&flat)]).contains("shape: expected [points, dimensions], found [6]")
    );
    let ten = file("ten.npy", "(10, 2)", &[1.0; 20]);
    assert!(place.problem(&["--states", text(&ten)]).contains("perplexity: expected a number from 1"));
    let mut values = [1.0; 20];
    values[7] = f32::NAN;
    let nan = file("nan.npy", "(10, 2)", &values);
    let said = place.problem(&["--states", text(&nan), "--perplexity", "3"]);
    assert!(said.contains("found NaN in row 3"), "{said}");
    let cut = place.path("cut.npy");
    std::fs::write(&cut, &std::fs::read(&ten).unwrap()[..150]).unwrap();
    assert!(place.problem(&["--states", text(&cut)]).contains("cut.npy"));
    let strange = place.path("strange.safetensors");
    std::fs::write(&strange, "hello").unwrap();
    assert!(place.problem(&["--states", text(&strange)]).contains("neither .npy nor safetensors"));
    assert!(place.problem(&["--states", text(&place.path("none.npy"))]).contains("none.npy"));
    let jpeg = place.problem(&["--states", text(&ten), "--picture", text(&place.path("map.jpeg"))]);
    assert!(jpeg.contains("expected an ending of .svg, .pdf or .png"), "{jpeg}");
    assert!(!place.path("never.safetensors").exists());
}
