use super::*;
use crate::{Kernel, RenderOptions, render};

pub fn pictures(of: &Gaussians) -> Vec<TrainingPicture> {
    let turns = (0..6).map(|k| (k as f32 - 2.5) * 0.3);
    let view = |a: f32| View {
        viewmat: [
            [a.cos(), 0.0, a.sin(), 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [-a.sin(), 0.0, a.cos(), 3.0],
            [0.0, 0.0, 0.0, 1.0],
        ],
        intrinsics: [40.0, 40.0, 16.0, 16.0],
        width: 32,
        height: 32,
        projection: Default::default(),
        shutter: Default::default(),
    };
    turns
        .map(|a| {
            let colour = render(of, &view(a), &RenderOptions::default()).unwrap().colour;
            TrainingPicture { view: view(a), colour, alpha: vec![], mask: vec![], depth: vec![], normals: vec![] }
        })
        .collect()
}

pub fn truth() -> Gaussians {
    let points: Vec<[f32; 3]> =
        (0..12).map(|i| [(i % 4) as f32 * 0.4 - 0.6, (i / 4) as f32 * 0.4 - 0.4, (i % 3) as f32 * 0.2]).collect();
    let colours: Vec<[f32; 3]> = (0..12).map(|i| [(i % 3) as f32 / 2.0, (i % 4) as f32 / 3.0, 0.7]).collect();
    let mut out = Gaussians::from_points(&points, &colours, 1, Kernel::Classic);
    out.log_scales.iter_mut().for_each(|s| *s = [-1.8, -2.2, -2.0]);
    out.opacity_logits.fill(1.5);
    out
}

/// Where training starts, and how.
pub fn start() -> (Gaussians, Vec<TrainingPicture>, TrainOptions) {
    let mut start = truth();
    let pictures = pictures(&start);
    start.means.iter_mut().enumerate().for_each(|(i, m)| m[i % 3] += 0.05);
    start.log_scales.iter_mut().for_each(|s| *s = [-2.0; 3]);
    start.opacity_logits.fill(0.0);
    start.sh.fill([0.0; 3]);
    let options =
        TrainOptions { means_rate: [2e-3, 2e-4], colour_rate: 2e-2, steps_per_degree: 100, ..Default::default() };
    (start, pictures, options)
}

fn trainer() -> Trainer {
    let (start, pictures, options) = start();
    Trainer::new(start, pictures, options).unwrap()
}

/// Pulls at means after some steps: lengths, and how many pictures.
fn growth(absgrad: bool) -> Vec<f32> {
    let (start, pictures, options) = start();
    let strategy = Strategy::Adc { cap: 100, absgrad };
    let mut trainer = Trainer::new(start, pictures, TrainOptions { strategy, ..options }).unwrap();
    (0..7).for_each(|_| _ = trainer.step(0.2).unwrap());
    trainer.state().unwrap().growth
}

#[test]
fn pulls_of_pixels_do_not_cancel() {
    let (pictures, pixels) = (growth(false), growth(true));
    let mut larger = 0;
    for (a, b) in pictures.as_chunks::<2>().0.iter().zip(pixels.as_chunks::<2>().0) {
        assert_eq!(a[1], b[1]);
        assert!(b[0] >= 0.999 * a[0], "{a:?} {b:?}");
        larger += (b[0] > 1.2 * a[0]) as usize;
    }
    assert!(larger > 6, "{larger} of 12");
}

#[test]
fn adaptive_density_control_resumes_and_splits_what_is_too_large() {
    let (mut start, pictures, options) = start();
    start.log_scales.fill([-1.0; 3]);
    let strategy = Strategy::Adc { cap: 60, absgrad: false };
    let options = TrainOptions { strategy, ..options };
    let mut whole = Trainer::new(start.clone(), pictures.clone(), options.clone()).unwrap();
    (0..560).for_each(|_| _ = whole.step(0.2).unwrap());
    assert!((13..=60).contains(&whole.len()), "{}", whole.len());
    let mut half = Trainer::new(start, pictures.clone(), options.clone()).unwrap();
    (0..555).for_each(|_| _ = half.step(0.2).unwrap());
    let mut rest = Trainer::resume(half.state().unwrap(), pictures, options).unwrap();
    (0..5).for_each(|_| _ = rest.step(0.2).unwrap());
    assert!(whole.state().unwrap() == rest.state().unwrap());
}

#[test]
fn training_recovers_the_pictures() {
    let mut trainer = trainer();
    let first: f32 = (0..6).map(|_| trainer.step(0.0).unwrap().loss).sum();
    (0..288).for_each(|i| _ = trainer.step(i as f64 / 288.0).unwrap());
    let last: f32 = (0..6).map(|_| trainer.step(1.0).unwrap().loss).sum();
    assert!(last < 0.1 * first, "the loss fell from {first} to {last} only");
}

#[test]
fn resume_reproduces_uninterrupted_run_on_any_number_of_threads() {
    let mut whole = trainer();
    (0..20).for_each(|_| _ = whole.step(0.5).unwrap());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let resumed = pool.install(|| {
        let mut half = trainer();
        (0..9).for_each(|_| _ = half.step(0.5).unwrap());
        let mut rest = Trainer::resume(half.state().unwrap(), half.pictures.clone(), half.options.clone()).unwrap();
        (0..11).for_each(|_| _ = rest.step(0.5).unwrap());
        rest.state().unwrap()
    });
    assert!(whole.state().unwrap() == resumed);
}

#[test]
fn pictures_that_disagree_with_their_views_are_refused() {
    let mut bad = pictures(&truth());
    bad[1].colour.pop();
    let error = Trainer::new(truth(), bad, TrainOptions::default()).err().unwrap();
    assert_eq!(error, Error::Picture { index: 1, found: 1023, expected: 1024 });
    assert!(Trainer::new(truth(), vec![], TrainOptions::default()).is_err());
}
