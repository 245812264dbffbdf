use super::{Params, SilhouettesBuffers};
use lumigrad_core::Real;
use rayon::prelude::*;

/// Triangles that are followed at most (many meet at the pole of a sphere).
const MAX_STEPS: usize = 256;
/// A pixel centre may lie outside its triangle by the grid that vertices are snapped to.
const SLACK: f64 = 0.01;
/// No neighbour, and no edge.
const NONE: u32 = u32::MAX;

pub fn silhouettes<R: Real>(p: &Params, _items: usize, b: SilhouettesBuffers<'_, R>) {
    let SilhouettesBuffers { visible, depth, clip, triangles, neighbours, edges, .. } = b;
    let (width, height) = (p.width as usize, p.height as usize);
    if width == 0 {
        return;
    }
    let mut mesh = Mesh { clip, triangles, neighbours, size: [width as f64, height as f64], left: vec![] };
    mesh.left = (0..triangles.len() / 3)
        .into_par_iter()
        .with_min_len(1024)
        .map(|t| turns_left(&mesh.corners(t as u32)))
        .collect();
    edges.par_chunks_mut(2 * width).enumerate().for_each(|(y, row)| {
        for x in 0..width {
            let pixel = y * width + x;
            for (down, inside) in [(false, x + 1 < width), (true, y + 1 < height)] {
                let other = pixel + if down { width } else { 1 };
                if !(inside && visible[pixel] != visible[other]) {
                    row[2 * x + down as usize] = 0;
                    continue;
                }
                // Nothing has the largest depth.
                let near = depth[pixel] <= depth[other];
                let front = if near { pixel } else { other };
                let start = [front % width, front / width].map(|c| c as f64 + 0.5);
                row[2 * x + down as usize] = match mesh.follow(visible[front] - 1, start, down, near) {
                    NONE => 0,
                    edge => 2 * (edge + 1) + near as u32,
                };
            }
        }
    });
}

struct Mesh<'a, R> {
    clip: &'a [R],
    triangles: &'a [u32],
    neighbours: &'a [u32],
    size: [f64; 2],
    /// [`turns_left`] of every triangle.
    left: Vec<bool>,
}

impl<R: Real> Mesh<'_, R> {
    /// Homogeneous position of a triangle's corners in pixels: (x w, y w, w).
    fn corners(&self, triangle: u32) -> [[f64; 3]; 3] {
        std::array::from_fn(|k| {
            let v = 4 * self.triangles[3 * triangle as usize + k] as usize;
            let [x, y, w] = [self.clip[v], self.clip[v + 1], self.clip[v + 3]].map(|c| c.to_f64());
            [(x + w) * 0.5 * self.size[0], (w - y) * 0.5 * self.size[1], w]
        })
    }

    /// The silhouette edge (3 · triangle + k) that the surface reaches within one pixel from `start`.
    fn follow(&self, first: u32, start: [f64; 2], down: bool, forwards: bool) -> u32 {
        let sign = if forwards { 1.0 } else { -1.0 };
        let mut triangle = first;
        let mut entered = 3;
        for _ in 0..MAX_STEPS {
            let corners = self.corners(triangle);
            // Along the way from the start, across it, and w.
            let c = corners.map(|p| {
                let [x, y] = [p[0] - start[0] * p[2], p[1] - start[1] * p[2]];
                if down { [sign * y, x, p[2]] } else { [sign * x, y, p[2]] }
            });
            let (mut exit, mut distance) = (3, -SLACK);
            for k in (0..3).filter(|k| *k != entered) {
                let (a, b) = (c[k], c[(k + 1) % 3]);
                // On the line counts as before it, which agrees with the fill rule: top and left edges belong to a triangle.
                if (a[1] <= 0.0) == (b[1] <= 0.0) {
                    continue;
                }
                let span = b[1] - a[1];
                let (s, w) = ((a[0] * b[1] - b[0] * a[1]) / span, (a[2] * b[1] - b[2] * a[1]) / span);
                if w > 0.0 && s / w >= distance {
                    (exit, distance) = (k, s / w);
                }
            }
            // Phrased so that NaN fails.
            if exit == 3 || !(distance <= 1.0) {
                return NONE;
            }
            let edge = 3 * triangle + exit as u32;
            let other = self.neighbours[edge as usize];
            if other == NONE || self.left[triangle as usize] != self.left[other as usize] {
                let (a, b) = (corners[exit], corners[(exit + 1) % 3]);
                let steep = (a[2] * b[0] - b[2] * a[0]).abs() <= (a[2] * b[1] - b[2] * a[1]).abs();
                return if steep != down { edge } else { NONE };
            }
            entered = (0..3).find(|k| self.neighbours[3 * other as usize + k] == triangle).unwrap_or(3);
            triangle = other;
        }
        NONE
    }
}

/// Orientation in the picture, also across the camera plane.
fn turns_left(c: &[[f64; 3]; 3]) -> bool {
    let minor = |i: usize, j: usize| c[i][0] * c[j][1] - c[j][0] * c[i][1];
    c[0][2] * minor(1, 2) + c[1][2] * minor(2, 0) + c[2][2] * minor(0, 1) < 0.0
}
