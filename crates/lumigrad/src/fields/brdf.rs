//! Fitted materials as the rasteriser's BRDFs.

use super::file::FieldFile;
use crate::{Error, Result};
use lumigrad_core::map::{Expr, Map, vector};
use lumigrad_core::{Device, Var};
use lumigrad_field::{Activation, Field};
use lumigrad_raster::shading::Brdf;
use std::f64::consts::FRAC_PI_2;
use std::path::Path;

/// What a network of a material sees, by this word in its file's facts.
pub const KIND: &str = "brdf";
/// Numbers that it sees.
pub const INPUTS: usize = 6;

/// A network of a material: from six numbers of the vectors to a BRDF.
#[derive(Clone, Debug)]
pub struct FieldBrdf {
    /// Six numbers to three.
    pub field: Field,
    /// Its parameters; recorded ones get gradients.
    pub parameters: Vec<Var>,
}

impl FieldBrdf {
    /// Reads what `fit material` wrote: its field.safetensors, or its run folder.
    ///
    /// # Errors
    /// A file that cannot be read or is a field of something else.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let help = "give the field.safetensors of lumigrad fit material, or its run folder";
        let found = super::find(path).ok_or_else(|| Error::file(path.display(), "holds no field", help))?;
        let file = FieldFile::load(&found, device)?;
        if file.kind() != KIND {
            let message = format!("a field of kind {:?}, expected one of a material", file.kind());
            return Err(Error::file(file.name(), message, help));
        }
        let (field, values) = file.field(INPUTS)?;
        if field.channels != 3 || field.output != Activation::Exp {
            return Err(file.wrong("channels", format!("{}, expected 3 that are never negative", field.channels)));
        }
        Ok(Self { field: field.clone(), parameters: values.iter().cloned().map(Var::from).collect() })
    }
}

impl Brdf for FieldBrdf {
    fn evaluate(&self, vectors: &Var) -> lumigrad_core::Result<Var> {
        self.field.value(&self.parameters, &inputs(vectors)?).map_err(|e| match e {
            lumigrad_field::Error::Core(e) => e,
            other => lumigrad_core::Error::shape("a material", vectors.shape(), other.to_string()),
        })
    }
}

/// What the network sees of unit vectors [N, 9], normal, view and light: [N, 6] numbers that do not change when light and
/// view are exchanged, so that what it makes of them is reciprocal; or when all three are turned together.
///
/// In the angles of Rusinkiewicz (1998), h between normal and half vector, d between half vector and light, φ of the light
/// about the half vector: sin h, cos h and √(2h/π), which stretches highlights; sin²d·cos 2φ and sin²d·sin 2φ, what a turn
/// by π leaves of the difference; cos d.
///
/// **Gradients**: to the vectors; none of the root within 10⁻⁶ of h = 0, where it is infinite.
///
/// # Errors
/// Another shape.
pub fn inputs(vectors: &Var) -> lumigrad_core::Result<Var> {
    let map = Map::cached("fields/brdf inputs", |m| {
        let [nx, ny, nz, vx, vy, vz, lx, ly, lz] = m.item::<9>("vectors");
        m.output("inputs", &seen([nx, ny, nz], [vx, vy, vz], [lx, ly, lz]));
    });
    Ok(map.apply(&[vectors])?.remove(0))
}

fn seen(normal: [Expr; 3], view: [Expr; 3], light: [Expr; 3]) -> [Expr; INPUTS] {
    let both = vector::add(view, light);
    let length = vector::dot(both, both).max(1e-12).sqrt();
    let half = vector::scale(both, 1.0 / length);
    // By the cross product: 1 − cos²h has half of the digits near the highlight.
    let across = vector::cross(normal, half);
    let (sine, cosine) = (vector::dot(across, across).max(1e-12).sqrt(), vector::dot(normal, half));
    let root = (sine.atan2(cosine) * (1.0 / FRAC_PI_2)).max(0.0).sqrt();
    // The light's part across the half vector, along the great circle from the normal and across that.
    let along = (vector::dot(normal, view) - vector::dot(normal, light)) / (2.0 * sine);
    let aside = vector::dot(normal, vector::cross(view, light)) / (length * sine);
    [sine, cosine, root, along.square() - aside.square(), 2.0 * along * aside, 0.5 * length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_core::Tensor;
    use lumigrad_core::ops::random::uniform;
    use lumigrad_testkit::Check;
    use std::f64::consts::PI;

    /// A unit vector whose height above the horizon of z is at least this.
    fn direction(k: u64, least: f64) -> [f64; 3] {
        let (z, turn) = (least + (0.99 - least) * uniform(7, 2 * k), 2.0 * PI * uniform(7, 2 * k + 1));
        let r = (1.0 - z * z).sqrt();
        [r * turn.cos(), r * turn.sin(), z]
    }

    fn tensor(rows: &[[f64; 9]]) -> Tensor {
        Tensor::from_slice(&Device::cpu(), rows.as_flattened(), &[rows.len(), 9]).unwrap()
    }

    fn rows(n: u64, of: impl Fn([f64; 3], [f64; 3]) -> [[f64; 3]; 3]) -> Vec<[f64; 9]> {
        let row = |k: u64| of(direction(2 * k, 0.05), direction(2 * k + 1, 0.05));
        (0..n).map(|k| std::array::from_fn(|i| row(k)[i / 3][i % 3])).collect()
    }

    fn found(rows: &[[f64; 9]]) -> Vec<f64> {
        inputs(&tensor(rows).into()).unwrap().tensor().to_vec::<f64>().unwrap()
    }

    #[test]
    fn exchanged_and_turned_directions_look_the_same() {
        let plain = found(&rows(500, |v, l| [[0.0, 0.0, 1.0], v, l]));
        // To another axis: x to y, y to z, z to x.
        let turned = |[x, y, z]: [f64; 3]| [z, x, y];
        for other in [
            rows(500, |v, l| [[0.0, 0.0, 1.0], l, v]),
            rows(500, |v, l| [turned([0.0, 0.0, 1.0]), turned(v), turned(l)]),
        ] {
            assert!(plain.iter().zip(found(&other)).all(|(a, b)| (a - b).abs() < 1e-9));
        }
    }

    #[test]
    fn inputs_are_functions_of_the_half_and_difference_angles() {
        // Light and view at a difference angle d and a turn φ about a half vector that leans by h towards x.
        let cases: [(f64, f64, f64); 4] = [(0.3, 0.5, 0.7), (0.9, 0.2, 2.0), (0.05, 0.8, 4.0), (1.2, 0.3, 1.0)];
        for (h, d, turn) in cases {
            let frame = |[x, y, z]: [f64; 3]| [x * h.cos() + z * h.sin(), y, z * h.cos() - x * h.sin()];
            let light = frame([d.sin() * turn.cos(), d.sin() * turn.sin(), d.cos()]);
            let view = frame([-d.sin() * turn.cos(), -d.sin() * turn.sin(), d.cos()]);
            let row = [[0.0, 0.0, 1.0], view, light].concat().try_into().unwrap();
            let square = d.sin() * d.sin();
            let wanted = [
                h.sin(),
                h.cos(),
                (h / FRAC_PI_2).sqrt(),
                square * (2.0 * turn).cos(),
                square * (2.0 * turn).sin(),
                d.cos(),
            ];
            for (a, b) in found(&[row]).iter().zip(wanted) {
                assert!((a - b).abs() < 1e-12, "{a}, expected {b}");
            }
        }
        // With the half vector along the normal, and with vectors that cancel, numbers stay finite.
        let flat = [[0.0, 0.0, 1.0, 0.6, 0.0, 0.8, -0.6, 0.0, 0.8], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, -1.0, 0.0, 0.0]];
        assert!(found(&flat).iter().all(|x| x.is_finite()));
    }

    #[test]
    fn derivatives_by_vectors_and_network_are_right_on_both_devices() {
        let field = Field { output: Activation::Exp, ..Field::siren(INPUTS, 3, 12, 2) };
        let field = Field { omega: [2.0, 30.0], ..field };
        let mut values = vec![tensor(&rows(20, |v, l| [[0.0, 0.0, 1.0], v, l]))];
        let start = field.start(3, &Device::cpu()).unwrap();
        values.extend(start.into_iter().map(|p| p.value.cast(lumigrad_core::DType::F64).unwrap()));
        let brdf = |x: &[Var]| {
            let brdf = FieldBrdf { field: field.clone(), parameters: x[1..].to_vec() };
            Ok(vec![brdf.evaluate(&x[0])?])
        };
        // The root's slope magnifies rounding near the highlight.
        Check::new("a fitted BRDF", brdf).f32_tolerance(1e-3).run(&values);
    }
}
