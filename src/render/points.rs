//! Draws the points of a map: up to a million discs in one call.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::paint::Paint;

/// A point as the GPU takes it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Instance {
    /// On the map.
    pub place: [f32; 2],
    /// Red, green, blue and opacity.
    pub colour: [u8; 4],
}

/// Points that are drawn together.
#[derive(Debug, Clone)]
pub struct PointSet {
    id: u64,
    /// In the order they are drawn.
    pub instances: Arc<Vec<Instance>>,
}

impl PointSet {
    /// New points: they are uploaded once.
    pub fn new(instances: Vec<Instance>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), instances: Arc::new(instances) }
    }
}

/// A map in one rectangle of the window.
#[derive(Debug, Clone)]
pub struct PointsPaint {
    /// What is drawn.
    pub points: PointSet,
    /// Of the map, in the middle of the rectangle.
    pub centre: [f32; 2],
    /// Pixels to a unit of the map.
    pub scale: f32,
    /// Half the size of a point, in pixels.
    pub radius: f32,
    /// Of all points.
    pub opacity: f32,
    /// Width and height of the rectangle, in pixels.
    pub size: [f32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct View {
    centre: [f32; 2],
    scale: [f32; 2],
    radius: [f32; 2],
    radius_px: f32,
    opacity: f32,
}

impl PointsPaint {
    fn view(&self) -> View {
        let [width, height] = self.size.map(|side| side.max(1.0));
        View {
            centre: self.centre,
            // Up on the map is up on the screen.
            scale: [2.0 * self.scale / width, 2.0 * self.scale / height],
            radius: [2.0 * self.radius / width, 2.0 * self.radius / height],
            radius_px: self.radius,
            opacity: self.opacity,
        }
    }
}

struct Uploaded {
    buffer: wgpu::Buffer,
    count: u32,
    uniforms: wgpu::Buffer,
    given: wgpu::BindGroup,
    last_used: u64,
}

/// Pipeline and buffers.
pub struct PointsRenderer {
    pipeline: wgpu::RenderPipeline,
    sets: HashMap<u64, Uploaded>,
    frame: u64,
}

/// Sets that are kept: one that moves is another with each step.
const KEPT: usize = 4;

impl PointsRenderer {
    /// Compiles the shader for a target format.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        let module = device.create_shader_module(wgpu::include_wgsl!("../../shaders/points.wgsl"));
        let attributes = wgpu::vertex_attr_array![0 => Float32x2, 1 => Unorm8x4];
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("points"),
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("vertex"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                buffers: &[Some(wgpu::VertexBufferLayout {
                    array_stride: size_of::<Instance>() as u64,
                    step_mode: wgpu::VertexStepMode::Instance,
                    attributes: &attributes,
                })],
            },
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("fragment"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                targets: &[Some(wgpu::ColorTargetState {
                    format,
                    blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
                    write_mask: wgpu::ColorWrites::ALL,
                })],
            }),
            primitive: wgpu::PrimitiveState {
                topology: wgpu::PrimitiveTopology::TriangleStrip,
                ..wgpu::PrimitiveState::default()
            },
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            multiview_mask: None,
            cache: None,
        });
        Self { pipeline, sets: HashMap::new(), frame: 0 }
    }

    /// Uploads what is not there yet and writes the numbers of this frame.
    pub fn prepare(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, paint: &PointsPaint) {
        self.frame += 1;
        let frame = self.frame;
        if !self.sets.contains_key(&paint.points.id) {
            let uploaded = self.upload(device, &paint.points);
            self.sets.insert(paint.points.id, uploaded);
            while self.sets.len() > KEPT {
                let oldest = self.sets.iter().min_by_key(|(_, set)| set.last_used).map(|(id, _)| *id);
                let Some(oldest) = oldest.filter(|id| *id != paint.points.id) else { break };
                self.sets.remove(&oldest);
            }
        }
        let set = self.sets.get_mut(&paint.points.id).expect("uploaded above");
        set.last_used = frame;
        queue.write_buffer(&set.uniforms, 0, bytemuck::bytes_of(&paint.view()));
    }

    fn upload(&self, device: &wgpu::Device, points: &PointSet) -> Uploaded {
        use wgpu::util::DeviceExt;
        let contents: &[u8] = bytemuck::cast_slice(&points.instances);
        let buffer = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("points"),
            // No buffer is of no size.
            contents: if contents.is_empty() { &[0; size_of::<Instance>()] } else { contents },
            usage: wgpu::BufferUsages::VERTEX,
        });
        let uniforms = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("points"),
            size: size_of::<View>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let given = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("points"),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: uniforms.as_entire_binding() }],
        });
        Uploaded { buffer, count: points.instances.len() as u32, uniforms, given, last_used: 0 }
    }

    /// Draws prepared points over the whole viewport.
    pub fn draw(&self, pass: &mut wgpu::RenderPass<'_>, points: &PointSet) {
        if let Some(set) = self.sets.get(&points.id) {
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &set.given, &[]);
            pass.set_vertex_buffer(0, set.buffer.slice(..));
            pass.draw(0..4, 0..set.count);
        }
    }
}

impl Paint for PointsPaint {
    type Renderer = PointsRenderer;

    fn stamp(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let numbers = [self.scale, self.radius, self.opacity, self.size[0], self.size[1]];
        (self.points.id, self.centre.map(f32::to_bits), numbers.map(f32::to_bits)).hash(&mut hasher);
        hasher.finish()
    }

    fn prepare(&self, renderer: &mut PointsRenderer, device: &wgpu::Device, queue: &wgpu::Queue) {
        renderer.prepare(device, queue, self);
    }

    fn draw(&self, renderer: &PointsRenderer, pass: &mut wgpu::RenderPass<'static>) {
        renderer.draw(pass, &self.points);
    }
}
