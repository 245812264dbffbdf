//! What a fragment's surface point is: perspective-correct barycentrics and their screen derivatives, interpolated
//! attributes, as expressions.

use lumigrad_core::map::{Builder, Expr, IntExpr, Table, vector};

/// Barycentric weights of a fragment and how they change from pixel to pixel.
#[derive(Clone, Copy)]
pub struct Weights {
    /// Number of the triangle.
    pub triangle: IntExpr,
    /// Vertex numbers of the triangle.
    pub vertices: [IntExpr; 3],
    /// Perspective-correct weights; their sum is 1.
    pub at: [Expr; 3],
    /// Derivative by x, per pixel.
    pub dx: [Expr; 3],
    /// Derivative by y (down), per pixel.
    pub dy: [Expr; 3],
    /// Twice the signed area of the triangle in the picture, times the product of w: positive = counter-clockwise.
    pub orientation: Expr,
}

impl Weights {
    /// An attribute at the fragment.
    pub fn interpolate<const N: usize>(&self, rows: &[[Expr; N]; 3]) -> [Expr; N] {
        combine(&self.at, rows)
    }

    /// Its change per pixel to the right and down.
    pub fn derivatives<const N: usize>(&self, rows: &[[Expr; N]; 3]) -> ([Expr; N], [Expr; N]) {
        (combine(&self.dx, rows), combine(&self.dy, rows))
    }

    /// The three rows of an attribute table.
    pub fn fetch<const N: usize>(&self, table: Table<N>) -> [[Expr; N]; 3] {
        self.vertices.map(|v| table.fetch(v))
    }
}

fn combine<const N: usize>(weights: &[Expr; 3], rows: &[[Expr; N]; 3]) -> [Expr; N] {
    std::array::from_fn(|k| weights[0] * rows[0][k] + weights[1] * rows[1][k] + weights[2] * rows[2][k])
}

/// Declares the fragment inputs (`pixel`, `triangle`, `triangles`, `clip`, call parameters width and height) and gives
/// the weights. Fragments with triangle 0 are padding.
///
/// With dᵢ = (xᵢ − x wᵢ, yᵢ − y wᵢ) for the pixel centre (x, y) in normalised device coordinates, the weights are
/// proportional to the cross products d₁×d₂, d₂×d₀, d₀×d₁: perspective-correct, also across the camera plane
/// (Olano & Greer 1997).
pub fn fragment_weights(m: &mut Builder) -> Weights {
    let [pixel] = m.item_int("pixel");
    let [triangle] = m.item_int("triangle");
    let triangles = m.table_int::<3>("triangles");
    let clip = m.table::<4>("clip");
    let (width, height) = (m.int_param(), m.int_param());
    m.guard(IntExpr::from(0).less(triangle));
    let vertices = triangles.fetch(triangle - 1);
    let (w, h) = (width.to_real(), height.to_real());
    let [x, y] = pixel_centre(pixel, width);
    let ndc = [x * 2.0 / w - 1.0, 1.0 - y * 2.0 / h];
    // NDC steps per pixel: right is +x, down is −y.
    let step = [2.0 / w, -2.0 / h];
    let p = vertices.map(|v| clip.fetch(v));
    let d: [[Expr; 2]; 3] = p.map(|v| [v[0] - ndc[0] * v[3], v[1] - ndc[1] * v[3]]);
    let pair = |i: usize, j: usize| {
        let e = d[i][0] * d[j][1] - d[i][1] * d[j][0];
        let ex = p[j][3] * d[i][1] - p[i][3] * d[j][1];
        let ey = p[i][3] * d[j][0] - p[j][3] * d[i][0];
        (e, ex * step[0], ey * step[1])
    };
    let e = [pair(1, 2), pair(2, 0), pair(0, 1)];
    let sum = e[0].0 + e[1].0 + e[2].0;
    // Degenerate triangles have no fragments; the limit only keeps padding finite.
    let inverse = sum.abs().less(1e-30).select(0.0, 1.0 / sum.abs().less(1e-30).select(1.0, sum));
    let at = e.map(|k| k.0 * inverse);
    let (sx, sy) = ((e[0].1 + e[1].1 + e[2].1) * inverse, (e[0].2 + e[1].2 + e[2].2) * inverse);
    let dx = std::array::from_fn(|k| e[k].1 * inverse - at[k] * sx);
    let dy = std::array::from_fn(|k| e[k].2 * inverse - at[k] * sy);
    Weights { triangle: triangle - 1, vertices, at, dx, dy, orientation: sum }
}

/// Column and row of a pixel, from its number in row-major order.
pub(crate) fn pixel_of(pixel: IntExpr, width: IntExpr) -> [IntExpr; 2] {
    // A float quotient and a correction are much faster than integer division, and exact.
    let guess = (pixel.to_real() / width.to_real()).floor().to_int();
    let rest = pixel - guess * width;
    let y = rest.less(0).select_int(guess - 1, rest.less(width).select_int(guess, guess + 1));
    [pixel - y * width, y]
}

/// Centre of a pixel in pixels, from its number.
pub(crate) fn pixel_centre(pixel: IntExpr, width: IntExpr) -> [Expr; 2] {
    pixel_of(pixel, width).map(|k| k.to_real() + 0.5)
}

/// Normal of the flat triangle through three points, counter-clockwise front.
pub fn flat_normal(p: &[[Expr; 3]; 3]) -> [Expr; 3] {
    vector::normalize(vector::cross(vector::sub(p[1], p[0]), vector::sub(p[2], p[0])))
}
