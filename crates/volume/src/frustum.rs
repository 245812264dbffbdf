//! What lies in front of a rig of cameras, out to infinity, in a box.

use glam::DVec3;
use serde::{Deserialize, Serialize};

/// A rig's own view of the world, in device coordinates (x/d, y/d, −scale/d) of what lies x to the right of it, y below it and
/// d in front of it.
///
/// Straight lines of the world are straight lines there, and infinity is the plane z = 0. With the length by which cameras of
/// the rig lie apart as scale, a point's z is the distance that it moves in their pictures: cubes of device coordinates are as
/// deep as pictures can tell.
///
/// **Source**: Mildenhall et al., "NeRF", 2020, appendix C. A box of device coordinates from z = −scale/n to 0, mapped to the
/// cube [−1, 1]³, gives its coordinates for a near plane at n and a far one at infinity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frustum {
    /// The middle of the rig, world.
    pub origin: [f64; 3],
    /// Right, down and forward: unit vectors of the world at right angles.
    pub axes: [[f64; 3]; 3],
    /// World length by which z is multiplied.
    pub scale: f64,
}

/// Least depth that is told from none, and inverse of the largest that is told from infinity, in parts of the scale.
const LEAST: f64 = 1e-9;
/// Cosine between a ray and the axis below which it never gets away from the rig.
const PARALLEL: f64 = 1e-6;

impl Frustum {
    /// Whether its numbers are finite, its axes unit vectors at right angles and its scale above 0.
    pub fn is_valid(&self) -> bool {
        let axes = self.axes.map(DVec3::from);
        let right_angles =
            (0..3).all(|a| (0..3).all(|b| (axes[a].dot(axes[b]) - if a == b { 1.0 } else { 0.0 }).abs() < 1e-6));
        right_angles && self.origin.iter().all(|x| x.is_finite()) && self.scale.is_finite() && self.scale > 1e-12
    }

    /// A vector of the world along the axes.
    fn along_axes(&self, v: [f64; 3]) -> [f64; 3] {
        self.axes.map(|axis| DVec3::from(axis).dot(v.into()))
    }

    /// A point of the world: how far it is to the right, below and in front.
    pub fn place(&self, p: [f64; 3]) -> [f64; 3] {
        self.along_axes((DVec3::from(p) - DVec3::from(self.origin)).into())
    }

    /// Device coordinates of a point of the world; what is not in front of the rig lies far before any box.
    pub fn device(&self, p: [f64; 3]) -> [f64; 3] {
        let [x, y, d] = self.place(p);
        let d = d.max(LEAST * self.scale);
        [x / d, y / d, -self.scale / d]
    }

    /// The point of the world at device coordinates; infinity is far away.
    pub fn world(&self, q: [f64; 3]) -> [f64; 3] {
        let d = self.scale / (-q[2]).max(LEAST);
        let [right, down, forward] = self.axes.map(DVec3::from);
        (DVec3::from(self.origin) + d * (q[0] * right + q[1] * down + forward)).into()
    }

    /// The part of a ray behind depth `near`: where it begins and by how much it goes on while z grows by 1, both in device
    /// coordinates. `None` where it goes along the rig's plane or back.
    pub fn ray(&self, from: [f64; 3], along: [f64; 3], near: f64) -> Option<[[f64; 3]; 2]> {
        let (start, way) = (self.place(from), self.along_axes(along));
        if !(way[2] > PARALLEL * DVec3::from(along).length()) {
            return None;
        }
        let to_plane = ((near - start[2]) / way[2]).max(0.0);
        let [x, y, d] = [0, 1, 2].map(|a| start[a] + to_plane * way[a]);
        // It ends at (way x, way y, 0)/way z.
        let slope = |a: usize, x: f64| (way[a] * d / way[2] - x) / self.scale;
        Some([[x / d, y / d, -self.scale / d], [slope(0, x), slope(1, y), 1.0]])
    }
}
