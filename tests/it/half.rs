//! Half and quantised precision: as close to single precision as the reference's own bf16 is, and to be trusted less
//! the fewer bits there are.

use livr_explorer::ask::DtypeChoice;
use livr_explorer::model::compute::Compute;
use livr_explorer::ops::isa::Isa;
use livr_explorer::trace::Trace;

use crate::common::{Case, Golden, everything, fixture, load_as};

/// Root of the mean square difference, relative to that of the reference.
fn distance(ours: &[f32], reference: &[f32]) -> f64 {
    assert_eq!(ours.len(), reference.len());
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let off = square(&mut ours.iter().zip(reference).map(|(a, b)| a - b));
    (off / square(&mut reference.iter().copied())).sqrt()
}

fn run(family: &str, case: &Case, dtype: DtypeChoice, isa: Isa) -> Trace {
    let dir = fixture(family);
    let adapter = case.uses_adapter().then(|| dir.join("adapter"));
    let mut session = load_as(&dir.join("model"), adapter.as_deref(), dtype).unwrap();
    let compute = Compute { isa, ..Compute::default() };
    session.run_with(&case.sample(), &case.settings(everything()), &compute).unwrap()
}

#[test]
fn bf16_is_as_close_to_single_precision_as_the_references() {
    let theirs = Golden::read(&fixture("bf16.safetensors"));
    for family in ["qwen2_5_vl", "qwen3_vl"] {
        for name in ["plain", "two", "bottleneck"] {
            let case = Case::named(family, name);
            let golden = case.golden();
            for isa in Isa::available() {
                let trace = run(family, &case, DtypeChoice::Bf16, isa);
                let hidden = &trace.hidden_states.as_ref().unwrap().values;
                let mut parts =
                    vec![("logits", trace.logits.as_ref().unwrap().data()), ("hidden_states", hidden.data())];
                let rows = trace.latent_attentions.as_ref();
                parts.extend(rows.map(|rows| ("latent_rows", rows.data())));
                for (part, ours) in parts {
                    let reference = theirs.floats(&format!("{family}.{name}.{part}"));
                    let exact = if part == "latent_rows" {
                        run(family, &case, DtypeChoice::F32, isa).latent_attentions.unwrap().data().to_vec()
                    } else {
                        golden.floats(part)
                    };
                    let (own, their) = (distance(ours, &exact), distance(&reference, &exact));
                    let apart = distance(ours, &reference);
                    println!(
                        "{family} {name} {part} by {}: ours {own:.2e}, the reference's {their:.2e} from f32, {apart:.2e} apart",
                        isa.name()
                    );
                    assert!(
                        own < 1.1 * their,
                        "{family} {name} {part} by {isa:?}: {own:e} from f32, the reference {their:e}"
                    );
                    assert!(
                        apart < 1.6 * their,
                        "{family} {name} {part} by {isa:?}: {apart:e} apart, {their:e} from f32"
                    );
                }
            }
        }
    }
}

#[test]
fn fewer_bits_are_further_off_and_still_the_same_model() {
    let case = Case::named("qwen3_vl", "bottleneck");
    let exact = case.golden().floats("logits");
    let off = |dtype| distance(run("qwen3_vl", &case, dtype, Isa::best()).logits.unwrap().data(), &exact);
    let (f32, f16, bf16) = (off(DtypeChoice::F32), off(DtypeChoice::F16), off(DtypeChoice::Bf16));
    let (q8, q4) = (off(DtypeChoice::Q8), off(DtypeChoice::Q4));
    assert!(f32 < 1e-5 && f16 < 5e-3 && bf16 < 4e-2, "f32 {f32:e}, f16 {f16:e}, bf16 {bf16:e}");
    assert!(q8 < 4e-2 && q8 < q4 && q4 < 0.6, "q8 {q8:e}, q4 {q4:e}");
}
