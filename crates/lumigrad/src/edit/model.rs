//! The grid that is edited: a trained one, or a grey one of a mesh.

use crate::files::load_scene;
use crate::run::{flatten, require_memory};
use crate::train::radiance::{Occupied, Opened, Scene, to_bytes};
use crate::train::voxels::{Grids, march};
use crate::volume::{Domain, Mapping, March};
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_geometry::SignedDistance;
use lumigrad_voxel::Lattice;
use std::path::Path;

/// Name of the grid in run folders.
const GRID: &str = "grid.safetensors";
/// How much larger than a mesh its grid is.
const MARGIN: f64 = 1.25;
/// Numbers of a density per cell of distance from the surface, and their bound: a cell is opaque, and what is outside empty.
const SLOPE: f32 = 8.0;
const BOUND: f32 = 12.0;
/// Least weight of samples that are looked at.
const LEAST: f64 = 1e-4;
/// Bytes of a number of the grids: value, gradient, two moments, and copies of these.
const NUMBER_BYTES: u64 = 32;

/// A voxel grid in the world.
pub struct Model {
    /// Its form.
    pub grids: Grids,
    /// Its tables and network.
    pub values: Vec<Tensor>,
    /// Where it lies.
    pub domain: Domain,
    /// How samples are placed.
    pub march: March,
    /// Where it is empty.
    pub occupied: Occupied,
    /// What it was trained over.
    pub background: [f32; 3],
}

impl Model {
    /// Reads a grid, or makes one of a mesh.
    ///
    /// # Errors
    /// Files that hold neither; a mesh without triangles; memory.
    pub fn load(path: &Path, resolution: usize, device: &Device) -> Result<Self> {
        let inside = path.join(GRID);
        let file = if inside.is_file() { inside } else { path.to_owned() };
        if file.is_dir() {
            let help = "give a run of lumigrad train voxels, a grid.safetensors or a mesh";
            return Err(Error::file(file.display(), format!("this folder holds no {GRID}"), help));
        }
        if file.extension().is_none_or(|e| e != "safetensors") {
            return Self::of_mesh(&file, resolution, device);
        }
        let bytes = std::fs::read(&file).map_err(|e| Error::io(&file, e))?;
        let opened = Opened::<Grids>::read(&file, &bytes, device).ok_or_else(|| {
            let help = "give a run of lumigrad train voxels, a grid.safetensors or a mesh";
            Error::file(file.display(), "it holds no voxel grid", help)
        })??;
        let Opened { medium: grids, values, domain, march, grid, background } = opened;
        if let Mapping::Forward(_) = domain.mapping {
            let help = "train it with --scene-type unbounded";
            return Err(Error::file(
                file.display(),
                "a forward-facing scene is not seen from around, as edits are",
                help,
            ));
        }
        let occupied = Occupied::new(grid.resolution(), march.step, device)?;
        Self { grids, values, domain, march, occupied, background }.looked_at()
    }

    /// A grey grid, opaque inside of a closed mesh.
    fn of_mesh(file: &Path, resolution: usize, device: &Device) -> Result<Self> {
        require_memory(
            (resolution as u64).saturating_pow(3).saturating_mul(4 * NUMBER_BYTES),
            "--resolution",
            "choose a coarser grid",
        )?;
        let (mesh, _) = flatten(&load_scene(file)?)?;
        let used = || mesh.triangles.iter().flatten().map(|&v| mesh.positions[v as usize]);
        let (mut lo, mut hi) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        used().for_each(|p| (0..3).for_each(|a| (lo[a], hi[a]) = (lo[a].min(p[a] as f64), hi[a].max(p[a] as f64))));
        let longest = (0..3).map(|a| hi[a] - lo[a]).fold(0.0, f64::max);
        if !(longest > 0.0) {
            return Err(Error::file(file.display(), "a mesh without extent", "give a closed mesh with triangles"));
        }
        // Numbers of a checkpoint are f32: the box is made of such.
        let half = [0, 1, 2].map(|a| (0.5 * MARGIN * (hi[a] - lo[a]).max(0.05 * longest)) as f32 as f64);
        let centre = [0, 1, 2].map(|a| (0.5 * (lo[a] + hi[a])) as f32 as f64);
        let domain = Domain::new(centre, half, Mapping::Bounded)?;
        let share = half.iter().map(|h| h / domain.unit()).product::<f64>();
        let lattice = Lattice::of_box(half, ((resolution.pow(3) as f64 * share) as usize).max(8))?;
        let cell = lattice.spacing()[0] * half[0];
        let distance = SignedDistance::new(&mesh.positions, &mesh.triangles)?;
        let world = |k: usize| lattice.place(k);
        let points: Vec<[f32; 3]> =
            (0..lattice.len()).map(|k| [0, 1, 2].map(|a| (centre[a] + world(k)[a] * half[a]) as f32)).collect();
        let raw: Vec<f32> =
            distance.distances(&points).into_iter().map(|d| (-SLOPE * d / cell as f32).clamp(-BOUND, BOUND)).collect();
        let grids = Grids::plain(lattice, (0.0, domain.unit() / cell), LEAST);
        let colours = vec![0.0f32; 3 * lattice.len()];
        let values = vec![
            Tensor::from_slice(device, &raw, &[raw.len(), 1])?,
            Tensor::from_slice(device, &colours, &[raw.len(), 3])?,
        ];
        let march = march(&domain, &lattice);
        let occupied = Occupied::new(64, march.step, device)?;
        Self { grids, values, domain, march, occupied, background: [0.0; 3] }.looked_at()
    }

    /// With what is empty found anew, so that it can be followed.
    fn looked_at(mut self) -> Result<Self> {
        let vars: Vec<Var> = self.values.iter().cloned().map(Var::from).collect();
        self.occupied.renew(&self.grids, &vars, 0)?;
        Ok(self)
    }

    /// The same once more, to be left as it is.
    ///
    /// # Errors
    /// Memory.
    pub fn again(&self, device: &Device) -> Result<Self> {
        let occupied = Occupied::new(self.occupied.grid.resolution(), self.march.step, device)?;
        let (grids, values) = (self.grids.clone(), self.values.clone());
        Self { grids, values, domain: self.domain, march: self.march, occupied, background: self.background }
            .looked_at()
    }

    /// It where it lies, over a background.
    pub fn scene(&self, background: [f32; 3]) -> Scene<'_> {
        let (domain, march, grid) = (&self.domain, &self.march, &self.occupied.grid);
        Scene { medium: &self.grids, domain, march, grid, background }
    }

    /// Its file, with these values.
    ///
    /// # Errors
    /// What cannot be written down.
    pub fn to_bytes(&self, values: &[Tensor]) -> Result<Vec<u8>> {
        to_bytes(&self.grids, &self.scene(self.background), values)
    }

    /// The corner of each row of its tables.
    ///
    /// # Errors
    /// A file that says nonsense of which corners are kept.
    pub fn corners(&self, device: &Device) -> Result<Vec<u32>> {
        Ok(match self.grids.sparse(device)? {
            Some(sparse) => sparse.kept().to_vec(),
            None => (0..self.grids.lattice.len() as u32).collect(),
        })
    }

    /// Where a corner lies in the world; in unbounded space as if it were not contracted within the box.
    pub fn world(&self, corner: usize) -> [f64; 3] {
        let p = self.grids.lattice.place(corner);
        let scale = if self.domain.is_contracted() { 2.0 } else { 1.0 };
        [0, 1, 2].map(|a| self.domain.centre[a] + scale * p[a] * self.domain.half[a])
    }
}
