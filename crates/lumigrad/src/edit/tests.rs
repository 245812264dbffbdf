use super::attention::extent;
use super::crops::Crops;
use super::model::Model;
use crate::guiding::Guide;
use lumigrad_core::{Device, Tensor};
use lumigrad_guidance::modify::Guidance;
use lumigrad_guidance::{Capability, Condition, DiffusionPrior, Level, Parameterisation, PriorInfo, Result, Schedule};
use lumigrad_scene::camera::{Framing, sphere_views};
use std::path::Path;
use std::sync::Arc;

/// Attends to "red" where pictures are red, and to "thing" elsewhere.
struct Eye(PriorInfo);

impl DiffusionPrior for Eye {
    fn info(&self) -> &PriorInfo {
        &self.0
    }

    fn predict(&self, noisy: &Tensor, _: &[Level], _: &[Condition]) -> Result<Tensor> {
        Ok(noisy.clone())
    }

    fn attention(&self, noisy: &Tensor, _: &[Level], _: &[Condition], word: &str) -> Result<Tensor> {
        let values = noisy.to_vec::<f32>()?;
        let [_, h, w, _] = *noisy.shape() else { panic!("a batch of pictures") };
        let red = |p: &[f32]| if p[0] > p[2] + 0.4 { 1.0f32 } else { 0.0 };
        let map = values.chunks_exact(3).map(|p| if word == "red" { red(p) } else { 1.0 - red(p) });
        Ok(Tensor::from_slice(noisy.device(), &map.collect::<Vec<_>>(), &[1, h, w, 1])?)
    }
}

fn eye() -> Guide {
    let info = PriorInfo {
        name: "an eye".into(),
        size: Some([32, 32]),
        made_for: None,
        multiple: 1,
        pixels: 1,
        channels: 3,
        range: [-1.0, 1.0],
        labels: vec![],
        schedule: Schedule::Cosine,
        parameterisation: Parameterisation::Noise,
        capabilities: vec![Capability::Attention],
    };
    Guide { prior: Arc::new(Eye(info)), wanted: Condition::null(), guidance: Guidance::default() }
}

#[test]
fn attention_finds_the_part_that_a_word_means() {
    let cpu = Device::cpu();
    let sphere = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/sphere.glb");
    let mut model = Model::load(&sphere, 24, &cpu).unwrap();
    // The side of +x is red, the other blue.
    let n = model.grids.lattice.len();
    let red = |k: usize| model.world(k)[0] > model.domain.centre[0];
    let logits: Vec<f32> = (0..n).flat_map(|k| if red(k) { [4.0, -4.0, -4.0] } else { [-4.0, -4.0, 4.0] }).collect();
    let sides: Vec<bool> = (0..n).map(red).collect();
    model.values[1] = Tensor::from_slice(&cpu, &logits, &[n, 3]).unwrap();
    let framing = Framing::of_sphere(model.domain.centre, model.domain.unit(), (32, 32));
    let crops = Crops { views: sphere_views(12, &framing), side: [32, 32], aims: vec![] };
    let values = model.values.clone();
    let found = extent((&eye(), ["red", "thing"]), (&model, &values), &crops, (1, &cpu)).unwrap();
    // What is seen is the surface: most of its corners are on the right side.
    let density = values[0].to_vec::<f32>().unwrap();
    let surface: Vec<usize> = (0..n).filter(|&k| density[k].abs() < 3.0).collect();
    let right = surface.iter().filter(|&&k| found[k] == sides[k]).count();
    assert!(right as f64 > 0.9 * surface.len() as f64, "{right} of {}", surface.len());
}
