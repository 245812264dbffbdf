use super::*;
use crate::render_tests::{scene, seen};
use lumigrad_testkit::{Check, check_shaders, devices};

#[test]
fn shaders_and_bodies_agree_on_their_buffers() {
    check_shaders(KERNELS);
}

#[test]
fn derivatives_of_pictures_by_gaussians_and_camera_are_right() {
    use Projection::{Orthographic, Perspective};
    for (kernel, sh_degree, projection) in
        [(Kernel::Classic, 2, Perspective), (Kernel::Mip, 1, Perspective), (Kernel::Classic, 1, Orthographic)]
    {
        let cpu = Device::cpu();
        let gaussians = GaussianVars::new(&scene(kernel, sh_degree), &cpu, DType::F64).unwrap();
        let camera = CameraVars::new(&seen(projection), &cpu, DType::F64).unwrap();
        // No visible cut, so that the picture is smooth.
        let options = DeviceOptions { kernel, sh_degree, alpha_min: 1e-14 };
        let mut inputs: Vec<Tensor> = gaussians.all().into_iter().map(|v| v.tensor().clone()).collect();
        inputs.extend([camera.viewmat.tensor().clone(), camera.intrinsics.tensor().clone()]);
        Check::new("splats", |inputs: &[Var]| {
            let (arrays, camera_arrays) = inputs.split_at(inputs.len() - 2);
            let camera = CameraVars {
                viewmat: camera_arrays[0].clone(),
                intrinsics: camera_arrays[1].clone(),
                ..camera.clone()
            };
            Ok(vec![render_vars(&GaussianVars::from_all(arrays.to_vec()), &camera, &options)?])
        })
        .f32_tolerance(1e-3) // tails far below 1/255 are drawn here
        .run(&inputs);
    }
}

#[test]
fn derivatives_of_smoothed_gaussians_are_right() {
    let cpu = Device::cpu();
    let all = scene(Kernel::Mip, 0);
    let gaussians = GaussianVars::new(&all, &cpu, DType::F64).unwrap();
    let sizes: Vec<f32> = (0..all.len()).map(|i| 0.05 * (i + 1) as f32).collect();
    let column = Tensor::from_slice(&cpu, &sizes, &[all.len(), 1]).unwrap().cast(DType::F64).unwrap();
    let mut inputs: Vec<Tensor> = gaussians.all().into_iter().map(|v| v.tensor().clone()).collect();
    inputs.push(column);
    Check::new("smoothed splats", |inputs: &[Var]| {
        let (arrays, sizes) = inputs.split_at(inputs.len() - 1);
        let smoothed = GaussianVars::from_all(arrays.to_vec()).smoothed(&sizes[0])?;
        Ok(vec![smoothed.log_scales, smoothed.opacity_logits])
    })
    .run(&inputs);
    let single = GaussianVars::new(&all, &cpu, DType::F32).unwrap();
    let column = Tensor::from_slice(&cpu, &sizes, &[all.len(), 1]).unwrap();
    let found = single.smoothed(&column.into()).unwrap().gaussians(Kernel::Mip).unwrap();
    let expected = all.smoothed(&sizes).unwrap();
    let scales = found.log_scales.as_flattened().iter().zip(expected.log_scales.as_flattened());
    for (a, b) in scales.chain(found.opacity_logits.iter().zip(&expected.opacity_logits)) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

/// Features of five channels, of both signs.
fn features(n: usize) -> Vec<f32> {
    (0..5 * n).map(|i| (i as f32 * 0.7).sin()).collect()
}

#[test]
fn derivatives_of_features_and_normals_are_right() {
    let cpu = Device::cpu();
    let mut all = scene(Kernel::Classic, 1);
    // No two axes of a length: which is the shortest is clear.
    all.log_scales.iter_mut().for_each(|s| (s[0], s[1], s[2]) = (s[0], s[0] - 0.6, s[0] + 0.3));
    let gaussians = GaussianVars::new(&all, &cpu, DType::F64).unwrap();
    let camera = CameraVars::new(&seen(Projection::Perspective), &cpu, DType::F64).unwrap();
    let options = DeviceOptions { kernel: Kernel::Classic, sh_degree: 1, alpha_min: 1e-14 };
    let mut inputs: Vec<Tensor> = gaussians.all().into_iter().map(|v| v.tensor().clone()).collect();
    let own = Tensor::from_slice(&cpu, &features(all.len()), &[all.len(), 5]).unwrap().cast(DType::F64).unwrap();
    inputs.extend([camera.viewmat.tensor().clone(), camera.intrinsics.tensor().clone(), own]);
    Check::new("features of splats", |inputs: &[Var]| {
        let (arrays, others) = inputs.split_at(inputs.len() - 3);
        let camera = CameraVars { viewmat: others[0].clone(), intrinsics: others[1].clone(), ..camera.clone() };
        let vars = GaussianVars::from_all(arrays.to_vec());
        Ok(vec![features_vars(&vars, &camera, &options, &others[2])?, normals_vars(&vars, &camera, &options)?])
    })
    .f32_tolerance(1e-3)
    .run(&inputs);
}

#[test]
fn devices_draw_the_features_and_normals_that_the_host_draws() {
    let (gaussians, view) = (scene(Kernel::Classic, 0), seen(Projection::Perspective));
    let mut renderer = crate::Renderer::new(&gaussians).unwrap();
    let (n, host) = (gaussians.len(), Default::default());
    let expected = renderer.features(&view, &features(n), 5, &host).unwrap();
    let facing = renderer.normals(&gaussians, &view, &host).unwrap();
    for device in devices("features of splats") {
        let vars = GaussianVars::new(&gaussians, &device, DType::F32).unwrap();
        let camera = CameraVars::new(&view, &device, DType::F32).unwrap();
        let options = DeviceOptions { kernel: Kernel::Classic, sh_degree: 0, alpha_min: 1.0 / 255.0 };
        let own = Tensor::from_slice(&device, &features(n), &[n, 5]).unwrap().into();
        let found = features_vars(&vars, &camera, &options, &own).unwrap();
        assert_eq!(found.shape(), [view.height, view.width, 5]);
        for (a, b) in found.tensor().to_vec::<f32>().unwrap().iter().zip(&expected) {
            assert!((a - b).abs() < 0.012, "{device}: {a} for {b}");
        }
        let normals = normals_vars(&vars, &camera, &options).unwrap().tensor().to_vec::<f32>().unwrap();
        for (a, b) in normals.as_chunks::<3>().0.iter().zip(facing.as_chunks::<3>().0) {
            let length = a.iter().map(|x| x * x).sum::<f32>().sqrt();
            if length > 0.1 {
                (0..3).for_each(|k| assert!((a[k] / length - b[k]).abs() < 0.02, "{device}: {a:?} for {b:?}"));
            }
        }
        let short = features_vars(&vars, &camera, &options, &vars.means.reshape(&[3 * n, 1]).unwrap());
        assert!(short.unwrap_err().to_string().contains("features of Gaussians"));
    }
}

#[test]
fn devices_draw_what_the_host_draws() {
    for projection in [Projection::Perspective, Projection::Orthographic] {
        let gaussians = scene(Kernel::Classic, 3);
        let image = crate::render(&gaussians, &seen(projection), &Default::default()).unwrap();
        for device in devices("splats") {
            let vars = GaussianVars::new(&gaussians, &device, DType::F32).unwrap();
            let camera = CameraVars::new(&seen(projection), &device, DType::F32).unwrap();
            let options = DeviceOptions { kernel: Kernel::Classic, sh_degree: 3, alpha_min: 1.0 / 255.0 };
            let picture = render_vars(&vars, &camera, &options).unwrap().tensor().to_vec::<f32>().unwrap();
            for (i, pixel) in picture.as_chunks::<5>().0.iter().enumerate() {
                let expected = [image.colour[i][0], image.colour[i][1], image.colour[i][2], image.depth[i]];
                for k in 0..4 {
                    // A pixel at the edge of a Gaussian may be cut on one device and drawn on the other.
                    assert!(
                        (pixel[k] - expected[k]).abs() < 1e-4 || (pixel[k] - expected[k]).abs() < 0.012,
                        "{device}: {i}"
                    );
                }
                assert!((1.0 - pixel[4] - image.alpha[i]).abs() < 5e-3, "{device}: pixel {i}");
            }
            assert!(vars.gaussians(Kernel::Classic).unwrap() == gaussians, "arrays hold what they were made of");
            let nothing = GaussianVars::new(&Gaussians { sh_degree: 0, ..Default::default() }, &device, DType::F32);
            let _ = nothing.and_then(|n| render_vars(&n, &camera, &DeviceOptions { sh_degree: 0, ..options }));
        }
    }
}

#[test]
fn tiles_are_those_that_splats_reach() {
    let n = 60;
    let number = |i: usize, k: f32| (i as f32 * k).sin();
    let gaussians = Gaussians {
        means: (0..n).map(|i| [1.2 * number(i, 1.3), 1.2 * number(i, 2.1), 1.5 + number(i, 0.7)]).collect(),
        log_scales: (0..n).map(|i| [-4.5 + number(i, 3.1), -1.5 + number(i, 1.9), -4.5]).collect(),
        rotations: (0..n).map(|i| [number(i, 0.3), number(i, 0.9), number(i, 1.7), 0.4]).collect(),
        opacity_logits: (0..n).map(|i| 3.0 * number(i, 5.3)).collect(),
        sh: vec![[0.1; 3]; n],
        ..Gaussians::default()
    };
    let view = View { width: 150, height: 90, intrinsics: [80.0, 80.0, 75.0, 45.0], ..seen(Projection::Perspective) };
    let options = DeviceOptions { kernel: Kernel::Classic, sh_degree: 0, alpha_min: 1.0 / 255.0 };
    for device in devices("tiles of splats") {
        let vars = GaussianVars::new(&gaussians, &device, DType::F32).unwrap();
        let camera = CameraVars::new(&view, &device, DType::F32).unwrap();
        let drawn = listed(&vars, &camera, &options, None).unwrap();
        let splats = drawn.splats.tensor().to_vec::<f32>().unwrap();
        let [ids, starts] = [&drawn.lists.ids, &drawn.lists.starts].map(|t| t.to_vec::<u32>().unwrap());
        let columns = view.width.div_ceil(TILE);
        let (mut needed, mut listed) = (0, 0);
        for tile in 0..columns * view.height.div_ceil(TILE) {
            let own = &ids[starts[tile] as usize..starts[tile + 1] as usize];
            listed += own.len();
            for (i, s) in splats.as_chunks::<10>().0.iter().enumerate() {
                let covers = |x: usize, y: usize| {
                    let (dx, dy) = (s[0] - (x as f32 + 0.5), s[1] - (y as f32 + 0.5));
                    s[2] * dx * dx + s[3] * dx * dy + s[4] * dy * dy + s[5] >= (1.0f32 / 255.0).log2()
                };
                let (left, top) = (tile % columns * TILE, tile / columns * TILE);
                let reached = (0..TILE * TILE).any(|k| covers(left + k % TILE, top + k / TILE));
                needed += reached as usize;
                assert!(!reached || own.contains(&(i as u32)), "{device}: splat {i} in tile {tile}");
            }
        }
        assert!(needed > 150 && listed as f64 <= 1.05 * needed as f64 + 5.0, "{device}: {listed} for {needed}");
    }
}

/// Half of the light is taken at many pixels.
fn dense(kernel: Kernel) -> Gaussians {
    let mut all = scene(kernel, 0);
    all.opacity_logits.iter_mut().for_each(|x| *x += 2.0);
    if kernel == Kernel::Surfel {
        all.log_scales.iter_mut().for_each(|s| *s = s.map(|x| x + 0.6));
        all.rotations.iter_mut().for_each(|q| *q = [1.0, 0.3 * q[1], 0.3 * q[2], q[3]]);
    }
    all
}

#[test]
fn derivatives_of_median_depths_are_right() {
    let cpu = Device::cpu();
    for kernel in [Kernel::Classic, Kernel::Surfel] {
        let gaussians = GaussianVars::new(&dense(kernel), &cpu, DType::F64).unwrap();
        let camera = CameraVars::new(&seen(Projection::Perspective), &cpu, DType::F64).unwrap();
        let options = DeviceOptions { kernel, sh_degree: 0, alpha_min: 1.0 / 255.0 };
        let mut inputs: Vec<Tensor> = gaussians.all().into_iter().map(|v| v.tensor().clone()).collect();
        inputs.extend([camera.viewmat.tensor().clone(), camera.intrinsics.tensor().clone()]);
        Check::new("median depth", |inputs: &[Var]| {
            let (arrays, own) = inputs.split_at(inputs.len() - 2);
            let camera = CameraVars { viewmat: own[0].clone(), intrinsics: own[1].clone(), ..camera.clone() };
            Ok(vec![median_depth_vars(&GaussianVars::from_all(arrays.to_vec()), &camera, &options)?])
        })
        .run(&inputs);
    }
}

#[test]
fn devices_find_the_median_depths_of_the_host() {
    for kernel in [Kernel::Classic, Kernel::Mip, Kernel::Surfel] {
        let (gaussians, view) = (dense(kernel), seen(Projection::Perspective));
        let expected = crate::Renderer::new(&gaussians).unwrap().median_depth(&view, &Default::default()).unwrap();
        assert!(expected.iter().filter(|d| **d > 0.0).count() > expected.len() / 8, "half of the light is taken");
        for device in devices("median depth") {
            let vars = GaussianVars::new(&gaussians, &device, DType::F32).unwrap();
            let camera = CameraVars::new(&view, &device, DType::F32).unwrap();
            let options = DeviceOptions { kernel, sh_degree: 0, alpha_min: 1.0 / 255.0 };
            let found = median_depth_vars(&vars, &camera, &options).unwrap();
            assert_eq!(found.shape(), [view.height, view.width]);
            let off = found.tensor().to_vec::<f32>().unwrap();
            let off = off.iter().zip(&expected).filter(|(a, b)| (*a - *b).abs() > 1e-4).count();
            // A pixel of which just half is taken may be another's.
            assert!(off <= 1, "{device}: {kernel:?}: {off} pixels");
        }
    }
}
