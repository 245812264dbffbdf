//! The 3-D filter of Mip-Splatting: no Gaussian is finer than what the cameras that see it tell apart, so that nothing thins
//! out or leaves gaps where pictures are taken from nearer.

use crate::{Error, Gaussians, Kernel, Projection, View};
use rayon::prelude::*;

/// Variance of the filter, in squared sampling intervals.
const VARIANCE: f32 = 0.2;
/// Part of a picture beyond its sides in which means count as seen.
const MARGIN: f32 = 0.15;
/// Steps between two looks at the means.
const EVERY: usize = 100;

/// Whether sizes are found anew after a step: now and then, and when rows have changed.
pub(crate) fn is_due(step: usize, resized: bool) -> bool {
    resized || step.is_multiple_of(EVERY)
}

/// Whether the Gaussians of a training are filtered.
pub(crate) fn applies(kernel: Kernel, wanted: bool) -> bool {
    wanted && kernel == Kernel::Mip
}

/// For each mean √0.2 times the least distance between two samples, over the views that see it: depth over focal length
/// (the longer one). What none sees is filtered as much as what is filtered most.
///
/// **Source**: Yu et al. 2024, Mip-Splatting, §5.1.
pub(crate) fn sizes(means: &[[f32; 3]], views: &[View], near: f32) -> Vec<f32> {
    let of = |mean: &[f32; 3]| views.iter().filter_map(|v| interval(mean, v, near)).fold(f32::INFINITY, f32::min);
    let least: Vec<f32> = means.par_iter().with_min_len(256).map(of).collect();
    let most = least.iter().filter(|x| x.is_finite()).fold(0.0f32, |a, &b| a.max(b));
    least.into_iter().map(|x| VARIANCE.sqrt() * if x.is_finite() { x } else { most }).collect()
}

/// What a pixel measures at a mean, where the view sees it.
fn interval(mean: &[f32; 3], view: &View, near: f32) -> Option<f32> {
    let m = &view.viewmat;
    let p: [f32; 3] = std::array::from_fn(|i| (0..3).map(|k| m[i][k] * mean[k]).sum::<f32>() + m[i][3]);
    let depth = if view.projection == Projection::Perspective { p[2] } else { 1.0 };
    let inside = |k: usize, size: usize| {
        let at = view.intrinsics[k] * p[k] / depth + view.intrinsics[2 + k];
        let margin = MARGIN * size as f32;
        at >= -margin && at <= size as f32 + margin
    };
    let seen = p[2] >= near && inside(0, view.width) && inside(1, view.height);
    seen.then(|| depth / view.intrinsics[0].max(view.intrinsics[1]))
}

impl Gaussians {
    /// The Gaussians convolved with round ones of standard deviations `sizes`, their mass kept: s′ = √(s² + f²),
    /// o′ = o √(Π s² / Π s′²). This is what [`crate::TrainOptions::smoothing`] trains, as files hold it.
    ///
    /// **Errors**: another number of sizes.
    pub fn smoothed(mut self, sizes: &[f32]) -> Result<Self, Error> {
        if sizes.len() != self.len() {
            return Err(Error::Length { name: "sizes", found: sizes.len(), expected: self.len() });
        }
        for ((scales, logit), &size) in self.log_scales.iter_mut().zip(&mut self.opacity_logits).zip(sizes) {
            let mut log_share = 0.0;
            for log in scales {
                let wider = 0.5 * ((2.0 * *log as f64).exp() + (size as f64).powi(2)).max(1e-300).ln();
                log_share += *log as f64 - wider;
                *log = wider as f32;
            }
            let share = log_share.min(0.0).exp().max(1e-30);
            // The logit of share · σ(x).
            let x = *logit as f64;
            *logit = (share.ln() + x - ((1.0 - share) * x.min(80.0).exp()).ln_1p()) as f32;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::tests::{pictures, truth};
    use crate::{RenderOptions, Train, TrainOptions, TrainState, Trainer, TrainingPicture, render};

    fn view(depth: f32, focal: f32) -> View {
        View {
            viewmat: [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, depth], [0.0, 0.0, 0.0, 1.0]],
            intrinsics: [focal, 0.8 * focal, 16.0, 16.0],
            width: 32,
            height: 32,
            projection: Projection::Perspective,
            shutter: Default::default(),
        }
    }

    #[test]
    fn sizes_are_those_of_the_nearest_samples() {
        let views = [view(2.0, 40.0), view(3.0, 90.0)];
        // Seen by both, by the first alone (the second sees 16 ± 20.8 pixels), and by none.
        let sizes = sizes(&[[0.0; 3], [0.9, 0.0, 0.0], [0.0, 0.0, -9.0]], &views, 0.01);
        let expected = [3.0 / 90.0, 2.0 / 40.0, 2.0 / 40.0].map(|x: f32| 0.2f32.sqrt() * x);
        assert!(sizes.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{sizes:?} for {expected:?}");
        let parallel = View { projection: Projection::Orthographic, ..view(2.0, 40.0) };
        assert!((super::sizes(&[[0.1; 3]], &[parallel], 0.01)[0] - 0.2f32.sqrt() / 40.0).abs() < 1e-7);
    }

    #[test]
    fn smoothing_keeps_mass_and_adds_variances() {
        let smoothed = truth().smoothed(&[0.3; 12]).unwrap();
        let g = truth();
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x as f64).exp());
        let volume = |g: &Gaussians, i: usize| g.log_scales[i].iter().map(|&s| s as f64).sum::<f64>().exp();
        for i in 0..g.len() {
            for k in 0..3 {
                let variance = (2.0 * g.log_scales[i][k]).exp() + 0.09;
                assert!(((2.0 * smoothed.log_scales[i][k]).exp() - variance).abs() < 1e-5);
            }
            let mass = |g: &Gaussians| sigmoid(g.opacity_logits[i]) * volume(g, i);
            assert!((mass(&smoothed) / mass(&g) - 1.0).abs() < 1e-5);
        }
        assert_eq!(truth().smoothed(&[0.0; 12]).unwrap().log_scales, g.log_scales);
        assert!(truth().smoothed(&[0.0; 2]).is_err());
    }

    fn mip() -> Gaussians {
        Gaussians { kernel: Kernel::Mip, ..truth() }
    }

    #[test]
    fn what_is_trained_is_what_the_file_holds() {
        let photographs = pictures(&mip());
        // A step that moves nothing: its loss is that of the smoothed Gaussians.
        let still = TrainOptions {
            means_rate: [1e-30; 2],
            smoothing: true,
            scales_rate: 0.0,
            rotations_rate: 0.0,
            opacities_rate: 0.0,
            colour_rate: 0.0,
            ..TrainOptions::default()
        };
        let mut start = mip();
        start.log_scales.iter_mut().for_each(|s| *s = [-6.0, -2.0, -3.0]);
        let mut trainer = Trainer::new(start.clone(), photographs.clone(), still.clone()).unwrap();
        let baked = trainer.gaussians().unwrap();
        assert!(baked.log_scales[0][0] > -3.6, "{:?}", baked.log_scales[0]);
        let mut plain =
            Trainer::new(baked, photographs.clone(), TrainOptions { smoothing: false, ..still.clone() }).unwrap();
        let (a, b) = (trainer.step(0.0).unwrap().loss, plain.step(0.0).unwrap().loss);
        assert!((a - b).abs() < 1e-5, "{a} {b}");
        // States hold what is learnt, and the sizes.
        let state = trainer.state().unwrap();
        assert_eq!((state.gaussians.log_scales, state.smoothing.len()), (start.log_scales.clone(), 12));
        for device in lumigrad_testkit::devices("smoothing") {
            let state = TrainState::new(start.clone());
            let mut other = crate::device::DeviceTrainer::new(state, &photographs, still.clone(), &device).unwrap();
            let c = other.step(0.0).unwrap().loss;
            assert!((a - c).abs() < 1e-4, "{device}: {a} {c}");
            assert_eq!(other.state().unwrap().smoothing.len(), 12);
        }
    }

    #[test]
    fn smoothed_trainings_go_on_from_their_states() {
        let options = TrainOptions { means_rate: [2e-3; 2], smoothing: true, ..TrainOptions::default() };
        let photographs = pictures(&mip());
        let mut whole = Trainer::new(mip(), photographs.clone(), options.clone()).unwrap();
        (0..120).for_each(|_| _ = whole.step(0.2).unwrap());
        let mut half = Trainer::new(mip(), photographs.clone(), options.clone()).unwrap();
        (0..97).for_each(|_| _ = half.step(0.2).unwrap());
        let mut rest = Trainer::resume(half.state().unwrap(), photographs, options).unwrap();
        (0..23).for_each(|_| _ = rest.step(0.2).unwrap());
        assert!(whole.state().unwrap() == rest.state().unwrap());
    }

    #[test]
    fn what_is_seen_from_nearer_neither_thins_out_nor_breaks() {
        // A smooth wall, photographed with 16 pixels across.
        let across = |size: usize, focal: f32| View {
            viewmat: [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 0.0, 1.0]],
            intrinsics: [focal, focal, size as f32 / 2.0, size as f32 / 2.0],
            width: size,
            height: size,
            projection: Projection::Perspective,
            shutter: Default::default(),
        };
        let (far, near) = (across(16, 16.0), across(64, 64.0));
        let points: Vec<[f32; 3]> =
            (0..20 * 20).map(|i| [(i % 20) as f32 * 0.125 - 1.19, (i / 20) as f32 * 0.125 - 1.19, 0.0]).collect();
        // Finer than pixels: the photograph does not tell.
        let mut wall = Gaussians::from_points(&points, &vec![[0.8; 3]; 400], 0, Kernel::Mip);
        wall.log_scales.fill([-3.5; 3]);
        wall.opacity_logits.fill(3.0);
        let colour = vec![[0.6; 3]; 16 * 16];
        let photograph = [TrainingPicture {
            view: far.clone(),
            colour,
            alpha: vec![],
            mask: vec![],
            depth: vec![],
            normals: vec![],
        }];
        let trained = |smoothing: bool| {
            let options = TrainOptions { smoothing, means_rate: [1e-5; 2], ..Default::default() };
            let mut trainer = Trainer::new(wall.clone(), &photograph[..], options).unwrap();
            (0..300).for_each(|i| _ = trainer.step(i as f64 / 300.0).unwrap());
            trainer.gaussians().unwrap()
        };
        let error = |g: &Gaussians, view: &View| {
            let image = render(g, view, &RenderOptions::default()).unwrap();
            let edge = view.width / 8;
            let inner = |i: &usize| {
                let (x, y) = (i % view.width, i / view.width);
                (edge..view.width - edge).contains(&x) && (edge..view.width - edge).contains(&y)
            };
            let all: Vec<f32> = (0..image.colour.len()).filter(inner).map(|i| image.colour[i][0] - 0.6).collect();
            (all.iter().map(|d| d * d).sum::<f32>() / all.len() as f32).sqrt()
        };
        let (plain, smooth) = (trained(false), trained(true));
        let at_one = [error(&plain, &far), error(&smooth, &far)];
        let at_four = [error(&plain, &near), error(&smooth, &near)];
        assert!(at_one[1] < at_one[0] + 0.01, "as photographed: {at_one:?}");
        assert!(at_four[1] < 0.3 * at_four[0] && at_four[1] < 0.08, "four times nearer: {at_four:?}");
    }
}
