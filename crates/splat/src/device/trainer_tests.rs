use super::room::Room;
use super::{DeviceRobustTrainer, DeviceTrainer, MethodTrainer};
use crate::train::tests::start;
use crate::{Gaussians, Kernel, Robust, RobustTrainer, Strategy, Train, TrainOptions, TrainState, Trainer, View};
use lumigrad_core::Device;
use lumigrad_optim::METHODS;
use lumigrad_optim::method::find;
use lumigrad_testkit::devices;

fn device_trainer(device: &Device, strategy: Strategy) -> DeviceTrainer {
    let (gaussians, pictures, options) = start();
    DeviceTrainer::new(TrainState::new(gaussians), &pictures, TrainOptions { strategy, ..options }, device).unwrap()
}

fn steps(trainer: &mut dyn Train, n: usize, progress: f64) -> f32 {
    (0..n).map(|_| trainer.step(progress).unwrap().loss).sum()
}

#[test]
fn devices_count_the_pulls_that_the_host_counts() {
    for absgrad in [false, true] {
        let strategy = Strategy::Adc { cap: 100, absgrad };
        let (gaussians, pictures, options) = start();
        let mut host = Trainer::new(gaussians, pictures, TrainOptions { strategy, ..options }).unwrap();
        steps(&mut host, 1, 0.2);
        let once = host.state().unwrap().growth;
        steps(&mut host, 4, 0.2);
        let often = host.state().unwrap().growth;
        for device in devices("pulls") {
            let mut trainer = device_trainer(&device, strategy);
            // The same Gaussians; then Adam's first steps, which are as long for a rounding as for a gradient, part them.
            for (n, expected, near, apart) in [(1, &once, 1e-3, 0.0), (4, &often, 3e-2, 1.0)] {
                steps(&mut trainer, n, 0.2);
                let found = trainer.state().unwrap().growth;
                for (a, b) in found.as_chunks::<2>().0.iter().zip(expected.as_chunks::<2>().0) {
                    assert!((a[1] - b[1]).abs() <= apart, "{device}: {a:?} {b:?}");
                    assert!((a[0] - b[0]).abs() < near * b[0], "{device}: {a:?} {b:?}, absgrad: {absgrad}");
                }
            }
        }
    }
}

#[test]
fn every_optimiser_trains_splats() {
    for entry in METHODS.iter().filter(|m| !m.deterministic) {
        let mut trainer = MethodTrainer::new(device_trainer(&Device::cpu(), Strategy::Fixed), entry, 36, None).unwrap();
        let first = steps(&mut trainer, 6, 0.0);
        steps(&mut trainer, 24, 0.5);
        let last = steps(&mut trainer, 6, 1.0);
        // Eight random directions in 276 unknowns are a baseline.
        let part = if entry.name == "forward-gradient" { 1.0 } else { 0.8 };
        assert!(last < part * first, "{}: {first} -> {last}", entry.name);
    }
}

#[test]
fn adam_by_name_is_the_trainers_own() {
    let (one, pictures, options) = start();
    // Twice as many, so that a twentieth of them is one.
    let mut gaussians = one.clone();
    gaussians.means.extend(one.means.iter().map(|m| m.map(|x| x + 0.01)));
    gaussians.log_scales.extend(one.log_scales);
    gaussians.rotations.extend(one.rotations);
    gaussians.opacity_logits.extend(one.opacity_logits);
    gaussians.sh.extend(one.sh);
    let options = TrainOptions { strategy: Strategy::Mcmc { cap: 40 }, ..options };
    let build = || DeviceTrainer::new(TrainState::new(gaussians.clone()), &pictures, options.clone(), &Device::cpu());
    let mut own = build().unwrap();
    let mut named = MethodTrainer::new(build().unwrap(), find("adam").unwrap(), 600, None).unwrap();
    // Gaussians are added after the step 500.
    assert_eq!(steps(&mut own, 510, 0.3), steps(&mut named, 510, 0.3));
    assert_eq!(own.len(), 25);
    assert!(own.gaussians().unwrap() == named.gaussians().unwrap());
}

#[test]
fn optimisers_go_on_from_what_they_remember() {
    let (_, pictures, options) = start();
    let build = |state: TrainState| {
        let remembered = state.method.clone();
        let trainer = DeviceTrainer::new(state, &pictures, options.clone(), &Device::cpu()).unwrap();
        MethodTrainer::new(trainer, find("ademamix").unwrap(), 20, remembered).unwrap()
    };
    let mut whole = build(TrainState::new(start().0));
    steps(&mut whole, 12, 0.5);
    let mut half = build(TrainState::new(start().0));
    steps(&mut half, 5, 0.5);
    let mut rest = build(half.state().unwrap());
    steps(&mut rest, 7, 0.5);
    assert!(whole.state().unwrap() == rest.state().unwrap());
}

/// Trains cameras and colours, on the true Gaussians; picture 2 was turned by 0.01, and 4 is darker and bluish.
fn camera_trainer(device: &Device, state: Option<TrainState>, means_rate: f32) -> DeviceTrainer {
    let (_, mut pictures, options) = start();
    let (sin, cos) = 0.01f32.sin_cos();
    let view = &mut pictures[2].view.viewmat;
    let turned = |row: [f32; 4], other: [f32; 4], s: f32| std::array::from_fn(|k| cos * row[k] + s * other[k]);
    (view[0], view[1]) = (turned(view[0], view[1], -sin), turned(view[1], view[0], sin));
    pictures[4].colour.iter_mut().for_each(|c| *c = [0.7 * c[0], 0.7 * c[1], 0.7 * c[2] + 0.1]);
    let still = TrainOptions {
        means_rate: [means_rate; 2],
        scales_rate: 0.0,
        rotations_rate: 0.0,
        opacities_rate: 0.0,
        colour_rate: 1e-2,
        steps_per_degree: 1,
        refine_poses: true,
        pose_rate: 1e-3,
        exposures: true,
        exposure_rate: 1e-2,
        ..options
    };
    let state = state.unwrap_or_else(|| TrainState::new(crate::train::tests::truth()));
    DeviceTrainer::new(state, &pictures, still, device).unwrap()
}

#[test]
fn poses_and_exposures_are_found() {
    for device in devices("cameras") {
        let n = if device.is_cpu() { 600 } else { 60 };
        let mut trainer = camera_trainer(&device, None, 1e-30);
        let before = trainer.poses().unwrap()[2];
        let first = steps(&mut trainer, 6, 0.0);
        (0..n).for_each(|i| _ = trainer.step(0.1 + 0.9 * i as f64 / n as f64).unwrap());
        let after = trainer.poses().unwrap();
        // The roll of the camera, undone.
        let roll = |p: &[[f64; 4]; 4]| p[1][0].atan2(p[1][1]).abs();
        let part = if device.is_cpu() { 0.1 } else { 0.95 };
        assert!(roll(&after[2]) < part * roll(&before), "{device}: {} of {}", roll(&after[2]), roll(&before));
        let cameras = trainer.state().unwrap().cameras.unwrap();
        let constant = |k: usize| cameras.arrays[&format!("{k} exposure")].1[11];
        // Factors of colours that go together can stand for each other.
        let found = constant(4) - constant(0);
        let near = if device.is_cpu() { 0.02 } else { 0.095 };
        assert!((found - 0.1).abs() < near, "{device}: {found}");
        let last = steps(&mut trainer, 6, 1.0);
        assert!(last < if device.is_cpu() { 0.1 } else { 1.0 } * first, "{device}: {first} -> {last}");
    }
}

#[test]
fn cameras_go_on_from_what_they_remember() {
    let mut whole = camera_trainer(&Device::cpu(), None, 1e-3);
    steps(&mut whole, 20, 0.5);
    let mut half = camera_trainer(&Device::cpu(), None, 1e-3);
    steps(&mut half, 9, 0.5);
    let mut rest = camera_trainer(&Device::cpu(), Some(half.state().unwrap()), 1e-3);
    steps(&mut rest, 11, 0.5);
    assert!(whole.state().unwrap() == rest.state().unwrap());
}

#[test]
fn devices_take_the_steps_that_the_host_takes() {
    let (gaussians, pictures, options) = start();
    let options = TrainOptions { strategy: Strategy::Fixed, ..options };
    let mut host = Trainer::new(gaussians.clone(), pictures.clone(), options.clone()).unwrap();
    steps(&mut host, 1, 0.1);
    let expected = host.state().unwrap().first;
    let largest = expected.iter().fold(0f32, |a, b| a.max(b.abs()));
    for device in devices("a step") {
        let mut trainer = device_trainer(&device, Strategy::Fixed);
        steps(&mut trainer, 1, 0.1);
        // The first moments are the gradients, opacities of exactly one half included.
        for (i, (a, b)) in trainer.state().unwrap().first.iter().zip(&expected).enumerate() {
            assert!((a - b).abs() < 1e-4 * largest, "{device}, number {i}: {a} for {b}");
        }
    }
}

#[test]
fn two_models_learn_on_devices_what_they_learn_on_the_host() {
    for mode in [Robust::Dual, Robust::Ema] {
        let (gaussians, pictures, options) = start();
        // Devices explore by other random numbers.
        let options = TrainOptions { strategy: Strategy::Fixed, ..options };
        let state = || TrainState::new(gaussians.clone());
        let mut host = RobustTrainer::new(mode, state(), pictures.clone().into(), options.clone()).unwrap();
        let expected = [steps(&mut host, 6, 0.1), steps(&mut host, 12, 0.5)];
        for device in devices("two models") {
            let mut trainer = DeviceRobustTrainer::new(mode, state(), &pictures, options.clone(), &device).unwrap();
            let found = [steps(&mut trainer, 6, 0.1), steps(&mut trainer, 12, 0.5)];
            for (a, b) in found.iter().zip(expected) {
                assert!((a - b).abs() < 2e-2 * b, "{mode:?} on {device}: {found:?} for {expected:?}");
            }
        }
    }
}

#[test]
fn tones_of_a_picture_are_found_and_remembered() {
    for device in devices("tones") {
        let n = if device.is_cpu() { 300 } else { 40 };
        let (_, mut pictures, options) = start();
        let width = pictures[4].view.width;
        // Something shaded the left half of a photograph.
        for (i, c) in pictures[4].colour.iter_mut().enumerate() {
            *c = c.map(|x| if i % width < width / 2 { 0.5 * x } else { x });
        }
        let still = TrainOptions {
            means_rate: [1e-30; 2],
            scales_rate: 0.0,
            rotations_rate: 0.0,
            opacities_rate: 0.0,
            colour_rate: 1e-30,
            bilateral_grid: true,
            tone_rate: 5e-3,
            ..options
        };
        let truth = TrainState::new(crate::train::tests::truth());
        let mut trainer = DeviceTrainer::new(truth, &pictures, still.clone(), &device).unwrap();
        let first = steps(&mut trainer, 6, 0.0);
        (0..n).for_each(|i| _ = trainer.step(0.1 + 0.5 * i as f64 / n as f64).unwrap());
        let state = trainer.state().unwrap();
        let last = steps(&mut trainer, 6, 1.0);
        let part = if device.is_cpu() { 0.35 } else { 0.9 };
        assert!(last < part * first, "{device}: {first} -> {last}");
        let mut again = DeviceTrainer::new(state, &pictures, still, &device).unwrap();
        assert_eq!(steps(&mut again, 6, 1.0), last, "{device}");
    }
}

#[test]
fn known_depths_keep_gaussians_where_they_are() {
    let truth = crate::train::tests::truth();
    let (gaussians, mut pictures, options) = start();
    let depth_of = |of: &Gaussians, view: &View| -> Vec<f32> {
        let image = crate::render(of, view, &Default::default()).unwrap();
        image.depth.iter().zip(&image.alpha).map(|(d, a)| if *a > 0.8 { d / a } else { 0.0 }).collect()
    };
    pictures.iter_mut().for_each(|p| p.depth = depth_of(&truth, &p.view));
    for device in devices("depths") {
        let error = |depth_weight: f32| {
            let options = TrainOptions { depth_weight, ..options.clone() };
            let state = TrainState::new(gaussians.clone());
            let mut trainer = DeviceTrainer::new(state, &pictures, options, &device).unwrap();
            steps(&mut trainer, 60, 0.2);
            let found = trainer.gaussians().unwrap();
            let far = |p: &crate::TrainingPicture| {
                let both = depth_of(&found, &p.view).into_iter().zip(p.depth.clone());
                let off: Vec<f32> = both.filter(|(a, b)| *a > 0.0 && *b > 0.0).map(|(a, b)| (a - b).abs()).collect();
                off.iter().sum::<f32>() / off.len().max(1) as f32
            };
            pictures.iter().map(far).sum::<f32>() / pictures.len() as f32
        };
        let (with, without) = (error(1.0), error(0.0));
        assert!(with < 0.7 * without, "{device}: {with} with depths, {without} without");
    }
}

#[test]
fn gaussians_that_are_not_bound_at_once_are_trained_in_pages() {
    let (one, pictures, options) = start();
    let copies = |k: usize| one.means.iter().map(move |m| m.map(|x| x + 0.003 * k as f32));
    let colours = vec![[0.5; 3]; 30 * one.len()];
    let mut gaussians =
        Gaussians::from_points(&(0..30).flat_map(copies).collect::<Vec<_>>(), &colours, 3, Kernel::Classic);
    gaussians.log_scales.fill([-2.0; 3]);
    gaussians.opacity_logits.fill(-2.0);
    let options = TrainOptions { strategy: Strategy::Fixed, steps_per_degree: 1, ..options };
    let run = |device: &Device| {
        let mut trainer =
            DeviceTrainer::new(TrainState::new(gaussians.clone()), &pictures, options.clone(), device).unwrap();
        (0..4).for_each(|_| assert!(trainer.step(0.5).unwrap().loss.is_finite()));
        trainer.state().unwrap()
    };
    // Harmonics of 360 Gaussians are 64 800 bytes: launches of 320 and 40.
    let [usual, narrow] = [lumigrad_testkit::gpu("pages"), lumigrad_testkit::narrow("pages", 62 << 10)];
    let (Some(usual), Some(narrow)) = (usual, narrow) else { return };
    let found = run(&narrow);
    assert!(found == run(&usual), "pages change bits");
    assert!(found.gaussians.sh.iter().any(|c| c[0] != 0.0), "nothing was learnt");
}

#[test]
fn steps_in_a_room_that_is_too_small_are_those_in_a_large_one() {
    for device in devices("rooms") {
        for strategy in [Strategy::Mcmc { cap: 40 }, Strategy::Adc { cap: 100, absgrad: false }] {
            let run = |room: Option<usize>| {
                let mut trainer = device_trainer(&device, strategy);
                trainer.room = room.map(Room::new);
                let losses: Vec<f32> = (0..8).map(|_| trainer.step(0.2).unwrap().loss).collect();
                (losses, trainer.state().unwrap(), trainer.room.map(|r| r.entries()))
            };
            let large = run(Some(1 << 14));
            let (small, exact) = (run(Some(3)), run(None));
            assert!(small.2.is_some_and(|n| n > 30), "{device}: {:?} entries", small.2);
            for (name, other) in [("small", &small), ("exact", &exact)] {
                assert!(other.0 == large.0 && other.1 == large.1, "{device}, {strategy:?}: {name} differs");
            }
        }
    }
}

#[test]
fn known_normals_turn_gaussians() {
    for kernel in [Kernel::Classic, Kernel::Surfel] {
        let mut truth = Gaussians { kernel, ..crate::train::tests::truth() };
        truth.log_scales.iter_mut().for_each(|s| s[2] = s[0].min(s[1]) - 1.0);
        truth.rotations.iter_mut().for_each(|q| *q = [0.97, 0.12, -0.2, 0.0]);
        let (mut gaussians, mut pictures, options) = start();
        gaussians.kernel = kernel;
        gaussians.log_scales.iter_mut().for_each(|s| s[2] -= 0.6);
        let seen = |of: &Gaussians, view: &View| -> (Vec<f32>, Vec<f32>) {
            let mut renderer = crate::Renderer::new(of).unwrap();
            let alpha = renderer.render(view, &Default::default()).unwrap().alpha;
            (renderer.normals(of, view, &Default::default()).unwrap(), alpha)
        };
        for picture in &mut pictures {
            picture.colour = crate::render(&truth, &picture.view, &Default::default()).unwrap().colour;
            let (normals, alpha) = seen(&truth, &picture.view);
            let known = normals.as_chunks::<3>().0.iter().zip(&alpha);
            picture.normals = known.map(|(n, a)| if *a > 0.5 { *n } else { [0.0; 3] }).collect();
        }
        for device in devices("normals") {
            let angle = |normal_map_weight: f32| {
                let options =
                    TrainOptions { normal_map_weight, rotations_rate: 2e-2, normal_weight: 0.0, ..options.clone() };
                let state = TrainState::new(gaussians.clone());
                let mut trainer = DeviceTrainer::new(state, &pictures, options, &device).unwrap();
                steps(&mut trainer, 60, 0.2);
                let found = trainer.gaussians().unwrap();
                let mut angles = vec![];
                for picture in &pictures {
                    let (normals, alpha) = seen(&found, &picture.view);
                    for ((n, a), known) in normals.as_chunks::<3>().0.iter().zip(alpha).zip(&picture.normals) {
                        if a > 0.5 && *known != [0.0; 3] {
                            let cosine: f32 = (0..3).map(|k| n[k] * known[k]).sum();
                            angles.push(cosine.clamp(-1.0, 1.0).acos().to_degrees());
                        }
                    }
                }
                angles.iter().sum::<f32>() / angles.len().max(1) as f32
            };
            let (with, without) = (angle(0.5), angle(0.0));
            assert!(with < 0.6 * without, "{kernel:?} on {device}: {with}° with normals, {without}° without");
        }
    }
}
