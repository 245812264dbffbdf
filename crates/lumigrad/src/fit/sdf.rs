//! `fit sdf`: the signed distance to a mesh as a field.

use super::describe::{self, Defaults};
use super::drive::{Output, Setup, Task, drive, run_name};
use super::normals::{self, Truth};
use super::{Fit, FitKeys, given, preview};
use crate::fields::extract;
use crate::fields::operators::{Derivation, Operators};
use crate::fields::place::Place;
use crate::fields::solid::Solid;
use crate::files::load_scene;
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{Observer, Stop, Summary, flatten};
use crate::{Error, Result};
use glam::DVec3;
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Activation, Field};
use lumigrad_geometry::{SignedDistance, Surface, SurfaceSampler, Topology, compare};
use lumigrad_scene::formats::ply;
use lumigrad_scene::mesh::TriangleMesh;
use std::path::PathBuf;

job_keys! {
    /// Fit a field to the signed distance of a mesh, and take its surface out again.
    FitSdfJob {
        include fit: FitKeys;
        /// The mesh: .ply, .obj, .stl, .glb or .gltf; it may be open, cross itself or face the wrong way in places.
        mesh: Option<PathBuf>, Path, example "\"bunny.ply\"";
        /// Cells along the longest side of the grid that the surface is taken out of.
        mesh_resolution: usize, Count(2), default "256";
        /// Deviation of the fitted operator, in parts of the mesh's longest side. Without it the one between 0.004 and 0.045
        /// that gives the mesh's normals best.
        polyfit_sigma: Option<f64>, Amount, example "0.01";
        /// Offsets of the fitted operator.
        polyfit_samples: usize, Count(20), default "256";
        /// Go on training so that the field's own derivatives become those of the fitted operator.
        finetune_derivatives: bool, Flag, default "false";
    }
}

pub const FIT: Fit =
    Fit { name: "fit sdf", about: FitSdfJob::ABOUT[0], positional: &["mesh"], keys: FitSdfJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "hash",
    sine: (256, 4),
    omega: 30.0,
    sine_rate: 1e-4,
    grid: (10, 16, 8, 128),
    activation: Activation::Softplus,
};
/// Half of the mesh's longest side in the field's domain.
const EXTENT: f64 = 0.8;
const BATCH: usize = 1 << 14;
/// Points at a time that are drawn anew, and how many such blocks there are.
const BLOCK: usize = 4096;
const BLOCKS: usize = 64;
/// Deviation of points near the surface, in the field's domain.
const NEAR: f64 = 0.01;
/// Distances are weighed by one over this and themselves.
const FLOOR: f64 = 0.02;
/// Deviations of the fitted operator that are tried, in parts of the longest side.
const SIGMAS: [f64; 5] = [0.004, 0.008, 0.016, 0.032, 0.045];
/// Points that surfaces are compared by.
const SAMPLES: usize = 200_000;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitSdfJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let path = given(&job.mesh, &FIT, "MESH", "give a mesh: lumigrad fit sdf bunny.ply")?;
    extract::check("--mesh-resolution", DVec3::ONE, job.mesh_resolution)?;
    let (mesh, _) = flatten(&load_scene(&path)?)?;
    let shape = Shape::new(mesh, &path.display().to_string())?;
    let field = describe::field(&job.fit, 3, 1, &DEFAULTS)?;
    let named = (
        format!("signed distance of {} ({} triangles)", path.display(), shape.mesh.triangles.len()),
        run_name("sdf", &path),
    );
    let setup = Setup::of_field(&job.fit, named, (&field, &DEFAULTS), 3000, &device)?;
    let batch = job.fit.run.batch.unwrap_or(BATCH);
    let mut task = SdfTask { pool: Pool::default(), shape, field, batch, job: job.clone(), device };
    drive(setup, &mut task, document, stop, observer)
}

/// A mesh in the field's domain.
pub(super) struct Shape {
    /// As it was given.
    mesh: TriangleMesh,
    /// In the domain.
    positions: Vec<[f32; 3]>,
    pub place: Place,
    pub distance: SignedDistance,
    pub sampler: SurfaceSampler,
}

impl Shape {
    /// With the middle of its box in the domain's middle.
    pub fn new(mesh: TriangleMesh, name: &str) -> Result<Self> {
        let corners = mesh.triangles.iter().flat_map(|t| t.map(|v| mesh.positions[v as usize]));
        let place = Place::of(corners, EXTENT);
        Self::placed(mesh, name, place)
    }

    /// Another mesh, where it lies beside this one.
    pub fn beside(&self, mesh: TriangleMesh, name: &str) -> Result<Self> {
        Self::placed(mesh, name, self.place)
    }

    /// Where a domain lies that is given.
    pub fn placed(mesh: TriangleMesh, name: &str, place: Place) -> Result<Self> {
        let surface = Surface { name, positions: &mesh.positions, triangles: &mesh.triangles };
        let sampler = SurfaceSampler::new(surface);
        sampler.map_err(|e| Error::file(name, e.to_string(), "give a mesh with triangles"))?;
        let positions: Vec<[f32; 3]> = mesh.positions.iter().map(|&p| place.inwards(p)).collect();
        let sampler = SurfaceSampler::new(Surface { name, positions: &positions, triangles: &mesh.triangles })?;
        let distance = SignedDistance::new(&positions, &mesh.triangles)?;
        Ok(Self { positions, place, distance, sampler, mesh })
    }

    /// Its longest side in the domain, and whether the domain holds it.
    pub fn extent(&self) -> (f64, bool) {
        let corners = || self.mesh.triangles.iter().flatten().map(|&v| self.positions[v as usize]);
        (2.0 * Place::of(corners(), 1.0).scale, corners().flatten().all(|x| x.abs() <= 1.0))
    }

    fn surface(&self) -> Surface<'_> {
        Surface { name: "the mesh", positions: &self.positions, triangles: &self.mesh.triangles }
    }
}

/// Points with their distances, of which a block is drawn anew at each step. What it holds depends on seed and step only.
#[derive(Default)]
struct Pool {
    points: Vec<[f32; 3]>,
    distances: Vec<f32>,
    /// The step that it is ready for.
    ready: Option<u64>,
}

impl Pool {
    fn prepare(&mut self, shape: &Shape, seed: u64, step: u64) {
        if self.ready == Some(step) {
            return;
        }
        if self.ready.is_none_or(|r| r + 1 != step) {
            self.points = vec![[0.0; 3]; BLOCK * BLOCKS];
            self.distances = vec![0.0; BLOCK * BLOCKS];
            for block in 0..BLOCKS as u64 {
                self.draw(shape, seed, block, generation(block, step));
            }
        } else {
            let block = step % BLOCKS as u64;
            self.draw(shape, seed, block, generation(block, step));
        }
        self.ready = Some(step);
    }

    /// Half on the surface, three eighths near it, one eighth anywhere.
    fn draw(&mut self, shape: &Shape, seed: u64, block: u64, generation: u64) {
        let stream = generation * BLOCKS as u64 + block;
        let first = stream * BLOCK as u64;
        let drawn = shape.sampler.draw(seed, first, BLOCK * 7 / 8);
        let number = |k: usize, c: u64| (first + k as u64) * 3 + c;
        let mut points: Vec<[f32; 3]> = drawn.iter().map(|s| s.position).collect();
        for (k, p) in points.iter_mut().enumerate().skip(BLOCK / 2) {
            (0..3).for_each(|c| p[c] += (NEAR * random::normal(seed ^ 1, number(k, c as u64))) as f32);
        }
        for k in points.len()..BLOCK {
            points.push(std::array::from_fn(|c| (2.0 * random::uniform(seed ^ 2, number(k, c as u64)) - 1.0) as f32));
        }
        let at = block as usize * BLOCK;
        // Points of the surface have no distance.
        self.distances[at..at + BLOCK / 2].fill(0.0);
        self.distances[at + BLOCK / 2..at + BLOCK].copy_from_slice(&shape.distance.distances(&points[BLOCK / 2..]));
        self.points[at..at + BLOCK].copy_from_slice(&points);
    }
}

/// How often a block was drawn anew before the end of a step.
fn generation(block: u64, step: u64) -> u64 {
    (step + BLOCKS as u64 - block) / BLOCKS as u64
}

struct SdfTask {
    pool: Pool,
    shape: Shape,
    field: Field,
    batch: usize,
    job: FitSdfJob,
    device: Device,
}

impl SdfTask {
    fn batch(&mut self, step: u64) -> Result<(Tensor, Tensor)> {
        let seed = self.job.fit.run.common.seed;
        self.pool.prepare(&self.shape, seed, step);
        let (mut points, mut distances) = (vec![], vec![]);
        for k in 0..self.batch as u64 {
            let at = (random::hash(seed ^ 3, step * self.batch as u64 + k) % (BLOCK * BLOCKS) as u64) as usize;
            points.extend(self.pool.points[at]);
            distances.push(self.pool.distances[at]);
        }
        let n = self.batch;
        Ok((
            Tensor::from_slice(&self.device, &points, &[n, 3])?,
            Tensor::from_slice(&self.device, &distances, &[n, 1])?,
        ))
    }
}

impl Task for SdfTask {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let (points, distances) = self.batch(step)?;
        let found = self.field.value(parameters, &points.into())?;
        let distances = Var::from(distances);
        // Relative, so that the surface counts most.
        let weight = distances.abs()?.offset(FLOOR)?;
        Ok(found.sub(&distances)?.abs()?.div(&weight)?.mean()?.scale(FLOOR)?)
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let (field, place) = (&self.field, self.shape.place);
        let truth = Truth::of(self.shape.surface(), self.shape.mesh.normals.as_deref(), self.job.fit.run.common.seed)?;
        let (samples, seed) = (self.job.polyfit_samples, self.job.fit.run.common.seed);
        let side = 2.0 * EXTENT;
        let solid = Solid::of_field(field, values, place);
        let operators = match self.job.polyfit_sigma {
            Some(sigma) => Operators::new(sigma * side, samples, seed)?,
            None => normals::best(&solid, &SIGMAS.map(|s| s * side), samples, seed, &truth)?,
        };
        let angles = normals::measure(&operators, &solid, &truth)?;
        let mut values = values.to_vec();
        output.summary.metric("polyfit_sigma", operators.sigma() / side);
        output.summary.metric("normal_angle_deg", angles.differentiated);
        output.summary.metric("normal_angle_deg_polyfit", angles.fitted);
        output.summary.metric("curvature_error", angles.curvature_differentiated);
        output.summary.metric("curvature_error_polyfit", angles.curvature_fitted);
        if self.job.finetune_derivatives {
            let tuned = normals::finetune(&operators, &solid, (field, &values), &self.shape.sampler, seed)?;
            values = tuned.values;
            let after = normals::measure(&operators, &Solid::of_field(field, &values, place), &truth)?;
            output.summary.metric("normal_angle_deg_finetuned", after.differentiated);
            output.summary.metric("curvature_error_finetuned", after.curvature_differentiated);
            output.summary.metric("value_change_percent", 100.0 * tuned.change);
        }
        let mut facts = place.facts("sdf", side);
        facts.insert("polyfit_sigma".into(), (operators.sigma() / side).to_string());
        output.model(field, &values, facts)?;
        // The surface.
        let solid = Solid::of_field(field, &values, place);
        let (positions, triangles) = solid.surface(self.job.mesh_resolution)?;
        if triangles.is_empty() {
            let text = "the field has no surface: it is not trained enough, or its learning rate is too large";
            output.summary.warnings.push(text.into());
            return Ok(());
        }
        let found = compare(
            Surface { name: "the surface", positions: &positions, triangles: &triangles },
            self.shape.surface(),
            SAMPLES,
        )?;
        output.figure("chamfer_percent", "Chamfer", found.chamfer_percent, 4, " % of the diagonal");
        output.summary.metric("f_score", found.f_score);
        let topology = Topology::new(positions.len(), &triangles)?;
        output.summary.metric("watertight", topology.watertight() as u8 as f64);
        if let Some(genus) = topology.genus() {
            output.summary.metric("genus", genus as f64);
        }
        let normals = operators.normals(&solid, Derivation::PolyFit, positions.as_flattened())?;
        let off = |points: &[f32]| {
            let distances = self.shape.distance.distances(points.as_chunks::<3>().0);
            distances.into_iter().map(|d| (f64::from(d.abs()) * place.scale) as f32).collect()
        };
        preview::surface(&solid, &operators, Some(("distance to the mesh", &off)), output)?;
        let mesh = place.mesh(&positions, triangles, normals);
        output.summary.metric("n_triangles", mesh.triangles.len() as f64);
        output.file("mesh", "mesh.ply", &ply::encode(&mesh))
    }
}
