//! One model, every layout it may be saved in: the answers are the same.

use half::{bf16, f16};
use livr_explorer::ask::{DtypeChoice, Keep, LatentChoice};
use livr_explorer::progress::Unobserved;
use safetensors::Dtype;
use serde_json::{Value, json};

use crate::common::{Case, Copy, MODEL, Stored, fixture, last_logits, load, load_as, logits, relative_error};

const ADAPTER: &str = "adapter_model.safetensors";

fn check(family: &str, case_name: &str, model: &Copy, adapter: Option<&std::path::Path>, tolerance: f32) {
    let case = Case::named(family, case_name);
    let golden = case.golden();
    let mut session = load(model.path(), adapter).unwrap();
    let trace = session.run(&case.sample(), &case.settings(logits()), &Unobserved).unwrap();
    let (all, ours) = (golden.floats("logits"), last_logits(&trace));
    let error = relative_error(ours, &all[all.len() - ours.len()..]);
    assert!(error < tolerance, "{family}: off by {error:e}");
}

fn old_names(tensor: &mut Stored) {
    tensor.0 = tensor.0.replace("model.language_model.", "model.").replace("model.visual.", "visual.");
}

#[test]
fn old_key_names_and_flat_config() {
    let model = Copy::of("qwen2_5_vl", "model");
    model.edit_tensors(MODEL, old_names);
    model.edit_json("config.json", |config| {
        let Value::Object(text) = config["text_config"].take() else { panic!("no text_config") };
        let root = config.as_object_mut().unwrap();
        root.remove("text_config");
        for (key, value) in text {
            if !matches!(key.as_str(), "model_type" | "rope_parameters" | "dtype") {
                root.insert(key, value);
            }
        }
        root.insert("rope_theta".to_owned(), json!(1_000_000.0));
        root.insert("rope_scaling".to_owned(), json!({"type": "mrope", "mrope_section": [2, 3, 3]}));
        let vision = config["vision_config"].as_object_mut().unwrap();
        let channels = vision.remove("in_channels").unwrap();
        vision.insert("in_chans".to_owned(), channels);
        vision.remove("rope_parameters");
    });
    check("qwen2_5_vl", "plain", &model, None, 1e-4);
    check("qwen2_5_vl", "bottleneck", &model, Some(&fixture("qwen2_5_vl/adapter")), 1e-4);
}

#[test]
fn old_key_names_of_qwen3_and_template_in_json() {
    let model = Copy::of("qwen3_vl", "model");
    model.edit_tensors(MODEL, old_names);
    let template = std::fs::read_to_string(model.path().join("chat_template.jinja")).unwrap();
    model.remove("chat_template.jinja");
    model.write("chat_template.json", json!({"chat_template": template}).to_string());
    check("qwen3_vl", "two", &model, None, 1e-4);
    model.remove("chat_template.json");
    model.edit_json("tokenizer_config.json", |config| config["chat_template"] = json!(template));
    check("qwen3_vl", "two", &model, None, 1e-4);
    model.edit_json("tokenizer_config.json", |config| {
        config["chat_template"] =
            json!([{"name": "tool_use", "template": "no"}, {"name": "default", "template": template}]);
    });
    check("qwen3_vl", "two", &model, None, 1e-4);
}

#[test]
fn shards_by_index() {
    let model = Copy::of("qwen3_vl_big", "model");
    let tensors = model.tensors(MODEL);
    let (first, second) = tensors.split_at(tensors.len() / 2);
    model.write_tensors("model-00001-of-00002.safetensors", first);
    model.write_tensors("model-00002-of-00002.safetensors", second);
    let map: serde_json::Map<String, Value> = first
        .iter()
        .map(|t| (t.0.clone(), json!("model-00001-of-00002.safetensors")))
        .chain(second.iter().map(|t| (t.0.clone(), json!("model-00002-of-00002.safetensors"))))
        .collect();
    model.write("model.safetensors.index.json", json!({"metadata": {}, "weight_map": map}).to_string());
    model.remove(MODEL);
    check("qwen3_vl_big", "three", &model, Some(&fixture("qwen3_vl_big/adapter")), 1e-4);
}

fn narrow(to: Dtype) -> impl FnMut(&mut Stored) {
    move |tensor| {
        let values = tensor.3.as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw));
        tensor.3 = match to {
            Dtype::BF16 => values.flat_map(|v| bf16::from_f32(v).to_le_bytes()).collect(),
            _ => values.flat_map(|v| f16::from_f32(v).to_le_bytes()).collect(),
        };
        tensor.1 = to;
    }
}

#[test]
fn half_precision_weights() {
    for (dtype, tolerance) in [(Dtype::BF16, 0.1), (Dtype::F16, 0.01)] {
        let model = Copy::of("qwen2_5_vl", "model");
        model.edit_tensors(MODEL, narrow(dtype));
        check("qwen2_5_vl", "plain", &model, None, tolerance);
    }
    // Computing in half precision gives the same answer within its precision.
    let case = Case::named("qwen3_vl", "plain");
    for dtype in [DtypeChoice::Bf16, DtypeChoice::F16] {
        let mut session = load_as(&fixture("qwen3_vl/model"), None, dtype).unwrap();
        let trace = session.run(&case.sample(), &case.settings(logits()), &Unobserved).unwrap();
        let (all, ours) = (case.golden().floats("logits"), last_logits(&trace));
        let error = relative_error(ours, &all[all.len() - ours.len()..]);
        assert!(error < 0.2, "{dtype:?}: off by {error}");
    }
}

#[test]
fn preprocessor_sizes_old_and_new() {
    let model = Copy::of("qwen3_vl", "model");
    model.edit_json("preprocessor_config.json", |config| {
        let root = config.as_object_mut().unwrap();
        let (min, max) = (root.remove("min_pixels").unwrap(), root.remove("max_pixels").unwrap());
        root.insert("size".to_owned(), json!({"shortest_edge": min, "longest_edge": max}));
    });
    check("qwen3_vl", "two", &model, None, 1e-4);
}

#[test]
fn adapters_by_any_prefix() {
    for (from, to) in [
        ("base_model.model.model.language_model.", "base_model.model.base_model.model.model.language_model."),
        ("base_model.model.model.language_model.", "base_model.model.model."),
        ("base_model.model.model.language_model.", "base_model.model.language_model."),
        (".lora_A.weight", ".lora_A.default.weight"),
    ] {
        let adapter = Copy::of("qwen2_5_vl", "adapter");
        adapter.edit_tensors(ADAPTER, |tensor| tensor.0 = tensor.0.replace(from, to));
        check("qwen2_5_vl", "bottleneck", &Copy::of("qwen2_5_vl", "model"), Some(adapter.path()), 1e-4);
    }
}

#[test]
fn latent_rows_as_torch_file_as_token_adapter_and_without_livr_json() {
    let model = Copy::of("qwen3_vl", "model");
    let torch = Copy::of("qwen3_vl", "adapter");
    torch.remove("latent_rows.safetensors");
    torch.remove("livr.json");
    check("qwen3_vl", "bottleneck", &model, Some(torch.path()), 1e-4);

    let delta = Copy::of("qwen3_vl", "adapter");
    let rows = delta.tensors("latent_rows.safetensors");
    let ids: Vec<i64> = rows
        .iter()
        .find(|t| t.0 == "token_ids")
        .unwrap()
        .3
        .as_chunks()
        .0
        .iter()
        .map(|raw| i64::from_le_bytes(*raw))
        .collect();
    let mut row = rows.into_iter().find(|t| t.0 == "latent_rows").unwrap();
    row.0 =
        "base_model.model.model.language_model.embed_tokens.token_adapter.trainable_tokens_delta".to_owned();
    let mut tensors = delta.tensors(ADAPTER);
    tensors.push(row);
    delta.write_tensors(ADAPTER, &tensors);
    delta.edit_json("adapter_config.json", |config| {
        config["trainable_token_indices"] = json!({"embed_tokens": ids});
    });
    for file in ["latent_rows.safetensors", "latent_rows.pt", "livr.json"] {
        delta.remove(file);
    }
    check("qwen3_vl", "bottleneck", &model, Some(delta.path()), 1e-4);
}

#[test]
fn truncation_and_padding_saved_with_the_tokenizer_are_not_obeyed() {
    let model = Copy::of("qwen3_vl", "model");
    model.edit_json("tokenizer.json", |tokenizer| {
        tokenizer["truncation"] =
            json!({"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0});
        tokenizer["padding"] = json!({"strategy": {"Fixed": 200}, "direction": "Right",
            "pad_to_multiple_of": null, "pad_id": 361, "pad_type_id": 0, "pad_token": "<|endoftext|>"});
    });
    check("qwen3_vl", "two", &model, None, 1e-4);
}

#[test]
fn alphas_by_module() {
    let model = Copy::of("qwen3_vl", "model");
    let adapter = Copy::of("qwen3_vl", "adapter");
    // The same scale said per module, under PEFT's name for it, beside an alpha that would be wrong.
    adapter.edit_json("adapter_config.json", |config| {
        config["lora_alpha"] = json!(1);
        let modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj"];
        let mut alphas: serde_json::Map<String, Value> =
            modules.iter().map(|m| ((*m).to_owned(), json!(8))).collect();
        for layer in 0..3 {
            alphas.insert(format!("model.language_model.layers.{layer}.mlp.down_proj"), json!(8));
        }
        config["alpha_pattern"] = Value::Object(alphas);
    });
    check("qwen3_vl", "bottleneck", &model, Some(adapter.path()), 1e-4);
}

#[test]
fn latents_past_the_vocabulary_make_the_embedding_grow() {
    // Only the spare rows are cut off, and with them the room the latents had.
    let model = Copy::of("qwen3_vl", "model");
    let known = 374;
    model.cut_vocabulary(known);
    let case = Case::named("qwen3_vl", "bottleneck");
    let mut session = load(model.path(), Some(&fixture("qwen3_vl/adapter"))).unwrap();
    let trace = session.run(&case.sample(), &case.settings(logits()), &Unobserved).unwrap();
    let golden = case.golden();
    let (all, width) = (golden.floats("logits"), golden.shape("logits")[1]);
    let last = &all[all.len() - width..][..known + 4];
    assert_eq!(trace.logits.as_ref().unwrap().shape(), [1, known + 4]);
    assert!(relative_error(last_logits(&trace), last) < 1e-4);
}

#[test]
fn untrained_latents_are_spare_rows_and_only_where_asked_for() {
    let mut session = load(&fixture("qwen3_vl/model"), None).unwrap();
    let case = Case::named("qwen3_vl", "latents");
    let mut settings = case.settings(Keep::default());
    settings.latents = LatentChoice::Auto;
    let plain = session.run(&case.sample(), &settings, &Unobserved).unwrap();
    assert_eq!(plain.num_latents(), 0);
    settings.latents = LatentChoice::Count(4);
    let spare = session.run(&case.sample(), &settings, &Unobserved).unwrap();
    // The ids are those a trained adapter would take; only the rows are not trained.
    let ids: Vec<i64> = spare.input_ids.iter().map(|id| i64::from(*id)).collect();
    assert_eq!(ids, case.golden().integers("input_ids"));
    assert_eq!(session.processor().token_text(374), "<374>");
}

#[test]
fn latents_at_the_end_of_the_users_turn() {
    let adapter = Copy::of("qwen3_vl", "adapter");
    adapter.edit_json("livr.json", |livr| {
        livr["placement"] = json!("user_suffix");
        livr["separator"] = json!("");
    });
    let case = Case::named("qwen3_vl", "latents");
    let mut session = load(&fixture("qwen3_vl/model"), Some(adapter.path())).unwrap();
    let mut settings = case.settings(Keep::default());
    settings.latents = LatentChoice::Auto;
    let trace = session.run(&case.sample(), &settings, &Unobserved).unwrap();
    assert!(
        trace.text.contains("REF?<livr_0><livr_1><livr_2><livr_3><|im_end|>\n<|im_start|>assistant\n"),
        "{}",
        trace.text
    );
    assert_eq!(trace.num_latents(), 4);
}
