// Points of a map as discs with soft edges, one instance each. They lie in the order they are given, without depth.

struct View {
    // Of the map, at the middle of the viewport.
    centre: vec2<f32>,
    // From the map to the viewport's -1 to 1.
    scale: vec2<f32>,
    // Half a point's size, in the same.
    radius: vec2<f32>,
    // In pixels, for the soft edge.
    radius_px: f32,
    opacity: f32,
}

@group(0) @binding(0) var<uniform> view: View;

struct Varying {
    @builtin(position) position: vec4<f32>,
    @location(0) corner: vec2<f32>,
    @location(1) colour: vec4<f32>,
}

@vertex
fn vertex(
    @builtin(vertex_index) index: u32,
    @location(0) place: vec2<f32>,
    @location(1) colour: vec4<f32>,
) -> Varying {
    let corner = vec2<f32>(f32(index & 1u), f32(index >> 1u)) * 2.0 - 1.0;
    // Room for the soft edge.
    let reach = 1.0 + 1.0 / max(view.radius_px, 0.5);
    let at = (place - view.centre) * view.scale + corner * view.radius * reach;
    var out: Varying;
    out.position = vec4<f32>(at, 0.0, 1.0);
    out.corner = corner * reach;
    out.colour = colour;
    return out;
}

@fragment
fn fragment(in: Varying) -> @location(0) vec4<f32> {
    let inside = clamp((1.0 - length(in.corner)) * view.radius_px + 0.5, 0.0, 1.0);
    let share = in.colour.a * view.opacity * inside;
    return vec4<f32>(in.colour.rgb * share, share);
}
