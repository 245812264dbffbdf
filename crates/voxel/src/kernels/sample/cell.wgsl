// The cell of a point and weights of its corners; shared by the kernels of this folder.
#import dispatch
struct Params { points: u32, channels: u32, nx: u32, ny: u32, nz: u32, sparse: u32, unused0: u32, unused1: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> points: array<f32>;
@group(0) @binding(2) var<storage, read> index: array<u32>;

const NONE = 0xffffffffu;

struct Cell { row: u32, upper: vec3<f32>, slope: vec3<f32> }

fn cell_of(k: u32) -> Cell {
    let n = vec3(params.nx, params.ny, params.nz);
    let x = vec3(points[3u * k], points[3u * k + 1u], points[3u * k + 2u]);
    let most = vec3<f32>(n - 1u);
    let inside = (0.5 * x + 0.5) * most;
    let p = clamp(inside, vec3(0.0), most);
    let low = min(floor(p), most - 1.0);
    let corner = vec3<u32>(low);
    var cell: Cell;
    cell.row = (corner.z * n.y + corner.y) * n.x + corner.x;
    cell.upper = p - low;
    cell.slope = select(vec3(0.0), 0.5 * most, inside == p);
    return cell;
}

// Row of a corner, or NONE; bit a of its number tells its side along axis a.
fn row_of(cell: Cell, bits: u32) -> u32 {
    let corner = cell.row + (bits & 1u) + ((bits >> 1u) & 1u) * params.nx + (bits >> 2u) * params.nx * params.ny;
    if params.sparse == 0u { return corner; }
    return index[corner];
}

fn side(cell: Cell, bits: u32, a: u32) -> f32 {
    return select(1.0 - cell.upper[a], cell.upper[a], ((bits >> a) & 1u) == 1u);
}

fn weight(cell: Cell, bits: u32) -> f32 {
    return side(cell, bits, 0u) * side(cell, bits, 1u) * side(cell, bits, 2u);
}

// The weight's change along each axis of the cube.
fn weight_slope(cell: Cell, bits: u32) -> vec3<f32> {
    let s = vec3(side(cell, bits, 0u), side(cell, bits, 1u), side(cell, bits, 2u));
    let sign = vec3(select(-1.0, 1.0, (bits & 1u) == 1u), select(-1.0, 1.0, (bits & 2u) == 2u), select(-1.0, 1.0, bits >= 4u));
    return sign * cell.slope * vec3(s.y * s.z, s.x * s.z, s.x * s.y);
}

