//! The demo's folders compute here what they compute in transformers and PEFT; `make parity` records and compares it.

use std::path::Path;

use livr_explorer::ask::{Condition, Keep, LogitRows, MaskKind};
use livr_explorer::data::dataset;

use crate::common::{Asking, Golden, fixture, last_logits, load, relative_error};
use livr_explorer::progress::Unobserved;

#[test]
fn the_demo_scores_as_in_transformers_and_peft() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let golden = Golden::read(&fixture("demo/scores.safetensors"));
    let records = dataset::read(&demo.join("gallery/gallery.jsonl")).unwrap();
    let mut names: Vec<&str> = golden.names().collect();
    names.sort_unstable();
    assert_eq!(names.len(), 5 * 3 * 2, "the base and four adapters, three tasks, two masks");
    for group in names.chunk_by(|a, b| a.split('.').next() == b.split('.').next()) {
        let adapter = group[0].split('.').next().filter(|name| *name != "base").map(|name| demo.join(name));
        let mut model = load(&demo.join("model"), adapter.as_deref()).unwrap();
        for name in group {
            let [_, task, mask] = name.split('.').collect::<Vec<_>>()[..] else { panic!("{name}") };
            let record = records.iter().find(|record| record.task == task).unwrap();
            let mask = if mask == "bottleneck" { MaskKind::Bottleneck } else { MaskKind::Standard };
            let keep = Keep { logits: LogitRows::Answer, ..Keep::default() };
            let settings = Asking { condition: Condition { mask, ..Condition::default() }, keep };
            let trace = model.run(&record.sample().unwrap(), &settings, &Unobserved).unwrap();
            let error = relative_error(last_logits(&trace), &golden.floats(name));
            assert!(error < 2e-5, "{name}: {error}");
        }
    }
}
