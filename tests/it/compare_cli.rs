//! `livr compare`: results of the same samples, paired; what cannot be.

use serde_json::{Value, json};

use crate::cli::{json as read_json, livr, text};

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

/// Means over two samples are what lies between their recordings, and stand in the latents' place.
#[test]
fn means_are_those_of_the_recordings() {
    use livr_explorer::export::recording_file::RecordingFile;

    let data = crate::common::drawn(&[livr_explorer::data::tasks::Task::Counting], [2, 0, 0]);
    let at = |name: &str| data.path().join(name).display().to_string();
    let file = at("data/train.jsonl");
    let records = livr_explorer::data::dataset::read(std::path::Path::new(&file)).unwrap();
    let (model, adapter) = (crate::common::fixture("tiny/model"), crate::common::fixture("tiny/adapter"));
    let (model, adapter) = (model.display().to_string(), adapter.display().to_string());
    let common = ["--model", &model, "--adapter", &adapter, "--max-pixels", "4096"];
    let made = livr(&[&["means", "--data", &file, "--out", &at("means.safetensors")][..], &common].concat());
    assert!(made.status.success() && text(&made.stdout).contains("16 latents over 2 samples"), "{}", text(&made.stderr));
    let rows = |name: &str, layer: usize| {
        let file = RecordingFile::open(&data.path().join(name)).unwrap();
        file.rows("after", Some(layer), &[0, 5, 15], 64).unwrap()
    };
    let mut sums = vec![0f32; 3 * 64];
    for (i, record) in records.iter().enumerate() {
        let out = at(&format!("{i}.safetensors"));
        let image = data.path().join(format!("{i}.png"));
        record.sample().unwrap().images[0].pixels.save(&image).unwrap();
        let image = image.display().to_string();
        let words = ["trace", "--image", &image, "--prompt", &record.prompt, "--out", &at("t.safetensors"),
            "--record", &out, "--record-of", "latents"];
        let traced = livr(&[&words[..], &common].concat());
        assert!(traced.status.success(), "{}", text(&traced.stderr));
        sums.iter_mut().zip(rows(&format!("{i}.safetensors"), 1)).for_each(|(sum, own)| *sum += own / 2.0);
    }
    let error = crate::common::relative_error(&rows("means.safetensors", 1), &sums);
    assert!(error < 1e-5, "{error}");
    let image = at("0.png");
    let words = ["ask", "--image", &image, "--prompt", &records[0].prompt, "--do", "latents=mean@after-0..", "--donor",
        &at("means.safetensors"), "--json"];
    let said = read_json(&livr(&[&words[..], &common].concat()));
    assert_eq!(said["receipt"]["sham"], true);
    assert!(said["interventions"][0]["changed"].as_u64().unwrap() > 0);
    let left = livr(&[&["means", "--data", &file, "--out", &at("m.safetensors"), "--leave-out", "nobody"][..], &common].concat());
    assert!(text(&left.stderr).contains("none called nobody"), "{}", text(&left.stderr));
}
