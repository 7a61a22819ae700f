//! Visual features of images: of several inputs at once, and of images that were seen before.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::array::Array;
use crate::checkpoint::folder::Stamp;
use crate::error::Result;
use crate::input::model_input::ModelInput;
use crate::model::Model;
use crate::model::compute::Compute;
use crate::model::vision::VisualFeatures;

/// The images of several inputs through the vision tower at once; each gets its own features.
pub fn encode_together<'a>(
    model: &Model,
    inputs: impl IntoIterator<Item = &'a ModelInput> + Clone,
    compute: &Compute<'_>,
) -> Result<Vec<Option<VisualFeatures>>> {
    let mut pixels = Array::default();
    let mut grids = Vec::new();
    for input in inputs.clone().into_iter().filter(|input| !input.grids.is_empty()) {
        pixels.extend(input.pixel_values.clone());
        grids.extend_from_slice(&input.grids);
    }
    if grids.is_empty() {
        return Ok(vec![None; inputs.into_iter().count()]);
    }
    let all = model.encode_images(&pixels, &grids, compute)?.detached();
    let mut start = 0;
    let own = |input: &ModelInput| {
        if input.grids.is_empty() {
            return Ok(None);
        }
        let len = input.grids.iter().map(|grid| grid.num_visual_tokens(input.merge_size)).sum();
        let part = all.narrow(start, len)?;
        start += len;
        Ok(Some(part))
    };
    inputs.into_iter().map(own).collect()
}

/// The files a vision tower was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TowerFiles<'a> {
    /// The base's.
    pub base: &'a Stamp,
    /// The adapter's, where it reaches into the tower.
    pub adapter: Option<&'a Stamp>,
}

/// What the features of an input's images hang on: their pixels, the vision tower, and how it is computed.
pub fn image_key(input: &ModelInput, tower: TowerFiles<'_>, compute: &Compute<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytemuck::cast_slice::<f32, u8>(input.pixel_values.data()).hash(&mut hasher);
    input.grids.hash(&mut hasher);
    compute.isa.hash(&mut hasher);
    tower.hash(&mut hasher);
    hasher.finish()
}

/// Features of images that went through a vision tower, kept as long as there is room: the same images, asked again in
/// another way or with another adapter, need not go through it again.
#[derive(Debug)]
pub struct SeenImages {
    held: HashMap<u64, VisualFeatures>,
    free_bytes: usize,
}

impl SeenImages {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self::up_to(0)
    }

    /// Keeps the first so many bytes of features. The first, not the last: whoever asks the same images again begins
    /// with them.
    pub fn up_to(bytes: usize) -> Self {
        Self { held: HashMap::new(), free_bytes: bytes }
    }

    /// The features of inputs: those that are here as they were, the others from the vision tower, all at once.
    pub fn features(
        &mut self,
        model: &Model,
        tower: TowerFiles<'_>,
        inputs: &[ModelInput],
        compute: &Compute<'_>,
    ) -> Result<Vec<Option<VisualFeatures>>> {
        if self.held.is_empty() && self.free_bytes == 0 {
            return encode_together(model, inputs, compute);
        }
        let keys: Vec<u64> = inputs.iter().map(|input| image_key(input, tower, compute)).collect();
        let is_new = |(_, key): &(&ModelInput, &u64)| !self.held.contains_key(key);
        let (new, new_keys): (Vec<&ModelInput>, Vec<u64>) = inputs.iter().zip(&keys).filter(is_new).unzip();
        let made = encode_together(model, new.iter().copied(), compute)?;
        let of = |key: &u64| {
            let new = || made[new_keys.iter().position(|new| new == key)?].as_ref();
            self.held.get(key).or_else(new).cloned()
        };
        let all = keys.iter().map(of).collect();
        for (key, features) in new_keys.into_iter().zip(made) {
            let Some(features) = features.filter(|_| !self.held.contains_key(&key)) else { continue };
            if let Some(left) = self.free_bytes.checked_sub(features.size_bytes()) {
                self.free_bytes = left;
                self.held.insert(key, features);
            }
        }
        Ok(all)
    }
}
