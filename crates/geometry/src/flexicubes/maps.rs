//! The maps that surfaces are made of.

use lumigrad_core::Map;
use lumigrad_core::map::vector::{add, dot, scale, sub};
use lumigrad_core::map::{Expr, IntExpr, Table};

/// The largest offset of a sample, in spacings.
const REACH: f64 = 0.49;
/// The smallest difference of the ends of a crossed edge.
const APART: f64 = 1e-8;

/// α and β.
fn positive(w: Expr) -> Expr {
    0.99 * w.tanh() + 1.0
}

/// γ.
fn gamma(w: Expr) -> Expr {
    0.99 * (0.5 * (0.5 * w).tanh() + 0.5) + 0.005
}

/// Where samples are.
struct Places {
    origin: [Expr; 3],
    spacing: [Expr; 3],
    size: [IntExpr; 2],
    deformations: Table<3>,
}

impl Places {
    fn of(&self, sample: IntExpr) -> [Expr; 3] {
        let row = sample.quotient(self.size[0]);
        let at = [sample.modulo(self.size[0]), row.modulo(self.size[1]), row.quotient(self.size[1])];
        let moved = self.deformations.fetch(sample);
        std::array::from_fn(|c| self.origin[c] + self.spacing[c] * (at[c].to_real() + REACH * moved[c].tanh()))
    }
}

/// Per edge of a sheet: the crossing u, and (β u, β).
pub fn crossings() -> Map {
    Map::cached("geometry/flexicubes_crossings", |m| {
        let ends = m.item_int::<2>("ends");
        let [first, second, share] = m.item_int::<3>("columns");
        let values = m.table::<1>("values");
        let deformations = m.table::<3>("deformations");
        let weights = m.table::<1>("weights");
        let origin = std::array::from_fn(|_| m.param());
        let spacing = std::array::from_fn(|_| m.param());
        let size = std::array::from_fn(|_| m.int_param());
        let places = Places { origin, spacing, size, deformations };
        let weight = |column: IntExpr| positive(weights.fetch(column)[0]);
        let a = values.fetch(ends[0])[0] * weight(first);
        let b = values.fetch(ends[1])[0] * weight(second);
        let gap = a - b;
        let t = a / gap.less(0.0).select(gap.min(-APART), gap.max(APART));
        let [p, q] = ends.map(|end| places.of(end));
        let u = add(p, scale(sub(q, p), t));
        let beta = weight(share);
        m.output("crossings", &u);
        m.output("shares", &[u[0] * beta, u[1] * beta, u[2] * beta, beta]);
    })
}

/// Per sheet: Σ β u / Σ β.
pub fn quotients() -> Map {
    Map::cached("geometry/flexicubes_vertices", |m| {
        let [x, y, z, beta] = m.item("sums");
        m.output("positions", &scale([x, y, z], 1.0 / beta));
    })
}

/// γ at the corners of a quad, multiplied along its diagonals.
fn diagonals(columns: [IntExpr; 4], weights: Table<1>) -> [Expr; 2] {
    let [a, b, c, d] = columns.map(|column| gamma(weights.fetch(column)[0]));
    [a * c, b * d]
}

/// Per quad: the product of γ at the ends of either diagonal.
pub fn products() -> Map {
    Map::cached("geometry/flexicubes_diagonals", |m| {
        let gammas = m.item_int::<4>("gammas");
        let weights = m.table::<1>("weights");
        m.output("products", &diagonals(gammas, weights));
    })
}

/// Per quad: the mean of its diagonals' middles, weighted by the products of γ at their ends.
pub fn centres() -> Map {
    Map::cached("geometry/flexicubes_centres", |m| {
        let corners = m.item_int::<4>("quads");
        let gammas = m.item_int::<4>("gammas");
        let positions = m.table::<3>("positions");
        let weights = m.table::<1>("weights");
        let [first, second] = diagonals(gammas, weights);
        let [a, b, c, d] = corners.map(|v| positions.fetch(v));
        let sum = add(scale(add(a, c), first), scale(add(b, d), second));
        m.output("centres", &scale(sum, 0.5 / (first + second)));
    })
}

/// Per edge of a sheet: (|v − u|, 1).
pub fn distances() -> Map {
    Map::cached("geometry/flexicubes_distances", |m| {
        let [sheet] = m.item_int("sheets");
        let crossing = m.item::<3>("crossings");
        let vertices = m.table::<3>("vertices");
        let gap = sub(vertices.fetch(sheet), crossing);
        m.output("distances", &[dot(gap, gap).max(1e-30).sqrt(), 1.0.into()]);
    })
}

/// Per sheet: the mean of what was summed with its number.
pub fn quotient() -> Map {
    Map::cached("geometry/flexicubes_means", |m| {
        let [sum, n] = m.item("sums");
        m.output("means", &[sum / n.max(1.0)]);
    })
}

/// Σ over edges of sheets of |distance − mean|.
pub fn deviations() -> Map {
    Map::cached("geometry/flexicubes_deviations", |m| {
        let [sheet] = m.item_int("sheets");
        let [distance, _] = m.item("distances");
        let means = m.table::<1>("means");
        m.sum("deviation", &[(distance - means.fetch(sheet)[0]).abs()]);
    })
}

/// Σ over crossed edges of the cross entropies of each end with the other's sign.
pub fn sign_entropies() -> Map {
    Map::cached("geometry/flexicubes_sign_entropies", |m| {
        let ends = m.item_int::<2>("ends");
        let values = m.table::<1>("values");
        let logits = m.param();
        let [a, b] = ends.map(|end| values.fetch(end)[0] * logits);
        let entropy = |x: Expr, other: Expr| x.softplus() - other.less(0.0).select(0.0, x);
        m.sum("entropy", &[entropy(a, b) + entropy(b, a)]);
    })
}
