//! Texture atlases: a surface cut into charts, each flat, all packed into one square.

mod charts;
mod fill;
mod flatten;
mod pack;
#[cfg(test)]
mod tests;
mod texels;

use crate::{Error, Result, check_indices};
use glam::{DVec2, DVec3};

pub use fill::fill_gaps;
pub use texels::Texels;

/// Rows and columns of an atlas at most.
const LARGEST: usize = 1 << 14;
/// No triangle.
pub(super) const NONE: u32 = u32::MAX;

/// How an atlas is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtlasOptions {
    /// Rows and columns of texels.
    pub size: usize,
    /// Texels that two charts are apart at least: 2 where colours are interpolated between texels, 2·2ᵏ for k mip levels.
    pub gutter: usize,
}

/// A surface cut along seams, with texture coordinates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Atlas {
    /// Rows and columns of texels that it was packed for.
    pub size: usize,
    /// The vertex of the uncut surface that each vertex was, \[V\].
    pub vertices: Vec<u32>,
    /// The same triangles, in order, of these vertices.
    pub triangles: Vec<[u32; 3]>,
    /// Texture coordinates from 0 to 1, [V, 2]; (0, 0) is the picture's top left. Charts look as they do from outside.
    pub uvs: Vec<[f32; 2]>,
    /// The chart of each triangle, \[T\].
    pub charts: Vec<u32>,
    /// How many charts there are.
    pub n_charts: usize,
    /// Texels along a unit of length, where the surface lies as its chart does.
    pub texels_per_unit: f64,
    /// Share of the texels that charts cover.
    pub filled: f64,
}

impl Atlas {
    /// Cuts a surface into charts of triangles that face about the same way, lays each flat along its mean normal, and packs all
    /// as large as they fit.
    ///
    /// No two triangles of a chart overlap, and charts are `gutter` texels apart. All charts have one scale; triangles that lie
    /// aslant in theirs are foreshortened, by 2.7 at most. Vertices at one position with different numbers are seams: weld them
    /// first. **Determinism**: the same for any machine. **Cost**: some 3 µs per triangle, and packing, which takes about
    /// 10 µs per chart and attempt.
    ///
    /// **Source**: charts grow as in Lévy, Petitjean, Ray & Maillot, "Least Squares Conformal Maps for Automatic Texture Atlas
    /// Generation", 2002, §3, of triangles like the proxies of Cohen-Steiner, Alliez & Desbrun, "Variational Shape Approximation",
    /// 2004; packing by horizons as in the former, §4.
    ///
    /// # Errors
    /// Indices out of range, positions that are not finite; a size of 0 or above 16 384, or so small that the gutters of the
    /// charts alone fill it.
    pub fn new(positions: &[[f32; 3]], triangles: &[[u32; 3]], options: &AtlasOptions) -> Result<Self> {
        check_indices(positions.len(), triangles)?;
        if let Some(vertex) = positions.iter().position(|p| !p.iter().all(|x| x.is_finite())) {
            return Err(Error::NotFinite { vertex });
        }
        let &AtlasOptions { size, gutter } = options;
        if !(1..=LARGEST).contains(&size) || gutter >= size {
            return Err(Error::Atlas { size, gutter, charts: 0 });
        }
        let places: Vec<DVec3> = positions.iter().map(|p| DVec3::from(p.map(f64::from))).collect();
        let charts = charts::charts(&places, triangles);
        let flat: Vec<_> = charts.iter().map(|c| flatten::upright(c, triangles)).collect();
        let Some(packed) = pack::pack(&flat, size, gutter.div_ceil(2)) else {
            return Err(Error::Atlas { size, gutter, charts: charts.len() });
        };
        let mut atlas = Self {
            size,
            triangles: triangles.to_vec(),
            charts: vec![0; triangles.len()],
            n_charts: charts.len(),
            texels_per_unit: packed.scale,
            ..Self::default()
        };
        // Vertices of a chart are numbered in order of appearance, chart by chart.
        let (mut number, mut of) = (vec![0u32; positions.len()], vec![NONE; positions.len()]);
        let mut area = 0.0;
        for (k, (chart, flat)) in charts.iter().zip(&flat).enumerate() {
            let place = |p: DVec2| packed.place(k, p) / size as f64;
            for (&t, corners) in chart.triangles.iter().zip(&flat.corners) {
                atlas.charts[t as usize] = k as u32;
                for (corner, p) in corners.iter().enumerate() {
                    let v = triangles[t as usize][corner] as usize;
                    if of[v] != k as u32 {
                        (of[v], number[v]) = (k as u32, atlas.vertices.len() as u32);
                        atlas.vertices.push(v as u32);
                        atlas.uvs.push(place(*p).as_vec2().to_array());
                    }
                    atlas.triangles[t as usize][corner] = number[v];
                }
                area += flatten::area(corners).abs();
            }
        }
        atlas.filled = area * packed.scale * packed.scale / (size * size) as f64;
        Ok(atlas)
    }

    /// The triangles, of the vertices of the uncut surface.
    pub fn uncut(&self) -> Vec<[u32; 3]> {
        self.triangles.iter().map(|t| t.map(|v| self.vertices[v as usize])).collect()
    }

    /// What was said of all vertices of the uncut surface, of the vertices of this.
    pub fn rows<T: Copy>(&self, all: &[T]) -> Vec<T> {
        self.vertices.iter().map(|&v| all[v as usize]).collect()
    }
}
