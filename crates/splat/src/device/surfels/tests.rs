use super::super::{CameraVars, DeviceOptions, GaussianVars, median_depth_vars};
use super::*;
use crate::device::DeviceTrainer;
use crate::render_tests::{scene, seen};
use crate::train::tests::{pictures, start, truth};
use crate::{Gaussians, Kernel, Train, TrainState, View};
use lumigrad_core::{DType, Device};
use lumigrad_testkit::{Check, devices};

const OPTIONS: DeviceOptions = DeviceOptions { kernel: Kernel::Surfel, sh_degree: 1, alpha_min: 1e-14 };

/// The arrays of a scene, its view matrix and its intrinsics.
fn inputs(gaussians: &Gaussians) -> (Vec<Tensor>, CameraVars) {
    let cpu = Device::cpu();
    let vars = GaussianVars::new(gaussians, &cpu, DType::F64).unwrap();
    let camera = CameraVars::new(&seen(Projection::Perspective), &cpu, DType::F64).unwrap();
    let mut all: Vec<Tensor> = vars.all().into_iter().map(|v| v.tensor().clone()).collect();
    all.extend([camera.viewmat.tensor().clone(), camera.intrinsics.tensor().clone()]);
    (all, camera)
}

fn picture(inputs: &[Var], camera: &CameraVars) -> lumigrad_core::Result<(Var, CameraVars)> {
    let (arrays, own) = inputs.split_at(inputs.len() - 2);
    let camera = CameraVars { viewmat: own[0].clone(), intrinsics: own[1].clone(), ..camera.clone() };
    Ok((surfels_vars(&GaussianVars::from_all(arrays.to_vec()), &camera, &OPTIONS)?, camera))
}

#[test]
fn derivatives_of_surfels_and_their_losses_are_right() {
    // Much smaller than pixels: their weights are those in the picture, their depths those of centres.
    let mut small = scene(Kernel::Surfel, 1);
    small.log_scales.fill([-9.0, -8.5, 0.0]);
    let (arrays, camera) = inputs(&small);
    Check::new("small surfels", |inputs: &[Var]| Ok(vec![picture(inputs, &camera)?.0]))
        .f32_tolerance(2e-3)
        .run(&arrays);
    let mut gaussians = scene(Kernel::Surfel, 1);
    // Wide enough that rays meet them well inside, and none so steep that a pixel decides between two weights.
    gaussians.log_scales.iter_mut().for_each(|s| *s = s.map(|x| x + 0.9));
    gaussians.rotations.iter_mut().for_each(|q| *q = [1.0, 0.3 * q[1], 0.3 * q[2], q[3]]);
    let (inputs, camera) = inputs(&gaussians);
    Check::new("surfels", |inputs: &[Var]| Ok(vec![picture(inputs, &camera)?.0]))
        .f32_tolerance(2e-3) // tails far below 1/255 are drawn here
        .run(&inputs);
    Check::new("losses of surfels", |inputs: &[Var]| {
        let (picture, camera) = picture(inputs, &camera)?;
        Ok(vec![depth_distortion(&picture, 3.0)?, normal_consistency(&picture, &camera)?])
    })
    .f32_tolerance(5e-3)
    .run(&inputs);
}

/// A wall: one large surfel, turned about the vertical axis.
fn wall(turn: f32) -> (Gaussians, View) {
    let half = 0.5 * turn;
    let gaussians = Gaussians {
        means: vec![[0.0, 0.0, 4.0]],
        log_scales: vec![[0.7, 0.4, -14.0]],
        rotations: vec![[half.cos(), 0.0, half.sin(), 0.0]],
        opacity_logits: vec![1.0],
        sh: vec![[0.5; 3]],
        kernel: Kernel::Surfel,
        ..Gaussians::default()
    };
    let viewmat = std::array::from_fn(|i| std::array::from_fn(|k| (i == k) as u8 as f32));
    let view = View {
        viewmat,
        intrinsics: [30.0, 30.0, 16.0, 16.0],
        width: 32,
        height: 32,
        projection: Projection::Perspective,
        shutter: Default::default(),
    };
    (gaussians, view)
}

#[test]
fn a_surfel_is_met_where_its_plane_is() {
    let turn = 0.6f32;
    let (gaussians, view) = wall(turn);
    for device in devices("surfels") {
        let vars = GaussianVars::new(&gaussians, &device, DType::F32).unwrap();
        let camera = CameraVars::new(&view, &device, DType::F32).unwrap();
        let options = DeviceOptions { kernel: Kernel::Surfel, sh_degree: 0, alpha_min: 1.0 / 255.0 };
        let picture = surfels_vars(&vars, &camera, &options).unwrap();
        let pixels = picture.tensor().to_vec::<f32>().unwrap();
        let (sin, cos) = turn.sin_cos();
        for (i, pixel) in pixels.as_chunks::<PLANES>().0.iter().enumerate() {
            let ray = [((i % 32) as f32 + 0.5 - 16.0) / 30.0, ((i / 32) as f32 + 0.5 - 16.0) / 30.0, 1.0];
            // The plane through (0, 0, 4) with the normal (sin, 0, cos).
            let depth = 4.0 * cos / (sin * ray[0] + cos);
            let (u, v) = ((cos * ray[0] * depth - sin * (depth - 4.0)) / 0.7f32.exp(), ray[1] * depth / 0.4f32.exp());
            let alpha = (-0.5 * (u * u + v * v)).exp() / (1.0 + (-1.0f32).exp());
            if alpha < 0.01 {
                continue;
            }
            let found = [1.0 - pixel[9], pixel[3] / alpha, pixel[4] / alpha, pixel[6] / alpha, pixel[8] / alpha];
            for (a, b) in found.into_iter().zip([alpha, depth, -sin, -cos, 1.0 / (depth * depth)]) {
                assert!((a - b).abs() < 2e-3, "{device}: pixel {i}: {a} for {b}");
            }
        }
        // Half of the light is taken by a wall that lets little through, where it does so.
        let solid =
            GaussianVars::new(&Gaussians { opacity_logits: vec![4.0], ..gaussians.clone() }, &device, DType::F32);
        let median = median_depth_vars(&solid.unwrap(), &camera, &options).unwrap().tensor().to_vec::<f32>().unwrap();
        let middle = 16 * 32 + 20;
        let ray = [(20.5 - 16.0) / 30.0, 0.5 / 30.0];
        assert!((median[middle] - 4.0 * cos / (sin * ray[0] + cos)).abs() < 1e-4, "{device}: {}", median[middle]);
        assert_eq!(median[0], 0.0, "{device}");
        // One surface: nothing is apart, and normals are those of depths.
        let apart = depth_distortion(&picture, 4.0).unwrap().tensor().item().unwrap();
        let bent = normal_consistency(&picture, &camera).unwrap().tensor().item().unwrap();
        assert!(apart.abs() < 0.1 && bent.abs() < 2e-3, "{device}: {apart} {bent}");
    }
}

#[test]
fn surfels_learn_pictures_and_gather_on_a_surface() {
    let (mut gaussians, _, options) = start();
    let truth = Gaussians { kernel: Kernel::Surfel, ..truth() };
    let pictures = pictures(&truth);
    gaussians.kernel = Kernel::Surfel;
    let options =
        crate::TrainOptions { distortion_weight: 0.1, strategy: crate::Strategy::Mcmc { cap: 12 }, ..options };
    let mut expected = None;
    for device in devices("training of surfels") {
        let build = |state: TrainState| DeviceTrainer::new(state, &pictures, options.clone(), &device).unwrap();
        let mut trainer = build(TrainState::new(gaussians.clone()));
        let steps = |trainer: &mut DeviceTrainer, n: usize| -> f32 {
            (0..n).map(|i| trainer.step(0.3 + 0.7 * i as f64 / n as f64).unwrap().loss).sum()
        };
        let first = steps(&mut trainer, 6);
        let mut rest = build(trainer.state().unwrap());
        let next = steps(&mut trainer, 6);
        assert_eq!(next, steps(&mut rest, 6), "{device}: resumed");
        let (a, b) = *expected.get_or_insert((first, next));
        assert!((a - first).abs() < 1e-3 * a && (b - next).abs() < 1e-2 * b, "{device}: {first} {next} for {a} {b}");
        if device.is_cpu() {
            steps(&mut trainer, 120);
            let last = steps(&mut trainer, 6);
            assert!(last < 0.3 * first, "{device}: {first} -> {last}");
        }
    }
    assert!(crate::Trainer::new(truth, pictures, options).is_err());
}

#[test]
fn devices_draw_the_same_surfels() {
    let gaussians = scene(Kernel::Surfel, 1);
    let options = DeviceOptions { alpha_min: 1.0 / 255.0, ..OPTIONS };
    let mut host: Option<Vec<f32>> = None;
    for device in devices("surfels of a scene") {
        let vars = GaussianVars::new(&gaussians, &device, DType::F32).unwrap();
        let camera = CameraVars::new(&seen(Projection::Perspective), &device, DType::F32).unwrap();
        let found = surfels_vars(&vars, &camera, &options).unwrap().tensor().to_vec::<f32>().unwrap();
        let expected = host.get_or_insert(found.clone());
        // A pixel at an edge may be cut on one device and drawn on the other.
        let far = found.iter().zip(&*expected).filter(|(a, b)| (*a - *b).abs() > 1e-4).count();
        assert!(far < found.len() / 100, "{device}: {far} of {}", found.len());
        assert!(expected.as_chunks::<PLANES>().0.iter().any(|p| p[9] < 0.5), "something is drawn");
    }
    // Thin ones are round from afar: the low-pass weight.
    let (mut thin, view) = wall(0.0);
    thin.log_scales[0] = [-9.0, -9.0, -14.0];
    let image = crate::render(&thin, &view, &Default::default()).unwrap();
    let most = image.alpha.iter().fold(0.0f32, |a, &b| a.max(b));
    // Nearest centres are (½, ½) away: e^−½ of σ(1).
    assert!((most - (-0.5f32).exp() / (1.0 + (-1.0f32).exp())).abs() < 1e-3, "{most}");
}
