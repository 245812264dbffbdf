//! Normals of a surface that is created, and how they are polished (after Cheng et al. 2024, DreamPolish).

use super::cameras::camera;
use super::keys::PolishKeys;
use crate::Result;
use crate::fields::textured::{coded, picture};
use crate::optimize::over;
use crate::train::mesh::Sight;
use lumigrad_core::map::{CallParams, Map};
use lumigrad_core::ops::concat;
use lumigrad_core::{Device, Var};
use lumigrad_guidance::View as Direction;

/// Rows and columns that normals are compared at, at least.
const SIDE: usize = 64;
/// Differences of unit normals beyond which pixels are on two sides of an edge.
const EDGE: f64 = 0.4;
/// Coverage that a pixel has at least whose normal counts.
const COVERED: f64 = 0.999;

/// How normals are looked at.
#[derive(Clone, Copy)]
pub struct Polish {
    /// Rows and columns that a prior of normals sees.
    pub side: usize,
    /// Weight of how rough they are.
    weight: f64,
}

impl Polish {
    pub fn new(job: &PolishKeys, side: usize) -> Self {
        Self { side, weight: job.smooth_weight }
    }

    /// Normals of a surface from some directions, [n, side, side, 3] over white, and the weighted roughness of them.
    ///
    /// # Errors
    /// Those of the renderer.
    pub fn seen(&self, sight: &Sight, from: &[Direction], device: &Device) -> Result<(Var, Var)> {
        let finer = SIDE.div_ceil(self.side);
        let (n, side, large) = (from.len(), self.side, self.side * finer);
        let normals = sight.normals()?;
        let mut pictures = vec![];
        for direction in from {
            let view = camera(*direction, large)?;
            let frame = sight.coloured(&coded(&normals, &view)?)?;
            pictures.push(picture(&frame, &view, sight.positions(), device)?.reshape(&[1, large, large, 4])?);
        }
        let pictures = concat(&pictures.iter().collect::<Vec<_>>(), 0)?;
        let rough = roughness(&pictures)?.scale(self.weight)?;
        let shown = over(&pictures, [1.0; 3], false)?.slice(3, 0, 3)?;
        let rows = shown.reshape(&[n * side, finer, large * 3])?.mean_axis(1)?;
        let pixels = rows.reshape(&[n * side * side, finer, 3])?.mean_axis(1)?;
        Ok((pixels.reshape(&[n, side, side, 3])?, rough))
    }
}

/// How much normals differ between neighbouring pixels of pictures [N, H, W, 4] of colours ½ + ½n and coverage: the mean over
/// pixels of Σ τ²(1 − exp(−d²/2τ²)) over the pixel to the right and the one below, τ = 0.4.
///
/// What bends a little is pulled straight as by d²/2; what is an edge, d well above τ, hardly at all. Pixels at silhouettes do not
/// count. **Gradients**: to the colours.
///
/// # Errors
/// Memory.
fn roughness(pictures: &Var) -> Result<Var> {
    let (h, w) = (pictures.shape()[1], pictures.shape()[2]);
    let map = Map::cached("create/roughness", |m| {
        let table = m.table::<4>("pictures");
        let (w, h) = (m.int_param(), m.int_param());
        let at = m.index();
        let row = at.quotient(w);
        let (x, y) = (at - row * w, row - row.quotient(h) * h);
        let own = table.fetch(at);
        let mut sum = lumigrad_core::map::Expr::from(0.0);
        for (inside, next) in [((x + 1).less(w), at + 1), ((y + 1).less(h), at + w)] {
            let other = table.fetch(inside.select_int(next, at));
            let both = own[3].min(other[3]).greater(COVERED);
            // Colours are half of normals.
            let squares: Vec<_> = (0..3).map(|c| 4.0 * (own[c] - other[c]) * (own[c] - other[c])).collect();
            let d = squares[0] + squares[1] + squares[2];
            let robust = EDGE * EDGE * (1.0 - (d * (-0.5 / (EDGE * EDGE))).exp());
            sum = sum + both.select(robust, 0.0);
        }
        m.output("roughness", &[sum]);
    });
    let call = CallParams { items: pictures.len() / 4, int: vec![w as i32, h as i32], ..Default::default() };
    Ok(map.apply_with(&[&pictures.reshape(&[pictures.len() / 4, 4])?], call)?.remove(0).mean()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_core::Tensor;
    use lumigrad_testkit::{Check, real};

    #[test]
    fn roughness_has_right_derivatives_on_both_devices() {
        let mut values = real(&[2, 4, 5, 4], 3).to_vec::<f64>().unwrap();
        // Coverage well away from where pixels begin to count.
        values.chunks_exact_mut(4).enumerate().for_each(|(k, pixel)| pixel[3] = if k % 7 == 3 { 0.5 } else { 1.0 });
        let pictures = Tensor::from_slice(&Device::cpu(), &values, &[2, 4, 5, 4]).unwrap();
        Check::new("roughness", |x| Ok(vec![roughness(&x[0]).expect("shapes fit")])).run(&[pictures]);
    }

    #[test]
    fn bends_cost_their_squares_and_edges_a_constant() {
        let of = |off: f64| {
            let pixel = |x: usize| [if x < 2 { 0.5 } else { 0.5 + off }, 0.5, 0.5, 1.0];
            let data: Vec<f64> = (0..12).flat_map(|i| pixel(i % 4)).collect();
            let picture = Tensor::from_slice(&Device::cpu(), &data, &[1, 3, 4, 4]).unwrap();
            roughness(&picture.into()).unwrap().tensor().item().unwrap()
        };
        // Three of twelve pixels have a neighbour that differs, by 2·off.
        assert!((of(0.01) / (0.25 * 0.5 * 0.02f64.powi(2)) - 1.0).abs() < 2e-3, "{}", of(0.01));
        assert!((of(0.5) / of(0.4) - 1.0).abs() < 0.15 && of(0.5) < 0.25 * EDGE * EDGE);
    }
}
