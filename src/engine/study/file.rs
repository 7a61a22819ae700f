//! A study as a file that one can write by hand: models, conditions, data.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::demo::DemoAdapter;
use super::super::ids::{BaseId, ModelId, Source};
use super::design::{NamedCondition, NamedModel, Study};
use super::share::Share;
use crate::ask::{AttentionRows, Condition, DeviceChoice, DtypeChoice, Keep};
use crate::data::dataset;
use crate::error::{Error, Result};
use crate::progress::Phase;

/// The file: TOML, paths from its own folder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyFile {
    /// The data file.
    pub data: PathBuf,
    /// Only the first so many samples.
    #[serde(default, deserialize_with = "whole_or_none")]
    pub limit: Option<usize>,
    /// Only the first so many of each task.
    #[serde(default, deserialize_with = "whole_or_none")]
    pub per_task: Option<usize>,
    /// Decides sampling, and how samples are disturbed.
    #[serde(default = "seed", deserialize_with = "whole")]
    pub seed: u64,
    /// Samples that go through a model together.
    #[serde(default = "batch", deserialize_with = "whole")]
    pub batch: usize,
    /// By their words, as `normal`, `mask=bottleneck latents=off`; or with a name and their options.
    pub conditions: Vec<WrittenCondition>,
    /// Who is asked.
    #[serde(default)]
    pub models: Vec<WrittenModel>,
}

fn seed() -> u64 {
    Condition::default().decoding.seed
}

fn batch() -> usize {
    8
}

/// A condition as a study file has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum WrittenCondition {
    /// `no-latents`, `'do=block latents->image @8-12'`.
    Words(String),
    /// `{ name = "late", mask = "bottleneck", do = ["block latents->image @8-12"] }`.
    Options(toml::Table),
}

/// A model as a study file has it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenModel {
    /// As files and tables call it: what comes before a slash is the way it was trained, after it the seed.
    pub name: Option<String>,
    /// Checkpoint folder or repository; the built-in demo where there is none.
    pub model: Option<PathBuf>,
    /// Adapter folder or repository, `demo:livr`, or none.
    pub adapter: Option<PathBuf>,
    /// `auto`, `cpu` or `cuda:N`.
    pub device: Option<String>,
    /// Element type of the weights.
    pub dtype: Option<String>,
}

impl TryFrom<toml::Value> for WrittenCondition {
    type Error = String;

    fn try_from(value: toml::Value) -> std::result::Result<Self, String> {
        match value {
            toml::Value::String(words) => Ok(Self::Words(words)),
            toml::Value::Table(options) => Ok(Self::Options(options)),
            other => Err(format!("expected a condition's words or a table of its options, found {other}")),
        }
    }
}

/// A whole number of a study file.
fn whole<'de, D, N>(deserializer: D) -> std::result::Result<N, D::Error>
where
    D: serde::Deserializer<'de>,
    N: TryFrom<i64>,
{
    let value = toml::Value::deserialize(deserializer)?;
    let number = value.as_integer().and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| serde::de::Error::custom(format!("expected a whole number from 0, found {value}")))
}

/// One that may be left out.
fn whole_or_none<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<usize>, D::Error> {
    whole(deserializer).map(Some)
}

impl StudyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read or is none, a key that is unknown.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the study", path, e))?;
        toml::from_str(&text).map_err(|e| {
            // Where it is, as editors count.
            let line = e.span().map(|span| 1 + text[..span.start].matches('\n').count());
            let line = line.map_or_else(String::new, |line| format!("line {line}: "));
            Error::format(path, "the file is no study", format!("{line}{}", e.message()))
        })
    }

    /// The study it describes; `path` is where it lies.
    ///
    /// # Errors
    /// A condition or a model that cannot be, data that cannot be read, a name that stands twice.
    pub fn study(&self, path: &Path, share: Option<Share>) -> Result<Study> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let said = |field: String| move |problem: String| Error::format(path, field, problem);
        let mut usual = Condition::of_studies();
        usual.decoding.seed = self.seed;
        let mut conditions = Vec::new();
        for (i, written) in self.conditions.iter().enumerate() {
            conditions.push(written.condition(&usual).map_err(said(format!("conditions {}", i + 1)))?);
        }
        let demo = [WrittenModel::default()];
        let written = if self.models.is_empty() { &demo[..] } else { &self.models };
        let mut models = Vec::new();
        for (i, written) in written.iter().enumerate() {
            models.push(written.model(folder).map_err(said(format!("models {}", i + 1)))?);
        }
        unique("models", models.iter().map(|own| own.name.as_str()), path)?;
        unique("conditions", conditions.iter().map(|own| own.name.as_str()), path)?;
        if conditions.is_empty() {
            return Err(Error::field(path, "conditions", "at least one", "none"));
        }
        let numbers = [
            ("batch", Some(self.batch), 256),
            ("limit", self.limit, usize::MAX),
            ("per_task", self.per_task, usize::MAX),
        ];
        for (field, number, most) in numbers {
            if let Some(number) = number.filter(|number| !(1..=most).contains(number)) {
                let to = if most == usize::MAX { String::new() } else { format!(" to {most}") };
                return Err(Error::field(path, field, format!("a number from 1{to}"), number.to_string()));
            }
        }
        let mut records = dataset::read(&folder.join(&self.data))?;
        if let Some(most) = self.per_task {
            records = dataset::per_task(records, most);
        }
        records.truncate(self.limit.unwrap_or(usize::MAX));
        Ok(Study {
            models,
            conditions,
            records,
            limit: None,
            keep: Keep { attention: AttentionRows::LatentsAndAnswer, ..Keep::default() },
            batch: self.batch,
            share,
            phase: Phase::Evaluating,
        })
    }
}

fn unique<'a>(field: &str, names: impl Iterator<Item = &'a str>, path: &Path) -> Result<()> {
    let mut all: Vec<(&str, String)> = Vec::new();
    for name in names {
        // Files are named by them.
        let file = name.replace('/', "-");
        if let Some((other, _)) = all.iter().find(|(_, own)| *own == file) {
            let both = if *other == name { format!("{name} twice") } else { format!("{other} and {name}") };
            return Err(Error::field(path, field, "names of their own", both));
        }
        all.push((name, file));
    }
    Ok(())
}

impl WrittenCondition {
    fn condition(&self, usual: &Condition) -> std::result::Result<NamedCondition, String> {
        let table = match self {
            Self::Words(words) => {
                return Ok(NamedCondition::of(Condition::named(words, usual)?, usual));
            }
            Self::Options(table) => table,
        };
        let mut said = Vec::new();
        let mut name = None;
        for (key, value) in table {
            match (key.as_str(), value) {
                ("name", toml::Value::String(own)) => name = Some(own.clone()),
                (option, toml::Value::Array(values)) => {
                    for value in values {
                        said.push((option, text_of(value)?));
                    }
                }
                (option, value) => said.push((option, text_of(value)?)),
            }
        }
        let condition =
            usual.clone().with_all(said.iter().map(|(option, value)| (*option, value.as_str())))?;
        let named = NamedCondition::of(condition, usual);
        let Some(name) = name else { return Ok(named) };
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            return Err(format!("name: expected one that can be printed, found {name:?}"));
        }
        if Condition::named(&name, usual).is_ok_and(|other| other != named.condition) {
            return Err(format!("name: expected one of its own, found {name}, which is another condition's"));
        }
        Ok(NamedCondition { name, ..named })
    }
}

/// A value as an option has it.
fn text_of(value: &toml::Value) -> std::result::Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        other => Err(format!("expected a text or a number, found {other}")),
    }
}

impl WrittenModel {
    fn model(&self, folder: &Path) -> std::result::Result<NamedModel, String> {
        // A path from the file's folder, where there is one; else as on the command line.
        let place = |text: &Path| {
            let beside = folder.join(text);
            if beside.exists() { beside } else { text.to_owned() }
        };
        let source =
            self.model.as_deref().map_or(Source::Demo, |text| Source::named(place(text).as_os_str()));
        let adapter = match &self.adapter {
            Some(text) => Source::adapter(place(text).as_os_str())?,
            None => self.model.is_none().then_some(Source::DemoAdapter(DemoAdapter::Livr)),
        };
        let device = self.device.as_deref().map_or(Ok(DeviceChoice::Auto), str::parse)?;
        let dtype = self.dtype.as_deref().map_or(Ok(DtypeChoice::Auto), str::parse)?;
        // A slash would make seeds of one way of them.
        let named = adapter.as_ref().unwrap_or(&source).name().replace('/', "-");
        let name = self.name.clone().unwrap_or(named);
        check_name(&name)?;
        let base = BaseId { source, device, dtype };
        Ok(NamedModel { name, id: ModelId { base, adapter } })
    }
}

/// A name that files can have: letters, digits, `-_. ` and slashes between parts.
///
/// # Errors
/// What it may not be.
pub fn check_name(name: &str) -> std::result::Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
    let is_part = |part: &str| part.chars().all(is_plain) && part.chars().any(|c| c.is_ascii_alphanumeric());
    if name.split('/').all(is_part) {
        Ok(())
    } else {
        Err(format!("expected a name of letters, digits, - _ . and slashes between parts, found {name}"))
    }
}
