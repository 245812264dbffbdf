//! The part of the world that is modelled.

use crate::{Error, Result};

/// A box of the world that is mapped to the cube [−1, 1]³; unbounded, all space, of which the box takes the inner half.
///
/// Unbounded space is contracted (Barron et al. 2022, eq. 10, with the largest coordinate as norm, as in MERF): what lies at
/// x in box coordinates goes to x/2 where ‖x‖∞ ≤ 1, and else to (2 − 1/‖x‖∞)·x/‖x‖∞/2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Domain {
    /// Middle of the box, world.
    pub centre: [f64; 3],
    /// Half of its sides, world.
    pub half: [f64; 3],
    /// Whether there is space outside of the box.
    pub unbounded: bool,
}

impl Domain {
    /// A box.
    ///
    /// # Errors
    /// A box without volume, or numbers that are not finite.
    pub fn new(centre: [f64; 3], half: [f64; 3], unbounded: bool) -> Result<Self> {
        let whole = centre.iter().all(|x| x.is_finite()) && half.iter().all(|h| h.is_finite() && *h > 1e-12);
        if !whole {
            let message =
                format!("a box around {centre:?} of half sides {half:?}: expected finite numbers, sides above 0");
            return Err(Error::Domain(message));
        }
        Ok(Self { centre, half, unbounded })
    }

    /// World length of the unit of distances along rays: half of the longest side.
    pub fn unit(&self) -> f64 {
        self.half.into_iter().fold(0.0, f64::max)
    }

    /// Box coordinates of a point of the world.
    pub fn inside(&self, p: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|a| (p[a] - self.centre[a]) / self.half[a])
    }

    /// The place of box coordinates in the cube: themselves, or contracted.
    pub fn cube(&self, x: [f64; 3]) -> [f64; 3] {
        if !self.unbounded {
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
        let domain = Domain::new([1.0, 2.0, 3.0], [2.0, 2.0, 4.0], true).unwrap();
        assert_eq!(domain.inside([3.0, 2.0, -1.0]), [1.0, 0.0, -1.0]);
        assert_eq!(domain.cube([1.0, 0.5, -1.0]), [0.5, 0.25, -0.5]);
        let far = domain.cube([1e9, -2e8, 0.0]);
        assert!((far[0] - 1.0).abs() < 1e-6 && (far[1] + 0.2).abs() < 1e-6);
        let (near, beyond) = (domain.cube([0.999_999, 0.3, 0.0]), domain.cube([1.000_001, 0.3, 0.0]));
        assert!((0..3).all(|a| (near[a] - beyond[a]).abs() < 2e-6));
        assert!(Domain::new([0.0; 3], [1.0, 0.0, 1.0], false).is_err());
        assert!(Domain::new([f64::NAN, 0.0, 0.0], [1.0; 3], false).is_err());
    }
}
