//! Cameras, options and pictures of the renderer.

use crate::{Error, Gaussians, Kernel, MAX_SH_DEGREE};

/// How rays leave a camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Projection {
    /// From one point; the intrinsics' focal lengths are in pixels.
    #[default]
    Perspective,
    /// Parallel; they are pixels per unit of length.
    Orthographic,
}

/// How a picture is read out.
///
/// A rolling shutter reads lines one after the other while the camera moves: its motion from the first line to the last is a
/// rotation vector ω and a translation v of the camera's axes, `[ωx, ωy, ωz, vx, vy, vz]`. [`View::viewmat`] is the pose R, t
/// in the middle; at the time s, −½ at the middle of the first line and ½ at that of the last, it is exp(s ω) R, t + s v: the
/// rotation is interpolated spherically, the translation of world → camera linearly, as gsplat does. Lines that are read out
/// from the bottom up, or from right to left, are those of the opposite motion.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Shutter {
    /// All of it at once.
    #[default]
    Global,
    /// Row by row from the top.
    Rows([f32; 6]),
    /// Column by column from the left.
    Columns([f32; 6]),
}

/// A camera and the size of its picture.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// World → camera, rows; OpenCV axes (x right, y down, z forward). The upper 3×3 block is a rotation.
    pub viewmat: [[f32; 4]; 4],
    /// `[fx, fy, cx, cy]`, pixels; pixel centres at +0.5.
    pub intrinsics: [f32; 4],
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Perspective or orthographic.
    pub projection: Projection,
    /// Whether the camera moves while the picture is read out.
    pub shutter: Shutter,
}

impl View {
    /// Where it looks from.
    pub(crate) fn eye(&self) -> [f32; 3] {
        let m = &self.viewmat;
        std::array::from_fn(|k| -(0..3).map(|i| m[i][k] * m[i][3]).sum::<f32>())
    }
}

/// How Gaussians become pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Technique {
    /// They are projected and composited in the order of their depths.
    #[default]
    Splat,
    /// They are densities that light fades in ([`crate::raycast`]).
    Raycast,
}

/// How a picture is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderOptions {
    /// Splatting or ray casting.
    pub technique: Technique,
    /// Colour behind everything, display-encoded.
    pub background: [f32; 3],
    /// Gaussians whose centre is nearer than this (along the viewing axis) are left out.
    pub near: f32,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self { technique: Technique::Splat, background: [0.0; 3], near: 0.01 }
    }
}

/// A rendered picture, row by row from the top.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Colours over the background [H·W], display-encoded.
    pub colour: Vec<[f32; 3]>,
    /// Opacities [H·W].
    pub alpha: Vec<f32>,
    /// Σ weight · depth along the viewing axis [H·W]; divided by alpha it is the expected depth.
    pub depth: Vec<f32>,
}

/// Largest number of pixels of a picture.
const MAX_PIXELS: usize = 1 << 28;

/// Whether `view` and `gaussians` can be drawn.
pub(crate) fn check(gaussians: &Gaussians, view: &View) -> Result<(), Error> {
    check_gaussians(gaussians)?;
    check_view(view)
}

pub(crate) fn check_gaussians(gaussians: &Gaussians) -> Result<(), Error> {
    let n = gaussians.len();
    let lengths = [
        ("log_scales", gaussians.log_scales.len(), n),
        ("rotations", gaussians.rotations.len(), n),
        ("opacity_logits", gaussians.opacity_logits.len(), n),
    ];
    if gaussians.sh_degree > MAX_SH_DEGREE {
        return Err(Error::Degree { found: gaussians.sh_degree });
    }
    for (name, found, expected) in lengths.into_iter().chain([("sh", gaussians.sh.len(), n * gaussians.n_basis())]) {
        if found != expected {
            return Err(Error::Length { name, found, expected });
        }
    }
    Ok(())
}

/// Whether they are ellipsoids.
pub(crate) fn check_ellipsoids(gaussians: &Gaussians) -> Result<(), Error> {
    if gaussians.kernel == Kernel::Surfel { Err(Error::Surfels) } else { Ok(()) }
}

pub(crate) fn check_view(view: &View) -> Result<(), Error> {
    let motion = match view.shutter {
        Shutter::Global => [0.0; 6],
        Shutter::Rows(motion) | Shutter::Columns(motion) => motion,
    };
    let finite = view.viewmat.iter().flatten().chain(&view.intrinsics).chain(&motion).all(|x| x.is_finite());
    if !finite || !(view.intrinsics[0] > 0.0) || !(view.intrinsics[1] > 0.0) {
        return Err(Error::Camera);
    }
    if view.width.checked_mul(view.height).is_none_or(|n| n > MAX_PIXELS) {
        return Err(Error::Size { width: view.width, height: view.height });
    }
    Ok(())
}

/// Whether the camera stands still while its picture is read out.
pub(crate) fn check_still(view: &View) -> Result<(), Error> {
    if view.shutter == Shutter::Global { Ok(()) } else { Err(Error::Shutter) }
}
