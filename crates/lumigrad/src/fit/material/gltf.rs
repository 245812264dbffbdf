//! glTF's material as a function of directions, and the one that is closest to a BRDF.

use super::angles::{Angles, vectors};
use crate::Result;
use lumigrad_core::map::vector;
use lumigrad_core::{DType, Device, Map, Tensor, Var};
use lumigrad_field::{Parameter, Rates, Training};
use lumigrad_raster::shading::{Dielectric, Substance};
use lumigrad_scene::{Material, Specular};

/// What a glTF material is made of, without textures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    pub base_color: [f64; 3],
    pub metallic: f64,
    pub roughness: f64,
    /// Strength of what is not metal (KHR_materials_specular); with 0 only the diffuse part is left.
    pub specular: f64,
}

impl Factors {
    fn row(self) -> [f64; 6] {
        let [r, g, b] = self.base_color;
        [r, g, b, self.metallic, self.roughness, self.specular]
    }

    fn from_row(row: &[f64]) -> Self {
        Self { base_color: [row[0], row[1], row[2]], metallic: row[3], roughness: row[4], specular: row[5] }
    }

    /// The BRDF of pairs of directions above the horizon.
    pub fn at(self, angles: &[Angles]) -> Result<Vec<[f32; 3]>> {
        let cpu = Device::cpu();
        let factors = Tensor::from_slice(&cpu, &self.row().map(|x| x as f32), &[1, 6])?.into();
        let found = brdf(&factors, &vectors(angles, &cpu)?)?.tensor().to_vec::<f32>()?;
        Ok(found.as_chunks::<3>().0.to_vec())
    }

    /// The material in a file.
    pub fn material(self, name: &str) -> Material {
        let [r, g, b] = self.base_color.map(|x| x as f32);
        let specular =
            Specular { factor: self.specular as f32, texture: None, color_factor: [1.0; 3], color_texture: None };
        Material {
            name: name.into(),
            base_color_factor: [r, g, b, 1.0],
            metallic_factor: self.metallic as f32,
            roughness_factor: self.roughness as f32,
            specular: Some(specular),
            ..Material::default()
        }
    }

    /// The material that is closest to a BRDF at angles, with its loss: from a dull and from a shining start, metal or not.
    pub fn closest(angles: &[Angles], wanted: &[[f32; 3]], device: &Device) -> Result<(Self, f64)> {
        let logs = Tensor::from_slice(device, wanted.as_flattened(), &[wanted.len(), 3])?;
        let logs = compressed(&logs.into())?;
        let vectors = vectors(angles, device)?;
        let mut best: Option<(Self, f64)> = None;
        for (metallic, roughness) in [(-2.0, -1.5), (-2.0, 1.0), (2.0, -1.5), (2.0, 1.0)] {
            let start = [0.0, 0.0, 0.0, metallic, roughness, 0.0f32];
            let value = Tensor::from_slice(device, &start, &[1, 6])?;
            let parameter = Parameter { name: "factors".into(), value, rate: 1.0, sparse: false };
            let mut training = Training::new(vec![parameter], Rates { rate: 0.05, table_rate: 0.0, clip: None });
            let mut loss = f64::INFINITY;
            for step in 0..STEPS {
                let factor = 1.0 - step as f64 / STEPS as f64;
                let of = |vars: &[Var]| -> Result<Var> { difference(&brdf(&vars[0].sigmoid()?, &vectors)?, &logs) };
                loss = training.step(factor, of)?.loss;
            }
            if best.is_none_or(|(_, least)| loss < least) {
                let factors = Var::from(training.values().remove(0)).sigmoid()?.tensor().cast(DType::F64)?;
                best = Some((Self::from_row(&factors.to_vec::<f64>()?), loss));
            }
        }
        Ok(best.expect("there are starts"))
    }
}

/// Steps from each start.
const STEPS: usize = 250;

/// ln(1.1 + f): a scale on which highlights do not outweigh all else (Sztrajman et al. 2021).
pub fn compressed(brdf: &Var) -> Result<Var> {
    Ok(brdf.offset(1.1)?.ln()?)
}

/// Mean distance of a BRDF from one that is compressed.
pub fn difference(brdf: &Var, logs: &Var) -> Result<Var> {
    Ok(compressed(brdf)?.sub(logs)?.abs()?.mean()?)
}

/// The rasteriser's BRDF by one row of factors, [N, 3].
fn brdf(factors: &Var, vectors: &Var) -> Result<Var> {
    let map = Map::cached("fit/gltf brdf", |m| {
        let [r, g, b, metallic, roughness, specular] = m.uniform::<6>("factors");
        let [nx, ny, nz, vx, vy, vz, lx, ly, lz] = m.item::<9>("vectors");
        let dielectric = Dielectric::new(1.5.into(), specular, [1.0.into(); 3]);
        let substance = Substance { dielectric, ..Substance::new([r, g, b], metallic, roughness) };
        let (normal, light) = ([nx, ny, nz], [lx, ly, lz]);
        let reflected = substance.reflect(normal, [vx, vy, vz], light);
        m.output("brdf", &vector::scale(reflected, 1.0 / vector::dot(normal, light).max(1e-6)));
    });
    Ok(map.apply(&[factors, vectors])?.remove(0))
}
