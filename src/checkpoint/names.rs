//! One name for each module, whatever layout a checkpoint or adapter was saved in.

/// The name a tensor or module has here, from either hub layout.
///
/// Old: `model.layers.*`, `model.embed_tokens`, `visual.*`. New: `model.language_model.layers.*`,
/// `model.visual.*`. Adapters may also leave out every prefix.
pub fn canonical_name(key: &str) -> String {
    if let Some(rest) = key.strip_prefix("model.visual.").or_else(|| key.strip_prefix("visual.")) {
        return format!("visual.{rest}");
    }
    if key.starts_with("lm_head.") {
        return key.to_owned();
    }
    if let Some(rest) = key.strip_prefix("language_model.lm_head.") {
        return format!("lm_head.{rest}");
    }
    for prefix in ["model.language_model.", "language_model.model.", "language_model.", "model."] {
        if let Some(rest) = key.strip_prefix(prefix) {
            return format!("language_model.{rest}");
        }
    }
    if key.starts_with("layers.") || key.starts_with("embed_tokens.") || key.starts_with("norm.") {
        return format!("language_model.{key}");
    }
    key.to_owned()
}

/// The name a tensor or module has in the layout that hubs use today.
pub fn published_name(canonical: &str) -> String {
    if canonical.starts_with("lm_head.") { canonical.to_owned() } else { format!("model.{canonical}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_key_layouts_have_one_name() {
        for (key, name) in [
            ("model.layers.0.mlp.up_proj.weight", "language_model.layers.0.mlp.up_proj.weight"),
            (
                "model.language_model.layers.0.mlp.up_proj.weight",
                "language_model.layers.0.mlp.up_proj.weight",
            ),
            ("visual.merger.mlp.0.weight", "visual.merger.mlp.0.weight"),
            ("model.visual.merger.mlp.0.weight", "visual.merger.mlp.0.weight"),
            ("lm_head.weight", "lm_head.weight"),
            ("layers.3.self_attn.q_proj", "language_model.layers.3.self_attn.q_proj"),
        ] {
            assert_eq!(canonical_name(key), name);
        }
    }
}
