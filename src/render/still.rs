//! Parts of the window that stand still: what was drawn alike in the frame before is drawn once more into a picture, and from
//! then on the picture is shown. On a software driver a text costs as much as its letters have corners; a picture has four.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use super::paint::{Paint, in_rect, replace_stamp, stamped};
use super::viewport;
use eframe::egui_wgpu::{RenderState, ScreenDescriptor};
use egui::epaint::{ClippedPrimitive, ClippedShape, Mesh, Primitive};
use egui::layers::ShapeIdx;
use egui::{Color32, Context, Id, LayerId, Rect, Shape, Ui, pos2};

/// A part as it was drawn last.
struct Part {
    shapes: Vec<ClippedShape>,
    /// Of what renderers of ours draw among them.
    stamp: u64,
    /// Of the window, with its scale: parts of another lie in another picture.
    window: (Rect, f32),
    region: Rect,
    ground: Color32,
    frame: u64,
    /// It is in the picture.
    drawn: bool,
    /// It is to be put there.
    wanted: bool,
}

impl Part {
    fn is_like(&self, other: &Self) -> bool {
        let alike = |a: &ClippedShape, b: &ClippedShape| {
            a.clip_rect == b.clip_rect
                && match (&a.shape, &b.shape) {
                    // What they draw is in the stamp.
                    (Shape::Callback(a), Shape::Callback(b)) => a.rect == b.rect,
                    (a, b) => a == b,
                }
        };
        self.stamp == other.stamp
            && self.window == other.window
            && self.region == other.region
            && self.ground == other.ground
            && self.shapes.len() == other.shapes.len()
            && self.shapes.iter().zip(&other.shapes).all(|(a, b)| alike(a, b))
    }
}

/// The picture, as large as the window: each part has its own place in it.
struct Sheet {
    view: wgpu::TextureView,
    size: [u32; 2],
    scale: f32,
}

/// Shows the picture: egui's shader filters what it draws, which takes five times as long.
struct StillRenderer {
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    picture: Option<wgpu::BindGroup>,
}

impl StillRenderer {
    fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("still"),
            entries: &[wgpu::BindGroupLayoutEntry {
                binding: 0,
                visibility: wgpu::ShaderStages::FRAGMENT,
                ty: wgpu::BindingType::Texture {
                    sample_type: wgpu::TextureSampleType::Float { filterable: false },
                    view_dimension: wgpu::TextureViewDimension::D2,
                    multisampled: false,
                },
                count: None,
            }],
        });
        let shader = wgpu::include_wgsl!("../../shaders/still.wgsl");
        let pipeline = viewport::pipeline(device, "still", shader, &layout, format);
        Self { pipeline, layout, picture: None }
    }

    fn set_picture(&mut self, device: &wgpu::Device, view: &wgpu::TextureView) {
        self.picture = Some(device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("still"),
            layout: &self.layout,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::TextureView(view),
            }],
        }));
    }
}

/// The part of the picture that lies where it is drawn.
struct StillPaint;

impl Paint for StillPaint {
    type Renderer = StillRenderer;

    fn stamp(&self) -> u64 {
        0
    }

    fn prepare(&self, _renderer: &mut StillRenderer, _device: &wgpu::Device, _queue: &wgpu::Queue) {}

    fn draw(&self, renderer: &StillRenderer, pass: &mut wgpu::RenderPass<'static>) {
        if let Some(picture) = &renderer.picture {
            pass.set_pipeline(&renderer.pipeline);
            pass.set_bind_group(0, picture, &[]);
            pass.draw(0..3, 0..1);
        }
    }
}

#[derive(Default)]
struct Parts {
    by_id: HashMap<Id, Part>,
    sheet: Option<Sheet>,
    /// Size of the letters' texture, as the graphics card has it.
    letters: [usize; 2],
}

/// Parts of one window, and who can draw them.
#[derive(Clone)]
pub struct Stills {
    parts: Arc<Mutex<Parts>>,
    render: RenderState,
}

impl Stills {
    /// Those of a window, which finds them in its context.
    pub fn install(ctx: &Context, render: &RenderState) -> Self {
        let stills = Self { parts: Arc::default(), render: render.clone() };
        let renderer = StillRenderer::new(&render.device, render.target_format);
        render.renderer.write().callback_resources.insert(renderer);
        ctx.data_mut(|data| data.insert_temp(Id::NULL, stills.parts.clone()));
        stills
    }

    /// Draws what is wanted into the picture, once all of a frame is known.
    pub fn finish(&self, ctx: &Context) {
        let frame = ctx.cumulative_frame_nr();
        let scale = ctx.pixels_per_point();
        let size = ctx.content_rect().size() * scale;
        let size = [size.x.round().max(1.0) as u32, size.y.round().max(1.0) as u32];
        let letters = letters_of(ctx);
        let mut held = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let Parts { by_id: parts, sheet, letters: before } = &mut *held;
        parts.retain(|_, part| part.frame == frame);
        // Letters that came in this frame are not on the graphics card yet, and may have moved the others.
        let is_there = std::mem::replace(before, letters) == letters;
        if !parts.values().any(|part| part.wanted) || !is_there {
            return;
        }
        if sheet.as_ref().is_none_or(|sheet| sheet.size != size || sheet.scale != scale) {
            // Parts that are in the old one are not alike: their window has another size.
            *sheet = Some(self.sheet(size, scale));
        }
        let sheet = sheet.as_ref().expect("made above");
        let mut primitives = Vec::new();
        for part in parts.values_mut().filter(|part| part.wanted) {
            part.wanted = false;
            let mut ground = Mesh::default();
            ground.add_colored_rect(part.region, part.ground);
            primitives.push(ClippedPrimitive { clip_rect: part.region, primitive: Primitive::Mesh(ground) });
            primitives.extend(ctx.tessellate(part.shapes.clone(), scale));
            part.drawn = true;
        }
        self.draw(&primitives, sheet);
    }

    fn sheet(&self, size: [u32; 2], scale: f32) -> Sheet {
        let texture = self.render.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("stills"),
            size: wgpu::Extent3d { width: size[0], height: size[1], depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: self.render.target_format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let mut renderer = self.render.renderer.write();
        if let Some(still) = renderer.callback_resources.get_mut::<StillRenderer>() {
            still.set_picture(&self.render.device, &view);
        }
        Sheet { view, size, scale }
    }

    fn draw(&self, primitives: &[ClippedPrimitive], sheet: &Sheet) {
        let RenderState { device, queue, renderer, .. } = &self.render;
        let screen = ScreenDescriptor { size_in_pixels: sheet.size, pixels_per_point: sheet.scale };
        let mut renderer = renderer.write();
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let buffers = renderer.update_buffers(device, queue, &mut encoder, primitives, &screen);
        let pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("stills"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &sheet.view,
                depth_slice: None,
                resolve_target: None,
                // The other parts stay.
                ops: wgpu::Operations { load: wgpu::LoadOp::Load, store: wgpu::StoreOp::Store },
            })],
            ..wgpu::RenderPassDescriptor::default()
        });
        let mut pass = pass.forget_lifetime();
        renderer.render(&mut pass, primitives, &screen);
        drop(pass);
        queue.submit(buffers.into_iter().chain([encoder.finish()]));
    }
}

/// Draws rows across a panel that are often as they were in the frame before.
pub fn still_rows(ui: &mut Ui, salt: impl Hash + Debug, draw: impl FnOnce(&mut Ui)) {
    let top = ui.cursor().min;
    still_of(ui, salt, |ui| {
        draw(ui);
        let bottom = ui.cursor().min.y - ui.spacing().item_spacing.y;
        Rect::from_min_max(top, pos2(ui.max_rect().max.x, bottom))
    });
}

/// Draws a part of the window that covers `region` and is often as it was in the frame before.
pub fn still(ui: &mut Ui, salt: impl Hash + Debug, region: Rect, draw: impl FnOnce(&mut Ui)) {
    still_of(ui, salt, |ui| {
        draw(ui);
        region
    });
}

/// What is drawn says which region it covers.
fn still_of(ui: &mut Ui, salt: impl Hash + Debug, draw: impl FnOnce(&mut Ui) -> Rect) {
    let ctx = ui.ctx().clone();
    let Some(parts) = ctx.data(|data| data.get_temp::<Arc<Mutex<Parts>>>(Id::NULL)) else {
        draw(ui);
        return;
    };
    let layer = ui.layer_id();
    let (first, before) = (next(&ctx, layer), replace_stamp(0));
    // Whole pixels: of half a one the picture would show what lay there before.
    let scale = ctx.pixels_per_point();
    let region = draw(ui).intersect(ui.clip_rect());
    let region =
        Rect::from_min_max((region.min * scale).round() / scale, (region.max * scale).round() / scale);
    let stamp = replace_stamp(before);
    stamped(stamp);
    let last = next(&ctx, layer);
    if !region.is_positive() || last.0 <= first.0 {
        return;
    }
    let shapes: Vec<ClippedShape> = ctx.graphics(|graphics| {
        let list = graphics.get(layer).map(|list| list.all_entries().skip(first.0).take(last.0 - first.0));
        list.into_iter().flatten().cloned().collect()
    });
    let (frame, ground) = (ctx.cumulative_frame_nr(), ui.visuals().panel_fill);
    let window = (ctx.content_rect(), ctx.pixels_per_point());
    let mut part = Part { shapes, stamp, window, region, ground, frame, drawn: false, wanted: false };
    let mut held = parts.lock().unwrap_or_else(PoisonError::into_inner);
    let id = ui.scope_id().with(salt);
    if let Some(old) = held.by_id.get(&id).filter(|old| old.is_like(&part)) {
        part.drawn = old.drawn;
        // A frame may be laid out twice: it counts once.
        part.wanted = !old.drawn && (old.frame != frame || old.wanted);
    }
    if part.drawn {
        show(&ctx, layer, (first, last), region);
    }
    held.by_id.insert(id, part);
}

/// Size of the letters' texture.
#[expect(clippy::redundant_closure_for_method_calls, reason = "the method itself is of one lifetime only")]
fn letters_of(ctx: &Context) -> [usize; 2] {
    ctx.fonts(|fonts| fonts.font_image_size())
}

fn next(ctx: &Context, layer: LayerId) -> ShapeIdx {
    ctx.graphics(|graphics| graphics.get(layer).map_or(ShapeIdx(0), egui::layers::PaintList::next_idx))
}

/// The picture's own part in the place of the shapes.
fn show(ctx: &Context, layer: LayerId, (first, last): (ShapeIdx, ShapeIdx), region: Rect) {
    let picture = in_rect(region, StillPaint);
    ctx.graphics_mut(|graphics| {
        let list = graphics.entry(layer);
        for place in first.0..last.0 {
            list.reset_shape(ShapeIdx(place));
        }
        list.set(first, region, picture.into());
    });
}
