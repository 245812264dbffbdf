use super::*;
use crate::train::tests::start;
use crate::{Strategy, TrainOptions, TrainingPicture};

/// A training by Adam that has gone some way.
fn trained(strategy: Strategy, random: bool) -> (TrainState, Vec<TrainingPicture>, TrainOptions) {
    let (gaussians, pictures, options) = start();
    let background = if random { Background::Random } else { options.background };
    let options = TrainOptions { strategy, background, steps_per_degree: 1, ..options };
    let mut trainer = Trainer::new(gaussians, pictures.clone(), options.clone()).unwrap();
    (0..60).for_each(|_| _ = trainer.step(0.5).unwrap());
    (trainer.state().unwrap(), pictures, options)
}

fn squares((state, pictures, options): &(TrainState, Vec<TrainingPicture>, TrainOptions)) -> LmTrainer {
    let trainer = Trainer::resume(state.clone(), pictures.clone(), options.clone()).unwrap();
    LmTrainer::new(trainer, state.damping).unwrap()
}

/// Mean loss over all pictures, of the state's Gaussians.
fn loss((state, pictures, options): &(TrainState, Vec<TrainingPicture>, TrainOptions)) -> f64 {
    let mut squares = squares(&(state.clone(), pictures.clone(), options.clone()));
    let all: Vec<usize> = (0..pictures.len()).collect();
    squares.judge(&all).unwrap() - squares.penalty()
}

#[test]
fn five_steps_of_least_squares_come_near() {
    let start = trained(Strategy::Fixed, false);
    let mut squares = squares(&start);
    let reports: Vec<f32> = (0..5).map(|_| squares.step(1.0).unwrap().loss).collect();
    assert!(reports.iter().all(|x| x.is_finite()), "{reports:?}");
    let [before, after] =
        [start.0.clone(), squares.state().unwrap()].map(|s| loss(&(s, start.1.clone(), start.2.clone())));
    assert!(after < 0.25 * before, "{before} -> {after}");
}

#[test]
fn steps_resume_and_do_not_depend_on_threads() {
    let start = trained(Strategy::Mcmc { cap: 14 }, true);
    let mut whole = squares(&start);
    (0..3).for_each(|_| _ = whole.step(1.0).unwrap());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let resumed = pool.install(|| {
        let mut half = squares(&start);
        half.step(1.0).unwrap();
        let mut rest = squares(&(half.state().unwrap(), start.1.clone(), start.2.clone()));
        (0..2).for_each(|_| _ = rest.step(1.0).unwrap());
        rest.state().unwrap()
    });
    assert!(whole.state().unwrap() == resumed);
}

#[test]
fn masked_pixels_teach_nothing_and_rays_are_refused() {
    let mut start = trained(Strategy::Fixed, false);
    // Half of each photograph is nonsense, and does not count.
    for picture in &mut start.1 {
        picture.mask = (0..picture.colour.len()).map(|i| (i % 32 < 16) as u8 as f32).collect();
        picture.colour.iter_mut().enumerate().filter(|(i, _)| i % 32 >= 16).for_each(|(_, c)| *c = [9.0; 3]);
    }
    let mut nonsense = squares(&start);
    nonsense.step(1.0).unwrap();
    for picture in &mut start.1 {
        picture.colour.iter_mut().enumerate().filter(|(i, _)| i % 32 >= 16).for_each(|(_, c)| *c = [0.0; 3]);
    }
    let mut blank = squares(&start);
    blank.step(1.0).unwrap();
    assert!(nonsense.gaussians().unwrap() == blank.gaussians().unwrap());
    let (state, pictures, options) = start;
    let options = TrainOptions { technique: Technique::Raycast, ..options };
    let rays = Trainer::resume(state, pictures, options).unwrap();
    assert!(LmTrainer::new(rays, None).err().unwrap().to_string().contains("device::LeastSquares"));
}
