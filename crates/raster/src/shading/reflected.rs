//! Light that is reflected by a BRDF of the caller's own making: a network that was fitted to measurements, say.

use super::environment::EnvironmentTables;
use super::lighting::LightingVars;
use super::lights::incident;
use crate::Result;
use lumigrad_core::map::{Builder, CallParams, Expr, Map, vector};
use lumigrad_core::ops::pointwise;
use lumigrad_core::{Error, Tensor, Var};
use std::f64::consts::PI;
use std::fmt::Debug;

/// What a surface reflects, as recorded operators: for materials that glTF's formula does not say.
pub trait Brdf: Debug + Send + Sync {
    /// The BRDF, per steradian, linear RGB, [N, 3], at rows [N, 9] of three unit vectors: the normal, towards the viewer,
    /// towards the light. The light is above the horizon; the viewer may be a little below it.
    ///
    /// **Gradients**: to the vectors and to whatever recorded values it holds.
    ///
    /// # Errors
    /// What its operators cannot do.
    fn evaluate(&self, vectors: &Var) -> lumigrad_core::Result<Var>;
}

/// Numbers of a point that is lit: position, unit normal, unit vector towards the viewer, occlusion (1 = open).
pub const POINT: usize = 10;
/// Directions that stand for an environment, spread evenly.
const DIRECTIONS: usize = 256;
/// Roughness of the lobe that the environment is blurred by around each of them: about as wide as they are apart.
const BLUR: f64 = 0.3;

impl LightingVars {
    /// Radiance that points [N, [`POINT`]] reflect towards the viewer by a BRDF, linear RGB, [N, 3]; no shadows.
    ///
    /// Lights are exact. An environment is the sum of 256 directions, each with the mean of what is around it: lobes
    /// narrower than these are apart (0.2 rad) show them one by one. **Gradients**: to points, lights, environment, and
    /// through the BRDF. **Cost**: the BRDF is evaluated once per point and light, and 256 times for an environment; all of
    /// that is kept where it is recorded.
    ///
    /// # Errors
    /// Points of another shape; what the BRDF fails at, or gives in another shape.
    pub fn reflected(&self, brdf: &dyn Brdf, points: &Var) -> Result<Var> {
        let &[n, POINT] = points.shape() else {
            return Err(Error::shape("points", points.shape(), format!("[N, {POINT}]")).into());
        };
        let mut sum: Var = Tensor::zeros(points.device(), points.dtype(), &[n, 3])?.into();
        let mut add = |arriving: Vec<Var>| -> Result<()> {
            let [vectors, arriving] = arriving.as_slice() else { unreachable!("two outputs") };
            let brdf = brdf.evaluate(vectors)?;
            if brdf.shape() != [n, 3] {
                return Err(Error::shape("a BRDF", brdf.shape(), format!("[{n}, 3] (N from points)")).into());
            }
            sum = pointwise("raster/reflected", &[&sum, &brdf, arriving], |x| x[0] + x[1] * x[2])?;
            Ok(())
        };
        if let Some((table, kinds)) = self.lights() {
            let map = Map::cached("raster/from a light", |m| {
                let point = m.item::<POINT>("points");
                let (table, kinds) = (m.table("lights"), m.table_int::<1>("kinds of lights"));
                let light = m.int_param();
                let light = incident(table.fetch(light), kinds.fetch(light)[0], three(&point, 0));
                arriving(m, &point, light.direction, light.irradiance);
            });
            for light in 0..kinds.len() as i32 {
                add(map.apply_with(&[points, table, kinds], CallParams { int: vec![light], ..Default::default() })?)?;
            }
        }
        if let Some(environment) = self.environment() {
            let map = Map::cached("raster/from around", |m| {
                let point = m.item::<POINT>("points");
                let tables = EnvironmentTables::declare(m);
                let direction: [Expr; 3] = std::array::from_fn(|_| m.param());
                let share = point[POINT - 1] * (4.0 * PI / DIRECTIONS as f64);
                let irradiance = vector::scale(tables.specular(direction, BLUR.into()), share);
                arriving(m, &point, direction, irradiance);
            });
            let inputs: Vec<&Var> = [points].into_iter().chain(environment.inputs()).collect();
            for k in 0..DIRECTIONS {
                let call = CallParams { real: spread(k, DIRECTIONS).to_vec(), ..Default::default() };
                add(map.apply_with(&inputs, call)?)?;
            }
        }
        Ok(sum)
    }
}

fn three(row: &[Expr], at: usize) -> [Expr; 3] {
    [row[at], row[at + 1], row[at + 2]]
}

/// The vectors that a BRDF is asked for, and the irradiance on the surface.
fn arriving(m: &mut Builder, point: &[Expr; POINT], direction: [Expr; 3], irradiance: [Expr; 3]) {
    let (normal, view) = (three(point, 3), three(point, 6));
    let cosine = vector::dot(normal, direction);
    let lit = cosine.greater(0.0);
    // What is below the horizon gives nothing; its vectors only have to be harmless.
    let light: [Expr; 3] = std::array::from_fn(|k| lit.select(direction[k], normal[k]));
    m.output("vectors", &[normal, view, light].concat());
    m.output("arriving", &vector::scale(irradiance, lit.select(cosine, 0.0)));
}

/// Number k of n unit vectors that share the sphere about evenly: equal heights, turns by the golden section.
fn spread(k: usize, n: usize) -> [f64; 3] {
    let y = 1.0 - (2 * k + 1) as f64 / n as f64;
    let (r, turn) = ((1.0 - y * y).sqrt(), k as f64 * PI * (3.0 - 5f64.sqrt()));
    [r * turn.cos(), y, r * turn.sin()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_share_the_sphere_evenly() {
        // Against the integrals of x, x² and max(n·x, 0) over the sphere.
        let all: Vec<[f64; 3]> = (0..DIRECTIONS).map(|k| spread(k, DIRECTIONS)).collect();
        let mean = |f: &dyn Fn(&[f64; 3]) -> f64| all.iter().map(f).sum::<f64>() / DIRECTIONS as f64;
        for axis in 0..3 {
            assert!(mean(&|d| d[axis]).abs() < 1e-3 && (mean(&|d| d[axis] * d[axis]) - 1.0 / 3.0).abs() < 1e-3);
        }
        for n in [[0.0, 1.0, 0.0], [0.6, 0.0, 0.8], [-0.48, 0.6, 0.64]] {
            let cosine = |d: &[f64; 3]| (0..3).map(|k| n[k] * d[k]).sum::<f64>().max(0.0);
            assert!((4.0 * mean(&cosine) - 1.0).abs() < 0.01, "{n:?}: {}", 4.0 * mean(&cosine));
        }
    }
}
