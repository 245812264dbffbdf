//! Where rays meet the surfaces of solids.

use super::solid::Solid;
use crate::Result;
use glam::DVec3;
use lumigrad_core::ops::random;

/// Steps of a ray at most; those that find nothing within them miss.
const STEPS: usize = 1024;
/// The longest and the shortest step, in parts of the domain's longest side. What is thinner than the shortest may be missed.
const LONGEST: f64 = 1.0 / 32.0;
const SHORTEST: f64 = 1.0 / 2048.0;
/// Halvings of the part of a ray in which the field changes its sign.
const HALVINGS: usize = 14;
/// Pairs of points that tell how steep a field is, and how far apart they are, in parts of the domain's longest side.
const PAIRS: usize = 1 << 13;
const APART: f64 = 1.0 / 128.0;

/// A ray in a solid's domain.
#[derive(Clone, Copy, Debug)]
pub struct Ray {
    /// Where it begins.
    pub origin: DVec3,
    /// Where it goes, of length one.
    pub direction: DVec3,
}

impl Ray {
    /// The point at a distance.
    pub fn at(&self, distance: f64) -> DVec3 {
        self.origin + self.direction * distance
    }

    /// Where it enters a box around 0 and leaves it.
    fn within(&self, half: DVec3) -> Option<[f64; 2]> {
        let (a, b) = ((-half - self.origin) / self.direction, (half - self.origin) / self.direction);
        let near = a.min(b).max_element().max(0.0);
        let far = a.max(b).min_element();
        (near < far).then_some([near, far])
    }
}

/// How much a solid's field rises at most per unit of distance, of many pairs of points at the distance of a step: what
/// steps are divided by.
pub fn steepest(solid: &Solid) -> Result<f64> {
    let apart = APART * 2.0 * solid.half.max_element();
    let point = |k: usize| {
        let number = 3 * k as u64;
        let within = DVec3::from_array([0, 1, 2].map(|c| 2.0 * random::uniform(1, number + c) - 1.0)) * solid.half;
        let towards = DVec3::from_array([0, 1, 2].map(|c| random::normal(2, number + c))).normalize_or(DVec3::X);
        [within, within + towards * apart]
    };
    let points: Vec<f32> = (0..PAIRS).flat_map(point).flat_map(|p| p.as_vec3().to_array()).collect();
    let values = solid.values(&points)?;
    let rise = |pair: &[f32]| f64::from((pair[0] - pair[1]).abs()) / apart;
    Ok(values.chunks_exact(2).map(rise).filter(|r| r.is_finite()).fold(1e-6, f64::max))
}

/// A ray on its way.
struct March {
    ray: usize,
    /// Where it was last outside, and where it is.
    last: f64,
    at: f64,
    far: f64,
}

/// Where each ray meets the surface: it steps by what the field, which rises by `steepest` at most, says to be free, and
/// halves the step in which the field becomes negative. A solid that is cut off by its box is met there.
///
/// **Cost**: evaluations of all rays that are still on their way, step by step; some 20 for most of them.
pub fn trace(solid: &Solid, rays: &[Ray], steepest: f64) -> Result<Vec<Option<f64>>> {
    let side = 2.0 * solid.half.max_element();
    let (shortest, longest) = (SHORTEST * side, LONGEST * side);
    let values = |places: &mut dyn Iterator<Item = (usize, f64)>| {
        let points: Vec<f32> = places.flat_map(|(ray, at)| rays[ray].at(at).as_vec3().to_array()).collect();
        solid.values(&points)
    };
    let start = |(ray, r): (usize, &Ray)| {
        let [near, far] = r.within(solid.half)?;
        Some(March { ray, last: near, at: near, far })
    };
    let mut marches: Vec<March> = rays.iter().enumerate().filter_map(start).collect();
    let mut crossings = vec![];
    for _ in 0..STEPS {
        if marches.is_empty() {
            break;
        }
        let found = values(&mut marches.iter().map(|m| (m.ray, m.at)))?;
        let mut found = found.into_iter();
        marches.retain_mut(|m| {
            let value = f64::from(found.next().expect("one value per ray"));
            if value < 0.0 {
                crossings.push((m.ray, m.last, m.at));
                return false;
            }
            m.last = m.at;
            // What is not a number is outside.
            let step = (value / steepest).max(shortest).min(longest);
            m.at = (m.at + step).min(m.far);
            m.last < m.far
        });
    }
    for _ in 0..HALVINGS {
        let found = values(&mut crossings.iter().map(|&(ray, out, within)| (ray, 0.5 * (out + within))))?;
        for ((_, out, within), value) in crossings.iter_mut().zip(found) {
            let middle = 0.5 * (*out + *within);
            *if value < 0.0 { within } else { out } = middle;
        }
    }
    let mut met = vec![None; rays.len()];
    crossings.iter().for_each(|&(ray, out, within)| met[ray] = Some(0.5 * (out + within)));
    Ok(met)
}
