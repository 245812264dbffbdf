//! Texture sampling as expressions: wrap modes, nearest, bilinear and trilinear filters. Gradients flow to the texels
//! of every level that is read and, for linear filters, to the texture coordinates.

use lumigrad_core::map::{Expr, IntExpr, IntTable, Table};
use lumigrad_scene::{Filter, Sampler, Wrap};

/// A texture inside a map: its texels (all levels) and the rows of its levels.
#[derive(Clone, Copy)]
pub struct TextureTable {
    /// Texels of all levels.
    pub texels: Table<4>,
    /// (first row, width, height) of each level.
    pub levels: IntTable<3>,
}

/// Where and how large a pixel's footprint is, in texture coordinates.
#[derive(Clone, Copy)]
pub struct Footprint {
    /// Centre.
    pub uv: [Expr; 2],
    /// Change of uv for one pixel to the right.
    pub du: [Expr; 2],
    /// Change of uv for one pixel down.
    pub dv: [Expr; 2],
}

/// How a texture is filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sampling {
    /// As the glTF sampler says (magnification filter where level 0 is coarser than the pixel).
    Sampler,
    /// Level 0, nearest texel.
    Nearest,
    /// Level 0, bilinear.
    Bilinear,
}

/// One texel index along an axis, wrapped. `x` is in −1..=n.
pub(crate) fn wrap_index(x: IntExpr, n: IntExpr, wrap: Wrap) -> IntExpr {
    match wrap {
        Wrap::Repeat => {
            let up = x.less(0).select_int(x + n, x);
            up.less(n).select_int(up, up - n)
        }
        // The neighbour beyond a mirrored or clamped border is the border texel itself.
        Wrap::MirroredRepeat | Wrap::ClampToEdge => x.max(0).min(n - 1),
    }
}

/// A coordinate brought into [0, 1].
pub(crate) fn wrap_coordinate(u: Expr, wrap: Wrap) -> Expr {
    match wrap {
        Wrap::Repeat => u - u.floor(),
        Wrap::MirroredRepeat => {
            let t = u * 0.5;
            1.0 - (2.0 * (t - t.floor()) - 1.0).abs()
        }
        Wrap::ClampToEdge => u.clamp(0.0, 1.0),
    }
}

/// Reads one level.
fn level(t: &TextureTable, uv: [Expr; 2], level: IntExpr, wraps: [Wrap; 2], filter: Filter) -> [Expr; 4] {
    let [first, w, h] = t.levels.fetch(level);
    let sizes = [w, h];
    let at: [Expr; 2] = std::array::from_fn(|k| wrap_coordinate(uv[k], wraps[k]) * sizes[k].to_real());
    if filter == Filter::Nearest {
        let [x, y] = std::array::from_fn(|k| wrap_index(at[k].floor().to_int(), sizes[k], wraps[k]));
        return t.texels.fetch(first + y * w + x);
    }
    let corner: [Expr; 2] = std::array::from_fn(|k| (at[k] - 0.5).floor());
    let [fx, fy] = std::array::from_fn(|k| at[k] - 0.5 - corner[k]);
    let low: [IntExpr; 2] = corner.map(|c| c.to_int());
    let [x0, y0] = std::array::from_fn(|k| wrap_index(low[k], sizes[k], wraps[k]));
    let [x1, y1] = std::array::from_fn(|k| wrap_index(low[k] + 1, sizes[k], wraps[k]));
    let (top, bottom) = (first + y0 * w, first + y1 * w);
    let [a, b, c, d] = [top + x0, top + x1, bottom + x0, bottom + x1].map(|row| t.texels.fetch(row));
    let (gx, gy) = (1.0 - fx, 1.0 - fy);
    let (wa, wb, wc, wd) = (gx * gy, fx * gy, gx * fy, fx * fy);
    std::array::from_fn(|k| (wa * a[k] + wb * b[k]) + (wc * c[k] + wd * d[k]))
}

/// Base-2 logarithm of the footprint's larger side in texels of level 0, at least 0.
fn level_of_detail(t: &TextureTable, f: &Footprint) -> Expr {
    let [_, w, h] = t.levels.fetch(0.into());
    let (w, h) = (w.to_real(), h.to_real());
    let area = |d: [Expr; 2]| (d[0] * w).square() + (d[1] * h).square();
    let larger = area(f.du).max(area(f.dv));
    // log₂ √x = ln x / (2 ln 2); below one texel there is nothing to average.
    larger.max(1.0).ln() * (0.5 / std::f64::consts::LN_2)
}

/// Samples a texture. RGBA as stored.
pub fn sample(t: &TextureTable, f: &Footprint, sampler: &Sampler, sampling: Sampling) -> [Expr; 4] {
    let wraps = [sampler.wrap_s, sampler.wrap_t];
    let base = |filter| level(t, f.uv, 0.into(), wraps, filter);
    let mip = match (sampling, sampler.mip) {
        (Sampling::Nearest, _) => return base(Filter::Nearest),
        (Sampling::Bilinear, _) => return base(Filter::Linear),
        (Sampling::Sampler, None) => return base(sampler.mag),
        (Sampling::Sampler, Some(mip)) => mip,
    };
    let lod = level_of_detail(t, f).min((t.levels.rows() - 1).to_real());
    let minified = match mip {
        Filter::Nearest => level(t, f.uv, (lod + 0.5).floor().to_int(), wraps, sampler.min),
        Filter::Linear => {
            let floor = lod.floor();
            let fraction = lod - floor;
            let fine = floor.to_int();
            let a = level(t, f.uv, fine, wraps, sampler.min);
            let b = level(t, f.uv, fine + 1, wraps, sampler.min);
            std::array::from_fn(|k| a[k] + (b[k] - a[k]) * fraction)
        }
    };
    if sampler.mag == sampler.min {
        return minified;
    }
    let magnified = base(sampler.mag);
    let near = lod.less_eq(0.0);
    std::array::from_fn(|k| near.select(magnified[k], minified[k]))
}
