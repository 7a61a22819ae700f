//! What a folder is and whether it is complete, before any weight is read.

use std::collections::BTreeMap;

use candle_core::{DType, Device};
use serde::Serialize;

use crate::checkpoint::adapter::Adapter;
use crate::checkpoint::config::{ModelConfig, VisionKind};
use crate::checkpoint::folder::Folder;
use crate::checkpoint::weights::Weights;
use image::RgbImage;

use crate::data::picture::Picture;
use crate::data::sample::Sample;
use crate::device::{DtypeChoice, human_bytes};
use crate::error::Error;
use crate::input::processor::Processor;
use crate::model::Model;
use crate::model::loader::Loader;
use crate::progress::Unobserved;
use crate::settings::LatentChoice;

/// Prompt length the memory estimate is for.
const ESTIMATE_TOKENS: usize = 2048;
/// Problems shown of one kind; a folder of another model has hundreds alike.
const MAX_PROBLEMS: usize = 12;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Inspection {
    /// What it is: name and value, in reading order.
    pub facts: Vec<(String, String)>,
    /// What is missing or wrong, one sentence each.
    pub problems: Vec<String>,
}

impl Inspection {
    fn fact(&mut self, name: &str, value: impl Into<String>) {
        self.facts.push((name.to_owned(), value.into()));
    }

    fn problem(&mut self, problem: &Error) {
        let text = problem.to_string();
        if !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    /// The value, or the problem noted.
    fn note<T>(&mut self, outcome: Result<T, Error>) -> Option<T> {
        outcome.map_err(|e| self.problem(&e)).ok()
    }
}

/// Looks at a checkpoint and an adapter for it; goes on past each problem as far as it can.
pub fn inspect(folder: &Folder, adapter: Option<&Folder>, device: &Device, dtype: DtypeChoice) -> Inspection {
    let mut found = Inspection::default();
    found.fact("folder", folder.root().display().to_string());
    let config = found.note(ModelConfig::read(folder));
    let weights = found.note(Weights::open(folder));
    if let Some(config) = &config {
        describe_config(&mut found, config);
    }
    if let Some(weights) = &weights {
        describe_weights(&mut found, weights);
    }
    let mut processor = config.as_ref().and_then(|config| {
        let read = Processor::read(folder, config);
        found.note(read)
    });
    if let (Some(processor), Some(config)) = (&processor, &config) {
        describe_processor(&mut found, processor, config);
    }
    if let Some(processor) = &processor {
        // A blank picture and a short question show whether the template and the placeholder fit together.
        let blank = Picture { name: "a blank image".to_owned(), path: None, pixels: RgbImage::new(64, 64) };
        let sample = Sample { images: vec![blank.into()], prompt: "?".to_owned(), choices: Vec::new() };
        let processed = processor.process(&sample, LatentChoice::Off, &Unobserved);
        found.note(processed);
    }
    let mut model = None;
    if let (Some(config), Some(weights)) = (&config, &weights) {
        let loader = Loader::from_headers(weights);
        let built = Model::load(&loader, config);
        model = found.note(built);
        let problems = loader.into_problems();
        let more = problems.len().saturating_sub(MAX_PROBLEMS);
        problems.iter().take(MAX_PROBLEMS).for_each(|problem| found.problem(problem));
        if more > 0 {
            found.problems.push(format!("{more} more tensors are missing or of another shape"));
        }
        describe_memory(&mut found, config, weights, dtype.resolve(device));
    }
    if let Some(adapter_folder) = adapter {
        inspect_adapter(&mut found, adapter_folder, model.as_mut(), processor.as_mut());
    }
    found
}

fn describe_config(found: &mut Inspection, config: &ModelConfig) {
    let (text, vision) = (&config.text, &config.vision);
    found.fact("architecture", config.family.model_type());
    found.fact(
        "language model",
        format!(
            "{} layers, hidden size {}, {} heads of {} ({} kv), vocabulary {}, context {}",
            text.num_layers,
            text.hidden_size,
            text.num_heads,
            text.head_dim,
            text.num_kv_heads,
            text.vocab_size,
            text.max_positions
        ),
    );
    let kind = match &vision.kind {
        VisionKind::Windowed { window_size, full_attention_blocks } => {
            format!("windows of {window_size} pixels, whole image in blocks {full_attention_blocks:?}")
        }
        VisionKind::DeepStack { deepstack_blocks, .. } => {
            format!("DeepStack from blocks {deepstack_blocks:?}")
        }
    };
    found.fact(
        "vision tower",
        format!(
            "{} blocks, hidden size {}, patch {} merged {} x {}, {kind}",
            vision.depth, vision.hidden_size, vision.patch_size, vision.merge_size, vision.merge_size
        ),
    );
    found.fact(
        "output",
        match text.tied {
            Some(true) => "tied to the embedding",
            Some(false) => "lm_head of its own",
            None => "tied unless the weights have lm_head",
        },
    );
}

fn describe_weights(found: &mut Inspection, weights: &Weights) {
    let mut by_type: BTreeMap<String, usize> = BTreeMap::new();
    let mut parameters = 0;
    for (_, entry) in weights.entries() {
        let count: usize = entry.shape.iter().product();
        *by_type.entry(format!("{:?}", entry.dtype)).or_default() += count;
        parameters += count;
    }
    let types: Vec<String> = by_type.into_keys().collect();
    found.fact(
        "weights",
        format!(
            "{} parameters in {} tensors, {}, {} on disk",
            grouped(parameters),
            weights.entries().count(),
            types.join(" and "),
            human_bytes(weights.size_bytes() as u64)
        ),
    );
}

fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

fn describe_processor(found: &mut Inspection, processor: &Processor, config: &ModelConfig) {
    found.fact(
        "tokenizer",
        format!(
            "{} tokens, {} spare embedding rows",
            processor.num_tokens(),
            config.text.vocab_size.saturating_sub(processor.num_tokens())
        ),
    );
    let ends: Vec<String> =
        processor.end_of_turn().iter().map(|id| format!("{} ({id})", processor.token_text(*id))).collect();
    found.fact("answers end at", ends.join(", "));
    let images = processor.images();
    let area = (images.patch_size * images.merge_size).pow(2);
    found.fact(
        "images",
        format!(
            "{} to {} pixels, {} to {} visual tokens",
            images.min_pixels,
            images.max_pixels,
            images.min_pixels / area,
            images.max_pixels / area
        ),
    );
    found.fact(
        "latents",
        match processor.latents().trained {
            0 => "none of its own".to_owned(),
            k => format!("K = {k}"),
        },
    );
}

/// Weights at the element type they will have, the cache and the captured rows of a prompt.
fn describe_memory(found: &mut Inspection, config: &ModelConfig, weights: &Weights, dtype: DType) {
    let text = &config.text;
    let parameters: usize = weights.entries().map(|(_, entry)| entry.shape.iter().product::<usize>()).sum();
    let size = dtype.size_in_bytes();
    let weight_bytes = parameters * size;
    let cache = 2 * text.num_layers * text.num_kv_heads * text.head_dim * ESTIMATE_TOKENS * size;
    let rows = text.num_layers * text.num_heads * 16 * ESTIMATE_TOKENS * 4;
    let human = |bytes: usize| human_bytes(bytes as u64);
    found.fact(
        "memory",
        format!(
            "about {} as {}: weights {}, cache of {ESTIMATE_TOKENS} tokens {}, attention rows of 16 latents {}",
            human(weight_bytes + cache + rows), dtype.as_str(), human(weight_bytes), human(cache), human(rows)
        ),
    );
}

fn inspect_adapter(
    found: &mut Inspection,
    folder: &Folder,
    model: Option<&mut Model>,
    processor: Option<&mut Processor>,
) {
    found.fact("adapter", folder.root().display().to_string());
    let Some(adapter) = found.note(Adapter::read_folder(folder)) else { return };
    let ranks: std::collections::BTreeSet<usize> =
        adapter.lora.values().filter_map(|pair| pair.a.dim(0).ok()).collect();
    found.fact("adapter LoRA", format!("{} layers, rank {ranks:?}", adapter.lora.len()));
    found.fact(
        "adapter latents",
        match (adapter.num_latents(), &adapter.livr) {
            (0, _) => "none".to_owned(),
            (k, Some(livr)) => format!(
                "K = {k}, {:?}, stage {}",
                livr.placement,
                livr.stage.map_or_else(|| "unknown".to_owned(), |s| s.to_string())
            ),
            (k, None) => format!("K = {k}, no livr.json: after the assistant header"),
        },
    );
    if let Some(model) = model {
        let fits = model.set_adapter(Some(&adapter));
        found.note(fits);
    }
    if let Some(processor) = processor {
        let fits = processor.set_adapter(Some(&adapter));
        found.note(fits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_threes() {
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(grouped(12), "12");
    }
}
