//! Fixtures, recorded reference outputs, and copies of checkpoints to damage.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use livr_explorer::ask::{
    AttentionRows, Condition, Decoding, DeviceChoice, DtypeChoice, HiddenRows, Keep, LatentChoice, LogitRows,
    MaskKind,
};
use livr_explorer::data::draw::marks::Ink;
use livr_explorer::data::picture::Picture;
use livr_explorer::data::sample::Sample;
use livr_explorer::data::tasks::{Counts, Task, TasksOrder, make};
use livr_explorer::engine::ids::{BaseId, ModelId, Source};
use livr_explorer::engine::model_info::ModelInfo;
use livr_explorer::engine::models::Models;
use livr_explorer::error::Result;
use livr_explorer::input::processor::Processor;
use livr_explorer::model::compute::Compute;
use livr_explorer::progress::{Observer, Unobserved};
use livr_explorer::trace::Trace;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;

/// All checkpoints with recorded outputs.
pub const FIXTURES: [&str; 4] = ["qwen2_5_vl", "qwen3_vl", "qwen2_5_vl_big", "qwen3_vl_big"];

/// A folder of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A tiny model with random weights and 16 latents: what it answers means nothing, but it never changes.
pub fn tiny() -> (Source, Option<Source>) {
    (Source::folder(fixture("tiny/model")), Some(Source::folder(fixture("tiny/adapter"))))
}

/// A photograph of a cup of coffee.
pub fn photo() -> Picture {
    Picture::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/photos/coffee.png")).unwrap()
}

/// A folder with `data` of these tasks: so many samples for each split, of 64 pixels.
pub fn drawn(tasks: &[Task], counts: [usize; 3]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let order = TasksOrder {
        tasks: tasks.to_vec(),
        counts: Counts(counts),
        seed: 3,
        side: 64,
        ink: Ink::Red,
        grounding: false,
        images: None,
    };
    make(&order, &dir.path().join("data"), &Unobserved).unwrap();
    dir
}

/// One recorded run of the reference.
pub struct Case {
    pub dir: PathBuf,
    pub name: String,
    pub value: Value,
}

impl Case {
    /// All cases of a fixture.
    pub fn all(fixture_name: &str) -> Vec<Self> {
        let dir = fixture(fixture_name);
        let text = std::fs::read_to_string(dir.join("cases.json")).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        file["cases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|value| Self {
                dir: dir.clone(),
                name: value["name"].as_str().unwrap().to_owned(),
                value: value.clone(),
            })
            .collect()
    }

    /// One case of a fixture.
    pub fn named(fixture_name: &str, name: &str) -> Self {
        Self::all(fixture_name).into_iter().find(|case| case.name == name).unwrap()
    }

    pub fn uses_adapter(&self) -> bool {
        self.value["adapter"].as_bool().unwrap()
    }

    pub fn sample(&self) -> Sample {
        let paths = self.value["images"].as_array().unwrap();
        let images = paths
            .iter()
            .map(|p| Arc::new(Picture::read(&self.dir.join(p.as_str().unwrap())).unwrap()))
            .collect();
        Sample { images, prompt: self.value["prompt"].as_str().unwrap().to_owned(), choices: Vec::new() }
    }

    pub fn settings(&self, keep: Keep) -> Asking {
        let mask = match self.value["mask"].as_str().unwrap() {
            "standard" => MaskKind::Standard,
            "bottleneck" => MaskKind::Bottleneck,
            "answer_only" => MaskKind::AnswerOnly,
            "bottleneck_latent_prompt" => MaskKind::BottleneckLatentPrompt,
            other => panic!("unknown mask {other}"),
        };
        let latents = match self.value["latents"].as_u64().unwrap() as usize {
            0 => LatentChoice::Off,
            n => LatentChoice::Count(n),
        };
        let decoding = Decoding { max_new_tokens: 6, ..Decoding::default() };
        Asking { condition: Condition { mask, latents, decoding, ..Condition::default() }, keep }
    }

    pub fn golden(&self) -> Golden {
        Golden::read(&self.dir.join("golden").join(format!("{}.safetensors", self.name)))
    }
}

/// How a sample is asked, and what is kept.
#[derive(Debug, Clone, Default)]
pub struct Asking {
    pub condition: Condition,
    pub keep: Keep,
}

impl Deref for Asking {
    type Target = Condition;

    fn deref(&self) -> &Condition {
        &self.condition
    }
}

impl DerefMut for Asking {
    fn deref_mut(&mut self) -> &mut Condition {
        &mut self.condition
    }
}

impl From<Condition> for Asking {
    fn from(condition: Condition) -> Self {
        Self { condition, keep: Keep::default() }
    }
}

/// Keep everything.
pub fn everything() -> Keep {
    Keep {
        attention: AttentionRows::Full,
        hidden: Some(HiddenRows::all()),
        logits: LogitRows::Full,
        pixels: true,
        ..Keep::default()
    }
}

/// Keep the scores that chose the answer.
pub fn logits() -> Keep {
    Keep { logits: LogitRows::Answer, ..Keep::default() }
}

/// The scores after the prompt, [V].
pub fn last_logits(trace: &Trace) -> &[f32] {
    trace.logits.as_ref().unwrap().last()
}

/// A safetensors file read whole.
pub struct Golden {
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

impl Golden {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file
            .iter()
            .map(|(name, view)| {
                (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
            })
            .collect();
        Self { tensors }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub fn shape(&self, name: &str) -> &[usize] {
        &self.tensors[name].1
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        let (dtype, _, bytes) = &self.tensors[name];
        assert_eq!(*dtype, Dtype::F32, "{name}");
        bytes.as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect()
    }

    pub fn tensor(&self, name: &str) -> Tensor {
        Tensor::from_vec(self.floats(name), self.shape(name), &Device::Cpu).unwrap()
    }

    pub fn integers(&self, name: &str) -> Vec<i64> {
        let (dtype, _, bytes) = &self.tensors[name];
        assert_eq!(*dtype, Dtype::I64, "{name}");
        bytes.as_chunks().0.iter().map(|raw| i64::from_le_bytes(*raw)).collect()
    }

    pub fn levels(&self, name: &str) -> &[u8] {
        &self.tensors[name].2
    }
}

/// Largest difference relative to the largest value of the reference.
pub fn relative_error(ours: &[f32], reference: &[f32]) -> f32 {
    assert_eq!(ours.len(), reference.len());
    let largest = reference.iter().fold(0f32, |m, v| m.max(v.abs()));
    let difference = ours.iter().zip(reference).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    difference / largest
}

/// A folder as the engine knows it.
pub fn source(path: &Path) -> Source {
    Source::Folder(path.to_owned())
}

/// The id of a checkpoint folder and an adapter, on the CPU.
pub fn model_id(model: &Path, adapter: Option<&Path>, dtype: DtypeChoice) -> ModelId {
    let base = BaseId { source: source(model), device: DeviceChoice::Cpu, dtype };
    ModelId { base, adapter: adapter.map(source) }
}

/// A model in use, with what is needed to put another adapter on it.
pub struct Loaded {
    pub models: Models,
    pub id: ModelId,
}

impl Loaded {
    pub fn run(&mut self, sample: &Sample, settings: &Asking, observer: &dyn Observer) -> Result<Trace> {
        self.run_with(sample, settings, &Compute::observed(observer))
    }

    pub fn run_with(&mut self, sample: &Sample, settings: &Asking, compute: &Compute<'_>) -> Result<Trace> {
        self.models.session(&self.id).unwrap().run(sample, &settings.condition, &settings.keep, None, compute)
    }

    pub fn set_adapter(&mut self, adapter: Option<&Path>) -> Result<()> {
        let id = self.id.with_adapter(adapter.map(source));
        self.models.open(&id, &Unobserved)?;
        self.id = id;
        Ok(())
    }

    pub fn info(&mut self) -> ModelInfo {
        self.models.session(&self.id).unwrap().info()
    }

    pub fn processor(&mut self) -> &Processor {
        self.models.session(&self.id).unwrap().processor()
    }
}

/// Loads a checkpoint folder on the CPU.
pub fn load(model: &Path, adapter: Option<&Path>) -> Result<Loaded> {
    load_as(model, adapter, DtypeChoice::F32)
}

pub fn load_as(model: &Path, adapter: Option<&Path>, dtype: DtypeChoice) -> Result<Loaded> {
    let mut models = Models::default();
    let id = model_id(model, adapter, dtype);
    models.open(&id, &Unobserved)?;
    Ok(Loaded { models, id })
}

/// A tensor to be written: name, type, shape, bytes.
pub type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

/// A copy of a fixture's folder, to be changed.
pub struct Copy {
    pub dir: TempDir,
}

/// The weights of a copied folder.
pub const MODEL: &str = "model.safetensors";

impl Copy {
    /// Copies `tests/fixtures/{fixture}/{part}`.
    pub fn of(fixture_name: &str, part: &str) -> Self {
        let dir = TempDir::new().unwrap();
        for entry in std::fs::read_dir(fixture(fixture_name).join(part)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn remove(&self, file: &str) {
        std::fs::remove_file(self.path().join(file)).unwrap();
    }

    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(file), content).unwrap();
    }

    pub fn edit_json(&self, file: &str, edit: impl FnOnce(&mut Value)) {
        let path = self.path().join(file);
        let mut value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        edit(&mut value);
        std::fs::write(path, serde_json::to_string_pretty(&value).unwrap()).unwrap();
    }

    pub fn tensors(&self, file: &str) -> Vec<Stored> {
        let bytes = std::fs::read(self.path().join(file)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        file.iter()
            .map(|(name, v)| (name.to_owned(), v.dtype(), v.shape().to_vec(), v.data().to_vec()))
            .collect()
    }

    pub fn write_tensors(&self, file: &str, tensors: &[Stored]) {
        let views: Vec<(String, TensorView<'_>)> = tensors
            .iter()
            .map(|(name, dtype, shape, data)| {
                (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap())
            })
            .collect();
        std::fs::write(self.path().join(file), safetensors::serialize(views, None).unwrap()).unwrap();
    }

    pub fn edit_tensors(&self, file: &str, edit: impl FnMut(&mut Stored)) {
        let mut tensors = self.tensors(file);
        tensors.iter_mut().for_each(edit);
        self.write_tensors(file, &tensors);
    }

    /// Leaves only the first `rows` of the embedding, and says so in the config.
    pub fn cut_vocabulary(&self, rows: usize) {
        self.edit_tensors(MODEL, |tensor| {
            if tensor.0.ends_with("embed_tokens.weight") {
                tensor.2[0] = rows;
                tensor.3.truncate(rows * tensor.2[1] * 4);
            }
        });
        self.edit_json("config.json", |config| config["text_config"]["vocab_size"] = rows.into());
    }
}
