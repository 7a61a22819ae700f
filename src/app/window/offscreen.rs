//! The window without a display: one harness for pictures of it, for figures and for tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eframe::egui_wgpu::{RenderState, RendererOptions, ScreenDescriptor};
use egui_kittest::wgpu::{WgpuTestRenderer, create_render_state, default_wgpu_setup};
use egui_kittest::{Harness, TestRenderer};
use egui_system_font_provider::SystemFontProvider;
use image::RgbaImage;

use super::{LivrApp, Startup};
use crate::render::paint::black_pass;

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
        // The harness panics where there is no driver at all.
        let renderer = std::panic::catch_unwind(WgpuTestRenderer::new).ok()?;
        self.with_renderer(startup, renderer)
    }

    /// The same, but what is drawn is not read back: as long as a window takes.
    pub fn open_drawing(self, startup: Startup, drawing: Drawing) -> Option<Window> {
        self.with_renderer(startup, drawing)
    }

    fn with_renderer(self, startup: Startup, renderer: impl TestRenderer + 'static) -> Option<Window> {
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
                .renderer(renderer)
                .build_eframe(|cc| LivrApp::new(cc, startup))
        };
        // The harness panics where there is no driver at all.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(make)).ok()
    }
}

/// Draws frames to their end and leaves them where they are.
pub struct Drawing {
    render: RenderState,
    target: Option<wgpu::Texture>,
}

impl Drawing {
    /// On the device that pictures are made on, and with the options that windows have.
    pub fn new() -> Option<Self> {
        let make = || {
            create_render_state(
                default_wgpu_setup(),
                RendererOptions { dithering: false, ..RendererOptions::default() },
            )
        };
        Some(Self { render: std::panic::catch_unwind(make).ok()?, target: None })
    }

    /// What the device is called.
    pub fn device_name(&self) -> String {
        self.render.adapter.get_info().name
    }

    fn target(&mut self, size: [u32; 2]) -> wgpu::TextureView {
        let fits = |target: &wgpu::Texture| [target.width(), target.height()] == size;
        let target = self.target.take().filter(fits).unwrap_or_else(|| {
            self.render.device.create_texture(&wgpu::TextureDescriptor {
                label: Some("frame"),
                size: wgpu::Extent3d { width: size[0], height: size[1], depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: self.render.target_format,
                usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
                view_formats: &[],
            })
        });
        let view = target.create_view(&wgpu::TextureViewDescriptor::default());
        self.target = Some(target);
        view
    }
}

impl TestRenderer for Drawing {
    fn setup_eframe(&self, cc: &mut eframe::CreationContext<'_>, frame: &mut eframe::Frame) {
        cc.wgpu_render_state = Some(self.render.clone());
        frame.wgpu_render_state = Some(self.render.clone());
    }

    #[expect(clippy::iter_over_hash_type, reason = "textures do not depend on each other")]
    fn handle_delta(&mut self, delta: &mut egui::TexturesDelta) {
        let mut renderer = self.render.renderer.write();
        for (id, images) in delta.set.drain() {
            for image in images {
                renderer.update_texture(&self.render.device, &self.render.queue, id, &image);
            }
        }
        for id in delta.free.drain() {
            renderer.free_texture(&id);
        }
    }

    fn render(&mut self, ctx: &egui::Context, output: &egui::FullOutput) -> Result<RgbaImage, String> {
        let pixels_per_point = ctx.pixels_per_point();
        let size = ctx.content_rect().size() * pixels_per_point;
        let size_in_pixels = [size.x.round() as u32, size.y.round() as u32];
        let screen = ScreenDescriptor { pixels_per_point, size_in_pixels };
        let view = self.target(size_in_pixels);
        let RenderState { device, queue, renderer, .. } = &self.render;
        let mut renderer = renderer.write();
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let shapes = ctx.tessellate(output.shapes.clone(), pixels_per_point);
        let buffers = renderer.update_buffers(device, queue, &mut encoder, &shapes, &screen);
        let mut pass = black_pass(&mut encoder, &view).forget_lifetime();
        renderer.render(&mut pass, &shapes, &screen);
        drop(pass);
        queue.submit(buffers.into_iter().chain([encoder.finish()]));
        device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| e.to_string())?;
        Ok(RgbaImage::new(1, 1))
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
