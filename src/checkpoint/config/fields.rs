//! Fields that the families share, each under whatever name it has had.

use super::{Activation, RotaryAxes, RotaryConfig, TextConfig, VisionConfig, VisionKind};
use crate::checkpoint::json::Json;
use crate::error::{Error, Result};

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

/// What a family's language model takes where a field is absent, and what its config cannot say.
pub(super) struct TextFamily {
    pub(super) num_kv_heads: usize,
    pub(super) max_positions: usize,
    pub(super) rms_norm_eps: f64,
    /// Width of a head where the config may say it; `None` where it follows from `hidden_size`.
    pub(super) head_dim: Option<usize>,
    pub(super) qkv_bias: bool,
    pub(super) output_bias: bool,
    pub(super) qk_norm: bool,
    pub(super) section: [usize; 3],
    pub(super) theta: f64,
    /// Which axes turn which frequency.
    pub(super) axes: fn([usize; 3]) -> RotaryAxes,
}

/// What a family's vision tower takes where a field is absent.
pub(super) struct VisionFamily {
    pub(super) patch_size: usize,
    pub(super) activation: &'static str,
}

/// The language model's fields: nested today, at the top of old.
pub(super) fn text_fields(root: &Json) -> Json {
    root.object("text_config").filter(|t| t.has("hidden_size")).unwrap_or_else(|| root.clone())
}

/// The vision tower's fields.
pub(super) fn vision_fields(root: &Json) -> Result<Json> {
    root.object("vision_config").ok_or_else(|| root.wrong("vision_config", "an object"))
}

/// `tie_word_embeddings` at the top and of the language model.
pub(super) fn tied(root: &Json, text: &Json) -> Result<[Option<bool>; 2]> {
    const TIED: &str = "tie_word_embeddings";
    let says = |fields: &Json| -> Result<Option<bool>> {
        fields.get(TIED).map(|_| fields.flag_or(TIED, false)).transpose()
    };
    Ok([says(root)?, says(text)?])
}

/// End-of-sequence ids, at the top or of the language model.
pub(super) fn eos_token_ids(root: &Json, text: &Json) -> Result<Vec<u32>> {
    let ids = root.ids("eos_token_id")?;
    if ids.is_empty() { text.ids("eos_token_id") } else { Ok(ids) }
}

/// The language model.
pub(super) fn read_text(
    family: &TextFamily,
    fields: &Json,
    root: &Json,
    tied: Option<bool>,
) -> Result<TextConfig> {
    let hidden_size = fields.size_up_to("hidden_size", largest::WIDTH)?;
    let num_heads = fields.size_up_to("num_attention_heads", largest::HEADS)?;
    let num_kv_heads = fields.size_up_to_or("num_key_value_heads", family.num_kv_heads, largest::HEADS)?;
    if !num_heads.is_multiple_of(num_kv_heads) {
        return Err(
            fields.wrong("num_key_value_heads", &format!("a divisor of the {num_heads} attention heads"))
        );
    }
    let head_dim = match family.head_dim {
        Some(default) => fields.size_up_to_or("head_dim", default, largest::WIDTH)?,
        None if !hidden_size.is_multiple_of(num_heads) => {
            return Err(
                fields.wrong("hidden_size", &format!("a multiple of the {num_heads} attention heads"))
            );
        }
        None => hidden_size / num_heads,
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
        max_positions: fields.size_or("max_position_embeddings", family.max_positions)?,
        rms_norm_eps: fields.number_or("rms_norm_eps", family.rms_norm_eps)?,
        rotary: read_rotary(family, fields, root, head_dim)?,
        qkv_bias: family.qkv_bias || attention_bias,
        output_bias: family.output_bias && attention_bias,
        qk_norm: family.qk_norm,
        tied,
    })
}

/// `rope_parameters` (today), or `rope_scaling` with `rope_theta` beside it (of old).
fn read_rotary(family: &TextFamily, fields: &Json, root: &Json, head_dim: usize) -> Result<RotaryConfig> {
    let half = head_dim / 2;
    let object = ["rope_parameters", "rope_scaling"]
        .iter()
        .find_map(|key| fields.object(key).or_else(|| root.object(key)));
    let theta_beside = fields.number_or("rope_theta", family.theta)?;
    let Some(object) = object else {
        if family.section.iter().sum::<usize>() != half {
            return Err(fields.wrong("rope_parameters", "an object with mrope_section"));
        }
        return Ok(RotaryConfig { axes: (family.axes)(family.section), theta: theta_beside });
    };
    let type_key = if object.has("rope_type") { "rope_type" } else { "type" };
    if !matches!(object.string_or(type_key, "default")?.as_str(), "default" | "mrope") {
        return Err(object.wrong(type_key, "default or mrope"));
    }
    let list =
        if object.has("mrope_section") { object.indices("mrope_section")? } else { family.section.to_vec() };
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
    Ok(RotaryConfig { axes: (family.axes)(section), theta })
}

/// The vision tower, but for what only one family has.
pub(super) fn read_vision(family: &VisionFamily, fields: &Json, kind: VisionKind) -> Result<VisionConfig> {
    let hidden_size = fields.size_up_to("hidden_size", largest::WIDTH)?;
    let num_heads = fields.size_up_to("num_heads", largest::HEADS)?;
    if !hidden_size.is_multiple_of(4 * num_heads) {
        return Err(fields.wrong("hidden_size", &format!("a multiple of 4 x {num_heads} heads")));
    }
    let activation = match fields.string_or("hidden_act", family.activation)?.as_str() {
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
    let channels = if fields.has("in_channels") { "in_channels" } else { "in_chans" };
    Ok(VisionConfig {
        depth: depth(fields)?,
        hidden_size,
        intermediate_size: fields.size_up_to("intermediate_size", largest::WIDTH)?,
        num_heads,
        out_hidden_size: fields.size_up_to("out_hidden_size", largest::WIDTH)?,
        in_channels: fields.size_up_to_or(channels, 3, largest::CHANNELS)?,
        patch_size: patch_size(family, fields)?,
        temporal_patch_size: fields.size_up_to_or("temporal_patch_size", 2, largest::CHANNELS)?,
        merge_size: merge_size(fields)?,
        rope_theta,
        activation,
        kind,
    })
}

/// Blocks of the tower.
pub(super) fn depth(fields: &Json) -> Result<usize> {
    fields.size_up_to("depth", largest::LAYERS)
}

/// `patch_size`, or its old name.
pub(super) fn patch_size(family: &VisionFamily, fields: &Json) -> Result<usize> {
    let key = if fields.has("patch_size") { "patch_size" } else { "spatial_patch_size" };
    fields.size_up_to_or(key, family.patch_size, largest::PATCH)
}

/// Patches on a side of a visual token.
pub(super) fn merge_size(fields: &Json) -> Result<usize> {
    fields.size_up_to_or("spatial_merge_size", 2, largest::MERGE)
}

/// A list of block numbers, all below the depth.
pub(super) fn blocks(fields: &Json, key: &str, default: &[usize]) -> Result<Vec<usize>> {
    let depth = depth(fields)?;
    let list = if fields.has(key) { fields.indices(key)? } else { default.to_vec() };
    if list.iter().any(|&block| block >= depth) {
        return Err(fields.wrong(key, &format!("block numbers below depth {depth}")));
    }
    Ok(list)
}
