//! Every tensor of the trace against what the reference implementation gave.

use livr_explorer::array::Array;
use livr_explorer::progress::Unobserved;
use livr_explorer::trace::Trace;

use crate::common::{Case, FIXTURES, Golden, everything, load, relative_error};

const TOLERANCE: f32 = 1e-4;

#[test]
fn traces_equal_the_reference() {
    for fixture in FIXTURES {
        let cases = Case::all(fixture);
        let dir = cases[0].dir.clone();
        let mut session = load(&dir.join("model"), None).unwrap();
        for case in &cases {
            let adapter = dir.join("adapter");
            session.set_adapter(case.uses_adapter().then_some(adapter.as_path())).unwrap();
            let trace = session.run(&case.sample(), &case.settings(everything()), &Unobserved).unwrap();
            compare(&format!("{fixture}/{}", case.name), &trace, &case.golden());
            assert_eq!(trace.text, case.value["text"].as_str().unwrap());
            check_pixels(fixture, &trace, &case.golden());
        }
    }
}

fn compare(name: &str, trace: &Trace, golden: &Golden) {
    let ids: Vec<i64> = trace.input_ids.iter().map(|id| i64::from(*id)).collect();
    assert_eq!(ids, golden.integers("input_ids"), "{name}: input_ids");
    let roles: Vec<i64> = trace.roles.iter().map(|role| role.code()).collect();
    assert_eq!(roles, golden.integers("roles"), "{name}: roles");
    let positions: Vec<i64> = (0..3).flat_map(|axis| trace.positions.iter().map(move |p| p[axis])).collect();
    assert_eq!(positions, golden.integers("position_ids"), "{name}: position_ids");
    let grids: Vec<i64> = trace.grids.iter().flat_map(|g| [g.t as i64, g.h as i64, g.w as i64]).collect();
    assert_eq!(grids, golden.integers("image_grid_thw"), "{name}: image_grid_thw");
    let generated: Vec<i64> = trace.generated.iter().map(|token| i64::from(token.id)).collect();
    assert_eq!(generated, golden.integers("generated_ids"), "{name}: generated_ids");
    let logits = trace.logits.as_ref().unwrap();
    let last_row = Array::new([1, logits.shape()[1]], logits.last().to_vec());
    let logits = if golden.shape("logits")[0] == 1 { &last_row } else { logits };
    let answer = trace.answer_attentions.as_ref().unwrap().to_array();
    let floats = [
        ("logits", Some(logits)),
        ("generated_logits", trace.generated_logits.as_ref()),
        ("hidden_states", trace.hidden_states.as_ref().map(|hidden| &hidden.values)),
        ("attentions", trace.attentions.as_ref()),
        ("answer_attentions", Some(&answer)),
    ];
    for (tensor, ours) in floats {
        if !golden.has(tensor) {
            continue;
        }
        let ours = ours.unwrap_or_else(|| panic!("{name}: {tensor} was not captured"));
        assert_eq!(ours.shape(), golden.shape(tensor), "{name}: shape of {tensor}");
        let error = relative_error(ours.data(), &golden.floats(tensor));
        assert!(error < TOLERANCE, "{name}: {tensor} is off by {error:e}");
    }
}

/// The 8-bit level each normalised value was made of must be the reference's, every one of them.
fn check_pixels(fixture: &str, trace: &Trace, golden: &Golden) {
    if !golden.has("pixel_levels") {
        assert!(trace.grids.is_empty());
        return;
    }
    let (mean, std): ([f32; 3], [f32; 3]) = if fixture.starts_with("qwen3") {
        ([0.5; 3], [0.5; 3])
    } else {
        ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1])
    };
    let pixels = trace.pixel_values.as_ref().unwrap();
    let width = pixels.shape()[1];
    let levels = pixels.data().iter().enumerate().map(|(i, value)| {
        let channel = i % width / (width / 3);
        ((value * std[channel] + mean[channel]) * 255.0).round() as u8
    });
    let reference = golden.levels("pixel_levels");
    assert_eq!(pixels.shape(), golden.shape("pixel_levels"));
    let different = levels.zip(reference).filter(|(a, b)| a != *b).count();
    assert_eq!(different, 0, "{fixture}: {different} of {} pixel values", reference.len());
}
