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
///
/// # Errors
/// A device without room, a stop.
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
pub fn image_key(model: &Model, input: &ModelInput, tower: TowerFiles<'_>, compute: &Compute<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytemuck::cast_slice::<f32, u8>(input.pixel_values.data()).hash(&mut hasher);
    input.grids.hash(&mut hasher);
    compute.isa.hash(&mut hasher);
    (model.precision().name(), format!("{:?}", model.device().location())).hash(&mut hasher);
    tower.hash(&mut hasher);
    hasher.finish()
}

/// Features of images that went through a vision tower: the same images, asked again in another way or with another adapter,
/// need not go through it again.
#[derive(Debug)]
pub struct SeenImages {
    held: HashMap<u64, VisualFeatures>,
    room: Room,
}

#[derive(Debug)]
enum Room {
    /// For the first so many more bytes.
    Bytes(usize),
    /// For those of the last call.
    LastCall,
}

/// Features of the inputs of a call.
pub struct SeenFeatures {
    /// Of each input; `None` without images.
    pub features: Vec<Option<VisualFeatures>>,
    /// Did any go through the tower?
    pub were_made: bool,
}

impl SeenImages {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self::up_to(0)
    }

    /// Keeps the first so many bytes of features. The first, not the last: whoever asks the same images again begins
    /// with them.
    pub fn up_to(bytes: usize) -> Self {
        Self { held: HashMap::new(), room: Room::Bytes(bytes) }
    }

    /// Keeps those of the last call: changing the mask or the question leaves the images as they were.
    pub fn of_last_call() -> Self {
        Self { held: HashMap::new(), room: Room::LastCall }
    }

    /// Lets all go.
    pub fn forget(&mut self) {
        self.held.clear();
    }

    /// The features of inputs: those that are here as they were, the others from the vision tower, all at once. Those of a
    /// tower of no files, which changes, are never kept.
    ///
    /// # Errors
    /// A device without room, a stop.
    pub fn features(
        &mut self,
        model: &Model,
        tower: Option<TowerFiles<'_>>,
        inputs: &[ModelInput],
        compute: &Compute<'_>,
    ) -> Result<SeenFeatures> {
        let keeps_none = self.held.is_empty() && matches!(self.room, Room::Bytes(0));
        let Some(tower) = tower.filter(|_| !keeps_none) else {
            let were_made = inputs.iter().any(|input| !input.grids.is_empty());
            return Ok(SeenFeatures { features: encode_together(model, inputs, compute)?, were_made });
        };
        let keys: Vec<u64> = inputs.iter().map(|input| image_key(model, input, tower, compute)).collect();
        let is_new = |(_, key): &(&ModelInput, &u64)| !self.held.contains_key(key);
        let (new, new_keys): (Vec<&ModelInput>, Vec<u64>) = inputs.iter().zip(&keys).filter(is_new).unzip();
        let made = encode_together(model, new.iter().copied(), compute)?;
        let were_made = made.iter().any(Option::is_some);
        let of = |key: &u64| {
            let new = || made[new_keys.iter().position(|new| new == key)?].as_ref();
            self.held.get(key).or_else(new).cloned()
        };
        let features: Vec<Option<VisualFeatures>> = keys.iter().map(of).collect();
        self.keep(&keys, &features);
        Ok(SeenFeatures { features, were_made })
    }

    fn keep(&mut self, keys: &[u64], features: &[Option<VisualFeatures>]) {
        if matches!(self.room, Room::LastCall) {
            self.held.retain(|key, _| keys.contains(key));
        }
        for (key, features) in keys.iter().zip(features) {
            let Some(features) = features.as_ref().filter(|_| !self.held.contains_key(key)) else { continue };
            if let Room::Bytes(left) = &mut self.room {
                let Some(rest) = left.checked_sub(features.size_bytes()) else { continue };
                *left = rest;
            }
            self.held.insert(*key, features.clone());
        }
    }
}
