//! Several samples in one pass give what each gives alone.

use livr_explorer::data::sample::Sample;
use livr_explorer::engine::models::Models;
use livr_explorer::model::compute::Compute;
use livr_explorer::progress::Unobserved;
use livr_explorer::settings::{
    AttentionRows, Capture, Decoding, DtypeChoice, HiddenRows, LogitRows, MaskKind, Settings,
};
use livr_explorer::trace::Trace;

use crate::common::{Case, fixture, model_id, relative_error};

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
