//! Several samples in one pass give what each gives alone; images seen before give what they gave.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use livr_explorer::data::sample::Sample;
use livr_explorer::engine::features::SeenImages;
use livr_explorer::engine::ids::ModelId;
use livr_explorer::engine::models::Models;
use livr_explorer::error::Result;
use livr_explorer::model::compute::Compute;
use livr_explorer::progress::{Observer, Phase, Progress, Unobserved};
use livr_explorer::settings::{
    AttentionRows, Capture, Decoding, DtypeChoice, HiddenRows, LogitRows, MaskKind, Settings,
};
use livr_explorer::trace::Trace;

use crate::common::{Case, fixture, last_logits, logits, model_id, relative_error};

/// Samples of different lengths: two images, none, one, the same twice.
fn samples(family: &str) -> Vec<Sample> {
    let of = |case: &str| Case::named(family, case).sample();
    let mut with_choices = of("plain");
    with_choices.choices = vec!["A".to_owned(), "B C".to_owned()];
    vec![of("two"), Sample { images: Vec::new(), ..of("plain") }, with_choices, of("latents"), of("latents")]
}

#[test]
fn packed_samples_are_those_run_one_by_one() {
    for family in ["qwen2_5_vl", "qwen3_vl"] {
        let dir = fixture(family);
        let adapter = dir.join("adapter");
        let id = model_id(&dir.join("model"), Some(adapter.as_path()), DtypeChoice::F32);
        let mut models = Models::default();
        models.open(&id, &Unobserved).unwrap();
        let session = models.session(&id).unwrap();
        let samples = samples(family);
        for (mask, max_new_tokens) in [(MaskKind::Bottleneck, 6), (MaskKind::Standard, 1)] {
            let capture = Capture {
                attention: AttentionRows::LatentsAndAnswer,
                hidden: Some(HiddenRows::all()),
                logits: LogitRows::Full,
                pixels: true,
            };
            let decoding = Decoding { max_new_tokens, ..Decoding::default() };
            let settings = Settings { mask, decoding, capture, ..Settings::default() };
            let compute = Compute::default();
            let refs: Vec<&Sample> = samples.iter().collect();
            let together = session.run_many(&refs, &settings, None, &compute).unwrap();
            assert_eq!(together.len(), samples.len());
            for (sample, packed) in samples.iter().zip(&together) {
                let alone = session.run(sample, &settings, None, &compute).unwrap();
                compare(&alone, packed);
            }
            let few = session.run_many(&refs[1..2], &settings, None, &compute).unwrap();
            compare(&few[0], &together[1]);
        }
        assert!(session.run_many(&[], &Settings::default(), None, &Compute::default()).unwrap().is_empty());
        // What all of them keep is counted together.
        let refs: Vec<&Sample> = samples.iter().collect();
        let settings = Settings {
            capture: Capture { attention: AttentionRows::Full, ..Capture::default() },
            ..Settings::default()
        };
        let problem =
            session.run_many(&refs, &settings, Some(1 << 16), &Compute::default()).unwrap_err().to_string();
        assert!(problem.contains("64.0 KiB are free"), "{problem}");
    }
}

#[test]
fn images_seen_before_do_not_go_through_the_tower_again() {
    let dir = fixture("qwen2_5_vl");
    let id = |adapter: Option<&Path>| model_id(&dir.join("model"), adapter, DtypeChoice::F32);
    let in_tower = fixture("variants/vision");
    let ids = [id(None), id(Some(&dir.join("adapter"))), id(Some(&in_tower))];
    let mut models = Models::default();
    for id in &ids {
        models.open(id, &Unobserved).unwrap();
    }
    let samples = samples("qwen2_5_vl");
    let refs: Vec<&Sample> = samples.iter().collect();
    let mut ask = |id: &ModelId, seen: &mut SeenImages, refs: &[&Sample]| {
        let tower = TowerWatch::default();
        let session = models.session(id).unwrap();
        let settings = Settings { capture: logits(), ..Settings::default() };
        let compute = Compute::observed(&tower);
        let traces = session.run_many_seen(refs, &settings, None, seen, &compute).unwrap();
        let scores: Vec<Vec<f32>> = traces.iter().map(|trace| last_logits(trace).to_vec()).collect();
        (tower.ran.into_inner(), scores)
    };
    let same = |a: &[Vec<f32>], b: &[Vec<f32>]| a.iter().zip(b).all(|(a, b)| relative_error(a, b) < 1e-5);
    let fresh: Vec<_> = ids.iter().map(|id| ask(id, &mut SeenImages::none(), &refs)).collect();
    assert!(fresh.iter().all(|(ran, _)| *ran));
    assert!(!same(&fresh[0].1, &fresh[1].1) && !same(&fresh[0].1, &fresh[2].1));

    // An adapter of the language model sees what the base has seen; one within the tower does not.
    let seen = &mut SeenImages::up_to(1 << 30);
    for expected in [[true, false, true], [false, false, false]] {
        for (i, id) in ids.iter().enumerate() {
            let (ran, scores) = ask(id, seen, &refs);
            assert_eq!(ran, expected[i], "{id:?}");
            assert!(same(&scores, &fresh[i].1), "{id:?}");
        }
    }
    // Some seen, some not; and no room for any.
    let seen = &mut SeenImages::up_to(1 << 30);
    assert!(ask(&ids[0], seen, &refs[..1]).0);
    let (ran, scores) = ask(&ids[0], seen, &refs);
    assert!(ran && same(&scores, &fresh[0].1));
    let seen = &mut SeenImages::up_to(100);
    assert!(ask(&ids[0], seen, &refs).0 && ask(&ids[0], seen, &refs).0);
}

/// Sees whether images went through a tower.
#[derive(Default)]
struct TowerWatch {
    ran: AtomicBool,
}

impl Observer for TowerWatch {
    fn progress(&self, progress: Progress) -> Result<()> {
        self.ran.fetch_or(progress.phase == Phase::Vision, Ordering::Relaxed);
        Ok(())
    }
}

fn compare(alone: &Trace, packed: &Trace) {
    assert_eq!(
        (&alone.input_ids, &alone.roles, &alone.text),
        (&packed.input_ids, &packed.roles, &packed.text)
    );
    assert_eq!((&alone.answer, &alone.pixel_values), (&packed.answer, &packed.pixel_values));
    let ids = |trace: &Trace| trace.generated.iter().map(|t| t.id).collect::<Vec<_>>();
    assert_eq!(ids(alone), ids(packed));
    let close = |a: &[f32], b: &[f32], what: &str| {
        let error = relative_error(a, b);
        assert!(error < 1e-5, "{what} is off by {error:e}");
    };
    let both = |pick: fn(&Trace) -> &[f32], what: &str| close(pick(packed), pick(alone), what);
    both(|t| t.logits.as_ref().unwrap().data(), "logits");
    both(|t| t.hidden_states.as_ref().unwrap().values.data(), "hidden states");
    both(|t| t.generated_logits.as_ref().unwrap().data(), "scores of the answer");
    assert_eq!(alone.latent_attentions.is_some(), packed.latent_attentions.is_some());
    if let (Some(a), Some(b)) = (&alone.latent_attentions, &packed.latent_attentions) {
        close(b.data(), a.data(), "rows of latents");
    }
    let answers = |t: &Trace| t.answer_attentions.as_ref().unwrap().to_array();
    close(answers(packed).data(), answers(alone).data(), "rows of the answer");
    assert_eq!(alone.choices.len(), packed.choices.len());
    for (a, b) in alone.choices.iter().zip(&packed.choices) {
        assert!(a.choice == b.choice && (a.logprob - b.logprob).abs() < 1e-4, "{a:?} {b:?}");
    }
}
