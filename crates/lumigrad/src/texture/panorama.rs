//! Panoramas: equirectangular pictures of what is all around.

use super::painted::Painted;
use crate::run::job::Size;
use crate::{Error, Result};
use lumigrad_scene::camera::View;
use std::f64::consts::{PI, TAU};

/// Field of view of each camera, radians: those that look up and down meet those on the horizon.
const FIELD: f64 = 1.75;
/// Fewest views that leave no gap.
const FEWEST: usize = 6;

/// Cameras in the middle that look all around: all but two along the horizon, one up and one down.
///
/// # Errors
/// Too few views, or a panorama that is not twice as wide as high.
pub fn views(n: usize, pictures: Size, size: Size) -> Result<Vec<View>> {
    if n < FEWEST {
        let message = format!("{n} views leave gaps in a panorama");
        return Err(Error::usage("--views", message, format!("at least {FEWEST}")));
    }
    if size.width != 2 * size.height {
        let message = format!("{}x{} is no equirectangular picture", size.width, size.height);
        return Err(Error::usage("--panorama", message, "twice as many columns as rows, such as 256x128"));
    }
    let pictures = (pictures.width, pictures.height);
    let look = |name: String, to: [f64; 3], up: [f64; 3]| Ok(View::look_at(&name, [0.0; 3], to, up, FIELD, pictures)?);
    let around = n - 2;
    let mut views = (0..around)
        .map(|k| {
            let (sin, cos) = (TAU * k as f64 / around as f64).sin_cos();
            look(format!("horizon_{k:03}"), [cos, 0.0, sin], [0.0, 1.0, 0.0])
        })
        .collect::<Result<Vec<_>>>()?;
    views.push(look("above".into(), [0.0, 1.0, 0.0], [1.0, 0.0, 0.0])?);
    views.push(look("below".into(), [0.0, -1.0, 0.0], [1.0, 0.0, 0.0])?);
    Ok(views)
}

/// Which pixel of the panorama each pixel of the views shows: u = ½ + atan2(z, x)/2π, v = acos(y)/π.
/// Pixels weigh as the cosine of their angle to the middle, to a power.
pub fn painted(power: f64, size: Size, views: &[View]) -> Painted {
    let [columns, rows] = [size.width, size.height];
    let (mut texels, mut weights) = (vec![], vec![]);
    for view in views {
        let forward = view.forward();
        for k in 0..view.width * view.height {
            let place = [(k % view.width) as f64 + 0.5, (k / view.width) as f64 + 0.5];
            let along = view.ray(place).map(|[_, along]| glam::DVec3::from(along).normalize_or_zero());
            let Some([x, y, z]) = along.map(|d| d.to_array()) else {
                texels.push(None);
                weights.push(0.0);
                continue;
            };
            let (u, v) = (0.5 + z.atan2(x) / TAU, y.clamp(-1.0, 1.0).acos() / PI);
            let at = |x: f64, n: usize| ((x * n as f64) as usize).min(n - 1);
            texels.push(Some((at(v, rows) * columns + at(u, columns)) as u32));
            let cosine: f64 = (0..3).map(|a| forward[a] * [x, y, z][a]).sum();
            weights.push(cosine.max(0.0).powf(power) as f32);
        }
    }
    Painted { materials: vec![None], size: [columns, rows], texels, weights }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_of_a_panorama_leave_no_gaps() {
        let (size, pictures) = (Size { width: 64, height: 32 }, Size { width: 128, height: 128 });
        let found = painted(4.0, size, &views(6, pictures, size).unwrap());
        let mut seen = vec![false; 64 * 32];
        found.texels.iter().flatten().for_each(|t| seen[*t as usize] = true);
        // Next to the poles texels are narrower than pixels: some are between them.
        assert!(seen.iter().filter(|s| **s).count() > 62 * 32);
        // The first camera looks along +x, which is the middle of the picture.
        let middle = found.texels[64 * 128 + 64].unwrap() as usize;
        assert!((middle % 64).abs_diff(32) <= 1 && (middle / 64).abs_diff(16) <= 1, "{middle}");
        assert!(views(6, pictures, Size { width: 64, height: 64 }).is_err() && views(5, pictures, size).is_err());
    }
}
