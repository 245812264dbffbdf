//! Losses: derivatives on both devices, known values, residual forms.

use lumigrad_core::{DType, Device, Tape, Tensor, Var};
use lumigrad_optim::{LOSSES, LevenbergMarquardt, LmOptions, Loss};
use lumigrad_testkit::{Check, real_in};

fn like(t: &Tensor, picture: &Var) -> Tensor {
    t.cast(picture.dtype()).and_then(|t| t.to_device(picture.device())).unwrap()
}

fn value(name: &str, a: &[f64], b: &[f64], shape: &[usize], weight: Option<&Tensor>) -> f64 {
    let [a, b] = [a, b].map(|x| Tensor::from_slice(&Device::cpu(), x, shape).unwrap());
    Loss::from_name(name).unwrap().evaluate(&a.into(), &b, weight).unwrap().tensor().item().unwrap()
}

#[test]
fn every_loss_has_right_derivatives_with_and_without_a_weight() {
    for loss in LOSSES {
        for (shape, masked) in [([5, 6, 4], false), ([5, 6, 4], true), ([7, 5, 3], true), ([6, 5, 1], true)] {
            let target = real_in(&shape, 9, 0.0, 1.0);
            let weight = real_in(&[shape[0], shape[1], 1], 3, 0.0, 1.0);
            Check::new(loss.name, |x| {
                let weight = masked.then(|| like(&weight, &x[0]));
                let value = loss.evaluate(&x[0], &like(&target, &x[0]), weight.as_ref());
                Ok(vec![value.unwrap()])
            })
            .run(&[real_in(&shape, 1, 0.0, 1.0)]);
        }
    }
}

#[test]
fn pyramids_have_right_derivatives_for_odd_sizes() {
    let shape = [19, 34, 3];
    let (target, weight) = (real_in(&shape, 9, 0.0, 1.0), real_in(&[19, 34, 1], 3, 0.0, 1.0));
    for name in ["l2/pyramid", "l1+ssim/pyramid"] {
        let loss = Loss::from_name(name).unwrap();
        Check::new(name, |x| {
            Ok(vec![loss.evaluate(&x[0], &like(&target, &x[0]), Some(&like(&weight, &x[0]))).unwrap()])
        })
        .run(&[real_in(&shape, 1, 0.0, 1.0)]);
    }
}

#[test]
fn losses_vanish_at_the_target() {
    let t = real_in(&[16, 16, 3], 4, 0.0, 1.0);
    for loss in LOSSES.iter().filter(|l| l.name != "iou") {
        let found = loss.evaluate(&t.clone().into(), &t, None).unwrap().tensor().item().unwrap();
        assert!(found.abs() < 1e-12, "{} is {found}", loss.name);
    }
    let mask: Vec<f64> = (0..64).map(|i| (i % 3 == 0) as u32 as f64).collect();
    assert!(value("iou", &mask, &mask, &[8, 8, 1], None).abs() < 1e-12);
    assert_eq!(value("iou", &[0.0; 64], &[0.0; 64], &[8, 8, 1], None), 0.0);
}

#[test]
fn losses_have_known_values() {
    let (a, b) = ([0.5, 0.25, 1.0, 0.0], [0.0, 0.5, 1.0, 1.0]);
    let close = |name: &str, expected: f64| {
        let found = value(name, &a, &b, &[2, 2, 1], None);
        assert!((found - expected).abs() < 1e-12, "{name}: {found} against {expected}");
    };
    close("l1", 1.75 / 4.0);
    close("l2", (0.25 + 0.0625 + 1.0) / 4.0);
    let c = |e: f64| (e * e + 1e-6).sqrt() - 1e-3;
    close("charbonnier", (c(0.5) + c(0.25) + c(1.0)) / 4.0);
    let l = |a: f64, b: f64| ((1.0 + a).ln() - (1.0 + b).ln()).powi(2);
    close("log", (l(0.5, 0.0) + l(0.25, 0.5) + l(0.0, 1.0)) / 4.0);
    // Intersections 0, 0.125, 1, 0; unions 0.5, 0.625, 1, 1.
    close("iou", 1.0 - 1.125 / 3.125);
    let weight = Tensor::from_slice(&Device::cpu(), &[1.0f64, 3.0, 0.0, 0.0], &[2, 2, 1]).unwrap();
    let found = value("l1", &a, &b, &[2, 2, 1], Some(&weight));
    assert!((found - (0.5 + 0.75) / 4.0).abs() < 1e-12);
}

#[test]
fn ssim_agrees_with_its_definition_by_plain_loops() {
    let (h, w) = (14, 17);
    let (a, b) = (real_in(&[h, w, 1], 1, 0.0, 1.0), real_in(&[h, w, 1], 2, 0.0, 1.0));
    let (x, y) = (a.to_f64_vec().unwrap(), b.to_f64_vec().unwrap());
    let bell: Vec<f64> = (-5..=5).map(|k| (-0.5 * (k as f64 / 1.5).powi(2)).exp()).collect();
    let norm: f64 = bell.iter().sum();
    let mut mean = 0.0;
    for i in 0..h * w {
        let mut m = [0.0; 5];
        for (dy, dx) in (0..11).flat_map(|dy| (0..11).map(move |dx| (dy, dx))) {
            let (r, c) = ((i / w + dy).wrapping_sub(5), (i % w + dx).wrapping_sub(5));
            if r < h && c < w {
                let (p, q, g) = (x[r * w + c], y[r * w + c], bell[dy] * bell[dx] / norm / norm);
                [p, q, p * p, q * q, p * q].iter().zip(&mut m).for_each(|(v, m)| *m += g * v);
            }
        }
        let [ma, mb, aa, bb, ab] = m;
        let structure = (2.0 * (ab - ma * mb) + 9e-4) / (aa - ma * ma + bb - mb * mb + 9e-4);
        mean += (2.0 * ma * mb + 1e-4) / (ma * ma + mb * mb + 1e-4) * structure / (h * w) as f64;
    }
    let found = value("ssim", &x, &y, &[h, w, 1], None);
    assert!((found - (1.0 - mean)).abs() < 1e-6, "{found} against {}", 1.0 - mean); // taps are f32
    let l1 = value("l1", &x, &y, &[h, w, 1], None);
    assert!((value("l1+ssim", &x, &y, &[h, w, 1], None) - 0.8 * l1 - 0.2 * found).abs() < 1e-12);
}

#[test]
fn residuals_have_the_gradient_of_their_loss() {
    let shape = [18, 17, 3];
    let (a, b) = (real_in(&shape, 1, 0.0, 1.0), real_in(&shape, 2, 0.0, 1.0));
    let weight = real_in(&[18, 17, 1], 3, 0.0, 1.0);
    for name in ["l1", "l2", "charbonnier", "huber", "log", "ssim", "l1+ssim", "iou", "l2/pyramid", "ssim/pyramid"] {
        for weight in [None, Some(&weight)] {
            let loss = Loss::from_name(name).unwrap();
            let tape = Tape::new();
            let x = tape.variable(a.clone());
            let value = loss.evaluate(&x, &b, weight).unwrap();
            let residuals = loss.residuals(&x, &b, weight).unwrap();
            let half = residuals.square().unwrap().sum().unwrap().scale(0.5).unwrap();
            let (p, q) = (value.tensor().item().unwrap(), half.tensor().item().unwrap());
            match name {
                "l2" | "log" | "l2/pyramid" => {
                    assert!(loss.is_sum_of_squares() && (p - q).abs() < 1e-12, "{name}: {p} against {q}");
                }
                "ssim" | "iou" | "ssim/pyramid" => assert!((q - p - 1e-5).abs() < 1e-7, "{name}: {p} against {q}"),
                _ => assert!(!loss.is_sum_of_squares()),
            }
            // Where both parts of a loss cancel, what L1's weights leave out remains.
            let rest = if name == "l1+ssim" { 3e-4 / a.len() as f64 } else { 1e-12 };
            let gradient = |v: &Var| tape.backward(v).unwrap().take(&x).unwrap().to_f64_vec().unwrap();
            let pair = gradient(&value).into_iter().zip(gradient(&half)).zip(a.to_f64_vec().unwrap());
            for (((g, h), a), b) in pair.zip(b.to_f64_vec().unwrap()) {
                let near = name.starts_with("l1") && (a - b).abs() < 0.05;
                assert!(near || (g - h).abs() <= 1e-3 * g.abs() + rest, "{name}: {g} against {h} at {a}, {b}");
            }
        }
    }
    let error = Loss::from_name("ssim").unwrap().per_pixel(&a, &b, None).unwrap_err().to_string();
    assert!(error.contains("choose l1"), "{error}");
}

#[test]
fn levenberg_marquardt_fits_a_colour_in_spite_of_outliers_with_l1() {
    let mut target = vec![0.3f64; 300];
    target[..30].fill(50.0);
    let target = Tensor::from_slice(&Device::cpu(), &target, &[10, 10, 3]).unwrap();
    let loss = Loss::from_name("l1").unwrap();
    let mut x = [Tensor::full(&Device::cpu(), DType::F64, &[1, 1, 3], 1.0).unwrap()];
    let mut lm = LevenbergMarquardt::new(LmOptions::default());
    for _ in 0..40 {
        lm.step(&mut x, |_, x| loss.residuals(&x[0].broadcast_to(&[10, 10, 3])?, &target, None)).unwrap();
    }
    assert!(x[0].to_f64_vec().unwrap().iter().all(|x| (x - 0.3).abs() < 1e-3), "{:?}", x[0].to_f64_vec());
}

#[test]
fn names_resolve_and_wrong_ones_list_all() {
    for loss in LOSSES {
        Loss::from_name(loss.name).unwrap();
        Loss::from_name(&format!("{}/pyramid", loss.name)).unwrap();
    }
    assert_eq!(format!("{:?}", Loss::from_name("pyramid").unwrap()), "Loss(l1/pyramid)");
    assert!(Loss::from_name("l3").unwrap_err().to_string().contains("l1+ssim"));
    let (a, b) = (real_in(&[4, 4, 3], 1, 0.0, 1.0), real_in(&[4, 5, 3], 1, 0.0, 1.0));
    let error = LOSSES[0].evaluate(&a.into(), &b, None).unwrap_err().to_string();
    assert!(error.contains("the target has shape [4, 5, 3]"), "{error}");
}

#[test]
fn total_variation_has_right_derivatives_and_known_values() {
    use lumigrad_optim::{total_variation, total_variation_residuals};
    for shape in [[7, 5, 4], [1, 6, 1], [4, 1, 3]] {
        let start = real_in(&shape, 8, 0.0, 1.0);
        Check::new("total variation", |x| Ok(vec![total_variation(&x[0]).unwrap()])).run(std::slice::from_ref(&start));
        // Its residuals have the same gradient.
        let tape = Tape::new();
        let x = tape.variable(start);
        let half = total_variation_residuals(&x).unwrap().square().unwrap().sum().unwrap().scale(0.5).unwrap();
        let gradient = |v: &Var| tape.backward(v).unwrap().take(&x).unwrap().to_f64_vec().unwrap();
        for (a, b) in gradient(&half).iter().zip(gradient(&total_variation(&x).unwrap())) {
            assert!((a - b).abs() < 1e-12, "{a} against {b}");
        }
    }
    let of = |values: &[f64], shape: &[usize]| {
        let texture = Tensor::from_slice(&Device::cpu(), values, shape).unwrap();
        total_variation(&texture.into()).unwrap().tensor().item().unwrap()
    };
    assert_eq!(of(&[0.3; 12], &[2, 2, 3]), 0.0);
    // A step of height 1 down the middle of a 2 × 4 texture crosses two rows; its size is √(1 + ε²) − ε.
    let edge = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0];
    let expected = 2.0 * ((1.0f64 + 0.03 * 0.03).sqrt() - 0.03) / 8.0;
    assert!((of(&edge, &[2, 4, 1]) - expected).abs() < 1e-12);
    assert!(total_variation(&Tensor::from_slice(&Device::cpu(), &[0.0; 4], &[4]).unwrap().into()).is_err());
}
