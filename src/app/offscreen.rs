//! The window without a display: one harness for pictures of it, for figures and for tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use egui_kittest::Harness;
use egui_system_font_provider::SystemFontProvider;

use super::window::{LivrApp, Startup};

/// What is asked of the harness.
#[derive(Debug, Clone, Copy)]
pub struct Offscreen {
    /// Size in points.
    pub size: [f32; 2],
    /// Pixels per point.
    pub scale: f32,
    /// Light or dark.
    pub theme: egui::Theme,
    /// The fonts of the system too: questions are in any script, the fonts built in know few.
    pub system_fonts: bool,
}

/// The window in a harness.
pub type Window = Harness<'static, LivrApp>;

impl Offscreen {
    /// Makes the window; nothing where there is no graphics driver, not even in software.
    pub fn open(self, startup: Startup) -> Option<Window> {
        let make = || {
            Harness::builder()
                .with_size(self.size)
                .with_pixels_per_point(self.scale)
                .with_theme(self.theme)
                .with_step_dt(0.1)
                .with_accessibility_check(false)
                .allow_missing_glyphs()
                .with_context_setup(move |ctx| {
                    if self.system_fonts {
                        ctx.add_font_provider(Arc::new(SystemFontProvider::new()));
                    }
                })
                .wgpu()
                .build_eframe(|cc| LivrApp::new(cc, startup))
        };
        // The harness panics where there is no driver at all.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(make)).ok()
    }
}

/// Steps until nothing is under way; false where that took longer than `patience`.
pub fn settle(window: &mut Window, patience: Duration) -> bool {
    let started = Instant::now();
    window.step();
    while !window.state().is_settled() {
        if started.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
        window.step();
    }
    // A layout that depends on the last frame's settles within a few.
    window.run_steps(4);
    true
}
