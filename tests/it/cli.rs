//! The program from outside: arguments in, files and exit status out.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Case, Golden, fixture, relative_error};

pub fn livr(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_livr")).args(args).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn display(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn trace_writes_the_file_of_the_design() {
    let dir = TempDir::new().unwrap();
    for family in ["qwen2_5_vl", "qwen3_vl"] {
        let case = Case::named(family, "bottleneck");
        let out = dir.path().join("trace.safetensors");
        let (root, out_text) = (display(&case.dir), display(&out));
        let output = livr(&[
            "trace",
            "--model",
            &format!("{root}/model"),
            "--adapter",
            &format!("{root}/adapter"),
            "--image",
            &format!("{root}/images/0.png"),
            &format!("{root}/images/1.png"),
            "--prompt",
            case.value["prompt"].as_str().unwrap(),
            "--mask",
            "bottleneck",
            "--max-new-tokens",
            "6",
            "--attentions",
            "full",
            "--hidden",
            "full",
            "--logits",
            "full",
            "--out",
            &out_text,
            "--json",
        ]);
        assert_eq!(json(&output)["num_latents"], 4);
        let (ours, golden) = (Golden::read(&out), case.golden());
        for name in ["input_ids", "roles", "position_ids", "image_grid_thw", "generated_ids"] {
            assert_eq!(ours.integers(name), golden.integers(name), "{name}");
            assert_eq!(ours.shape(name), golden.shape(name), "{name}");
        }
        for name in ["logits", "hidden_states", "attentions", "answer_attentions", "generated_logits"] {
            assert_eq!(ours.shape(name), golden.shape(name), "{name}");
            assert!(relative_error(&ours.floats(name), &golden.floats(name)) < 1e-4, "{name}");
        }
        assert_eq!(ours.shape("latent_attentions")[2], 4);
        assert_eq!(ours.shape("pixel_values"), golden.shape("pixel_levels"));
        let bytes = std::fs::read(&out).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().as_ref().unwrap();
        assert_eq!(metadata["text"], case.value["text"].as_str().unwrap());
        for key in ["answer", "model", "adapter", "settings", "version"] {
            assert!(metadata.contains_key(key), "{key}");
        }
        assert!(metadata["settings"].contains("bottleneck"));
    }
}

#[test]
fn without_full_the_file_has_rows_only() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("t.safetensors");
    let root = display(&fixture("qwen3_vl"));
    let output = livr(&[
        "trace",
        "--model",
        &format!("{root}/model"),
        "--image",
        &format!("{root}/images/0.png"),
        "--prompt",
        "",
        "--latents",
        "off",
        "--out",
        &display(&out),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let file = Golden::read(&out);
    assert_eq!(file.shape("logits")[0], 1);
    assert!(file.has("answer_attentions"));
    for absent in ["attentions", "hidden_states", "latent_attentions"] {
        assert!(!file.has(absent), "{absent}");
    }
}

#[test]
fn ask_on_the_demo_needs_nothing() {
    let photo = display(&Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/photos/coffee.png"));
    let report =
        json(&livr(&["ask", "--image", &photo, "--prompt", "What is it? (A) tea (B) coffee", "--json"]));
    assert_eq!(report["num_latents"], 16);
    let choices = report["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 2);
    let total: f64 = choices.iter().map(|c| c["probability"].as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-4);
    assert!(report["version"].is_string() && report["settings"]["decoding"]["seed"] == 42);
    let plain = livr(&["ask", "--image", &photo, "--prompt", "?", "--max-new-tokens", "2"]);
    assert!(text(&plain.stdout).contains("tokens in, 2 out"));
}

#[test]
fn exit_status_and_sentences() {
    let root = display(&fixture("qwen3_vl"));
    let usage = livr(&["ask", "--frobnicate"]);
    assert_eq!(usage.status.code(), Some(2));
    for args in [
        vec!["ask", "--prompt", "?", "--latents", "1000"],
        vec!["ask", "--prompt", "?", "--latents", "-1"],
        vec!["ask", "--prompt", "?", "--mask", "none"],
        vec!["ask", "--prompt", "?", "--max-new-tokens", "0"],
        vec!["ask", "--prompt", "?", "--temperature", "-1"],
        vec!["ask", "--prompt", "?", "--device", "tpu"],
        vec!["screenshot", "--out", "x.png", "--size", "1x1"],
        vec!["screenshot", "--out", "x.png", "--opacity", "nan"],
        vec!["screenshot", "--out", "x.jpg"],
        vec!["ask", "--prompt", "?", "--top-p", "0"],
        vec!["tasks", "counting", "--out", "/tmp/none", "--split", "3000000000,0,0"],
        vec!["tasks", "counting", "--out", "/tmp/none", "--count", "5", "--split", "1,1,1"],
        vec!["project", "--out", "x.safetensors", "--data", "d.jsonl", "--perplexity", "0"],
    ] {
        let output = livr(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
    }
    let model = format!("{root}/model");
    for (args, words) in [
        (vec!["ask", "--prompt", "?", "--model", "/nowhere"], "/nowhere"),
        (vec!["ask", "--prompt", "?", "--model", &model, "--image", "/nowhere.png"], "/nowhere.png"),
        (vec!["ask", "--prompt", "?", "--model", &model, "--adapter", &model], "adapter_config.json"),
        (vec!["ask", "--prompt", "?", "--device", "cuda:7"], "cuda"),
        (vec!["ask", "--prompt", "?", "--choice", "A", ""], "choice 2"),
        (vec!["ask", "--prompt", "a <livr_3> b"], "<livr_3>"),
        (vec!["ask", "--prompt", "?", "--image", "/dev/zero"], "/dev/zero"),
        (vec!["screenshot", "--out", "x.png", "--layer", "99", "--max-new-tokens", "1"], "6 layers"),
        (vec!["screenshot", "--out", "x.png", "--model", "/tmp"], "config.json"),
        (vec!["trace", "--prompt", "?", "--out", "/nowhere/at/all.safetensors"], "/nowhere/at"),
    ] {
        let output = livr(&args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        // A graphics library says of its own that there is no run-time folder.
        let stderr = text(&output.stderr);
        let lines: Vec<&str> = stderr.lines().filter(|line| !line.contains("XDG_RUNTIME_DIR")).collect();
        assert!(lines.len() == 1 && lines[0].starts_with("livr: ") && lines[0].contains(words), "{stderr}");
    }
}

#[test]
fn where_the_result_goes_is_looked_at_before_the_work() {
    let dir = TempDir::new().unwrap();
    // The model is no good either, but it takes longer to find that out.
    for out in [dir.path().join("gone/t.safetensors"), dir.path().to_owned()] {
        let args = ["trace", "--prompt", "?", "--model", "/nowhere", "--out", &display(&out)];
        let output = livr(&args);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(&display(dir.path())), "{}", text(&output.stderr));
    }
    let shot = livr(&["screenshot", "--model", "/nowhere", "--out", "/nowhere/at/all.png"]);
    assert!(text(&shot.stderr).contains("/nowhere/at)"), "{}", text(&shot.stderr));
}

#[test]
fn a_result_never_lies_over_what_it_is_made_of() {
    let model = crate::common::Copy::of("qwen3_vl", "model");
    let image = model.path().join("../livr-input.png");
    std::fs::copy(fixture("qwen3_vl/images/0.png"), &image).unwrap();
    let weights = model.path().join("model.safetensors");
    let before = (std::fs::read(&image).unwrap(), std::fs::read(&weights).unwrap());
    for out in [&image, &weights] {
        let output = livr(&[
            "trace",
            "--prompt",
            "?",
            "--model",
            &display(model.path()),
            "--image",
            &display(&image),
            "--out",
            &display(out),
        ]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("one that this run reads"), "{}", text(&output.stderr));
    }
    assert!(before == (std::fs::read(&image).unwrap(), std::fs::read(&weights).unwrap()));
    std::fs::remove_file(image).unwrap();
}

#[test]
fn check_says_in_json_too_that_a_folder_is_not_there() {
    for args in [vec!["--model", "/nope"], vec!["--adapter", "/nope"]] {
        let output = livr(&[&["check", "--json"], &args[..]].concat());
        assert_eq!(output.status.code(), Some(1));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["ok"], false);
        assert!(report["problems"][0].as_str().unwrap().contains("/nope"));
    }
}

#[test]
fn what_the_checkpoint_publishes_is_applied_said_and_switched_off() {
    let model = display(&fixture("published/qwen2.5-vl-3b"));
    let image = display(&fixture("published/image.png"));
    let ask = |options: &[&str]| {
        let args =
            ["ask", "--model", &model, "--image", &image, "--prompt", "Which image is the missing part?"];
        json(&livr(&[&args, options, &["--max-new-tokens", "3", "--json"]].concat()))
    };
    let ids = |report: &Value| report["tokens"].as_array().unwrap().iter().map(|t| t["id"].clone()).collect();
    let (plain, off): (Vec<Value>, Vec<Value>) =
        (ids(&ask(&[])), ids(&ask(&["--repetition-penalty", "off"])));
    assert_ne!(plain, off);
    let report = ask(&[]);
    assert!((report["applied"]["repetition_penalty"].as_f64().unwrap() - 1.05).abs() < 1e-6);
    assert_eq!(report["settings"]["decoding"]["repetition_penalty"], "auto");
    assert_eq!(report["image_sizes"], serde_json::json!([[168, 112]]));
    let small = ask(&["--max-pixels", "3136"]);
    assert_eq!(small["applied"]["max_pixels"], 3136);
    assert!(small["num_prompt_tokens"].as_u64() < report["num_prompt_tokens"].as_u64());
    for bad in [["--max-pixels", "many"], ["--repetition-penalty", "-1"], ["--top-k", "0"]] {
        assert_eq!(livr(&[&["ask", "--prompt", "?"], &bad[..]].concat()).status.code(), Some(2), "{bad:?}");
    }
    let check = livr(&["check", "--model", &model]);
    assert!(text(&check.stdout).contains("repetition penalty") && text(&check.stdout).contains("1.05"));
}

#[test]
fn check_describes_a_folder_and_finds_what_is_wrong() {
    let root = display(&fixture("qwen2_5_vl"));
    let (model, adapter) = (format!("{root}/model"), format!("{root}/adapter"));
    let report = json(&livr(&["check", "--model", &model, "--adapter", &adapter, "--json"]));
    assert_eq!(report["ok"], true);
    let facts = report["facts"].as_object().unwrap();
    assert_eq!(facts["architecture"], "qwen2_5_vl");
    assert!(facts["adapter LoRA"].as_str().unwrap().contains("21 modules, rank 4"));
    assert!(facts["memory"].as_str().unwrap().contains("weights 1.3 MiB"));
    assert!(livr(&["check"]).status.success());
    let broken = crate::common::Copy::of("qwen3_vl", "model");
    broken.remove("tokenizer.json");
    broken.remove("model.safetensors");
    let output = livr(&["check", "--model", &display(broken.path())]);
    assert_eq!(output.status.code(), Some(1));
    let found = text(&output.stdout);
    assert!(found.contains("tokenizer.json is missing") && found.contains("model.safetensors"), "{found}");
}

#[test]
fn a_written_file_is_whole_or_not_there() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("t.safetensors");
    std::fs::write(&out, "what the user had").unwrap();
    let failed = livr(&["trace", "--prompt", "?", "--model", "/nowhere", "--out", &display(&out)]);
    assert!(!failed.status.success());
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "what the user had");
    let done = livr(&["trace", "--prompt", "?", "--max-new-tokens", "1", "--out", &display(&out)]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    // A link stays one.
    let link = dir.path().join("link.safetensors");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&out, &link).unwrap();
        let again = livr(&["trace", "--prompt", "!", "--max-new-tokens", "1", "--out", &display(&link)]);
        assert!(again.status.success(), "{}", text(&again.stderr));
        assert!(link.is_symlink() && Golden::read(&out).has("logits"));
    }
}

#[test]
fn screenshots_show_the_state_asked_for() {
    let dir = TempDir::new().unwrap();
    let shot = |name: &str, args: &[&str]| {
        let out = dir.path().join(name);
        let output = livr(
            &[&["screenshot", "--size", "900x600", "--max-new-tokens", "2", "--out", &display(&out)], args]
                .concat(),
        );
        assert!(output.status.success(), "{}", text(&output.stderr));
        image::open(&out).unwrap().to_rgb8()
    };
    let dark = shot("dark.png", &[]);
    assert_eq!(dark.dimensions(), (900, 600));
    let light = shot("light.png", &["--theme", "light"]);
    let mean = |image: &image::RgbImage| {
        image.as_raw().iter().map(|v| u64::from(*v)).sum::<u64>() / image.as_raw().len() as u64
    };
    assert!(mean(&light) > mean(&dark) + 40);
    assert_ne!(shot("layer.png", &["--layer", "0", "--head", "3", "--latent", "9"]), dark);
    assert_ne!(shot("mask.png", &["--mask", "bottleneck"]), dark);
}

#[test]
fn check_measures_how_far_fewer_bits_are() {
    let model = fixture("qwen3_vl/model");
    let report = json(&livr(&["check", "--model", model.to_str().unwrap(), "--measure", "--json"]));
    let deviations = report["deviations"].as_array().unwrap();
    let of = |dtype: &str| deviations.iter().find(|d| d["dtype"] == dtype).unwrap()["mean"].as_f64().unwrap();
    assert!(of("bf16") > 0.0 && of("q8") < of("q4") && of("q4") < 1.0, "{deviations:?}");
    let only =
        json(&livr(&["check", "--model", model.to_str().unwrap(), "--measure", "--dtype", "q4", "--json"]));
    assert_eq!(only["deviations"].as_array().unwrap().len(), 1);
    let report = json(&livr(&["check", "--model", model.to_str().unwrap(), "--json"]));
    assert!(report["deviations"].is_null() && report["facts"]["a run keeps"].is_string());
}

#[test]
fn bench_measures_beside_something_real() {
    let sizes = ["--layers", "1", "--decode", "1", "--repeats", "1", "--json"];
    let lists = ["--tokens", "128,160,192", "--dtype", "bf16,q4", "--capture", "off,full"];
    let forward = ["bench", "forward", "--shape", "qwen3-vl-2b"];
    let report = json(&livr(&[forward.as_slice(), &lists, &sizes].concat()));
    let runs = report["runs"].as_array().unwrap();
    assert_eq!((runs.len(), report["layers"].as_u64()), (12, Some(1)));
    assert!(runs.iter().all(|run| run["prompt_over_matmul"].as_f64().unwrap() > 0.0));
    // Two types, two ways to capture: a cost fitted to three lengths each.
    assert_eq!(report["costs"].as_array().unwrap().len(), 4);

    let report =
        json(&livr(&["bench", "ops", "--tokens", "32", "--repeats", "1", "--dtype", "f32", "--json"]));
    assert!(report["bandwidth"].as_f64().unwrap() > 0.0 && report["peak"].as_f64().unwrap() > 0.0);
    assert!(report["ops"].as_array().unwrap().iter().all(|op| op["secs"].as_f64().unwrap() > 0.0));

    let model = fixture("qwen3_vl/model");
    let report = json(&livr(&["bench", "load", "--model", model.to_str().unwrap(), "--json"]));
    assert!(report["load_secs"].as_f64().unwrap() > 0.0 && report["read_secs"].as_f64().unwrap() > 0.0);

    for trained in ["full", "lora"] {
        let few = ["--batch", "2", "--text", "24", "--steps", "3", "--trained", trained, "--json"];
        let report = json(&livr(&[["bench", "train"].as_slice(), &few].concat()));
        let loss = |i: usize| report["loss"][i].as_f64().unwrap();
        assert!(loss(1) < loss(0), "{trained}: {} to {}", loss(0), loss(1));
    }
}

#[test]
fn a_trace_goes_into_a_pipe_and_an_image_comes_out_of_one() {
    use std::io::Write;
    use std::process::Stdio;
    let dir = TempDir::new().unwrap();
    let (file, image) = (display(&dir.path().join("t.safetensors")), fixture("qwen3_vl/images/0.png"));
    let args = ["trace", "--image", &display(&image), "--prompt", "what?", "--max-new-tokens", "2", "--out"];
    assert!(livr(&[&args[..], &[&file]].concat()).status.success());
    let piped = livr(&[&args[..], &["-", "--json"]].concat());
    assert!(piped.status.success() && text(&piped.stderr).contains("\"num_latents\": 16"));
    let (ours, written) = (dir.path().join("p.safetensors"), Golden::read(Path::new(&file)));
    std::fs::write(&ours, &piped.stdout).unwrap();
    assert_eq!(Golden::read(&ours).floats("latent_attentions"), written.floats("latent_attentions"));

    let mut child = Command::new(env!("CARGO_BIN_EXE_livr"))
        .args(["ask", "--image", "-", "--prompt", "what?", "--max-new-tokens", "2", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(&image).unwrap()).unwrap();
    let found = json(&child.wait_with_output().unwrap());
    let plain =
        livr(&["ask", "--image", &display(&image), "--prompt", "what?", "--max-new-tokens", "2", "--json"]);
    assert_eq!(found["answer"], json(&plain)["answer"]);
    let empty = Command::new(env!("CARGO_BIN_EXE_livr"))
        .args(["ask", "--image", "-", "--prompt", "what?"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        !empty.status.success() && text(&empty.stderr).contains("the bytes of an image file, found nothing")
    );
}

#[test]
fn shells_and_man_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = livr(&["completions", shell]);
        let script = text(&script.stdout);
        assert!(script.contains("livr") && script.contains("max-new-tokens"), "{shell}");
    }
    assert_eq!(livr(&["completions", "cmd"]).status.code(), Some(2));
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("man1");
    assert!(livr(&["man", "--out", &display(&out)]).status.success());
    let page = std::fs::read_to_string(out.join("livr-trace.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("attentions"));
    assert!(out.join("livr.1").is_file());
}

#[test]
fn marks_are_as_many_as_images_or_none() {
    let (first, second) =
        (display(&fixture("qwen3_vl/images/0.png")), display(&fixture("qwen3_vl/images/1.png")));
    let ask = |images: &[&str], prompt: &str| {
        let args = [&["ask", "--prompt", prompt, "--max-new-tokens", "1", "--image"], images].concat();
        livr(&args)
    };
    for (images, prompt) in [(vec![&*first], "<image><image>?"), (vec![&*first, &*second], "<image>?")] {
        let refused = ask(&images, prompt);
        assert!(
            !refused.status.success()
                && text(&refused.stderr).contains("mark where each image goes, or none")
        );
    }
    assert!(ask(&[&first, &second], "<image> and <image>?").status.success());
    assert!(ask(&[&first, &second], "both?").status.success());
    // Folders and patterns stand for their images.
    let folder = display(&fixture("qwen3_vl/images"));
    let found = json(&livr(&["ask", "--json", "--max-new-tokens", "1", "--prompt", "?", "--image", &folder]));
    assert!(found["image_sizes"].as_array().unwrap().len() >= 2);
}

#[test]
fn the_window_is_measured_frame_by_frame() {
    let args = ["bench", "window", "--frames", "20", "--runs", "3", "--idle", "1", "--json"];
    let found = json(&livr(&args));
    assert!(found["maps"].as_u64().unwrap() >= 16);
    for frames in found["frames"].as_array().unwrap() {
        assert!(
            frames["median_ms"].as_f64().unwrap() > 0.0
                && frames["p95_ms"].as_f64() >= frames["median_ms"].as_f64()
        );
    }
    assert_eq!(found["idle_frames"], 0, "a window in which nothing happens draws nothing");
}
