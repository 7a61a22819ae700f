//! Captured rows: equal to the full matrix, zero where blocked, one in sum; both kinds of operations agree.

use livr_explorer::engine::session::Session;
use livr_explorer::model::layers::Math;
use livr_explorer::progress::Unobserved;
use livr_explorer::settings::{Capture, MaskKind};
use livr_explorer::trace::{Array, Trace};
use livr_explorer::units::Role;

use crate::common::{Case, EVERYTHING, load, relative_error};

const ROWS: Capture = Capture { rows: true, full_attentions: false, full_hidden: false, full_logits: false };

fn session(fixture: &str) -> Session {
    let dir = crate::common::fixture(fixture);
    load(&dir.join("model"), Some(&dir.join("adapter"))).unwrap()
}

fn rows_of(array: &Array) -> impl Iterator<Item = &[f32]> {
    array.data.chunks(*array.shape.last().unwrap())
}

#[test]
fn captured_rows_are_those_of_the_full_matrix() {
    for fixture in ["qwen2_5_vl", "qwen3_vl"] {
        let mut session = session(fixture);
        let case = Case::named(fixture, "bottleneck");
        let full = session.run(&case.sample(), &case.settings(EVERYTHING), &Unobserved).unwrap();
        let rows = session.run(&case.sample(), &case.settings(ROWS), &Unobserved).unwrap();
        assert!(rows.attentions.is_none() && rows.hidden_states.is_none());
        let (all, ours) = (full.attentions.as_ref().unwrap(), rows.latent_attentions.as_ref().unwrap());
        assert_eq!(full.latent_attentions.as_ref().unwrap(), ours);
        let latents: Vec<usize> = rows.positions_of(Role::Latent).collect();
        for layer in 0..ours.shape[0] {
            for head in 0..ours.shape[1] {
                for (k, position) in latents.iter().enumerate() {
                    assert_eq!(ours.at(&[layer, head, k]), all.at(&[layer, head, *position]));
                }
            }
        }
        assert_eq!(full.answer_attentions, rows.answer_attentions);
        let ids = |trace: &Trace| trace.generated.iter().map(|t| t.id).collect::<Vec<_>>();
        assert_eq!(ids(&full), ids(&rows));
    }
}

#[test]
fn rows_sum_to_one_and_are_zero_where_blocked() {
    for fixture in ["qwen2_5_vl", "qwen3_vl"] {
        let mut session = session(fixture);
        let case = Case::named(fixture, "bottleneck");
        for mask in MaskKind::ALL {
            let mut settings = case.settings(EVERYTHING);
            settings.mask = mask;
            let trace = session.run(&case.sample(), &settings, &Unobserved).unwrap();
            for row in [&trace.attentions, &trace.latent_attentions, &trace.answer_attentions]
                .into_iter()
                .flatten()
                .flat_map(rows_of)
            {
                let sum: f32 = row.iter().sum();
                assert!((sum - 1.0).abs() < 1e-5, "{mask:?}: a row sums to {sum}");
            }
            check_blocked(&trace, mask);
        }
    }
}

fn check_blocked(trace: &Trace, mask: MaskKind) {
    let all = trace.attentions.as_ref().unwrap();
    let (layers, heads, n) = (all.shape[0], all.shape[1], all.shape[2]);
    let mut roles = trace.roles.clone();
    roles.extend(vec![Role::Answer; trace.generated.len()]);
    let check = |row: &[f32], query: usize| {
        for (key, p) in row.iter().enumerate() {
            if key > query || !mask.allows(roles[query], roles[key]) {
                assert_eq!(*p, 0.0, "{mask:?}: query {query} looks at {key}");
            } else {
                assert!(*p > 0.0, "{mask:?}: query {query} does not look at {key}");
            }
        }
    };
    let answers = trace.answer_attentions.as_ref().unwrap();
    for layer in 0..layers {
        for head in 0..heads {
            (0..n).for_each(|query| check(all.at(&[layer, head, query]), query));
            (0..answers.shape[2]).for_each(|g| check(answers.at(&[layer, head, g]), n + g));
        }
    }
}

#[test]
fn fused_and_differentiable_operations_agree() {
    for fixture in ["qwen2_5_vl", "qwen3_vl"] {
        let mut session = session(fixture);
        let case = Case::named(fixture, "bottleneck");
        let settings = case.settings(EVERYTHING);
        let fused = session.run_with(&case.sample(), &settings, Math::Fused, &Unobserved).unwrap();
        let plain = session.run_with(&case.sample(), &settings, Math::Differentiable, &Unobserved).unwrap();
        let pairs = [
            (&fused.logits, &plain.logits),
            (fused.hidden_states.as_ref().unwrap(), plain.hidden_states.as_ref().unwrap()),
            (fused.attentions.as_ref().unwrap(), plain.attentions.as_ref().unwrap()),
        ];
        for (a, b) in pairs {
            assert!(relative_error(&a.data, &b.data) < 1e-5);
        }
        assert_eq!(
            fused.generated.iter().map(|t| t.id).collect::<Vec<_>>(),
            plain.generated.iter().map(|t| t.id).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_choice_scores_as_the_tokens_it_is_made_of() {
    let mut session = session("qwen3_vl");
    let case = Case::named("qwen3_vl", "latents");
    let mut sample = case.sample();
    sample.choices = vec!["A".to_owned(), "the second image".to_owned()];
    let trace = session.run(&sample, &case.settings(ROWS), &Unobserved).unwrap();
    let total: f32 = trace.choices.iter().map(|c| c.probability).sum();
    assert!((total - 1.0).abs() < 1e-5);
    // A choice made of the tokens the model generates greedily scores what those tokens did.
    let text = session.processor().decode(&trace.generated.iter().map(|t| t.id).collect::<Vec<_>>());
    let ids = session.processor().encode(&text).unwrap();
    if ids == trace.generated.iter().map(|t| t.id).collect::<Vec<_>>() {
        sample.choices = vec![text];
        let again = session.run(&sample, &case.settings(ROWS), &Unobserved).unwrap();
        let generated: f32 = trace.generated.iter().map(|t| t.logprob).sum();
        assert!((again.choices[0].logprob - generated).abs() < 1e-3);
    }
    // One token: the distribution after the prompt.
    let id = session.processor().encode("A").unwrap();
    let logits = trace.logits.at(&[0]);
    let log_sum = logits.iter().map(|l| f64::from(*l).exp()).sum::<f64>().ln() as f32;
    assert!((trace.choices[0].logprob - (logits[id[0] as usize] - log_sum)).abs() < 1e-4);
}

#[test]
fn sampling_repeats_under_its_seed() {
    let mut session = session("qwen3_vl");
    let case = Case::named("qwen3_vl", "latents");
    let mut settings = case.settings(ROWS);
    settings.decoding.temperature = 1.5;
    let mut ids = |seed| {
        settings.decoding.seed = seed;
        let trace = session.run(&case.sample(), &settings, &Unobserved).unwrap();
        trace.generated.iter().map(|t| t.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
}
