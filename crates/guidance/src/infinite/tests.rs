use super::*;
use crate::analytic::{Component, Covariance, Mixture, Pictures};
use crate::unet::UNetConfig;
use lumigrad_core::{DType, Tape};
use lumigrad_optim::{Adam, Group};
use lumigrad_testkit::{Check, real};

const SIZE: usize = 8;
/// Of the halves.
const AMPLITUDE: f64 = 0.3;

/// Strength of a wave of the functions of the tests.
fn variance(y: usize, x: usize) -> f64 {
    if y < SIZE / 2 && x < SIZE / 2 { 4.0 / (1.0 + (x * x + y * y) as f64).powf(1.5) } else { 1e-7 }
}

/// Waves of functions at a resolution: coefficients are as many times larger as there are more pixels along a side.
fn law(size: usize) -> (Vec<f64>, Vec<f64>) {
    let ratio = size as f64 / SIZE as f64;
    let mean = (0..size * size).map(|k| if k == 1 { 0.5 * ratio } else { 0.0 }).collect();
    let known = |k: usize| k / size < SIZE && k % size < SIZE;
    let variance = |k: usize| if known(k) { variance(k / size, k % size) } else { 1e-7 };
    (mean, (0..size * size).map(|k| variance(k) * ratio * ratio).collect())
}

/// The exact prior of these functions at a resolution.
fn exact(size: usize) -> Mixture {
    let (mean, variances) = law(size);
    let waves = Var::from(Tensor::from_slice(&Device::cpu(), &mean, &[1, size, size, 1]).unwrap());
    let mean = crate::cosine::inverse(&waves).unwrap().tensor().to_vec::<f64>().unwrap();
    let covariance = Covariance::Cosine { variances };
    let component = Component { weight: 1.0, label: None, view: None, mean, covariance };
    Mixture::new(Pictures::new("functions", [size; 2], 1), vec![component]).unwrap()
}

fn small(gaussian: CosineMixture) -> InfinitePrior {
    let inner =
        UNetConfig { fold: 1, widths: vec![12, 16], embedding: 16, attention: false, ..UNetConfig::small(1, 1, 0) };
    let config = PointConfig { size: SIZE, width: 12, blocks: 1, coarse: SIZE / 2, inner };
    InfinitePrior::new("test", config, gaussian, vec![], (1, &Device::cpu())).unwrap()
}

fn known() -> CosineMixture {
    let (mean, variances) = law(SIZE);
    let narrow = |v: Vec<f64>| v.into_iter().map(|x| x as f32).collect();
    CosineMixture::new(SIZE, 1, vec![1.0], narrow(mean), narrow(variances)).unwrap()
}

/// Pictures of two kinds, which no Gaussian is: a bright left half, or a bright right one.
fn halves(n: usize, size: usize) -> Tensor {
    let pixel = |k: usize| {
        let (i, x) = ((k / (size * size)) as u64, (k % size) as f64 + 0.5);
        let side = if random::hash(3, i).is_multiple_of(2) { 1.0 } else { -1.0 };
        (AMPLITUDE * side * (std::f64::consts::PI * x / size as f64).cos()) as f32
    };
    Tensor::from_slice(&Device::cpu(), &(0..n * size * size).map(pixel).collect::<Vec<_>>(), &[n, size, size, 1])
        .unwrap()
}

/// A prior that has learnt the halves for some steps.
fn taught(steps: usize) -> InfinitePrior {
    let train = halves(256, SIZE);
    let mut prior = small(CosineMixture::estimate(&train, 1).unwrap());
    let mut values = prior.values().to_vec();
    let mut adam = Adam::new(prior.shapes().into_iter().map(|(name, _)| Group::new(name, 3e-3)).collect());
    for step in 0..steps {
        let tape = Tape::new();
        let vars: Vec<Var> = values.iter().map(|v| tape.variable(v.clone())).collect();
        let batch = ops::slice_tensor(&train, 0, step % 8 * 32, step % 8 * 32 + 32).unwrap();
        let loss = prior.loss(&vars, &batch, &[Condition::null()], step as u64).unwrap();
        let mut gradients = tape.backward(&loss).unwrap();
        let gradients: Vec<_> = vars.iter().map(|v| gradients.take(v)).collect();
        adam.step(&mut values.iter_mut().collect::<Vec<_>>(), &gradients, 1.0 - step as f64 / steps as f64).unwrap();
    }
    prior.set_values(values).unwrap();
    prior
}

#[test]
fn at_the_start_the_prior_is_the_exact_one_of_its_functions_at_every_resolution() {
    let prior = small(known());
    for size in [4, 8, 16, 24] {
        let exact = exact(size);
        for device in lumigrad_testkit::devices("infinite prior") {
            let noisy = ops::random_normal(&device, DType::F32, &[3, size, size, 1], 5).unwrap();
            for level in
                [Level::variance_preserving(0.6).unwrap(), Level::new(1.0, 5.0).unwrap(), Level::flow(0.05).unwrap()]
            {
                let of = |p: &dyn DiffusionPrior| p.predict(&noisy, &[level], &[Condition::null()]).unwrap();
                let (found, expected) = (of(&prior).to_vec::<f32>().unwrap(), of(&exact).to_vec::<f32>().unwrap());
                // Waves of no strength are 1e-7 in one and 1e-7 times the ratio in the other.
                let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 2e-3, "{off} at {size} pixels, {level:?}, {device}");
            }
        }
    }
}

#[test]
fn the_gaussians_error_is_as_stated() {
    // On functions of its own law: the loss of a prior that has learnt nothing is the mean of error² over the levels.
    let prior = small(known());
    let exact = exact(SIZE);
    let n = 2000;
    let white = ops::random_normal(&Device::cpu(), DType::F64, &[n, SIZE, SIZE, 1], 3).unwrap();
    let (mean, variances) = law(SIZE);
    let put = |v: Vec<f64>| Var::from(Tensor::from_slice(&Device::cpu(), &v, &[1, SIZE, SIZE, 1]).unwrap());
    let deviations = put(variances.iter().map(|v| v.sqrt()).collect());
    let waves = Var::from(white).mul(&deviations).unwrap().add(&put(mean)).unwrap();
    let pictures = crate::cosine::inverse(&waves).unwrap().tensor().cast(DType::F32).unwrap();
    let values: Vec<Var> = prior.values().iter().cloned().map(Var::from).collect();
    let found = prior.loss(&values, &pictures, &[Condition::null()], 8).unwrap().tensor().item().unwrap();
    let expected = (0..4000).map(|k| {
        let time = TIMES[0] + (TIMES[1] - TIMES[0]) * (k as f64 + 0.5) / 4000.0;
        prior.waves().error(exact.info().schedule.level(time).to_flow().0.a).powi(2)
    });
    let expected = expected.sum::<f64>() / 4000.0;
    assert!((found / expected - 1.0).abs() < 0.03, "{found}, expected {expected}");
}

#[test]
fn training_beats_the_gaussian_and_draws_other_resolutions() {
    let prior = taught(300);
    let values: Vec<Var> = prior.values().iter().cloned().map(Var::from).collect();
    let [own, gaussian] = prior
        .errors(&values, &halves(256, SIZE), &[Condition::null()], 99)
        .unwrap()
        .map(|e| e.tensor().item().unwrap());
    assert!(own < 0.6 * gaussian, "{own} after {gaussian}");
    // Samples at the trained size and at twice of it are one of both halves, and agree in their strongest wave.
    let side = |size: usize| {
        let (n, levels) = (48, crate::sample::ratio_levels(80.0, 0.02, 7.0, 24).unwrap());
        // Where noise is all, more pixels need more of it.
        let start = crate::noise(&Device::cpu(), DType::F32, &[n, size, size, 1], 4, 0).unwrap();
        let mut ask = |x: &Tensor, l, _: usize| prior.predict(x, &[l], &[Condition::null()]);
        let method = crate::sample::Method::DpmSolverPlusPlus;
        let x = crate::sample::sample(method, &levels, &start, 1, &mut ask, &mut |_, _, _| Ok(())).unwrap();
        let waves = crate::cosine::transform(&x.into()).unwrap().tensor().to_vec::<f32>().unwrap();
        let first: Vec<f64> = waves.chunks(size * size).map(|w| w[1] as f64 / size as f64).collect();
        let rest = waves.chunks(size * size).map(|w| w.iter().skip(2).map(|x| x * x).sum::<f32>() as f64);
        (first, rest.sum::<f64>() / (n * size * size) as f64)
    };
    // A√½ is the coefficient of ±A·cos(πx) over the side.
    let truth = AMPLITUDE * 0.5f64.sqrt();
    for size in [SIZE, 2 * SIZE] {
        let (first, rest) = side(size);
        let strength = first.iter().map(|c| c.abs()).sum::<f64>() / first.len() as f64;
        let near = first.iter().filter(|c| (c.abs() / truth - 1.0).abs() < 0.35).count();
        let right = first.iter().filter(|c| **c > 0.0).count();
        assert!((strength / truth - 1.0).abs() < 0.2, "{size}: {strength}, expected {truth}");
        assert!(near >= 38, "{size}: {near} of 48 are one of both, {first:?}");
        assert!((8..=40).contains(&right) && rest < 0.05, "{size}: {right} of one kind, {rest}");
    }
}

#[test]
fn networks_of_points_have_right_derivatives_and_use_nothing_of_points_that_are_not_known() {
    let inner = UNetConfig {
        inputs: 1,
        outputs: 1,
        fold: 1,
        widths: vec![4],
        blocks: 1,
        embedding: 4,
        attention: false,
        labels: 0,
    };
    let config = PointConfig { size: 4, width: 4, blocks: 1, coarse: 2, inner }.sized(0);
    let network = PointNet::new(config, [2, 1]).unwrap();
    // Weights that begin at 0 would hide what is behind them.
    let values: Vec<Tensor> =
        network.shapes().iter().enumerate().map(|(k, (_, shape))| real(shape, 10 + k as u64)).collect();
    let mask: Vec<f64> = (0..32).map(|k| f64::from(k % 3 != 0)).collect();
    let mask = |like: &Tensor| -> lumigrad_core::Result<Var> {
        let m = Tensor::from_slice(&Device::cpu(), &mask, &[2, 4, 4, 1])?;
        Ok(m.cast(like.dtype())?.to_device(like.device())?.into())
    };
    let told = features(&[Level::flow(0.4).unwrap()], &[Condition::null()], 2, 0, &Device::cpu(), DType::F64).unwrap();
    let run = |x: &[Var]| -> lumigrad_core::Result<Var> {
        let like = x[0].tensor();
        let told = told.cast(like.dtype())?.to_device(like.device())?;
        Ok(network.forward(&x[1..], &x[0], &mask(like)?, &told.into()).expect("shapes fit"))
    };
    let inputs: Vec<Tensor> = std::iter::once(real(&[2, 4, 4, 2], 1)).chain(values.clone()).collect();
    Check::new("network of points", |x| Ok(vec![run(x)?])).run(&inputs);
    let of = |picture: Tensor| {
        let x: Vec<Var> = std::iter::once(picture).chain(values.clone()).map(Var::from).collect();
        run(&x).unwrap().tensor().to_vec::<f64>().unwrap()
    };
    let mut other = inputs[0].to_vec::<f64>().unwrap();
    (0..32).filter(|k| k % 3 == 0).for_each(|k| other[2 * k] += 7.0);
    let other = of(Tensor::from_slice(&Device::cpu(), &other, &[2, 4, 4, 2]).unwrap());
    let off = |k: usize| (other[k] - of(inputs[0].clone())[k]).abs();
    assert!((0..32).filter(|k| k % 3 != 0).all(|k| off(k) < 1e-12));
}

#[test]
fn files_give_the_prior_back_and_broken_ones_are_errors() {
    let mut prior = small(known());
    prior.facts_mut().insert("loss".into(), "0.1".into());
    let good = prior.to_bytes().unwrap();
    let back = InfinitePrior::from_bytes("x", &good, &Device::cpu()).unwrap();
    assert_eq!(back.facts(), prior.facts());
    let noisy = ops::random_normal(&Device::cpu(), DType::F32, &[1, 12, 12, 1], 5).unwrap();
    let run = |p: &dyn DiffusionPrior| {
        p.predict(&noisy, &[Level::flow(0.4).unwrap()], &[Condition::null()]).unwrap().to_vec::<f32>().unwrap()
    };
    assert_eq!(run(&prior), run(&back));
    assert_eq!(run(&prior), run(&*crate::file::trained_from("x", &good).unwrap().unwrap()));
    let odd = ops::random_normal(&Device::cpu(), DType::F32, &[1, 9, 12, 1], 5).unwrap();
    let error = prior.predict(&odd, &[Level::flow(0.4).unwrap()], &[Condition::null()]).unwrap_err().to_string();
    assert!(error.contains("multiples of 4"), "{error}");
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    for cut in [0, 9, header, good.len() - 1] {
        let error = InfinitePrior::from_bytes("some file", &good[..cut], &Device::cpu()).err().unwrap().to_string();
        assert!(error.starts_with("some file: "), "{error}");
    }
    for at in (0..header).step_by(5) {
        let mut bad = good.clone();
        bad[at] ^= 0x15;
        let _ = InfinitePrior::from_bytes("damaged", &bad, &Device::cpu()); // an error or a prior, never a panic
    }
}
