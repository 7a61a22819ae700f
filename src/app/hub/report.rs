//! What a report of a fault should say.

use super::state::State;
use crate::logging;
use crate::units::human_bytes;

/// Version, system, device, model and the last messages, a line each.
pub fn report(state: &State) -> String {
    let mut lines = vec![
        format!("LIVR Explorer {}", env!("CARGO_PKG_VERSION")),
        format!("system: {} {}", std::env::consts::OS, std::env::consts::ARCH),
    ];
    match &state.models.in_use {
        Some(info) => {
            lines.push(format!("model: {} ({}, {})", info.name, info.family, info.dtype));
            lines.push(format!("adapter: {}", info.adapter.as_deref().unwrap_or("none")));
            lines.push(format!("device: {}", info.device));
        }
        None => lines.push("model: none".to_owned()),
    }
    lines.push(format!("runs: {}", state.runs.listed().len()));
    lines.push(format!("memory held: {}", human_bytes(state.ui.used_bytes)));
    lines.extend(state.ui.notices.iter().map(|notice| format!("notice: {notice}")));
    lines.extend(logging::recent());
    lines.join("\n") + "\n"
}
