//! `fit eikonal`: the signed distance to a surface that only points of it, with or without normals, are known of.

use super::describe::{self, Defaults};
use super::drive::{Output, Setup, Task, drive, run_name};
use super::{Fit, FitKeys, given, preview};
use crate::fields::extract;
use crate::fields::operators::{Operators, SAMPLES, differentiated, usual_sigma};
use crate::fields::place::Place;
use crate::fields::solid::Solid;
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{Observer, Stop, Summary};
use crate::{Error, Result};
use glam::DVec3;
use lumigrad_core::map::vector;
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Map, Tensor, Var};
use lumigrad_field::{Activation, Derivatives, Field, surface};
use lumigrad_geometry::{Bvh, SignedDistance, Surface, SurfaceSampler, Topology};
use lumigrad_optim::Schedule;
use lumigrad_scene::formats::ply;
use lumigrad_scene::mesh::load_mesh;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

job_keys! {
    /// Fit a signed distance to points of a surface, by the equation |gradient| = 1.
    FitEikonalJob {
        include fit: FitKeys;
        /// Points, with normals or without (.ply), or a mesh that they are drawn from (.ply, .obj, .stl).
        points: Option<PathBuf>, Path, example "\"scan.ply\"";
        /// Cells along the longest side of the grid that the surface is taken out of.
        mesh_resolution: usize, Count(2), default "192";
    }
}

pub const FIT: Fit = Fit {
    name: "fit eikonal",
    about: FitEikonalJob::ABOUT[0],
    positional: &["points"],
    keys: FitEikonalJob::keys,
    run,
};

const DEFAULTS: Defaults = Defaults {
    encoding: "none",
    sine: (128, 4),
    omega: 30.0,
    sine_rate: 2e-4,
    grid: (12, 16, 8, 128),
    activation: Activation::Softplus,
};
/// Half of the longest side of the points' box in the field's domain.
const EXTENT: f64 = 0.7;
/// Points of a step, half of them on the surface.
const BATCH: usize = 4096;
/// Points that are drawn from a mesh.
const DRAWN: usize = 1 << 17;
/// Most points that are judged at the end.
const JUDGED: usize = 1 << 16;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitEikonalJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let path = given(&job.points, &FIT, "POINTS", "give points: lumigrad fit eikonal scan.ply")?;
    extract::check("--mesh-resolution", DVec3::ONE, job.mesh_resolution)?;
    let cloud = Cloud::load(&path, job.fit.run.common.seed)?;
    let field = describe::field(&job.fit, 3, 1, &DEFAULTS)?;
    let named = (format!("surface of {} ({} points)", path.display(), cloud.points.len()), run_name("eikonal", &path));
    let setup = Setup::of_field(&job.fit, named, (&field, &DEFAULTS), 2000, &device)?;
    let setup = Setup { schedule: Schedule::Cosine { end: 0.02 }, ..setup };
    let batch = job.fit.run.batch.unwrap_or(BATCH).max(2);
    let mut task = EikonalTask { cloud, field, batch, job: job.clone(), device };
    let mut summary = drive(setup, &mut task, document, stop, observer)?;
    if task.cloud.normals.is_none() {
        summary.warnings.push("the points have no normals: which side is inside is a guess".into());
    }
    Ok(summary)
}

/// Points in the field's domain.
struct Cloud {
    points: Vec<[f32; 3]>,
    normals: Option<Vec<[f32; 3]>>,
    place: Place,
}

impl Cloud {
    fn load(path: &Path, seed: u64) -> Result<Self> {
        let mesh = load_mesh(path)?;
        let (points, normals) = if mesh.triangles.is_empty() {
            (mesh.positions, mesh.normals)
        } else {
            let name = path.display().to_string();
            let surface = Surface { name: &name, positions: &mesh.positions, triangles: &mesh.triangles };
            let drawn = SurfaceSampler::new(surface)?.draw(seed, 0, DRAWN);
            (drawn.iter().map(|s| s.position).collect(), Some(drawn.iter().map(|s| s.normal).collect()))
        };
        if points.len() < 4 {
            let message = format!("{} points", points.len());
            return Err(Error::file(path.display(), message, "a surface needs at least four"));
        }
        let place = Place::of(points.iter().copied(), EXTENT);
        if !(place.scale > 0.0) {
            return Err(Error::file(path.display(), "all points are one", "give points of a surface"));
        }
        let unit = |n: &[f32; 3]| {
            let length = n.iter().map(|x| x * x).sum::<f32>().sqrt();
            if length > 0.0 && length.is_finite() { n.map(|x| x / length) } else { [0.0; 3] }
        };
        Ok(Self {
            points: points.into_iter().map(|p| place.inwards(p)).collect(),
            normals: normals.map(|n| n.iter().map(unit).collect()),
            place,
        })
    }
}

struct EikonalTask {
    cloud: Cloud,
    field: Field,
    batch: usize,
    job: FitEikonalJob,
    device: Device,
}

impl EikonalTask {
    /// Points, and beside each its normal and whether it is on the surface; normals of length 0 count for nothing.
    fn batch(&self, step: u64) -> Result<(Tensor, Tensor)> {
        let seed = self.job.fit.run.common.seed;
        let (mut points, mut facts) = (vec![], vec![]);
        for k in 0..self.batch as u64 {
            let number = step * self.batch as u64 + k;
            if k < self.batch as u64 / 2 {
                let at = (random::hash(seed, number) % self.cloud.points.len() as u64) as usize;
                points.extend(self.cloud.points[at]);
                facts.extend(self.cloud.normals.as_ref().map_or([0.0; 3], |n| n[at]));
                facts.push(1.0);
            } else {
                points.extend((0..3).map(|c| (2.0 * random::uniform(seed ^ 1, 3 * number + c) - 1.0) as f32));
                facts.extend([0.0; 4]);
            }
        }
        let n = self.batch;
        Ok((Tensor::from_slice(&self.device, &points, &[n, 3])?, Tensor::from_slice(&self.device, &facts, &[n, 4])?))
    }
}

/// Mean of what SIREN's loss says of each point (Sitzmann et al. 2020, §4.2): on the surface 3000|f| and 100(1 − cos) of the
/// angle to the normal, off it 100·exp(−100|f|), everywhere 50|‖∇f‖ − 1|; divided by 50.
fn eikonal_loss(value: &Var, gradient: &Var, facts: &Var) -> Result<Var> {
    let map = Map::cached("fit/eikonal", |m| {
        let ([f], g, facts) = (m.item::<1>("value"), m.item::<3>("gradient"), m.item::<4>("facts"));
        let (n, on) = ([facts[0], facts[1], facts[2]], facts[3]);
        let length = vector::dot(g, g).max(1e-20).sqrt();
        let known = vector::dot(n, n).greater(0.5);
        let angle = known.select(1.0 - vector::dot(g, n) / length, 0.0);
        let off = (1.0 - on) * (f.abs() * -100.0).exp();
        m.output("loss", &[60.0 * on * f.abs() + 2.0 * on * angle + 2.0 * off + (length - 1.0).abs()]);
    });
    Ok(map.apply(&[value, gradient, facts])?.remove(0).mean()?)
}

impl Task for EikonalTask {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let (points, facts) = self.batch(step)?;
        let jet = self.field.jet(parameters, &points.into(), &Arc::new(Derivatives::gradient(3)))?;
        eikonal_loss(jet.value(), &surface::gradient(&jet)?, &facts.into())
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let field = &self.field;
        let cloud = &self.cloud;
        let none = Arc::new(Derivatives::none());
        // Without normals the field may have its inside out: the corners of the box are outside.
        let corners: Vec<f32> =
            (0..8).flat_map(|k| [0, 1, 2].map(|c| if k >> c & 1 == 1 { 1.0 } else { -1.0 })).collect();
        let outside: f32 = field.sample(values, &corners, &none)?[0].iter().sum();
        let sign = if cloud.normals.is_none() && outside < 0.0 { -1.0 } else { 1.0 };
        let mut facts = cloud.place.facts("sdf", 2.0 * EXTENT);
        facts.insert("sign".into(), sign.to_string());
        output.model(field, values, facts)?;
        let mut solid = Solid::of_field(field, values, cloud.place);
        solid.sign = sign;
        let (positions, triangles) = solid.surface(self.job.mesh_resolution)?;
        if triangles.is_empty() {
            output.summary.warnings.push("the field has no surface: train it longer".into());
            return Ok(());
        }
        let distance = SignedDistance::new(&positions, &triangles)?;
        let stride = cloud.points.len().div_ceil(JUDGED);
        let judged: Vec<[f32; 3]> = cloud.points.iter().step_by(stride).copied().collect();
        let sum: f64 = distance
            .nearest(&judged)
            .iter()
            .zip(&judged)
            .map(|(near, p)| (0..3).map(|c| (near.point[c] - p[c] as f64).powi(2)).sum::<f64>().sqrt())
            .sum();
        let side = |c: usize| {
            let values = || judged.iter().map(|p| p[c] as f64);
            values().fold(f64::MIN, f64::max) - values().fold(f64::MAX, f64::min)
        };
        let diagonal = (0..3).map(|c| side(c).powi(2)).sum::<f64>().sqrt();
        let percent = 100.0 * sum / judged.len() as f64 / diagonal;
        output.figure("distance_percent", "Points to surface", percent, 4, " % of the diagonal");
        let topology = Topology::new(positions.len(), &triangles)?;
        output.summary.metric("watertight", topology.watertight() as u8 as f64);
        if let Some(genus) = topology.genus() {
            output.summary.metric("genus", genus as f64);
        }
        let normals = differentiated(&solid, positions.as_flattened())?;
        let operators = Operators::new(usual_sigma(&field.encoding), SAMPLES, self.job.fit.run.common.seed)?;
        // A point is a triangle without sides.
        let points = Bvh::new(&cloud.points, &(0..cloud.points.len() as u32).map(|i| [i; 3]).collect::<Vec<_>>());
        let distance = |p: &[f32; 3]| {
            points.nearest(DVec3::from(p.map(f64::from))).map_or(f32::INFINITY, |found| found.distance as f32)
        };
        let off = |places: &[f32]| -> Vec<f32> { places.as_chunks::<3>().0.par_iter().map(distance).collect() };
        preview::surface(&solid, &operators, Some(("distance to the points", &off)), output)?;
        let mesh = cloud.place.mesh(&positions, triangles, normals);
        output.summary.metric("n_triangles", mesh.triangles.len() as f64);
        output.file("mesh", "mesh.ply", &ply::encode(&mesh))
    }
}
