//! The overlay on the GPU: image and maps are uploaded once, a frame only writes a few numbers.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use image::RgbImage;

use super::blend::{ColourMap, OverlayStyle};
use super::paint::Paint;
use super::viewport;
use crate::analysis::maps::GridMap;
use crate::analysis::normalise::Range;
use crate::data::picture::{Picture, PictureId};

/// Maps in one stack: array layers every GPU has.
pub const MAX_LAYERS: usize = 256;
/// Textures kept that no frame of late has used.
const KEPT_TEXTURES: usize = 48;
/// Bytes of them: an image of 4096 x 4096 takes 64 MiB.
const KEPT_BYTES: u64 = 512 << 20;
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What a texture holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Content {
    Picture(PictureId),
    Maps(u64),
    NoMaps,
}

/// The maps of all queries over one image, one layer each.
#[derive(Debug, Clone)]
pub struct MapStack {
    id: u64,
    /// Rows of visual tokens.
    pub rows: usize,
    /// Columns of visual tokens.
    pub cols: usize,
    /// [queries, rows, cols].
    pub values: Arc<Vec<f32>>,
}

impl MapStack {
    /// Stacks maps of one size.
    pub fn new(maps: &[GridMap]) -> Option<Self> {
        let first = maps.first()?;
        let values = maps.iter().flat_map(|m| m.values.iter().copied()).collect();
        Some(Self { id: next_id(), rows: first.rows, cols: first.cols, values: Arc::new(values) })
    }

    fn num_layers(&self) -> usize {
        self.values.len() / (self.rows * self.cols)
    }
}

/// One image with one map of its stack, in one rectangle of the window.
#[derive(Debug, Clone)]
pub struct OverlayPaint {
    /// The image.
    pub image: Arc<Picture>,
    /// Which stack, which layer, and the ends of the colours.
    pub map: Option<(MapStack, usize, Range)>,
    /// How the map lies over the image.
    pub style: OverlayStyle,
    /// Part of the image in view: left, top, right, bottom, 0 to 1.
    pub view: [f32; 4],
    /// Distinguishes rectangles that show the same image.
    pub slot: u64,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Uniforms {
    uv_min: [f32; 2],
    uv_max: [f32; 2],
    low: f32,
    high: f32,
    opacity: f32,
    layer: u32,
    smooth: u32,
    fade: u32,
    has_map: u32,
    padding: u32,
}

impl OverlayPaint {
    fn uniforms(&self) -> Uniforms {
        let [left, top, right, bottom] = self.view;
        let (layer, range) = self
            .map
            .as_ref()
            .map_or((0, Range { low: 0.0, high: 1.0 }), |(_, layer, range)| (*layer, *range));
        Uniforms {
            uv_min: [left, top],
            uv_max: [right, bottom],
            low: range.low,
            high: range.high,
            opacity: self.style.opacity,
            layer: layer as u32,
            smooth: self.style.smooth.into(),
            fade: self.style.fade.into(),
            has_map: self.map.is_some().into(),
            padding: 0,
        }
    }
}

struct Texture {
    view: wgpu::TextureView,
    last_used: u64,
}

impl Texture {
    /// Bytes of the largest level; those that are halved from it are a third more.
    fn num_bytes(&self) -> u64 {
        let texture = self.view.texture();
        let size = texture.size();
        let values = u64::from(size.width) * u64::from(size.height) * u64::from(size.depth_or_array_layers);
        values * u64::from(texture.format().block_copy_size(None).unwrap_or(4))
    }
}

struct Slot {
    uniforms: wgpu::Buffer,
    bind_group: wgpu::BindGroup,
    shows: (Content, Content, ColourMap),
    last_used: u64,
}

/// Pipeline and textures, kept between frames.
pub struct OverlayRenderer {
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    sampler: wgpu::Sampler,
    textures: HashMap<Content, Texture>,
    colours: HashMap<ColourMap, wgpu::TextureView>,
    slots: HashMap<u64, Slot>,
    frame: u64,
    in_frame: bool,
}

impl OverlayRenderer {
    /// Compiles the shader for a target format.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        let layout = bind_group_layout(device);
        let shader = wgpu::include_wgsl!("../../shaders/overlay.wgsl");
        let pipeline = viewport::pipeline(device, "overlay", shader, &layout, format);
        let sampler = device.create_sampler(&wgpu::SamplerDescriptor {
            mag_filter: wgpu::FilterMode::Linear,
            min_filter: wgpu::FilterMode::Linear,
            mipmap_filter: wgpu::MipmapFilterMode::Nearest,
            ..wgpu::SamplerDescriptor::default()
        });
        Self {
            pipeline,
            layout,
            sampler,
            textures: HashMap::new(),
            colours: HashMap::new(),
            slots: HashMap::new(),
            frame: 0,
            in_frame: false,
        }
    }

    /// Uploads what is not there yet and writes the numbers of this frame.
    pub fn prepare(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, paint: &OverlayPaint) {
        if !self.in_frame {
            self.in_frame = true;
            self.frame += 1;
        }
        let frame = self.frame;
        let image_id = Content::Picture(paint.image.id());
        self.textures
            .entry(image_id)
            .or_insert_with(|| upload_image(device, queue, &paint.image))
            .last_used = frame;
        let map_id = paint.map.as_ref().map_or(Content::NoMaps, |(stack, ..)| Content::Maps(stack.id));
        self.textures
            .entry(map_id)
            .or_insert_with(|| upload_maps(device, queue, paint.map.as_ref().map(|(stack, ..)| stack)))
            .last_used = frame;
        let colour_map = paint.style.colour_map;
        self.colours.entry(colour_map).or_insert_with(|| upload_colours(device, queue, colour_map));
        let shows = (image_id, map_id, colour_map);
        if self.slots.get(&paint.slot).is_none_or(|slot| slot.shows != shows) {
            let slot = self.make_slot(device, shows);
            self.slots.insert(paint.slot, slot);
        }
        let slot = self.slots.get_mut(&paint.slot).expect("made above");
        slot.last_used = frame;
        queue.write_buffer(&slot.uniforms, 0, bytemuck::bytes_of(&paint.uniforms()));
    }

    fn make_slot(&self, device: &wgpu::Device, shows: (Content, Content, ColourMap)) -> Slot {
        let uniforms = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("overlay"),
            size: size_of::<Uniforms>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let view = |id: &Content| wgpu::BindingResource::TextureView(&self.textures[id].view);
        let resources = [
            uniforms.as_entire_binding(),
            view(&shows.0),
            wgpu::BindingResource::Sampler(&self.sampler),
            view(&shows.1),
            wgpu::BindingResource::TextureView(&self.colours[&shows.2]),
        ];
        let entries: Vec<_> = (0..)
            .zip(resources)
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("overlay"),
            layout: &self.layout,
            entries: &entries,
        });
        Slot { uniforms, bind_group, shows, last_used: self.frame }
    }

    /// All paints of a frame are prepared: drops what was used longest ago, and nothing of this frame.
    pub fn finish_frame(&mut self) {
        if !std::mem::take(&mut self.in_frame) {
            return;
        }
        let frame = self.frame;
        let mut bytes: u64 = self.textures.values().map(Texture::num_bytes).sum();
        while self.textures.len() > KEPT_TEXTURES || bytes > KEPT_BYTES {
            let unused = self.textures.iter().filter(|(_, texture)| texture.last_used < frame);
            let Some(id) = unused.min_by_key(|(_, texture)| texture.last_used).map(|(id, _)| *id) else {
                break;
            };
            bytes -= self.textures.remove(&id).map_or(0, |gone| gone.num_bytes());
            self.slots.retain(|_, slot| slot.shows.0 != id && slot.shows.1 != id);
        }
        while self.slots.len() > 8 * KEPT_TEXTURES {
            let unused = self.slots.iter().filter(|(_, slot)| slot.last_used < frame);
            let Some(id) = unused.min_by_key(|(_, slot)| slot.last_used).map(|(id, _)| *id) else { break };
            self.slots.remove(&id);
        }
    }

    /// Draws a prepared paint over the whole viewport.
    pub fn draw(&self, pass: &mut wgpu::RenderPass<'_>, slot: u64) {
        if let Some(slot) = self.slots.get(&slot) {
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &slot.bind_group, &[]);
            pass.draw(0..3, 0..1);
        }
    }
}

fn bind_group_layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let visibility = wgpu::ShaderStages::FRAGMENT;
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry { binding, visibility, ty, count: None };
    let texture = |filterable, view_dimension| wgpu::BindingType::Texture {
        sample_type: wgpu::TextureSampleType::Float { filterable },
        view_dimension,
        multisampled: false,
    };
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("overlay"),
        entries: &[
            entry(
                0,
                wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Uniform,
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
            ),
            entry(1, texture(true, wgpu::TextureViewDimension::D2)),
            entry(2, wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering)),
            entry(3, texture(false, wgpu::TextureViewDimension::D2Array)),
            entry(4, texture(false, wgpu::TextureViewDimension::D2)),
        ],
    })
}

fn make_texture(
    device: &wgpu::Device,
    label: &str,
    size: [u32; 3],
    mips: u32,
    format: wgpu::TextureFormat,
) -> wgpu::Texture {
    device.create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: wgpu::Extent3d { width: size[0], height: size[1], depth_or_array_layers: size[2] },
        mip_level_count: mips,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    })
}

fn write_texture(queue: &wgpu::Queue, texture: &wgpu::Texture, mip_level: u32, size: [u32; 3], data: &[u8]) {
    let bytes_per_row = data.len() as u32 / (size[1] * size[2]);
    queue.write_texture(
        wgpu::TexelCopyTextureInfo {
            texture,
            mip_level,
            origin: wgpu::Origin3d::ZERO,
            aspect: wgpu::TextureAspect::All,
        },
        data,
        wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(bytes_per_row),
            rows_per_image: Some(size[1]),
        },
        wgpu::Extent3d { width: size[0], height: size[1], depth_or_array_layers: size[2] },
    );
}

/// The picture and its halvings, so that a photograph shown small does not shimmer.
fn upload_image(device: &wgpu::Device, queue: &wgpu::Queue, picture: &Picture) -> Texture {
    let limit = device.limits().max_texture_dimension_2d;
    let fits = |level: &&RgbImage| level.width().max(level.height()) <= limit;
    let levels: Vec<&RgbImage> = picture.shown().iter().filter(fits).collect();
    let (width, height) = levels[0].dimensions();
    let size = [width, height, 1];
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let texture = make_texture(device, "image", size, levels.len() as u32, format);
    for (mip, level) in (0..).zip(&levels) {
        let rgba: Vec<u8> = level.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2], 255]).collect();
        write_texture(queue, &texture, mip, [level.width(), level.height(), 1], &rgba);
    }
    Texture { view: texture.create_view(&wgpu::TextureViewDescriptor::default()), last_used: 0 }
}

/// Layers to ask for: on OpenGL wgpu makes one layer a plain texture, and squares six at a time cubes, and a shader that
/// reads an array finds nothing in either.
fn layers_with_room([width, height, layers]: [u32; 3]) -> u32 {
    let is_cube = width == height && layers.is_multiple_of(6);
    if layers == 1 || is_cube { layers + 1 } else { layers }
}

fn upload_maps(device: &wgpu::Device, queue: &wgpu::Queue, stack: Option<&MapStack>) -> Texture {
    let (size, values) = match stack {
        Some(stack) => {
            ([stack.cols as u32, stack.rows as u32, stack.num_layers() as u32], stack.values.as_slice())
        }
        None => ([1, 1, 1], [0.0f32].as_slice()),
    };
    let roomy = [size[0], size[1], layers_with_room(size)];
    let texture = make_texture(device, "maps", roomy, 1, wgpu::TextureFormat::R32Float);
    write_texture(queue, &texture, 0, size, bytemuck::cast_slice(values));
    let view = texture.create_view(&wgpu::TextureViewDescriptor {
        dimension: Some(wgpu::TextureViewDimension::D2Array),
        ..wgpu::TextureViewDescriptor::default()
    });
    Texture { view, last_used: 0 }
}

fn upload_colours(device: &wgpu::Device, queue: &wgpu::Queue, colour_map: ColourMap) -> wgpu::TextureView {
    let texture = make_texture(device, "colours", [256, 1, 1], 1, wgpu::TextureFormat::Rgba8Unorm);
    write_texture(queue, &texture, 0, [256, 1, 1], bytemuck::cast_slice(&colour_map.table()));
    texture.create_view(&wgpu::TextureViewDescriptor::default())
}

impl Paint for OverlayPaint {
    type Renderer = OverlayRenderer;

    fn stamp(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let map = self.map.as_ref().map(|(stack, ..)| stack.id);
        (self.image.id(), map, self.style.colour_map, self.slot).hash(&mut hasher);
        bytemuck::bytes_of(&self.uniforms()).hash(&mut hasher);
        hasher.finish()
    }

    fn prepare(&self, renderer: &mut OverlayRenderer, device: &wgpu::Device, queue: &wgpu::Queue) {
        renderer.prepare(device, queue, self);
    }

    fn finish_frame(renderer: &mut OverlayRenderer) {
        renderer.finish_frame();
    }

    fn draw(&self, renderer: &OverlayRenderer, pass: &mut wgpu::RenderPass<'static>) {
        renderer.draw(pass, self.slot);
    }
}
