//! A scene of Gaussians on the host: what files hold and training starts from.

/// Highest degree of spherical harmonics that files hold.
pub const MAX_SH_DEGREE: usize = 4;

/// How Gaussians are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// Ellipsoids with a low-pass filter of 0.3 px² and no compensation (3DGS).
    #[default]
    Classic,
    /// Ellipsoids with a low-pass filter of 0.1 px² whose opacity is compensated (Mip-Splatting).
    Mip,
    /// Flat discs (2DGS): the third scale is not used.
    Surfel,
}

/// Gaussians, structure of arrays, before activation.
///
/// **Units and conventions**: world right-handed; rotations are quaternions wxyz that need not be normalised; scales are
/// natural logarithms; opacities are logits; colour is display-encoded sRGB, ½ + Σ c_k Y_k(direction from the eye) with
/// the real spherical harmonics of 3DGS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gaussians {
    /// Centres.
    pub means: Vec<[f32; 3]>,
    /// Logarithms of the standard deviations along the principal axes.
    pub log_scales: Vec<[f32; 3]>,
    /// Rotations (w, x, y, z).
    pub rotations: Vec<[f32; 4]>,
    /// Logits of the opacities.
    pub opacity_logits: Vec<f32>,
    /// Degree of the spherical harmonics, at most [`MAX_SH_DEGREE`].
    pub sh_degree: usize,
    /// Coefficients [N, (degree + 1)², 3]: per Gaussian and basis function red, green, blue.
    pub sh: Vec<[f32; 3]>,
    /// How they are drawn.
    pub kernel: Kernel,
}

impl Gaussians {
    /// Number of Gaussians.
    pub fn len(&self) -> usize {
        self.means.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.means.is_empty()
    }

    /// Basis functions per Gaussian, (degree + 1)².
    pub fn n_basis(&self) -> usize {
        (self.sh_degree + 1).pow(2)
    }

    /// The same with harmonics of another degree: higher ones are zero, or left out.
    pub fn with_degree(self, sh_degree: usize) -> Self {
        let (from, to) = (self.n_basis(), (sh_degree + 1).pow(2));
        let row = |i: usize| (0..to).map(move |b| (i, b));
        let value = |(i, b): (usize, usize)| if b < from { self.sh[i * from + b] } else { [0.0; 3] };
        let sh = (0..self.len()).flat_map(row).map(value).collect();
        Self { sh, sh_degree, ..self }
    }
}
