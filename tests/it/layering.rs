//! Dependencies point one way: read off the `use` lines.

use std::path::Path;

/// Module, and the modules of this crate it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("error", &[]),
    ("settings", &["units"]),
    ("trace", &["settings", "units"]),
    ("progress", &["error"]),
    ("device", &["error"]),
    ("checkpoint", &["error", "settings"]),
    ("data", &["error"]),
    ("input", &["checkpoint", "data", "error", "progress", "settings", "trace", "units"]),
    ("model", &["checkpoint", "error", "input", "progress", "settings", "trace", "units"]),
    ("analysis", &["trace", "units"]),
    ("export", &["error", "trace"]),
    ("engine", &["checkpoint", "data", "device", "error", "input", "model", "progress", "settings", "trace"]),
    ("render", &["analysis", "data"]),
    (
        "app",
        &[
            "analysis",
            "checkpoint",
            "data",
            "device",
            "engine",
            "progress",
            "render",
            "settings",
            "trace",
            "units",
        ],
    ),
    (
        "cli",
        &[
            "analysis",
            "app",
            "checkpoint",
            "data",
            "device",
            "engine",
            "error",
            "export",
            "input",
            "model",
            "progress",
            "render",
            "settings",
            "trace",
            "units",
        ],
    ),
];

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
        let (_, allowed) = LAYERS
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{module} has no layer"));
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (_, rest) in code.match_indices("crate::").map(|(i, m)| (i, &code[i + m.len()..])) {
            let used: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if used != module
                && !allowed.contains(&used.as_str())
                && LAYERS.iter().any(|(name, _)| *name == used)
            {
                wrong.push(format!("{} uses {used}", relative.display()));
            }
        }
        let draws = matches!(module.as_str(), "app" | "render" | "cli");
        if !draws && (code.contains("egui::") || code.contains("wgpu::")) {
            wrong.push(format!("{} draws", relative.display()));
        }
        let computes = matches!(module.as_str(), "checkpoint" | "model" | "device" | "engine" | "error");
        let is_bench = relative.ends_with("cli/bench.rs");
        if !computes && !is_bench && code.contains("candle_") {
            wrong.push(format!("{} touches tensors", relative.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
