//! Ginzburg–Landau energies against what is known of them.

use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_optim::{PERIMETER, PhaseField, SegmentOptions};
use lumigrad_testkit::{Check, real_in};
use std::f64::consts::PI;

/// The profile of a disc of radius `r` in the middle of n × n pixels.
fn disc(device: &Device, n: usize, r: f64, epsilon: f64) -> Tensor {
    let phase = |k: usize| {
        let (x, y) = ((k % n) as f64 + 0.5 - n as f64 / 2.0, (k / n) as f64 + 0.5 - n as f64 / 2.0);
        ((r - x.hypot(y)) / (2f64.sqrt() * epsilon)).tanh() as f32
    };
    Tensor::from_slice(device, &(0..n * n).map(phase).collect::<Vec<_>>(), &[n, n]).unwrap()
}

#[test]
fn energies_are_lengths_of_boundaries() {
    let cpu = Device::cpu();
    let epsilon = 3.0;
    let field = PhaseField::grid(&cpu, 64, 96).unwrap();
    let line: Vec<f32> =
        (0..64 * 96).map(|k| (((k % 96) as f64 - 47.5) / (2f64.sqrt() * epsilon)).tanh() as f32).collect();
    let line = Tensor::from_slice(&cpu, &line, &[64, 96]).unwrap();
    let energy = field.energy(&line.into(), epsilon).unwrap().tensor().item().unwrap();
    assert!((energy / (PERIMETER * 64.0) - 1.0).abs() < 0.01, "{energy}");
    let field = PhaseField::grid(&cpu, 128, 128).unwrap();
    let energy = field.energy(&disc(&cpu, 128, 40.0, epsilon).into(), epsilon).unwrap().tensor().item().unwrap();
    assert!((energy / (PERIMETER * 2.0 * PI * 40.0) - 1.0).abs() < 0.01, "{energy}");
}

#[test]
fn a_disc_shrinks_by_its_curvature_on_every_device() {
    // R² = R₀² − 2t for u_t = Δu − W'(u)/ε²; here time runs ε times as fast.
    for device in lumigrad_testkit::devices("phase fields") {
        let (n, epsilon, r) = (72, 3.0, 24.0);
        let field = PhaseField::grid(&device, n, n).unwrap();
        let dt = 0.05 * epsilon * epsilon;
        let steps = 240;
        let options =
            SegmentOptions { epsilon, fidelity: 0.0, iterations: steps, step: Some(dt / epsilon), momentum: false };
        let (u, energies) = field.segment(&disc(&device, n, r, epsilon), &options).unwrap();
        let area = u.to_f64_vec().unwrap().iter().map(|u| 0.5 * (u + 1.0)).sum::<f64>();
        // An interface as wide as tanh(x / δ) adds π²δ²/12 to R².
        let (found, expected) = (area / PI - PI * PI * epsilon * epsilon / 6.0, r * r - 2.0 * dt * steps as f64);
        assert!((found / expected - 1.0).abs() < 0.03, "R² is {found}, not {expected}, on {device}");
        assert!(energies.windows(2).all(|e| e[1] <= e[0] * (1.0 + 1e-5)), "energy rises");
    }
}

#[test]
fn energies_have_right_derivatives_on_grids_and_surfaces() {
    let cpu = Device::cpu();
    let corners: [[f32; 3]; 4] = [[0.0, 0.0, 0.0], [1.0, 0.1, 0.0], [0.2, 1.1, 0.3], [0.3, 0.2, 1.0]];
    let faces = [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]];
    let grid = |u: &Var| PhaseField::grid(u.device(), 5, 4).unwrap();
    let surface = |u: &Var| PhaseField::surface(u.device(), &corners, &faces).unwrap();
    Check::new("phase field", |u| Ok(vec![grid(&u[0]).energy(&u[0], 1.5).unwrap()])).run(&[real_in(
        &[20],
        5,
        -1.0,
        1.0,
    )]);
    Check::new("phase field of a surface", |u| Ok(vec![surface(&u[0]).energy(&u[0], 1.5).unwrap()])).run(&[real_in(
        &[4],
        5,
        -1.0,
        1.0,
    )]);
    assert!(PhaseField::surface(&cpu, &corners, &[[0, 1, 9]]).is_err());
}

#[test]
fn momentum_cleans_a_noisy_mask_in_fewer_steps() {
    let cpu = Device::cpu();
    let (n, epsilon) = (64, 2.0);
    let field = PhaseField::grid(&cpu, n, n).unwrap();
    let truth = disc(&cpu, n, 20.0, 0.3).to_f64_vec().unwrap();
    let noise = real_in(&[n, n], 9, -1.5, 1.5).to_f64_vec().unwrap();
    let noisy: Vec<f32> = truth.iter().zip(&noise).map(|(t, e)| (t + e) as f32).collect();
    let noisy = Tensor::from_slice(&cpu, &noisy, &[n, n]).unwrap();
    let wrong = |u: &Tensor| u.to_f64_vec().unwrap().iter().zip(&truth).filter(|(u, t)| *u * *t < 0.0).count();
    let run = |momentum: bool| {
        let options = SegmentOptions { epsilon, fidelity: 0.1, iterations: 80, step: None, momentum };
        field.segment(&noisy, &options).unwrap()
    };
    let ((fast, with), (_, without)) = (run(true), run(false));
    let reached = |energies: &[f64]| energies.iter().position(|e| *e < 1.0005 * without[80]).unwrap();
    assert!(
        reached(&with) * 4 < reached(&without) * 3,
        "{} steps with momentum, {}",
        reached(&with),
        reached(&without)
    );
    assert!(wrong(&noisy) > 400 && wrong(&fast) < 100, "{} wrong pixels, {} after", wrong(&noisy), wrong(&fast));
}

#[test]
fn on_a_sphere_a_band_of_vertices_becomes_a_smooth_cap() {
    let cpu = Device::cpu();
    let (rows, columns) = (24u32, 48u32);
    let (mut points, mut triangles) = (vec![], vec![]);
    for r in 0..=rows {
        for c in 0..columns {
            let theta = std::f32::consts::PI * (r as f32 / rows as f32).clamp(0.01, 0.99);
            let phi = std::f32::consts::TAU * c as f32 / columns as f32;
            points.push([theta.sin() * phi.cos(), theta.cos(), theta.sin() * phi.sin()]);
        }
    }
    let at = |r: u32, c: u32| r * columns + c % columns;
    for (r, c) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
        triangles.extend([[at(r, c), at(r, c + 1), at(r + 1, c)], [at(r, c + 1), at(r + 1, c + 1), at(r + 1, c)]]);
    }
    let field = PhaseField::surface(&cpu, &points, &triangles).unwrap();
    // The upper half, with every fifth vertex on the wrong side.
    let side = |p: &[f32; 3]| if p[1] > 0.0 { 1f32 } else { -1.0 };
    let noisy: Vec<f32> = points.iter().enumerate().map(|(k, p)| if k % 5 == 0 { -side(p) } else { side(p) }).collect();
    let noisy = Tensor::from_slice(&cpu, &noisy, &[points.len()]).unwrap().cast(DType::F64).unwrap();
    let options = SegmentOptions { epsilon: 0.25, fidelity: 2.0, iterations: 60, ..SegmentOptions::default() };
    let (u, energies) = field.segment(&noisy, &options).unwrap();
    let inside = |p: &[f32; 3]| p[1].abs() > 0.2 && p[1].abs() < 0.95;
    let wrong =
        points.iter().zip(u.to_f64_vec().unwrap()).filter(|(p, u)| inside(p) && side(p) as f64 * u < 0.0).count();
    assert_eq!(wrong, 0);
    assert!(energies[60] < 0.5 * energies[0]);
}
