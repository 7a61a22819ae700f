//! What is wrong gets one sentence that names file and field; nothing panics, what was in use stays.

use std::path::Path;

use livr_explorer::ask::{DtypeChoice, Keep, LatentChoice};
use livr_explorer::checkpoint::folder::Folder;
use livr_explorer::engine::inspect::inspect;
use livr_explorer::progress::Unobserved;
use safetensors::Dtype;
use serde_json::json;

use crate::common::{Case, Copy, MODEL, fixture, load};

/// The sentence must be one line and hold all of `words`.
pub fn expect(problem: &str, words: &[&str]) {
    assert!(!problem.contains('\n'), "more than one line: {problem}");
    for word in words {
        assert!(problem.contains(word), "\"{word}\" is not in: {problem}");
    }
}

/// Loading must fail with a sentence that holds `words`, and `livr check` must find the same unless it
/// would have to read weights for it.
fn refuses(model: &Copy, adapter: Option<&Path>, found_by_check: bool, words: &[&str]) {
    let problem = load(model.path(), adapter).err().expect("it must not load").to_string();
    expect(&problem, words);
    let folder = Folder::open(model.path()).unwrap();
    let adapter = adapter.map(|path| Folder::open(path).unwrap());
    let found = inspect(&folder, adapter.as_ref(), &candle_core::Device::Cpu, DtypeChoice::Auto);
    let named = found.problems.iter().any(|p| words.iter().all(|word| p.contains(word)));
    assert_eq!(named, found_by_check, "check found {:?}", found.problems);
}

fn model() -> Copy {
    Copy::of("qwen3_vl", "model")
}

#[test]
fn missing_files() {
    for file in ["config.json", "tokenizer.json", "preprocessor_config.json", "chat_template.jinja", MODEL] {
        let model = model();
        model.remove(file);
        refuses(&model, None, true, &[file, "missing", &model.path().display().to_string()]);
    }
    let gone = load(Path::new("/nowhere/model"), None).err().unwrap().to_string();
    expect(&gone, &["folder is missing", "/nowhere/model"]);
    let file = load(&fixture("qwen3_vl/model/config.json"), None).err().unwrap().to_string();
    expect(&file, &["expected a folder, found a file"]);
}

#[test]
fn truncated_and_mislabelled_files() {
    let cut = model();
    let bytes = std::fs::read(cut.path().join(MODEL)).unwrap();
    cut.write(MODEL, &bytes[..bytes.len() - 1000]);
    refuses(&cut, None, true, &[MODEL, "not a complete safetensors file"]);
    cut.write(MODEL, &bytes[..5]);
    refuses(&cut, None, true, &[MODEL, "expected at least 8 bytes, found 5"]);
    let mut past_end = bytes.clone();
    past_end[..8].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
    cut.write(MODEL, &past_end);
    refuses(&cut, None, true, &[MODEL, "its header says"]);
    cut.write(MODEL, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n");
    refuses(&cut, None, true, &[MODEL, "Git LFS pointer", "git lfs pull"]);
    cut.write(MODEL, b"PK\x03\x04 this is a zip file, or says so, not safetensors");
    refuses(&cut, None, true, &[MODEL]);
    for file in ["config.json", "tokenizer.json", "preprocessor_config.json"] {
        let model = model();
        model.write(file, "{\"cut\": ");
        refuses(&model, None, true, &[file]);
        model.write(file, [0xff, 0xfe, 0x00]);
        refuses(&model, None, true, &[file]);
        model.write(file, "[]");
        refuses(&model, None, true, &[file]);
    }
}

#[test]
fn fields_of_the_config() {
    type Edit = fn(&mut serde_json::Value);
    let cases: [(Edit, &[&str]); 13] = [
        (|c| c["model_type"] = json!("llama"), &["model_type", "qwen2_5_vl or qwen3_vl", "llama"]),
        (
            |c| c["text_config"]["num_hidden_layers"] = json!("three"),
            &["text_config.num_hidden_layers", "a whole number from 1", "three"],
        ),
        (|c| c["text_config"]["num_hidden_layers"] = json!(0), &["text_config.num_hidden_layers", "found 0"]),
        (|c| c["text_config"]["hidden_size"] = json!(-1), &["text_config.hidden_size"]),
        (
            |c| c["text_config"]["num_key_value_heads"] = json!(3),
            &["text_config.num_key_value_heads", "divisor"],
        ),
        (|c| c["text_config"]["vocab_size"] = json!(100), &["image_token_id", "below vocab_size 100"]),
        (
            |c| c["text_config"]["rope_parameters"]["mrope_section"] = json!([1, 2]),
            &["text_config.rope_parameters.mrope_section"],
        ),
        (|c| c["text_config"]["rope_parameters"]["rope_type"] = json!("yarn"), &["rope_type", "yarn"]),
        (|c| c["text_config"]["hidden_act"] = json!("relu"), &["text_config.hidden_act", "relu"]),
        (|c| c["vision_config"]["patch_size"] = json!(1e30), &["vision_config.patch_size"]),
        (
            |c| c["vision_config"]["deepstack_visual_indexes"] = json!([99]),
            &["vision_config.deepstack_visual_indexes", "depth 4"],
        ),
        (|c| c["vision_config"]["out_hidden_size"] = json!(65), &["vision_config.out_hidden_size", "64"]),
        (|c| c["vision_config"] = json!(null), &["vision_config", "found nothing"]),
    ];
    for (edit, words) in cases {
        let model = model();
        model.edit_json("config.json", edit);
        refuses(&model, None, true, &[words, &["config.json"]].concat());
    }
}

#[test]
fn kinds_of_checkpoints_that_cannot_be_read_are_named() {
    for (method, name) in [
        ("awq", "AWQ"),
        ("bitsandbytes", "bitsandbytes"),
        ("fp8", "FP8"),
        ("gptq", "GPTQ"),
        ("novel", "novel"),
    ] {
        for place in ["", "text_config"] {
            let model = model();
            model.edit_json("config.json", |c| {
                let fields = if place.is_empty() { c } else { &mut c[place] };
                fields["quantization_config"] = json!({"quant_method": method});
            });
            let quantised = format!("quantised by {name}");
            refuses(
                &model,
                None,
                true,
                &["quantization_config", &quantised, "f32, bf16 or f16", "config.json"],
            );
        }
    }
    let experts = model();
    experts.edit_json("config.json", |c| c["model_type"] = json!("qwen3_vl_moe"));
    refuses(&experts, None, true, &["model_type", "qwen3_vl_moe", "mixture of experts"]);
}

#[test]
fn tokens_past_the_vocabulary_are_found_before_a_run_meets_them() {
    let model = model();
    // One row fewer than the tokenizer has tokens.
    model.cut_vocabulary(373);
    let inspected = |model: &Copy| {
        let folder = Folder::open(model.path()).unwrap();
        inspect(&folder, None, &candle_core::Device::Cpu, DtypeChoice::Auto).problems
    };
    let problems = inspected(&model);
    assert_eq!(problems.len(), 1, "{problems:?}");
    expect(
        &problems[0],
        &["token <|video_pad|>", "below the model's vocab_size 373", "found 373", "tokenizer.json"],
    );
    let ends = self::model();
    ends.edit_json("generation_config.json", |c| c["eos_token_id"] = json!([360, 5_000_000]));
    expect(&inspected(&ends)[0], &["eos_token_id", "vocab_size 448", "5000000", "generation_config.json"]);
    for (field, value) in
        [("repetition_penalty", json!(0)), ("repetition_penalty", json!("much")), ("top_k", json!(-1))]
    {
        let model = self::model();
        model.edit_json("generation_config.json", |c| c[field] = value);
        refuses(&model, None, true, &[field, "generation_config.json"]);
    }
}

#[test]
fn adapters_that_are_computed_otherwise_are_refused_by_name() {
    for (field, value) in [
        ("init_lora_weights", json!("pissa")),
        ("init_lora_weights", json!("pissa_niter_16")),
        ("init_lora_weights", json!("olora")),
        ("init_lora_weights", json!("corda")),
        ("init_lora_weights", json!("loftq")),
        ("init_lora_weights", json!("lora_ga")),
        ("init_lora_weights", json!("of_next_year")),
        ("alora_invocation_tokens", json!([1, 2])),
        ("layer_replication", json!([[0, 2], [1, 3]])),
        ("target_parameters", json!(["experts.gate_up_proj"])),
        ("use_qalora", json!(true)),
        ("fan_in_fan_out", json!(true)),
        ("lora_bias", json!(true)),
        ("bias", json!("all")),
        ("peft_type", json!("IA3")),
    ] {
        let adapter = Copy::of("qwen3_vl", "adapter");
        let shown = value.to_string();
        adapter.edit_json("adapter_config.json", |c| c[field] = value);
        refuses(&model(), Some(adapter.path()), true, &[field, &shown, "adapter_config.json"]);
    }
    // What leaves the base as it is, is taken.
    for (field, value) in [
        ("init_lora_weights", json!("gaussian")),
        ("init_lora_weights", json!(false)),
        ("init_lora_weights", json!("eva")),
        ("alora_invocation_tokens", json!(null)),
        ("target_parameters", json!([])),
    ] {
        let adapter = Copy::of("qwen3_vl", "adapter");
        adapter.edit_json("adapter_config.json", |c| c[field] = value);
        assert!(load(model().path(), Some(adapter.path())).is_ok(), "{field}");
    }
}

#[test]
fn tensors_that_disagree_with_the_config() {
    let wider = model();
    wider.edit_json("config.json", |c| c["text_config"]["intermediate_size"] = json!(160));
    refuses(&wider, None, true, &["mlp", "shape [160, 64]", "[144, 64]", MODEL]);
    let deeper = model();
    deeper.edit_json("config.json", |c| c["text_config"]["num_hidden_layers"] = json!(5));
    refuses(&deeper, None, true, &["tensor language_model.layers.3", "missing", MODEL]);
    let odd = model();
    odd.edit_tensors(MODEL, |t| {
        if t.0.ends_with("layers.0.mlp.up_proj.weight") {
            t.1 = Dtype::I32;
        }
    });
    refuses(&odd, None, true, &["up_proj", "f32, bf16 or f16", "I32"]);
    let nan = model();
    nan.edit_tensors(MODEL, |t| {
        if t.0.ends_with("layers.1.self_attn.q_proj.weight") {
            t.3[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
        }
    });
    refuses(&nan, None, false, &["layers.1.self_attn.q_proj.weight", "finite numbers", "NaN", MODEL]);
}

#[test]
fn an_index_that_names_an_absent_shard() {
    let model = model();
    // With the single file beside it the index does not count.
    model.write("model.safetensors.index.json", json!({"weight_map": 3}).to_string());
    assert!(load(model.path(), None).is_ok());
    model.remove(MODEL);
    model.write(
        "model.safetensors.index.json",
        json!({"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}).to_string(),
    );
    refuses(&model, None, true, &["model-00002-of-00002.safetensors", "lm_head.weight", "missing"]);
    model.write("model.safetensors.index.json", json!({"weight_map": {"a": "../../etc/passwd"}}).to_string());
    refuses(&model, None, true, &["weight_map.a", "a file of this folder"]);
    model.write("model.safetensors.index.json", json!({"weight_map": 3}).to_string());
    refuses(&model, None, true, &["weight_map", "model.safetensors.index.json"]);
}

#[test]
fn templates_that_loop_or_do_not_parse() {
    let model = model();
    model.write("chat_template.jinja", "{% for m in messages %}");
    refuses(&model, None, true, &["chat template does not parse", "chat_template.jinja"]);
    let loops = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    for (template, words) in [
        (loops, "loops"),
        ("{{ nothing.at.all }}", "chat template does not render"),
        ("{{ raise_exception('no images here') }}", "no images here"),
        ("no placeholder", "0 <|image_pad|> placeholders for 1 images"),
    ] {
        model.write("chat_template.jinja", template);
        let case = Case::named("qwen3_vl", "plain");
        let mut session = load(model.path(), None).unwrap();
        let problem =
            session.run(&case.sample(), &case.settings(Keep::default()), &Unobserved).err().unwrap();
        expect(&problem.to_string(), &[words]);
    }
}

#[test]
fn adapters_for_another_model() {
    let adapter = fixture("qwen2_5_vl_big/adapter");
    refuses(&model(), Some(&adapter), true, &["latent_rows", "rows of hidden_size 64", "found 96"]);
    let other = Copy::of("qwen2_5_vl_big", "adapter");
    for file in ["latent_rows.safetensors", "latent_rows.pt", "livr.json"] {
        other.remove(file);
    }
    refuses(
        &model(),
        Some(other.path()),
        true,
        &["q_proj.lora_A", "expected 64 as in this model", "adapter_model.safetensors"],
    );
    let ids = Copy::of("qwen3_vl", "adapter");
    ids.edit_tensors("latent_rows.safetensors", |t| {
        if t.0 == "token_ids" {
            t.3[..8].copy_from_slice(&7i64.to_le_bytes());
        }
    });
    refuses(&model(), Some(ids.path()), true, &["token_ids", "made for another model"]);
    let empty = tempfile::TempDir::new().unwrap();
    refuses(&model(), Some(empty.path()), true, &["adapter_config.json", "missing"]);
    let half = Copy::of("qwen3_vl", "adapter");
    let tensors: Vec<_> = half.tensors("adapter_model.safetensors").into_iter().skip(1).collect();
    half.write_tensors("adapter_model.safetensors", &tensors);
    refuses(&model(), Some(half.path()), true, &["one half of the LoRA pair", "adapter_model.safetensors"]);
    let dora = Copy::of("qwen3_vl", "adapter");
    dora.edit_json("adapter_config.json", |c| c["use_dora"] = json!(true));
    refuses(&model(), Some(dora.path()), true, &["DoRA magnitude", "missing", "adapter_model.safetensors"]);
    let pattern = Copy::of("qwen3_vl", "adapter");
    pattern.edit_json("adapter_config.json", |c| c["alpha_pattern"] = json!({"layers\\.(0|1": 3}));
    refuses(
        &model(),
        Some(pattern.path()),
        true,
        &["alpha_pattern.", "regular expression", "adapter_config.json"],
    );
    let rank = Copy::of("qwen3_vl", "adapter");
    rank.edit_json("adapter_config.json", |c| c["r"] = json!(64));
    refuses(&model(), Some(rank.path()), true, &["r: expected 4", "64", "adapter_config.json"]);
    let rowless = Copy::of("qwen3_vl", "adapter");
    rowless.remove("latent_rows.safetensors");
    rowless.remove("latent_rows.pt");
    refuses(&model(), Some(rowless.path()), true, &["latent_rows.safetensors", "livr.json", "missing"]);
    let torn = Copy::of("qwen3_vl", "adapter");
    torn.remove("latent_rows.safetensors");
    torn.write("latent_rows.pt", b"not a zip");
    refuses(&model(), Some(torn.path()), true, &["latent_rows.pt"]);
}

#[test]
fn a_failed_adapter_leaves_the_one_in_use() {
    let dir = fixture("qwen3_vl");
    let mut session = load(&dir.join("model"), Some(&dir.join("adapter"))).unwrap();
    assert!(session.set_adapter(Some(&fixture("qwen2_5_vl_big/adapter"))).is_err());
    assert_eq!(session.info().adapter.as_deref(), Some("qwen3_vl/adapter"));
    let case = Case::named("qwen3_vl", "bottleneck");
    let trace = session.run(&case.sample(), &case.settings(Keep::default()), &Unobserved).unwrap();
    let ids: Vec<i64> = trace.generated.iter().map(|t| i64::from(t.id)).collect();
    assert_eq!(ids, case.golden().integers("generated_ids"));
}

#[test]
fn numbers_of_latents() {
    for k in [json!(0), json!(1000), json!(-3), json!("four")] {
        let adapter = Copy::of("qwen3_vl", "adapter");
        adapter.edit_json("livr.json", |livr| livr["num_latents"] = k);
        refuses(
            &model(),
            Some(adapter.path()),
            true,
            &["num_latents", "a whole number from 1 to 256", "livr.json"],
        );
    }
    let fewer = Copy::of("qwen3_vl", "adapter");
    fewer.edit_json("livr.json", |livr| {
        livr["num_latents"] = json!(3);
        livr["latent_tokens"] = json!(["<livr_0>", "<livr_1>", "<livr_2>"]);
    });
    refuses(
        &model(),
        Some(fewer.path()),
        true,
        &["num_latents", "4, the number of latent rows", "3", "livr.json"],
    );
    let dir = fixture("qwen3_vl");
    let mut session = load(&dir.join("model"), Some(&dir.join("adapter"))).unwrap();
    let case = Case::named("qwen3_vl", "latents");
    let mut settings = case.settings(Keep::default());
    settings.latents = LatentChoice::Count(16);
    let problem = session.run(&case.sample(), &settings, &Unobserved).err().unwrap();
    expect(&problem.to_string(), &["has 4 latents, 16 were asked for"]);
    assert!("0".parse() == Ok(LatentChoice::Off));
    expect(&"1000".parse::<LatentChoice>().unwrap_err(), &["1 to 256", "1000"]);
    assert!("-1".parse::<LatentChoice>().is_err());
}

#[test]
fn preprocessor_fields() {
    type Edit = fn(&mut serde_json::Value);
    let cases: [(Edit, &[&str]); 6] = [
        (|c| c["patch_size"] = json!(14), &["patch_size", "expected 16", "found 14"]),
        (|c| c["image_mean"] = json!([0.5]), &["image_mean", "3 numbers"]),
        (|c| c["image_std"] = json!([0.5, 0.0, 0.5]), &["image_std"]),
        (|c| c["max_pixels"] = json!(10), &["max_pixels"]),
        (|c| c["resample"] = json!(2), &["resample", "3 (bicubic)"]),
        (|c| c["do_resize"] = json!(false), &["do_resize"]),
    ];
    for (edit, words) in cases {
        let model = model();
        model.edit_json("preprocessor_config.json", edit);
        refuses(&model, None, true, &[words, &["preprocessor_config.json"]].concat());
    }
}
