//! From a sample to what the model reads: token ids, the role of every token, patches, grids, positions.

pub mod image_processor;
pub mod latents;
pub mod model_input;
pub mod positions;
pub mod processor;
pub mod resample;
pub mod template;
pub mod tokens;
