//! Dependencies point one way: read off the `use` lines.

use std::path::Path;

/// The layers from the ground up: a module may use those of earlier lines, and what its own line adds.
const LAYERS: &[(&[&str], &[&str])] = &[
    (&["units", "array", "memory", "random", "logging"], &[]),
    (&["error", "settings"], &["units"]),
    (&["trace", "atomic", "paths", "tensor_file"], &["error", "atomic"]),
    (&["progress"], &[]),
    (&["digest"], &[]),
    (&["sandbox", "projection"], &[]),
    (&["checkpoint", "data"], &[]),
    (&["input", "ops"], &[]),
    (&["model"], &[]),
    (&["analysis", "export", "train"], &[]),
    (&["engine"], &[]),
    (&["render"], &[]),
    (&["app"], &[]),
    (&["cli"], &[]),
];

/// What a layer has no business with, though it lies below.
const NEVER: &[(&str, &[&str])] = &[
    ("ops", &["checkpoint", "data", "trace", "sandbox"]),
    ("model", &["data", "input", "trace", "sandbox"]),
    ("analysis", &["checkpoint", "data", "input", "model"]),
    ("export", &["checkpoint", "data", "input", "model"]),
    ("render", &["checkpoint", "engine", "input", "model"]),
    ("app", &["checkpoint", "input", "model"]),
];

fn may_use(module: &str, used: &str) -> bool {
    let place = |name: &str| LAYERS.iter().position(|(names, _)| names.contains(&name));
    let (Some(own), Some(other)) = (place(module), place(used)) else { return false };
    let never = NEVER.iter().any(|(name, banned)| *name == module && banned.contains(&used));
    !never && (other < own || LAYERS[own].1.contains(&used))
}

/// Longer files are hard to keep in mind.
const LONGEST_FILE: usize = 450;

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push(path);
        }
    }
    all
}

#[test]
fn dependencies_point_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in files(&src) {
        let relative = file.strip_prefix(&src).unwrap();
        let module = relative.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let is_layer = |name: &str| LAYERS.iter().any(|(names, _)| names.contains(&name));
        assert!(is_layer(&module), "{module} has no layer");
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (_, rest) in code.match_indices("crate::").map(|(i, m)| (i, &code[i + m.len()..])) {
            let used: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if used != module && is_layer(&used) && !may_use(&module, &used) {
                wrong.push(format!("{} uses {used}", relative.display()));
            }
        }
        let draws = matches!(module.as_str(), "app" | "render" | "cli");
        // Maps are made on graphics cards too, without anything being drawn.
        let may_wgpu = draws || module == "projection";
        if (!draws && code.contains("egui")) || (!may_wgpu && code.contains("wgpu::")) {
            wrong.push(format!("{} draws", relative.display()));
        }
        let computes = matches!(module.as_str(), "checkpoint" | "ops" | "model" | "train" | "engine");
        if !computes && code.contains("candle_") {
            wrong.push(format!("{} touches tensors", relative.display()));
        }
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            wrong.push(format!("{} has {lines} lines and asks to be two", relative.display()));
        }
    }
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it")) {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        if lines > LONGEST_FILE {
            wrong.push(format!("{} has {lines} lines and asks to be two", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
