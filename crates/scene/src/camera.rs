//! Cameras of pictures: pose, intrinsics and lens, and where to put them.

mod lens;
mod placement;

pub use lens::Lens;
pub use placement::{Framing, between, orbit, sphere_views};

use crate::{Error, Result};
use glam::{DMat3, DVec3};

/// A picture's camera.
///
/// OpenCV axes: x right, y down, z forward. Pixel centres lie at +0.5, row 0 on top.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Name, for example the picture's path without ending.
    pub name: String,
    /// World → camera, `viewmat[row][column]`; the upper left 3×3 is a rotation, the last row (0, 0, 0, 1).
    pub viewmat: [[f64; 4]; 4],
    /// `[fx, fy, cx, cy]`: pixels, for an orthographic lens `fx`, `fy` are pixels per metre.
    pub intrinsics: [f64; 4],
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Projection and distortion.
    pub lens: Lens,
    /// Distance of the near plane, metres; 0 where unknown.
    pub near: f64,
    /// Distance of the far plane, metres; infinite where unknown.
    pub far: f64,
}

fn is_singular(m: DMat3) -> bool {
    !(m.is_finite() && m.determinant().abs() > 1e-12)
}

/// The nearest frame with the same z axis: exact rotation from one that carries scale or rounding.
fn rotation(axes: DMat3) -> DMat3 {
    let z = axes.z_axis.normalize();
    let y = (axes.y_axis - z * z.dot(axes.y_axis)).normalize();
    DMat3::from_cols(y.cross(z), y, z)
}

impl View {
    /// A view from camera-to-world with OpenCV axes: the columns of `rotation` are right, down and forward in world.
    pub(crate) fn from_axes(
        name: &str,
        axes: DMat3,
        centre: DVec3,
        intrinsics: [f64; 4],
        size: (usize, usize),
    ) -> Self {
        let r = rotation(axes).transpose();
        let t = -(r * centre);
        let row = |i: usize| [r.col(0)[i], r.col(1)[i], r.col(2)[i], t[i]];
        let (width, height) = size;
        let viewmat = [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]];
        let (near, far) = (0.0, f64::INFINITY);
        Self { name: name.to_string(), viewmat, intrinsics, width, height, lens: Lens::Perspective, near, far }
    }

    /// A view from camera-to-world `matrix[row][column]` with OpenGL axes (looks along -Z, Y up); scale is ignored.
    ///
    /// # Errors
    /// A matrix that is not finite or has no inverse; `name` is the location.
    pub fn from_opengl(name: &str, matrix: [[f64; 4]; 4], intrinsics: [f64; 4], size: (usize, usize)) -> Result<Self> {
        let column = |c: usize| DVec3::new(matrix[0][c], matrix[1][c], matrix[2][c]);
        let axes = DMat3::from_cols(column(0), -column(1), -column(2));
        if is_singular(axes) || !column(3).is_finite() || axes.determinant() < 0.0 {
            let message = format!("camera pose {matrix:?} is not finite, mirrored, or has no inverse");
            return Err(Error::invalid(name, message, "expected a rotation and a translation"));
        }
        Ok(Self::from_axes(name, axes, column(3), intrinsics, size))
    }

    /// A glTF perspective camera: world matrix of its node, `yfov` in radians; square pixels, the picture's aspect wins.
    ///
    /// # Errors
    /// As [`Self::from_opengl`], and a field of view outside (0, π).
    pub fn from_gltf_perspective(
        name: &str,
        world: [[f64; 4]; 4],
        yfov: f64,
        depth: (f64, Option<f64>),
        size: (usize, usize),
    ) -> Result<Self> {
        if !(yfov > 0.0 && yfov < std::f64::consts::PI) {
            return Err(Error::invalid(name, format!("yfov is {yfov}, expected between 0 and π"), ""));
        }
        let f = 0.5 * size.1 as f64 / (0.5 * yfov).tan();
        let intrinsics = [f, f, 0.5 * size.0 as f64, 0.5 * size.1 as f64];
        let view = Self::from_opengl(name, world, intrinsics, size)?;
        Ok(Self { near: depth.0, far: depth.1.unwrap_or(f64::INFINITY), ..view })
    }

    /// A glTF orthographic camera: half the picture's height is `ymag` metres; square pixels, the picture's aspect wins.
    ///
    /// # Errors
    /// As [`Self::from_opengl`], and a `ymag` that is not positive.
    pub fn from_gltf_orthographic(
        name: &str,
        world: [[f64; 4]; 4],
        ymag: f64,
        depth: (f64, f64),
        size: (usize, usize),
    ) -> Result<Self> {
        if !(ymag > 0.0 && ymag.is_finite()) {
            return Err(Error::invalid(name, format!("ymag is {ymag}, expected a positive number"), ""));
        }
        let f = 0.5 * size.1 as f64 / ymag;
        let intrinsics = [f, f, 0.5 * size.0 as f64, 0.5 * size.1 as f64];
        let view = Self::from_opengl(name, world, intrinsics, size)?;
        Ok(Self { near: depth.0, far: depth.1, lens: Lens::Orthographic, ..view })
    }

    /// A perspective view from `eye` towards `target`, `up` upwards, with vertical field of view `yfov` in radians.
    ///
    /// Where `up` is parallel to the line of sight, another up is chosen.
    ///
    /// # Errors
    /// `eye` equal to `target`, or numbers that are not finite.
    pub fn look_at(
        name: &str,
        eye: [f64; 3],
        target: [f64; 3],
        up: [f64; 3],
        yfov: f64,
        size: (usize, usize),
    ) -> Result<Self> {
        let (eye, up) = (DVec3::from(eye), DVec3::from(up));
        let forward = (DVec3::from(target) - eye).try_normalize();
        let Some(forward) = forward.filter(|f| f.is_finite() && eye.is_finite()) else {
            return Err(Error::invalid(
                name,
                format!("cannot look from {eye} at {target:?}"),
                "give two different points",
            ));
        };
        let right = forward.cross(up).try_normalize().unwrap_or_else(|| forward.any_orthonormal_vector());
        let axes = DMat3::from_cols(right, forward.cross(right), forward);
        let f = 0.5 * size.1 as f64 / (0.5 * yfov).tan();
        Ok(Self::from_axes(name, axes, eye, [f, f, 0.5 * size.0 as f64, 0.5 * size.1 as f64], size))
    }

    fn rotation(&self) -> DMat3 {
        let v = &self.viewmat;
        DMat3::from_cols_array_2d(&[0, 1, 2].map(|c| [v[0][c], v[1][c], v[2][c]]))
    }

    fn translation(&self) -> DVec3 {
        DVec3::new(self.viewmat[0][3], self.viewmat[1][3], self.viewmat[2][3])
    }

    /// The camera's position in world space.
    pub fn centre(&self) -> [f64; 3] {
        (-(self.rotation().transpose() * self.translation())).to_array()
    }

    /// The direction of the optical axis in world space, unit length.
    pub fn forward(&self) -> [f64; 3] {
        let row = self.viewmat[2];
        [row[0], row[1], row[2]]
    }

    /// Camera-to-world `matrix[row][column]` with OpenGL axes, as `transforms.json` and glTF nodes hold it.
    pub fn to_opengl(&self) -> [[f64; 4]; 4] {
        let c = self.centre();
        let v = &self.viewmat;
        let row = |i: usize| [v[0][i], -v[1][i], -v[2][i], c[i]];
        [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]
    }

    /// Pixel coordinates and depth (along the optical axis) of a world point; `None` behind the camera and where the
    /// lens's distortion folds back, so that no point outside the picture appears in it.
    pub fn project(&self, point: [f64; 3]) -> Option<[f64; 3]> {
        let p = self.rotation() * DVec3::from(point) + self.translation();
        let [x, y] = self.lens.distort(p.to_array())?;
        let [fx, fy, cx, cy] = self.intrinsics;
        Some([fx * x + cx, fy * y + cy, p.z])
    }

    /// The number of the pixel that a world point falls in, and its [`Self::project`]; `None` outside of the picture and
    /// behind the camera.
    pub fn pixel(&self, point: [f64; 3]) -> Option<(usize, [f64; 3])> {
        let [x, y, depth] = self.project(point)?;
        let inside = x >= 0.0 && y >= 0.0 && x < self.width as f64 && y < self.height as f64;
        (inside && depth > 0.0).then(|| (y as usize * self.width + x as usize, [x, y, depth]))
    }

    /// The world point at `pixel` and `depth`; inverse of [`Self::project`]. `None` outside what the lens can see.
    pub fn unproject(&self, pixel: [f64; 2], depth: f64) -> Option<[f64; 3]> {
        let [fx, fy, cx, cy] = self.intrinsics;
        let [x, y] = self.lens.undistort([(pixel[0] - cx) / fx, (pixel[1] - cy) / fy])?;
        let scale = if self.lens == Lens::Orthographic { 1.0 } else { depth };
        let p = DVec3::new(x * scale, y * scale, depth) - self.translation();
        Some((self.rotation().transpose() * p).to_array())
    }

    /// The ray through `pixel`: a world point at depth 0, and from there to depth 1. `None` as for [`Self::unproject`].
    pub fn ray(&self, pixel: [f64; 2]) -> Option<[[f64; 3]; 2]> {
        // Two points of it: that serves every lens, orthographic ones too.
        let (from, to) = (self.unproject(pixel, 0.0)?, self.unproject(pixel, 1.0)?);
        Some([from, [0, 1, 2].map(|k| to[k] - from[k])])
    }

    /// The same camera with a picture of another size: intrinsics scale with each side.
    pub fn resized(mut self, width: usize, height: usize) -> Self {
        let (sx, sy) = (width as f64 / self.width as f64, height as f64 / self.height as f64);
        let [fx, fy, cx, cy] = self.intrinsics;
        self.intrinsics = [fx * sx, fy * sy, cx * sx, cy * sy];
        (self.width, self.height) = (width, height);
        self
    }

    /// The camera of a part of the picture: `size` columns and rows, of which the first pixel is `corner`.
    pub fn window(mut self, corner: [usize; 2], size: (usize, usize)) -> Self {
        self.intrinsics[2] -= corner[0] as f64;
        self.intrinsics[3] -= corner[1] as f64;
        (self.width, self.height) = size;
        self
    }
}

#[cfg(test)]
mod tests;
