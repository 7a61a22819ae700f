//! What is kept between starts: written whole or not at all, read value by value.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::path_kind::PathKind;
use crate::app::parts::compare::CompareForm;
use crate::app::parts::data::DataForm;
use crate::app::parts::states::LayoutForm;
use crate::app::parts::tiling::Tiling;
use crate::app::parts::training::RecipeForm;
use crate::app::parts::view::{FigureForm, View};
use crate::ask::keep::of_earlier_versions;
use crate::ask::{
    AttentionRows, Condition, Decoding, Keep, LatentChoice, MAX_LATENTS, PixelBudget, Published,
};
use crate::atomic;
use crate::engine::demo;
use crate::error::Result;

/// Folders remembered.
const MAX_RECENT: usize = 8;
/// Longest answer the window asks for.
pub const MAX_NEW_TOKENS: usize = 512;
/// Most steps of a map.
pub const MAX_STEPS: usize = 20_000;
/// Questions remembered.
const MAX_HISTORY: usize = 50;

/// What training was last asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainForm {
    /// What is filled in instead of a recipe's file.
    pub form: RecipeForm,
    /// The recipe's path as it was typed.
    pub recipe: String,
    /// The run's folder as it was typed.
    pub folder: String,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// Light, dark, or as the system.
    pub theme: egui::ThemePreference,
    /// Checkpoint folders, the latest first.
    #[serde(with = "crate::paths::text::list")]
    pub recent_models: Vec<PathBuf>,
    /// Adapter folders, the latest first.
    #[serde(with = "crate::paths::text::list")]
    pub recent_adapters: Vec<PathBuf>,
    /// Questions, the latest first.
    pub history: Vec<String>,
    /// The question as it stood.
    pub question: String,
    /// The answers to choose from as they were typed; empty for those the question offers.
    pub choices: String,
    /// The built-in sample that was taken last.
    pub sample: String,
    /// How samples are asked.
    #[serde(rename = "settings")]
    pub condition: Condition,
    /// What is kept of runs besides their answers.
    pub keep: Keep,
    /// How they are looked at.
    pub view: View,
    /// Where panes lie.
    pub layout: Tiling,
    /// What training was last asked for.
    pub training: TrainForm,
    /// What a map was last asked for.
    pub map: LayoutForm,
    /// How figures are made.
    pub figure: FigureForm,
    /// What is side by side.
    pub compare: CompareForm,
    /// What of a data set is in sight.
    pub data: DataForm,
    /// The folder that something was last opened from by its path.
    #[serde(with = "crate::paths::text")]
    pub read_from: PathBuf,
    /// The folder that something was last saved in.
    #[serde(with = "crate::paths::text")]
    pub written_in: PathBuf,
    /// Has somebody read what the window says at the first start?
    pub words_read: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        let decoding = Decoding { max_new_tokens: 16, ..Decoding::default() };
        Self {
            theme: egui::ThemePreference::Dark,
            recent_models: Vec::new(),
            recent_adapters: Vec::new(),
            history: Vec::new(),
            question: demo::first().prompt.clone(),
            choices: String::new(),
            sample: demo::first().id.clone(),
            condition: Condition { decoding, ..Condition::default() },
            keep: Keep { attention: AttentionRows::LatentsAndAnswer, ..Keep::default() },
            view: View::default(),
            layout: Tiling::default(),
            training: TrainForm::default(),
            map: LayoutForm::default(),
            figure: FigureForm::default(),
            compare: CompareForm::default(),
            data: DataForm::default(),
            read_from: PathBuf::new(),
            written_in: PathBuf::new(),
            words_read: true,
        }
    }
}

impl Preferences {
    /// Reads the file; what is missing in it, or unknown to this version, is as at the first start. Without a
    /// readable file all of it is.
    pub fn read(path: &Path) -> Self {
        // Nothing is there: it is the first start.
        let Ok(text) = std::fs::read_to_string(path) else {
            return Self { words_read: false, ..Self::default() };
        };
        match serde_json::from_str(&text) {
            Ok(mut found) => {
                of_earlier_versions(&mut found);
                Self::sane(lenient(&found))
            }
            Err(problem) => {
                log::warn!("{} is not valid JSON: {problem}", path.display());
                Self::default()
            }
        }
    }

    /// With numbers that no control and no option would give put back to what they are at the first start.
    fn sane(mut self) -> Self {
        let first = Self::default().condition.decoding;
        let decoding = &mut self.condition.decoding;
        if !(decoding.temperature >= 0.0 && decoding.temperature.is_finite()) {
            decoding.temperature = first.temperature;
        }
        if matches!(decoding.top_p, Published::Value(p) if !(p > 0.0 && p <= 1.0)) {
            decoding.top_p = first.top_p;
        }
        if matches!(decoding.repetition_penalty, Published::Value(x) if !(x > 0.0 && x.is_finite())) {
            decoding.repetition_penalty = first.repetition_penalty;
        }
        if decoding.top_k == Published::Value(0) {
            decoding.top_k = first.top_k;
        }
        decoding.max_new_tokens = decoding.max_new_tokens.clamp(1, MAX_NEW_TOKENS);
        if matches!(self.condition.latents, LatentChoice::Count(k) if !(1..=MAX_LATENTS).contains(&k)) {
            self.condition.latents = LatentChoice::default();
        }
        let map = LayoutForm::default();
        if !(self.map.perplexity >= 1.0 && self.map.perplexity.is_finite()) {
            self.map.perplexity = map.perplexity;
        }
        self.map.samples = self.map.samples.max(1);
        self.map.steps = self.map.steps.clamp(1, MAX_STEPS);
        if self.condition.max_pixels == PixelBudget::Pixels(0) {
            self.condition.max_pixels = PixelBudget::default();
        }
        self
    }

    /// Writes the file.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|e| crate::error::Error::io("create the folder", folder, e))?;
        }
        atomic::write_json(path, self)
    }

    /// Puts a folder first in a list of recent ones.
    pub fn remember_folder(list: &mut Vec<PathBuf>, path: PathBuf) {
        list.retain(|other| *other != path);
        list.insert(0, path);
        list.truncate(MAX_RECENT);
    }

    /// Remembers where a file of a kind lies: the next of them is looked for there.
    pub fn remember_place(&mut self, kind: PathKind, path: &Path) {
        let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return };
        let place = if kind.is_written() { &mut self.written_in } else { &mut self.read_from };
        folder.clone_into(place);
    }

    /// Puts a question first in the history.
    pub fn remember_question(&mut self, question: &str) {
        if question.trim().is_empty() {
            return;
        }
        self.history.retain(|other| other != question);
        self.history.insert(0, question.to_owned());
        self.history.truncate(MAX_HISTORY);
    }
}

/// The default with every value of `found` that fits put in: one that does not costs itself alone.
pub fn lenient<T: Default + Serialize + DeserializeOwned>(found: &Value) -> T {
    let mut root = serde_json::to_value(T::default()).expect("plain data serialises");
    put::<T>(&mut root, found, "");
    serde_json::from_value(root).unwrap_or_default()
}

/// Puts `found` at `path` of `root`, as far as the result is a `T`: objects field by field, lists item by item.
fn put<T: DeserializeOwned>(root: &mut Value, found: &Value, path: &str) {
    // A field this version does not have.
    let Some(place) = root.pointer_mut(path) else { return };
    if let (Value::Object(fields), true) = (found, place.is_object()) {
        for (key, value) in fields {
            let key = key.replace('~', "~0").replace('/', "~1");
            put::<T>(root, value, &format!("{path}/{key}"));
        }
        return;
    }
    let before = std::mem::replace(place, found.clone());
    if T::deserialize(&*root).is_ok() {
        return;
    }
    let mut set = |value: Value| {
        *root.pointer_mut(path).expect("it was just there") = value;
        T::deserialize(&*root).is_ok()
    };
    let Value::Array(items) = found else {
        log::warn!("{path} of the kept settings is unknown to this version");
        set(before);
        return;
    };
    let mut fitting = Vec::new();
    for item in items {
        fitting.push(item.clone());
        if !set(Value::Array(fitting.clone())) {
            fitting.pop();
        }
    }
    if !set(Value::Array(fitting)) {
        set(before);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::maps::Scalar;
    use crate::ask::MaskKind;

    #[test]
    fn history_has_each_question_once_the_latest_first() {
        let mut kept = Preferences::default();
        for question in ["a", "b", "a", " "] {
            kept.remember_question(question);
        }
        assert_eq!(kept.history, ["a", "b"]);
    }

    #[test]
    fn everything_comes_back() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let path = dir.path().join("deep/down/kept.json");
        let first_start = Preferences { words_read: false, ..Preferences::default() };
        assert_eq!(Preferences::read(&path), first_start);
        let mut kept = Preferences { question: "why?".to_owned(), ..Preferences::default() };
        kept.condition.mask = MaskKind::Bottleneck;
        kept.condition.latents = LatentChoice::Count(4);
        kept.view.style.smooth = true;
        kept.view.selection.layer = Some(crate::units::LayerIdx(3));
        kept.recent_models.push("/some/where".into());
        kept.write(&path).expect("it writes");
        assert_eq!(Preferences::read(&path), kept);
        // Numbers that no control would give.
        let decoding = json!({"temperature": -3, "top_p": {"value": 0.0}, "max_new_tokens": 9_000_000});
        let odd = json!({"settings": {"decoding": decoding, "latents": {"count": 0}}});
        std::fs::write(&path, odd.to_string()).expect("it writes");
        let mut longest = Preferences::default();
        longest.condition.decoding.max_new_tokens = MAX_NEW_TOKENS;
        assert_eq!(Preferences::read(&path), longest);
        std::fs::write(&path, "{ damaged").expect("it writes");
        assert_eq!(Preferences::read(&path), Preferences::default());
    }

    #[test]
    fn one_unknown_value_costs_itself_alone() {
        let found = json!({
            "question": "what?",
            "theme": "Sepia",
            "history": ["a", 5, "b"],
            "of_a_later_version": {"x": 1},
            "settings": {"mask": "upside-down", "latents": {"count": 4}, "decoding": {"max_new_tokens": 7, "top_p": "no"}},
            "view": {"style": {"opacity": "thick", "smooth": true}, "scalar": "Entropy"},
            "recent_models": "none",
        });
        let kept: Preferences = lenient(&found);
        let mut expected = Preferences { question: "what?".to_owned(), ..Preferences::default() };
        expected.history = vec!["a".to_owned(), "b".to_owned()];
        expected.condition.latents = LatentChoice::Count(4);
        expected.condition.decoding.max_new_tokens = 7;
        expected.view.style.smooth = true;
        expected.view.scalar = Scalar::Entropy;
        assert_eq!(kept, expected);
        // What a file lacks is as at the first start, in settings inside settings too.
        assert_eq!(
            lenient::<Preferences>(&json!({"settings": {"mask": "standard"}})),
            Preferences::default()
        );
        assert_eq!(lenient::<Preferences>(&json!([1, 2])), Preferences::default());
    }
}
