//! Adapters of every kind PEFT saves, merged checkpoints, and the layouts of the hub, against the reference.

use livr_explorer::ask::{Condition, Decoding, DtypeChoice, LatentChoice, MaskKind, MaskRule, Published};
use livr_explorer::checkpoint::config::ModelConfig;
use livr_explorer::checkpoint::folder::Folder;
use livr_explorer::checkpoint::safetensors::Safetensors;
use livr_explorer::data::picture::Picture;
use livr_explorer::data::sample::Sample;
use livr_explorer::engine::inspect::inspect;
use livr_explorer::model::Model;
use livr_explorer::model::compute::Compute;
use livr_explorer::model::loader::Loader;
use livr_explorer::model::text::{Pass, Sequence};
use livr_explorer::model::to_host;
use livr_explorer::ops::isa::Isa;
use livr_explorer::progress::Unobserved;
use livr_explorer::units::Role;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::common::{Asking, Case, Copy, Golden, MODEL, fixture, last_logits, load, logits, relative_error};

fn variants() -> Vec<Value> {
    let text = std::fs::read_to_string(fixture("variants/variants.json")).unwrap();
    serde_json::from_str::<Vec<Value>>(&text).unwrap()
}

#[test]
fn whatever_peft_saves_computes_what_peft_computes() {
    let variants = variants();
    assert_eq!(variants.len(), 13);
    for variant in variants {
        let text = |key: &str| variant[key].as_str().unwrap();
        let (name, base) = (text("name"), fixture(text("base")));
        let folder = fixture("variants").join(name);
        let is_adapter = text("kind") == "adapter";
        let model = if is_adapter { base.join("model") } else { folder.clone() };
        let mut loaded = load(&model, is_adapter.then_some(folder.as_path())).unwrap();
        let images = variant["images"].as_array().unwrap().iter();
        let images = images.map(|p| Arc::new(Picture::read(&base.join(p.as_str().unwrap())).unwrap()));
        let sample =
            Sample { images: images.collect(), prompt: text("prompt").to_owned(), choices: Vec::new() };
        // A model that was trained with latents takes them of its own accord.
        let mask = if text("mask") == "bottleneck" { MaskKind::Bottleneck } else { MaskKind::Standard };
        let decoding = Decoding { max_new_tokens: 1, ..Decoding::default() };
        let settings =
            Asking { condition: Condition { mask, decoding, ..Condition::default() }, keep: logits() };
        let golden = Golden::read(&folder.join("golden.safetensors"));
        for isa in Isa::available() {
            let compute = Compute { isa, ..Compute::default() };
            let trace = loaded.run_with(&sample, &settings, &compute).unwrap();
            let ids: Vec<i64> = trace.input_ids.iter().map(|id| i64::from(*id)).collect();
            assert_eq!(ids, golden.integers("input_ids"), "{name}: input_ids");
            assert_eq!(trace.num_latents() as u64, variant["latents"].as_u64().unwrap(), "{name}");
            let error = relative_error(last_logits(&trace), &golden.floats("logits"));
            assert!(error < 1e-5, "{name}: logits are off by {error:e}");
        }
        let inspected = inspect(
            &Folder::open(&model).unwrap(),
            is_adapter.then(|| Folder::open(&folder).unwrap()).as_ref(),
            &candle_core::Device::Cpu,
            DtypeChoice::F32,
        );
        assert!(inspected.problems.is_empty(), "{name}: {:?}", inspected.problems);
    }
}

#[test]
fn a_merged_checkpoint_offers_its_latents_and_can_do_without() {
    let mut merged = load(&fixture("variants/merged"), None).unwrap();
    let info = merged.info();
    assert_eq!((info.trained_latents, info.max_latents), (4, 4));
    let case = Case::named("qwen2_5_vl", "bottleneck");
    for (choice, count) in [(LatentChoice::Auto, 4), (LatentChoice::Off, 0), (LatentChoice::Count(2), 2)] {
        let mut settings = case.settings(logits());
        settings.latents = choice;
        let trace = merged.run(&case.sample(), &settings, &Unobserved).unwrap();
        assert_eq!(trace.num_latents(), count);
    }
}

#[test]
fn the_layouts_of_the_hub() {
    for name in ["qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-2b", "qwen3-vl-4b", "qwen3-vl-8b"] {
        let folder = fixture("published").join(name);
        let mut loaded = load(&folder, None).unwrap();
        let image = Picture::read(&fixture("published/image.png")).unwrap();
        let prompt = "Which image is the missing part?".to_owned();
        let sample = Sample { images: vec![image.into()], prompt, choices: Vec::new() };
        let golden = Golden::read(&folder.join("golden.safetensors"));
        let mut run = |repetition_penalty| {
            let decoding = Decoding { max_new_tokens: 12, repetition_penalty, ..Decoding::default() };
            let settings =
                Asking { condition: Condition { decoding, ..Condition::default() }, keep: logits() };
            loaded.run(&sample, &settings, &Unobserved).unwrap()
        };
        let trace = run(Published::Auto);
        assert_eq!(trace.text, std::fs::read_to_string(folder.join("text.txt")).unwrap(), "{name}");
        let ids: Vec<i64> = trace.input_ids.iter().map(|id| i64::from(*id)).collect();
        assert_eq!(ids, golden.integers("input_ids"), "{name}");
        let generated = |trace: &livr_explorer::trace::Trace| -> Vec<i64> {
            trace.generated.iter().map(|t| i64::from(t.id)).collect()
        };
        assert_eq!(generated(&trace), golden.integers("generated_ids"), "{name}");
        let scores = trace.generated_logits.as_ref().unwrap();
        assert!(relative_error(scores.data(), &golden.floats("generated_logits")) < 1e-5, "{name}");
        // The published penalty, said in the trace and switched off at will.
        let penalty = name.starts_with("qwen2.5").then_some(1.05);
        assert_eq!(trace.applied.repetition_penalty, penalty, "{name}");
        let without = run(Published::Off);
        assert_eq!(without.applied.repetition_penalty, None);
        assert_eq!(generated(&without), golden.integers("generated_ids_without_penalty"), "{name}");
        if name == "qwen2.5-vl-3b" {
            assert_ne!(generated(&trace), generated(&without), "the penalty shows in this one");
        }
        // Sampling takes the published top-k, greedy decoding has none.
        assert_eq!(trace.applied.top_k, None);
        let published = loaded.processor().generation().clone();
        // Where none is published, the reference takes 50.
        let (top_k, top_p) = if name.starts_with("qwen3") { (20, Some(0.8)) } else { (50, None) };
        assert_eq!((published.top_k, published.top_p), (Some(top_k), top_p), "{name}");
        let decoding = Decoding { max_new_tokens: 1, temperature: 1.0, ..Decoding::default() };
        let settings = Condition { decoding, ..Condition::default() }.into();
        let sampled = loaded.run(&sample, &settings, &Unobserved).unwrap().applied;
        assert_eq!((sampled.top_k, sampled.top_p), (Some(top_k), top_p), "{name}");
    }
}

#[test]
fn a_folder_saved_by_the_processor_of_today() {
    for family in ["qwen2_5_vl", "qwen3_vl"] {
        let model = Copy::of(family, "model");
        model.remove("preprocessor_config.json");
        for file in ["processor_config.json", "chat_template.jinja"] {
            let saved = fixture("processor_config").join(family).join(file);
            std::fs::copy(saved, model.path().join(file)).unwrap();
        }
        let case = Case::named(family, "two");
        let mut loaded = load(model.path(), None).unwrap();
        let trace = loaded.run(&case.sample(), &case.settings(logits()), &Unobserved).unwrap();
        let (all, ours) = (case.golden().floats("logits"), last_logits(&trace));
        assert!(relative_error(ours, &all[all.len() - ours.len()..]) < 1e-5);
        // The reference looks here first, and into the other file only without it.
        model.edit_json("processor_config.json", |config| {
            config["image_processor"]["patch_size"] = json!(7);
        });
        let problem = load(model.path(), None).err().unwrap().to_string();
        assert!(problem.contains("image_processor.patch_size") && problem.contains("processor_config.json"));
        model.edit_json("processor_config.json", |config| config["image_processor"] = json!(null));
        let problem = load(model.path(), None).err().unwrap().to_string();
        assert!(problem.contains("preprocessor_config.json is missing"), "{problem}");
    }
}

#[test]
fn positions_far_along_turn_as_the_references_do() {
    let golden = Golden::read(&fixture("far_positions.safetensors"));
    for family in ["qwen2_5_vl", "qwen3_vl"] {
        let folder = Folder::open(fixture(family).join("model")).unwrap();
        let source = Safetensors::open(&folder).unwrap();
        let cpu = candle_core::Device::Cpu;
        let loader = Loader::new(&source, candle_core::DType::F32.into(), &cpu, &Unobserved);
        let model = Model::load(&loader, &ModelConfig::read(&folder).unwrap()).unwrap();
        let ids: Vec<u32> =
            golden.integers(&format!("{family}.input_ids")).iter().map(|id| *id as u32).collect();
        let axes = golden.integers(&format!("{family}.position_ids"));
        let n = ids.len();
        let positions: Vec<[i64; 3]> = (0..n).map(|i| [axes[i], axes[n + i], axes[2 * n + i]]).collect();
        assert!(positions.iter().all(|p| p.iter().all(|axis| *axis >= 16_000)));
        let roles = vec![Role::Prompt; n];
        let pass = Pass {
            embeddings: model.text.embedding().forward(&ids).unwrap(),
            positions: &positions,
            sequences: vec![Sequence {
                roles: &roles,
                rule: MaskRule::CAUSAL,
                cache: None,
                taps: Vec::new(),
            }],
            deepstack: None,
            phase: None,
            compute: Compute::default(),
        };
        let hidden = to_host(&model.text.forward(pass).unwrap()).unwrap();
        let error = relative_error(hidden.data(), &golden.floats(&format!("{family}.hidden")));
        assert!(error < 1e-5, "{family}: hidden states are off by {error:e}");
    }
}

#[test]
fn tied_or_not_by_what_the_file_holds() {
    const EMBEDDING: &str = "model.language_model.embed_tokens.weight";
    let case = Case::named("qwen3_vl", "plain");
    let answer = |model: &Copy| {
        let mut loaded = load(model.path(), None).unwrap();
        let trace = loaded.run(&case.sample(), &case.settings(crate::common::everything()), &Unobserved);
        trace.unwrap()
    };
    let reference = answer(&Copy::of("qwen3_vl", "model"));
    let with = |change: &dyn Fn(&mut Vec<crate::common::Stored>)| {
        let model = Copy::of("qwen3_vl", "model");
        let mut tensors = model.tensors(MODEL);
        change(&mut tensors);
        model.write_tensors(MODEL, &tensors);
        model
    };
    let head_of = |tensors: &[crate::common::Stored]| {
        let mut head = tensors.iter().find(|t| t.0 == EMBEDDING).unwrap().clone();
        "lm_head.weight".clone_into(&mut head.0);
        head
    };
    // Both and alike, or the output alone: the config's tie holds.
    let both = with(&|tensors| tensors.push(head_of(tensors)));
    let head_only = with(&|tensors| {
        tensors.push(head_of(tensors));
        tensors.retain(|t| t.0 != EMBEDDING);
    });
    for model in [&both, &head_only] {
        assert_eq!(last_logits(&answer(model)), last_logits(&reference));
    }
    // Both and different: the output is its own, whatever the config says.
    let doubled = with(&|tensors| {
        let mut head = head_of(tensors);
        head.3 =
            head.3.as_chunks().0.iter().flat_map(|v| (2.0 * f32::from_le_bytes(*v)).to_le_bytes()).collect();
        tensors.push(head);
    });
    let expected: Vec<f32> = last_logits(&reference).iter().map(|l| 2.0 * l).collect();
    assert_eq!(last_logits(&answer(&doubled)), expected);
    // Neither is missing without a word.
    let untied = with(&|_| ());
    untied.edit_json("config.json", |config| {
        config["tie_word_embeddings"] = json!(false);
        config["text_config"]["tie_word_embeddings"] = json!(false);
    });
    let problem = load(untied.path(), None).err().unwrap().to_string();
    assert!(problem.contains("lm_head.weight is missing"), "{problem}");
}
