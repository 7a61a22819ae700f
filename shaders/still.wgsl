// What is in the picture of parts that stand still, pixel by pixel: it is as large as the target.

@group(0) @binding(0) var picture: texture_2d<f32>;

// One triangle that covers the viewport.
@vertex
fn vertex(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    let corner = vec2<f32>(f32((index << 1u) & 2u), f32(index & 2u));
    return vec4<f32>(corner.x * 2.0 - 1.0, 1.0 - corner.y * 2.0, 0.0, 1.0);
}

@fragment
fn fragment(@builtin(position) place: vec4<f32>) -> @location(0) vec4<f32> {
    return textureLoad(picture, vec2<i32>(place.xy), 0);
}
