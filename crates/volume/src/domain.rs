//! The part of the world that is modelled.

use crate::{Error, Frustum, Result};

/// How the world lies in a box, and what is outside of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mapping {
    /// A box of the world; nothing is outside of it.
    Bounded,
    /// All space, of which a box of the world takes the inner half.
    ///
    /// What lies at x in box coordinates goes to x/2 where ‖x‖∞ ≤ 1, and else to (2 − 1/‖x‖∞)·x/‖x‖∞/2 (Barron et al. 2022,
    /// eq. 10, with the largest coordinate as norm, as in MERF).
    Contracted,
    /// What lies in front of a plane, out to infinity: a box of device coordinates; nothing is outside of it.
    Forward(Frustum),
}

/// A box of the world, or of device coordinates of it, that is mapped to the cube [−1, 1]³.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Domain {
    /// Middle of the box.
    pub centre: [f64; 3],
    /// Half of its sides.
    pub half: [f64; 3],
    /// How the world lies in it.
    pub mapping: Mapping,
}

impl Domain {
    /// A box.
    ///
    /// # Errors
    /// A box without volume, numbers that are not finite; a forward-facing box that is not in front of its rig, or not a frustum.
    pub fn new(centre: [f64; 3], half: [f64; 3], mapping: Mapping) -> Result<Self> {
        let whole = centre.iter().all(|x| x.is_finite()) && half.iter().all(|h| h.is_finite() && *h > 1e-12);
        if !whole {
            let message =
                format!("a box around {centre:?} of half sides {half:?}: expected finite numbers, sides above 0");
            return Err(Error::Domain(message));
        }
        if let Mapping::Forward(frustum) = mapping {
            if !frustum.is_valid() {
                return Err(Error::Domain(format!("{frustum:?}: expected axes at right angles, a scale above 0")));
            }
            let [near, far] = [centre[2] - half[2], centre[2] + half[2]];
            if !(near < 0.0 && far <= 1e-6 * -near) {
                let message = format!("device coordinates from {near} to {far}: expected less than 0, and 0 at most");
                return Err(Error::Domain(message));
            }
        }
        Ok(Self { centre, half, mapping })
    }

    /// Whether there is space outside of the box.
    pub fn is_contracted(&self) -> bool {
        self.mapping == Mapping::Contracted
    }

    /// Length of the unit of distances along rays, which is half of the box's longest side: of the world, or of device
    /// coordinates.
    pub fn unit(&self) -> f64 {
        self.half.into_iter().fold(0.0, f64::max)
    }

    /// Depth at which a forward-facing box begins; 0 of others.
    pub fn near(&self) -> f64 {
        match self.mapping {
            Mapping::Forward(frustum) => -frustum.scale / (self.centre[2] - self.half[2]),
            _ => 0.0,
        }
    }

    /// Box coordinates of a point of the world.
    pub fn inside(&self, p: [f64; 3]) -> [f64; 3] {
        let p = if let Mapping::Forward(frustum) = self.mapping { frustum.device(p) } else { p };
        [0, 1, 2].map(|a| (p[a] - self.centre[a]) / self.half[a])
    }

    /// The point of the world at box coordinates; infinity is far away.
    pub fn world(&self, x: [f64; 3]) -> [f64; 3] {
        let p = [0, 1, 2].map(|a| self.centre[a] + x[a] * self.half[a]);
        if let Mapping::Forward(frustum) = self.mapping { frustum.world(p) } else { p }
    }

    /// The world point in the middle of the box; of a forward-facing one, at twice its nearest depth where it reaches to
    /// infinity.
    pub fn middle(&self) -> [f64; 3] {
        self.world([0.0; 3])
    }

    /// A ray of the world, whose direction is a unit vector, in box coordinates: where it begins and by how much it goes on in a
    /// unit of distance. In a forward-facing box it begins at the near face, or behind that at the camera, and distances are those
    /// across the box; `None` where such a ray never enters it.
    pub fn ray(&self, from: [f64; 3], along: [f64; 3]) -> Option<[[f64; 3]; 2]> {
        let unit = self.unit();
        let [start, way] = match self.mapping {
            Mapping::Forward(frustum) => frustum.ray(from, along, self.near())?,
            _ => [from, along],
        };
        Some([
            [0, 1, 2].map(|a| (start[a] - self.centre[a]) / self.half[a]),
            [0, 1, 2].map(|a| way[a] * unit / self.half[a]),
        ])
    }

    /// The place of box coordinates in the cube: themselves, or contracted.
    pub fn cube(&self, x: [f64; 3]) -> [f64; 3] {
        if !self.is_contracted() {
            return x;
        }
        let norm = x.iter().fold(0.0, |n: f64, x| n.max(x.abs()));
        let factor = if norm <= 1.0 { 0.5 } else { 0.5 * (2.0 - 1.0 / norm) / norm };
        x.map(|x| x * factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contraction_is_continuous_and_keeps_all_space() {
        let domain = Domain::new([1.0, 2.0, 3.0], [2.0, 2.0, 4.0], Mapping::Contracted).unwrap();
        assert_eq!(domain.inside([3.0, 2.0, -1.0]), [1.0, 0.0, -1.0]);
        assert_eq!(domain.world([1.0, 0.0, -1.0]), [3.0, 2.0, -1.0]);
        assert_eq!(domain.cube([1.0, 0.5, -1.0]), [0.5, 0.25, -0.5]);
        let far = domain.cube([1e9, -2e8, 0.0]);
        assert!((far[0] - 1.0).abs() < 1e-6 && (far[1] + 0.2).abs() < 1e-6);
        let (near, beyond) = (domain.cube([0.999_999, 0.3, 0.0]), domain.cube([1.000_001, 0.3, 0.0]));
        assert!((0..3).all(|a| (near[a] - beyond[a]).abs() < 2e-6));
        assert!(Domain::new([0.0; 3], [1.0, 0.0, 1.0], Mapping::Bounded).is_err());
        assert!(Domain::new([f64::NAN, 0.0, 0.0], [1.0; 3], Mapping::Bounded).is_err());
    }
}
