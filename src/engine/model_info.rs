//! What the user is told about a model.

use super::ids::ModelId;
use super::need::RunShape;

/// What the user is told about a model that is open.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// Which.
    pub id: ModelId,
    /// Folder name.
    pub name: String,
    /// `model_type`.
    pub family: &'static str,
    /// The adapter's folder name, where one is on.
    pub adapter: Option<String>,
    /// Where it runs.
    pub device: String,
    /// A GPU this build cannot use, as advice.
    pub device_advice: Option<String>,
    /// Element type, or bits of its linear layers.
    pub dtype: &'static str,
    /// Are its linear layers held in fewer bits than the checkpoint has?
    pub quantised: bool,
    /// What a run's memory depends on.
    pub run_shape: RunShape,
    /// Bytes of its weights on disk.
    pub weight_bytes: usize,
    /// L.
    pub num_layers: usize,
    /// H.
    pub num_heads: usize,
    /// K the model was trained with; 0 for none.
    pub trained_latents: usize,
    /// K there is room for.
    pub max_latents: usize,
    /// Pixels an image gets at most by default.
    pub auto_max_pixels: usize,
    /// Pixels an image gets at most by the checkpoint.
    pub checkpoint_max_pixels: usize,
    /// The penalty on repetitions that the checkpoint publishes.
    pub repetition_penalty: Option<f32>,
}
