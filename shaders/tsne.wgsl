// Forces on the points of a map: neighbours pull, all push. What pushes is summed over all pairs, or read off a grid
// whose charges were convolved by fast Fourier transforms (projection/repulsion/spline.rs says how and why).

struct Params {
    // Points.
    count: u32,
    // Nodes of the grid along an axis, and with room so that nothing wraps around, a power of two.
    nodes: u32,
    padded: u32,
    log_padded: u32,
    // Place of the first node on both axes, and distance of nodes.
    corner: f32,
    spacing: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [N], about the middle of the map.
@group(0) @binding(1) var<storage, read> places: array<vec2<f32>>;
// Affinities, row by row.
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read> columns: array<u32>;
@group(0) @binding(4) var<storage, read> values: array<f32>;
// [N] of pulls, then [N] of x, y and the sum of each push.
@group(0) @binding(5) var<storage, read_write> pulls: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> pushes: array<vec4<f32>>;
// Points in the order of their cells, and where each cell begins.
@group(0) @binding(7) var<storage, read> order: array<u32>;
@group(0) @binding(8) var<storage, read> cells: array<u32>;
// Two grids, one after the other: x and y of what is near as one complex number, and how much is near.
@group(0) @binding(9) var<storage, read_write> grid: array<vec2<f32>>;
// Spectra of the kernels, column by column.
@group(0) @binding(10) var<storage, read> kernels: array<vec2<f32>>;
// exp(-i pi k / (padded / 2)) for k below padded / 2.
@group(0) @binding(11) var<storage, read> waves: array<vec2<f32>>;

const GROUP: u32 = 256u;

@compute @workgroup_size(256)
fn attract(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= params.count {
        return;
    }
    let own = places[i];
    var pull = vec2<f32>();
    for (var at = starts[i]; at < starts[i + 1u]; at++) {
        let off = own - places[columns[at]];
        pull += values[at] / (1.0 + dot(off, off)) * off;
    }
    pulls[i] = pull;
}

var<workgroup> tile: array<vec2<f32>, GROUP>;

@compute @workgroup_size(256)
fn repel_pairs(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = id.x;
    let own = places[min(i, params.count - 1u)];
    var push = vec2<f32>();
    var sum = 0.0;
    for (var start = 0u; start < params.count; start += GROUP) {
        let other = start + local;
        if other < params.count {
            tile[local] = places[other];
        }
        workgroupBarrier();
        let here = min(GROUP, params.count - start);
        // Sums of a tile first: a long sum of small numbers would lose them.
        var tile_push = vec2<f32>();
        var tile_sum = 0.0;
        for (var j = 0u; j < here; j++) {
            let off = own - tile[j];
            let near = 1.0 / (1.0 + dot(off, off));
            tile_sum += near;
            tile_push += near * near * off;
        }
        push += tile_push;
        sum += tile_sum;
        workgroupBarrier();
    }
    if i < params.count {
        pushes[i] = vec4<f32>(push, sum - 1.0, 0.0);
    }
}

// The B-spline of the fifth degree, of a distance in nodes.
fn spline(distance: f32) -> f32 {
    let d = abs(distance);
    if d < 1.0 {
        return 0.55 + d * d * (-0.5 + d * d * (0.25 - d / 12.0));
    }
    if d < 2.0 {
        return 0.425 + d * (0.625 + d * (-1.75 + d * (1.25 + d * (-0.375 + d / 24.0))));
    }
    let left = max(3.0 - d, 0.0);
    let square = left * left;
    return square * square * left / 120.0;
}

// Where a point is, in nodes.
fn in_nodes(place: vec2<f32>) -> vec2<f32> {
    return (place - params.corner) / params.spacing;
}

// Every node collects from the points around it.
@compute @workgroup_size(16, 16)
fn spread(@builtin(global_invocation_id) id: vec3<u32>) {
    let m = params.padded;
    if id.x >= m || id.y >= m {
        return;
    }
    var near = vec2<f32>();
    var count = 0.0;
    if id.x < params.nodes && id.y < params.nodes {
        let node = vec2<f32>(id.xy);
        let first = max(vec2<i32>(id.xy) - 3, vec2<i32>());
        let last = min(vec2<i32>(id.xy) + 2, vec2<i32>(i32(params.nodes) - 1));
        for (var row = first.y; row <= last.y; row++) {
            let cell = u32(row) * params.nodes;
            for (var at = cells[cell + u32(first.x)]; at < cells[cell + u32(last.x) + 1u]; at++) {
                let place = places[order[at]];
                let off = in_nodes(place) - node;
                let weight = spline(off.x) * spline(off.y);
                near += weight * place;
                count += weight;
            }
        }
    }
    let at = id.y * m + id.x;
    grid[at] = near;
    grid[m * m + at] = vec2<f32>(count, 0.0);
}

// 1 along rows, the number of columns along columns.
override ALONG_COLUMNS: bool = false;
// -1 there, 1 back.
override BACK: bool = false;

var<workgroup> line: array<vec2<f32>, 2048>;

fn times(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

// One line of one grid, by halves (Cooley and Tukey 1965), in place.
@compute @workgroup_size(256)
fn transform(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let m = params.padded;
    let start = group.y * m * m + select(group.x * m, group.x, ALONG_COLUMNS);
    let step = select(1u, m, ALONG_COLUMNS);
    for (var i = local; i < m; i += GROUP) {
        line[reverseBits(i) >> (32u - params.log_padded)] = grid[start + i * step];
    }
    workgroupBarrier();
    for (var stage = 0u; stage < params.log_padded; stage++) {
        let reach = 1u << stage;
        for (var i = local; i < m / 2u; i += GROUP) {
            let within = i & (reach - 1u);
            let at = ((i >> stage) << (stage + 1u)) + within;
            var wave = waves[within << (params.log_padded - 1u - stage)];
            if BACK {
                wave.y = -wave.y;
            }
            let other = times(wave, line[at + reach]);
            let own = line[at];
            line[at] = own + other;
            line[at + reach] = own - other;
        }
        workgroupBarrier();
    }
    for (var i = local; i < m; i += GROUP) {
        grid[start + i * step] = line[i];
    }
}

@compute @workgroup_size(16, 16)
fn convolve(@builtin(global_invocation_id) id: vec3<u32>) {
    let m = params.padded;
    if id.x >= m || id.y >= m {
        return;
    }
    let at = id.y * m + id.x;
    let kernel = kernels[at];
    grid[at] *= kernel.x;
    grid[m * m + at] = times(grid[m * m + at], kernel);
}

@compute @workgroup_size(256)
fn repel_field(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= params.count {
        return;
    }
    let m = params.padded;
    let place = places[i];
    let at = in_nodes(place);
    let node = floor(at);
    let first = vec2<u32>(node) - 2u;
    var near = vec2<f32>();
    var count = vec2<f32>();
    for (var row = 0u; row < 6u; row++) {
        let across = spline(at.y - node.y + 2.0 - f32(row));
        for (var col = 0u; col < 6u; col++) {
            let weight = across * spline(at.x - node.x + 2.0 - f32(col));
            let source = (first.y + row) * m + first.x + col;
            near += weight * grid[source];
            count += weight * grid[m * m + source];
        }
    }
    pushes[i] = vec4<f32>(place * count.x - near, count.y - 1.0, 0.0);
}
