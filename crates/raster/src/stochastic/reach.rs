//! Which pixels the elements of a parameter array reach.

use super::{TextureReach, Visible};
use crate::Result;
use lumigrad_core::Tensor;
use lumigrad_core::map::{CallParams, Expr, IntExpr, Map};
use std::ops::Range;

/// Pixels that the elements of an array reach: those whose colour may depend on them. More pixels than need be add noise,
/// and no bias; pixels left out are missing in the gradient.
#[derive(Clone, Debug)]
pub enum Reach {
    /// All pixels: cameras, lights.
    Picture,
    /// All pixels, but only these rows of the array have any: poses of views of which one is rendered.
    Rows(Range<usize>),
    /// Pixels of marked triangles: factors of a material. u32 `[T]`, not 0 = marked.
    Triangles(Tensor),
    /// Row v of the array belongs to a vertex: pixels of the triangles around it. `corners` u32 [T, 3] are the rows of
    /// each triangle, [`Reach::NO_ROW`] for triangles that read others. `rows` is their number.
    Vertices {
        /// [T, 3].
        corners: Tensor,
        /// V.
        rows: usize,
    },
    /// Texels [h, w, 4]: pixels whose footprint holds them, through all mip levels.
    Texture(TextureReach),
}

impl Reach {
    /// A corner that reads no row of the array.
    pub const NO_ROW: u32 = u32::MAX;

    /// The sums of `change` [P, 4] over the pixels that are reached: one row, or one for each vertex or block of texels.
    pub(super) fn sums(&self, change: &Tensor, front: &[Visible], back: &[Visible], draw: u64) -> Result<Tensor> {
        let layers = front.iter().zip(back);
        match self {
            Reach::Picture | Reach::Rows(_) => {
                let map = Map::cached("stochastic/sum", |m| {
                    let change = m.item::<4>("change");
                    m.sum("sum", &change);
                });
                Ok(map.run(&[change], &CallParams::default())?.remove(0))
            }
            Reach::Triangles(marked) => {
                let mut inside = Tensor::zeros(change.device(), change.dtype(), &[change.len() / 4, 1])?;
                for (a, b) in layers {
                    let call = CallParams::default();
                    inside = seen_map().run(&[&inside, &a.triangles, &b.triangles, marked], &call)?.remove(0);
                }
                let map = Map::cached("stochastic/sum inside", |m| {
                    let (change, [inside]) = (m.item::<4>("change"), m.item("inside"));
                    m.sum("sum", &change.map(|c| c * inside));
                });
                Ok(map.run(&[change, &inside], &CallParams::default())?.remove(0))
            }
            Reach::Vertices { corners, rows } => {
                let like = Tensor::uninit(change.device(), change.dtype(), &[*rows, 4])?;
                let parts = layers.map(|(a, b)| {
                    let inputs = [change, &a.triangles, &b.triangles, corners, &like];
                    Ok(vertices_map().run(&inputs, &CallParams::default())?.remove(0))
                });
                total(parts, &like)
            }
            Reach::Texture(texture) => {
                let like = texture.like(change)?;
                let parts = layers.flat_map(|(a, b)| [(a, a, false), (b, a, true)]);
                let sums =
                    total(parts.map(|(own, first, new)| texture.scatter(change, own, first, new, draw, &like)), &like)?;
                texture.gather(&sums)
            }
        }
    }
}

/// The sum of arrays like `like`.
fn total(mut parts: impl Iterator<Item = Result<Tensor>>, like: &Tensor) -> Result<Tensor> {
    let Some(first) = parts.next() else {
        return Ok(Tensor::zeros(like.device(), like.dtype(), like.shape())?);
    };
    let add = Map::cached("stochastic/add", |m| {
        let (a, b) = (m.item::<4>("a"), m.item::<4>("b"));
        m.output("sum", &[0, 1, 2, 3].map(|k| a[k] + b[k]));
    });
    parts.try_fold(first?, |sum, part| Ok(add.run(&[&sum, &part?], &CallParams::default())?.remove(0)))
}

/// 1 where a marked triangle is seen in either render, or `inside` was 1 before.
fn seen_map() -> Map {
    Map::cached("stochastic/seen", |m| {
        let [before] = m.item("inside");
        let ([a], [b]) = (m.item_int("a"), m.item_int("b"));
        let marked = m.table_int::<1>("marked");
        let seen = |t: IntExpr| IntExpr::from(0).less(t).and(marked.fetch(t - 1)[0].equals(0).not());
        m.output("inside", &[seen(a).or(seen(b)).select(1.0, before)]);
    })
}

/// Adds each pixel's change to the vertices of the triangles that it shows in either render, once to each.
fn vertices_map() -> Map {
    Map::cached("stochastic/vertices", |m| {
        let change = m.item::<4>("change");
        let ([a], [b]) = (m.item_int("a"), m.item_int("b"));
        let corners = m.table_int::<3>("corners");
        let like = m.table::<4>("like");
        let rows = |t: IntExpr| {
            let seen = IntExpr::from(0).less(t);
            corners.fetch(t - 1).map(|row| seen.select_int(row, -1))
        };
        let (first, second) = (rows(a), rows(b));
        let mut adds = vec![];
        let mut add = |row: IntExpr, new: Option<Expr>| {
            let outside = row.less(0);
            let value = change.map(|c| outside.select(0.0, new.unwrap_or(1.0.into()) * c));
            adds.push((outside.select_int(0, row), value));
        };
        first.into_iter().for_each(|row| add(row, None));
        for row in second {
            let known = first[0].equals(row).or(first[1].equals(row)).or(first[2].equals(row));
            add(row, Some(known.select(0.0, 1.0)));
        }
        m.scatter("sums", like, &adds);
    })
}
