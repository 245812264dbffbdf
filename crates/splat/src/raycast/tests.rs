use super::host::Rays;
use super::*;
use crate::composite::{PIXELS, for_pixels};
use crate::lanes::{V, level};
use crate::project::Camera;
use crate::render::camera;
use crate::render_tests::{scene, seen};
use crate::rows::{BLOCK, Rows};
use crate::train::tests::start;
use crate::update::Learnt;
use crate::{Gaussians, Strategy, Technique, Train, TrainOptions, Trainer};
use fearless_simd::{Simd, SimdBase, dispatch};
use lumigrad_core::{DType, Device, Tape};
use lumigrad_testkit::{Check, devices};

/// No visible cut, so that the picture is smooth.
fn smooth(kernel: Kernel, sh_degree: usize) -> RaycastOptions {
    RaycastOptions { depth_min: 1e-13, bits: 4, ..RaycastOptions::new(kernel, sh_degree) }
}

/// Pixels of a view.
fn draw(gaussians: &Gaussians, view: &View, options: &RaycastOptions, device: &Device, dtype: DType) -> Vec<[f64; 5]> {
    let vars = GaussianVars::new(gaussians, device, dtype).unwrap();
    let camera = CameraVars::new(view, device, dtype).unwrap();
    let picture = raycast_vars(&vars, &camera, options).unwrap();
    let all = picture.tensor().cast(DType::F32).unwrap().to_vec::<f32>().unwrap();
    match dtype {
        DType::F64 => picture.tensor().to_vec::<f64>().unwrap().as_chunks::<5>().0.to_vec(),
        _ => all.as_chunks::<5>().0.iter().map(|p| p.map(f64::from)).collect(),
    }
}

#[test]
fn derivatives_of_pictures_by_gaussians_and_camera_are_right() {
    // With an end that is not seen, and with the usual one.
    for (kernel, sh_degree, depth_min) in
        [(Kernel::Classic, 2, 1e-13), (Kernel::Mip, 1, 1e-13), (Kernel::Mip, 0, DEPTH_MIN)]
    {
        let cpu = Device::cpu();
        let gaussians = GaussianVars::new(&scene(kernel, sh_degree), &cpu, DType::F64).unwrap();
        let camera = CameraVars::new(&seen(Projection::Perspective), &cpu, DType::F64).unwrap();
        let options = RaycastOptions { depth_min, ..smooth(kernel, sh_degree) };
        let mut inputs: Vec<Tensor> = gaussians.all().into_iter().map(|v| v.tensor().clone()).collect();
        inputs.extend([camera.viewmat.tensor().clone(), camera.intrinsics.tensor().clone()]);
        Check::new("ray cast Gaussians", |inputs: &[Var]| {
            let (arrays, own) = inputs.split_at(inputs.len() - 2);
            let camera = CameraVars { viewmat: own[0].clone(), intrinsics: own[1].clone(), ..camera.clone() };
            Ok(vec![raycast_vars(&GaussianVars::from_all(arrays.to_vec()), &camera, &options)?])
        })
        .f32_tolerance(2e-3)
        .run(&inputs);
    }
}

#[test]
fn one_round_gaussian_has_the_analytic_optical_depth() {
    let size = 0.3f64;
    let logit = 0.4f32;
    let mut gaussians = scene(Kernel::Classic, 0).select(&[0]);
    gaussians.log_scales[0] = [size.ln() as f32; 3];
    gaussians.opacity_logits[0] = logit;
    gaussians.means[0] = [0.25, -0.125, 0.5];
    let view = seen(Projection::Perspective);
    let options = RaycastOptions { depth_min: 1e-9, footprint: 0.0, ..smooth(Kernel::Classic, 0) };
    let pixels = draw(&gaussians, &view, &options, &Device::cpu(), DType::F64);
    let v = view.viewmat.map(|row| row.map(f64::from));
    let mean = gaussians.means[0].map(f64::from);
    let p: [f64; 3] = std::array::from_fn(|i| (0..3).map(|k| v[i][k] * mean[k]).sum::<f64>() + v[i][3]);
    // σ̃ s √(2π): the optical depth through the middle, 1 − o of the light.
    let through = (1.0 + f64::from(logit).exp()).ln();
    for (i, pixel) in pixels.iter().enumerate() {
        let [fx, fy, cx, cy] = view.intrinsics.map(f64::from);
        let d = [((i % 21) as f64 + 0.5 - cx) / fx, ((i / 21) as f64 + 0.5 - cy) / fy, 1.0];
        let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        let b2 = dot(p, p) - dot(p, d).powi(2) / dot(d, d);
        let expected = through * (-b2 / (2.0 * size * size)).exp();
        let found = -pixel[4].ln();
        assert!((found - expected).abs() < 1e-5 * through, "pixel {i}: {found} for {expected}");
    }
}

#[test]
fn the_order_of_gaussians_changes_nothing() {
    let gaussians = scene(Kernel::Classic, 2);
    let turned = gaussians.select(&[3, 5, 0, 4, 2, 1]);
    let options = RaycastOptions::new(Kernel::Classic, 2);
    for device in devices("order of rays") {
        let of = |g: &Gaussians| draw(g, &seen(Projection::Perspective), &options, &device, DType::F32);
        // Sums of another order round differently, by how a device fuses and approximates; depths are not small.
        let near = if device.is_cpu() { 1e-5 } else { 5e-5 };
        for (a, b) in of(&gaussians).as_flattened().iter().zip(of(&turned).as_flattened()) {
            assert!((a - b).abs() < near * b.abs().max(1.0), "{device}: {a} {b}");
        }
    }
}

/// The largest difference of colours to those of much finer intervals.
fn error(gaussians: &Gaussians, bits: u32) -> [f64; 2] {
    let of = |bits: u32| {
        let options = RaycastOptions { bits, ..smooth(Kernel::Classic, 1) };
        draw(gaussians, &seen(Projection::Perspective), &options, &Device::cpu(), DType::F64)
    };
    let mut worst = [0.0f64; 2];
    for (a, b) in of(bits).iter().zip(&of(11)) {
        (0..3).for_each(|k| worst[0] = worst[0].max((a[k] - b[k]).abs()));
        worst[1] = worst[1].max((a[4] - b[4]).abs());
    }
    worst
}

#[test]
fn colours_converge_at_second_order_and_transmittance_is_exact() {
    let mut gaussians = scene(Kernel::Classic, 1);
    gaussians.log_scales.iter_mut().for_each(|s| *s = s.map(|x| x.max(-1.7)));
    let errors = [4, 5, 6].map(|bits| error(&gaussians, bits));
    for pair in errors.windows(2) {
        let rate = pair[0][0] / pair[1][0];
        assert!((3.0..6.0).contains(&rate), "{errors:?}");
    }
    // But where light ends a little sooner or later.
    assert!(errors.iter().all(|e| e[1] < 2e-3), "{errors:?}");
}

#[test]
fn devices_cast_the_same_rays() {
    let gaussians = scene(Kernel::Classic, 1);
    let options = RaycastOptions::new(Kernel::Classic, 1);
    let host = draw(&gaussians, &seen(Projection::Perspective), &options, &Device::cpu(), DType::F32);
    for device in devices("rays") {
        let found = draw(&gaussians, &seen(Projection::Perspective), &options, &device, DType::F32);
        let far = found.iter().zip(&host).filter(|(a, b)| (0..5).any(|k| (a[k] - b[k]).abs() > 1e-4)).count();
        // A ray at an edge may be cut on one device and not on the other.
        assert!(far < found.len() / 50, "{device}: {far} of {}", found.len());
        assert!(host.iter().any(|p| p[4] < 0.5), "something is seen");
    }
}

/// Two crossing plates that turn past each other: splatting exchanges them at once.
fn crossing() -> Gaussians {
    let mut out = Gaussians { sh_degree: 0, ..Default::default() };
    for i in 0..24 {
        let (turn, side) = (0.4 * (i as f32 * 0.7).sin(), (i % 2) as f32);
        out.means.push([0.5 * (i as f32 * 1.9).sin(), 0.5 * (i as f32 * 2.7).cos(), 0.02 * (i as f32 * 3.3).sin()]);
        out.log_scales.push([-0.9, -0.9, -2.0]);
        out.rotations.push([1.0, turn, 0.5 * turn, 0.0]);
        out.opacity_logits.push(2.0);
        out.sh.push([3.0 * side - 1.5, 0.4, 1.5 - 3.0 * side]);
    }
    out
}

/// Many Gaussians of all sizes and opacities that cover each other.
fn crowd() -> Gaussians {
    let mut out = Gaussians { sh_degree: 0, ..Default::default() };
    let uniform = |k: u64| lumigrad_core::ops::random::uniform(7, k) as f32;
    for i in 0..600u64 {
        let draw = |k: u64| uniform(16 * i + k);
        out.means.push([0, 1, 2].map(|k| 1.6 * draw(k) - 0.8));
        out.log_scales.push([3, 4, 5].map(|k| -3.5 + 1.5 * draw(k)));
        out.rotations.push([6, 7, 8, 9].map(|k| draw(k) - 0.5));
        out.opacity_logits.push(8.0 * draw(10) - 4.0);
        out.sh.push([11, 12, 13].map(|k| 3.0 * draw(k) - 1.5));
    }
    out
}

/// Pictures of a camera that turns by a tenth of a degree from one to the next: by rays, and splatted.
fn turning(gaussians: &Gaussians, n: usize) -> [Vec<Vec<f64>>; 2] {
    let view = |k: usize| {
        let (sin, cos) = (0.1 * k as f32 - 3.0).to_radians().sin_cos();
        View {
            viewmat: [[cos, 0.0, sin, 0.0], [0.0, 1.0, 0.0, 0.0], [-sin, 0.0, cos, 4.0], [0.0, 0.0, 0.0, 1.0]],
            intrinsics: [60.0, 60.0, 24.0, 24.0],
            width: 48,
            height: 48,
            projection: Projection::Perspective,
            shutter: Default::default(),
        }
    };
    let options = RaycastOptions::new(Kernel::Classic, 0);
    let cast = |k: usize| {
        let pixels = draw(gaussians, &view(k), &options, &Device::cpu(), DType::F32);
        pixels.iter().flat_map(|p| [p[0], p[1], p[2]]).collect()
    };
    let splatted = |k: usize| {
        let image = crate::render(gaussians, &view(k), &crate::RenderOptions::default()).unwrap();
        image.colour.iter().flat_map(|c| c.map(f64::from)).collect()
    };
    [(0..n).map(cast).collect(), (0..n).map(splatted).collect()]
}

/// Differences of neighbouring pictures.
fn steps(pictures: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let step = |pair: &[Vec<f64>]| pair[0].iter().zip(&pair[1]).map(|(a, b)| b - a).collect();
    pictures.windows(2).map(step).collect()
}

fn root_mean_square(x: &[f64]) -> f64 {
    (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt()
}

#[test]
fn a_turning_camera_sees_no_popping() {
    let most = |pictures: &Vec<Vec<f64>>| steps(pictures).iter().map(|s| root_mean_square(s)).fold(0.0, f64::max);
    let [rays, splats] = turning(&crossing(), 60).map(|pictures| most(&pictures));
    assert!(rays <= 0.5 * splats, "{rays} {splats}");
}

#[test]
fn what_begins_and_ends_does_not_flicker() {
    // Motion is smooth and has small differences of fifth order; steps have large ones.
    let flicker = |pictures: Vec<Vec<f64>>| root_mean_square(&(0..5).fold(pictures, |p, _| steps(&p)).concat());
    let [rays, splats] = turning(&crowd(), 24).map(flicker);
    assert!(rays <= 0.5 * splats, "{rays} {splats}");
}

#[test]
fn what_cannot_be_cast_is_refused() {
    let cpu = Device::cpu();
    let vars = GaussianVars::new(&scene(Kernel::Classic, 0), &cpu, DType::F32).unwrap();
    let camera = |projection| CameraVars::new(&seen(projection), &cpu, DType::F32).unwrap();
    let surfels = RaycastOptions::new(Kernel::Surfel, 0);
    let found = raycast_vars(&vars, &camera(Projection::Perspective), &surfels).unwrap_err();
    assert!(found.to_string().contains("surfels"));
    let options = RaycastOptions::new(Kernel::Classic, 0);
    let found = raycast_vars(&vars, &camera(Projection::Orthographic), &options).unwrap_err();
    assert!(found.to_string().contains("perspective"));
}

/// The derivative by a block's rows.
#[inline(always)]
fn by_block<S: Simd>(simd: S, block: &[f64], camera: &Camera<f64>, g: &[[f64; BLOCK]; ROW]) -> Vec<f64> {
    let mut out = vec![0.0; block.len()];
    for lane in (0..BLOCK).step_by(V::<S, f64>::LEN) {
        let mut grads = vec![V::<S, f64>::splat(simd, 0.0); block.len() / BLOCK];
        let mut own = [V::<S, f64>::splat(simd, 0.0); ROW];
        (0..ROW).for_each(|k| own[k] = V::<S, f64>::from_slice(simd, &g[k][lane..lane + V::<S, f64>::LEN]));
        blob::Blob::backward::<S>(simd, (block, &[]), lane, camera, &own, &mut grads);
        for (k, x) in grads.iter().enumerate() {
            x.store_slice(&mut out[k * BLOCK + lane..][..V::<S, f64>::LEN]);
        }
    }
    out
}

#[test]
fn the_host_has_the_tapes_pictures_and_derivatives() {
    for (kernel, sh_degree) in [(Kernel::Classic, 3), (Kernel::Mip, 1)] {
        let (mut gaussians, view) = (scene(kernel, sh_degree), seen(Projection::Perspective));
        // One that is too faint for a logarithm of a sum, one that is opaque.
        (gaussians.opacity_logits[1], gaussians.opacity_logits[2]) = (-3.5, 9.0);
        let weight = |i: usize| ((i * 37 + 11) % 17) as f64 / 17.0 - 0.4;
        let size = [view.width, view.height];
        let tape = Tape::new();
        let vars = GaussianVars::new(&gaussians, &Device::cpu(), DType::F64).unwrap();
        let vars = GaussianVars::from_all(vars.all().iter().map(|v| tape.variable(v.tensor().clone())).collect());
        let options = RaycastOptions::new(kernel, sh_degree);
        let camera_vars = CameraVars::new(&view, &Device::cpu(), DType::F64).unwrap();
        let picture = raycast_vars(&vars, &camera_vars, &options).unwrap();
        let n = 5 * size[0] * size[1];
        let weights: Vec<f64> = (0..n).map(weight).collect();
        let weights = Tensor::from_slice(&Device::cpu(), &weights, &[size[1], size[0], 5]).unwrap();
        let loss = picture.mul(&weights.into()).unwrap().sum().unwrap();
        let mut found = tape.backward(&loss).unwrap();
        let rows = Rows::<f64>::new(&gaussians);
        let camera = Rays::<f64>::camera(camera::<f64>(kernel, sh_degree, &view, 0.01));
        let mut rays = Rays::<f64>::default();
        rays.draw(&rows, &[], &camera, size, true).unwrap();
        let pixels = picture.tensor().to_vec::<f64>().unwrap();
        let mut grads = vec![[[0.0; PIXELS]; 5]; rays.picture.len()];
        for_pixels(size, |pixel, tile, at| {
            for k in 0..5 {
                grads[tile][k][at] = weight(5 * pixel + k);
                assert!((rays.picture[tile][k][at] - pixels[5 * pixel + k]).abs() < 1e-9, "{kernel:?}: {pixel} {k}");
            }
        });
        rays.backward(&grads, &camera);
        let mut sums = [[0.0; BLOCK]; ROW];
        for i in 0..rows.n {
            let sum = rays.frame.sum::<ROW>(i, &rays.sums);
            sums.iter_mut().zip(sum).for_each(|(to, x)| to[i] = x);
        }
        let by = dispatch!(level(), simd => by_block(simd, &rows.data, &camera, &sums));
        let mut first = 0;
        for var in vars.all() {
            let expected = found.take(var).unwrap().to_vec::<f64>().unwrap();
            let width = expected.len() / rows.n;
            let largest = expected.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            for (j, e) in expected.iter().enumerate() {
                let (row, column) = (j / width, first + j % width);
                let own = by[rows.at(row, column)];
                assert!((own - e).abs() < 1e-7 * largest, "{kernel:?}: Gaussian {row}, number {column}: {own} for {e}");
            }
            first += width;
        }
    }
}

/// A training by rays of pictures that were splatted.
fn trainer() -> Trainer {
    let (start, pictures, options) = start();
    let strategy = Strategy::Mcmc { cap: 14 };
    Trainer::new(start, pictures, TrainOptions { technique: Technique::Raycast, strategy, ..options }).unwrap()
}

#[test]
fn training_recovers_pictures_and_resumes() {
    let mut whole = trainer();
    let first: f32 = (0..6).map(|_| whole.step(0.0).unwrap().loss).sum();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let (state, pictures, options) = (whole.state().unwrap(), whole.pictures.clone(), whole.options.clone());
    let rest = pool.install(|| {
        let mut rest = Trainer::resume(state, pictures, options).unwrap();
        (0..20).for_each(|_| _ = rest.step(0.5).unwrap());
        rest.state().unwrap()
    });
    (0..20).for_each(|_| _ = whole.step(0.5).unwrap());
    assert!(whole.state().unwrap() == rest);
    (0..300).for_each(|i| _ = whole.step(0.5 + i as f64 / 600.0).unwrap());
    let last: f32 = (0..6).map(|_| whole.step(1.0).unwrap().loss).sum();
    assert!(last < 0.2 * first, "the loss fell from {first} to {last} only");
    let (start, pictures, options) = start();
    let strategy = Strategy::Adc { cap: 20, absgrad: false };
    let options = TrainOptions { technique: Technique::Raycast, strategy, ..options };
    assert!(Trainer::new(start, pictures, options).err().unwrap().to_string().contains("pulls"));
}
