//! Adam against its formula, losses against finite differences and known values.

use lumigrad_core::{DType, Device, Tensor, ops::random};
use lumigrad_optim::{Adam, Clip, Group, LOSSES, Loss};
use lumigrad_testkit::{Check, real};

fn tensor(data: &[f32]) -> Tensor {
    Tensor::from_slice(&Device::cpu(), data, &[data.len()]).unwrap()
}

#[test]
fn adam_follows_its_formula_on_random_gradients_for_a_thousand_steps() {
    for device in lumigrad_testkit::devices("adam") {
        let n = 16;
        let steps = if device.is_cpu() { 1000 } else { 50 };
        let mut value = tensor(&vec![0.0; n]).to_device(&device).unwrap();
        let mut adam = Adam::new(vec![Group::new("x", 0.01)]);
        let (mut x, mut m, mut v) = (vec![0f64; n], vec![0f64; n], vec![0f64; n]);
        for t in 1..=steps {
            let g: Vec<f32> = (0..n).map(|i| random::normal(t as u64, i as u64) as f32).collect();
            adam.step(&mut [&mut value], &[Some(tensor(&g).to_device(&device).unwrap())], 1.0).unwrap();
            for i in 0..n {
                let g = g[i] as f64;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (mh, vh) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.999f64.powi(t)));
                x[i] -= 0.01 * mh / (vh.sqrt() + 1e-8);
            }
        }
        for (a, b) in value.to_f64_vec().unwrap().iter().zip(&x) {
            assert!((a - b).abs() < 1e-4 * b.abs().max(0.1), "{a} against {b} on {device}");
        }
    }
}

#[test]
fn a_restored_adam_goes_on_as_if_uninterrupted() {
    let gradient = |t: u64| Some(tensor(&[random::normal(1, t) as f32, random::normal(2, t) as f32]));
    let groups = || vec![Group { bounds: (-0.05, 0.05), ..Group::new("x", 0.01) }];
    let run = |adam: &mut Adam, value: &mut Tensor, steps: std::ops::Range<u64>| {
        steps.for_each(|t| assert!(!adam.step(&mut [value], &[gradient(t)], 1.0).unwrap().skipped));
    };
    let (mut a, mut x) = (Adam::new(groups()), tensor(&[0.0, 0.0]));
    run(&mut a, &mut x, 0..20);
    let (mut b, mut y) = (Adam::new(groups()), tensor(&[0.0, 0.0]));
    run(&mut b, &mut y, 0..9);
    let (steps, state) = b.state();
    let mut c = Adam::new(groups());
    c.load_state(steps, |name| state.iter().find(|s| s.0 == name).map(|s| s.1.clone()));
    run(&mut c, &mut y, 9..20);
    assert_eq!(x.to_vec::<f32>().unwrap(), y.to_vec::<f32>().unwrap());
    assert!(x.to_vec::<f32>().unwrap().iter().all(|v| v.abs() <= 0.05));
}

#[test]
fn losses_have_right_derivatives_and_vanish_at_the_target() {
    let target = real(&[5, 4, 4], 9);
    let weight = lumigrad_testkit::real_in(&[5, 4, 1], 3, 0.0, 1.0);
    for loss in LOSSES {
        for w in [None, Some(&weight)] {
            let check = |x: &[lumigrad_core::Var]| {
                let picture = &x[0];
                let on = |t: &Tensor| t.cast(picture.dtype()).and_then(|t| t.to_device(picture.device())).unwrap();
                let value = loss.evaluate(picture, &on(&target), w.map(on).as_ref());
                Ok(vec![value.map_err(|e| panic!("{e}")).unwrap()])
            };
            Check::new(loss.name, check).run(&[real(&[5, 4, 4], 1)]);
        }
        let t = target.cast(DType::F32).unwrap();
        assert!(loss.evaluate(&t.clone().into(), &t, None).unwrap().tensor().item().unwrap().abs() < 1e-7);
    }
    let half = loss_of("l2", 0.5);
    assert!((half - 0.25).abs() < 1e-6 && (loss_of("l1", 0.5) - 0.5).abs() < 1e-6);
    assert!(Loss::from_name("l3").unwrap_err().to_string().contains("charbonnier"));
}

fn loss_of(name: &str, difference: f32) -> f64 {
    let a = Tensor::from_slice(&Device::cpu(), &[difference; 4], &[1, 1, 4]).unwrap();
    let b = Tensor::from_slice(&Device::cpu(), &[0f32; 4], &[1, 1, 4]).unwrap();
    Loss::from_name(name).unwrap().evaluate(&a.into(), &b, None).unwrap().tensor().item().unwrap()
}

#[test]
fn gradients_that_are_not_finite_change_nothing_and_are_counted() {
    for device in lumigrad_testkit::devices("skipped steps") {
        let on = |x: &[f32]| tensor(x).to_device(&device).unwrap();
        let (mut x, mut y) = (on(&[1.0, 2.0]), on(&[3.0]));
        let mut adam = Adam::new(vec![Group::new("x", 0.1), Group::new("y", 0.1)]);
        adam.step(&mut [&mut x, &mut y], &[Some(on(&[1.0, 1.0])), None], 1.0).unwrap();
        let before = x.to_vec::<f32>().unwrap();
        let bad = [Some(on(&[1.0, 1.0])), Some(on(&[f32::NAN]))];
        assert!(adam.step(&mut [&mut x, &mut y], &bad, 1.0).unwrap().skipped);
        assert_eq!((x.to_vec::<f32>().unwrap(), adam.skipped(), adam.state().0), (before, 1, 1));
        assert_eq!(y.to_vec::<f32>().unwrap(), [3.0]);
    }
}

#[test]
fn clipping_limits_the_gradient_that_moments_see() {
    let first = |clip: Clip, g: &[f32]| {
        let mut x = tensor(&[0.0, 0.0]);
        let mut adam = Adam::new(vec![Group { betas: (0.0, 0.999), ..Group::new("x", 0.1) }]).with_clip(clip);
        let info = adam.step(&mut [&mut x], &[Some(tensor(g))], 1.0).unwrap();
        assert!((info.gradient_norm - 5.0).abs() < 1e-6);
        adam.state().1[0].1.to_vec::<f32>().unwrap()
    };
    let close = |a: Vec<f32>, b: [f32; 2]| assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?}");
    close(first(Clip { norm: Some(1.0), value: None }, &[3.0, -4.0]), [0.6, -0.8]);
    close(first(Clip { norm: Some(10.0), value: None }, &[3.0, -4.0]), [3.0, -4.0]);
    close(first(Clip { norm: None, value: Some(2.0) }, &[3.0, -1.0 - 3.0]), [2.0, -2.0]);
}

#[test]
fn decay_shrinks_values_apart_from_the_gradient() {
    let mut x = tensor(&[2.0]);
    let mut adam = Adam::new(vec![Group { decay: 0.5, ..Group::new("x", 0.1) }]);
    adam.step(&mut [&mut x], &[Some(tensor(&[0.0]))], 1.0).unwrap();
    assert!((x.to_vec::<f32>().unwrap()[0] - 2.0 * (1.0 - 0.05)).abs() < 1e-6);
}

#[test]
fn uniform_steps_keep_the_direction_of_the_gradient() {
    for device in lumigrad_testkit::devices("uniform") {
        let mut x = tensor(&[0.0, 0.0, 0.0]).to_device(&device).unwrap();
        let mut adam = Adam::new(vec![Group { uniform: true, ..Group::new("x", 0.1) }]);
        let g = tensor(&[1.0, -2.0, 4.0]).to_device(&device).unwrap();
        adam.step(&mut [&mut x], &[Some(g)], 1.0).unwrap();
        let x = x.to_vec::<f32>().unwrap();
        assert!(x.iter().zip([-0.025, 0.05, -0.1]).all(|(a, b)| (a - b).abs() < 1e-6), "{x:?}");
    }
}

#[test]
fn a_gradient_of_another_size_is_an_error_that_names_the_group() {
    let mut x = tensor(&[0.0, 0.0]);
    let mut adam = Adam::new(vec![Group::new("/materials/0", 0.1)]);
    let error = adam.step(&mut [&mut x], &[Some(tensor(&[1.0]))], 1.0).unwrap_err().to_string();
    assert!(error.contains("the gradient of /materials/0"), "{error}");
}
