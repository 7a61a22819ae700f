//! What a folder is and whether it is complete, before any weight is read.

use std::collections::BTreeMap;

use candle_core::{DType, Device};
use image::RgbImage;
use serde::Serialize;

use super::device;
use super::need::{Lengths, ModelNeed, NOMINAL_LATENTS, NOMINAL_TOKENS, RunShape};
use super::opening::{Described, weights};
use crate::ask::{AttentionRows, DtypeChoice, Keep, LatentChoice};
use crate::checkpoint::adapter::Adapter;
use crate::checkpoint::config::{ModelConfig, VisionKind};
use crate::checkpoint::folder::Folder;
use crate::checkpoint::livr::Placement;
use crate::checkpoint::source::{WeightSource, parameters};
use crate::data::picture::Picture;
use crate::data::sample::Sample;
use crate::error::Error;
use crate::input::processor::Processor;
use crate::memory;
use crate::model::Model;
use crate::ops::weight::Precision;
use crate::progress::Unobserved;
use crate::units::{counted, human_bytes};

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

    /// What there is to say of a folder that is none.
    pub fn failed(problem: &Error) -> Self {
        Self { facts: Vec::new(), problems: vec![problem.to_string()] }
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
    let described = found.note(Described::open(folder.clone()));
    let source = found.note(weights(folder));
    if let Some(described) = &described {
        describe_config(&mut found, &described.config);
    }
    if let Some(source) = &source {
        describe_weights(&mut found, source.as_ref());
    }
    let processor = described.as_ref().and_then(|described| found.note(described.processor()));
    if let (Some(processor), Some(described)) = (&processor, &described) {
        describe_processor(&mut found, processor, &described.config);
    }
    if let Some(processor) = &processor {
        try_processor(&mut found, processor);
        check_vocabulary(&mut found, folder, processor);
    }
    let mut model = None;
    if let (Some(described), Some(source)) = (&described, &source) {
        let (source, config) = (source.as_ref(), &described.config);
        let built = found.note(described.empty_model(source, DType::F32.into(), &Device::Cpu));
        let (built, problems) = built.map_or((None, Vec::new()), |(model, problems)| (Some(model), problems));
        model = built;
        let more = problems.len().saturating_sub(MAX_PROBLEMS);
        problems.iter().take(MAX_PROBLEMS).for_each(|problem| found.problem(problem));
        if more > 0 {
            found.problems.push(format!("{more} more tensors are missing or of another shape"));
        }
        if let Some(precision) = found.note(device::resolve(dtype, device, source.stored_dtype())) {
            describe_memory(&mut found, config, source, precision);
            describe_run(&mut found, config, precision);
        }
    }
    if let Some(adapter_folder) = adapter {
        inspect_adapter(&mut found, adapter_folder, model.as_ref(), processor.as_ref());
    }
    found
}

/// A blank picture and a short question show whether the template and the placeholder fit together.
fn try_processor(found: &mut Inspection, processor: &Processor) {
    let blank = Picture::new("a blank image", RgbImage::new(64, 64));
    let sample = Sample { images: vec![blank.into()], prompt: "?".to_owned(), choices: Vec::new() };
    let most = processor.images().max_pixels;
    let processed = processor.process(&sample, LatentChoice::Off, most, &Unobserved);
    found.note(processed);
}

/// A token without a row would end a run that meets it.
fn check_vocabulary(found: &mut Inspection, folder: &Folder, processor: &Processor) {
    let past = processor.tokens_past_vocabulary();
    if let Some((token, id)) = past.first() {
        let more = past.len() - 1;
        found.problem(&Error::field(
            folder.path("tokenizer.json"),
            format!("token {token}"),
            format!("an id below the model's vocab_size {}", processor.vocab_size()),
            if more == 0 { id.to_string() } else { format!("{id}, and {more} more past it") },
        ));
    }
    for id in processor.end_of_turn().iter().filter(|id| **id as usize >= processor.vocab_size()) {
        found.problem(&Error::field(
            folder.path("generation_config.json"),
            "eos_token_id",
            format!("ids below the model's vocab_size {}", processor.vocab_size()),
            id.to_string(),
        ));
    }
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
            Some(true) => "tied to the embedding, unless the weights have an lm_head that differs",
            Some(false) => "lm_head of its own",
            None => "tied unless the weights have lm_head",
        },
    );
}

fn describe_weights(found: &mut Inspection, source: &dyn WeightSource) {
    let mut by_type: BTreeMap<String, usize> = BTreeMap::new();
    for tensor in source.tensors() {
        *by_type.entry(tensor.dtype.clone()).or_default() += tensor.count();
    }
    let types: Vec<String> = by_type.into_keys().collect();
    found.fact(
        "weights",
        format!(
            "{} parameters in {} tensors, {}, {} on disk",
            grouped(parameters(source)),
            source.tensors().len(),
            types.join(" and "),
            human_bytes(source.size_bytes() as u64)
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
    let generation = processor.generation();
    if let Some(penalty) = generation.repetition_penalty {
        found.fact("repetition penalty", format!("{penalty}, in greedy decoding too"));
    }
    if let Some(top_k) = generation.top_k {
        let top_p = generation.top_p.map_or_else(String::new, |p| format!(" that add up to {p}"));
        found.fact("sampling", format!("among the {top_k} likeliest tokens{top_p}"));
    }
    found.fact(
        "latents",
        match processor.latents().trained {
            0 => "none of its own".to_owned(),
            k => format!("K = {k}"),
        },
    );
}

/// Weights at the element type they will have, the cache and the captured rows of a prompt; and what is free.
fn describe_memory(
    found: &mut Inspection,
    config: &ModelConfig,
    source: &dyn WeightSource,
    precision: Precision,
) {
    let need = ModelNeed::new(config, source, precision);
    let free = memory::free_bytes()
        .map_or_else(String::new, |free| format!("; {} of this machine are free", human_bytes(free)));
    found.fact(
        "memory",
        format!(
            "about {} as {}: weights {}, cache of {NOMINAL_TOKENS} tokens {}, attention rows of 16 latents {}{free}",
            human_bytes(need.total()),
            precision.name(),
            human_bytes(need.weights),
            human_bytes(need.cache),
            human_bytes(need.rows)
        ),
    );
}

/// What runs of a nominal prompt keep, by what is captured.
fn describe_run(found: &mut Inspection, config: &ModelConfig, precision: Precision) {
    const ANSWER: usize = 32;
    let lengths = Lengths { tokens: NOMINAL_TOKENS, latents: NOMINAL_LATENTS, answer: ANSWER };
    let shape = RunShape::new(config, precision.dtype);
    let total = |attention| {
        let need = shape.need(lengths, &Keep { attention, ..Keep::default() });
        human_bytes(need.total())
    };
    found.fact(
        "a run keeps",
        format!(
            "of {NOMINAL_TOKENS} tokens and {ANSWER} answered: {} without attention rows, {} with those of \
             {NOMINAL_LATENTS} latents and the answer, {} with all",
            total(AttentionRows::Nothing),
            total(AttentionRows::LatentsAndAnswer),
            total(AttentionRows::Full)
        ),
    );
}

fn inspect_adapter(
    found: &mut Inspection,
    folder: &Folder,
    model: Option<&Model>,
    processor: Option<&Processor>,
) {
    found.fact("adapter", folder.root().display().to_string());
    let Some(adapter) = found.note(Adapter::read_folder(folder)) else { return };
    let sorted = |adapter: Adapter| match processor {
        Some(processor) => processor.sorted(adapter),
        None => Ok(adapter),
    };
    let Some(adapter) = found.note(sorted(adapter)) else { return };
    describe_adapter(found, &adapter);
    if let Some(model) = model {
        let fits = model.with_adapter(&adapter.shapes_only());
        found.note(fits);
    }
    if let Some(processor) = processor {
        let fits = processor.with_adapter(&adapter);
        found.note(fits);
    }
}

fn describe_adapter(found: &mut Inspection, adapter: &Adapter) {
    let ranks: std::collections::BTreeSet<usize> =
        adapter.lora.values().filter_map(|pair| pair.a.dim(0).ok()).collect();
    let ranks: Vec<String> = ranks.iter().map(ToString::to_string).collect();
    let dora = if adapter.lora.values().any(|pair| pair.magnitude.is_some()) { ", DoRA" } else { "" };
    found.fact(
        "adapter LoRA",
        match adapter.lora.len() {
            0 => "none".to_owned(),
            count => format!("{count} modules, rank {}{dora}", ranks.join(" and ")),
        },
    );
    if !adapter.replaced.is_empty() {
        let names: Vec<&str> = adapter.replaced.keys().map(String::as_str).collect();
        found.fact("adapter replaces", names.join(", "));
    }
    for (rows, of) in [(&adapter.token_rows, "embedding"), (&adapter.head_rows, "output")] {
        if let Some(rows) = rows {
            found.fact("adapter token rows", format!("{} of the {of}", counted(rows.len(), "trained row")));
        }
    }
    let stage = |stage: Option<u8>| stage.map_or_else(|| "unknown".to_owned(), |s| s.to_string());
    found.fact(
        "adapter latents",
        match (adapter.num_latents(), &adapter.livr) {
            (0, _) => "none".to_owned(),
            (k, Some(livr)) => {
                let place = match livr.placement {
                    Placement::AssistantPrefix => "after the assistant header",
                    Placement::UserSuffix => "at the end of the user's turn",
                    Placement::BeforePrompt => "before the question",
                };
                format!("K = {k}, {place}, stage {}", stage(livr.stage))
            }
            (k, None) => format!("K = {k}, no livr.json: after the assistant header"),
        },
    );
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
