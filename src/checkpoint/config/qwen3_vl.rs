//! Qwen3-VL.

use super::fields::{
    TextFamily, VisionFamily, blocks, eos_token_ids, read_text, read_vision, text_fields, tied, vision_fields,
};
use super::{Family, ModelConfig, RotaryAxes, VisionKind};
use crate::checkpoint::json::Json;
use crate::error::Result;

const TEXT: TextFamily = TextFamily {
    num_kv_heads: 32,
    max_positions: 128_000,
    rms_norm_eps: 1e-6,
    head_dim: Some(128),
    qkv_bias: false,
    output_bias: true,
    qk_norm: true,
    section: [24, 20, 20],
    theta: 5e5,
    axes: RotaryAxes::Interleaved,
};

const VISION: VisionFamily = VisionFamily { patch_size: 16, activation: "gelu_pytorch_tanh" };

pub(super) fn read(root: &Json) -> Result<ModelConfig> {
    let (text, vision) = (text_fields(root), vision_fields(root)?);
    let [at_top, of_text] = tied(root, &text)?;
    let positions = vision.size_or("num_position_embeddings", 2304)?;
    let positions_per_side = positions.isqrt();
    if positions_per_side * positions_per_side != positions {
        return Err(vision.wrong("num_position_embeddings", "a square number"));
    }
    let deepstack_blocks = blocks(&vision, "deepstack_visual_indexes", &[8, 16, 24])?;
    let kind = VisionKind::DeepStack { positions_per_side, deepstack_blocks };
    Ok(ModelConfig {
        family: Family::Qwen3Vl,
        text: read_text(&TEXT, &text, root, at_top.or(of_text))?,
        vision: read_vision(&VISION, &vision, kind)?,
        image_token_id: root.id("image_token_id")?,
        eos_token_ids: eos_token_ids(root, &text)?,
    })
}
