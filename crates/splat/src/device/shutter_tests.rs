use super::*;
use crate::render_tests::{scene, seen};
use crate::{RenderOptions, Shutter, render};
use lumigrad_testkit::{Check, devices};

const MOTION: [f32; 6] = [0.03, 0.08, 0.05, 0.2, -0.15, 0.1];

/// exp(s ω) R, t + s v.
fn at(view: &View, motion: [f32; 6], s: f32) -> View {
    let [x, y, z, speed @ ..] = motion.map(|m| m * s);
    let angle = (x * x + y * y + z * z).sqrt().max(1e-12);
    let axis = [x, y, z].map(|x| x / angle);
    let half = 0.5 * angle;
    let q = [half.cos(), axis[0] * half.sin(), axis[1] * half.sin(), axis[2] * half.sin()];
    let turn = crate::project::rotation(q.map(f64::from), 1.0, 2.0);
    let mut out = View { shutter: Shutter::Global, ..view.clone() };
    for i in 0..3 {
        for k in 0..3 {
            out.viewmat[i][k] = (0..3).map(|j| turn[i][j] as f32 * view.viewmat[j][k]).sum();
        }
        out.viewmat[i][3] += speed[i];
    }
    out
}

/// The picture whose every line is that of a still camera at the line's time.
fn stitched(gaussians: &Gaussians, view: &View, motion: [f32; 6], lines: Lines) -> Vec<[f32; 5]> {
    let (width, height) = (view.width, view.height);
    let mut out = vec![[0.0; 5]; width * height];
    let n = if lines == Lines::Rows { height } else { width };
    for line in 0..n {
        let image = render(gaussians, &at(view, motion, line as f32 / (n - 1) as f32 - 0.5), &RenderOptions::default());
        let image = image.unwrap();
        for (i, pixel) in out.iter_mut().enumerate() {
            if line == if lines == Lines::Rows { i / width } else { i % width } {
                let [r, g, b] = image.colour[i];
                *pixel = [r, g, b, image.depth[i], image.alpha[i]];
            }
        }
    }
    out
}

/// Mean and largest difference of all numbers but depths.
fn off(image: &crate::Image, expected: &[[f32; 5]]) -> [f32; 2] {
    let pixels = image.colour.iter().zip(&image.alpha).zip(expected);
    let all: Vec<f32> =
        pixels.flat_map(|((c, a), e)| [c[0] - e[0], c[1] - e[1], c[2] - e[2], a - e[4]].map(f32::abs)).collect();
    [all.iter().sum::<f32>() / all.len() as f32, all.iter().fold(0.0, |a, &b| a.max(b))]
}

fn rolling(view: View, lines: Lines, motion: [f32; 6]) -> View {
    let shutter = if lines == Lines::Rows { Shutter::Rows(motion) } else { Shutter::Columns(motion) };
    View { shutter, ..view }
}

#[test]
fn a_rolling_shutter_draws_what_still_cameras_draw_line_by_line() {
    for (kernel, projection, lines) in [
        (Kernel::Classic, Projection::Perspective, Lines::Rows),
        (Kernel::Classic, Projection::Perspective, Lines::Columns),
        (Kernel::Mip, Projection::Perspective, Lines::Rows),
        (Kernel::Classic, Projection::Orthographic, Lines::Columns),
        (Kernel::Surfel, Projection::Perspective, Lines::Rows),
        (Kernel::Surfel, Projection::Perspective, Lines::Columns),
    ] {
        let mut gaussians = scene(kernel, 0);
        gaussians.log_scales.iter_mut().for_each(|s| *s = s.map(|x| x.min(-1.8)));
        if kernel == Kernel::Surfel {
            gaussians.rotations.iter_mut().for_each(|q| *q = [1.0, 0.3 * q[1], 0.3 * q[2], q[3]]);
        }
        let intrinsics =
            if projection == Projection::Perspective { [72.0, 78.0, 33.0, 28.5] } else { [24.0, 27.0, 33.0, 28.5] };
        let view = View { width: 63, height: 57, intrinsics, ..seen(projection) };
        let expected = stitched(&gaussians, &view, MOTION, lines);
        let still = off(&render(&gaussians, &view, &Default::default()).unwrap(), &expected);
        let moving = rolling(view, lines, MOTION);
        let found = off(&render(&gaussians, &moving, &Default::default()).unwrap(), &expected);
        let what = format!("{kernel:?} {projection:?} {lines:?}: {found:?} off, {still:?} without motion");
        // What is left is of second order in the sizes of the Gaussians, and cuts at 1/255.
        assert!(found[0] < 0.04 * still[0] && found[1] < 0.02, "{what}");
    }
}

#[test]
fn derivatives_of_rolling_shutters_are_right() {
    let cpu = Device::cpu();
    for (kernel, projection, lines) in [
        (Kernel::Classic, Projection::Perspective, Lines::Rows),
        (Kernel::Mip, Projection::Orthographic, Lines::Columns),
        (Kernel::Surfel, Projection::Perspective, Lines::Rows),
    ] {
        let mut all = scene(kernel, 1);
        if kernel == Kernel::Surfel {
            all.log_scales.iter_mut().for_each(|s| *s = s.map(|x| x + 0.9));
            all.rotations.iter_mut().for_each(|q| *q = [1.0, 0.3 * q[1], 0.3 * q[2], q[3]]);
        }
        let gaussians = GaussianVars::new(&all, &cpu, DType::F64).unwrap();
        let view = rolling(seen(projection), lines, MOTION);
        let camera = CameraVars::new(&view, &cpu, DType::F64).unwrap();
        let options = DeviceOptions { kernel, sh_degree: 1, alpha_min: 1e-14 };
        let mut inputs: Vec<Tensor> = gaussians.all().into_iter().map(|v| v.tensor().clone()).collect();
        let (_, motion) = camera.shutter.clone().unwrap();
        inputs.extend([&camera.viewmat, &camera.intrinsics, &motion].map(|v| v.tensor().clone()));
        Check::new("rolling shutter", |inputs: &[Var]| {
            let (arrays, own) = inputs.split_at(inputs.len() - 3);
            let camera = CameraVars {
                viewmat: own[0].clone(),
                intrinsics: own[1].clone(),
                shutter: Some((lines, own[2].clone())),
                ..camera.clone()
            };
            Ok(vec![render_vars(&GaussianVars::from_all(arrays.to_vec()), &camera, &options)?])
        })
        .f32_tolerance(2e-3) // tails far below 1/255 are drawn here
        .run(&inputs);
    }
}

#[test]
fn a_camera_that_stands_still_rolls_nothing() {
    let (gaussians, view) = (scene(Kernel::Classic, 2), seen(Projection::Perspective));
    let expected = render(&gaussians, &view, &Default::default()).unwrap();
    let moving = rolling(view.clone(), Lines::Rows, [0.0; 6]);
    let found = render(&gaussians, &moving, &Default::default()).unwrap();
    for (a, b) in found.colour.as_flattened().iter().zip(expected.colour.as_flattened()) {
        assert!((a - b).abs() < 1e-5, "{a} for {b}");
    }
    // A motion that outruns the readout, and what it brings behind the camera, stays finite.
    let wild = rolling(view.clone(), Lines::Rows, [0.0, 3.0, 0.0, 50.0, 900.0, -9.0]);
    assert!(
        render(&gaussians, &wild, &Default::default()).unwrap().colour.as_flattened().iter().all(|x| x.is_finite())
    );
    let lost = rolling(view, Lines::Columns, [f32::NAN; 6]);
    assert_eq!(render(&gaussians, &lost, &Default::default()).unwrap_err(), crate::Error::Camera);
}

#[test]
fn training_follows_cameras_that_move() {
    let (gaussians, mut pictures, options) = crate::train::tests::start();
    let truth = crate::train::tests::truth();
    for (k, picture) in pictures.iter_mut().enumerate() {
        // To either side, so that no shape explains all of them.
        let side = if k % 2 == 0 { 1.0 } else { -1.0 };
        picture.view.shutter = Shutter::Rows([0.0, 0.15 * side, 0.0, 0.3 * side, 0.0, 0.0]);
        picture.colour = render(&truth, &picture.view, &Default::default()).unwrap().colour;
    }
    let state = || crate::TrainState::new(gaussians.clone());
    for device in devices("training with rolling shutters") {
        let last = |moving: bool| {
            let mut pictures = pictures.clone();
            if !moving {
                pictures.iter_mut().for_each(|p| p.view.shutter = Shutter::Global);
            }
            let mut trainer = DeviceTrainer::new(state(), &pictures, options.clone(), &device).unwrap();
            use crate::Train;
            let n = if device.is_cpu() { 120 } else { 48 };
            (0..n).for_each(|i| _ = trainer.step(i as f64 / n as f64).unwrap());
            (0..6).map(|_| trainer.step(1.0).unwrap().loss).sum::<f32>()
        };
        let (with, without) = (last(true), last(false));
        let part = if device.is_cpu() { 0.6 } else { 0.85 };
        assert!(with < part * without, "{device}: {with}, {without} for cameras that are taken to stand still");
    }
    assert!(crate::Trainer::new(gaussians, pictures, options).is_err(), "the fast path has still cameras");
}
