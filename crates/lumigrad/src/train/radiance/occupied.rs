//! Where a medium is not empty, kept up to date while it learns.

use super::Medium;
use crate::Result;
use crate::volume::Occupancy;
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};

/// Steps between updates.
const EVERY: u64 = 16;
/// Steps after which updates see a part of the cells.
const ALL_UNTIL: u64 = 256;
/// That part's size.
const PART: usize = 1 << 17;
/// What is left of a cell's density after an update of all cells.
const FADE: f64 = 0.95;
/// Optical depth of a sample below which it is nothing.
const THINNEST: f64 = 0.01;
/// Places of a cell that a new grid is made of.
const PLACES: u64 = 4;
/// Points at a time.
const CHUNK: usize = 1 << 15;

/// A grid with the rule by which it follows a medium (Müller et al. 2022, appendix C).
pub struct Occupied {
    /// The grid.
    pub grid: Occupancy,
    threshold: f32,
}

impl Occupied {
    /// Everything may be full; samples are `step` long.
    pub fn new(resolution: usize, step: f64, device: &Device) -> Result<Self> {
        Ok(Self { grid: Occupancy::full(resolution, device)?, threshold: (THINNEST / step) as f32 })
    }

    /// Densities of an earlier state.
    pub fn restore(&mut self, densities: &[f32]) -> Result<()> {
        if densities.len() == self.grid.densities().len() && densities.iter().any(|d| *d > 0.0) {
            self.grid.restore(densities, self.threshold)?;
        }
        Ok(())
    }

    /// Looks at the medium where a step is due: at all cells first, at a part of them in turn later.
    pub fn follow(&mut self, medium: &dyn Medium, parameters: &[Var], step: u64, seed: u64) -> Result<()> {
        if !step.is_multiple_of(EVERY) || step == 0 {
            return Ok(());
        }
        let n = self.grid.densities().len();
        let stride = if step < ALL_UNTIL { 1 } else { n.div_ceil(PART) };
        let turn = (step / EVERY) as usize % stride;
        let cells: Vec<usize> = (turn..n).step_by(stride).collect();
        let fade = FADE.powi(stride as i32) as f32;
        self.look(medium, parameters, &cells, (random::hash(seed ^ 0x0cc, step), fade))
    }

    /// Forgets what it knew, and looks at some places of every cell.
    pub fn renew(&mut self, medium: &dyn Medium, parameters: &[Var], seed: u64) -> Result<()> {
        let cells: Vec<usize> = (0..self.grid.densities().len()).collect();
        for k in 0..PLACES {
            let fade = if k == 0 { 0.0 } else { 1.0 };
            self.look(medium, parameters, &cells, (random::hash(seed ^ 0x4e7, k), fade))?;
        }
        Ok(())
    }

    fn look(
        &mut self,
        medium: &dyn Medium,
        parameters: &[Var],
        cells: &[usize],
        (seed, fade): (u64, f32),
    ) -> Result<()> {
        let mut found = Vec::with_capacity(cells.len());
        for chunk in cells.chunks(CHUNK) {
            let spot = |cell: usize| [0, 1, 2].map(|a| random::uniform(seed, 3 * cell as u64 + a));
            let points: Vec<f32> = chunk.iter().flat_map(|&c| self.grid.place(c, spot(c))).collect();
            let device = parameters[0].device();
            let points = Tensor::from_slice(device, &points, &[chunk.len(), 3])?;
            let densities = medium.densities(parameters, &points.into())?.tensor().to_vec::<f32>()?;
            found.extend(chunk.iter().copied().zip(densities));
        }
        self.grid.update(found, fade, self.threshold)?;
        Ok(())
    }
}
