//! Losses that bring surfels together on one surface.

use super::{CameraVars, PLANES};
use lumigrad_core::map::{Expr, IntExpr, vector};
use lumigrad_core::{CallParams, Map, Result, Var};

/// Opacity below which a pixel shows no surface.
const SHOWN: f64 = 0.05;

/// The mean over pixels of Σᵢ Σⱼ wᵢ wⱼ (1/zᵢ − 1/zⱼ)² / 2, of a picture of [`super::surfels_vars`]: how far what a ray sees
/// is apart. Inverse depths are counted in units of 1/`unit`, a depth of the scene's size.
///
/// **Source**: Huang et al. 2024, eq. 13, whose depths are those of a projection, which are inverse depths but for two
/// constants.
pub fn depth_distortion(picture: &Var, unit: f64) -> Result<Var> {
    let pixels = picture.shape().iter().product::<usize>() / PLANES;
    let map = Map::cached("splat/distortion", |m| {
        let p = m.item::<PLANES>("picture");
        // Σ w Σ w m² − (Σ w m)², which rounding may make negative.
        m.sum("distortion", &[(1.0 - p[9]) * p[8] - p[7] * p[7]]);
    });
    let sum = map.apply(&[&picture.reshape(&[pixels, PLANES])?])?.remove(0);
    sum.reshape(&[])?.scale(unit * unit / pixels.max(1) as f64)
}

/// The mean over pixels of Σᵢ wᵢ (1 − nᵢ · N), of a picture of [`super::surfels_vars`]: N is the normal of the surface that
/// the mean depths of neighbouring pixels make. Pixels at the border, and those about which nothing is shown, do not count.
///
/// **Gradients** flow to normals, weights and depths. **Source**: Huang et al. 2024, eq. 14.
pub fn normal_consistency(picture: &Var, camera: &CameraVars) -> Result<Var> {
    let [width, height] = camera.size;
    let map = Map::cached("splat/normal consistency", |m| {
        let own = m.item::<PLANES>("picture");
        let all = m.table::<PLANES>("pixels");
        let [fx, fy, cx, cy] = m.uniform::<4>("intrinsics");
        let (width, height) = (m.int_param(), m.int_param());
        let y = m.index().quotient(width);
        let x = m.index() - y * width;
        let mut shown = Expr::from(SHOWN).less(1.0 - own[9]);
        for (k, n) in [(x, width), (y, height)] {
            shown = shown.and(Expr::from(0.5).less(k.to_real())).and(k.to_real().less(n.to_real() - 1.5));
        }
        let mut point = |dx: i32, dy: i32| -> [Expr; 3] {
            let (x, y) = ((x + dx).max(0).min(width - 1), (y + dy).max(0).min(height - 1));
            let pixel = all.fetch(y * width + x);
            let there = Expr::from(SHOWN).less(1.0 - pixel[9]);
            shown = shown.and(there);
            let depth = there.select(pixel[3], 1.0) / there.select(1.0 - pixel[9], 1.0);
            let ray = |k: IntExpr, f: Expr, c: Expr| (k.to_real() + 0.5 - c) / f;
            [ray(x, fx, cx) * depth, ray(y, fy, cy) * depth, depth]
        };
        let [left, right, above, below] = [point(-1, 0), point(1, 0), point(0, -1), point(0, 1)];
        let minus = |a: [Expr; 3], b: [Expr; 3]| -> [Expr; 3] { std::array::from_fn(|k| a[k] - b[k]) };
        let (across, down) = (minus(right, left), minus(below, above));
        // x right, y down, z forward: this side of the surface.
        let n = vector::cross(down, across);
        let square = vector::dot(n, n);
        let shown = shown.and(Expr::from(1e-30).less(square));
        let length = shown.select(square, 1.0).sqrt();
        let agree = vector::dot([own[4], own[5], own[6]], n) / length;
        m.sum("consistency", &[shown.select(1.0 - own[9] - agree, 0.0)]);
    });
    let pixels = picture.reshape(&[width * height, PLANES])?;
    let int = vec![width as i32, height as i32];
    let call = CallParams { items: 0, real: vec![], int };
    let sum = map.apply_with(&[&pixels, &pixels, &camera.intrinsics], call)?.remove(0);
    sum.reshape(&[])?.scale(1.0 / (width * height).max(1) as f64)
}
