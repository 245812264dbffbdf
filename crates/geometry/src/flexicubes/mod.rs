//! FlexiCubes: surfaces of sampled fields that can be differentiated by the field.

mod maps;
#[cfg(test)]
mod tests;

use crate::isosurface::{Border, Dual, SampleGrid};
use crate::{Error, Result};
use lumigrad_core::ops::concat;
use lumigrad_core::{CallParams, DType, Device, Tensor, Var};

/// How quads become triangles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Two triangles, along the diagonal whose ends have the larger product of γ; of equals the first. γ has no gradient.
    Diagonals,
    /// Four triangles around a centre, which γ draws to the middle of one diagonal or the other: for optimisation.
    Centres,
}

/// Surfaces of a field on a grid, with numbers that move their vertices within cells: what shapes of any topology and with
/// sharp edges are optimised as.
///
/// - `values` \[N\] at the samples, negative inside, x fastest. Those on the grid's outermost samples should be positive, or
///   the surface has a border there.
/// - `deformations` [N, 3] move samples: by 0.49·tanh of them, in spacings.
/// - `weights` [C, 21] of each cell (x fastest): eight α of its corners (corner x + 2y + 4z at (x, y, z)), twelve β of its
///   edges (4a + k runs along axis a; the bits of k are its place on axes a + 1 and a + 2, modulo 3) and γ, before the
///   functions that keep them positive: α, β = 0.99·tanh(w) + 1, γ = 0.99·sigmoid(w) + 0.005. At 0 the surface is that of
///   dual marching cubes.
///
/// The crossing of an edge with ends i and j is u = (s_i α_i x_j − s_j α_j x_i)/(s_i α_i − s_j α_j), a vertex
/// v = Σ β u / Σ β over the crossings of its sheet. Which vertices there are and how they are connected is decided on the host
/// by the signs alone, so that the surface is as [`Dual`] has it.
///
/// **Source**: Shen et al., "Flexible Isosurface Extraction for Gradient-Based Mesh Optimization", 2023, sections 4.2 to 4.4.
#[derive(Clone, Debug)]
pub struct FlexiCubes {
    grid: SampleGrid,
}

/// A surface, and what it was made from.
pub struct FlexiSurface {
    /// Vertices of sheets, and after them centres of quads where it was [cut](Cut::Centres) so, [V, 3].
    pub positions: Var,
    /// Counter-clockwise from the positive side.
    pub triangles: Vec<[u32; 3]>,
    /// How the vertices of sheets are connected.
    pub dual: Dual,
    tables: Tables,
    /// Where edges are crossed, one row per edge of each sheet, [E, 3].
    crossings: Var,
    /// Vertices of sheets, [S, 3].
    sheets: Var,
}

/// What is read from where.
struct Tables {
    /// Samples at the ends of the edges of all sheets, u32 [E, 2].
    ends: Tensor,
    /// Their α, α and β in the weights, u32 [E, 3].
    weights: Tensor,
    /// The edges of each sheet, u32 [S + 1].
    offsets: Tensor,
    /// The sheet of each edge, u32 [E].
    sheets: Tensor,
    /// Samples at the ends of the edges that quads are around, u32 [Q, 2].
    around: Tensor,
    /// Vertices of quads, u32 [Q, 4].
    quads: Tensor,
    /// Their γ in the weights, u32 [Q, 4].
    gammas: Tensor,
}

impl FlexiCubes {
    /// Weights of a cell.
    pub const WEIGHTS: usize = 21;

    /// Surfaces on a grid.
    ///
    /// # Errors
    /// A grid without place or extent, or with 2³¹ weights or more.
    pub fn new(grid: SampleGrid) -> Result<Self> {
        grid.check(grid.size.iter().try_fold(1usize, |n, &k| n.checked_mul(k)).unwrap_or(0))?;
        match grid.n_samples().checked_mul(Self::WEIGHTS) {
            Some(n) if n < i32::MAX as usize => Ok(Self { grid }),
            _ => Err(Error::TooLarge { vertices: grid.n_samples() }),
        }
    }

    /// The grid.
    pub fn grid(&self) -> &SampleGrid {
        &self.grid
    }

    /// Cells in all: the rows of the weights.
    pub fn n_cells(&self) -> usize {
        self.grid.size.iter().map(|n| n.saturating_sub(1)).product()
    }

    /// The surface for values \[N\], deformations [N, 3] and weights [C, 21].
    ///
    /// **Gradients** to all three (but see [`Cut::Diagonals`]), exact while no sign changes; that of a crossing grows as both
    /// its ends near 0, where the difference of the ends is held above 1e-8. **Determinism**: the same bits for any number of
    /// threads; gradients are scattered, in a fixed order on the CPU and in any on a GPU. **Cost**: reads the values back to
    /// the host, which makes the tables.
    ///
    /// # Errors
    /// Shapes that do not fit the grid.
    pub fn surface(&self, values: &Var, deformations: &Var, weights: &Var, cut: Cut) -> Result<FlexiSurface> {
        let n = self.grid.n_samples();
        for (name, found, expected) in [
            ("values", values, [n, 1]),
            ("deformations", deformations, [n, 3]),
            ("weights", weights, [self.n_cells(), Self::WEIGHTS]),
        ] {
            if found.len() != expected.iter().product::<usize>() {
                return Err(lumigrad_core::Error::shape(name, found.shape(), format!("{expected:?}")).into());
            }
        }
        let samples = values.tensor().cast(DType::F32)?.to_vec::<f32>()?;
        let dual = Dual::new(&samples, &self.grid, 0.0, Border::Open)?;
        let tables = self.tables(&dual, values.device())?;
        let (crossings, shares) = self.crossings(&tables, values, deformations, weights)?;
        let sheets = maps::quotients().apply(&[&shares.segment_sum(&tables.offsets)?])?.remove(0);
        let [ids, gammas] = [&tables.quads, &tables.gammas].map(|t| Var::from(t.clone()));
        let (positions, triangles) = match cut {
            Cut::Centres => {
                let centres = maps::centres().apply(&[&ids, &gammas, &sheets, weights])?.remove(0);
                let first = dual.cells.len() as u32;
                let fan = |(q, &[a, b, c, d]): (usize, &[u32; 4])| {
                    let centre = first + q as u32;
                    [[a, b, centre], [b, c, centre], [c, d, centre], [d, a, centre]]
                };
                (concat(&[&sheets, &centres], 0)?, dual.quads.iter().enumerate().flat_map(fan).collect())
            }
            Cut::Diagonals => {
                let products = maps::products().apply(&[&gammas, &weights.stop_gradient()])?.remove(0);
                let products = products.tensor().cast(DType::F32)?.to_vec::<f32>()?;
                let halves = |(&[a, b, c, d], p): (&[u32; 4], &[f32])| match p[1] > p[0] {
                    true => [[a, b, d], [b, c, d]],
                    false => [[a, b, c], [a, c, d]],
                };
                (sheets.clone(), dual.quads.iter().zip(products.chunks_exact(2)).flat_map(halves).collect())
            }
        };
        Ok(FlexiSurface { positions, triangles, dual, tables, crossings, sheets })
    }

    /// Crossings [E, 3], and β times them with β [E, 4].
    fn crossings(&self, tables: &Tables, values: &Var, deformations: &Var, weights: &Var) -> Result<(Var, Var)> {
        let [ends, columns] = [&tables.ends, &tables.weights].map(|t| Var::from(t.clone()));
        let [nx, ny, _] = self.grid.size.map(|n| n as i32);
        let real = [self.grid.origin, self.grid.spacing].concat();
        let call = CallParams { items: 0, real, int: vec![nx, ny] };
        let mut found = maps::crossings().apply_with(&[&ends, &columns, values, deformations, weights], call)?;
        let shares = found.remove(1);
        Ok((found.remove(0), shares))
    }

    fn tables(&self, dual: &Dual, device: &Device) -> Result<Tables> {
        let [nx, ny, _] = self.grid.size;
        let sample = |[x, y, z]: [u32; 3]| x + nx as u32 * (y + ny as u32 * z);
        let cell = |[x, y, z]: [u32; 3]| (x + (nx as u32 - 1) * (y + (ny as u32 - 1) * z)) * Self::WEIGHTS as u32;
        let (mut ends, mut weights, mut offsets, mut sheets) = (vec![], vec![], vec![0u32], vec![]);
        for (k, (&at, &crossed)) in dual.cells.iter().zip(&dual.edges).enumerate() {
            for edge in (0..12).filter(|edge| crossed >> edge & 1 == 1) {
                let corners = Dual::corners(edge);
                ends.push(corners.map(|c| sample(std::array::from_fn(|axis| at[axis] + (c >> axis & 1)))));
                weights.push([corners[0], corners[1], 8 + edge as u32].map(|w| cell(at) + w));
                sheets.push(k as u32);
            }
            offsets.push(ends.len() as u32);
        }
        let around: Vec<[u32; 2]> = dual
            .around
            .iter()
            .map(|&(at, axis)| [sample(at), sample(std::array::from_fn(|c| at[c] + (c == axis as usize) as u32))])
            .collect();
        let gammas: Vec<[u32; 4]> =
            dual.quads.iter().map(|q| q.map(|v| cell(dual.cells[v as usize]) + Self::WEIGHTS as u32 - 1)).collect();
        let rows = |data: &[u32], width: usize| Tensor::from_slice(device, data, &[data.len() / width, width]);
        Ok(Tables {
            ends: rows(ends.as_flattened(), 2)?,
            weights: rows(weights.as_flattened(), 3)?,
            offsets: Tensor::from_slice(device, &offsets, &[offsets.len()])?,
            sheets: rows(&sheets, 1)?,
            around: rows(around.as_flattened(), 2)?,
            quads: rows(dual.quads.as_flattened(), 4)?,
            gammas: rows(gammas.as_flattened(), 4)?,
        })
    }
}

impl FlexiSurface {
    /// How unequal the distances of vertices from the crossings of their sheets are: the mean over all crossings of
    /// ||v − u| − mean over the sheet|, shape []. Keeps vertices in the middle of their sheets where nothing else moves them.
    ///
    /// **Gradients** to all that the surface was made from.
    pub fn deviation(&self) -> Result<Var> {
        let t = &self.tables;
        let ids = Var::from(t.sheets.clone());
        let distances = maps::distances().apply(&[&ids, &self.crossings, &self.sheets])?.remove(0);
        let means = maps::quotient().apply(&[&distances.segment_sum(&t.offsets)?])?.remove(0);
        let sum = maps::deviations().apply(&[&ids, &distances, &means])?.remove(0);
        Ok(sum.reshape(&[])?.scale(1.0 / t.sheets.len().max(1) as f64)?)
    }

    /// How far the ends of crossed edges are from having one sign: the mean over edges of the binary cross entropies of
    /// either end, as a logit of so many per unit of the field, with the sign of the other; shape []. What nothing supports
    /// dissolves.
    ///
    /// **Gradients** to the values.
    pub fn sign_entropy(&self, values: &Var, logits: f64) -> Result<Var> {
        let around = Var::from(self.tables.around.clone());
        let call = CallParams { items: 0, real: vec![logits], int: vec![] };
        let sum = maps::sign_entropies().apply_with(&[&around, values], call)?.remove(0);
        Ok(sum.reshape(&[])?.scale(1.0 / (self.tables.around.len() / 2).max(1) as f64)?)
    }
}
