//! The models, on candle tensors so that every attention row and hidden state is reachable.
//!
//! Sequences have no batch dimension: a run is one sample, and training accumulates over samples.

pub mod attention;
pub mod cache;
pub mod generate;
pub mod layers;
pub mod loader;
pub mod mask;
pub mod qwen2_5_vl;
pub mod qwen3_vl;
pub mod sampler;
pub mod tap;
pub mod text;
pub mod vision;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use self::layers::{Linear, Math};
use self::loader::Loader;
use self::text::TextModel;
use self::vision::VisualFeatures;
use crate::checkpoint::adapter::Adapter;
use crate::checkpoint::config::{ModelConfig, VisionKind};
use crate::error::{Error, Result};
use crate::progress::Observer;
use crate::trace::Array;
use crate::units::{GridThw, Span};

enum VisionTower {
    Qwen2_5(qwen2_5_vl::VisionTower),
    Qwen3(qwen3_vl::VisionTower),
}

/// A vision tower, a language model and what may be put on them.
pub struct Model {
    /// The shapes.
    pub config: ModelConfig,
    /// The language model.
    pub text: TextModel,
    vision: VisionTower,
    device: Device,
    dtype: DType,
}

impl Model {
    /// Builds the model of `config` from what the loader hands out.
    pub fn load(loader: &Loader<'_>, config: &ModelConfig) -> Result<Self> {
        let vision = match &config.vision.kind {
            VisionKind::Windowed { window_size, full_attention_blocks } => VisionTower::Qwen2_5(
                qwen2_5_vl::VisionTower::load(loader, &config.vision, *window_size, full_attention_blocks)?,
            ),
            VisionKind::DeepStack { positions_per_side, deepstack_blocks } => VisionTower::Qwen3(
                qwen3_vl::VisionTower::load(loader, &config.vision, *positions_per_side, deepstack_blocks)?,
            ),
        };
        Ok(Self {
            config: config.clone(),
            text: TextModel::load(loader, &config.text)?,
            vision,
            device: loader.device.clone(),
            dtype: loader.dtype,
        })
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Element type of its weights.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        let vision = match &mut self.vision {
            VisionTower::Qwen2_5(tower) => tower.linears_mut(),
            VisionTower::Qwen3(tower) => tower.linears_mut(),
        };
        self.text.linears_mut().chain(vision)
    }

    /// Puts an adapter on in place of the one before, or takes it off. An adapter that does not fit
    /// changes nothing.
    pub fn set_adapter(&mut self, adapter: Option<&Adapter>) -> Result<()> {
        if let Some(adapter) = adapter {
            self.check_fit(adapter)?;
        }
        for linear in self.linears_mut() {
            let pair = adapter.and_then(|a| a.lora.get(linear.name()));
            linear.set_lora(pair)?;
        }
        self.text.set_latent_rows(adapter.and_then(|a| a.latent_rows.as_ref()))
    }

    fn check_fit(&mut self, adapter: &Adapter) -> Result<()> {
        let file = adapter.folder.path("adapter_model.safetensors");
        let mut dims = BTreeMap::new();
        for linear in self.linears_mut() {
            dims.insert(linear.name().to_owned(), linear.dims()?);
        }
        for (module, pair) in &adapter.lora {
            let Some((out_dim, in_dim)) = dims.get(module) else {
                return Err(Error::field(file, module, "a linear layer of this model", "none of that name"));
            };
            for (half, tensor, axis, expected) in
                [("lora_A", &pair.a, 1, in_dim), ("lora_B", &pair.b, 0, out_dim)]
            {
                let found = tensor.dim(axis)?;
                if found != *expected {
                    let field = format!("{module}.{half}");
                    let expected = format!("{expected} as in this model (dimension {axis})");
                    return Err(Error::field(file, field, expected, found.to_string()));
                }
            }
        }
        if let Some(rows) = &adapter.latent_rows {
            let (found, expected) = (rows.rows.dim(1)?, self.config.text.hidden_size);
            if found != expected {
                return Err(Error::field(
                    adapter.folder.root(),
                    "latent_rows",
                    format!("rows of hidden_size {expected}"),
                    found.to_string(),
                ));
            }
        }
        Ok(())
    }

    /// The vision tower on the patches of all images: [P, C*T*P*P] -> visual tokens and `DeepStack` features.
    pub fn encode_images(
        &self,
        pixel_values: &Array,
        grids: &[GridThw],
        math: Math,
        observer: &dyn Observer,
    ) -> Result<VisualFeatures> {
        let patches = Tensor::from_slice(&pixel_values.data, pixel_values.shape.clone(), &self.device)?;
        let patches = patches.to_dtype(self.dtype)?;
        match &self.vision {
            VisionTower::Qwen2_5(tower) => tower.forward(&patches, grids, math, observer),
            VisionTower::Qwen3(tower) => tower.forward(&patches, grids, math, observer),
        }
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
                parts.push(self.text.embed(&ids[next..span.start])?);
            }
            let features = features.expect("images come with features");
            parts.push(features.tokens.narrow(0, used, span.len())?);
            used += span.len();
            next = span.end;
        }
        if next < ids.len() {
            parts.push(self.text.embed(&ids[next..])?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, 0)? })
    }
}
