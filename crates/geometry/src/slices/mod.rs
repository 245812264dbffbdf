//! Planar cross-sections of a solid: planes in space, and on each the region that is inside.

mod csl;
mod region;
#[cfg(test)]
mod tests;
mod trace;

pub use region::Region;
pub use trace::trace;

use glam::{DVec2, DVec3};

/// A plane with coordinates: x = origin + u·p + v·q, u and v orthogonal unit vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plane {
    /// The point with coordinates 0, 0.
    pub origin: DVec3,
    /// The first axis.
    pub u: DVec3,
    /// The second axis.
    pub v: DVec3,
}

impl Plane {
    /// The plane n·x + offset = 0, n of any length above 0, with the point closest to `near` as origin. Seen from where n
    /// points to, u and v are counter-clockwise.
    pub fn new(n: DVec3, offset: f64, near: DVec3) -> Option<Self> {
        let length = n.length();
        let (n, offset) = (n / length, offset / length);
        if !n.is_finite() || !offset.is_finite() || !near.is_finite() {
            return None;
        }
        let u = n.any_orthonormal_vector();
        Some(Self { origin: near - n * (n.dot(near) + offset), u, v: n.cross(u) })
    }

    /// The unit normal u × v.
    pub fn normal(&self) -> DVec3 {
        self.u.cross(self.v)
    }

    /// The coordinates of the closest point of the plane.
    pub fn flat(&self, x: DVec3) -> DVec2 {
        DVec2::new(self.u.dot(x - self.origin), self.v.dot(x - self.origin))
    }

    /// The point with these coordinates.
    pub fn point(&self, p: DVec2) -> DVec3 {
        self.origin + self.u * p.x + self.v * p.y
    }
}

/// A plane and what of it is inside of the solid; the region of a plane that misses the solid is empty.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The plane.
    pub plane: Plane,
    /// What is inside.
    pub region: Region,
}

impl Slice {
    /// The slice in other coordinates: centre goes to 0, lengths are multiplied by `scale`.
    pub fn moved(&self, centre: DVec3, scale: f64) -> Self {
        let contours = self.region.contours().iter().map(|c| c.iter().map(|&p| p * scale).collect()).collect();
        let plane = Plane { origin: (self.plane.origin - centre) * scale, ..self.plane };
        Self { plane, region: Region::new(contours) }
    }

    /// All corners of its contours in space.
    pub fn points(&self) -> impl Iterator<Item = DVec3> + '_ {
        self.region.contours().iter().flatten().map(|&p| self.plane.point(p))
    }
}

/// Slices of one solid.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    /// The slices.
    pub slices: Vec<Slice>,
    /// What seems wrong with them.
    pub warnings: Vec<String>,
}
