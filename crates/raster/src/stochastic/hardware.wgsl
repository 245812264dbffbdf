// Textured triangles without light, as an engine draws them: colour, triangle number, texture coordinates.

@group(0) @binding(0) var<storage, read> clip: array<vec4f>;
@group(0) @binding(1) var<storage, read> triangles: array<u32>;
@group(0) @binding(2) var<storage, read> texcoords: array<vec2f>;
@group(0) @binding(3) var<storage, read> texels: array<vec4f>;
// (first row, width, height) of each mip level.
@group(0) @binding(4) var<storage, read> levels: array<u32>;

struct Corner {
    @builtin(position) position: vec4f,
    @location(0) uv: vec2f,
    @location(1) @interpolate(flat) number: u32,
}

struct Fragment {
    @location(0) color: vec4f,
    @location(1) number: u32,
    @location(2) texcoords: vec4f,
}

@vertex
fn vertex(@builtin(vertex_index) index: u32) -> Corner {
    let v = triangles[index];
    return Corner(clip[v], texcoords[v], index / 3u + 1u);
}

// Bilinear, repeated.
fn level(k: u32, uv: vec2f) -> vec4f {
    let size = vec2i(i32(levels[3u * k + 1u]), i32(levels[3u * k + 2u]));
    let at = (uv - floor(uv)) * vec2f(size) - 0.5;
    let corner = vec2i(floor(at));
    let f = at - floor(at);
    let low = (corner + size) % size;
    let high = (corner + 1) % size;
    let first = levels[3u * k];
    let row = vec2u(vec2i(low.y, high.y) * size.x) + first;
    let top = mix(texels[row.x + u32(low.x)], texels[row.x + u32(high.x)], f.x);
    let bottom = mix(texels[row.y + u32(low.x)], texels[row.y + u32(high.x)], f.x);
    return mix(top, bottom, f.y);
}

@fragment
fn fragment(in: Corner) -> Fragment {
    let size = vec2f(f32(levels[1]), f32(levels[2]));
    let dx = dpdx(in.uv) * size;
    let dy = dpdy(in.uv) * size;
    let last = f32(arrayLength(&levels) / 3u - 1u);
    let lod = clamp(0.5 * log2(max(max(dot(dx, dx), dot(dy, dy)), 1.0)), 0.0, last);
    let fine = u32(floor(lod));
    let coarse = min(fine + 1u, u32(last));
    let color = mix(level(fine, in.uv), level(coarse, in.uv), fract(lod));
    return Fragment(color, in.number, vec4f(in.uv, in.uv));
}
