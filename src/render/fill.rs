//! Grounds of one colour. egui draws these with the shader of its texts, which on a software driver takes most of the time
//! of a frame: for each pixel it filters a texture.

use std::collections::HashMap;

use egui::{Color32, Painter, Rect};

use super::paint::{Paint, in_rect};
use super::viewport;

/// Fills a rectangle with an opaque colour.
pub fn fill(painter: &Painter, rect: Rect, colour: Color32) {
    let visible = rect.intersect(painter.clip_rect());
    if visible.is_positive() {
        painter.add(in_rect(visible, Fill { colour }));
    }
}

struct Fill {
    colour: Color32,
}

/// Pipeline, and a small buffer for each colour there was.
pub struct FillRenderer {
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    is_srgb: bool,
    colours: HashMap<Color32, wgpu::BindGroup>,
}

impl FillRenderer {
    /// Compiles the shader for a target format.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("fill"),
            entries: &[wgpu::BindGroupLayoutEntry {
                binding: 0,
                visibility: wgpu::ShaderStages::FRAGMENT,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Uniform,
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            }],
        });
        let shader = wgpu::include_wgsl!("../../shaders/fill.wgsl");
        let pipeline = viewport::pipeline(device, "fill", shader, &layout, format);
        Self { pipeline, layout, is_srgb: format.is_srgb(), colours: HashMap::new() }
    }

    fn prepare(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, colour: Color32) {
        let (layout, is_srgb) = (&self.layout, self.is_srgb);
        self.colours.entry(colour).or_insert_with(|| {
            let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("fill"),
                size: 16,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let values =
                if is_srgb { egui::Rgba::from(colour).to_array() } else { colour.to_normalized_gamma_f32() };
            queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&values));
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("fill"),
                layout,
                entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
            })
        });
    }
}

impl Paint for Fill {
    type Renderer = FillRenderer;

    fn stamp(&self) -> u64 {
        u64::from(u32::from_le_bytes(self.colour.to_array()))
    }

    fn prepare(&self, renderer: &mut FillRenderer, device: &wgpu::Device, queue: &wgpu::Queue) {
        renderer.prepare(device, queue, self.colour);
    }

    fn draw(&self, renderer: &FillRenderer, pass: &mut wgpu::RenderPass<'static>) {
        if let Some(colour) = renderer.colours.get(&self.colour) {
            pass.set_pipeline(&renderer.pipeline);
            pass.set_bind_group(0, colour, &[]);
            pass.draw(0..3, 0..1);
        }
    }
}
