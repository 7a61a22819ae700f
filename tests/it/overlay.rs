//! The overlay shader against the plain version of the same blend, pixel by pixel, on the software driver.

use std::sync::Arc;

use image::{Rgb, RgbImage};
use livr_explorer::analysis::maps::GridMap;
use livr_explorer::analysis::normalise::Range;
use livr_explorer::data::picture::Picture;
use livr_explorer::render::blend::{ColourMap, OverlayStyle, compose};
use livr_explorer::render::overlay::{MapStack, OverlayPaint, OverlayRenderer};

const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
}

impl Gpu {
    fn new() -> Self {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let options = wgpu::RequestAdapterOptions { force_fallback_adapter: false, ..Default::default() };
        let adapter = pollster::block_on(instance.request_adapter(&options))
            .expect("a graphics driver, in software if need be");
        let (device, queue) =
            pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
        Self { device, queue }
    }

    fn draw(&self, paint: &OverlayPaint, width: u32, height: u32) -> RgbImage {
        let mut renderer = OverlayRenderer::new(&self.device, FORMAT);
        renderer.prepare(&self.device, &self.queue, paint);
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        let target = self.device.create_texture(&wgpu::TextureDescriptor {
            label: None,
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let view = target.create_view(&wgpu::TextureViewDescriptor::default());
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: &view,
                    resolve_target: None,
                    ops: wgpu::Operations {
                        load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                        store: wgpu::StoreOp::Store,
                    },
                    depth_slice: None,
                })],
                ..Default::default()
            });
            renderer.draw(&mut pass, paint.slot);
        }
        let stride = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: u64::from(stride * height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        encoder.copy_texture_to_buffer(
            target.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(stride),
                    rows_per_image: None,
                },
            },
            size,
        );
        self.queue.submit([encoder.finish()]);
        buffer.slice(..).map_async(wgpu::MapMode::Read, |outcome| outcome.unwrap());
        self.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        let data = buffer.slice(..).get_mapped_range().unwrap();
        RgbImage::from_fn(width, height, |x, y| {
            let at = (y * stride + x * 4) as usize;
            Rgb([data[at], data[at + 1], data[at + 2]])
        })
    }
}

fn picture(width: u32, height: u32) -> Arc<Picture> {
    let pixels = RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x * 5 % 256) as u8, (y * 7 % 256) as u8, ((x + y) * 3 % 256) as u8])
    });
    Arc::new(Picture::new("test", pixels))
}

fn map(seed: usize) -> GridMap {
    let values = (0..5 * 8).map(|i| ((i * 37 + seed * 11) % 41) as f32 / 400.0).collect();
    GridMap { rows: 5, cols: 8, values }
}

/// Largest difference of a channel, and how many channels differ by more than `allowed`.
fn difference(a: &RgbImage, b: &RgbImage, allowed: u8) -> (u8, usize) {
    let differences = a.as_raw().iter().zip(b.as_raw()).map(|(x, y)| x.abs_diff(*y));
    (differences.clone().max().unwrap(), differences.filter(|d| *d > allowed).count())
}

#[test]
fn the_shader_is_the_plain_blend() {
    let gpu = Gpu::new();
    let picture = picture(96, 60);
    let maps = [map(1), map(2), map(3)];
    let stack = MapStack::new(&maps).unwrap();
    let range = Range { low: 0.01, high: 0.08 };
    for colour_map in ColourMap::ALL {
        for (smooth, fade, opacity, layer) in
            [(false, false, 0.6, 0), (true, false, 1.0, 1), (true, true, 0.8, 2), (false, true, 0.3, 1)]
        {
            let style = OverlayStyle { opacity, colour_map, smooth, fade };
            let paint = OverlayPaint {
                image: picture.clone(),
                map: Some((stack.clone(), layer, range)),
                style,
                view: [0.0, 0.0, 1.0, 1.0],
                slot: 7,
            };
            let (ours, plain) =
                (gpu.draw(&paint, 96, 60), compose(&picture.pixels, &maps[layer], range, &style));
            // A value that falls between two of 256 colours may take either; on all other pixels a rounding.
            let (largest, beyond) = difference(&ours, &plain, 1);
            let share = beyond as f64 / ours.as_raw().len() as f64;
            assert!(
                largest <= 6 && share < 0.02,
                "{colour_map:?} {style:?}: up to {largest}, {beyond} channels beyond rounding"
            );
        }
    }
}

/// Square maps in any number: OpenGL makes cubes of six, and of one no array.
#[test]
fn stacks_of_any_number_of_square_maps_are_read() {
    let gpu = Gpu::new();
    let picture = picture(60, 60);
    let square = |seed: usize| GridMap { rows: 6, cols: 6, values: map(seed).values[..36].to_vec() };
    let range = Range { low: 0.01, high: 0.08 };
    let style = OverlayStyle { opacity: 1.0, ..OverlayStyle::default() };
    for count in [1, 2, 6, 7, 12, 18] {
        let maps: Vec<GridMap> = (0..count).map(square).collect();
        let stack = MapStack::new(&maps).unwrap();
        let view = [0.0, 0.0, 1.0, 1.0];
        for layer in [0, count - 1] {
            let map = Some((stack.clone(), layer, range));
            let paint = OverlayPaint { image: picture.clone(), map, style, view, slot: count as u64 };
            let (ours, plain) =
                (gpu.draw(&paint, 60, 60), compose(&picture.pixels, &maps[layer], range, &style));
            let (largest, _) = difference(&ours, &plain, 1);
            assert!(largest <= 6, "map {layer} of {count}: up to {largest}");
        }
    }
}

#[test]
fn a_part_of_the_image_is_that_part_of_the_whole() {
    let gpu = Gpu::new();
    let picture = picture(64, 64);
    let maps = [map(4)];
    let range = Range { low: 0.0, high: 0.1 };
    let paint = |view| OverlayPaint {
        image: picture.clone(),
        map: Some((MapStack::new(&maps).unwrap(), 0, range)),
        style: OverlayStyle::default(),
        view,
        slot: 1,
    };
    let whole = gpu.draw(&paint([0.0, 0.0, 1.0, 1.0]), 64, 64);
    let part = gpu.draw(&paint([0.25, 0.5, 0.75, 1.0]), 32, 32);
    let cut = image::imageops::crop_imm(&whole, 16, 32, 32, 32).to_image();
    assert!(difference(&part, &cut, 1).1 == 0);
}

#[test]
fn without_a_map_the_image_is_itself() {
    let gpu = Gpu::new();
    let picture = picture(40, 30);
    let paint = OverlayPaint {
        image: picture.clone(),
        map: None,
        style: OverlayStyle::default(),
        view: [0.0, 0.0, 1.0, 1.0],
        slot: 1,
    };
    assert_eq!(gpu.draw(&paint, 40, 30), picture.pixels);
}
