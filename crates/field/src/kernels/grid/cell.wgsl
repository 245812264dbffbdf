// The cell of a point on a level of a grid, and weights of its corners; shared by the kernels of this folder.
#import dispatch
struct Params {
    points: u32, dim: u32, levels: u32, features: u32,
    streams: u32, ease: u32, unused0: u32, unused1: u32,
}
@group(0) @binding(0) var<uniform> params: Params;

const LEVEL = 8u;
const LAPLACIAN = 0x80000000u;

struct Cell {
    offset: u32, rows: u32, resolution: u32, hashed: bool,
    n_axes: u32,
    axes: vec4<u32>,
    corner: vec4<u32>,
    /// Weight of the upper corner along each axis and its derivatives by the point: 4 orders.
    upper: array<vec4<f32>, 4>,
}

// Along one axis: s(t) and its derivatives by the point, which lies in [-1, 1].
fn upper_weights(t: f32, scale: f32) -> vec4<f32> {
    let h = 0.5 * scale;
    if params.ease == 0u { return vec4(t, h, 0.0, 0.0); }
    return vec4(t * t * (3.0 - 2.0 * t), h * 6.0 * t * (1.0 - t), h * h * (6.0 - 12.0 * t), -12.0 * h * h * h);
}

fn row_of(cell: Cell, bits: u32) -> u32 {
    var primes = array<u32, 4>(1u, 2654435761u, 805459861u, 3674653429u);
    var index = 0u;
    var stride = 1u;
    for (var a = 0u; a < cell.n_axes; a++) {
        let at = cell.corner[a] + ((bits >> a) & 1u);
        if cell.hashed { index ^= at * primes[a]; } else { index += at * stride; }
        stride *= cell.resolution;
    }
    return cell.offset + index % cell.rows;
}

fn weight_of_orders(cell: Cell, bits: u32, orders: u32) -> f32 {
    var product = 1.0;
    var orders_left = orders;
    for (var a = 0u; a < cell.n_axes; a++) {
        let order = (orders >> (4u * cell.axes[a])) & 15u;
        orders_left &= ~(15u << (4u * cell.axes[a]));
        let up = cell.upper[a][min(order, 3u)];
        let lower = select(-up, 1.0 - up, order == 0u);
        product *= select(lower, up, ((bits >> a) & 1u) == 1u);
    }
    // Axes that the level does not look at: their derivatives are zero.
    return select(product, 0.0, orders_left != 0u);
}

// Weight of a corner in the stream of a code.
fn weight(cell: Cell, bits: u32, code: u32) -> f32 {
    if (code & LAPLACIAN) == 0u { return weight_of_orders(cell, bits, code); }
    var sum = 0.0;
    for (var a = 0u; a < cell.n_axes; a++) {
        sum += weight_of_orders(cell, bits, (code & ~LAPLACIAN) + (2u << (4u * cell.axes[a])));
    }
    return sum;
}

// The buffers `points` and `levels` are declared by each kernel.
fn cell_of(point: u32, level: u32) -> Cell {
    let base = level * LEVEL;
    var cell: Cell;
    cell.offset = levels[base];
    cell.rows = levels[base + 1u];
    cell.resolution = levels[base + 2u];
    let scale = bitcast<f32>(levels[base + 3u]);
    cell.hashed = levels[base + 4u] == 1u;
    cell.n_axes = levels[base + 5u];
    for (var a = 0u; a < cell.n_axes; a++) {
        let axis = (levels[base + 6u] >> (8u * a)) & 255u;
        let p = (0.5 * points[point * params.dim + axis] + 0.5) * scale + 0.5;
        let low = floor(p);
        cell.axes[a] = axis;
        cell.corner[a] = u32(i32(clamp(low, -1e9, 1e9)));
        cell.upper[a] = upper_weights(p - low, scale);
    }
    return cell;
}

