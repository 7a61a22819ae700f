//! Several samples in one pass give what each gives alone; images seen before give what they gave.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use livr_explorer::ask::{
    AttentionRows, Condition, Decoding, DtypeChoice, HiddenRows, Keep, LatentChoice, LogitRows, MaskKind,
    PixelBudget,
};
use livr_explorer::data::picture::Picture;
use livr_explorer::data::sample::Sample;
use livr_explorer::engine::answer::AskedSample;
use livr_explorer::engine::answer::features::SeenImages;
use livr_explorer::engine::ids::ModelId;
use livr_explorer::engine::models::Models;
use livr_explorer::engine::session::OpenModel;
use livr_explorer::error::Result;
use livr_explorer::model::compute::Compute;
use livr_explorer::progress::{Observer, Phase, Progress, Unobserved};
use livr_explorer::trace::Trace;

use crate::common::{Asking, Case, fixture, last_logits, logits, model_id, relative_error};

/// Samples of different lengths: two images, none, one, the same twice.
fn samples(family: &str) -> Vec<Sample> {
    let of = |case: &str| Case::named(family, case).sample();
    let mut with_choices = of("plain");
    with_choices.choices = vec!["A".to_owned(), "B C".to_owned()];
    vec![of("two"), Sample { images: Vec::new(), ..of("plain") }, with_choices, of("latents"), of("latents")]
}

/// Samples asked alike, in the same passes.
fn many(
    model: &mut OpenModel,
    samples: &[&Sample],
    settings: &Asking,
    free_bytes: Option<u64>,
    seen: &mut SeenImages,
    compute: &Compute<'_>,
) -> Result<Vec<Trace>> {
    let (condition, keep) = (&settings.condition, &settings.keep);
    let asked: Vec<AskedSample<'_>> =
        samples.iter().map(|sample| AskedSample { sample, id: "", condition, keep }).collect();
    model.answerer(Some(seen), free_bytes).answer(&asked, compute)
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
            let keep = Keep {
                attention: AttentionRows::LatentsAndAnswer,
                hidden: Some(HiddenRows::all()),
                logits: LogitRows::Full,
                pixels: true,
                ..Keep::default()
            };
            let decoding = Decoding { max_new_tokens, ..Decoding::default() };
            let settings = Asking { condition: Condition { mask, decoding, ..Condition::default() }, keep };
            let compute = Compute::default();
            let refs: Vec<&Sample> = samples.iter().collect();
            let together = many(session, &refs, &settings, None, &mut SeenImages::none(), &compute).unwrap();
            assert_eq!(together.len(), samples.len());
            for (sample, packed) in samples.iter().zip(&together) {
                let alone = session.run(sample, &settings.condition, &settings.keep, None, &compute).unwrap();
                compare(&alone, packed);
            }
            let few = many(session, &refs[1..2], &settings, None, &mut SeenImages::none(), &compute).unwrap();
            compare(&few[0], &together[1]);
        }
        let compute = Compute::default();
        let seen = &mut SeenImages::none();
        assert!(many(session, &[], &Asking::default(), None, seen, &compute).unwrap().is_empty());
        // What all of them keep is counted together.
        let refs: Vec<&Sample> = samples.iter().collect();
        let keep = Keep { attention: AttentionRows::Full, ..Keep::default() };
        let settings = Asking { keep, ..Asking::default() };
        let problem = many(session, &refs, &settings, Some(1 << 16), seen, &compute).unwrap_err().to_string();
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
        let settings = Asking { keep: logits(), ..Asking::default() };
        let compute = Compute::observed(&tower);
        let traces = many(session, refs, &settings, None, seen, &compute).unwrap();
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

#[test]
fn an_answer_hangs_on_nobody_who_is_asked_with_it() {
    // Of a small image the merger gives few visual tokens; without one there are none.
    let image = image::RgbImage::from_fn(56, 56, |x, y| image::Rgb([x as u8 * 4, y as u8 * 4, 90]));
    let small = Sample {
        images: vec![Picture::new("small", image).into()],
        prompt: "Which? (A) x (B) y".to_owned(),
        choices: vec!["A".to_owned(), "B".to_owned(), "(A) x".to_owned()],
    };
    for family in ["qwen2_5_vl", "qwen3_vl"] {
        for dtype in [DtypeChoice::F32, DtypeChoice::Bf16, DtypeChoice::F16, DtypeChoice::Q8, DtypeChoice::Q4]
        {
            let dir = fixture(family);
            let adapter = dir.join("adapter");
            let id = model_id(&dir.join("model"), Some(adapter.as_path()), dtype);
            let mut models = Models::default();
            models.open(&id, &Unobserved).unwrap();
            let model = models.session(&id).unwrap();
            let text = Sample { images: Vec::new(), ..small.clone() };
            let samples = [&[small.clone(), text], &samples(family)[..]].concat();
            let keep = Keep {
                attention: AttentionRows::LatentsAndAnswer,
                hidden: Some(HiddenRows::all()),
                logits: LogitRows::Full,
                pixels: false,
                ..Keep::default()
            };
            let decoding = Decoding { max_new_tokens: 3, ..Decoding::default() };
            let settings = Asking { condition: Condition { decoding, ..Condition::default() }, keep };
            let refs: Vec<&Sample> = samples.iter().chain(&samples).chain(&samples).collect();
            let compute = Compute::default();
            let together = many(model, &refs, &settings, None, &mut SeenImages::none(), &compute).unwrap();
            for (sample, packed) in samples.iter().zip(&together) {
                let alone = many(model, &[sample], &settings, None, &mut SeenImages::none(), &compute);
                let alone = &alone.unwrap()[0];
                let bits = |trace: &Trace| -> Vec<u32> {
                    let states = trace.hidden_states.as_ref().unwrap().values.data();
                    let rows = trace.answer_attentions.as_ref().unwrap().to_array();
                    let scores = trace.generated_logits.as_ref().unwrap().data();
                    let choices = trace.choices.iter().map(|choice| choice.logprob);
                    let all = states.iter().chain(rows.data()).chain(scores).copied();
                    all.chain(choices).map(f32::to_bits).collect()
                };
                assert!(bits(alone) == bits(packed), "{family} {dtype:?}: {}", sample.prompt);
            }
        }
    }
}

#[test]
fn each_sample_of_a_batch_is_asked_in_its_own_way() {
    let dir = fixture("qwen3_vl");
    let adapter = dir.join("adapter");
    let id = model_id(&dir.join("model"), Some(adapter.as_path()), DtypeChoice::F32);
    let mut models = Models::default();
    models.open(&id, &Unobserved).unwrap();
    let model = models.session(&id).unwrap();
    let mut sample = Case::named("qwen3_vl", "two").sample();
    sample.choices = vec!["A".to_owned(), "(A) x".to_owned()];
    let usual =
        Condition { decoding: Decoding { max_new_tokens: 3, ..Decoding::default() }, ..Condition::default() };
    let edited = |text: &str| Condition { edits: vec![text.parse().unwrap()], ..usual.clone() };
    let conditions = [
        usual.clone(),
        usual.clone().masked(MaskKind::Bottleneck),
        usual.clone().with_latents(LatentChoice::Off),
        edited("block latents->image#1 @1-"),
        edited("block readers->latents"),
        Condition { max_pixels: PixelBudget::Pixels(4096), ..usual.clone() },
        Condition { disturbance: "noise=0.2".parse().ok(), ..usual.clone() },
    ];
    let keeps = [logits(), Keep { attention: AttentionRows::LatentsAndAnswer, ..logits() }];
    let asked: Vec<AskedSample<'_>> = conditions
        .iter()
        .zip(keeps.iter().cycle())
        .map(|(condition, keep)| AskedSample { sample: &sample, id: "x", condition, keep })
        .collect();
    let bits = |trace: &Trace| -> Vec<u32> {
        let choices = trace.choices.iter().map(|choice| choice.logprob);
        last_logits(trace).iter().copied().chain(choices).map(f32::to_bits).collect()
    };
    let compute = Compute::default();
    let together = model.answerer(None, None).answer(&asked, &compute).unwrap();
    for (i, (own, packed)) in asked.iter().zip(&together).enumerate() {
        let alone = model.answerer(None, None).answer(&[*own], &compute).unwrap();
        assert!(bits(&alone[0]) == bits(packed), "condition {i}");
        assert_eq!(packed.condition, conditions[i]);
        assert_eq!(packed.latent_attentions.is_some(), i % 2 == 1 && packed.num_latents() > 0);
        assert!(i == 0 || bits(packed) != bits(&together[0]), "condition {i} is the first");
    }
}
