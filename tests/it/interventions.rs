//! Who looks at whom, changed by statements: what the reference computes under the same changes, on the prompt, at every step
//! of the answer and on every choice.

use std::path::PathBuf;
use std::sync::Arc;

use livr_explorer::ask::{
    AttentionRows, Condition, Decoding, Edit, HiddenRows, Keep, LatentChoice, LogitRows, TokenGroup,
};
use livr_explorer::data::picture::Picture;
use livr_explorer::data::sample::Sample;
use livr_explorer::export::recording_file;
use livr_explorer::progress::Unobserved;
use livr_explorer::trace::Trace;
use livr_explorer::units::Role;
use serde_json::Value;

use crate::common::{Asking, Golden, Loaded, fixture, load, relative_error};

const FAMILIES: [&str; 2] = ["qwen2_5_vl", "qwen3_vl"];

struct Cases {
    folder: PathBuf,
    file: Value,
}

impl Cases {
    fn of(family: &str) -> Self {
        let folder = fixture("interventions").join(family);
        let text = std::fs::read_to_string(folder.join("cases.json")).unwrap();
        Self { file: serde_json::from_str(&text).unwrap(), folder }
    }

    fn list(&self, name: &str) -> &[Value] {
        self.file[name].as_array().unwrap()
    }

    /// A path of the file: beside it, or among the fixtures of other tests.
    fn place(&self, path: &str) -> PathBuf {
        let Some(name) = path.strip_prefix("../../") else { return self.folder.join(path) };
        let own = fixture("interventions").join(name);
        if own.exists() { own } else { fixture(name) }
    }

    fn asked(&self, case: &Value) -> (Sample, Condition) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let image = |path: &Value| Arc::new(Picture::read(&self.place(path.as_str().unwrap())).unwrap());
        let sample = Sample {
            images: case["images"].as_array().unwrap().iter().map(image).collect(),
            prompt: text(&case["prompt"]),
            choices: self.list("choices").iter().map(text).collect(),
        };
        let edit = |statement: &Value| statement.as_str().unwrap().parse::<Edit>().unwrap();
        let donor = case["donor"].as_str().or(case["params"].as_str());
        let condition = Condition {
            mask: text(&case["mask"]).parse().unwrap(),
            latents: LatentChoice::Count(case["latents"].as_u64().unwrap() as usize),
            decoding: Decoding { max_new_tokens: 4, ..Decoding::default() },
            edits: case["do"].as_array().unwrap().iter().map(edit).collect(),
            donor: donor.map(|path| self.folder.join(path)),
            ..Condition::default()
        };
        (sample, condition)
    }

    fn run(&self, loaded: &mut Loaded, case: &Value) -> Trace {
        let (sample, condition) = self.asked(case);
        loaded.run(&sample, &Asking { condition, keep: kept() }, &Unobserved).unwrap()
    }
}

/// What the reference has recorded of each run.
fn kept() -> Keep {
    Keep {
        attention: AttentionRows::LatentsAndAnswer,
        logits: LogitRows::Answer,
        hidden: Some(HiddenRows::all()),
        pixels: true,
        ..Keep::default()
    }
}

fn close(ours: &[f32], reference: &[f32], what: &str) {
    if reference.iter().all(|value| *value == 0.0) {
        return assert!(ours.iter().all(|value| *value == 0.0), "{what} is not 0");
    }
    let error = relative_error(ours, reference);
    assert!(error < 1e-4, "{what} is off by {error:e}");
}

/// What an equal run has equal to the bit.
fn bits(trace: &Trace) -> Vec<u32> {
    let choices = trace.choices.iter().map(|choice| choice.logprob);
    let rows = trace.latent_attentions.iter().flat_map(|rows| rows.data().iter().copied());
    let scores = trace.generated_logits.as_ref().unwrap().data().iter().copied();
    choices.chain(rows).chain(scores).map(f32::to_bits).collect()
}

/// Final states from the first latent on, states where they are replaced, and what the tower read.
fn states_are_those(trace: &Trace, golden: &Golden, name: &str) {
    let hidden = &trace.hidden_states.as_ref().unwrap().values;
    let [layers, tokens, width] = hidden.shape()[..] else { panic!("states have three axes") };
    let first = trace.positions_of(Role::Latent).next().unwrap_or(tokens - 1);
    let last = &hidden.at(&[layers - 1])[first * width..];
    close(last, &golden.floats("final_states"), &format!("{name}: final states"));
    if golden.has("site_states") {
        let (sites, at) = (golden.integers("site_index"), golden.integers("site_tokens"));
        let own: Vec<f32> = sites
            .iter()
            .flat_map(|site| {
                at.iter().flat_map(move |token| hidden.at(&[*site as usize, *token as usize])).copied()
            })
            .collect();
        close(&own, &golden.floats("site_states"), &format!("{name}: states at their sites"));
    }
}

#[test]
fn every_intervention_is_that_of_the_reference() {
    for family in FAMILIES {
        let cases = Cases::of(family);
        let mut loaded = load(&cases.place(&format!("../../{family}/model")), None).unwrap();
        for case in cases.list("cases") {
            let name = format!("{family} {}", case["name"].as_str().unwrap());
            loaded.set_adapter(Some(&cases.place(case["adapter"].as_str().unwrap()))).unwrap();
            let trace = cases.run(&mut loaded, case);
            let golden = Golden::read(&cases.folder.join(case["golden"].as_str().unwrap()));
            let ids: Vec<i64> = trace.input_ids.iter().map(|id| i64::from(*id)).collect();
            assert_eq!(ids, golden.integers("input_ids"), "{name}");
            close(
                trace.logits.as_ref().unwrap().data(),
                &golden.floats("logits"),
                &format!("{name}: logits"),
            );
            let choices: Vec<f32> = trace.choices.iter().map(|choice| choice.logprob).collect();
            close(&choices, &golden.floats("choice_logprobs"), &format!("{name}: choices"));
            if let Some(rows) = &trace.latent_attentions {
                close(rows.data(), &golden.floats("latent_attentions"), &format!("{name}: rows of latents"));
            }
            let positions: Vec<i64> =
                (0..3).flat_map(|axis| trace.positions.iter().map(move |own| own[axis])).collect();
            assert_eq!(positions, golden.integers("position_ids"), "{name}");
            states_are_those(&trace, &golden, &name);
            let before = trace.answer_attentions.as_ref().unwrap().before().unwrap();
            close(
                before.data(),
                &golden.floats("last_attentions"),
                &format!("{name}: row of the last token"),
            );
            let sure = case["sure_ids"].as_u64().unwrap() as usize;
            let said: Vec<i64> = trace.generated.iter().take(sure).map(|token| i64::from(token.id)).collect();
            assert_eq!(said, golden.integers("generated_ids")[..said.len()], "{name}");
            let vocab = golden.shape("generated_logits")[1];
            let count = sure.min(trace.generated.len()) * vocab;
            let scores = trace.generated_logits.as_ref().unwrap().data();
            close(&scores[..count], &golden.floats("generated_logits")[..count], &format!("{name}: answer"));
            let changed: Vec<u64> = trace.interventions.iter().map(|own| own.changed as u64).collect();
            let expected: Vec<u64> =
                case["changed"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
            assert_eq!(changed, expected, "{name}");
            if let Some(same) = case["same_as"].as_str().filter(|_| case["bits"].as_bool().unwrap()) {
                let other = cases.list("cases").iter().find(|own| own["name"] == same).unwrap();
                assert!(bits(&trace) == bits(&cases.run(&mut loaded, other)), "{name}: a bit differs");
            }
        }
    }
}

#[test]
fn every_statement_is_read_and_written_as_its_definition_has_it() {
    for family in FAMILIES {
        for statement in Cases::of(family).list("statements") {
            let text = statement["do"].as_str().unwrap();
            let edit: Edit = text.parse().unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert_eq!(edit.to_string(), text);
            assert_eq!(serde_json::to_value(&edit).unwrap(), statement["json"], "{text}");
            assert_eq!(serde_json::from_value::<Edit>(statement["json"].clone()).unwrap(), edit, "{text}");
        }
    }
}

#[test]
fn what_has_no_meaning_is_refused_by_name() {
    for family in FAMILIES {
        let cases = Cases::of(family);
        let mut loaded = load(&cases.place(&format!("../../{family}/model")), None).unwrap();
        for case in cases.list("refused") {
            let statements: Vec<&str> =
                case["do"].as_array().unwrap().iter().map(|own| own.as_str().unwrap()).collect();
            loaded.set_adapter(Some(&cases.place(case["adapter"].as_str().unwrap()))).unwrap();
            let unread = statements.iter().find_map(|text| text.parse::<Edit>().err());
            let problem = unread.unwrap_or_else(|| {
                let (sample, condition) = cases.asked(case);
                let asking = Asking { condition, keep: kept() };
                loaded.run(&sample, &asking, &Unobserved).unwrap_err().to_string()
            });
            // It says what there is in its place.
            let said = [
                "expected",
                "there are",
                "this run",
                "wants",
                "keeps",
                "are of",
                "cannot be",
                "read by",
                "twice",
                "at a time",
                "tokens there",
                "no keys",
                "that there is",
            ];
            assert!(said.iter().any(|own| problem.contains(own)), "{statements:?}: {problem}");
            assert!(!problem.contains('\n'), "{statements:?}: {problem}");
        }
    }
}

/// A run with everything recorded, written and given back to the same run as a donor.
#[test]
fn own_recordings_change_no_bit() {
    let place = tempfile::tempdir().unwrap();
    for family in FAMILIES {
        let cases = Cases::of(family);
        let mut loaded = load(&cases.place(&format!("../../{family}/model")), None).unwrap();
        for sample in ["base", "two"] {
            let case = cases.list("cases").iter().find(|case| case["name"] == sample).unwrap();
            loaded.set_adapter(Some(&cases.place(case["adapter"].as_str().unwrap()))).unwrap();
            let (sample, condition) = cases.asked(case);
            let keep = Keep { recording: Some(TokenGroup::All.into()), ..kept() };
            let asking = Asking { condition: condition.clone(), keep };
            let own = loaded.run(&sample, &asking, &Unobserved).unwrap();
            let path = place.path().join(format!("{family}.safetensors"));
            let recording = own.recording.as_ref().unwrap();
            recording_file::write(recording, "{}", &path).unwrap();
            if case["name"] == "base" {
                let reference = Golden::read(&cases.folder.join("donors/one.safetensors"));
                for (name, own) in [
                    ("embedding", &recording.embedding),
                    ("norm", &recording.norm),
                    ("after", &recording.after),
                    ("into", &recording.into),
                    ("keys", &recording.keys),
                    ("values", &recording.values),
                    ("heads", &recording.heads),
                ] {
                    assert_eq!(own.shape(), reference.shape(name), "{family} {name}");
                    close(own.data(), &reference.floats(name), &format!("{family}: recorded {name}"));
                }
            }
            for statements in [
                &["latents=donor@embedding.."][..],
                &["prompt+image+latents=donor@after-0"],
                &["image=donor@into-1.."],
                &["latents=cache"],
                &["latents[1,3]=cache@1-"],
                &["image=cache"],
                &["path latents: after-0 -> head 2.3 v = donor"],
                &["path image+latents: head 0.2 -> head 2.1 k for readers = donor"],
                &["path last: head 1.0 -> logits = donor"],
                &["path last: head 0.2 -> head 2.1 q = self", "head 1.2 x 1", "latents=self@norm"],
            ] {
                let edits = statements.iter().map(|text| text.parse().unwrap()).collect();
                let condition = Condition { edits, donor: Some(path.clone()), ..condition.clone() };
                let trace = loaded.run(&sample, &Asking { condition, keep: kept() }, &Unobserved).unwrap();
                assert!(bits(&trace) == bits(&own), "{family} {statements:?}: a bit differs");
                assert!(trace.interventions.iter().all(|own| own.changed == 0), "{:?}", trace.interventions);
            }
        }
    }
}

/// Every statement there is, done with what was there.
#[test]
fn the_sham_of_every_statement_changes_no_bit() {
    for family in FAMILIES {
        let cases = Cases::of(family);
        let mut loaded = load(&cases.place(&format!("../../{family}/model")), None).unwrap();
        for case in cases.list("cases").iter().filter(|case| !case["do"].as_array().unwrap().is_empty()) {
            loaded.set_adapter(Some(&cases.place(case["adapter"].as_str().unwrap()))).unwrap();
            let (sample, condition) = cases.asked(case);
            let mut said = |condition: Condition| {
                loaded.run(&sample, &Asking { condition, keep: kept() }, &Unobserved).unwrap()
            };
            let base = said(condition.clone().unedited());
            let sham = said(Condition { sham: true, ..condition });
            assert!(bits(&base) == bits(&sham), "{family} {}", case["name"]);
            assert!(sham.interventions.iter().all(|own| own.changed == 0), "{:?}", sham.interventions);
        }
    }
}

/// The cheapest cross-check there is: all latents exchanged are all latents held, for whoever reads them.
#[test]
fn exchanged_latents_are_latents_that_are_held() {
    for family in FAMILIES {
        let cases = Cases::of(family);
        let mut loaded = load(&cases.place(&format!("../../{family}/model")), None).unwrap();
        let case = cases.list("cases").iter().find(|case| case["name"] == "cache-shifted").unwrap();
        loaded.set_adapter(Some(&cases.place(case["adapter"].as_str().unwrap()))).unwrap();
        let (sample, condition) = cases.asked(case);
        let mut said = |statement: &str| {
            let edits = vec![statement.parse().unwrap()];
            let asking = Asking { condition: Condition { edits, ..condition.clone() }, keep: kept() };
            loaded.run(&sample, &asking, &Unobserved).unwrap()
        };
        let (exchanged, held) = (said("latents=cache"), said("latents=donor@embedding.."));
        let scores = |trace: &Trace| trace.choices.iter().map(|choice| choice.logprob).collect::<Vec<_>>();
        close(&scores(&exchanged), &scores(&held), "choices");
        let logits = |trace: &Trace| trace.logits.as_ref().unwrap().data().to_vec();
        close(&logits(&exchanged), &logits(&held), "logits");
    }
}

/// Noise of a seed is the same again, another seed's is another; what a site is given is said by its count.
#[test]
fn noise_of_a_seed_is_the_same_again() {
    let cases = Cases::of("qwen3_vl");
    let mut loaded = load(&cases.place("../../qwen3_vl/model"), None).unwrap();
    let case = cases.list("cases").iter().find(|case| case["name"] == "base").unwrap();
    loaded.set_adapter(Some(&cases.place(case["adapter"].as_str().unwrap()))).unwrap();
    let (sample, condition) = cases.asked(case);
    let mut said = |statement: &str| {
        let edits = vec![statement.parse().unwrap()];
        let asking = Asking { condition: Condition { edits, ..condition.clone() }, keep: kept() };
        loaded.run(&sample, &asking, &Unobserved).unwrap()
    };
    for value in ["normal:seed=7", "same-dist:seed=7", "norm-matched:seed=7", "jitter:0.5,seed=7"] {
        let statement = format!("latents={value}@after-0..");
        let (a, b) = (said(&statement), said(&statement));
        assert!(bits(&a) == bits(&b), "{statement}");
        assert_eq!(a.interventions[0].changed, 12, "{statement}");
        assert!(a.interventions[0].moved.unwrap() > 0.0);
        let other = said(&statement.replace("seed=7", "seed=8"));
        assert!(bits(&a) != bits(&other), "{statement}");
    }
}
