//! Bilinear and trilinear sampling of grids.

use crate::map::{Builder, CallParams, Expr, IntExpr, Map};
use crate::{Error, Result, Var};

/// Lower cell and share of the upper one along an axis; centres lie at +0.5.
fn split(x: Expr) -> (IntExpr, Expr) {
    let low = (x - 0.5).floor();
    (low.to_int(), x - 0.5 - low)
}

/// Weighted cells around a point; the last axis varies fastest. `corner(row)` fetches a cell by its number.
fn interpolate<const D: usize, const N: usize>(
    sizes: [IntExpr; D],
    point: [Expr; D],
    corner: impl Fn(IntExpr) -> [Expr; N],
) -> [Expr; N] {
    // Points are (x, y, …), sizes are (…, H, W).
    let cells: [(IntExpr, Expr); D] = std::array::from_fn(|a| split(point[D - 1 - a]));
    let mut values: Vec<[Expr; N]> = (0..1 << D)
        .map(|bits: usize| {
            let mut row: IntExpr = 0.into();
            for a in 0..D {
                let i = cells[a].0 + (bits >> (D - 1 - a) & 1) as i32;
                row = row * sizes[a] + i.max(0).min(sizes[a] - 1);
            }
            corner(row)
        })
        .collect();
    // Neighbours in `values` differ along the last axis that is left.
    for a in (0..D).rev() {
        values = values.chunks(2).map(|v| crate::map::vector::mix(v[0], v[1], cells[a].1)).collect();
    }
    values[0]
}

fn sizes<const D: usize>(m: &mut Builder) -> [IntExpr; D] {
    std::array::from_fn(|_| m.int_param())
}

/// One item per point, for few channels.
fn fixed<const D: usize, const C: usize>() -> Map {
    Map::cached(&format!("sample grid {D}d {C}"), |m| {
        let sizes = sizes::<D>(m);
        let point = m.item::<D>("points");
        let grid = m.table::<C>("grid");
        m.output("samples", &interpolate(sizes, point, |row| grid.fetch(row)));
    })
}

/// One item per point and channel.
fn any<const D: usize>() -> Map {
    Map::cached(&format!("sample grid {D}d"), |m| {
        let sizes = sizes::<D>(m);
        let channels = m.int_param();
        let points = m.table::<D>("points");
        let grid = m.table::<1>("grid");
        let point = m.index().quotient(channels);
        let channel = m.index() - point * channels;
        m.output("sample", &interpolate(sizes, points.fetch(point), |row| grid.fetch(row * channels + channel)));
    })
}

fn sample<const D: usize>(grid: &Var, points: &Var, expected: &str) -> Result<Var> {
    let (shape, &[n, dims]) = (grid.shape(), points.shape()) else {
        return Err(Error::shape("points of sample_grid", points.shape(), format!("[N, {D}]")));
    };
    if shape.len() != D + 1 {
        return Err(Error::shape("grid of sample_grid", shape, expected));
    }
    if dims != D {
        return Err(Error::shape("points of sample_grid", points.shape(), format!("[N, {D}]")));
    }
    let channels = shape[D];
    if grid.is_empty() && n * channels > 0 {
        return Err(Error::shape("grid of sample_grid", shape, format!("{expected} with at least one cell")));
    }
    let mut int: Vec<i32> = shape[..D].iter().map(|&s| s as i32).collect();
    let map = match channels {
        1 => fixed::<D, 1>(),
        2 => fixed::<D, 2>(),
        3 => fixed::<D, 3>(),
        4 => fixed::<D, 4>(),
        _ => {
            int.push(channels as i32);
            let call = CallParams { items: n * channels, real: vec![], int };
            return any::<D>().apply_with(&[points, grid], call)?.remove(0).reshape(&[n, channels]);
        }
    };
    map.apply_with(&[points, grid], CallParams { items: n, real: vec![], int })?.remove(0).reshape(&[n, channels])
}

impl Var {
    /// Bilinear samples of a grid [H, W, C] at points [N, 2]: [N, C].
    ///
    /// **Units**: points are (x, y) in cells; the centre of cell (row, column) is at (column + 0.5, row + 0.5). Outside
    /// the outermost centres the grid is continued by its border cells.
    /// **Gradients**: to the grid, and to the points (0 where the grid is continued; at a centre, the derivative towards
    /// larger coordinates).
    pub fn sample_bilinear(&self, points: &Var) -> Result<Var> {
        sample::<2>(self, points, "[H, W, C]")
    }

    /// Trilinear samples of a grid [D, H, W, C] at points [N, 3] as (x, y, z): [N, C]; see [`Var::sample_bilinear`].
    pub fn sample_trilinear(&self, points: &Var) -> Result<Var> {
        sample::<3>(self, points, "[D, H, W, C]")
    }
}
