//! The scene graph: nodes, cameras, lights, skins.

use glam::{DMat4, DQuat, DVec3};

/// One node of the scene graph.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Name in the file; may be empty.
    pub name: String,
    /// Placement relative to the parent.
    pub transform: Transform,
    /// Indices of the children.
    pub children: Vec<usize>,
    /// Index of the parent.
    pub parent: Option<usize>,
    /// Index of the mesh.
    pub mesh: Option<usize>,
    /// Index of the skin that moves the mesh.
    pub skin: Option<usize>,
    /// Index of the camera, which looks along −Z with +Y up.
    pub camera: Option<usize>,
    /// Index of the light, which shines along −Z.
    pub light: Option<usize>,
    /// Morph weights that replace the mesh's own.
    pub weights: Option<Vec<f32>>,
}

/// A node's placement relative to its parent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transform {
    /// Scale, then rotate, then translate.
    Trs {
        /// Metres.
        translation: [f32; 3],
        /// Quaternion, wxyz; normalised when used.
        rotation: [f32; 4],
        /// Factors along the axes.
        scale: [f32; 3],
    },
    /// A 4×4 matrix, column-major as in the file.
    Matrix([f32; 16]),
}

impl Transform {
    /// No change.
    pub const IDENTITY: Self = Self::Trs { translation: [0.0; 3], rotation: [1.0, 0.0, 0.0, 0.0], scale: [1.0; 3] };

    /// The matrix that takes the node's space to its parent's.
    pub fn matrix(&self) -> DMat4 {
        match *self {
            Self::Matrix(m) => DMat4::from_cols_array(&m.map(f64::from)),
            Self::Trs { translation, rotation: [w, x, y, z], scale } => {
                let q = DQuat::from_xyzw(f64::from(x), f64::from(y), f64::from(z), f64::from(w));
                let q = if q.length_squared() > 0.0 { q.normalize() } else { DQuat::IDENTITY };
                let vec = |v: [f32; 3]| DVec3::from_array(v.map(f64::from));
                DMat4::from_scale_rotation_translation(vec(scale), q, vec(translation))
            }
        }
    }
}

impl Transform {
    /// Translation, rotation (wxyz) and scale; `None` where the matrix shears or projects.
    pub fn decompose(&self) -> Option<([f32; 3], [f32; 4], [f32; 3])> {
        if let Self::Trs { translation, rotation, scale } = *self {
            return Some((translation, rotation, scale));
        }
        let matrix = self.matrix();
        let invertible = matrix.determinant().abs() > 1e-30;
        if !invertible {
            return None;
        }
        let (s, q, t) = matrix.to_scale_rotation_translation();
        let again = DMat4::from_scale_rotation_translation(s, q, t);
        let size = matrix.to_cols_array().iter().fold(0.0f64, |m, x| m.max(x.abs()));
        let narrow = |v: DVec3| v.to_array().map(|x| x as f32);
        let rotation = [q.w, q.x, q.y, q.z].map(|x| x as f32);
        again.abs_diff_eq(matrix, 1e-5 * size).then(|| (narrow(t), rotation, narrow(s)))
    }
}

impl Default for Transform {
    fn default() -> Self {
        Self::IDENTITY
    }
}

/// A camera; its node's −Z axis is the viewing direction.
#[derive(Clone, Debug)]
pub struct Camera {
    /// Name in the file; may be empty.
    pub name: String,
    /// How it projects.
    pub projection: Projection,
}

/// How a camera projects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Projection {
    /// Central projection.
    Perspective {
        /// Vertical opening angle, radians, in (0, π).
        yfov: f32,
        /// Width over height; `None`: that of the picture.
        aspect_ratio: Option<f32>,
        /// Distance of the near plane, metres.
        znear: f32,
        /// Distance of the far plane; `None`: infinite.
        zfar: Option<f32>,
    },
    /// Parallel projection.
    Orthographic {
        /// Half the width, metres.
        xmag: f32,
        /// Half the height, metres.
        ymag: f32,
        /// Distance of the near plane, metres.
        znear: f32,
        /// Distance of the far plane, metres.
        zfar: f32,
    },
}

/// A punctual light (KHR_lights_punctual); its node's −Z axis is the direction it shines.
#[derive(Clone, Debug)]
pub struct Light {
    /// Name in the file; may be empty.
    pub name: String,
    /// Linear RGB.
    pub color: [f32; 3],
    /// Candela for points and spots, lux for directional lights.
    pub intensity: f32,
    /// Distance, metres, at which the light ends; `None`: never.
    pub range: Option<f32>,
    /// Which light it is.
    pub kind: LightKind,
}

/// The kinds of punctual light.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LightKind {
    /// Infinitely far away.
    Directional,
    /// In all directions.
    Point,
    /// In a cone around −Z.
    Spot {
        /// Angle, radians, where the light begins to fall off.
        inner_cone_angle: f32,
        /// Angle, radians, where the light ends.
        outer_cone_angle: f32,
    },
}

/// A skin: joints that move vertices.
#[derive(Clone, Debug, Default)]
pub struct Skin {
    /// Name in the file; may be empty.
    pub name: String,
    /// Node indices of the joints.
    pub joints: Vec<usize>,
    /// For each joint the matrix from mesh space to the joint's space in the bind pose.
    pub inverse_bind_matrices: Vec<DMat4>,
}
