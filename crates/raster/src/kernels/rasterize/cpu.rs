use super::{Params, RasterizeDepthBuffers, RasterizeTriangleBuffers};
use lumigrad_core::Real;
use rayon::prelude::*;

/// Snapped units per pixel.
const SUB: f64 = 4096.0;
/// Clip-space guard: coordinates beyond this many half-pictures are clipped, so that snapped ones stay small.
const GUARD: f64 = 16.0;
/// Rows of a band, the unit of parallel work.
const BAND: usize = 16;
/// Triangles that a thread prepares at a time.
const PIECE: usize = 1024;

/// A triangle ready to be filled: edge functions aᵢx + bᵢy + cᵢ ≥ 0 inside (in snapped units, at pixel centres), and
/// depth as a plane.
struct Setup {
    id: u32,
    x: (i32, i32),
    y: (i32, i32),
    edges: [(i64, i64, i64); 3],
    plane: [f64; 3],
}

/// The triangles of one launch, prepared in order of their numbers.
pub fn rasterize<R: Real>(p: &Params, _items: usize, b: RasterizeDepthBuffers<'_, R>) {
    let (width, height) = (p.width as usize, p.height as usize);
    b.triangle.fill(0);
    if width == 0 || height == 0 {
        return;
    }
    let n = p.triangles as usize;
    let setups: Vec<Vec<Setup>> = (0..n.div_ceil(PIECE))
        .into_par_iter()
        .map(|piece| {
            let mut ready = vec![];
            for t in piece * PIECE..((piece + 1) * PIECE).min(n) {
                let corners: [[f64; 4]; 3] = std::array::from_fn(|k| {
                    let v = b.triangles[3 * t + k] as usize;
                    std::array::from_fn(|c| b.clip[4 * v + c].to_f64())
                });
                prepare(t as u32, corners, b.flags[t], width, height, &mut ready);
            }
            ready
        })
        .collect();
    let bands = b.depth.par_chunks_mut(BAND * width).zip(b.triangle.par_chunks_mut(BAND * width)).enumerate();
    bands.for_each(|(band, (depth, triangle))| {
        let first = (band * BAND) as i32;
        let rows = (depth.len() / width) as i32;
        for s in setups.iter().flatten().filter(|s| s.y.0 < first + rows && s.y.1 > first) {
            for y in s.y.0.max(first)..s.y.1.min(first + rows) {
                let row = (y - first) as usize * width;
                let at = |x: i32, e: (i64, i64, i64)| e.0 * x as i64 + e.1 * y as i64 + e.2;
                let mut e = s.edges.map(|e| at(s.x.0, e));
                for x in s.x.0..s.x.1 {
                    if (e[0] | e[1] | e[2]) >= 0 {
                        let z = s.plane[0] * x as f64 + s.plane[1] * y as f64 + s.plane[2];
                        let bits = (z.max(0.0) as f32).to_bits();
                        let i = row + x as usize;
                        let pixel = y as usize * width + x as usize;
                        let behind = p.peel == 0
                            || (bits, s.id + 1) > (b.previous_depth[pixel], b.previous_triangle[pixel])
                                && b.previous_triangle[pixel] != 0;
                        if behind && z <= 1.0 && bits < depth[i] {
                            depth[i] = bits;
                            triangle[i] = s.id + 1;
                        }
                    }
                    (0..3).for_each(|k| e[k] += s.edges[k].0);
                }
            }
        }
    });
}

/// The second pass exists for GPUs.
pub fn nothing<R: Real>(_: &Params, _: usize, _: RasterizeTriangleBuffers<'_, R>) {}

/// Clips, projects, snaps, and appends: up to a few triangles for one that leaves the guard band or crosses the near
/// plane.
fn prepare(id: u32, corners: [[f64; 4]; 3], flags: u32, width: usize, height: usize, ready: &mut Vec<Setup>) {
    if corners.as_flattened().iter().any(|x| !x.is_finite()) {
        return;
    }
    let planes: [fn(&[f64; 4]) -> f64; 5] =
        [|p| p[2], |p| GUARD * p[3] - p[0], |p| GUARD * p[3] + p[0], |p| GUARD * p[3] - p[1], |p| GUARD * p[3] + p[1]];
    // Nearly all lie inside of all planes.
    if corners.iter().all(|p| p[3] > 0.0 && planes.iter().all(|plane| plane(p) >= 0.0)) {
        ready.extend(setup(id, corners.map(|p| snap(&p, width, height)), flags, width, height));
        return;
    }
    let mut polygon = corners.to_vec();
    for plane in planes {
        if polygon.iter().any(|p| plane(p) < 0.0) {
            polygon = clip_polygon(&polygon, plane);
        }
    }
    if polygon.len() < 3 || polygon.iter().any(|p| p[3] <= 0.0) {
        return;
    }
    let points: Vec<(i64, i64, f64)> = polygon.iter().map(|p| snap(p, width, height)).collect();
    ready.extend(
        (2..points.len()).filter_map(|k| setup(id, [points[0], points[k - 1], points[k]], flags, width, height)),
    );
}

/// Snapped picture position and z/w.
fn snap(p: &[f64; 4], width: usize, height: usize) -> (i64, i64, f64) {
    // In f32 like the GPU, which has nothing wider; the difference is far below a snapped unit.
    let w = p[3] as f32;
    let x = (p[0] as f32 / w * 0.5 + 0.5) * width as f32;
    let y = (0.5 - p[1] as f32 / w * 0.5) * height as f32;
    let round = |x: f32| (x * SUB as f32 + 0.5).floor() as i64;
    (round(x), round(y), p[2] / p[3])
}

fn clip_polygon(polygon: &[[f64; 4]], plane: fn(&[f64; 4]) -> f64) -> Vec<[f64; 4]> {
    let mut out = vec![];
    for (k, a) in polygon.iter().enumerate() {
        let b = &polygon[(k + 1) % polygon.len()];
        let (da, db) = (plane(a), plane(b));
        if da >= 0.0 {
            out.push(*a);
        }
        if (da >= 0.0) != (db >= 0.0) {
            // From the inner to the outer end, so that both triangles at an edge find the same point.
            let (i, o, di, d_o) = if da >= 0.0 { (a, b, da, db) } else { (b, a, db, da) };
            let t = di / (di - d_o);
            out.push(std::array::from_fn(|c| i[c] + t * (o[c] - i[c])));
        }
    }
    out
}

fn setup(id: u32, mut p: [(i64, i64, f64); 3], flags: u32, width: usize, height: usize) -> Option<Setup> {
    let cross =
        |p: &[(i64, i64, f64); 3]| (p[1].0 - p[0].0) * (p[2].1 - p[0].1) - (p[2].0 - p[0].0) * (p[1].1 - p[0].1);
    let area = cross(&p);
    // y points down, so counter-clockwise triangles have negative area.
    let front = (area < 0) != (flags & 2 != 0);
    if area == 0 || !(front || flags & 1 != 0) {
        return None;
    }
    if area < 0 {
        p.swap(1, 2);
    }
    let area = area.abs();
    let sub = SUB as i64;
    let half = sub / 2;
    // Pixels whose centres can be inside: centre = 4096 i + 2048.
    let low = |v: i64, n: usize| ((v - half + sub - 1).div_euclid(sub)).clamp(0, n as i64) as i32;
    let high = |v: i64, n: usize| ((v - half).div_euclid(sub) + 1).clamp(0, n as i64) as i32;
    let (xs, ys) = (p.map(|p| p.0), p.map(|p| p.1));
    let min = |v: &[i64; 3]| *v.iter().min().expect("three");
    let max = |v: &[i64; 3]| *v.iter().max().expect("three");
    let x = (low(min(&xs), width), high(max(&xs), width));
    let y = (low(min(&ys), height), high(max(&ys), height));
    if x.0 >= x.1 || y.0 >= y.1 {
        return None;
    }
    let edges = [0, 1, 2].map(|k| {
        let (a, b) = (p[k], p[(k + 1) % 3]);
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        // E(q) = dx (qy − ay) − dy (qx − ax) > 0 inside; zero counts on top and left edges.
        let inclusive = dy < 0 || (dy == 0 && dx > 0);
        let c = dx * (half - a.1) - dy * (half - a.0) - if inclusive { 0 } else { 1 };
        (-dy * sub, dx * sub, c)
    });
    // Depth is linear in the picture.
    let (u, v) = ((p[1].0 - p[0].0, p[1].1 - p[0].1), (p[2].0 - p[0].0, p[2].1 - p[0].1));
    let (du, dv) = (p[1].2 - p[0].2, p[2].2 - p[0].2);
    let inverse = SUB / area as f64;
    let zx = (du * v.1 as f64 - dv * u.1 as f64) * inverse;
    let zy = (dv * u.0 as f64 - du * v.0 as f64) * inverse;
    let offset = |v: i64| (half - v) as f64 / SUB;
    let z0 = p[0].2 + zx * offset(p[0].0) + zy * offset(p[0].1);
    Some(Setup { id, x, y, edges, plane: [zx, zy, z0] })
}
