//! `config.json` of the families we run, in the flat layout of old and the nested one of today.

use super::folder::{Folder, Json};
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

/// How the three axes of a position share the rotary frequencies of a head.
#[derive(Debug, Clone, PartialEq)]
pub struct MropeConfig {
    /// Frequencies given to the temporal, height and width axis; they add up to `head_dim / 2`.
    pub section: [usize; 3],
    /// Axes take turns (Qwen3-VL) instead of one block each (Qwen2.5-VL).
    pub interleaved: bool,
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
    pub mrope: MropeConfig,
    /// Do the query, key and value projections have a bias?
    pub qkv_bias: bool,
    /// Does the output projection have a bias?
    pub output_bias: bool,
    /// Are queries and keys normalised per head?
    pub qk_norm: bool,
    /// `Some(true)`: the embedding serves as output too. `None`: the config does not say.
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

const TIED: &str = "tie_word_embeddings";

impl ModelConfig {
    /// Reads `config.json` of a folder.
    pub fn read(folder: &Folder) -> Result<Self> {
        let root = folder.json("config.json")?;
        let family = match root.string("model_type")?.as_str() {
            "qwen2_5_vl" => Family::Qwen2_5Vl,
            "qwen3_vl" => Family::Qwen3Vl,
            _ => return Err(root.wrong("model_type", "qwen2_5_vl or qwen3_vl")),
        };
        // Old folders have the language model's fields at the top.
        let text_fields =
            root.object("text_config").filter(|t| t.has("hidden_size")).unwrap_or_else(|| root.clone());
        let vision_fields =
            root.object("vision_config").ok_or_else(|| root.wrong("vision_config", "an object"))?;
        let says = |fields: &Json| -> Result<Option<bool>> {
            fields.get(TIED).map(|_| fields.flag_or(TIED, false)).transpose()
        };
        let tied = match (says(&root)?, says(&text_fields)?) {
            // The reference's Qwen2.5 ties where either says so.
            (Some(false), Some(true)) if family == Family::Qwen2_5Vl => Some(true),
            (Some(tied), _) | (None, Some(tied)) => Some(tied),
            (None, None) => None,
        };
        let text = read_text(family, &text_fields, &root, tied)?;
        let vision = read_vision(family, &vision_fields)?;
        if vision.out_hidden_size != text.hidden_size {
            return Err(
                vision_fields.wrong("out_hidden_size", &format!("the hidden_size {}", text.hidden_size))
            );
        }
        let mut eos_token_ids = root.ids("eos_token_id")?;
        if eos_token_ids.is_empty() {
            eos_token_ids = text_fields.ids("eos_token_id")?;
        }
        let image_token_id = root.id("image_token_id")?;
        if image_token_id as usize >= text.vocab_size {
            return Err(root.wrong("image_token_id", &format!("an id below vocab_size {}", text.vocab_size)));
        }
        Ok(Self { family, text, vision, image_token_id, eos_token_ids })
    }
}

/// Past these a number is damage; within them products of sizes stay far from overflow.
mod largest {
    pub const LAYERS: usize = 1024;
    pub const HEADS: usize = 4096;
    pub const WIDTH: usize = 1 << 20;
    pub const VOCABULARY: usize = 1 << 24;
    pub const PATCH: usize = 1024;
    pub const MERGE: usize = 16;
    pub const CHANNELS: usize = 64;
}

fn read_text(family: Family, fields: &Json, root: &Json, tied: Option<bool>) -> Result<TextConfig> {
    // Where a field is absent, what the reference's config class takes.
    let (default_kv_heads, default_positions, default_eps) = match family {
        Family::Qwen2_5Vl => (8, 32_768, 1e-5),
        Family::Qwen3Vl => (32, 128_000, 1e-6),
    };
    let hidden_size = fields.size_up_to("hidden_size", largest::WIDTH)?;
    let num_heads = fields.size_up_to("num_attention_heads", largest::HEADS)?;
    let num_kv_heads = fields.size_up_to_or("num_key_value_heads", default_kv_heads, largest::HEADS)?;
    if !num_heads.is_multiple_of(num_kv_heads) {
        return Err(
            fields.wrong("num_key_value_heads", &format!("a divisor of the {num_heads} attention heads"))
        );
    }
    let head_dim = match family {
        // The reference ignores head_dim here.
        Family::Qwen2_5Vl => {
            if !hidden_size.is_multiple_of(num_heads) {
                return Err(
                    fields.wrong("hidden_size", &format!("a multiple of the {num_heads} attention heads"))
                );
            }
            hidden_size / num_heads
        }
        Family::Qwen3Vl => fields.size_up_to_or("head_dim", 128, largest::WIDTH)?,
    };
    if !head_dim.is_multiple_of(2) {
        return Err(Error::field(fields.path(), "head_dim", "an even number", head_dim.to_string()));
    }
    if fields.string_or("hidden_act", "silu")? != "silu" {
        return Err(fields.wrong("hidden_act", "silu"));
    }
    if fields.flag_or("use_sliding_window", false)? {
        return Err(fields.wrong("use_sliding_window", "false"));
    }
    let attention_bias = fields.flag_or("attention_bias", false)?;
    Ok(TextConfig {
        vocab_size: fields.size_up_to("vocab_size", largest::VOCABULARY)?,
        hidden_size,
        intermediate_size: fields.size_up_to("intermediate_size", largest::WIDTH)?,
        num_layers: fields.size_up_to("num_hidden_layers", largest::LAYERS)?,
        num_heads,
        num_kv_heads,
        head_dim,
        max_positions: fields.size_or("max_position_embeddings", default_positions)?,
        rms_norm_eps: fields.number_or("rms_norm_eps", default_eps)?,
        mrope: read_mrope(family, fields, root, head_dim)?,
        qkv_bias: family == Family::Qwen2_5Vl || attention_bias,
        output_bias: family == Family::Qwen3Vl && attention_bias,
        qk_norm: family == Family::Qwen3Vl,
        tied,
    })
}

/// `rope_parameters` (today), or `rope_scaling` with `rope_theta` beside it (of old).
fn read_mrope(family: Family, fields: &Json, root: &Json, head_dim: usize) -> Result<MropeConfig> {
    let half = head_dim / 2;
    let (default_section, default_theta) = match family {
        Family::Qwen2_5Vl => ([16, 24, 24], 1e6),
        Family::Qwen3Vl => ([24, 20, 20], 5e5),
    };
    let object = ["rope_parameters", "rope_scaling"]
        .iter()
        .find_map(|key| fields.object(key).or_else(|| root.object(key)));
    let theta_beside = fields.number_or("rope_theta", default_theta)?;
    let Some(object) = object else {
        let missing = || fields.wrong("rope_parameters", "an object with mrope_section");
        return (default_section.iter().sum::<usize>() == half)
            .then_some(MropeConfig {
                section: default_section,
                interleaved: family == Family::Qwen3Vl,
                theta: theta_beside,
            })
            .ok_or_else(missing);
    };
    let type_key = if object.has("rope_type") { "rope_type" } else { "type" };
    if !matches!(object.string_or(type_key, "default")?.as_str(), "default" | "mrope") {
        return Err(object.wrong(type_key, "default or mrope"));
    }
    let list =
        if object.has("mrope_section") { object.indices("mrope_section")? } else { default_section.to_vec() };
    let section = <[usize; 3]>::try_from(list)
        .ok()
        .filter(|section| section.iter().all(|n| *n <= half) && section.iter().sum::<usize>() == half)
        .ok_or_else(|| {
            object.wrong("mrope_section", &format!("3 numbers that add up to head_dim/2 = {half}"))
        })?;
    let theta = object.number_or("rope_theta", theta_beside)?;
    if theta <= 0.0 {
        return Err(object.wrong("rope_theta", "a number above 0"));
    }
    Ok(MropeConfig { section, interleaved: family == Family::Qwen3Vl, theta })
}

fn read_vision(family: Family, fields: &Json) -> Result<VisionConfig> {
    let depth = fields.size_up_to("depth", largest::LAYERS)?;
    let hidden_size = fields.size_up_to("hidden_size", largest::WIDTH)?;
    let num_heads = fields.size_up_to("num_heads", largest::HEADS)?;
    if !hidden_size.is_multiple_of(4 * num_heads) {
        return Err(fields.wrong("hidden_size", &format!("a multiple of 4 x {num_heads} heads")));
    }
    let patch_size = patch_size_of(fields, if family == Family::Qwen3Vl { 16 } else { 14 })?;
    let merge_size = fields.size_up_to_or("spatial_merge_size", 2, largest::MERGE)?;
    let blocks = |key: &str, default: &[usize]| -> Result<Vec<usize>> {
        let list = if fields.has(key) { fields.indices(key)? } else { default.to_vec() };
        if list.iter().any(|&block| block >= depth) {
            return Err(fields.wrong(key, &format!("block numbers below depth {depth}")));
        }
        Ok(list)
    };
    let (kind, default_act) = match family {
        Family::Qwen2_5Vl => {
            let window_size = fields.size_or("window_size", 112)?;
            if window_size / merge_size / patch_size == 0 {
                return Err(
                    fields.wrong("window_size", &format!("at least {} pixels", merge_size * patch_size))
                );
            }
            let full_attention_blocks = blocks("fullatt_block_indexes", &[7, 15, 23, 31])?;
            (VisionKind::Windowed { window_size, full_attention_blocks }, "silu")
        }
        Family::Qwen3Vl => {
            let positions = fields.size_or("num_position_embeddings", 2304)?;
            let side = positions.isqrt();
            if side * side != positions {
                return Err(fields.wrong("num_position_embeddings", "a square number"));
            }
            let deepstack_blocks = blocks("deepstack_visual_indexes", &[8, 16, 24])?;
            (VisionKind::DeepStack { positions_per_side: side, deepstack_blocks }, "gelu_pytorch_tanh")
        }
    };
    let activation = match fields.string_or("hidden_act", default_act)?.as_str() {
        "silu" => Activation::Silu,
        "gelu_pytorch_tanh" => Activation::GeluTanh,
        "gelu" => Activation::Gelu,
        _ => return Err(fields.wrong("hidden_act", "silu, gelu or gelu_pytorch_tanh")),
    };
    let rope_theta = match fields.object("rope_parameters") {
        Some(rope) => rope.number_or("rope_theta", 10_000.0)?,
        None => 10_000.0,
    };
    if rope_theta <= 0.0 {
        return Err(fields.wrong("rope_parameters", "a rope_theta above 0"));
    }
    Ok(VisionConfig {
        depth,
        hidden_size,
        intermediate_size: fields.size_up_to("intermediate_size", largest::WIDTH)?,
        num_heads,
        out_hidden_size: fields.size_up_to("out_hidden_size", largest::WIDTH)?,
        in_channels: channels_of(fields)?,
        patch_size,
        temporal_patch_size: fields.size_up_to_or("temporal_patch_size", 2, largest::CHANNELS)?,
        merge_size,
        rope_theta,
        activation,
        kind,
    })
}

/// `patch_size`, or its old name.
fn patch_size_of(fields: &Json, default: usize) -> Result<usize> {
    let key = if fields.has("patch_size") { "patch_size" } else { "spatial_patch_size" };
    fields.size_up_to_or(key, default, largest::PATCH)
}

/// `in_channels`, or its old name.
fn channels_of(fields: &Json) -> Result<usize> {
    let key = if fields.has("in_channels") { "in_channels" } else { "in_chans" };
    fields.size_up_to_or(key, 3, largest::CHANNELS)
}

/// End-of-turn ids: `generation_config.json` where it names any, else `config.json`.
pub fn end_of_turn_ids(folder: &Folder, config: &ModelConfig) -> Result<Vec<u32>> {
    if folder.has("generation_config.json") {
        let ids = folder.json("generation_config.json")?.ids("eos_token_id")?;
        if !ids.is_empty() {
            return Ok(ids);
        }
    }
    Ok(config.eos_token_ids.clone())
}
