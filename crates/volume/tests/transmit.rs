//! Weights and distortion against formulas, finite differences and each other.

use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_testkit::{Check, real_in};
use lumigrad_volume::Samples;

/// Rays of 5, 0, 1 and 7 samples.
fn samples(device: &Device, dtype: DType) -> Samples {
    let offsets = [0u32, 5, 5, 6, 13];
    let rays = [0u32, 0, 0, 0, 0, 2, 3, 3, 3, 3, 3, 3, 3];
    let lengths: Vec<f64> = (0..13).map(|k| 0.1 + 0.03 * (k % 4) as f64).collect();
    let mut middles = vec![];
    for k in 0..13 {
        let start = if k == 0 || rays[k] != rays[k - 1] { 2.0 } else { middles[k - 1] + 0.5 * lengths[k - 1] };
        middles.push(start + 0.5 * lengths[k]);
    }
    let real = |x: &[f64]| Tensor::from_slice(&Device::cpu(), x, &[13]).unwrap().cast(dtype).unwrap();
    Samples {
        offsets: Tensor::from_slice(device, &offsets, &[5]).unwrap(),
        rays: Tensor::from_slice(device, &rays, &[13]).unwrap(),
        middles: real(&middles).to_device(device).unwrap(),
        lengths: real(&lengths).to_device(device).unwrap(),
    }
}

fn core<T>(found: lumigrad_volume::Result<T>) -> lumigrad_core::Result<T> {
    found.map_err(|e| match e {
        lumigrad_volume::Error::Core(e) => e,
        e => panic!("{e}"),
    })
}

#[test]
fn both_derivative_modes_on_both_devices() {
    // Densities from nearly empty to nearly opaque.
    let densities = real_in(&[13], 3, 0.01, 30.0);
    let values = real_in(&[13, 3], 4, -1.0, 1.0);
    Check::new("volume/weights", |x| {
        let s = samples(x[0].device(), x[0].dtype());
        Ok(vec![core(s.weights(&x[0]))?])
    })
    .run(std::slice::from_ref(&densities));
    Check::new("volume/along", |x| {
        let s = samples(x[0].device(), x[0].dtype());
        let w = core(s.weights(&x[0]))?;
        Ok(vec![core(s.along(&w, &x[1]))?, core(s.opacities(&w))?, core(s.depths(&w))?])
    })
    .run(&[densities.clone(), values]);
    Check::new("volume/distortion", |x| {
        let s = samples(x[0].device(), x[0].dtype());
        Ok(vec![core(s.distortion(&core(s.weights(&x[0]))?))?])
    })
    .run(&[densities]);
    let (origins, directions) = (real_in(&[4, 3], 1, -0.5, 0.5), real_in(&[4, 3], 2, 0.2, 0.9));
    for unbounded in [false, true] {
        Check::new("volume/points", |x| {
            let s = samples(x[0].device(), x[0].dtype());
            Ok(vec![core(s.points(&x[0], &x[1], unbounded))?])
        })
        .run(&[origins.clone(), directions.clone()]);
    }
}

#[test]
fn opaque_samples_have_derivatives_that_are_finite_and_right() {
    let s = samples(&Device::cpu(), DType::F64);
    let far = vec![1e4, 0.5, 1.0, 2.0, 3.0, 1e30, 0.0, 0.0, 50.0, 0.0, 1e-9, 1.0, 1.0];
    let tape = lumigrad_core::Tape::new();
    let x = tape.variable(Tensor::from_slice(&Device::cpu(), &far, &[13]).unwrap());
    let w = s.weights(&x).unwrap();
    let found = w.tensor().to_vec::<f64>().unwrap();
    assert_eq!(found[0], 1.0);
    assert!(found.iter().all(|w| w.is_finite()));
    let gradient = tape.backward(&w.square().unwrap().sum().unwrap()).unwrap().take(&x).unwrap();
    let gradient = gradient.to_vec::<f64>().unwrap();
    assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    // What is hidden moves nothing; the first of a ray that is empty moves by its length, twice its weight of zero.
    assert!(gradient[1..5].iter().all(|g| *g == 0.0) && gradient[6].abs() < 1e3, "{gradient:?}");
}

#[test]
fn a_slab_is_what_beer_and_lambert_say() {
    // The same slab cut into one or seven samples: C = c(1 − e^(−σℓ)), exactly.
    let s = samples(&Device::cpu(), DType::F64);
    let density = 2.3;
    let w = s.weights(&Tensor::full(&Device::cpu(), DType::F64, &[13], density).unwrap().into()).unwrap();
    let colour: Var = Tensor::full(&Device::cpu(), DType::F64, &[13, 1], 0.7).unwrap().into();
    let found = s.along(&w, &colour).unwrap().tensor().to_vec::<f64>().unwrap();
    let lengths = s.lengths.to_vec::<f64>().unwrap();
    for (ray, range) in [(0, 0..5), (1, 5..5), (2, 5..6), (3, 6..13)] {
        let length: f64 = lengths[range].iter().sum();
        let expected = 0.7 * (1.0 - (-density * length).exp());
        assert!((found[ray] - expected).abs() < 1e-14, "{} {expected}", found[ray]);
    }
}

#[test]
fn thin_fog_keeps_its_digits() {
    let s = samples(&Device::cpu(), DType::F32);
    let w = s.weights(&Tensor::full(&Device::cpu(), DType::F32, &[13], 1e-6).unwrap().into()).unwrap();
    let (found, lengths) = (w.tensor().to_vec::<f32>().unwrap(), s.lengths.to_vec::<f32>().unwrap());
    for (w, l) in found.iter().zip(lengths) {
        assert!((w / (1e-6 * l) - 1.0).abs() < 1e-5, "{w} {l}");
    }
}

#[test]
fn distortion_is_the_sum_over_all_pairs() {
    let s = samples(&Device::cpu(), DType::F64);
    let weights = real_in(&[13], 9, 0.0, 1.0);
    let found = s.distortion(&weights.clone().into()).unwrap().tensor().to_vec::<f64>().unwrap();
    let (w, m, l) =
        (weights.to_vec::<f64>().unwrap(), s.middles.to_vec::<f64>().unwrap(), s.lengths.to_vec::<f64>().unwrap());
    for (ray, range) in [(0, 0..5), (1, 5..5), (2, 5..6), (3, 6..13)] {
        let pairs: f64 = range
            .clone()
            .flat_map(|i| range.clone().map(move |j| (i, j)))
            .map(|(i, j)| w[i] * w[j] * (m[i] - m[j]).abs())
            .sum();
        let own: f64 = range.map(|i| w[i] * w[i] * l[i] / 3.0).sum();
        assert!((found[ray] - pairs - own).abs() < 1e-12, "ray {ray}: {} {}", found[ray], pairs + own);
    }
}

#[test]
fn samples_behind_what_is_opaque_are_left_out() {
    let s = samples(&Device::cpu(), DType::F32);
    // Lengths are 0.1, 0.13, …: light of the first ray is e⁻¹⁰ behind its first sample.
    let densities = [100.0f32, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 90.0, 1.0, 1.0, 1.0, 1.0];
    let kept = s.visible(&Tensor::from_slice(&Device::cpu(), &densities, &[13]).unwrap(), 1e-3, 0.0).unwrap();
    assert_eq!(kept.offsets.to_vec::<u32>().unwrap(), [0, 1, 1, 2, 5]);
    assert_eq!(kept.rays.to_vec::<u32>().unwrap(), [0, 2, 3, 3, 3]);
    let (all, some) = (s.middles.to_vec::<f32>().unwrap(), kept.middles.to_vec::<f32>().unwrap());
    assert_eq!(some, [all[0], all[5], all[6], all[7], all[8]]);
    // Those without weight are left out where that is asked for: 1 − e^−0.16 of the third ray's light comes from its first.
    let kept = s.visible(&Tensor::from_slice(&Device::cpu(), &densities, &[13]).unwrap(), 1e-3, 1e-4).unwrap();
    assert_eq!(kept.offsets.to_vec::<u32>().unwrap(), [0, 1, 1, 2, 3]);
    assert_eq!(kept.middles.to_vec::<f32>().unwrap(), [all[0], all[5], all[8]]);
    assert_eq!(kept.lengths.to_vec::<f32>().unwrap()[2], s.lengths.to_vec::<f32>().unwrap()[8]);
}
