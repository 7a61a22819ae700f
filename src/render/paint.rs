//! What egui is handed to have something of ours drawn.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};

use eframe::egui_wgpu::{Callback, CallbackResources, CallbackTrait, ScreenDescriptor};

thread_local! {
    /// What was drawn by renderers of ours up to here.
    static STAMP: Cell<u64> = const { Cell::new(0) };
}

/// Something of ours was drawn, which this stands for: two drawings of one stamp are alike.
pub fn stamped(stamp: u64) {
    STAMP.with(|all| {
        let mut hasher = DefaultHasher::new();
        (all.get(), stamp).hash(&mut hasher);
        all.set(hasher.finish());
    });
}

/// What was drawn up to here, and from here on this.
pub fn replace_stamp(stamp: u64) -> u64 {
    STAMP.replace(stamp)
}

/// Something that a renderer draws which is kept among egui's resources.
pub trait Paint: Send + Sync + 'static {
    /// The renderer.
    type Renderer: Send + Sync + 'static;

    /// What it will draw, as a number: what has the same looks the same.
    fn stamp(&self) -> u64;

    /// Puts on the GPU what is not there yet.
    fn prepare(&self, renderer: &mut Self::Renderer, device: &wgpu::Device, queue: &wgpu::Queue);

    /// All of a frame are prepared.
    fn finish_frame(_renderer: &mut Self::Renderer) {}

    /// Draws it.
    fn draw(&self, renderer: &Self::Renderer, pass: &mut wgpu::RenderPass<'static>);
}

/// A drawing in a rectangle, as egui takes it.
pub fn in_rect(rect: egui::Rect, paint: impl Paint) -> egui::PaintCallback {
    stamped(paint.stamp());
    Callback::new_paint_callback(rect, AsCallback(paint))
}

struct AsCallback<D>(D);

impl<D: Paint> CallbackTrait for AsCallback<D> {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        _screen: &ScreenDescriptor,
        _encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if let Some(renderer) = resources.get_mut::<D::Renderer>() {
            self.0.prepare(renderer, device, queue);
        }
        Vec::new()
    }

    fn finish_prepare(
        &self,
        _device: &wgpu::Device,
        _queue: &wgpu::Queue,
        _encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if let Some(renderer) = resources.get_mut::<D::Renderer>() {
            D::finish_frame(renderer);
        }
        Vec::new()
    }

    fn paint(
        &self,
        _info: egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        resources: &CallbackResources,
    ) {
        if let Some(renderer) = resources.get::<D::Renderer>() {
            self.0.draw(renderer, pass);
        }
    }
}

/// A pass over a target that begins black.
pub fn black_pass<'a>(
    encoder: &'a mut wgpu::CommandEncoder,
    view: &wgpu::TextureView,
) -> wgpu::RenderPass<'a> {
    encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations {
                load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                store: wgpu::StoreOp::Store,
            },
        })],
        ..wgpu::RenderPassDescriptor::default()
    })
}
