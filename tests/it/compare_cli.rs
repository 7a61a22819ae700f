//! `livr compare`: results of the same samples, paired; what cannot be.

use std::path::Path;

use livr_explorer::data::dataset;
use livr_explorer::data::tasks::Task;
use livr_explorer::export::recording_file::RecordingFile;
use serde_json::{Value, json};

use crate::cli::{json as read_json, livr, text};
use crate::common::{drawn, fixture, relative_error};

/// A result with these verdicts, of samples a, b, c and so on.
fn result(dir: &tempfile::TempDir, name: &str, first: u8, rights: &[bool]) -> String {
    let id = |i: usize| char::from(first + i as u8).to_string();
    let one = |(i, correct): (usize, &bool)| json!({"id": id(i), "task": "t", "target": "A", "pred": "A", "correct": correct});
    let predictions: Vec<Value> = rights.iter().enumerate().map(one).collect();
    let path = dir.path().join(name);
    std::fs::write(&path, json!({"predictions": predictions}).to_string()).unwrap();
    path.display().to_string()
}

#[test]
fn results_are_paired_by_sample() {
    let dir = tempfile::tempdir().unwrap();
    let base = result(&dir, "base.json", b'a', &[true, true, false, false, true]);
    let better = result(&dir, "better.json", b'a', &[true, true, true, true, true]);
    let later = result(&dir, "later.json", b'd', &[false, false, true]);
    let said = read_json(&livr(&["compare", &base, &better, &later, "--json", "--draws", "2000"]));
    let pair = &said["pairs"][0];
    for (name, expected) in
        [("n", 5), ("both", 3), ("gained", 2), ("lost", 0), ("neither", 0), ("only_base", 0)]
    {
        assert_eq!(pair[name], expected, "{name}");
    }
    assert_eq!(
        (&pair["name"], &pair["mcnemar_p"], &pair["holm_p"]),
        (&json!("better"), &json!(0.5), &json!(1.0))
    );
    assert!((pair["difference"].as_f64().unwrap() - 0.4).abs() < 1e-12);
    let later = &said["pairs"][1];
    assert_eq!(
        (&later["n"], &later["lost"], &later["only_other"], &later["only_base"]),
        (&json!(2), &json!(1), &json!(1), &json!(3))
    );
    // One seed, one interval.
    let again = read_json(&livr(&["compare", &base, &better, "--json", "--draws", "2000"]));
    assert_eq!(again["pairs"][0]["bootstrap"], pair["bootstrap"]);
    let table = livr(&["compare", &base, &better]);
    assert!(
        text(&table.stdout).contains("better      5       3      2      0       0   +40.0"),
        "{}",
        text(&table.stdout)
    );
}

#[test]
fn what_is_no_result_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let base = result(&dir, "base.json", b'a', &[true]);
    let alone = livr(&["compare", &base]);
    assert!(
        text(&alone.stderr).contains("expected another result to compare with"),
        "{}",
        text(&alone.stderr)
    );
    let none = dir.path().join("none.json");
    std::fs::write(&none, "{\"samples\": 3}").unwrap();
    let none = livr(&["compare", &base, &none.display().to_string()]);
    assert!(text(&none.stderr).contains("none.json") && !none.status.success(), "{}", text(&none.stderr));
    let twice = dir.path().join("twice.json");
    let own = json!({"id": "a", "correct": true});
    std::fs::write(&twice, json!({"predictions": [own, own]}).to_string()).unwrap();
    let twice = livr(&["compare", &base, &twice.display().to_string()]);
    assert!(
        text(&twice.stderr).contains("expected each sample once, found a twice"),
        "{}",
        text(&twice.stderr)
    );
}

/// The tiny model with its adapter, as options.
fn tiny() -> Vec<String> {
    let at = |name: &str| fixture(name).display().to_string();
    let words = ["--model", &at("tiny/model"), "--adapter", &at("tiny/adapter"), "--max-pixels", "4096"];
    words.map(str::to_owned).to_vec()
}

/// A command of the tiny model.
fn of_tiny(words: &[&str]) -> std::process::Output {
    let tiny = tiny();
    livr(&[words, &tiny.iter().map(String::as_str).collect::<Vec<_>>()].concat())
}

/// Means over two samples are what lies between their recordings, and stand in the latents' place.
#[test]
fn means_are_those_of_the_recordings() {
    let data = drawn(&[Task::Counting], [2, 0, 0]);
    let at = |name: &str| data.path().join(name).display().to_string();
    let (file, out, trace) = (at("data/train.jsonl"), at("means.safetensors"), at("t.safetensors"));
    let records = dataset::read(Path::new(&file)).unwrap();
    let made = of_tiny(&["means", "--data", &file, "--out", &out]);
    assert!(text(&made.stdout).contains("16 latents over 2 samples"), "{}", text(&made.stderr));
    let rows = |name: &str| {
        let file = RecordingFile::open(&data.path().join(name)).unwrap();
        file.rows("after", Some(1), &[0, 5, 15], 64).unwrap()
    };
    let mut sums = vec![0f32; 3 * 64];
    for (i, record) in records.iter().enumerate() {
        let (own, image) = (at(&format!("{i}.safetensors")), at(&format!("{i}.png")));
        record.sample().unwrap().images[0].pixels.save(&image).unwrap();
        let asked = ["trace", "--image", &image, "--prompt", &record.prompt, "--out", &trace];
        let traced = of_tiny(&[&asked[..], &["--record", &own, "--record-of", "latents"]].concat());
        assert!(traced.status.success(), "{}", text(&traced.stderr));
        sums.iter_mut().zip(rows(&format!("{i}.safetensors"))).for_each(|(sum, own)| *sum += own / 2.0);
    }
    let error = relative_error(&rows("means.safetensors"), &sums);
    assert!(error < 1e-5, "{error}");
    let image = at("0.png");
    let asked = ["ask", "--image", &image, "--prompt", &records[0].prompt, "--json"];
    let said =
        read_json(&of_tiny(&[&asked[..], &["--do", "latents=mean@after-0..", "--donor", &out]].concat()));
    assert_eq!(said["receipt"]["sham"], true);
    assert!(said["interventions"][0]["changed"].as_u64().unwrap() > 0);
    let left = of_tiny(&["means", "--data", &file, "--out", &at("m.safetensors"), "--leave-out", "nobody"]);
    assert!(text(&left.stderr).contains("none called nobody"), "{}", text(&left.stderr));
}
