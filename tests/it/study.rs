//! A study gives the same bytes however it was made: in one go, killed at any moment and gone on with, on a disk that was
//! full, in shares on copies of model and data that lie elsewhere.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use livr_explorer::data::tasks::Task;
use livr_explorer::random::stream;
use rand::RngExt as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{drawn, fixture};

/// A folder with data and a study of them.
pub struct Place(TempDir);

const STUDY: &str = r#"
data = "data/train.jsonl"
seed = 7
batch = 3
conditions = [
    "normal",
    "bottleneck",
    "'do=block readers->latents @1-' mask=bottleneck",
    { name = "late", do = ["block latents->image @1-", "allow latents[0]->image"] },
    "noise=0.1",
]

[[models]]
name = "way/1"
model = "model"
adapter = "adapter"

[[models]]
name = "way/2"
model = "model"
adapter = "adapter"
dtype = "bf16"
"#;

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Place {
    pub fn new() -> Self {
        let dir = drawn(&[Task::ObjectLocalization, Task::ArtStyle], [5, 0, 0]);
        copy(&fixture("tiny/model"), &dir.path().join("model"));
        copy(&fixture("tiny/adapter"), &dir.path().join("adapter"));
        std::fs::write(dir.path().join("study.toml"), STUDY).unwrap();
        Self(dir)
    }

    /// The same files elsewhere.
    fn copied(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(self.0.path(), dir.path());
        Self(dir)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command of these words; those that begin with `@` are paths of this place.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_livr"));
        self.words(&mut command, words);
        command
    }

    fn words(&self, command: &mut Command, words: &[&str]) {
        for word in words {
            match word.strip_prefix('@') {
                Some(name) => command.arg(self.path(name)),
                None => command.arg(word),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    pub fn livr(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Starts it again and again, and kills it at moments that chance decides, `kills` times; then lets it end.
    fn livr_killed(&self, words: &[&str], kills: u64, whole: Duration) {
        let mut killed = 0;
        for i in 0..kills {
            let mut child = self.command(words).spawn().unwrap();
            let share: f64 = stream(11, &[i]).random();
            // Each goes on where the one before it was: few of the moments may lie near the end.
            std::thread::sleep(whole.mul_f64(0.5 * share));
            killed += usize::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(killed * 6 > kills as usize, "only {killed} of {kills} were killed before their end");
        self.livr(words);
    }

    /// Where no file can be longer than so many blocks of 512 bytes.
    #[cfg(unix)]
    fn livr_without_room(&self, words: &[&str], blocks: u32) -> Output {
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_livr")]);
        self.words(&mut command, words);
        command.output().unwrap()
    }
}

/// Every file of a folder, by its path there.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            all.extend(files(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            all.push((name, std::fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

fn assert_same(ours: &Path, expected: &Path) {
    let (ours, expected) = (files(ours), files(expected));
    let names = |all: &[(String, Vec<u8>)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&expected));
    for ((name, ours), (_, expected)) in ours.iter().zip(&expected) {
        assert!(ours == expected, "{name} differs");
    }
}

const EVAL: [&str; 10] = [
    "eval",
    "--model",
    "@model",
    "--adapter",
    "@adapter",
    "--data",
    "@data/train.jsonl",
    "--mask",
    "bottleneck",
    "--out",
];

#[test]
fn an_evaluation_is_the_same_however_it_was_made() {
    let place = Place::new();
    let with = |rest: &[&'static str]| [&EVAL[..], rest].concat();
    let started = Instant::now();
    place.livr(&with(&["@one.json"]));
    let whole = started.elapsed();
    let one = std::fs::read(place.path("one.json")).unwrap();
    let same = |name: &str| assert!(std::fs::read(place.path(name)).unwrap() == one, "{name} differs");

    place.livr_killed(&with(&["@killed.json", "--batch", "2"]), 30, whole);
    same("killed.json");
    assert!(!place.path("killed.json.partial").exists());

    #[cfg(unix)]
    {
        let words = with(&["@full.json"]);
        let failed = place.livr_without_room(&words, 3);
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(1), "{said}");
        assert!(said.contains("cannot keep the results") && said.contains("full.json"), "{said}");
        place.livr(&words);
        same("full.json");
    }

    let elsewhere = place.copied();
    std::fs::rename(elsewhere.path("model"), elsewhere.path("another-name")).unwrap();
    let words: Vec<&str> = with(&["@2.json", "--shard", "2/3"]);
    let words: Vec<&str> = words.iter().map(|w| if *w == "@model" { "@another-name" } else { w }).collect();
    elsewhere.livr(&words);
    place.livr(&with(&["@1.json", "--shard", "1/3", "--batch", "1"]));
    place.livr_killed(&with(&["@3.json", "--shard", "3/3"]), 3, whole);
    let second = elsewhere.path("2.json").display().to_string();
    place.livr(&["study", "collect", "@3.json", &second, "@1.json", "--out", "@whole.json"]);
    same("whole.json");

    for (parts, said) in [
        (&["@1.json", "@3.json"][..], "each of 1/3 to 3/3 once, found 2/3 nowhere"),
        (&["@1.json", "@1.json", "@3.json"], "each of 1/3 to 3/3 once, found 1/3 twice"),
        (&["@one.json"], "share: expected a share of the samples"),
        (&["@study.toml"], "no result of an evaluation"),
    ] {
        let words = [&["study", "collect", "--out", "@no.json"], parts].concat();
        let output = place.command(&words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && text.contains(said), "{text}");
        assert!(!place.path("no.json").exists());
    }
    // Of another condition.
    place.livr(&[&with(&["@other.json", "--shard", "2/3"])[..], &["--latents", "off"]].concat());
    let words = ["study", "collect", "@1.json", "@other.json", "@3.json", "--out", "@no.json"];
    let output = place.command(&words).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("settings: expected that of") && text.contains("another: the latents"), "{text}");
}

#[test]
fn a_result_is_taken_up_and_nothing_else_is_written_over() {
    let place = Place::new();
    let with = |rest: &[&'static str]| [&EVAL[..], rest].concat();
    place.livr(&with(&["@one.json", "--limit", "3"]));
    let one = std::fs::read(place.path("one.json")).unwrap();
    let again = place.livr(&with(&["@one.json", "--limit", "3"]));
    assert!(String::from_utf8_lossy(&again.stderr).contains("this is there already"));
    assert!(std::fs::read(place.path("one.json")).unwrap() == one);
    // What was changed by hand is asked anew, and another run replaces it.
    let text = String::from_utf8(one.clone()).unwrap().replacen("\"correct\": false", "\"correct\": true", 1);
    std::fs::write(place.path("one.json"), text).unwrap();
    place.livr(&with(&["@one.json", "--limit", "3"]));
    assert!(std::fs::read(place.path("one.json")).unwrap() == one);
    place.livr(&with(&["@one.json", "--limit", "2"]));

    let refused = |words: &[&str], said: &str| {
        let output = place.command(words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && text.contains(said), "{words:?}: {text}");
    };
    std::fs::write(place.path("notes.txt"), "mine").unwrap();
    refused(&with(&["@notes.txt"]), "found something else");
    place.livr(&with(&["@share.json", "--shard", "1/2"]));
    let aside = place.livr(&with(&["@share.json", "--shard", "2/2"]));
    assert!(String::from_utf8_lossy(&aside.stderr).contains("the result of share 1/2 is now in"));
    place.livr(&["study", "collect", "@share.json", "@share.1-of-2.json", "--out", "@both.json"]);
    std::fs::copy(place.path("share.json"), place.path("second.json")).unwrap();
    let data = std::fs::read(place.path("data/train.jsonl")).unwrap();
    let collect = ["study", "collect", "@share.1-of-2.json", "@second.json", "--out"];
    refused(&[&collect[..], &["@data/train.jsonl"]].concat(), "found something else");
    assert!(std::fs::read(place.path("data/train.jsonl")).unwrap() == data);

    // More shares than samples: some have none, and they come together all the same.
    for (out, share) in [("@a.json", "1/3"), ("@b.json", "2/3"), ("@c.json", "3/3")] {
        place.livr(&with(&[out, "--limit", "2", "--shard", share]));
    }
    place.livr(&["study", "collect", "@a.json", "@b.json", "@c.json", "--out", "@three.json"]);
    place.livr(&with(&["@two.json", "--limit", "2"]));
    assert!(
        std::fs::read(place.path("three.json")).unwrap() == std::fs::read(place.path("two.json")).unwrap()
    );
    // A sample that stands twice, or is gone.
    let part: Value = serde_json::from_slice(&std::fs::read(place.path("a.json")).unwrap()).unwrap();
    for predictions in [vec![], vec![part["predictions"][0].clone(); 2]] {
        let mut damaged = part.clone();
        damaged["predictions"] = predictions.into();
        std::fs::write(place.path("d.json"), damaged.to_string()).unwrap();
        refused(
            &["study", "collect", "@d.json", "@b.json", "@c.json", "--out", "@no.json"],
            "predictions: expected 1",
        );
    }
    refused(&["study", "collect", "@nowhere.json", "--out", "@no.json"], "found nothing");
    refused(&["study", "collect", "@a.json", "@data", "--out", "@no.json"], "a file among folders");
}

#[test]
fn shares_that_do_not_make_a_whole_are_refused() {
    let place = Place::new();
    let run =
        |share: &str, out: &str| place.livr(&["study", "run", "@study.toml", "--shard", share, "--out", out]);
    run("1/2", "@a");
    run("2/2", "@b");
    let refused = |parts: &[&str], said: &str| {
        let words = [&["study", "collect"], parts, &["--out", "@no"]].concat();
        let output = place.command(&words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && text.contains(said), "{parts:?}: {text}");
        assert!(!place.path("no").exists(), "{text}");
    };
    refused(&["@a"], "each of 1/2 to 2/2 once, found 2/2 nowhere");
    refused(&["@a", "@b", "@b"], "found 2/2 twice");
    refused(&["@a", "@data"], "a share of a study");
    let cell = place.path("b/cells/way-2-normal.2-of-2.json");
    let text = std::fs::read_to_string(&cell).unwrap();
    std::fs::remove_file(&cell).unwrap();
    refused(&["@a", "@b"], "all its cells, way/2 under normal too");
    std::fs::write(&cell, &text[..text.len() / 2]).unwrap();
    refused(&["@a", "@b"], "all its cells, way/2 under normal too");
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["predictions"].as_array_mut().unwrap().pop();
    std::fs::write(&cell, value.to_string()).unwrap();
    refused(&["@a", "@b"], "predictions: expected 5, found 4");
    // Gone on with, it is whole.
    let again = run("2/2", "@b");
    assert!(String::from_utf8_lossy(&again.stderr).contains("of other samples, and asked anew"));
    assert_eq!(std::fs::read_to_string(&cell).unwrap(), text);
    // Of another study.
    std::fs::write(place.path("study.toml"), STUDY.replace("    \"noise=0.1\",\n", "")).unwrap();
    run("2/2", "@c");
    refused(&["@a", "@c"], "those of another study");
    // What a cell says beside its answers comes from its answers.
    value = serde_json::from_str(&text).unwrap();
    value["all"]["accuracy"] = 0.123.into();
    std::fs::write(&cell, value.to_string()).unwrap();
    std::fs::write(place.path("study.toml"), STUDY).unwrap();
    run("2/2", "@b");
    assert_eq!(std::fs::read_to_string(&cell).unwrap(), text);
}

#[test]
fn a_study_is_the_same_however_it_was_made() {
    let place = Place::new();
    let started = Instant::now();
    place.livr(&["study", "run", "@study.toml", "--out", "@one"]);
    let whole = started.elapsed();
    let cell = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(place.path(&format!("one/cells/{name}.json"))).unwrap())
            .unwrap()
    };
    assert_eq!(cell("way-1-late")["predictions"].as_array().unwrap().len(), 10);
    assert_eq!(cell("way-1-late")["condition"]["edits"][1]["do"], "allow");
    assert_ne!(cell("way-1-late")["latent_mass"], cell("way-1-normal")["latent_mass"]);

    place.livr_killed(&["study", "run", "@study.toml", "--out", "@killed"], 12, whole);
    assert_same(&place.path("killed"), &place.path("one"));

    let elsewhere = place.copied();
    place.livr(&["study", "run", "@study.toml", "--shard", "1/2", "--out", "@share"]);
    elsewhere.livr(&["study", "run", "@study.toml", "--shard", "2/2", "--out", "@share"]);
    let second = elsewhere.path("share").display().to_string();
    place.livr(&["study", "collect", &second, "@share", "--out", "@whole"]);
    assert_same(&place.path("whole"), &place.path("one"));

    // Both shares in one folder, as on a cluster.
    for share in ["1/2", "2/2"] {
        place.livr(&["study", "run", "@study.toml", "--shard", share, "--out", "@both"]);
    }
    place.livr(&["study", "collect", "@both", "--out", "@together"]);
    assert_same(&place.path("together"), &place.path("one"));

    let planned = place.livr(&["study", "plan", "@study.toml", "--json"]);
    let planned: Value = serde_json::from_slice(&planned.stdout).unwrap();
    assert_eq!((planned["samples"].as_u64(), planned["runs"].as_u64()), (Some(10), Some(100)));
    assert_eq!(planned["conditions"][2], "mask=bottleneck 'do=block readers->latents @1-'");
    assert_eq!(planned["left_out"].as_array().map(Vec::len), Some(0));
}

#[test]
fn states_in_shares_are_those_of_one_run() {
    let place = Place::new();
    let words = |out: &'static str, rest: &[&'static str]| {
        let all = [
            "project",
            "--model",
            "@model",
            "--adapter",
            "@adapter",
            "--data",
            "@data/train.jsonl",
            "--role",
            "latent",
            "--perplexity",
            "5",
            "--iterations",
            "20",
            "--out",
            out,
        ];
        [&all[..], rest].concat()
    };
    place.livr(&words("@one.safetensors", &[]));
    for (out, share) in [("@a.safetensors", "1/2"), ("@b.safetensors", "2/2")] {
        place.livr(&words(out, &["--shard", share]));
    }
    place.livr(&["study", "collect", "@b.states", "@a.states", "--out", "@whole.states"]);
    assert_same(&place.path("whole.states"), &place.path("one.states"));

    // A line that was taken out would shift all behind it.
    let samples = place.path("one.states/samples.jsonl");
    let text = std::fs::read_to_string(&samples).unwrap();
    let short: Vec<&str> = text.lines().enumerate().filter(|(i, _)| *i != 3).map(|(_, line)| line).collect();
    std::fs::write(&samples, short.join("\n") + "\n").unwrap();
    let output = place.command(&words("@one.safetensors", &[])).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("where the one before it ends"));
}
