//! Where to put cameras around an object.

use super::View;
use std::f64::consts::{FRAC_PI_2, TAU};

/// Cameras at one distance from a centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Framing {
    /// What the cameras look at.
    pub centre: [f64; 3],
    /// Distance of the cameras from the centre.
    pub distance: f64,
    /// Vertical field of view, radians.
    pub yfov: f64,
    /// Columns and rows of the pictures.
    pub size: (usize, usize),
    /// Radius of the sphere around the centre that near and far planes must include.
    pub radius: f64,
}

impl Framing {
    /// A framing in which a sphere fills 95 % of the shorter side, at 40° of view across that side.
    ///
    /// A radius that is not a positive number counts as 1, so that an empty scene still has cameras.
    pub fn of_sphere(centre: [f64; 3], radius: f64, size: (usize, usize)) -> Self {
        let radius = if radius > 0.0 && radius.is_finite() { radius } else { 1.0 };
        let across = 40f64.to_radians();
        let aspect = size.0 as f64 / size.1.max(1) as f64;
        let half = (0.5 * across).tan();
        let yfov = 2.0 * (half / aspect.min(1.0)).atan();
        // The cone that touches the sphere has half-angle asin(radius / distance).
        let distance = radius / (0.95 * half).atan().sin();
        Self { centre, distance, yfov, size, radius }
    }

    fn view(&self, name: &str, direction: [f64; 3]) -> View {
        let eye = [0, 1, 2].map(|i| self.centre[i] + self.distance * direction[i]);
        let forward = direction.map(|x| -x);
        let axes = {
            let forward = glam::DVec3::from(forward);
            let right = forward.cross(glam::DVec3::Y).try_normalize().unwrap_or(glam::DVec3::X);
            glam::DMat3::from_cols(right, forward.cross(right), forward)
        };
        let (width, height) = self.size;
        let f = 0.5 * height as f64 / (0.5 * self.yfov).tan();
        let intrinsics = [f, f, 0.5 * width as f64, 0.5 * height as f64];
        let view = View::from_axes(name, axes, eye.into(), intrinsics, self.size);
        let near = (self.distance - 1.1 * self.radius).max(0.01 * self.distance);
        View { near, far: self.distance + 1.1 * self.radius, ..view }
    }
}

/// A camera that looks at `target` from between two others: in a direction and at a distance from it of which a part `t` is the
/// second one's. Lens, size and what is up are the first one's, which is also given back where there is no such place.
pub fn between(first: &View, second: &View, t: f64, target: [f64; 3]) -> View {
    let target = glam::DVec3::from(target);
    let [a, b] = [first, second].map(|v| glam::DVec3::from(v.centre()) - target);
    let distance = a.length() + t * (b.length() - a.length());
    let from = a.normalize_or_zero().lerp(b.normalize_or_zero(), t);
    let eye = target + distance * from.try_normalize().unwrap_or(a.normalize_or_zero());
    let up = first.viewmat[1];
    let size = (first.width, first.height);
    match View::look_at(&first.name, eye.into(), target.into(), [-up[0], -up[1], -up[2]], 1.0, size) {
        Ok(looking) => View { viewmat: looking.viewmat, ..first.clone() },
        Err(_) => first.clone(),
    }
}

/// `n` views on a horizontal circle at `elevation` (radians above the horizon, kept off the poles), evenly spaced; the
/// first stands on the side of +Z and they turn towards +X.
pub fn orbit(n: usize, framing: &Framing, elevation: f64) -> Vec<View> {
    let elevation = elevation.clamp(0.001 - FRAC_PI_2, FRAC_PI_2 - 0.001);
    let (y, r) = elevation.sin_cos();
    let view = |i: usize| {
        let (sin, cos) = (TAU * i as f64 / n as f64).sin_cos();
        framing.view(&format!("orbit_{i:03}"), [r * sin, y, r * cos])
    };
    (0..n).map(view).collect()
}

/// `n` views spread evenly over a sphere, never at a pole.
///
/// A spiral lattice: heights in equal steps, each turned by √2 turns from the last. The usual golden angle would put
/// every eighth view, which are the held-out ones, only 20° from the one before; with √2 they spread as well as all.
pub fn sphere_views(n: usize, framing: &Framing) -> Vec<View> {
    let view = |i: usize| {
        let y = 1.0 - (2 * i + 1) as f64 / n as f64;
        let r = (1.0 - y * y).sqrt();
        let (sin, cos) = (TAU * (i as f64 * std::f64::consts::SQRT_2).fract()).sin_cos();
        framing.view(&format!("sphere_{i:03}"), [r * sin, y, r * cos])
    };
    (0..n).map(view).collect()
}
