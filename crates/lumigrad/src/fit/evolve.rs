//! `fit evolve`: a surface that moves, as one field of space and time (Novello et al. 2023).

use super::book::Book;
use super::describe::{self, Defaults};
use super::drive::{Output, Setup, Task, drive, run_name};
use super::sdf::Shape;
use super::start::Start;
use super::{Fit, FitKeys, given, preview};
use crate::fields::extract;
use crate::fields::operators::differentiated;
use crate::fields::place::{Place, affine};
use crate::fields::solid::Solid;
use crate::files::load_scene;
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::report::Table;
use crate::run::{Observer, Stop, Summary, flatten};
use crate::{Error, Result};
use glam::DVec3;
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Map, Tensor, Var, map::vector};
use lumigrad_field::{Activation, Derivatives, Equation, Field, Jet, Names, Stream};
use lumigrad_geometry::Topology;
use lumigrad_optim::Schedule;
use lumigrad_scene::formats::ply;
use lumigrad_scene::mesh::TriangleMesh;
use std::path::{Path, PathBuf};
use std::sync::Arc;

job_keys! {
    /// Move a surface: smooth or sharpen it by its curvature, carry it by a velocity, or turn it into another.
    FitEvolveJob {
        include fit: FitKeys;
        /// The surface at the start: a mesh (.ply, .obj, .stl, .glb, .gltf).
        mesh: Option<PathBuf>, Path, example "\"bunny.ply\"";
        /// What moves it: curvature smooths (with a negative rate sharpens), velocity carries it along, target turns it into
        /// another mesh.
        by: String, Choice(&["curvature", "velocity", "target"]), default "\"curvature\"";
        /// Rate of the curvature flow: a point moves by 2·rate·(mean curvature) in a unit of time, in the mesh's units.
        rate: f64, Number, default "0.001";
        /// The velocity: three expressions of x, y, z and t, separated by semicolons.
        velocity: String, Text, default "\"1; 0; 0\"";
        /// The mesh at the end, for `target`.
        target: Option<PathBuf>, Path, example "\"spot.obj\"";
        /// A trained field of the surface at the start, whose network is taken over: field.safetensors of fit sdf --encoding
        /// none or of fit eikonal, or its run folder.
        init: Option<PathBuf>, Path, example "\"runs/sdf-bunny\"";
        /// How long it moves.
        duration: f64, Amount, default "1.0";
        /// Meshes that are written, from the start to the end.
        frames: usize, Count(2), default "9";
        /// Cells along the longest side of the grid that surfaces are taken out of.
        mesh_resolution: usize, Count(2), default "128";
    }
}

pub const FIT: Fit =
    Fit { name: "fit evolve", about: FitEvolveJob::ABOUT[0], positional: &["mesh"], keys: FitEvolveJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "none",
    sine: (128, 3),
    omega: 15.0,
    sine_rate: 2e-4,
    grid: (8, 16, 4, 64),
    activation: Activation::Softplus,
};
/// Points of a step: so many at each end whose distance is known, twice as many inside.
const BATCH: usize = 2048;
/// Deviation of points near the surface.
const NEAR: f64 = 0.05;
/// Most frames, how many of them are in the animation, and how many on the page.
const MOST_FRAMES: usize = 1024;
const MOST_PAGES: usize = 64;
const SHOWN: usize = 6;

/// ‖∇u‖ div(∇u/‖∇u‖), guarded where the gradient vanishes.
const CURVATURE: &str = "(u_xx + u_yy + u_zz - (u_x^2*u_xx + u_y^2*u_yy + u_z^2*u_zz + 2*(u_x*u_y*u_xy + u_x*u_z*u_xz + \
                         u_y*u_z*u_yz))/(u_x^2 + u_y^2 + u_z^2 + 1e-6))";
/// How fast one surface is pulled to another (Novello et al. 2023, eq. 11).
const TOWARDS: &str = "u_t - 0.5*(w - u)*exp(-u^2)*sqrt(u_x^2 + u_y^2 + u_z^2 + 1e-6)";

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitEvolveJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let path = given(&job.mesh, &FIT, "MESH", "give a mesh: lumigrad fit evolve bunny.ply")?;
    if job.frames > MOST_FRAMES {
        let message = format!("{}, expected at most {MOST_FRAMES}", job.frames);
        return Err(Error::usage("--frames", message, "choose fewer"));
    }
    extract::check("--mesh-resolution", DVec3::ONE, job.mesh_resolution)?;
    if !(job.duration > 0.0) {
        return Err(Error::usage("--duration", format!("{}", job.duration), "expected more than 0"));
    }
    let load = |path: &Path| -> Result<TriangleMesh> { Ok(flatten(&load_scene(path)?)?.0) };
    let seed = job.fit.run.common.seed;
    let start = job.init.as_ref().map(|init| Start::load(init, &job.fit, seed)).transpose()?;
    let (mesh, name) = (load(&path)?, path.display().to_string());
    let shape = match &start {
        Some(start) => Shape::placed(mesh, &name, start.place)?,
        None => Shape::new(mesh, &name)?,
    };
    if !shape.extent().1 {
        let help = "give a field that was fitted to this mesh";
        return Err(Error::usage("--init", format!("its domain does not hold {name}"), help));
    }
    let end = match (job.by.as_str(), &job.target) {
        ("target", None) => return Err(Error::usage("--target", "it is missing", "give the mesh of the end")),
        // In the domain of the first, so that both keep their places.
        ("target", Some(target)) => Some(shape.beside(load(target)?, &target.display().to_string())?),
        _ => None,
    };
    let equation = equation(&job, shape.place.scale)?;
    let field = match &start {
        Some(start) => start.field.clone(),
        None => describe::field(&job.fit, 4, 1, &DEFAULTS)?,
    };
    let named = (format!("{} moved by {}", path.display(), job.by), run_name("evolve", &path));
    let setup = Setup::of_field(&job.fit, named, (&field, &DEFAULTS), 2000, &device)?;
    let mut setup = Setup { schedule: Schedule::Cosine { end: 0.02 }, warm_up: 0.1, ..setup };
    if let Some(start) = start {
        setup.parameters = start.parameters(seed, &device)?;
    }
    let batch = job.fit.run.batch.unwrap_or(BATCH);
    let mut task = EvolveTask { shape, end, equation, field, batch, job: job.clone(), device };
    drive(setup, &mut task, document, stop, observer)
}

/// What moves the surface, in the mesh's units; `w` is the distance to the end.
fn equation(job: &FitEvolveJob, scale: f64) -> Result<Equation> {
    let text = match job.by.as_str() {
        // u is in units of the domain, of which the equation is homogeneous.
        "curvature" => format!("u_t - ({:e})*{CURVATURE}", job.rate),
        "velocity" => {
            let parts: Vec<&str> = job.velocity.split(';').collect();
            let &[x, y, z] = parts.as_slice() else {
                let message = format!("{} expressions", parts.len());
                return Err(Error::usage("--velocity", message, "expected three, such as \"-y; x; 0\""));
            };
            format!("u_t + ({x})*u_x + ({y})*u_y + ({z})*u_z")
        }
        _ => TOWARDS.replace("sqrt", &format!("{scale:e}*sqrt")),
    };
    let names = Names {
        coordinates: vec!['x', 'y', 'z', 't'],
        unknowns: vec!["u".into(), "w".into()],
        constants: Default::default(),
    };
    Equation::parse(&text, &names).map_err(|e| Error::usage("--velocity", e.to_string(), ""))
}

struct EvolveTask {
    shape: Shape,
    end: Option<Shape>,
    equation: Equation,
    field: Field,
    batch: usize,
    job: FitEvolveJob,
    device: Device,
}

impl EvolveTask {
    /// Points of space, half of them near a surface, with the distances to it.
    fn known(&self, shape: &Shape, step: u64, stream: u64, time: f32) -> Result<(Tensor, Tensor)> {
        let n = self.batch;
        let seed = self.job.fit.run.common.seed ^ stream;
        let first = step * n as u64;
        let mut points: Vec<[f32; 3]> = shape.sampler.draw(seed, first, n / 2).iter().map(|s| s.position).collect();
        for (k, p) in points.iter_mut().enumerate() {
            let number = 3 * (first + k as u64);
            // Half of these stay on the surface.
            let deviation = if k % 2 == 0 { NEAR } else { 0.0 };
            (0..3).for_each(|c| p[c] += (deviation * random::normal(seed ^ 4, number + c as u64)) as f32);
        }
        for k in points.len()..n {
            let number = 3 * (first + k as u64);
            points.push(std::array::from_fn(|c| (2.0 * random::uniform(seed ^ 5, number + c as u64) - 1.0) as f32));
        }
        let distances = shape.distance.distances(&points);
        let places: Vec<f32> = points.iter().flat_map(|p| [p[0], p[1], p[2], time]).collect();
        Ok((
            Tensor::from_slice(&self.device, &places, &[n, 4])?,
            Tensor::from_slice(&self.device, &distances, &[n, 1])?,
        ))
    }

    /// Mean squared difference to distances that are known.
    fn data(&self, parameters: &[Var], points: &Tensor, distances: &Tensor) -> Result<Var> {
        let found = self.field.value(parameters, &points.clone().into())?;
        Ok(found.sub(&distances.clone().into())?.square()?.mean()?)
    }

    /// Points of space and time, and the distance to the end where that pulls.
    fn inside(&self, step: u64) -> Result<(Tensor, Option<Var>)> {
        let n = 2 * self.batch;
        let seed = self.job.fit.run.common.seed ^ 6;
        let number = |k: usize| 4 * (step * n as u64) + k as u64;
        let places: Vec<f32> = (0..4 * n).map(|k| (2.0 * random::uniform(seed, number(k)) - 1.0) as f32).collect();
        let pull = match &self.end {
            Some(end) => {
                let points: Vec<[f32; 3]> = places.chunks_exact(4).map(|p| [p[0], p[1], p[2]]).collect();
                Some(Tensor::from_slice(&self.device, &end.distance.distances(&points), &[n, 1])?.into())
            }
            None => None,
        };
        Ok((Tensor::from_slice(&self.device, &places, &[n, 4])?, pull))
    }

    /// Derivatives that the equation and ‖∇u‖ = 1 need.
    fn needs(&self) -> Derivatives {
        let needs = self.equation.needs();
        let pairs: Vec<[usize; 2]> = needs
            .streams()
            .iter()
            .filter_map(|s| if let Stream::Pair(k, l) = *s { Some([k, l]) } else { None })
            .collect();
        Derivatives::of(&[0, 1, 2, 3], &pairs)
    }

    /// What is left of the equation, in the mesh's units.
    fn residual(&self, jet: &Jet, points: &Tensor, pull: Option<&Var>) -> Result<Var> {
        let Place { centre: [x, y, z], scale } = self.shape.place;
        let (space, half) = (1.0 / scale, 0.5 * self.job.duration);
        let jet = jet.in_units(&[space, space, space, 1.0 / half])?;
        let places = affine(points, &[scale, scale, scale, half], &[x, y, z, half])?;
        // The second component is the distance to the end; only its value is asked for.
        let other = match pull {
            Some(pull) => pull.clone(),
            None => jet.value().stop_gradient().scale(0.0)?,
        };
        let streams = jet.derivatives().streams().into_iter().map(|s| (s == Stream::Value).then(|| other.clone()));
        let both = Jet::join(&[&jet, &Jet::new(jet.derivatives().clone(), streams.collect())])?;
        Ok(self.equation.residual(&both, &places)?)
    }

    /// The solid at a frame, and its time.
    fn solid(&self, values: &[Tensor], frame: usize) -> (Solid<'_>, f64) {
        let share = frame as f64 / (self.job.frames - 1) as f64;
        let mut solid = Solid::of_field(&self.field, values, self.shape.place);
        solid.time = Some((2.0 * share - 1.0) as f32);
        (solid, share * self.job.duration)
    }

    /// Its surface.
    fn surface(&self, solid: &Solid) -> Result<TriangleMesh> {
        let (positions, triangles) = solid.surface(self.job.mesh_resolution)?;
        let normals = differentiated(solid, positions.as_flattened())?;
        Ok(solid.place.mesh(&positions, triangles, normals))
    }
}

/// Mean of (‖∇u‖ − 1)² over space, which keeps distances from flattening.
fn unit_gradient(jet: &Jet) -> Result<Var> {
    let map = Map::cached("fit/unit gradient", |m| {
        let g = ["x", "y", "z"].map(|name| m.item::<1>(name)[0]);
        m.output("square", &[(vector::dot(g, g).max(1e-20).sqrt() - 1.0).square()]);
    });
    Ok(map.apply(&[&jet.first(0)?, &jet.first(1)?, &jet.first(2)?])?.remove(0).mean()?)
}

impl Task for EvolveTask {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let (points, distances) = self.known(&self.shape, step, 1, -1.0)?;
        let mut loss = self.data(parameters, &points, &distances)?.scale(2e3)?;
        if let Some(end) = &self.end {
            let (points, distances) = self.known(end, step, 2, 1.0)?;
            loss = loss.add(&self.data(parameters, &points, &distances)?.scale(2e3)?)?;
        }
        let (points, pull) = self.inside(step)?;
        let jet = self.field.jet(parameters, &points.clone().into(), &Arc::new(self.needs()))?;
        // In units of the whole run: a residual of 1 moves the surface through half of the domain.
        let unit = if self.end.is_some() { 1.0 } else { 1e2 * self.job.duration.powi(2) };
        let residual = self.residual(&jet, &points, pull.as_ref())?.square()?.mean()?.scale(unit)?;
        Ok(loss.add(&residual)?.add(&unit_gradient(&jet)?.scale(0.1)?)?)
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let mut facts = self.shape.place.facts("evolution", self.shape.extent().0);
        facts.insert("duration".into(), self.job.duration.to_string());
        output.model(&self.field, values, facts)?;
        let (points, pull) = self.inside(u64::MAX / (64 * self.batch as u64))?;
        let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let jet = self.field.jet(&vars, &points.clone().into(), &Arc::new(self.needs()))?;
        let residual = self.residual(&jet, &points, pull.as_ref())?.square()?.mean()?.tensor().item()?.sqrt();
        output.figure("residual_rms", "Residual, RMS", residual, 6, "");
        let mut rows = vec![];
        let mut book = Book::new("evolution", self.shape.place.centre)?;
        for k in 0..self.job.frames {
            let (solid, time) = self.solid(values, k);
            let mesh = self.surface(&solid)?;
            let volume = volume(&mesh);
            let topology = Topology::new(mesh.positions.len(), &mesh.triangles)?;
            let genus = topology.genus().map_or("—".into(), |g| g.to_string());
            rows.push(vec![format!("{time:.4}"), mesh.triangles.len().to_string(), format!("{volume:.6}"), genus]);
            output.summary.metric(&format!("volume_{k}"), volume);
            output.folder.write(&format!("frames/{k:04}.ply"), &ply::encode(&mesh))?;
            if k % self.job.frames.div_ceil(MOST_PAGES) == 0 {
                book.page(&mesh)?;
            }
        }
        let shown = SHOWN.min(self.job.frames);
        let moments = (0..shown).map(|k| self.solid(values, k * (self.job.frames - 1) / (shown - 1)));
        let moments: Vec<_> = moments.map(|(solid, time)| (format!("t = {time:.3}"), solid)).collect();
        preview::strip(&moments, output)?;
        output.file("animation", "evolution.glb", &book.into_glb()?)?;
        output.summary.output("frames", &output.folder.final_path("frames"));
        let columns = ["time", "triangles", "volume", "genus"].map(String::from).to_vec();
        output.report.tables.push(Table { title: "Frames".into(), columns, rows });
        Ok(())
    }
}

/// Volume that a closed surface encloses, positive where it faces outwards.
fn volume(mesh: &TriangleMesh) -> f64 {
    let place = |v: u32| glam::DVec3::from_array(mesh.positions[v as usize].map(f64::from));
    mesh.triangles.iter().map(|t| place(t[0]).dot(place(t[1]).cross(place(t[2]))) / 6.0).sum()
}
