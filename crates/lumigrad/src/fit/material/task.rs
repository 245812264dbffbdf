//! How a field of a BRDF is trained, and what a run writes.

use super::FitMaterialJob;
use super::angles::{Angles, vectors};
use super::gltf::{Factors, compressed, difference};
use super::known::Known;
use super::sphere::Sphere;
use crate::Result;
use crate::fields::brdf::{KIND, inputs};
use crate::fit::drive::{Output, Task};
use crate::fit::frames::picture;
use crate::fit::image::{clamped, errors};
use crate::run::sphere;
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Derivatives, Field};
use lumigrad_scene::Scene;
use lumigrad_scene::picture::Picture;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pairs of directions that the end is judged at, and that the closest glTF material is found by.
const JUDGED: usize = 1 << 16;
const BAKED: usize = 1 << 12;
/// Cells of the sphere that carries the material in its file.
const CELLS: usize = 64;

pub struct MaterialTask {
    pub known: Known,
    pub field: Field,
    pub batch: usize,
    pub sphere: Sphere,
    /// The sphere of the known BRDF.
    pub truth: Picture,
    pub job: FitMaterialJob,
    pub device: Device,
}

impl MaterialTask {
    /// Mean |ln(1.1 + f) − ln(1.1 + f̂)| over pairs of directions.
    fn error(&self, parameters: &[Var], angles: &[Angles]) -> Result<Var> {
        let found = self.field.value(parameters, &inputs(&vectors(angles, &self.device)?)?)?;
        let known = self.known.at(angles)?;
        let known = Tensor::from_slice(&self.device, known.as_flattened(), &[known.len(), 3])?;
        difference(&found, &compressed(&known.into())?)
    }

    /// The field's BRDF.
    fn found(&self, values: &[Tensor], angles: &[Angles]) -> Result<Vec<[f32; 3]>> {
        let inputs = inputs(&vectors(angles, &Device::cpu())?)?.tensor().to_vec::<f32>()?;
        let found = self.field.sample(values, &inputs, &Arc::new(Derivatives::none()))?.remove(0);
        Ok(found.as_chunks::<3>().0.to_vec())
    }

    fn score(&self, values: &[Tensor]) -> Result<(f64, Picture)> {
        let found = self.sphere.shown(|angles| self.found(values, angles))?;
        Ok((lumigrad_metrics::psnr(&clamped(found.clone()).data, &self.truth.data)?, found))
    }

    /// Mean difference when light and viewer are exchanged, of the mean value.
    fn reciprocity_error(&self, values: &[Tensor], angles: &[Angles]) -> Result<f64> {
        let back = |a: &Angles| {
            let [light, view] = a.directions();
            Angles::of(view, light)
        };
        let (there, back) =
            (self.found(values, angles)?, self.found(values, &angles.iter().map(back).collect::<Vec<_>>())?);
        let pairs = || there.iter().flatten().zip(back.iter().flatten());
        let sum: f64 = pairs().map(|(a, _)| *a as f64).sum();
        Ok(pairs().map(|(a, b)| (a - b).abs() as f64).sum::<f64>() / sum.max(1e-30))
    }
}

impl Task for MaterialTask {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let angles = self.known.draw(random::hash(self.job.fit.run.common.seed, step), self.batch);
        self.error(parameters, &angles)
    }

    fn psnr(&mut self, values: &[Tensor]) -> Result<Option<f64>> {
        Ok(Some(self.score(values)?.0))
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let seed = self.job.fit.run.common.seed;
        let judged = self.known.draw(random::hash(seed, u64::MAX), JUDGED);
        let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let (psnr, found) = self.score(values)?;
        output.figure("psnr", "PSNR of the sphere", psnr, 2, " dB");
        output.figure("log_error", "Error of ln(1.1 + f)", self.error(&vars, &judged)?.tensor().item()?, 6, "");
        let reciprocity = self.reciprocity_error(values, &judged)?;
        output.figure(
            "reciprocity_error_percent",
            "Change when light and viewer are exchanged",
            100.0 * reciprocity,
            5,
            " %",
        );
        let facts = [("kind", KIND), ("inputs", "sin h, cos h, √(2h/π), sin²d cos 2φ, sin²d sin 2φ, cos d")];
        let facts: BTreeMap<String, String> = facts.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        output.model(&self.field, values, facts)?;

        let angles = self.known.draw(random::hash(seed, u64::MAX - 1), BAKED);
        let (factors, loss) = Factors::closest(&angles, &self.found(values, &angles)?, &Device::cpu())?;
        let Factors { base_color, metallic, roughness, specular } = factors;
        for (name, x) in [("gltf_metallic", metallic), ("gltf_roughness", roughness), ("gltf_specular", specular)] {
            output.summary.metric(name, x);
        }
        let channels = ["red", "green", "blue"].map(String::from).into_iter().zip(base_color);
        output.summary.metric_table("gltf_base_color", channels);
        output.figure("gltf_log_error", "The closest glTF material, error of ln(1.1 + f)", loss, 6, "");
        let scene = Scene::from_mesh("sphere", &sphere(CELLS), &factors.material("fitted"), None)?;
        output.file("material", "material.glb", &scene.to_glb()?)?;

        let closest = self.sphere.shown(|angles| factors.at(angles))?;
        let preview = beside(&[&self.truth, &found, &closest]);
        output.file("preview", "preview.png", &clamped(preview).encode_png()?)?;
        let difference = errors(&found, &self.truth);
        let states = vec![
            ("known", self.truth.clone()),
            ("field", found),
            ("error ×10", difference),
            ("closest glTF material", closest),
        ];
        output.slider("sphere", format!("{psnr:.2} dB"), states)
    }
}

/// Pictures of one size from left to right.
fn beside(pictures: &[&Picture]) -> Picture {
    let first = pictures[0];
    let row = first.width * first.channels;
    let rows = (0..first.height).flat_map(|y| pictures.iter().flat_map(move |p| &p.data[y * row..(y + 1) * row]));
    picture(first.width * pictures.len(), first.height, rows.copied().collect())
}
