//! The font of charts, the same on every machine.

use std::sync::Once;

use plotters::style::{FontStyle, register_font};

/// Makes the program's own font that of charts.
pub fn register() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        for style in [FontStyle::Normal, FontStyle::Bold] {
            if register_font("sans-serif", style, epaint_default_fonts::UBUNTU_LIGHT).is_err() {
                log::warn!("charts have no font");
            }
        }
    });
}
