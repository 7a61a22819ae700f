//! The models, on candle tensors so that every attention row and hidden state is reachable.
//!
//! They know token ids, roles and positions; nothing of text or of what a run leaves. There is no batch dimension:
//! several sequences go through as one, one after the other, and attention keeps them apart.

pub mod adapt;
pub mod cache;
pub mod changes;
pub mod compute;
mod decoder;
pub mod embedding;
pub mod informed;
pub mod linear;
pub mod loader;
pub mod norm;
pub mod pack;
pub mod param;
pub mod parts;
mod pass;
pub mod rotary;
pub mod tap;
pub mod text;
pub mod vision;

use candle_core::{DType, Device, Tensor};

use self::compute::Compute;
use self::loader::Loader;
use self::parts::Visit;
use self::text::TextModel;
use self::vision::{VisionTower, VisualFeatures};
use crate::array::Array;
use crate::checkpoint::config::ModelConfig;
use crate::checkpoint::latent_rows::LatentRows;
use crate::error::Result;
use crate::ops::weight::Precision;
use crate::units::{GridThw, Span};

/// A vision tower, a language model and what an adapter put on them. A clone shares the weights.
#[derive(Clone)]
pub struct Model {
    /// The shapes.
    pub config: ModelConfig,
    /// The language model.
    pub text: TextModel,
    vision: Box<dyn VisionTower>,
    device: Device,
    precision: Precision,
}

impl Model {
    /// Builds the model of `config` from what the loader hands out.
    pub fn load(loader: &Loader<'_>, config: &ModelConfig) -> Result<Self> {
        Ok(Self {
            config: config.clone(),
            vision: vision::load(loader, &config.vision)?,
            text: TextModel::load(loader, &config.text)?,
            device: loader.device.clone(),
            precision: loader.precision,
        })
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What it computes in, and how its weights are held.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Every part that holds weights, with its canonical name.
    pub fn each_part(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        self.text.each_part(visit)?;
        self.vision.each_part(visit)
    }

    /// Puts rows for the latents in, in the place of any there were.
    pub fn set_latents(&mut self, rows: &LatentRows) -> Result<()> {
        self.text.embedding_mut().set_rows(rows)
    }

    /// This model cut off from the graph of what is trained, for answering in between; values stay shared.
    pub fn detached(&self) -> Result<Self> {
        let mut model = self.clone();
        model.each_part(&mut |mut part| {
            part.detach();
            Ok(())
        })?;
        Ok(model)
    }

    /// The vision tower on the patches of all images: [P, C*T*P*P] -> visual tokens and `DeepStack` features.
    pub fn encode_images(
        &self,
        pixel_values: &Array,
        grids: &[GridThw],
        compute: &Compute<'_>,
    ) -> Result<VisualFeatures> {
        let patches = Tensor::from_slice(pixel_values.data(), pixel_values.shape(), &self.device)?;
        self.vision.forward(&patches.to_dtype(self.precision.dtype)?, grids, compute)
    }

    /// Token embeddings with visual tokens in the places of the placeholders: [N, D].
    pub fn embed(
        &self,
        ids: &[u32],
        image_spans: &[Span],
        features: Option<&VisualFeatures>,
    ) -> Result<Tensor> {
        let mut parts = Vec::new();
        let (mut next, mut used) = (0, 0);
        for span in image_spans {
            if span.start > next {
                parts.push(self.text.embedding().forward(&ids[next..span.start])?);
            }
            let features = features.expect("images come with features");
            parts.push(features.tokens.narrow(0, used, span.len())?);
            used += span.len();
            next = span.end;
        }
        if next < ids.len() {
            parts.push(self.text.embedding().forward(&ids[next..])?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, 0)? })
    }
}

/// A tensor as f32 on the host.
pub fn to_host(tensor: &Tensor) -> Result<Array> {
    let data = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Ok(Array::new(tensor.dims(), data))
}
