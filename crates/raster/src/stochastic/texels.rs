//! The pixels that texels reach: through the coarsest mip level that a pixel reads, whose 2 × 2 texels stand for all finer
//! ones that it reads.

use super::Visible;
use super::units::Units;
use crate::Result;
use crate::surface::pixel_of;
use crate::texture::{Levels, wrap_coordinate, wrap_index};
use lumigrad_core::map::{BoolExpr, Builder, CallParams, Expr, IntExpr, IntTable, Map};
use lumigrad_core::ops::{random, slice_tensor};
use lumigrad_core::{DType, Device, Tensor};
use lumigrad_scene::{Sampler, Wrap};

/// Levels above the finest that an isolated pixel, whose footprint is not known, is taken to read.
const ISOLATED: f64 = 3.0;

/// Where a texture is seen.
#[derive(Clone, Debug)]
pub struct TextureReach {
    /// Triangles that show it: u32 `[T]`, not 0 = marked.
    pub triangles: Tensor,
    /// Pixels in a row of the pictures.
    pub picture_width: usize,
    /// Set of texture coordinates, 0 or 1.
    pub set: usize,
    /// From texture coordinates of the mesh to those of the texture: u' = t₀u + t₁v + t₂, v' = t₃u + t₄v + t₅.
    pub transform: [f64; 6],
    /// How coordinates wrap.
    pub sampler: Sampler,
    size: [usize; 2],
    block: usize,
    /// Mip levels from the blocks up.
    levels: Levels,
    table: Tensor,
    /// By scale.
    units: Vec<Units>,
}

impl TextureReach {
    /// A texture of `width` × `height` texels on the triangles marked. All texels have signs of their own; see
    /// [`TextureReach::units_of`].
    pub fn new(triangles: Tensor, (width, height): (usize, usize), picture_width: usize) -> Result<Self> {
        let levels = Levels::new(width, height);
        Ok(Self {
            table: levels.table(triangles.device())?,
            levels,
            triangles,
            picture_width,
            set: 0,
            transform: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            sampler: Sampler::default(),
            size: [width, height],
            block: 0,
            units: vec![Units::single(width * height)],
        })
    }

    /// Scales that suit optimisation.
    pub const SCALES: usize = 5;

    /// Gives texels one sign that no pixel of `layers` tells apart: a pixel that reads mip levels from ℓ up sees nothing but
    /// means of 2^ℓ × 2^ℓ texels. The estimate is the same with much less noise. For samplers without mip maps texels stay
    /// by themselves.
    ///
    /// With several `scales` most draws move squares of up to 2^(scales − 1) such units a side as one, which still less
    /// noise gives the mean gradient over the square: coarse changes are learnt in few steps. The mean over draws is then
    /// the gradient as seen at all these scales; with one scale it is the gradient.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn units_of(mut self, layers: &[Visible], scales: usize) -> Result<Self> {
        if self.sampler.mip.is_none() {
            return Ok(self);
        }
        let mut reads: Vec<[f32; 3]> = vec![];
        for layer in layers {
            let inputs = [&layer.triangles, &self.triangles, &layer.texcoords, &layer.triangles, &self.table];
            let found =
                footprint_map().run(&inputs, &self.call(false, 0))?.remove(0).cast(DType::F32)?.to_vec::<f32>()?;
            reads.extend(found.as_chunks::<3>().0.iter().filter(|r| r[2] >= 0.0));
        }
        let mut lods: Vec<f32> = reads.iter().map(|r| r[2]).collect();
        lods.sort_by(f32::total_cmp);
        // A few pixels at grazing triangles have footprints that mean nothing.
        let finest = lods.get(lods.len() / 50).map_or(0, |l| *l as usize);
        self.block = finest.min(self.levels.levels.len() - 1);
        let first = self.levels.levels[self.block].0;
        let coarser = self.levels.levels[self.block..].iter().map(|&(f, w, h)| (f - first, w, h));
        self.levels = Levels { levels: coarser.collect() };
        self.table = self.levels.table(self.triangles.device())?;
        self.units = (0..scales.max(1)).map(|scale| self.units_at(scale, &reads)).collect();
        Ok(self)
    }

    /// Units of pixels that read at (u, v, level of detail), `scale` octaves coarser.
    fn units_at(&self, scale: usize, reads: &[[f32; 3]]) -> Units {
        let levels = &self.levels.levels;
        let last = levels.len() - 1;
        Units::new(levels, 1 << self.block, |mark| {
            for [u, v, lod] in reads {
                let level = (*lod as usize).saturating_sub(self.block);
                let (level, above) = ((level + scale).min(last), (level + scale.max(1)).min(last));
                let (_, w, h) = levels[above];
                for [x, y] in corners([*u, *v], [w, h], [self.sampler.wrap_s, self.sampler.wrap_t]) {
                    mark(above, y * w + x, level);
                }
            }
        })
    }

    /// The scale of a draw: one in sixteen is of the finest units, of the rest three in four of the next ones.
    fn scale(&self, draw: u64) -> usize {
        let bits = random::hash(draw, 0x5ca1e);
        let coarse = 1 + ((bits >> 4) | (bits >> 20) | 1 << 16).trailing_zeros() as usize;
        if bits & 15 == 0 { 0 } else { coarse.min(self.units.len() - 1) }
    }

    /// For each block, the number of its unit in this draw.
    pub(super) fn unit_numbers(&self, draw: u64) -> &[u32] {
        &self.units[self.scale(draw)].numbers
    }

    /// For each block, one over the texels of its unit in this draw, [blocks, 1].
    pub(super) fn shares(&self, draw: u64, like: &Tensor) -> Result<Tensor> {
        let shares = &self.units[self.scale(draw)].shares;
        let host = Tensor::from_slice(&Device::cpu(), shares, &[shares.len(), 1])?;
        Ok(host.cast(like.dtype())?.to_device(like.device())?)
    }

    /// Integer parameters of [`block_of`].
    pub(super) fn block_params(&self) -> Vec<i32> {
        [self.size[0], 1 << self.block, self.levels.levels[0].1].map(|x| x as i32).to_vec()
    }

    /// An array with a row for each texel of the levels.
    pub(super) fn like(&self, change: &Tensor) -> Result<Tensor> {
        Ok(Tensor::uninit(change.device(), change.dtype(), &[self.levels.texels(), 4])?)
    }

    fn call(&self, only_new: bool, scale: usize) -> CallParams {
        let int = vec![self.picture_width as i32, self.set as i32, only_new as i32, scale.max(1) as i32];
        CallParams { items: 0, real: self.transform.to_vec(), int }
    }

    /// Adds each pixel's change to the texels of its level. With `only_new` pixels that show the same triangle in `first`
    /// are left out: they were counted there.
    pub(super) fn scatter(
        &self,
        change: &Tensor,
        own: &Visible,
        first: &Visible,
        only_new: bool,
        draw: u64,
        like: &Tensor,
    ) -> Result<Tensor> {
        let inputs = [
            &own.triangles,
            &self.triangles,
            &own.texcoords,
            &own.triangles,
            &self.table,
            &first.triangles,
            change,
            like,
        ];
        Ok(scatter_map(&self.sampler).run(&inputs, &self.call(only_new, self.scale(draw)))?.remove(0))
    }

    /// The sum for each block: its own and those of all coarser texels around it.
    pub(super) fn gather(&self, sums: &Tensor) -> Result<Tensor> {
        let map = Map::cached("stochastic/finer", |m| {
            let own = m.item::<4>("own");
            let coarse = m.table::<4>("coarse");
            let (w, coarse_w) = (m.int_param(), m.int_param());
            let [x, y] = pixel_of(m.index(), w);
            let whole = coarse.fetch(y.quotient(2) * coarse_w + x.quotient(2));
            m.output("sum", &[0, 1, 2, 3].map(|k| own[k] + whole[k]));
        });
        let part = |&(first, w, h): &(usize, usize, usize)| slice_tensor(sums, 0, first, first + w * h);
        let levels = &self.levels.levels;
        let mut coarse = part(levels.last().expect("at least one level"))?;
        for pair in levels.windows(2).rev() {
            let call = CallParams { items: 0, real: vec![], int: vec![pair[0].1 as i32, pair[1].1 as i32] };
            coarse = map.run(&[&part(&pair[0])?, &coarse], &call)?.remove(0);
        }
        Ok(coarse)
    }
}

/// The block of this item's texel. Takes integer parameters: width of the texture, side of a block, blocks in a row.
pub(super) fn block_of(m: &mut Builder) -> IntExpr {
    let [w, side, blocks] = std::array::from_fn(|_| m.int_param());
    let [x, y] = pixel_of(m.index(), w);
    y.quotient(side) * blocks + x.quotient(side)
}

/// A pixel's place in a texture.
struct Place {
    /// The texture is seen there.
    seen: BoolExpr,
    triangle: IntExpr,
    uv: [Expr; 2],
    /// Level of detail, counted from the finest of the levels, at least 0.
    lod: Expr,
    levels: IntTable<3>,
    only_new: IntExpr,
    scale: IntExpr,
}

/// Declares (in this order): triangle, marked, texcoords, triangles, levels, and the parameters of [`TextureReach::call`].
fn place(m: &mut Builder) -> Place {
    let [triangle] = m.item_int("triangle");
    let marked = m.table_int::<1>("marked");
    let texcoords = m.table::<4>("texcoords");
    let triangles = m.table_int::<1>("triangles");
    let levels = m.table_int::<3>("levels");
    let t: [Expr; 6] = std::array::from_fn(|_| m.param());
    let [width, set, only_new, scale] = std::array::from_fn(|_| m.int_param());
    let shows = |t: IntExpr| IntExpr::from(0).less(t).and(marked.fetch(t - 1)[0].equals(0).not());
    let at = |pixel: IntExpr| -> [Expr; 2] {
        let c = texcoords.fetch(pixel);
        let second = set.equals(1);
        let (u, v) = (second.select(c[2], c[0]), second.select(c[3], c[1]));
        [t[0] * u + t[1] * v + t[2], t[3] * u + t[4] * v + t[5]]
    };
    let (pixel, [x, y]) = (m.index(), pixel_of(m.index(), width));
    let uv = at(pixel);
    let [_, w, h] = levels.fetch(0.into());
    let height = triangles.rows().quotient(width);
    // The change to a neighbour along an axis: of the same triangle if there is one, else of one with this texture.
    let across = |place: IntExpr, count: IntExpr, stride: IntExpr| {
        let (next, last) = (pixel + stride, pixel - stride);
        let (has_next, has_last) = ((place + 1).less(count), IntExpr::from(0).less(place));
        let of = |p: IntExpr| triangles.fetch(p)[0];
        let same = |has: BoolExpr, p: IntExpr| has.and(of(p).equals(triangle));
        let like = |has: BoolExpr, p: IntExpr| has.and(shows(of(p)));
        let any = like(has_next, next).select_int(next, like(has_last, last).select_int(last, pixel));
        let neighbour = same(has_next, next).select_int(next, same(has_last, last).select_int(last, any));
        let there = at(neighbour);
        ((there[0] - uv[0]) * w.to_real()).square() + ((there[1] - uv[1]) * h.to_real()).square()
    };
    let larger = across(x, width, 1.into()).max(across(y, height, width));
    let measured = larger.max(1.0).ln() * (0.5 / std::f64::consts::LN_2);
    let lod = larger.less_eq(0.0).select(ISOLATED, measured);
    Place { seen: shows(triangle), triangle, uv, lod, levels, only_new, scale }
}

/// Texture coordinates and level of detail of each pixel, −1 where the texture is not seen.
fn footprint_map() -> Map {
    Map::cached("stochastic/footprint", |m| {
        let place = place(m);
        m.output("footprint", &[place.uv[0], place.uv[1], place.seen.select(place.lod, -1.0)]);
    })
}

/// The four texels around a place, on the host.
fn corners(uv: [f32; 2], size: [usize; 2], wraps: [Wrap; 2]) -> [[usize; 2]; 4] {
    let along = |k: usize| -> [usize; 2] {
        let n = size[k] as i64;
        let u = match wraps[k] {
            Wrap::Repeat => uv[k] - uv[k].floor(),
            Wrap::MirroredRepeat => 1.0 - (2.0 * (0.5 * uv[k] - (0.5 * uv[k]).floor()) - 1.0).abs(),
            Wrap::ClampToEdge => uv[k].clamp(0.0, 1.0),
        };
        let corner = (u * n as f32 - 0.5).floor() as i64;
        [corner, corner + 1].map(|x| match wraps[k] {
            Wrap::Repeat => x.rem_euclid(n) as usize,
            _ => x.clamp(0, n - 1) as usize,
        })
    };
    let ([x0, x1], [y0, y1]) = (along(0), along(1));
    [[x0, y0], [x1, y0], [x0, y1], [x1, y1]]
}

fn scatter_map(sampler: &Sampler) -> Map {
    let (wraps, mipmapped) = ([sampler.wrap_s, sampler.wrap_t], sampler.mip.is_some());
    Map::cached(&format!("stochastic/texels {wraps:?} {mipmapped}"), |m| {
        let place = place(m);
        let ([first], change) = (m.item_int("first"), m.item::<4>("change"));
        let like = m.table::<4>("like");
        let known = place.only_new.equals(1).and(first.equals(place.triangle));
        let counted = place.seen.and(known.not());
        let level = match mipmapped {
            // The coarser one of the two levels that are read.
            true => {
                let coarser = (place.lod.floor().to_int() + place.scale).min(place.levels.rows() - 1);
                place.lod.less_eq(0.0).select_int((place.scale - 1).min(place.levels.rows() - 1), coarser)
            }
            false => 0.into(),
        };
        let [offset, w, h] = place.levels.fetch(level);
        let texels = |k: usize, n: IntExpr| {
            let corner = (wrap_coordinate(place.uv[k], wraps[k]) * n.to_real() - 0.5).floor().to_int();
            [wrap_index(corner, n, wraps[k]), wrap_index(corner + 1, n, wraps[k])]
        };
        let (x, y) = (texels(0, w), texels(1, h));
        let mut adds = vec![];
        for (j, i) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            // At borders and in levels of one texel both are the same.
            let twice = |k: usize, v: [IntExpr; 2]| if k == 1 { v[0].equals(v[1]) } else { IntExpr::from(0).less(0) };
            let again = twice(i, x).or(twice(j, y));
            let row = offset + y[j] * w + x[i];
            adds.push((row, change.map(|c| counted.and(again.not()).select(c, 0.0))));
        }
        m.scatter("sums", like, &adds);
    })
}
