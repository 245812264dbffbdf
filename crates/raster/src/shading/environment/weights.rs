//! The linear maps of prefiltering: from the equirectangular texels to the base grid, from grid to coarser grid, and from
//! this pyramid to GGX lobes and irradiance. Each row sums to 1, so that a constant environment stays constant.

use super::octahedral::{Grid, density, direction, place};
use std::f64::consts::{FRAC_1_SQRT_2, PI, TAU};

/// Non-zero entries of one row: column and weight.
pub type Row = Vec<(u32, f64)>;

/// Appends the entries of a row (columns may repeat, the scale is free).
pub type FillRow<'a> = Box<dyn Fn(usize, &mut Row) + Send + Sync + 'a>;

/// A sparse matrix by its rows.
pub struct Rows<'a> {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Makes a row.
    pub row: FillRow<'a>,
}

impl Rows<'_> {
    /// The entries of a row, replacing `out`, scaled to sum 1.
    pub fn entries(&self, row: usize, out: &mut Row) {
        out.clear();
        (self.row)(row, out);
        let sum: f64 = out.iter().map(|(_, w)| w).sum();
        out.iter_mut().for_each(|(_, w)| *w /= sum);
    }
}

/// Bilinear weights of an equirectangular map in a direction; u wraps, v stops at the poles.
fn equirect([x, y, z]: [f64; 3], width: usize, height: usize, scale: f64, out: &mut Row) {
    let u = (0.5 + z.atan2(x) / TAU) * width as f64 - 0.5;
    let v = y.clamp(-1.0, 1.0).acos() / PI * height as f64 - 0.5;
    let (i, j) = (u.floor(), v.floor());
    let (f, g) = (u - i, v - j);
    let column = |k: i64| (i as i64 + k).rem_euclid(width as i64);
    let row = |k: i64| (j as i64 + k).clamp(0, height as i64 - 1);
    for (di, dj, w) in [(0, 0, (1.0 - f) * (1.0 - g)), (1, 0, f * (1.0 - g)), (0, 1, (1.0 - f) * g), (1, 1, f * g)] {
        out.push(((row(dj) * width as i64 + column(di)) as u32, w * scale));
    }
}

/// Nodes of `grid` from the texels of an equirectangular map: the mean around a node, weighted by a tent and solid angle.
/// `samples` a cell and axis.
pub fn base(width: usize, height: usize, grid: Grid, samples: usize) -> Rows<'static> {
    let cell = 2.0 / grid.n as f64;
    let offsets: Vec<f64> = (0..2 * samples).map(|k| (k as f64 + 0.5) / samples as f64 - 1.0).collect();
    let row = move |node: usize, out: &mut Row| {
        let [p, q] = grid.node(node);
        for a in &offsets {
            for b in &offsets {
                let d = direction([p + a * cell, q + b * cell]);
                equirect(d, width, height, (1.0 - a.abs()) * (1.0 - b.abs()) * density(d), out);
            }
        }
    };
    Rows { rows: grid.nodes(), columns: width * height, row: Box::new(row) }
}

/// The grid of half the cells.
pub fn halved(fine: Grid) -> Rows<'static> {
    let coarse = Grid { n: fine.n / 2 };
    let row = move |node: usize, out: &mut Row| {
        let side = coarse.n + 1;
        let (i, j) = (2 * (node % side) as i64, 2 * (node / side) as i64);
        for (a, b) in (-1..=1).flat_map(|a| (-1..=1).map(move |b| (a, b))) {
            let from = fine.index(i + a, j + b);
            let tent = (2 - a.abs()) * (2 - b.abs());
            out.push((from as u32, tent as f64 * density(direction(fine.node(from)))));
        }
    };
    Rows { rows: coarse.nodes(), columns: fine.nodes(), row: Box::new(row) }
}

/// Grids of a pyramid, one table.
#[derive(Clone, Debug)]
pub struct Pyramid {
    /// First row and grid, finest first.
    pub levels: Vec<(usize, Grid)>,
}

impl Pyramid {
    /// Halves `n` down to 4.
    pub fn new(n: usize) -> Self {
        let mut levels = vec![];
        let (mut first, mut n) = (0, n);
        while n >= 4 {
            levels.push((first, Grid { n }));
            first += Grid { n }.nodes();
            n /= 2;
        }
        Self { levels }
    }

    /// Rows in all.
    pub fn rows(&self) -> usize {
        self.levels.last().map_or(0, |(first, grid)| first + grid.nodes())
    }

    /// The mean over a patch of about `size` radians.
    fn patch(&self, d: [f64; 3], size: f64, weight: f64, out: &mut Row) {
        let at = place(d);
        // Nodes are 2 s^1.5 / n apart where the stretch is s.
        let wanted = 2.0 * at.stretch * at.stretch.sqrt() / size;
        let level = (self.levels[0].1.n as f64 / wanted).log2().round().clamp(0.0, self.levels.len() as f64 - 1.0);
        let (first, grid) = self.levels[level as usize];
        out.extend(grid.bilinear(at.at).map(|(node, w)| ((first + node) as u32, w * weight)));
    }
}

/// Two unit vectors that make a right-handed frame with a unit vector.
fn frame(n: [f64; 3]) -> [[f64; 3]; 2] {
    // Duff et al. 2017: no singular direction.
    let sign = 1f64.copysign(n[2]);
    let a = -1.0 / (sign + n[2]);
    let b = n[0] * n[1] * a;
    [[1.0 + sign * n[0] * n[0] * a, sign * b, -sign * n[0]], [b, sign + n[1] * n[1] * a, -n[1]]]
}

/// Incident radiance weighted by the GGX lobe around each node of `grid`, with N = V = R and weight D · N·L.
///
/// The half vectors are integrated over rings whose width grows with their radius, each cell with the pyramid's level
/// of its size; `sectors` cells a ring. `rest` of the distribution's energy, far from the peak, is left out.
pub fn specular(pyramid: &Pyramid, grid: Grid, roughness: f64, sectors: usize, rest: f64) -> Rows<'_> {
    let alpha = roughness * roughness;
    let below = |t: f64| t * t / (alpha * alpha + t * t);
    let mut rings: Vec<(f64, f64, f64)> = vec![]; // tan θh, energy, cell in radians
    let (mut t, step) = ((0.3 * alpha).min(0.1), TAU / sectors as f64);
    rings.push((0.0, below(t), 2.0 * PI.sqrt() * t));
    while t < 1.0 && below(t) < 1.0 - rest {
        let next = t * (1.0 + step);
        let middle = (t * next).sqrt();
        let lit = 2.0 * middle.atan(); // angle between R and L
        if lit.cos() > 0.0 {
            rings.push((middle, (below(next) - below(t)) * lit.cos(), lit.sin() * step));
        }
        t = next;
    }
    let row = move |node: usize, out: &mut Row| {
        let r = direction(grid.node(node));
        let [a, b] = frame(r);
        for (k, &(tangent, energy, cell)) in rings.iter().enumerate() {
            if tangent == 0.0 {
                pyramid.patch(r, cell, energy, out);
                continue;
            }
            let (sin, cos) = (2.0 * tangent.atan()).sin_cos();
            for sector in 0..sectors {
                let phi = (sector as f64 + 0.5 * (k % 2) as f64) * step;
                let (y, x) = phi.sin_cos();
                let d = std::array::from_fn(|c| cos * r[c] + sin * (x * a[c] + y * b[c]));
                pyramid.patch(d, cell, energy / sectors as f64, out);
            }
        }
    };
    Rows { rows: grid.nodes(), columns: pyramid.rows(), row: Box::new(row) }
}

/// Irradiance / π around each node of `grid`: the cosine-weighted mean radiance.
pub fn irradiance(pyramid: &Pyramid, grid: Grid) -> Rows<'_> {
    // The level of 32 cells: the cosine lobe is far wider than its nodes.
    let &(first, fine) = pyramid.levels.iter().find(|(_, g)| g.n <= 32).unwrap_or(&pyramid.levels[0]);
    let nodes: Vec<([f64; 3], f64)> = (0..fine.nodes())
        .map(|node| {
            let at = fine.node(node);
            let d = direction(at);
            // Nodes of the border are there twice, the corners four times.
            let shared: f64 = at.iter().map(|p| if p.abs() == 1.0 { 0.5 } else { 1.0 }).product();
            (d, shared * density(d))
        })
        .collect();
    let row = move |node: usize, out: &mut Row| {
        let n = direction(grid.node(node));
        for (k, (d, area)) in nodes.iter().enumerate() {
            let cosine = n[0] * d[0] + n[1] * d[1] + n[2] * d[2];
            if cosine > 0.0 {
                out.push(((first + k) as u32, cosine * area));
            }
        }
    };
    Rows { rows: grid.nodes(), columns: pyramid.rows(), row: Box::new(row) }
}

/// Cells a side of the grid that resolves a lobe.
pub fn cells_for(roughness: f64, base: usize) -> usize {
    // Half the width of the lobe is 1.3 α; nodes a quarter of its full width apart.
    let wanted = 5.4 / (roughness * roughness).max(1e-9) * FRAC_1_SQRT_2;
    (wanted as usize).next_power_of_two().clamp(16, 256).min(base)
}
