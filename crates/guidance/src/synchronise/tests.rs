use super::*;
use crate::{Level, Result, Schedule, combine};
use lumigrad_core::ops::random::{hash, uniform};
use lumigrad_core::ops::random_normal;
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_testkit::{Check, devices, real};

/// Pixels of four pictures of 5 × 6 that show some of 40 places.
fn scattered() -> (Vec<Option<u32>>, Vec<f32>) {
    let places = (0..120).map(|k| (uniform(3, k) < 0.8).then(|| (hash(4, k) % 40) as u32)).collect();
    (places, (0..120).map(|k| uniform(5, k) as f32).collect())
}

fn of(values: &[f32], width: usize, device: &Device) -> Var {
    Tensor::from_slice(device, values, &[values.len() / width, width]).unwrap().into()
}

#[test]
fn places_that_are_shown_and_averaged_again_are_the_same_to_the_last_bit() {
    let (pixels, weights) = scattered();
    for device in devices("canvas") {
        let canvas = Canvas::new(&pixels, &weights, &device).unwrap();
        let n = canvas.covered().len();
        let places: Vec<f32> = (0..3 * n as u64).map(|k| uniform(6, k) as f32 - 0.3).collect();
        let nothing = of(&vec![9.0; 360], 3, &device);
        let shown = canvas.show(&of(&places, 3, &device), &nothing).unwrap();
        assert_eq!(canvas.average(&shown).unwrap().tensor().to_vec::<f32>().unwrap(), places);
        // Unprojecting and projecting twice is doing so once.
        let pictures = of(&(0..360).map(|k| uniform(7, k) as f32).collect::<Vec<_>>(), 3, &device);
        let once = canvas.show(&canvas.average(&pictures).unwrap(), &pictures).unwrap();
        let twice = canvas.show(&canvas.average(&once).unwrap(), &once).unwrap();
        assert_eq!(once.tensor().to_vec::<f32>().unwrap(), twice.tensor().to_vec::<f32>().unwrap());
    }
}

#[test]
fn averages_are_weighted_means() {
    let pixels = [Some(7), None, Some(2), Some(7), Some(7)];
    let canvas = Canvas::new(&pixels, &[1.0, 5.0, 0.0, 2.0, 1.0], &Device::cpu()).unwrap();
    assert_eq!(canvas.covered(), [2, 7]);
    let mean = canvas.average(&of(&[1.0, 100.0, 3.0, 5.0, 9.0], 1, &Device::cpu())).unwrap();
    assert_eq!(mean.tensor().to_vec::<f32>().unwrap(), [3.0, 5.0]);
    let shown = canvas.show(&mean, &of(&[0.0, -1.0, 0.0, 0.0, 0.0], 1, &Device::cpu())).unwrap();
    assert_eq!(shown.tensor().to_vec::<f32>().unwrap(), [5.0, -1.0, 3.0, 5.0, 5.0]);
}

#[test]
fn canvases_have_right_derivatives_on_both_devices() {
    let (pixels, weights) = scattered();
    let core = |r: Result<Var>| r.map(|v| vec![v]).map_err(|e| panic!("{e}"));
    // The weights are f32: the canvas is linear, and differences see the same ones.
    Check::new("canvas", |x| {
        let canvas = Canvas::new(&pixels, &weights, x[0].device()).unwrap();
        core(canvas.show(&canvas.average(&x[0]).unwrap(), &x[1]))
    })
    .run(&[real(&[120, 2], 1), real(&[120, 2], 2)]);
}

/// ε̂ of pictures from N(0.3, 0.2²), pixel by pixel.
fn gaussian(noisy: &Tensor, level: Level) -> Result<Tensor> {
    let Level { a, sigma } = level;
    let gain = sigma / (a * a * 0.04 + sigma * sigma);
    let mean = Tensor::full(noisy.device(), DType::F32, noisy.shape(), 0.3)?;
    Ok(combine(&[(&noisy.clone().into(), &[gain]), (&mean.into(), &[-gain * a])])?.tensor().clone())
}

fn run(noise: &Tensor, canvas: Option<&Canvas>) -> Vec<f32> {
    let levels = Schedule::Cosine.levels(0.99, 0.0, 20);
    let synchrony = canvas.map(|canvas| Synchrony { canvas, until: 1.0 });
    let found = synchronised(noise, &levels, synchrony, &mut gaussian).unwrap();
    found.to_vec::<f32>().unwrap()
}

#[test]
fn identical_views_of_an_identity_projection_are_plain_ddim_bit_for_bit() {
    for device in devices("synchronised") {
        let one = random_normal(&device, DType::F32, &[1, 6, 5, 3], 8).unwrap();
        for n in [1usize, 2, 3, 7] {
            let all = one.to_vec::<f32>().unwrap().repeat(n);
            let all = Tensor::from_slice(&device, &all, &[n, 6, 5, 3]).unwrap();
            let pixels: Vec<Option<u32>> = (0..30 * n).map(|k| Some(k as u32 % 30)).collect();
            let weights: Vec<f32> = (0..30 * n).map(|k| 0.1 + uniform(2, k as u64) as f32).collect();
            let canvas = Canvas::new(&pixels, &weights, &device).unwrap();
            assert_eq!(run(&all, Some(&canvas)), run(&one, None).repeat(n), "{n} views on {device}");
        }
    }
}

#[test]
fn without_a_canvas_sampling_is_ddim() {
    let noise = random_normal(&Device::cpu(), DType::F32, &[2, 5, 6, 3], 8).unwrap();
    let levels = Schedule::Cosine.levels(0.99, 0.0, 20);
    let mut x = noise.clone();
    for pair in levels.windows(2) {
        x = crate::sample::ddim_step(&x, &gaussian(&x, pair[0]).unwrap(), pair[0], pair[1]).unwrap();
    }
    let (x, found) = (x.to_vec::<f32>().unwrap(), run(&noise, None));
    assert!(x.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn views_that_share_places_agree_on_them() {
    let noise = random_normal(&Device::cpu(), DType::F32, &[4, 5, 6, 3], 8).unwrap();
    let (pixels, weights) = scattered();
    let canvas = Canvas::new(&pixels, &weights, &Device::cpu()).unwrap();
    let found = run(&noise, Some(&canvas));
    for (k, place) in pixels.iter().enumerate().filter(|(_, p)| p.is_some()) {
        let first = pixels.iter().position(|p| p == place).unwrap();
        assert_eq!(found[3 * k..3 * k + 3], found[3 * first..3 * first + 3]);
    }
    assert_ne!(run(&noise, None), found);
}

#[test]
fn canvases_that_are_none_are_refused() {
    let cpu = Device::cpu();
    assert!(Canvas::new(&[None, None], &[1.0, 1.0], &cpu).is_err());
    assert!(Canvas::new(&[Some(1)], &[1.0, 1.0], &cpu).is_err());
    assert!(Canvas::new(&[Some(1)], &[f32::NAN], &cpu).is_err());
    let canvas = Canvas::new(&[Some(1)], &[1.0], &cpu).unwrap();
    assert!(canvas.average(&of(&[1.0, 2.0], 1, &cpu)).is_err());
    let noise = random_normal(&cpu, DType::F32, &[1, 2, 2, 3], 8).unwrap();
    let pure = [Level { a: 0.0, sigma: 1.0 }];
    assert!(synchronised(&noise, &pure, None, &mut gaussian).is_err());
    assert!(synchronised(&noise, &[], None, &mut gaussian).is_err());
}

#[test]
fn sampling_that_is_resumed_ends_with_the_same_bits() {
    let noise = random_normal(&Device::cpu(), DType::F32, &[4, 5, 6, 3], 8).unwrap();
    let (pixels, weights) = scattered();
    let canvas = Canvas::new(&pixels, &weights, &Device::cpu()).unwrap();
    let synchrony = Some(Synchrony { canvas: &canvas, until: 0.5 });
    let levels = Schedule::Cosine.levels(0.99, 0.0, 12);
    let whole = synchronised(&noise, &levels, synchrony, &mut gaussian).unwrap();
    let mut first = Sampling::new(&noise, &levels).unwrap();
    (0..5).for_each(|_| assert!(first.step(synchrony, &mut gaussian).unwrap()));
    let mut rest = Sampling::resumed(first.noisy().clone(), first.clean().clone(), first.steps(), &levels).unwrap();
    while rest.step(synchrony, &mut gaussian).unwrap() {}
    assert_eq!(rest.clean().to_vec::<f32>().unwrap(), whole.to_vec::<f32>().unwrap());
    assert!(Sampling::resumed(noise.clone(), noise, 99, &levels).is_err());
}
