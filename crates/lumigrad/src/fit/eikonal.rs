//! `fit eikonal`: the signed distance to a surface that only points of it, with or without normals, are known of.

use super::describe::{self, Defaults};
use super::drive::{Output, Setup, Task, drive, run_name};
use super::extract;
use super::{Fit, FitKeys};
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{Observer, Stop, Summary};
use crate::{Error, Result};
use lumigrad_core::map::vector;
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Map, Tensor, Var};
use lumigrad_field::{Activation, Derivatives, Field, Model, surface};
use lumigrad_geometry::{SignedDistance, Surface, SurfaceSampler, Topology};
use lumigrad_optim::Schedule;
use lumigrad_scene::formats::ply;
use lumigrad_scene::mesh::{TriangleMesh, load_mesh};
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
/// Most cells a side of the grid.
const MOST_CELLS: usize = 1024;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitEikonalJob = document.parse()?;
    let device = Device::from_name(&job.fit.common.device)?;
    let missing = || Error::usage("fit eikonal", "POINTS is missing", "give points: lumigrad fit eikonal scan.ply");
    let path = job.points.clone().ok_or_else(missing)?;
    if job.mesh_resolution > MOST_CELLS {
        let message = format!("{} cells a side", job.mesh_resolution);
        return Err(Error::usage("--mesh-resolution", message, format!("expected at most {MOST_CELLS}")));
    }
    let cloud = Cloud::load(&path, job.fit.common.seed)?;
    let field = describe::field(&job.fit, 3, 1, &DEFAULTS)?;
    let setup = Setup {
        keys: &job.fit,
        title: format!("surface of {} ({} points)", path.display(), cloud.points.len()),
        name: run_name("eikonal", &path),
        parameters: field.start(job.fit.common.seed, &device)?,
        rates: describe::rates(&job.fit, &field, &DEFAULTS),
        schedule: Schedule::Cosine { end: 0.02 },
        warm_up: 0.0,
        iterations: 2000,
    };
    let batch = job.fit.batch.unwrap_or(BATCH).max(2);
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
    centre: [f64; 3],
    scale: f64,
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
        let of = |c: usize, f: fn(f64, f64) -> f64, start: f64| points.iter().map(|p| p[c] as f64).fold(start, f);
        let lo: [f64; 3] = std::array::from_fn(|c| of(c, f64::min, f64::INFINITY));
        let hi: [f64; 3] = std::array::from_fn(|c| of(c, f64::max, f64::NEG_INFINITY));
        let longest = (0..3).map(|c| hi[c] - lo[c]).fold(0.0, f64::max);
        if !(longest > 0.0) {
            return Err(Error::file(path.display(), "all points are one", "give points of a surface"));
        }
        let centre: [f64; 3] = std::array::from_fn(|c| 0.5 * (lo[c] + hi[c]));
        let scale = 0.5 * longest / EXTENT;
        let unit = |n: &[f32; 3]| {
            let length = n.iter().map(|x| x * x).sum::<f32>().sqrt();
            if length > 0.0 && length.is_finite() { n.map(|x| x / length) } else { [0.0; 3] }
        };
        Ok(Self {
            points: points
                .iter()
                .map(|p| std::array::from_fn(|c| ((p[c] as f64 - centre[c]) / scale) as f32))
                .collect(),
            normals: normals.map(|n| n.iter().map(unit).collect()),
            centre,
            scale,
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
        let seed = self.job.fit.common.seed;
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
        let facts = [
            ("kind".to_owned(), "sdf".to_owned()),
            ("centre".to_owned(), format!("{:?}", cloud.centre)),
            ("scale".to_owned(), cloud.scale.to_string()),
            ("sign".to_owned(), sign.to_string()),
        ];
        let model = Model { field: field.clone(), values: values.to_vec(), facts: facts.into() };
        let bytes = model.to_bytes()?;
        output.summary.metric("model_bytes", bytes.len() as f64);
        output.file("field", "field.safetensors", &bytes)?;
        let sample = |p: &[f32]| -> Result<Vec<f32>> {
            Ok(field.sample(values, p, &none)?.remove(0).into_iter().map(|f| sign * f).collect())
        };
        let (positions, triangles) = extract::surface(([-1.0; 3], [1.0; 3]), self.job.mesh_resolution, 1.0, &sample)?;
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
        let streams = field.sample(values, positions.as_flattened(), &Arc::new(Derivatives::gradient(3)))?;
        let normals = (0..positions.len()).map(|i| std::array::from_fn(|c| sign * streams[1 + c][i])).collect();
        let out = |p: [f32; 3]| std::array::from_fn(|c| (p[c] as f64 * cloud.scale + cloud.centre[c]) as f32);
        let mesh = TriangleMesh {
            positions: positions.into_iter().map(out).collect(),
            normals: Some(normals),
            triangles,
            ..TriangleMesh::default()
        };
        output.summary.metric("n_triangles", mesh.triangles.len() as f64);
        output.file("mesh", "mesh.ply", &ply::encode(&mesh))
    }
}
