//! What Gaussians add to pictures.

use crate::composite::{Drawn, PIXELS, PLANES};
use crate::frame::Frame;
use crate::project::Moments;
use crate::render::camera;
use crate::rows::Rows;
use crate::{Error, Gaussians, RenderOptions, View, view};

/// For each Gaussian Σ over the pixels of all views of its blending weight αT.
///
/// **Errors**: as [`crate::render`]; surfels.
pub fn importance(gaussians: &Gaussians, views: &[View], options: &RenderOptions) -> Result<Vec<f32>, Error> {
    view::check_ellipsoids(gaussians)?;
    let rows = Rows::<f32>::new(gaussians);
    let (mut frame, mut drawn, mut sums) = (Frame::default(), Drawn::default(), vec![]);
    let mut out = vec![0.0; gaussians.len()];
    for view in views {
        view::check(gaussians, view)?;
        frame.update(
            &rows,
            &[],
            &camera(gaussians.kernel, gaussians.sh_degree, view, options.near),
            [view.width, view.height],
            true,
        )?;
        drawn.update(&frame, false, true);
        // The derivative of Σ red by a splat's red is its weight.
        let mut red = [[0.0; PIXELS]; PLANES];
        red[0] = [1.0; PIXELS];
        drawn.backward(&frame, &vec![red; drawn.picture.len()], (false, false), &mut sums);
        for gaussian in frame.drawn() {
            out[gaussian] += frame.sum::<{ Moments::<f32>::COUNT }>(gaussian, &sums)[6];
        }
    }
    Ok(out)
}

impl Gaussians {
    /// Those of the numbers `chosen`, in that order.
    pub fn select(&self, chosen: &[usize]) -> Self {
        let of = |list: &[[f32; 3]]| chosen.iter().map(|&i| list[i]).collect();
        let n = self.n_basis();
        Self {
            means: of(&self.means),
            log_scales: of(&self.log_scales),
            rotations: chosen.iter().map(|&i| self.rotations[i]).collect(),
            opacity_logits: chosen.iter().map(|&i| self.opacity_logits[i]).collect(),
            sh: chosen.iter().flat_map(|&i| self.sh[i * n..(i + 1) * n].iter().copied()).collect(),
            ..*self
        }
    }

    /// A sphere around most of them: the median of the centres, and a little more than the distance that 97 % are within.
    pub fn sphere(&self) -> ([f64; 3], f64) {
        let finite = |m: &&[f32; 3]| m.iter().all(|x| x.is_finite());
        let middle = |k: usize| {
            let mut all: Vec<f32> = self.means.iter().filter(finite).map(|m| m[k]).collect();
            all.sort_by(f32::total_cmp);
            all.get(all.len() / 2).map_or(0.0, |&x| x as f64)
        };
        let centre = [0, 1, 2].map(middle);
        let far = |m: &[f32; 3]| (0..3).map(|k| (m[k] as f64 - centre[k]).powi(2)).sum::<f64>().sqrt();
        let mut all: Vec<f64> = self.means.iter().filter(finite).map(far).collect();
        all.sort_by(f64::total_cmp);
        let radius = 1.05 * all.get(all.len() * 97 / 100).copied().unwrap_or(1.0);
        (centre, if radius > 0.0 { radius } else { 1.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_gaussian_matters_less() {
        let gaussians = Gaussians {
            means: vec![[0.0, 0.0, 2.0], [0.0, 0.0, 3.0]],
            log_scales: vec![[-1.0; 3], [-1.0; 3]],
            rotations: vec![[1.0, 0.0, 0.0, 0.0]; 2],
            opacity_logits: vec![4.0; 2],
            sh: vec![[0.0; 3]; 2],
            ..Default::default()
        };
        let view = View {
            viewmat: [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]],
            intrinsics: [20.0, 20.0, 12.0, 12.0],
            width: 24,
            height: 24,
            projection: Default::default(),
            shutter: Default::default(),
        };
        let found = importance(&gaussians, std::slice::from_ref(&view), &RenderOptions::default()).unwrap();
        // Together they are all the light that the picture's alpha is.
        let image = crate::render(&gaussians, &view, &RenderOptions::default()).unwrap();
        assert!((found.iter().sum::<f32>() / image.alpha.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        assert!(found[1] < 0.3 * found[0], "{found:?}");
    }
}
