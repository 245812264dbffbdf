//! Holes and islands of a shape, made where the derivative of the loss by a vanishing one says so ("A Theory of Topological
//! Derivatives for Inverse Rendering of Geometry", Mehta, Chandraker & Ramamoorthi 2023). Derivatives by the place of a
//! surface move it, but can neither pierce it nor begin another.

mod sight;

use super::display::encode;
use super::run::Optimizer;
use crate::Result;
use crate::run::Checkpoint;
use lumigrad_core::{DType, Tensor, Var};
use lumigrad_geometry::SampleGrid;
use lumigrad_raster::Aov;
use lumigrad_raster::texture::Sampling;
use lumigrad_scene::camera::View;
use sight::{Hole, RADIUS, Sight};

/// Parts of the run between looks at the derivative, and looks.
const EVERY: f64 = 0.05;
const LOOKS: usize = 12;
/// Holes and islands of one look at most.
const MOST: usize = 8;
/// What gains less than this part of the best is left to a later look.
const LEAST: f64 = 0.05;
/// Sizes that are tried, over the smallest that the grid can hold; what lowers the loss most stays.
const SIZES: [f64; 2] = [1.0, 2.0];
/// Islands keep so many spacings from the shape and from each other.
const APART: usize = 2;
/// Values in the middle of what is made reach this.
const DEPTH: f64 = 1.0;
const LOOKED: &str = "topology looks";

/// How often a run has looked at its topological derivative.
#[derive(Debug, Default)]
pub struct Topology {
    looks: usize,
}

impl Topology {
    /// For `--resume`.
    pub fn save(&self, c: &mut Checkpoint) {
        c.facts.insert(LOOKED.into(), self.looks.to_string());
    }

    /// Goes on from there.
    pub fn restore(&mut self, c: &Checkpoint) {
        self.looks = c.facts.get(LOOKED).and_then(|s| s.parse().ok()).unwrap_or(0);
    }
}

/// A point of the grid outside of the shape, and the derivative there.
struct Island {
    gain: f64,
    point: usize,
}

impl Optimizer<'_> {
    /// Looks, when the run has come so far: holes and islands are made where they lower the loss over all training views.
    pub(super) fn nucleate_when_due(&mut self, progress: f64) -> Result<()> {
        let Some(topology) = &mut self.topology else { return Ok(()) };
        let due = (progress / EVERY) as usize;
        if topology.looks >= due.min(LOOKS) {
            return Ok(());
        }
        topology.looks = due;
        let Some(flexible) = &self.flexible else { return Ok(()) };
        let grid = *flexible.grid();
        let world = flexible.world(&self.base);
        let place = |k: usize| world.transform_point3(grid.point(k).into()).to_array();
        let places: Vec<[f64; 3]> = (0..grid.n_samples()).map(place).collect();
        let unit = grid.spacing[0] * world.determinant().abs().cbrt();
        let sights = self.sights()?;
        let before = self.variables[0].value.clone();
        let values = before.to_vec::<f32>()?;
        let holes = holes(&sights, unit);
        let islands = islands(&sights, &grid, &values, &places);
        if holes.is_empty() && islands.is_empty() {
            return Ok(());
        }
        let mut best = (self.total_loss()?, before);
        for size in SIZES {
            for (holes, islands) in [(&holes[..], &islands[..]), (&holes[..], &[]), (&[], &islands[..])] {
                if holes.is_empty() && islands.is_empty() {
                    continue;
                }
                let changed = changed(&values, (&grid, &places), &sights, (holes, islands), size);
                self.variables[0].value = Tensor::from_slice(&self.device, &changed, &[changed.len()])?;
                // A shape that vanishes is no better.
                if let Ok(loss) = self.total_loss()
                    && loss < best.0
                {
                    best = (loss, self.variables[0].value.clone());
                }
            }
        }
        self.variables[0].value = best.1;
        Ok(())
    }

    /// All training views at the present state.
    fn sights(&self) -> Result<Vec<Sight>> {
        let train = &self.problem.train;
        let nothing = Var::from(Tensor::zeros(&self.device, DType::F32, &[1, 1, 4])?);
        let rgba = |t: &Tensor| Ok::<_, crate::Error>(t.to_vec::<f32>()?.as_chunks::<4>().0.to_vec());
        let seen = self.shown(train, true, |frame, camera, target| {
            let aov = frame.aov(camera, Sampling::Nearest)?;
            let channel = |c: usize| Ok::<_, crate::Error>(aov.slice(2, c, c + 1)?.tensor().to_vec::<f32>()?);
            let (mut depth, mask) = (channel(Aov::DEPTH)?, channel(Aov::MASK)?);
            depth.iter_mut().zip(mask).filter(|(_, m)| *m < 0.5).for_each(|(d, _)| *d = f32::INFINITY);
            let mut view = target.view.clone();
            let rows = camera.viewmat.tensor().to_f64_vec()?;
            rows.iter().enumerate().for_each(|(k, x)| view.viewmat[k / 4][k % 4] = *x);
            camera.intrinsics.tensor().to_f64_vec()?.iter().enumerate().for_each(|(k, x)| view.intrinsics[k] = *x);
            Ok((view, depth, encode(&frame.render(camera)?.image)?))
        })?;
        let sight = |(k, (view, depth, picture)): (usize, (View, Vec<f32>, Var))| {
            let behind = rgba(self.compared(&nothing, k)?.0.tensor())?[0];
            let (picture, target) = self.compared(&picture, k)?;
            let mask = train[k].mask.as_ref().map(Tensor::to_vec::<f32>).transpose()?.unwrap_or_default();
            Ok(Sight::new(view, depth, (&rgba(picture.tensor())?, &rgba(&target)?), &mask, behind))
        };
        seen.into_iter().enumerate().map(sight).collect()
    }
}

/// The best holes of all views, with the numbers of their views.
fn holes(sights: &[Sight], spacing: f64) -> Vec<(usize, Hole)> {
    let of = |(view, sight): (usize, &Sight)| sight.holes(spacing).into_iter().map(move |hole| (view, hole));
    let mut all: Vec<(usize, Hole)> = sights.iter().enumerate().flat_map(of).collect();
    all.sort_by(|a, b| a.1.gain.total_cmp(&b.1.gain));
    let best = all.first().map_or(0.0, |(_, hole)| hole.gain as f64);
    all.retain(|(_, hole)| hole.gain as f64 <= LEAST * best);
    all.truncate(MOST);
    all
}

/// The best islands.
fn islands(sights: &[Sight], grid: &SampleGrid, values: &[f32], places: &[[f64; 3]]) -> Vec<Island> {
    let [nx, ny, nz] = grid.size;
    let at = |k: usize| [k % nx, k / nx % ny, k / nx / ny];
    let inner = |k: usize| at(k).iter().zip([nx, ny, nz]).all(|(i, n)| *i >= APART && i + APART < n);
    let alone = |k: usize| {
        let [x, y, z] = at(k);
        let around = |i: usize| i - APART..=i + APART;
        around(z).all(|z| around(y).all(|y| around(x).all(|x| values[(z * ny + y) * nx + x] > 0.0)))
    };
    let gain = |k: usize| {
        let seen = sights.iter().filter_map(|s| s.founding(places[k]));
        seen.sum::<f64>()
    };
    let mut all: Vec<Island> = (0..values.len())
        .filter(|&k| values[k] > 0.0 && inner(k) && alone(k))
        .map(|point| Island { gain: gain(point), point })
        .filter(|island| island.gain < 0.0)
        .collect();
    all.sort_by(|a, b| a.gain.total_cmp(&b.gain).then(a.point.cmp(&b.point)));
    let best = all.first().map_or(0.0, |island| island.gain);
    let mut kept: Vec<Island> = vec![];
    for island in all.into_iter().take_while(|i| i.gain <= LEAST * best) {
        let apart = |k: &Island| at(k.point).iter().zip(at(island.point)).any(|(a, b)| a.abs_diff(b) > 2 * APART);
        if kept.iter().all(apart) {
            kept.push(island);
        }
        if kept.len() == MOST {
            break;
        }
    }
    kept
}

/// The values of a grid with cones taken away and balls added.
fn changed(
    values: &[f32],
    (grid, places): (&SampleGrid, &[[f64; 3]]),
    sights: &[Sight],
    (holes, islands): (&[(usize, Hole)], &[Island]),
    size: f64,
) -> Vec<f32> {
    let mut values = values.to_vec();
    let centres: Vec<[f64; 3]> = islands.iter().map(|i| grid.point(i.point)).collect();
    for (k, value) in values.iter_mut().enumerate() {
        for (view, hole) in holes {
            if let Some((_, [x, y, _])) = sights[*view].view.pixel(places[k]) {
                let part = (x - hole.centre[0]).hypot(y - hole.centre[1]) / (size * hole.radius);
                if part < 1.0 {
                    *value = value.max((DEPTH * (1.0 - part)).max(0.1) as f32);
                }
            }
        }
        for centre in &centres {
            let p = grid.point(k);
            let far = (0..3).map(|c| ((p[c] - centre[c]) / grid.spacing[c]).powi(2)).sum::<f64>().sqrt();
            *value = value.min((far - size * RADIUS).max(-DEPTH) as f32);
        }
    }
    values
}
