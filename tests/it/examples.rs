//! What `examples/` shows of the library in use works, and is short.

use std::path::PathBuf;
use std::process::Command;

/// What an example prints.
fn printed(name: &str, arguments: &[&str]) -> String {
    let built: PathBuf = std::env::current_exe().unwrap().parent().unwrap().join("../examples").join(name);
    let output = Command::new(&built).args(arguments).output();
    let output =
        output.unwrap_or_else(|problem| panic!("{}: {problem}: cargo test builds it", built.display()));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_question_is_asked_under_both_masks() {
    let said = printed("ask", &[]);
    assert!(
        said.starts_with("How many")
            && said.contains("Standard: ")
            && said.contains("Bottleneck (Stage 1): "),
        "{said}"
    );
}

#[test]
fn attention_rows_and_hidden_states_are_at_hand() {
    let rows = printed("attention_rows", &[]);
    assert_eq!(rows.lines().filter(|line| line.contains("% on the image")).count(), 16, "{rows}");
    let states = printed("hidden_states", &[]);
    assert!(states.starts_with("hidden_states[0]: cosine") && states.lines().count() > 4, "{states}");
}

#[test]
fn clouds_are_laid_out_apart() {
    let said = printed("layout", &[]);
    let numbers: Vec<f32> = said
        .split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-')))
        .filter_map(|word| word.parse().ok())
        .collect();
    let &[divergence, a, b, c, d] = &numbers[..] else { panic!("{said}") };
    assert!(divergence < 1.0 && (a - c).hypot(b - d) > 5.0, "{said}");
}

#[test]
fn latents_are_trained() {
    let folder = tempfile::TempDir::new().unwrap();
    let said = printed("train", &[folder.path().to_str().unwrap()]);
    assert!(said.starts_with("step 1 of ") && folder.path().join("run/livr.json").is_file(), "{said}");
}

#[test]
fn each_fits_on_a_page() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for file in crate::source_tree::rust_files(&folder) {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines < 40, "{} has {lines} lines", file.display());
    }
}
