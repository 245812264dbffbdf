//! The training's points, and what becomes of the field.

use super::super::drive::{Output, Task};
use super::super::preview;
use super::input::Domain;
use super::network::{Known, Network};
use super::sampler::Sampler;
use super::{pages, surface};
use crate::Result;
use crate::fields::extract;
use crate::fields::operators::{Operators, SAMPLES, SMOOTH, differentiated};
use crate::fields::solid::Solid;
use glam::DVec3;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_geometry::{Bvh, Topology};
use lumigrad_scene::formats::ply;

/// How far from contours most points are, from the first step to the last.
const RADII: [f64; 2] = [0.06, 0.01];
/// Width of the change from inside to outside.
const SOFTNESS: [f64; 2] = [0.04, 0.005];
/// Points without labels for each with one.
const FREE: f64 = 0.15;
/// How far half of these are from contours.
const FREE_RADIUS: f64 = 0.08;
/// Part of the grid beyond the box outside of which nothing is.
pub const BEYOND: f64 = 0.02;
/// Distance of points along contours where errors are measured.
const ALONG: f64 = 0.01;

pub struct SlicesTask {
    pub sampler: Sampler,
    pub network: Network,
    pub batch: usize,
    pub resolution: usize,
    pub progress: f64,
    pub warnings: Vec<String>,
    pub device: Device,
}

impl Task for SlicesTask {
    fn progress(&mut self, progress: f64) {
        self.progress = progress;
    }

    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let now = |[from, to]: [f64; 2]| from * (to / from).powf(self.progress);
        let known = self.sampler.labelled(step, self.batch, now(RADII));
        let labels: Vec<f32> = known.iter().map(|(_, label)| *label).collect();
        let labels = Tensor::from_slice(&self.device, &labels, &[known.len(), 1])?.into();
        let points = self.tensor(known.into_iter().map(|(p, _)| p))?;
        let known = Known { points, labels, softness: now(SOFTNESS) };
        let n = (self.batch as f64 * FREE).ceil() as usize;
        let free = self.tensor(self.sampler.free(step, n, FREE_RADIUS).into_iter())?;
        self.network.loss(parameters, &known, &free)
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        output.summary.warnings.append(&mut self.warnings);
        let domain = self.sampler.domain();
        let contours = contour_points(domain);
        let parameters: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let mut solid = Solid::new(&self.device, domain.place(), |points, derivatives| {
            self.network.jet(&parameters, points, derivatives)
        });
        solid.half = domain.outer() + BEYOND;
        let grid = extract::grid(solid.half, self.resolution);
        let samples = extract::sampled(&grid, &mut |points| solid.values(points))?;
        let found = surface::extract(&samples, &grid, &contours)?;
        drop(samples);
        if found.triangles.is_empty() {
            output.summary.warnings.push("the field has no surface; train longer".into());
        }
        output.summary.metric("n_removed_components", found.n_removed as f64);
        self.measure(&found, &contours, output);
        let normals = differentiated(&solid, found.positions.as_flattened())?;
        let mesh = solid.place.mesh(&found.positions, found.triangles, normals);
        let topology = Topology::welded(&mesh.positions, &mesh.triangles)?;
        output.summary.flag("watertight", topology.watertight() && topology.manifold());
        output.summary.metric("n_components", topology.n_parts as f64);
        if let Some(genus) = topology.genus() {
            output.figure("genus", "genus", genus as f64, 0, "");
        }
        let mut facts = solid.place.facts("slices", 2.0 * domain.half.max_element());
        facts.insert("half".into(), format!("{:?}", solid.half.to_array()));
        output.file("field", "field.safetensors", &self.network.to_bytes(values, facts)?)?;
        output.file("mesh", "mesh.ply", &ply::encode(&mesh))?;
        if !mesh.triangles.is_empty() {
            // The residual network takes too long for that.
            if matches!(self.network, Network::Smooth { .. }) {
                preview::surface(&solid, &Operators::new(SMOOTH, SAMPLES, 0)?, None, output)?;
            }
            let folder = output.folder.path("views");
            output.report.galleries.push(pages::views(&mesh, &folder)?);
            output.summary.output("views", &output.folder.final_path("views"));
        }
        let (planes, wrong) = pages::planes(domain, &mut |points| solid.values(points))?;
        output.report.galleries.extend(planes);
        output.figure("label_error_percent", "wrong side on planes", wrong, 2, " % of the area inside");
        Ok(())
    }
}

impl SlicesTask {
    /// Points [N, 3].
    fn tensor(&self, points: impl Iterator<Item = DVec3>) -> Result<Var> {
        let numbers: Vec<f32> = points.flat_map(|p| p.as_vec3().to_array()).collect();
        Ok(Tensor::from_slice(&self.device, &numbers, &[numbers.len() / 3, 3])?.into())
    }

    /// How far contours are from the surface, in per cent of the diagonal of their box.
    fn measure(&self, mesh: &surface::Mesh, contours: &[DVec3], output: &mut Output) {
        let bvh = Bvh::new(&mesh.positions, &mesh.triangles);
        let distances: Vec<f64> = contours.iter().filter_map(|&p| bvh.nearest(p)).map(|n| n.distance).collect();
        if distances.is_empty() {
            return;
        }
        let percent = 100.0 / (2.0 * self.sampler.domain().half.length());
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        output.figure("contour_error_percent", "contour error", mean * percent, 3, " % of the diagonal");
        let most = distances.iter().copied().fold(0.0, f64::max);
        output.summary.metric("contour_error_max_percent", most * percent);
    }
}

/// Points along all contours, in the field's coordinates.
fn contour_points(domain: &Domain) -> Vec<DVec3> {
    let on = |s: &lumigrad_geometry::Slice, t: f64| Some(s.plane.point(s.region.along(t)?.0));
    let of = |s| {
        let s: &lumigrad_geometry::Slice = s;
        let n = (s.region.length() / ALONG).ceil() as usize;
        (0..n).filter_map(move |k| on(s, (k as f64 + 0.5) / n as f64))
    };
    domain.slices.iter().flat_map(of).collect()
}
