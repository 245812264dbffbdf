//! Image-based light: prefiltering of an environment, and its lookup in shading maps (the split-sum approximation).
//!
//! **Storage.** One table [T, 3]: radiance blurred by GGX lobes of roughness 0, 0.1, … 1, then irradiance / π, each on an
//! octahedral grid (see [`octahedral`]) whose nodes have no seam and no pole. A second table holds (first row, cells a
//! side) of each grid. Roughness 0 is the map itself at about its own resolution; a lobe's grid has four nodes across its
//! half-power width, at most 256 cells.
//!
//! **Prefiltering is linear** in the texels: equirectangular map → base grid → pyramid of halved grids → lobes, whose
//! cells each read the pyramid's level of their size. Each step is a constant sparse matrix with rows of sum 1. For a map
//! that is not recorded the product is formed on the fly, in f64; for a recorded one the matrices are kept, and
//! derivatives are exact.

pub mod brdf_table;
pub mod octahedral;
mod sparse;
mod weights;

pub(crate) use sparse::SparseRows;

use super::brdf::{MIN_COSINE, Substance};
use lumigrad_core::map::{Builder, Expr, IntExpr, IntTable, Table, vector};
use lumigrad_core::{DType, Device, Error, Result, Tensor, Var, ops};
use octahedral::Grid;
use sparse::{Sparse, product};
use std::sync::{Arc, Mutex};
use weights::{Pyramid, Rows};

/// Intervals of roughness between lobes.
const LOBES: usize = 10;
/// Texels of the largest map whose matrices are kept.
const MAX_RECORDED_TEXELS: usize = 512 * 256;

/// Integration: samples a cell and axis of the base grid, sectors of a ring, share of a lobe's energy that is left out.
/// With a sun of two texels, 16 sectors are within 1 % of many; 8 make metals 2 to 4 % too bright.
#[derive(Clone, Copy)]
struct Quality {
    samples: usize,
    sectors: usize,
    rest: f64,
}
/// For maps too large to be optimised, and for those whose matrices are applied at every step.
const LARGE: Quality = Quality { samples: 4, sectors: 16, rest: 1e-3 };
const SMALL: Quality = Quality { samples: 4, sectors: 10, rest: 1e-2 };

/// Light from all directions, ready for lookup.
#[derive(Clone, Debug)]
pub struct PrefilteredEnvironment {
    /// All grids, [T, 3].
    pub texels: Var,
    /// (first row, cells a side) of each grid, i32 [12, 2].
    pub levels: Var,
    /// [`brdf_table`], [2145, 5].
    pub brdf: Var,
}

impl PrefilteredEnvironment {
    /// The inputs that [`EnvironmentTables::declare`] declares, in order.
    pub fn inputs(&self) -> [&Var; 3] {
        [&self.texels, &self.levels, &self.brdf]
    }
}

/// Prefilters equirectangular maps of one size.
pub struct Prefilter {
    width: usize,
    height: usize,
    device: Device,
    dtype: DType,
    pyramid: Pyramid,
    grids: Vec<Grid>,
    stages: Mutex<Option<Stages>>,
    levels: Tensor,
    brdf: Tensor,
}

/// Kept matrices: base grid, halvings, lobes and irradiance.
#[derive(Clone)]
struct Stages {
    base: Arc<Sparse>,
    halvings: Vec<Arc<Sparse>>,
    lobes: Vec<Arc<Sparse>>,
}

impl Prefilter {
    /// For maps [height, width, 3] of this type on this device.
    pub fn new(height: usize, width: usize, device: &Device, dtype: DType) -> Result<Self> {
        if height == 0 || width == 0 {
            return Err(Error::shape("an environment", &[height, width, 3], "[height, width, 3], not empty"));
        }
        let n = height.next_power_of_two().clamp(8, 512);
        let mut grids = vec![Grid { n }];
        grids.extend((1..=LOBES).map(|k| Grid { n: weights::cells_for(k as f64 / LOBES as f64, n) }));
        grids.push(Grid { n: (n / 4).clamp(16, 32) });
        let mut first = 0;
        let rows: Vec<i32> = grids
            .iter()
            .flat_map(|g| {
                let row = [first, g.n as i32];
                first += g.nodes() as i32;
                row
            })
            .collect();
        let brdf =
            Tensor::from_slice(&Device::cpu(), brdf_table::values().as_flattened(), &[brdf_table::values().len(), 5])?;
        Ok(Self {
            width,
            height,
            device: device.clone(),
            dtype,
            pyramid: Pyramid::new(n),
            stages: Mutex::new(None),
            levels: Tensor::from_slice(device, &rows, &[grids.len(), 2])?,
            brdf: brdf.cast(dtype)?.to_device(device)?,
            grids,
        })
    }

    /// Prefilters a map [height, width, 3] of linear radiance (row 0 = +Y; u = 0.5 + atan2(z, x) / 2π).
    ///
    /// **Gradients** flow to every texel. The matrices are made at the first recorded map and kept.
    ///
    /// # Errors
    /// Another shape; a recorded map of more than 512 × 256 texels (downsample it: its matrices would not fit).
    pub fn apply(&self, equirect: &Var) -> Result<PrefilteredEnvironment> {
        let texels = self.width * self.height;
        if equirect.len() != 3 * texels {
            let expected = format!("[{}, {}, 3]", self.height, self.width);
            return Err(Error::shape("an environment", equirect.shape(), expected));
        }
        let table = match equirect.is_recorded() {
            true if texels > MAX_RECORDED_TEXELS => {
                let expected = format!("at most {MAX_RECORDED_TEXELS} texels to be optimised; downsample the map");
                return Err(Error::shape("an environment", equirect.shape(), expected));
            }
            true => self.recorded(&equirect.reshape(&[texels, 3])?)?,
            false => self.once(equirect.tensor())?,
        };
        Ok(PrefilteredEnvironment { texels: table, levels: self.levels.clone().into(), brdf: self.brdf.clone().into() })
    }

    /// The same for recorded and other maps, so that both give the same light.
    fn quality(&self) -> Quality {
        if self.width * self.height > MAX_RECORDED_TEXELS { LARGE } else { SMALL }
    }

    /// Calls `f` for the lobes and the irradiance.
    fn lobes<T>(&self, mut f: impl FnMut(&Rows) -> Result<T>) -> Result<Vec<T>> {
        let quality = self.quality();
        (1..self.grids.len())
            .map(|k| {
                let grid = self.grids[k];
                let rows = match k <= LOBES {
                    true => {
                        let roughness = k as f64 / LOBES as f64;
                        // Wide lobes have few rings and few nodes: they can afford more sectors.
                        let sectors = if k > 3 { quality.sectors + 8 } else { quality.sectors };
                        weights::specular(&self.pyramid, grid, roughness, sectors, quality.rest)
                    }
                    false => weights::irradiance(&self.pyramid, grid),
                };
                f(&rows)
            })
            .collect()
    }

    fn once(&self, equirect: &Tensor) -> Result<Var> {
        let flat = equirect.to_f64_vec()?;
        let texels: Vec<[f64; 3]> = flat.chunks_exact(3).map(|t| [t[0], t[1], t[2]]).collect();
        let mut pyramid =
            product(&weights::base(self.width, self.height, self.grids[0], self.quality().samples), &texels);
        let mut table = pyramid.clone();
        for (first, grid) in &self.pyramid.levels[..self.pyramid.levels.len() - 1] {
            let coarse = product(&weights::halved(*grid), &pyramid[*first..]);
            pyramid.extend(coarse);
        }
        for lobe in self.lobes(|rows| Ok(product(rows, &pyramid)))? {
            table.extend(lobe);
        }
        let table = Tensor::from_slice(&Device::cpu(), table.as_flattened(), &[table.len(), 3])?;
        Ok(table.cast(self.dtype)?.to_device(&self.device)?.into())
    }

    fn recorded(&self, texels: &Var) -> Result<Var> {
        let stages = self.stages()?;
        let base = stages.base.apply(texels)?;
        let mut grids = vec![base.clone()];
        for halving in &stages.halvings {
            let coarse = halving.apply(&grids[grids.len() - 1])?;
            grids.push(coarse);
        }
        let pyramid = ops::concat(&grids.iter().collect::<Vec<_>>(), 0)?;
        let mut table = vec![base];
        for lobe in &stages.lobes {
            table.push(lobe.apply(&pyramid)?);
        }
        ops::concat(&table.iter().collect::<Vec<_>>(), 0)
    }

    fn stages(&self) -> Result<Stages> {
        let mut kept = self.stages.lock().expect("no panic while held");
        if kept.is_none() {
            let keep = |rows: &Rows| Sparse::new(rows, &self.device, self.dtype).map(Arc::new);
            let base = keep(&weights::base(self.width, self.height, self.grids[0], self.quality().samples))?;
            let fine = &self.pyramid.levels[..self.pyramid.levels.len() - 1];
            let halvings = fine.iter().map(|(_, grid)| keep(&weights::halved(*grid))).collect::<Result<_>>()?;
            *kept = Some(Stages { base, halvings, lobes: self.lobes(keep)? });
        }
        Ok(kept.clone().expect("made above"))
    }
}

/// A prefiltered environment inside a map.
#[derive(Clone, Copy)]
pub struct EnvironmentTables {
    texels: Table<3>,
    levels: IntTable<2>,
    brdf: Table<5>,
}

impl EnvironmentTables {
    /// Declares the three inputs.
    pub fn declare(m: &mut Builder) -> Self {
        Self {
            texels: m.table("environment"),
            levels: m.table_int("levels of the environment"),
            brdf: m.table("directional albedo"),
        }
    }

    /// Radiance blurred by the lobe of a roughness in [0, 1], around a direction of any length but zero.
    pub fn specular(&self, direction: [Expr; 3], roughness: Expr) -> [Expr; 3] {
        let at = unfold(direction);
        let x = roughness.clamp(0.0, 1.0) * LOBES as f64;
        let low = x.floor().min(LOBES as f64 - 1.0);
        let level = low.to_int();
        vector::mix(self.fetch(at, level), self.fetch(at, level + 1), x - low)
    }

    /// Irradiance / π on a surface with this normal.
    pub fn diffuse(&self, normal: [Expr; 3]) -> [Expr; 3] {
        self.fetch(unfold(normal), IntExpr::from(LOBES as i32 + 1))
    }

    fn fetch(&self, at: [Expr; 2], level: IntExpr) -> [Expr; 3] {
        let [first, n] = self.levels.fetch(level);
        let cells = n.to_real();
        let x = at.map(|p| (p * 0.5 + 0.5) * cells);
        let low = x.map(|x| x.floor().max(0.0).min(cells - 1.0));
        let row = first + low[1].to_int() * (n + 1) + low[0].to_int();
        bilinear(self.texels, row, n + 1, x[0] - low[0], x[1] - low[1])
    }

    /// Radiance that a surface reflects of the environment; `occlusion` (1 = open) scales all of it.
    ///
    /// The specular part is the split sum: prefiltered radiance times directional albedo, where the lobe is looked up
    /// around its true mean direction rather than the mirrored one (which loses a fifth of the light on rough metals).
    pub fn reflect(&self, substance: &Substance, normal: [Expr; 3], view: [Expr; 3], occlusion: Expr) -> [Expr; 3] {
        let (around, [a, b, c]) = self.lobe(normal, view, substance.roughness);
        let irradiance = self.diffuse(normal);
        let (f0, f90) = substance.reflectance();
        let diffuse = substance.diffuse_color();
        let base = std::array::from_fn(|k| {
            let weight = 1.0 - f0[k] - (f90 - f0[k]) * c;
            weight * diffuse[k] * irradiance[k] + (f0[k] * a + f90 * b) * around[k]
        });
        let all = substance.coated(base, view, |coat| {
            let (around, [a, b, _]) = self.lobe(coat.normal, view, coat.roughness);
            vector::scale(around, a + b)
        });
        vector::scale(all, occlusion)
    }

    /// Prefiltered radiance around the lobe's mean direction, and the directional albedo.
    fn lobe(&self, normal: [Expr; 3], view: [Expr; 3], roughness: Expr) -> ([Expr; 3], [Expr; 3]) {
        let nv = vector::dot(normal, view);
        let mirrored = vector::sub(vector::scale(normal, 2.0 * nv), view);
        let [a, b, c, s, width] = brdf_table::lookup(self.brdf, nv.max(MIN_COSINE), roughness);
        (self.specular(vector::mix(normal, mirrored, s), width), [a, b, c])
    }
}

/// Place of a direction on the octahedral square.
fn unfold([x, y, z]: [Expr; 3]) -> [Expr; 2] {
    let inverse = 1.0 / (x.abs() + y.abs() + z.abs()).max(1e-20);
    let (p, q) = (x * inverse, z * inverse);
    let below = y.less(0.0);
    let outwards = |p: Expr, q: Expr| {
        let r = 1.0 - q.abs();
        below.select(p.less(0.0).select(-r, r), p)
    };
    [outwards(p, q), outwards(q, p)]
}

/// Rows `first`, `first` + 1 and those `stride` further, mixed.
fn bilinear<const N: usize>(
    table: Table<N>,
    first: IntExpr,
    stride: impl Into<IntExpr>,
    f: Expr,
    g: Expr,
) -> [Expr; N] {
    let below = first + stride.into();
    let [a, b, c, d] = [first, first + 1, below, below + 1].map(|row| table.fetch(row));
    vector::mix(vector::mix(a, b, f), vector::mix(c, d, f), g)
}
