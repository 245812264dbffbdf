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
/// Half vectors that an environment is seen by, their spread (α of a GGX distribution, broad enough for what is dull and
/// dense enough for lobes of a tenth of a radian).
const HALVES: usize = 256;
const SPREAD: f64 = 0.5;

impl LightingVars {
    /// Radiance that points [N, [`POINT`]] reflect towards the viewer by a BRDF, linear RGB, [N, 3]; no shadows.
    ///
    /// Lights are exact. Of an environment 256 directions are seen, more of them near the mirrored one, each with the mean of
    /// what is about it: lobes narrower than 0.1 rad are too bright or too dark. The directions turn with normal and view, so
    /// that errors change as slowly as these do. **Gradients**: to points, lights, environment, and through the BRDF.
    /// **Cost**: the BRDF is evaluated once per point and light, and 256 times for an environment; all of that is kept where
    /// it is recorded.
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
                let (half, share): ([Expr; 3], Expr) = (std::array::from_fn(|_| m.param()), m.param());
                let (normal, view) = (three(&point, 3), three(&point, 6));
                let half = about(normal, view, half);
                let cosine = vector::dot(view, half);
                let direction = vector::sub(vector::scale(half, 2.0 * cosine), view);
                // Solid angle of this one's share; behind the half vector there is nothing.
                let solid = share * 4.0 * cosine.max(0.0);
                let blur = (solid.max(1e-6) * (1.0 / (2.0 * PI))).sqrt().sqrt();
                let irradiance = vector::scale(tables.specular(direction, blur), solid * point[POINT - 1]);
                arriving(m, &point, direction, irradiance);
            });
            let inputs: Vec<&Var> = [points].into_iter().chain(environment.inputs()).collect();
            for k in 0..HALVES {
                let call = CallParams { real: half_vector(k).to_vec(), ..Default::default() };
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

/// A vector that is known where z is the normal and the view is above x.
fn about(normal: [Expr; 3], view: [Expr; 3], [x, y, z]: [Expr; 3]) -> [Expr; 3] {
    let flat = vector::sub(view, vector::scale(normal, vector::dot(view, normal)));
    // Seen from straight above, any turn will do.
    let upright = vector::dot(flat, flat).less(1e-8);
    let lies = normal[0].abs().less(0.9);
    let axis = [lies.select(1.0, 0.0), lies.select(0.0, 1.0), 0.0.into()];
    let other = vector::cross(normal, axis);
    let along = vector::normalize(std::array::from_fn(|k| upright.select(other[k], flat[k])));
    let aside = vector::cross(normal, along);
    std::array::from_fn(|k| x * along[k] + y * aside[k] + z * normal[k])
}

/// Half vector k above z, drawn as GGX has them and spread evenly, and its share 1/(n·p) of the solid angle of half vectors.
fn half_vector(k: usize) -> [f64; 4] {
    let u = (k as f64 + 0.5) / HALVES as f64;
    let square = SPREAD * SPREAD;
    let z = ((1.0 - u) / (1.0 + (square - 1.0) * u)).sqrt();
    let (r, turn) = ((1.0 - z * z).sqrt(), k as f64 * PI * (3.0 - 5f64.sqrt()));
    let density = square * z / (PI * (1.0 + (square - 1.0) * z * z).powi(2));
    [r * turn.cos(), r * turn.sin(), z, 1.0 / (HALVES as f64 * density)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_vectors_share_the_hemisphere() {
        // ∫ cos over the hemisphere is π; its shares are those of the distribution.
        let sum: f64 = (0..HALVES).map(|k| half_vector(k)[2] * half_vector(k)[3]).sum();
        assert!((sum / PI - 1.0).abs() < 0.01, "{sum}");
        for k in 0..HALVES {
            let [x, y, z, _] = half_vector(k);
            assert!((x * x + y * y + z * z - 1.0).abs() < 1e-12 && z > 0.0);
        }
    }
}
