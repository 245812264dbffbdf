//! Shapes of any topology: a signed distance on a grid, whose surface FlexiCubes takes out anew in every step.

use super::variable::Variable;
use crate::{Error, Result};
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_geometry::{Cut, FlexiCubes, FlexiSurface, Keep, SampleGrid, SignedDistance, keep_parts};
use lumigrad_raster::{Bindings, Renderer};
use lumigrad_scene::{MeshData, Scene};

/// Cells of the grid beyond the mesh at the start, on each side.
const MARGIN: usize = 3;
/// Values at the start reach so many spacings: what is far from the surface must not take longer to change its sign.
const REACH: f32 = 1.0;
/// The least value on the border of the grid: the surface stays within.
const BORDER: f64 = 0.1;
/// Rates of values (in spacings), deformations and weights.
const RATES: [f64; 3] = [0.05, 0.02, 0.02];
/// Weights of what keeps vertices in the middle of their sheets, per spacing, at the start and at the end.
const DEVIATION: (f64, f64) = (0.02, 0.002);
/// Weights of what dissolves surface that no picture supports, at the start and at the end.
const ENTROPY: (f64, f64) = (0.01, 0.0005);
/// Parts of the result with less of its area are left out.
const SPECK: f64 = 0.005;
/// Logits of signs per spacing.
const LOGITS: f64 = 2.0;

/// What is optimised: values [N], deformations [N, 3] and weights [C, 21] of the grid.
pub const POINTERS: [&str; 3] = ["/surface/values", "/surface/deformations", "/surface/weights"];

/// A primitive whose geometry is the surface of a field.
pub struct Flexible {
    cubes: FlexiCubes,
    /// The mesh and the primitive.
    place: (usize, usize),
    /// What values are at least, [N].
    floor: Tensor,
    device: Device,
}

impl Flexible {
    /// The only primitive of a scene, on a grid of about so many cells along its longest side.
    ///
    /// # Errors
    /// A scene with several primitives, or one without extent.
    pub fn new(scene: &Scene, cells: usize, device: &Device) -> Result<Self> {
        let place = match scene.instances()[..] {
            [ref one] => (one.mesh, one.primitive),
            ref all => {
                let message = format!("flexicubes takes a scene of one primitive, this one draws {}", all.len());
                return Err(Error::usage("--representation", message, "give a mesh of one material, drawn once"));
            }
        };
        let positions = &scene.meshes()[place.0].primitives[place.1].positions;
        let (mut lo, mut hi) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for p in positions {
            (0..3).for_each(|c| (lo[c], hi[c]) = (lo[c].min(p[c].into()), hi[c].max(p[c].into())));
        }
        let longest = (0..3).map(|c| hi[c] - lo[c]).fold(0.0, f64::max);
        let spacing = longest / cells.saturating_sub(2 * MARGIN).max(2) as f64;
        if !(spacing > 0.0 && spacing.is_finite()) {
            return Err(Error::job("the scene has no extent: there is no place for a grid"));
        }
        let inner: [usize; 3] = std::array::from_fn(|c| ((hi[c] - lo[c]) / spacing).ceil() as usize);
        let origin = std::array::from_fn(|c| 0.5 * (lo[c] + hi[c]) - (0.5 * inner[c] as f64 + MARGIN as f64) * spacing);
        let grid = SampleGrid { size: inner.map(|n| n + 2 * MARGIN + 1), origin, spacing: [spacing; 3] };
        let [nx, ny, nz] = grid.size;
        let floor = |k: usize| {
            let at = [k % nx, k / nx % ny, k / nx / ny];
            let border = (0..3).any(|c| at[c] == 0 || at[c] + 1 == [nx, ny, nz][c]);
            if border { BORDER as f32 } else { f32::MIN }
        };
        let floor: Vec<f32> = (0..grid.n_samples()).map(floor).collect();
        let floor = Tensor::from_slice(device, &floor, &[floor.len()])?;
        Ok(Self { cubes: FlexiCubes::new(grid)?, place, floor, device: device.clone() })
    }

    /// The optimised arrays at the start: the distance to the scene's mesh, and the rest at 0.
    pub fn variables(&self, scene: &Scene) -> Result<Vec<Variable>> {
        let primitive = &scene.meshes()[self.place.0].primitives[self.place.1];
        let grid = self.cubes.grid();
        let points: Vec<[f32; 3]> = (0..grid.n_samples()).map(|k| grid.point(k).map(|x| x as f32)).collect();
        let distances = SignedDistance::new(&primitive.positions, &primitive.triangles)?.distances(&points);
        let unit = grid.spacing[0] as f32;
        let values: Vec<f32> = distances.iter().map(|d| (d / unit).clamp(-REACH, REACH)).collect();
        let zeros = |shape: &[usize]| Tensor::zeros(&self.device, DType::F32, shape);
        let arrays = [
            Tensor::from_slice(&self.device, &values, &[values.len()])?,
            zeros(&[values.len(), 3])?,
            zeros(&[self.cubes.n_cells(), FlexiCubes::WEIGHTS])?,
        ];
        let named = POINTERS.into_iter().zip(arrays).zip(RATES);
        Ok(named.map(|((pointer, value), rate)| Variable::own(pointer, value, rate)).collect())
    }

    /// The surface of arrays in their order.
    ///
    /// # Errors
    /// There is none left.
    pub fn surface(&self, arrays: &[Var], cut: Cut) -> Result<FlexiSurface> {
        let values = self.values(arrays)?;
        let surface = self.cubes.surface(&values, &arrays[1], &arrays[2], cut)?;
        match surface.triangles.is_empty() {
            true => Err(Error::job("the surface has vanished; lower the rates, or start nearer to the target")),
            false => Ok(surface),
        }
    }

    /// The grid, in the mesh's space.
    pub fn grid(&self) -> &SampleGrid {
        self.cubes.grid()
    }

    /// From there to the world.
    pub fn world(&self, scene: &Scene) -> glam::DMat4 {
        scene.instances().first().map_or(glam::DMat4::IDENTITY, |one| one.world)
    }

    fn values(&self, arrays: &[Var]) -> Result<Var> {
        Ok(arrays[0].maximum(&self.floor.cast(arrays[0].dtype())?.into())?)
    }

    /// What is added to the loss when so much of the run is done.
    pub fn loss(&self, surface: &FlexiSurface, arrays: &[Var], progress: f64) -> Result<Var> {
        let weight = |(start, end): (f64, f64)| start * (end / start).powf(progress.clamp(0.0, 1.0));
        let deviation = surface.deviation()?.scale(weight(DEVIATION) / self.cubes.grid().spacing[0])?;
        let entropy = surface.sign_entropy(&self.values(arrays)?, LOGITS)?.scale(weight(ENTROPY))?;
        Ok(deviation.add(&entropy)?)
    }

    /// A renderer of the scene with the surface, whose positions are bound.
    pub fn renderer(&self, of: &Renderer, surface: &FlexiSurface, bindings: &mut Bindings) -> Result<Renderer> {
        let (mesh, primitive) = self.place;
        bindings.bind(format!("/meshes/{mesh}/primitives/{primitive}/attributes/POSITION"), surface.positions.clone());
        Ok(of.with_geometry(&self.scene(of.scene(), surface)?)?)
    }

    /// A scene with the surface, without its specks.
    pub fn result(&self, base: &Scene, surface: &FlexiSurface) -> Result<Scene> {
        let (positions, triangles) = keep_parts(&positions(surface)?, &surface.triangles, Keep::Share(SPECK))?;
        self.replaced(base, MeshData { positions, triangles, ..MeshData::default() })
    }

    fn scene(&self, base: &Scene, surface: &FlexiSurface) -> Result<Scene> {
        let (positions, triangles) = (positions(surface)?, surface.triangles.clone());
        self.replaced(base, MeshData { positions, triangles, ..MeshData::default() })
    }

    fn replaced(&self, base: &Scene, data: MeshData) -> Result<Scene> {
        let mut scene = base.clone();
        scene.replace_geometry(self.place.0, self.place.1, &data)?;
        Ok(scene)
    }
}

fn positions(surface: &FlexiSurface) -> Result<Vec<[f32; 3]>> {
    let flat = surface.positions.tensor().cast(DType::F32)?.to_vec::<f32>()?;
    Ok(flat.as_chunks::<3>().0.to_vec())
}
