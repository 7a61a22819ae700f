//! Qwen2.5-VL: flat fields of old, nested ones of today.

use super::fields::{
    TextFamily, VisionFamily, blocks, eos_token_ids, merge_size, patch_size, read_text, read_vision,
    text_fields, tied, vision_fields,
};
use super::{Family, ModelConfig, RotaryAxes, VisionKind};
use crate::checkpoint::json::Json;
use crate::error::Result;

const TEXT: TextFamily = TextFamily {
    num_kv_heads: 8,
    max_positions: 32_768,
    rms_norm_eps: 1e-5,
    // The reference ignores head_dim here.
    head_dim: None,
    qkv_bias: true,
    output_bias: false,
    qk_norm: false,
    section: [16, 24, 24],
    theta: 1e6,
    axes: RotaryAxes::Sectioned,
};

const VISION: VisionFamily = VisionFamily { patch_size: 14, activation: "silu" };

pub(super) fn read(root: &Json) -> Result<ModelConfig> {
    let (text, vision) = (text_fields(root), vision_fields(root)?);
    let [at_top, of_text] = tied(root, &text)?;
    // The reference ties where either says so.
    let tied = if at_top == Some(true) || of_text == Some(true) { Some(true) } else { at_top.or(of_text) };
    let window_size = vision.size_or("window_size", 112)?;
    let token_side = merge_size(&vision)? * patch_size(&VISION, &vision)?;
    if window_size < token_side {
        return Err(vision.wrong("window_size", &format!("at least {token_side} pixels")));
    }
    let full_attention_blocks = blocks(&vision, "fullatt_block_indexes", &[7, 15, 23, 31])?;
    Ok(ModelConfig {
        family: Family::Qwen2_5Vl,
        text: read_text(&TEXT, &text, root, tied)?,
        vision: read_vision(&VISION, &vision, VisionKind::Windowed { window_size, full_attention_blocks })?,
        image_token_id: root.id("image_token_id")?,
        eos_token_ids: eos_token_ids(root, &text)?,
    })
}
