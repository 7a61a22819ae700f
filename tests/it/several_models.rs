//! Several models in one command: answers as a table, maps in one figure.

use std::path::Path;

use crate::cli::{display, json, livr, text};

#[test]
fn several_models_answer_side_by_side() {
    let photo = display(&Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/photos/coffee.png"));
    let sample = ["--image", &photo, "--prompt", "What is it? (A) tea (B) coffee"];
    let asked = |more: &[&str]| livr(&[&["ask"], &sample[..], more].concat());
    let two = ["--adapter", "demo:livr", "--adapter", "none"];
    let report = json(&asked(&[&two[..], &["--json"]].concat()));
    let answers = report["comparison"].as_array().unwrap();
    assert_eq!(answers.len(), 2);
    assert_eq!((&answers[0]["num_latents"], &answers[1]["num_latents"]), (&16.into(), &0.into()));
    // Each as it answers alone.
    let alone = json(&asked(&["--adapter", "none", "--json"]));
    assert_eq!((&answers[1]["choices"], &answers[1]["tokens"]), (&alone["choices"], &alone["tokens"]));
    let plain = text(&asked(&two).stdout);
    let lines: Vec<&str> = plain.lines().collect();
    assert!(lines[0].split_whitespace().eq(["answer", "A", "B"]), "{plain}");
    assert!(lines[1].starts_with("LIVR ") && lines[2].starts_with("none "), "{plain}");
    let differ = answers[0]["answer"] != answers[1]["answer"];
    assert_eq!(plain.contains("* other than LIVR"), differ, "{plain}");
    for (wrong, said) in [
        (&["--adapter", "none", "--adapter", "none"][..], "--adapter: expected each once, found none twice"),
        (
            &["--model", "a", "--model", "b", "--adapter", "c", "--adapter", "d", "--adapter", "none"][..],
            "--adapter: expected one, or one for each of 2 models, found 3",
        ),
    ] {
        let output = asked(wrong);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}

#[test]
fn a_figure_needs_no_window_and_has_the_maps_of_several_models() {
    let dir = tempfile::tempdir().unwrap();
    let photo = display(&Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/photos/coffee.png"));
    let figure = |out: &str, more: &[&str]| {
        let out = display(&dir.path().join(out));
        let sample =
            ["figure", "--image", &photo, "--prompt", "What is it? (A) tea (B) coffee", "--out", &out];
        livr(&[&sample[..], more].concat())
    };
    let both = ["--adapter", "demo:livr", "--adapter", "demo:latents-only", "--maps", "0-2"];
    let svg = figure("both.svg", &both);
    assert!(svg.status.success(), "{}", text(&svg.stderr));
    let drawn = std::fs::read_to_string(dir.path().join("both.svg")).unwrap();
    assert_eq!(drawn.matches("<image").count(), 7, "the image alone, and three maps of each");
    for label in ["LIVR: latent 2, ", "latents only: latent 0, "] {
        assert!(drawn.contains(label), "{label}");
    }
    let pdf = figure("answer.pdf", &["--maps", "answer", "--no-plain", "--layer", "2"]);
    assert!(pdf.status.success(), "{}", text(&pdf.stderr));
    assert!(std::fs::read(dir.path().join("answer.pdf")).unwrap().starts_with(b"%PDF-"));
    for (out, more, said) in [
        ("a.gif", &[][..], "an ending of"),
        ("a.svg", &["--maps", "99"][..], "--maps: expected all, shown, answer or latents below 16, found 99"),
        ("a.svg", &["--layer", "99"][..], "--layer: expected a number below"),
    ] {
        let output = figure(out, more);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
    let blind = display(&dir.path().join("blind.svg"));
    let output = livr(&["figure", "--prompt", "What is it?", "--out", &blind]);
    assert!(text(&output.stderr).contains("expected --image, found none"), "{}", text(&output.stderr));
}
