// Attention over an image. The plain version is src/render/blend.rs; a test holds the two together.

struct Overlay {
    // Part of the image in view, 0 to 1 across it.
    uv_min: vec2<f32>,
    uv_max: vec2<f32>,
    // Values that take the first and the last colour.
    low: f32,
    high: f32,
    opacity: f32,
    // Which map of the array.
    layer: u32,
    // 1: bilinear between patches.
    smooth_patches: u32,
    // 1: opacity times the value.
    fade: u32,
    // 0: the image alone.
    has_map: u32,
    padding: u32,
}

@group(0) @binding(0) var<uniform> overlay: Overlay;
@group(0) @binding(1) var image: texture_2d<f32>;
@group(0) @binding(2) var image_sampler: sampler;
// One layer per query, one texel per visual token.
@group(0) @binding(3) var maps: texture_2d_array<f32>;
// 256 x 1.
@group(0) @binding(4) var colours: texture_2d<f32>;

struct Varying {
    @builtin(position) position: vec4<f32>,
    @location(0) place: vec2<f32>,
}

// One triangle that covers the viewport.
@vertex
fn vertex(@builtin(vertex_index) index: u32) -> Varying {
    let corner = vec2<f32>(f32((index << 1u) & 2u), f32(index & 2u));
    var out: Varying;
    out.position = vec4<f32>(corner.x * 2.0 - 1.0, 1.0 - corner.y * 2.0, 0.0, 1.0);
    out.place = corner;
    return out;
}

fn patch_value(col: i32, row: i32) -> f32 {
    return textureLoad(maps, vec2<i32>(col, row), overlay.layer, 0).r;
}

fn map_value(uv: vec2<f32>) -> f32 {
    let size = vec2<i32>(textureDimensions(maps));
    let last = size - vec2<i32>(1, 1);
    let place = uv * vec2<f32>(size);
    if overlay.smooth_patches == 0u {
        // A pixel whose centre lies on an edge belongs to the patch after it, however its place was rounded.
        let cell = clamp(vec2<i32>(floor(place + 1e-3)), vec2<i32>(0, 0), last);
        return patch_value(cell.x, cell.y);
    }
    let inner = clamp(place - 0.5, vec2<f32>(0.0, 0.0), vec2<f32>(last));
    let cell = vec2<i32>(floor(inner));
    let next = min(cell + vec2<i32>(1, 1), last);
    let share = fract(inner);
    let top = mix(patch_value(cell.x, cell.y), patch_value(next.x, cell.y), share.x);
    let bottom = mix(patch_value(cell.x, next.y), patch_value(next.x, next.y), share.x);
    return mix(top, bottom, share.y);
}

@fragment
fn fragment(in: Varying) -> @location(0) vec4<f32> {
    let uv = mix(overlay.uv_min, overlay.uv_max, in.place);
    let under = textureSample(image, image_sampler, uv).rgb;
    if overlay.has_map == 0u {
        return vec4<f32>(under, 1.0);
    }
    let value = map_value(uv);
    let t = clamp((value - overlay.low) / max(overlay.high - overlay.low, 1e-12), 0.0, 1.0);
    let over = textureLoad(colours, vec2<i32>(i32(round(t * 255.0)), 0), 0).rgb;
    let share = overlay.opacity * select(1.0, t, overlay.fade == 1u);
    return vec4<f32>(mix(under, over, share), 1.0);
}
