//! The checkpoints and adapters of this machine: what each is, whether it fits into memory, which go together. Headers are
//! read and no weight.

use std::path::PathBuf;

use super::demo::DemoAdapter;
use super::ids::{BaseId, Source};
use super::opening::Unread;
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::checkpoint::adapter::Adapter;
pub use crate::checkpoint::hub_cache::HubCache;
use crate::memory;

/// A checkpoint that could be opened, or why it could not.
#[derive(Debug, Clone, PartialEq)]
pub struct ShelvedModel {
    /// Where it is.
    pub source: Source,
    /// As people know it.
    pub name: String,
    /// What it is, or why it cannot be opened.
    pub facts: Result<ModelFacts, String>,
}

/// What a checkpoint is.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFacts {
    /// `model_type`.
    pub family: &'static str,
    /// Bytes of its weights on disk.
    pub disk: u64,
    /// Memory it takes.
    pub need: u64,
    /// The type it would be held in.
    pub dtype: &'static str,
    /// Adapters that fit on it: name and place.
    pub adapters: Vec<(String, Source)>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Shelf {
    /// The demo, then folders used before, then the Hugging Face cache.
    pub models: Vec<ShelvedModel>,
    /// Memory that is free, where the system says.
    pub free: Option<u64>,
}

/// Where to look, and for what device.
#[derive(Debug, Clone)]
pub struct Search {
    /// Checkpoint folders used before.
    pub models: Vec<PathBuf>,
    /// Adapter folders used before.
    pub adapters: Vec<PathBuf>,
    /// The cache to look through.
    pub cache: Option<HubCache>,
    /// Where models would run.
    pub device: DeviceChoice,
    /// Their element type.
    pub dtype: DtypeChoice,
}

impl Search {
    /// Looks.
    pub fn look(&self) -> Shelf {
        let cached = self.cache.iter().flat_map(HubCache::repositories);
        let (mut models, mut adapters) = (self.models.clone(), self.adapters.clone());
        for (_, snapshot) in cached {
            if snapshot.join("adapter_config.json").is_file() {
                adapters.push(snapshot);
            } else if snapshot.join("config.json").is_file() {
                models.push(snapshot);
            }
        }
        let mut seen = Vec::new();
        models.retain(|path| {
            let is_new = !seen.contains(path);
            seen.push(path.clone());
            is_new
        });
        let folders = models.into_iter().map(Source::folder);
        let adapters: Vec<(Source, Adapter)> = adapters
            .into_iter()
            .map(Source::folder)
            .filter_map(|source| {
                let adapter = source.open().and_then(|folder| Adapter::read_folder(&folder)).ok()?;
                Some((source, adapter.shapes_only()))
            })
            .collect();
        let all = std::iter::once(Source::Demo).chain(folders);
        Shelf {
            models: all.map(|source| self.model(source, &adapters)).collect(),
            free: memory::free_bytes(),
        }
    }

    fn model(&self, source: Source, adapters: &[(Source, Adapter)]) -> ShelvedModel {
        let base = BaseId { source: source.clone(), device: self.device, dtype: self.dtype };
        let opened = source.open();
        let name = opened.as_ref().map_or_else(|_| String::new(), crate::checkpoint::folder::Folder::name);
        let facts =
            opened.and_then(|folder| Unread::open(folder, base.device, base.dtype)).and_then(|unread| {
                unread.check(None)?;
                let fits = |(_, adapter): &&(Source, Adapter)| unread.check(Some(adapter)).is_ok();
                let mut own: Vec<(String, Source)> = adapters
                    .iter()
                    .filter(fits)
                    .map(|(place, adapter)| (adapter.name.clone(), place.clone()))
                    .collect();
                if source == Source::Demo {
                    let built_in =
                        DemoAdapter::ALL.map(|own| (own.name().to_owned(), Source::DemoAdapter(own)));
                    own.splice(0..0, built_in);
                }
                own.dedup();
                let precision = unread.precision;
                Ok(ModelFacts {
                    family: unread.family(),
                    disk: unread.disk_bytes(),
                    need: unread.need(precision).total(),
                    dtype: precision.name(),
                    adapters: own,
                })
            });
        let place = || source.path().map_or_else(String::new, |path| path.display().to_string());
        let name = if name.is_empty() { place() } else { name };
        ShelvedModel { name, facts: facts.map_err(|e| e.to_string()), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_listed_with_the_adapters_that_fit() {
        let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let dir = tempfile::tempdir().unwrap();
        let search = Search {
            models: vec![fixtures.join("tiny/model"), dir.path().to_owned(), fixtures.join("tiny/model")],
            adapters: vec![fixtures.join("tiny/adapter")],
            cache: Some(HubCache::at(dir.path())),
            device: DeviceChoice::Cpu,
            dtype: DtypeChoice::F32,
        };
        let shelf = search.look();
        let names: Vec<_> = shelf.models.iter().map(|model| model.name.as_str()).collect();
        assert_eq!((names.len(), names[1]), (3, "tiny/model"), "{names:?}");
        let tiny = shelf.models[1].facts.as_ref().unwrap();
        assert!(tiny.need > 0 && tiny.disk > 0);
        assert_eq!(tiny.adapters.len(), 1);
        let demo = shelf.models[0].facts.as_ref().unwrap();
        assert_eq!(demo.adapters.len(), DemoAdapter::ALL.len(), "the tiny adapter is of other shapes");
        assert!(shelf.models[2].facts.as_ref().unwrap_err().contains("config.json"));
    }
}
