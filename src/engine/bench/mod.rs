//! The project's own measurements, on random weights of published shapes.

mod fit;
pub mod forward;
pub mod load;
pub mod ops;
pub mod train;

use std::path::PathBuf;
use std::time::Instant;

use crate::checkpoint::config::{ModelConfig, VisionKind};
use crate::checkpoint::json::Json;
use crate::error::Result;
use crate::units::GridThw;

/// Published shapes: name, and the `config.json` as published.
pub const SHAPES: [(&str, &str); 5] = [
    ("qwen2.5-vl-3b", include_str!("../../../assets/shapes/qwen2.5-vl-3b.json")),
    ("qwen2.5-vl-7b", include_str!("../../../assets/shapes/qwen2.5-vl-7b.json")),
    ("qwen3-vl-2b", include_str!("../../../assets/shapes/qwen3-vl-2b.json")),
    ("qwen3-vl-4b", include_str!("../../../assets/shapes/qwen3-vl-4b.json")),
    ("qwen3-vl-8b", include_str!("../../../assets/shapes/qwen3-vl-8b.json")),
];

/// A result and the seconds it took.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let started = Instant::now();
    let found = work()?;
    Ok((found, started.elapsed().as_secs_f64()))
}

/// Median seconds of several times the same work.
fn median_secs(repeats: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = (0..repeats.max(1)).map(|_| Ok(timed(&mut work)?.1)).collect::<Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Latents at the end of the prompt.
pub const NUM_LATENTS: usize = 16;

/// The config of a published shape.
pub fn shape(name: &str) -> Option<Result<ModelConfig>> {
    let (name, text) = SHAPES.iter().find(|(known, _)| *known == name)?;
    let value = serde_json::from_str(text).expect("shapes are valid JSON; a test reads them all");
    Some(ModelConfig::from_json(&Json::new(value, PathBuf::from(format!("{name}.json")))))
}

/// A landscape grid of about so many visual tokens.
fn grid_for(visual_tokens: usize, merge_size: usize) -> GridThw {
    let rows = ((visual_tokens as f64 / 1.5).sqrt() as usize).max(1);
    let cols = (visual_tokens / rows).max(1);
    GridThw { t: 1, h: rows * merge_size, w: cols * merge_size }
}

fn limit(config: &mut ModelConfig, layers: usize) {
    config.text.num_layers = config.text.num_layers.min(layers);
    let depth = config.vision.depth.min(layers);
    config.vision.depth = depth;
    match &mut config.vision.kind {
        VisionKind::Windowed { full_attention_blocks: blocks, .. }
        | VisionKind::DeepStack { deepstack_blocks: blocks, .. } => {
            blocks.retain(|block| *block < depth);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_by_the_parser_of_checkpoints() {
        let read: Vec<ModelConfig> = SHAPES.iter().map(|(name, _)| shape(name).unwrap().unwrap()).collect();
        let sizes: Vec<[usize; 4]> = read
            .iter()
            .map(|c| [c.text.num_layers, c.text.hidden_size, c.text.num_heads, c.text.num_kv_heads])
            .collect();
        let expected =
            [[36, 2048, 16, 2], [28, 3584, 28, 4], [28, 2048, 16, 8], [36, 2560, 32, 8], [36, 4096, 32, 8]];
        assert_eq!(sizes, expected);
        let tied: Vec<bool> = read.iter().filter_map(|c| c.text.tied).collect();
        assert_eq!(tied, [true, false, true, true, false]);
        assert!(shape("gpt-2").is_none());
    }
}
