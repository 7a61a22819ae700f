//! Captured rows: equal to the full matrix, zero where blocked, one in sum; both kinds of operations agree.

use livr_explorer::analysis::maps::aggregated_row;

use livr_explorer::analysis::query::{Query, Selection};
use livr_explorer::array::Array;
use livr_explorer::ask::{AttentionRows, HiddenLayers, HiddenRows, Keep, MaskKind};
use livr_explorer::model::compute::{Blocks, Compute};
use livr_explorer::ops::isa::Isa;
use livr_explorer::progress::Unobserved;
use livr_explorer::trace::Trace;
use livr_explorer::units::{HeadIdx, LayerIdx, Role};

use crate::common::{Case, Loaded, everything, last_logits, load, logits, relative_error};

fn rows_only() -> Keep {
    Keep { attention: AttentionRows::LatentsAndAnswer, ..logits() }
}

fn session(fixture: &str) -> Loaded {
    let dir = crate::common::fixture(fixture);
    load(&dir.join("model"), Some(&dir.join("adapter"))).unwrap()
}

#[test]
fn captured_rows_are_those_of_the_full_matrix() {
    for fixture in ["qwen2_5_vl", "qwen3_vl"] {
        let mut session = session(fixture);
        let case = Case::named(fixture, "bottleneck");
        let full = session.run(&case.sample(), &case.settings(everything()), &Unobserved).unwrap();
        let rows = session.run(&case.sample(), &case.settings(rows_only()), &Unobserved).unwrap();
        assert!(rows.attentions.is_none() && rows.hidden_states.is_none());
        let (all, ours) = (full.attentions.as_ref().unwrap(), rows.latent_attentions.as_ref().unwrap());
        assert_eq!(full.latent_attentions.as_ref().unwrap(), ours);
        let latents: Vec<usize> = rows.positions_of(Role::Latent).collect();
        for layer in 0..ours.shape()[0] {
            for head in 0..ours.shape()[1] {
                for (k, position) in latents.iter().enumerate() {
                    assert_eq!(ours.at(&[layer, head, k]), all.at(&[layer, head, *position]));
                }
            }
        }
        assert_eq!(full.answer_attentions, rows.answer_attentions);
        // An answer's token is said from the position before it, the first from the last of the prompt.
        let (layer, head) = (LayerIdx(1), HeadIdx(2));
        let last = rows.roles.len() - 1;
        assert_eq!(rows.saying_row(layer, head, 0), Some(all.at(&[1, 2, last])));
        assert_eq!(rows.saying_row(layer, head, 1), rows.answer_row(layer, head, 0));
        let map = aggregated_row(&rows, Query::Answer(0), Selection::default()).unwrap();
        let mean =
            (0..ours.shape()[0]).flat_map(|l| (0..ours.shape()[1]).map(move |h| all.at(&[l, h, last])[0]));
        let mean = mean.sum::<f32>() / (ours.shape()[0] * ours.shape()[1]) as f32;
        assert!((map[0] - mean).abs() < 1e-6);
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
            let mut settings = case.settings(everything());
            settings.mask = mask;
            let trace = session.run(&case.sample(), &settings, &Unobserved).unwrap();
            let answer = trace.answer_attentions.as_ref().unwrap().to_array();
            let kept = [trace.attentions.as_ref(), trace.latent_attentions.as_ref(), Some(&answer)];
            for row in kept.into_iter().flatten().flat_map(Array::rows) {
                let sum: f32 = row.iter().sum();
                assert!((sum - 1.0).abs() < 1e-5, "{mask:?}: a row sums to {sum}");
            }
            check_blocked(&trace, mask);
        }
    }
}

fn check_blocked(trace: &Trace, mask: MaskKind) {
    let all = trace.attentions.as_ref().unwrap();
    let (layers, heads, n) = (all.shape()[0], all.shape()[1], all.shape()[2]);
    let rule = mask.rule();
    let mut roles = trace.roles.clone();
    roles.extend(vec![Role::Answer; trace.generated.len()]);
    let check = |row: &[f32], query: usize| {
        for (key, p) in row.iter().enumerate() {
            if key > query || !rule.allows(roles[query], roles[key]) {
                assert_eq!(*p, 0.0, "{mask:?}: query {query} looks at {key}");
            } else {
                assert!(*p > 0.0, "{mask:?}: query {query} does not look at {key}");
            }
        }
    };
    let answers = trace.answer_attentions.as_ref().unwrap().to_array();
    for layer in 0..layers {
        for head in 0..heads {
            (0..n).for_each(|query| check(all.at(&[layer, head, query]), query));
            (0..answers.shape()[2]).for_each(|g| check(answers.at(&[layer, head, g]), n + g));
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_run() {
    for fixture in ["qwen2_5_vl", "qwen3_vl"] {
        let mut session = session(fixture);
        let case = Case::named(fixture, "bottleneck");
        let settings = case.settings(everything());
        let mut run = |isa| {
            let compute = Compute { isa, ..Compute::default() };
            session.run_with(&case.sample(), &settings, &compute).unwrap()
        };
        let least = run(Isa::Baseline);
        for isa in Isa::available() {
            let other = run(isa);
            let pairs = [
                (least.logits.as_ref().unwrap(), other.logits.as_ref().unwrap()),
                (
                    &least.hidden_states.as_ref().unwrap().values,
                    &other.hidden_states.as_ref().unwrap().values,
                ),
                (least.attentions.as_ref().unwrap(), other.attentions.as_ref().unwrap()),
            ];
            for (a, b) in pairs {
                assert!(relative_error(a.data(), b.data()) < 1e-5, "{isa:?}");
            }
            assert_eq!(
                least.generated.iter().map(|t| t.id).collect::<Vec<_>>(),
                other.generated.iter().map(|t| t.id).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn a_run_cut_into_small_pieces_is_the_same_run() {
    for fixture in ["qwen2_5_vl", "qwen3_vl"] {
        let mut session = session(fixture);
        let case = Case::named(fixture, "bottleneck");
        let settings = case.settings(everything());
        let mut run = |size| {
            let blocks = Blocks { queries: size, rows: size };
            let compute = Compute { blocks, ..Compute::default() };
            session.run_with(&case.sample(), &settings, &compute).unwrap()
        };
        let whole = run(None);
        for size in [1, 7] {
            // Features of the images are kept between runs: other pieces must not find them.
            let pieces = run(Some(size));
            let rows = |trace: &Trace| trace.attentions.clone().unwrap();
            assert_eq!(rows(&whole).shape(), rows(&pieces).shape());
            assert!(relative_error(rows(&pieces).data(), rows(&whole).data()) < 1e-5, "pieces of {size}");
            assert!(relative_error(last_logits(&pieces), last_logits(&whole)) < 1e-5, "pieces of {size}");
        }
    }
}

#[test]
fn hidden_states_are_kept_of_the_layers_and_roles_asked_for() {
    let mut session = session("qwen3_vl");
    let case = Case::named("qwen3_vl", "bottleneck");
    let all = session.run(&case.sample(), &case.settings(everything()), &Unobserved).unwrap();
    let all = all.hidden_states.unwrap();
    let wanted =
        HiddenRows { layers: HiddenLayers::Only(vec![0, 2, 3]), roles: vec![Role::Latent, Role::Image] };
    let capture = Keep { hidden: Some(wanted), ..Keep::default() };
    let some = session.run(&case.sample(), &case.settings(capture), &Unobserved).unwrap();
    assert!(some.logits.is_none() && some.pixel_values.is_none() && some.generated_logits.is_none());
    assert!(some.answer_attentions.is_none() && some.latent_attentions.is_none());
    let (roles, some) = (some.roles.clone(), some.hidden_states.unwrap());
    assert_eq!(some.layers, [0, 2, 3]);
    let tokens: Vec<usize> =
        (0..roles.len()).filter(|i| matches!(roles[*i], Role::Latent | Role::Image)).collect();
    assert_eq!(some.tokens, tokens);
    for (l, layer) in some.layers.iter().enumerate() {
        for (t, token) in some.tokens.iter().enumerate() {
            assert_eq!(some.values.at(&[l, t]), all.values.at(&[*layer, *token]));
        }
    }
}

#[test]
fn choices_score_as_the_reference_scores_them() {
    // Log-probabilities of whole answers after the prompt, by one forward pass of the reference over both.
    for fixture in ["qwen2_5_vl", "qwen3_vl"] {
        let mut session = session(fixture);
        let case = Case::named(fixture, "latents");
        let recorded = case.value["choice_logprobs"].as_object().unwrap();
        assert!(recorded.len() >= 3);
        let mut sample = case.sample();
        sample.choices = recorded.keys().cloned().collect();
        let trace = session.run(&sample, &case.settings(rows_only()), &Unobserved).unwrap();
        let total: f32 = trace.choices.iter().map(|c| c.probability).sum();
        assert!((total - 1.0).abs() < 1e-5);
        for (scored, (choice, reference)) in trace.choices.iter().zip(recorded) {
            let reference = reference.as_f64().unwrap() as f32;
            assert_eq!(scored.choice, *choice);
            assert!(
                (scored.logprob - reference).abs() < 1e-4,
                "{choice}: {} is not {reference}",
                scored.logprob
            );
        }
    }
}

#[test]
fn sampling_repeats_under_its_seed() {
    let mut session = session("qwen3_vl");
    let case = Case::named("qwen3_vl", "latents");
    let mut settings = case.settings(rows_only());
    settings.decoding.temperature = 1.5;
    let mut ids = |seed| {
        settings.decoding.seed = seed;
        let trace = session.run(&case.sample(), &settings, &Unobserved).unwrap();
        trace.generated.iter().map(|t| t.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
}
