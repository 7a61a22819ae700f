//! Models that may stand beside another: what there is to choose from, and what each is called.

use super::preferences::Preferences;
use crate::engine::demo::DemoAdapter;
use crate::engine::ids::{BaseId, ModelId, Source};

/// What may stand beside a model: its base with each adapter there is, and bases of late.
pub fn choices(kept: &Preferences, model: &ModelId) -> Vec<(String, ModelId)> {
    let base = &model.base;
    let with = |adapter: Option<Source>| ModelId { base: base.clone(), adapter };
    let mut all = Vec::new();
    if base.source == Source::Demo {
        let adapters =
            DemoAdapter::ALL.map(|own| (own.name().to_owned(), with(Some(Source::DemoAdapter(own)))));
        all.extend(adapters);
    }
    for path in &kept.recent_adapters {
        let source = Source::folder(path);
        all.push((source.name(), with(Some(source))));
    }
    all.push((format!("{} without adapter", base.source.name()), with(None)));
    for path in &kept.recent_models {
        let source = Source::folder(path);
        let other = ModelId { base: BaseId { source: source.clone(), ..base.clone() }, adapter: None };
        if other.base != *base {
            all.push((source.name(), other));
        }
    }
    if base.source != Source::Demo {
        let demo = ModelId {
            base: BaseId { source: Source::Demo, ..base.clone() },
            adapter: Some(Source::DemoAdapter(DemoAdapter::Livr)),
        };
        all.push(("Built-in demo".to_owned(), demo));
    }
    all
}

/// By its adapter, and by its base where the models differ in it.
pub fn name_of(model: &ModelId, models: &[ModelId]) -> String {
    let base = model.base.source.name();
    let own = model.adapter.as_ref().map_or_else(|| format!("{base}, no adapter"), Source::name);
    let one_base = models.iter().all(|other| other.base.source == model.base.source);
    if one_base || model.adapter.is_none() { own } else { format!("{base} · {own}") }
}
