//! Points drawn without a window: for tests, and to measure how long a frame takes.

use super::paint::black_pass;
use super::points::{PointsPaint, PointsRenderer};
use crate::error::{Error, Result};

/// A picture on a graphics device.
pub struct Frames {
    device: wgpu::Device,
    queue: wgpu::Queue,
    texture: wgpu::Texture,
    renderer: PointsRenderer,
    size: [u32; 2],
    /// What the device is called.
    pub device_name: String,
}

const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

fn failed(problem: &dyn std::fmt::Display) -> Error {
    Error::Request(format!("graphics device: {problem}"))
}

impl Frames {
    /// Of this width, a multiple of 64, and height.
    ///
    /// # Errors
    /// No graphics device.
    pub fn open(size: [u32; 2]) -> Result<Self> {
        assert!(size[0].is_multiple_of(64), "rows of a copy begin at multiples of 256 bytes");
        pollster::block_on(Self::open_async(size))
    }

    async fn open_async(size: [u32; 2]) -> Result<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapter = instance
            .request_adapter(&wgpu::RequestAdapterOptions::default())
            .await
            .map_err(|e| failed(&e))?;
        let (device, queue) =
            adapter.request_device(&wgpu::DeviceDescriptor::default()).await.map_err(|e| failed(&e))?;
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("frame"),
            size: wgpu::Extent3d { width: size[0], height: size[1], depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let renderer = PointsRenderer::new(&device, FORMAT);
        Ok(Self { device, queue, texture, renderer, size, device_name: adapter.get_info().name })
    }

    /// Draws a frame to its end.
    ///
    /// # Errors
    /// A device that is lost.
    pub fn draw(&mut self, paint: &PointsPaint) -> Result<()> {
        let encoder = self.encoded(paint);
        self.queue.submit([encoder.finish()]);
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| failed(&e)).map(drop)
    }

    /// Draws a frame and reads it, row by row.
    ///
    /// # Errors
    /// A device that is lost.
    pub fn pixels(&mut self, paint: &PointsPaint) -> Result<Vec<[u8; 4]>> {
        let mut encoder = self.encoded(paint);
        let [width, height] = self.size;
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("frame"),
            size: u64::from(width * height * 4),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let layout =
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(width * 4), rows_per_image: None };
        encoder.copy_texture_to_buffer(
            self.texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo { buffer: &buffer, layout },
            wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        );
        self.queue.submit([encoder.finish()]);
        let (sender, receiver) = crossbeam_channel::bounded(1);
        buffer.map_async(wgpu::MapMode::Read, .., move |mapped| {
            if sender.send(mapped).is_err() {
                log::debug!("nobody waits for the frame");
            }
        });
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| failed(&e))?;
        receiver.try_recv().map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
        let bytes = buffer.get_mapped_range(..).map_err(|e| failed(&e))?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    fn encoded(&mut self, paint: &PointsPaint) -> wgpu::CommandEncoder {
        self.renderer.prepare(&self.device, &self.queue, paint);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let view = self.texture.create_view(&wgpu::TextureViewDescriptor::default());
        let mut pass = black_pass(&mut encoder, &view);
        self.renderer.draw(&mut pass, &paint.points);
        drop(pass);
        encoder
    }
}
