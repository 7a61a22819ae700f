//! Who looks at whom, changed by statements: what the reference computes under the same changes, on the prompt, at every step
//! of the answer and on every choice.

use std::path::PathBuf;
use std::sync::Arc;

use livr_explorer::ask::{AttentionRows, Condition, Decoding, Edit, Keep, LatentChoice, LogitRows};
use livr_explorer::data::picture::Picture;
use livr_explorer::data::sample::Sample;
use livr_explorer::progress::Unobserved;
use livr_explorer::trace::Trace;
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

    fn run(&self, loaded: &mut Loaded, case: &Value) -> Trace {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let image = |path: &Value| Arc::new(Picture::read(&self.place(path.as_str().unwrap())).unwrap());
        let sample = Sample {
            images: case["images"].as_array().unwrap().iter().map(image).collect(),
            prompt: text(&case["prompt"]),
            choices: self.list("choices").iter().map(text).collect(),
        };
        let edit = |statement: &Value| statement.as_str().unwrap().parse::<Edit>().unwrap();
        let condition = Condition {
            mask: text(&case["mask"]).parse().unwrap(),
            latents: LatentChoice::Count(case["latents"].as_u64().unwrap() as usize),
            decoding: Decoding { max_new_tokens: 4, ..Decoding::default() },
            edits: case["do"].as_array().unwrap().iter().map(edit).collect(),
            ..Condition::default()
        };
        let keep =
            Keep { attention: AttentionRows::LatentsAndAnswer, logits: LogitRows::Answer, ..Keep::default() };
        loaded.run(&sample, &Asking { condition, keep }, &Unobserved).unwrap()
    }
}

fn close(ours: &[f32], reference: &[f32], what: &str) {
    let error = relative_error(ours, reference);
    assert!(error < 1e-4, "{what} is off by {error:e}");
}

/// What an equal run has equal to the bit.
fn bits(trace: &Trace) -> Vec<u32> {
    let choices = trace.choices.iter().map(|choice| choice.logprob);
    let rows = trace.latent_attentions.as_ref().unwrap().data().iter().copied();
    let scores = trace.generated_logits.as_ref().unwrap().data().iter().copied();
    choices.chain(rows).chain(scores).map(f32::to_bits).collect()
}

#[test]
fn blocked_and_allowed_looks_are_those_of_the_reference() {
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
            let rows = trace.latent_attentions.as_ref().unwrap();
            close(rows.data(), &golden.floats("latent_attentions"), &format!("{name}: rows of latents"));
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
fn what_a_statement_cannot_do_is_said() {
    let mut loaded = load(&fixture("qwen3_vl/model"), Some(&fixture("qwen3_vl/adapter"))).unwrap();
    let cases = Cases::of("qwen3_vl");
    let base = cases.list("cases").iter().find(|case| case["name"] == "base").unwrap();
    for (statement, said) in [
        ("block latents->image @0-3", "layers 0-3: there are 3"),
        ("block latents[4]->image", "latents[4]: there are 4 of them"),
        ("block latents->image#1", "image#1: this run has none"),
        ("latents=zero@embedding", "expected a statement that blocks or allows looks"),
    ] {
        let condition = Condition { edits: vec![statement.parse().unwrap()], ..Condition::default() };
        let image = Picture::read(&fixture("qwen3_vl/images/0.png")).unwrap();
        let prompt = base["prompt"].as_str().unwrap().to_owned();
        let sample = Sample { images: vec![image.into()], prompt, choices: Vec::new() };
        let problem = loaded.run(&sample, &condition.into(), &Unobserved).unwrap_err().to_string();
        assert!(problem.contains(said), "{statement}: {problem}");
    }
}
