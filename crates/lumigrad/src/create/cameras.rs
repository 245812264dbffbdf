//! Cameras around an object, the same for the pictures that priors are made of and for what is created.

use crate::Result;
use lumigrad_guidance::View as Direction;
use lumigrad_scene::camera::View;

/// Metres between the camera and the origin.
const DISTANCE: f64 = 4.0;
/// Radius of the ball about the origin that fits into a picture, metres.
const REACH: f64 = 1.05;

/// The camera that looks at the origin from a direction: a ball of radius 1.05 m fits its square picture of `size` pixels.
///
/// # Errors
/// Directions that are not finite.
pub fn camera(from: Direction, size: usize) -> Result<View> {
    let (sin, cos) = from.elevation.sin_cos();
    let eye = [DISTANCE * cos * from.azimuth.sin(), DISTANCE * sin, DISTANCE * cos * from.azimuth.cos()];
    let yfov = 2.0 * (REACH / DISTANCE).asin();
    let name = format!("view_{:03.0}", from.azimuth.to_degrees().rem_euclid(360.0));
    let view = View::look_at(&name, eye, [0.0; 3], [0.0, 1.0, 0.0], yfov, (size, size))?;
    Ok(View { near: DISTANCE - 2.0 * REACH, far: DISTANCE + 2.0 * REACH, ..view })
}

/// `n` directions around the object at one elevation (radians), the first `offset` (a part of a step) past +Z.
pub fn ring(n: usize, elevation: f64, offset: f64) -> Vec<Direction> {
    let azimuth = |k: usize| std::f64::consts::TAU * (k as f64 + offset) / n.max(1) as f64;
    (0..n).map(|k| Direction { azimuth: azimuth(k), elevation }).collect()
}
