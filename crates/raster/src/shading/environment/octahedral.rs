//! Octahedral grids: the sphere unfolded onto a square, with nodes on its border.
//!
//! A direction d goes to (x, z) / (|x| + |y| + |z|) in [−1, 1]², the lower half (y < 0) folded outwards. A grid of n cells
//! a side has (n + 1)² nodes, row-major, z down. Nodes at mirrored places of the border are the same direction, so that
//! bilinear interpolation is continuous everywhere and needs no wrapping: no seam, no pole.

/// A place on the unfolded sphere, and the direction there.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// In [−1, 1]².
    pub at: [f64; 2],
    /// |x| + |y| + |z| of the unit direction, 1..√3: the grid is coarser where it is larger.
    pub stretch: f64,
}

/// Where a unit direction is.
pub fn place([x, y, z]: [f64; 3]) -> Place {
    let stretch = x.abs() + y.abs() + z.abs();
    let (p, q) = (x / stretch, z / stretch);
    let at = match y < 0.0 {
        true => [(1.0 - q.abs()).copysign(p), (1.0 - p.abs()).copysign(q)],
        false => [p, q],
    };
    Place { at, stretch }
}

/// The unit direction at a place up to one square outside, where the sphere continues.
pub fn direction([mut p, mut q]: [f64; 2]) -> [f64; 3] {
    if p.abs() > 1.0 {
        (p, q) = (2f64.copysign(p) - p, -q);
    }
    if q.abs() > 1.0 {
        (p, q) = (-p, 2f64.copysign(q) - q);
    }
    let y = 1.0 - p.abs() - q.abs();
    let (x, z) = match y < 0.0 {
        true => ((1.0 - q.abs()).copysign(p), (1.0 - p.abs()).copysign(q)),
        false => (p, q),
    };
    let length = (x * x + y * y + z * z).sqrt();
    // One zero: what follows from a direction must not depend on the place that it was unfolded to.
    [x / length + 0.0, y / length + 0.0, z / length + 0.0]
}

/// Solid angle per area of the square.
pub fn density([x, y, z]: [f64; 3]) -> f64 {
    (x.abs() + y.abs() + z.abs()).powi(3)
}

/// A grid of n cells a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Cells a side.
    pub n: usize,
}

impl Grid {
    /// Number of nodes.
    pub fn nodes(self) -> usize {
        (self.n + 1) * (self.n + 1)
    }

    /// Place of a node.
    pub fn node(self, node: usize) -> [f64; 2] {
        let side = self.n + 1;
        [node % side, node / side].map(|i| 2.0 * i as f64 / self.n as f64 - 1.0)
    }

    /// The node at integer coordinates, up to one square outside.
    pub fn index(self, mut i: i64, mut j: i64) -> usize {
        let n = self.n as i64;
        if i < 0 || i > n {
            (i, j) = (if i < 0 { -i } else { 2 * n - i }, n - j);
        }
        if j < 0 || j > n {
            (i, j) = (n - i, if j < 0 { -j } else { 2 * n - j });
        }
        (j * (n + 1) + i) as usize
    }

    /// The four nodes around a place with their bilinear weights.
    pub fn bilinear(self, at: [f64; 2]) -> [(usize, f64); 4] {
        let [(i, f), (j, g)] = at.map(|p| {
            let x = (p + 1.0) * 0.5 * self.n as f64;
            let i = (x as usize).min(self.n - 1);
            (i, x - i as f64)
        });
        let first = j * (self.n + 1) + i;
        let below = first + self.n + 1;
        [(first, (1.0 - f) * (1.0 - g)), (first + 1, f * (1.0 - g)), (below, (1.0 - f) * g), (below + 1, f * g)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_directions_are_inverses() {
        for d in [[0.3, 0.8, -0.2], [0.3, -0.8, -0.2], [-0.9, -0.1, 0.4], [0.0, -1.0, 0.0], [0.0, 1.0, 0.0]] {
            let length = f64::sqrt(d.iter().map(|x| x * x).sum());
            let back = direction(place(d.map(|x| x / length)).at);
            assert!((0..3).all(|k| (back[k] - d[k] / length).abs() < 1e-12), "{d:?} {back:?}");
        }
    }

    #[test]
    fn the_sphere_continues_beyond_the_border() {
        let grid = Grid { n: 8 };
        for (i, j) in [(-1, 3), (9, 2), (4, -1), (5, 9), (-1, -1), (9, -1)] {
            let outside = direction([2.0 * i as f64 / 8.0 - 1.0, 2.0 * j as f64 / 8.0 - 1.0]);
            let inside = direction(grid.node(grid.index(i, j)));
            assert!((0..3).all(|k| (outside[k] - inside[k]).abs() < 1e-12), "{i} {j} {outside:?} {inside:?}");
        }
        let (a, b) = (direction([-1.01, 0.3]), direction([-0.99, 0.3]));
        assert!((0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt() < 1.5, "{a:?} {b:?}");
    }

    #[test]
    fn the_density_integrates_to_the_sphere() {
        let n = 400;
        let at = |i: usize| 2.0 * (i as f64 + 0.5) / n as f64 - 1.0;
        let sum: f64 = (0..n * n).map(|i| density(direction([at(i % n), at(i / n)]))).sum();
        assert!((sum * 4.0 / (n * n) as f64 - 4.0 * std::f64::consts::PI).abs() < 1e-3);
    }
}
