//! Rendering Gaussians on the host, and the derivative of a loss by their parameters.

use crate::composite::{Frame, Pixel};
use crate::project::{Camera, SH, project, project_backward};
use crate::{Error, Gaussians, Image, RenderOptions, View, view};
use lumigrad_core::Real;
use lumigrad_core::map::approx::Elementary;
use rayon::prelude::*;

/// Alphas below this are not drawn.
const ALPHA_MIN: f64 = 1.0 / 255.0;

/// Parameters of Gaussians as rows: mean, log scale, rotation, logit of the opacity, spherical harmonics.
#[derive(Clone)]
pub(crate) struct Rows<R> {
    pub width: usize,
    pub data: Vec<R>,
}

impl<R: Real> Rows<R> {
    pub fn new(gaussians: &Gaussians) -> Self {
        let n_basis = gaussians.n_basis();
        let mut data = Vec::with_capacity(gaussians.len() * (SH + 3 * n_basis));
        for i in 0..gaussians.len() {
            let head = gaussians.means[i].iter().chain(&gaussians.log_scales[i]).chain(&gaussians.rotations[i]);
            let sh = gaussians.sh[i * n_basis..(i + 1) * n_basis].iter().flatten();
            data.extend(head.chain([&gaussians.opacity_logits[i]]).chain(sh).map(|&x| R::of(x)));
        }
        Self { width: SH + 3 * n_basis, data }
    }
}

impl Rows<f32> {
    /// The rows as Gaussians of the degree and kernel of `like`.
    pub fn gaussians(&self, like: &Gaussians) -> Gaussians {
        let mut out = Gaussians { sh_degree: like.sh_degree, kernel: like.kernel, ..Default::default() };
        for row in self.data.chunks(self.width) {
            out.means.push([row[0], row[1], row[2]]);
            out.log_scales.push([row[3], row[4], row[5]]);
            out.rotations.push([row[6], row[7], row[8], row[9]]);
            out.opacity_logits.push(row[10]);
            out.sh.extend(row[SH..].chunks(3).map(|c| [c[0], c[1], c[2]]));
        }
        out
    }
}

/// What the renderer sees of a view of Gaussians.
pub(crate) fn camera<R: Real>(gaussians: &Gaussians, view: &View, near: f32) -> Camera<R> {
    Camera {
        rotation: std::array::from_fn(|i| std::array::from_fn(|k| R::of(view.viewmat[i][k]))),
        translation: std::array::from_fn(|i| R::of(view.viewmat[i][3])),
        intrinsics: view.intrinsics.map(R::of),
        size: [R::from_f64(view.width as f64), R::from_f64(view.height as f64)],
        near: R::of(near),
        kernel: gaussians.kernel,
        sh_degree: gaussians.sh_degree,
        alpha_min: R::from_f64(ALPHA_MIN),
    }
}

/// Projects all rows and lists them per tile.
pub(crate) fn frame<R: Elementary>(rows: &Rows<R>, camera: &Camera<R>, size: [usize; 2]) -> Frame<R> {
    let splats = rows.data.par_chunks(rows.width).enumerate();
    let splats = splats.filter_map(|(i, row)| Some((i as u32, project(row, camera)?))).collect();
    Frame::new(splats, size, camera.alpha_min)
}

/// Derivative by all rows, given that by the pixels before the background.
pub(crate) fn backward<R: Elementary>(
    rows: &Rows<R>,
    camera: &Camera<R>,
    frame: &Frame<R>,
    picture: &[Pixel<R>],
    grads: &[Pixel<R>],
) -> Vec<R> {
    let mut out = vec![R::ZERO; rows.data.len()];
    for ((i, _), g) in frame.splats.iter().zip(&frame.backward(picture, grads)) {
        let range = *i as usize * rows.width..(*i as usize + 1) * rows.width;
        project_backward(&rows.data[range.clone()], camera, g, &mut out[range]);
    }
    out
}

/// Draws Gaussians on the host.
///
/// Colour = Σ wᵢ cᵢ + T · background, front to back with wᵢ = αᵢ Π (1 − αⱼ); alphas are at most 0.99 and those below 1/255
/// are left out, as are Gaussians with non-finite parameters or without a rotation.
///
/// **Errors**: arrays whose lengths disagree, surfels, cameras that are not finite, pictures beyond 2²⁸ pixels.
/// **Determinism**: the same bits for any number of threads.
/// **Source**: Kerbl et al. 2023, 3D Gaussian Splatting.
pub fn render(gaussians: &Gaussians, view: &View, options: &RenderOptions) -> Result<Image, Error> {
    view::check(gaussians, view)?;
    let rows = Rows::<f32>::new(gaussians);
    let frame = frame(&rows, &camera(gaussians, view, options.near), [view.width, view.height]);
    let picture = frame.forward();
    let over = |(sum, t): &Pixel<f32>| std::array::from_fn(|ch| sum[ch] + t * options.background[ch]);
    Ok(Image {
        width: view.width,
        height: view.height,
        colour: picture.iter().map(over).collect(),
        alpha: picture.iter().map(|(_, t)| 1.0 - t).collect(),
        depth: picture.iter().map(|(sum, _)| sum[3]).collect(),
    })
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
