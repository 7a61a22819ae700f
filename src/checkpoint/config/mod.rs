//! `config.json`, in the flat layout of old and the nested one of today. A family's reader is a file of its own.

mod fields;
mod qwen2_5_vl;
mod qwen3_vl;

use super::folder::Folder;
use super::json::Json;
use crate::error::{Error, Result};

/// The architectures this program implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Window-attention vision tower, sectioned multimodal rotary positions.
    Qwen2_5Vl,
    /// `DeepStack`, interleaved multimodal rotary positions, query/key norms.
    Qwen3Vl,
}

impl Family {
    /// The `model_type` of `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Qwen2_5Vl => "qwen2_5_vl",
            Self::Qwen3Vl => "qwen3_vl",
        }
    }
}

/// The non-linearity of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x * sigmoid(x).
    Silu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// GELU by the error function.
    Gelu,
}

/// How the axes of a position share the rotary frequencies of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotaryAxes {
    /// One position counts, as in a language model without images.
    Single,
    /// Temporal, height and width take a block of frequencies each; the sizes add up to `head_dim / 2`.
    Sectioned([usize; 3]),
    /// They take turns, as often as their sizes say.
    Interleaved([usize; 3]),
}

/// Rotary positions of the language model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RotaryConfig {
    /// Who turns which frequency.
    pub axes: RotaryAxes,
    /// Base of the frequencies.
    pub theta: f64,
}

/// The language model.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Rows of the embedding, spare ones included.
    pub vocab_size: usize,
    /// D, width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward block.
    pub intermediate_size: usize,
    /// L, decoder layers.
    pub num_layers: usize,
    /// H, query heads.
    pub num_heads: usize,
    /// Key-value heads; each serves `num_heads / num_kv_heads` query heads.
    pub num_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Longest sequence the positions were trained for.
    pub max_positions: usize,
    /// Epsilon of the norms.
    pub rms_norm_eps: f64,
    /// Rotary positions.
    pub rotary: RotaryConfig,
    /// Do the query, key and value projections have a bias?
    pub qkv_bias: bool,
    /// Does the output projection have a bias?
    pub output_bias: bool,
    /// Are queries and keys normalised per head?
    pub qk_norm: bool,
    /// `Some(true)`: the embedding serves as output too, unless the files hold two that differ. `None`: the
    /// config does not say.
    pub tied: Option<bool>,
}

/// What only one family's vision tower has.
#[derive(Debug, Clone, PartialEq)]
pub enum VisionKind {
    /// Qwen2.5-VL: attention inside windows but in some blocks.
    Windowed {
        /// Window side in pixels.
        window_size: usize,
        /// Blocks that attend over the whole image.
        full_attention_blocks: Vec<usize>,
    },
    /// Qwen3-VL: learned positions, features of early blocks added to the first decoder layers.
    DeepStack {
        /// Side of the square table of learned positions.
        positions_per_side: usize,
        /// Blocks whose output is merged and handed on.
        deepstack_blocks: Vec<usize>,
    },
}

/// The vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// Blocks.
    pub depth: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward block.
    pub intermediate_size: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Width of what it hands to the language model.
    pub out_hidden_size: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Frames in a patch; a still image is repeated.
    pub temporal_patch_size: usize,
    /// Patches on a side of a visual token.
    pub merge_size: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Non-linearity of the feed-forward block.
    pub activation: Activation,
    /// What the families do not share.
    pub kind: VisionKind,
}

impl VisionConfig {
    /// Values of one flattened patch: C * T * P * P.
    pub fn patch_dim(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }
}

/// All that `config.json` says.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The architecture.
    pub family: Family,
    /// The language model.
    pub text: TextConfig,
    /// The vision tower.
    pub vision: VisionConfig,
    /// Id of `<|image_pad|>`.
    pub image_token_id: u32,
    /// End-of-sequence ids the config names; `generation_config.json` overrides them.
    pub eos_token_ids: Vec<u32>,
}

impl ModelConfig {
    /// Reads `config.json` of a folder.
    ///
    /// # Errors
    /// A file that is not there or cannot be read, and as [`Self::from_json`].
    pub fn read(folder: &Folder) -> Result<Self> {
        Self::from_json(&folder.json("config.json")?)
    }

    /// The content of a `config.json`.
    ///
    /// # Errors
    /// A model of another kind, quantised weights, a field that is not there, is wrong or does not fit the others.
    pub fn from_json(root: &Json) -> Result<Self> {
        check_stored(root)?;
        let config = match root.string("model_type")?.as_str() {
            "qwen2_5_vl" => qwen2_5_vl::read(root)?,
            "qwen3_vl" => qwen3_vl::read(root)?,
            other => {
                let expected = "qwen2_5_vl or qwen3_vl";
                if other.contains("moe") {
                    let found = format!("\"{other}\", a mixture of experts");
                    return Err(Error::field(root.path(), "model_type", expected, found));
                }
                return Err(root.wrong("model_type", expected));
            }
        };
        let (text, vision) = (&config.text, &config.vision);
        if vision.out_hidden_size != text.hidden_size {
            let fields = root.object("vision_config").unwrap_or_else(|| root.clone());
            return Err(fields.wrong("out_hidden_size", &format!("the hidden_size {}", text.hidden_size)));
        }
        if config.image_token_id as usize >= text.vocab_size {
            return Err(root.wrong("image_token_id", &format!("an id below vocab_size {}", text.vocab_size)));
        }
        Ok(config)
    }
}

/// Names the kinds of storage this program cannot read, before a tensor of another type is complained of.
fn check_stored(root: &Json) -> Result<()> {
    let text = root.object("text_config");
    let mut stored = [Some(root), text.as_ref()].into_iter().flatten();
    let Some(stored) = stored.find_map(|fields| fields.object("quantization_config")) else {
        return Ok(());
    };
    let method = stored.string_or("quant_method", "unknown")?;
    let name = match method.as_str() {
        "awq" => "AWQ",
        "gptq" => "GPTQ",
        "bitsandbytes" => "bitsandbytes",
        "fp8" | "fbgemm_fp8" => "FP8",
        "compressed-tensors" => "compressed-tensors",
        other => other,
    };
    Err(Error::field(
        root.path(),
        "quantization_config",
        "weights as f32, bf16 or f16",
        format!("a checkpoint quantised by {name}"),
    ))
}
