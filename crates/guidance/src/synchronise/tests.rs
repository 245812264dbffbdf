use super::*;
use crate::{Capability, DiffusionPrior, Level, Result, Schedule, combine};
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
    let synchrony = canvas.map(|canvas| Synchrony { shown: canvas, until: 1.0 });
    let found = synchronised(noise, &levels, synchrony.as_ref().map(|s| s as &dyn Agreement), &mut gaussian).unwrap();
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
    let synchrony = Synchrony { shown: &canvas, until: 0.5 };
    let synchrony: Option<&dyn Agreement> = Some(&synchrony);
    let levels = Schedule::Cosine.levels(0.99, 0.0, 12);
    let whole = synchronised(&noise, &levels, synchrony, &mut gaussian).unwrap();
    let mut first = Sampling::new(&noise, &levels).unwrap();
    (0..5).for_each(|_| assert!(first.step(synchrony, &mut gaussian).unwrap()));
    let mut rest = Sampling::resumed(first.noisy().clone(), first.clean().clone(), first.steps(), &levels).unwrap();
    while rest.step(synchrony, &mut gaussian).unwrap() {}
    assert_eq!(rest.clean().to_vec::<f32>().unwrap(), whole.to_vec::<f32>().unwrap());
    assert!(Sampling::resumed(noise.clone(), noise, 99, &levels).is_err());
}

/// Views of [`scattered`] in texture space, aligned until a part of the steps, fading in a part.
fn textures<'a>(canvas: &'a Canvas, ends: [f64; 2], device: &Device) -> TextureSpace<'a> {
    static PLACES: std::sync::LazyLock<(Vec<Option<u32>>, Vec<f32>)> = std::sync::LazyLock::new(scattered);
    TextureSpace::new(canvas, (&PLACES.0, &PLACES.1), 30, ends, device).unwrap()
}

#[test]
fn noise_of_texels_is_standard_normal_and_equal_where_texels_are() {
    let pixels: Vec<Option<u32>> =
        (0..40_000u64).map(|k| (uniform(1, k) < 0.9).then(|| (hash(2, k) % 20_000) as u32)).collect();
    for device in devices("noise of texels") {
        let x = texel_noise(&pixels, &[4, 100, 100, 2], 7, &device).unwrap().to_vec::<f32>().unwrap();
        let mut first = vec![None; 20_000];
        let mut own = vec![];
        for (place, x) in pixels.iter().zip(x.chunks_exact(2)) {
            match place {
                Some(p) => assert_eq!(*first[*p as usize].get_or_insert(x), x),
                None => own.push(x),
            }
        }
        let all: Vec<f64> = first.iter().flatten().chain(&own).flat_map(|x| x.iter().map(|v| f64::from(*v))).collect();
        let moment = |p: i32| all.iter().map(|v| v.powi(p)).sum::<f64>() / all.len() as f64;
        // Four standard errors.
        for (p, expected, deviation) in [(1, 0.0, 1.0), (2, 1.0, 2f64.sqrt()), (4, 3.0, 96f64.sqrt())] {
            assert!((moment(p) - expected).abs() < 4.0 * deviation / (all.len() as f64).sqrt(), "moment {p}");
        }
    }
    assert!(texel_noise(&pixels, &[1, 2, 2, 2], 7, &Device::cpu()).is_err());
}

#[test]
fn one_view_whose_pixels_are_texels_is_plain_ddim_in_texture_space() {
    for device in devices("texture space") {
        let pixels: Vec<Option<u32>> = (0..30).map(|k| (k % 7 > 0).then_some(29 - k)).collect();
        let canvas = Canvas::new(&pixels, &[1.0; 30], &device).unwrap();
        let rule = TextureSpace::new(&canvas, (&pixels, &[1.0; 30]), 30, [0.9, 0.3], &device).unwrap();
        let noise = texel_noise(&pixels, &[1, 5, 6, 3], 2, &device).unwrap();
        let levels = Schedule::Cosine.levels(0.99, 0.0, 20);
        let found = synchronised(&noise, &levels, Some(&rule), &mut gaussian).unwrap();
        assert_eq!(found.to_vec::<f32>().unwrap(), run(&noise, None));
    }
}

#[test]
fn aligned_views_are_one_texture_at_every_level() {
    for device in devices("aligned textures") {
        let (pixels, weights) = scattered();
        let canvas = Canvas::new(&pixels, &weights, &device).unwrap();
        let rule = textures(&canvas, [1.0, 0.0], &device);
        // Every view has a prior of its own: means are 0, 1, 2 and 3 tenths.
        let mut predict = |x: &Tensor, level: Level| {
            let mean: Vec<f32> = (0..4).flat_map(|v| [0.1 * v as f32; 90]).collect();
            let mean = Tensor::from_slice(x.device(), &mean, x.shape())?;
            let Level { a, sigma } = level;
            let gain = sigma / (a * a * 0.04 + sigma * sigma);
            Ok(combine(&[(&x.clone().into(), &[gain]), (&mean.into(), &[-gain * a])])?.tensor().clone())
        };
        let noise = texel_noise(&pixels, &[4, 5, 6, 3], 5, &device).unwrap();
        let mut sampling = Sampling::new(&noise, &Schedule::Cosine.levels(0.99, 0.0, 12)).unwrap();
        while sampling.step(Some(&rule), &mut predict).unwrap() {
            for x in [sampling.noisy(), sampling.clean()] {
                let x = x.to_vec::<f32>().unwrap();
                for (k, place) in pixels.iter().enumerate().filter(|(_, p)| p.is_some()) {
                    let first = pixels.iter().position(|p| p == place).unwrap();
                    assert_eq!(x[3 * k..3 * k + 3], x[3 * first..3 * first + 3], "pixel {k}");
                }
            }
            assert!(sampling.apart() > 0.0);
        }
    }
}

#[test]
fn the_aligned_texture_is_that_of_the_views_mean_prior() {
    // Two views of the same four texels with priors N(m, s²) of other means. x̂0 is linear in m: aligned, they are one view whose
    // prior has the mean of both.
    let device = Device::cpu();
    let pixels: Vec<Option<u32>> = (0..8).map(|k| Some(k % 4)).collect();
    let canvas = Canvas::new(&pixels, &[1.0; 8], &device).unwrap();
    let rule = TextureSpace::new(&canvas, (&pixels, &[1.0; 8]), 4, [1.0, 0.0], &device).unwrap();
    let prior = |means: [f64; 2]| {
        move |x: &Tensor, Level { a, sigma }: Level| {
            let n = x.shape()[0];
            let mean: Vec<f32> = (0..n).flat_map(|v| [means[v.min(1)] as f32; 4]).collect();
            let mean = Tensor::from_slice(x.device(), &mean, x.shape())?;
            let gain = sigma / (a * a * 0.04 + sigma * sigma);
            Ok(combine(&[(&x.clone().into(), &[gain]), (&mean.into(), &[-gain * a])])?.tensor().clone())
        }
    };
    let levels = Schedule::Cosine.levels(0.99, 0.0, 25);
    let both = texel_noise(&pixels, &[2, 2, 2, 1], 5, &device).unwrap();
    let one = texel_noise(&pixels[..4], &[1, 2, 2, 1], 5, &device).unwrap();
    let found = synchronised(&both, &levels, Some(&rule), &mut prior([-0.2, 0.6])).unwrap().to_vec::<f32>().unwrap();
    let expected = synchronised(&one, &levels, None, &mut prior([0.2, 0.2])).unwrap().to_vec::<f32>().unwrap();
    assert!(found.iter().zip(expected.iter().cycle()).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {expected:?}");
}

#[test]
fn alignment_fades_before_it_ends() {
    let (pixels, weights) = scattered();
    let canvas = Canvas::new(&pixels, &weights, &Device::cpu()).unwrap();
    let rule = textures(&canvas, [0.8, 0.4], &Device::cpu());
    for (progress, strength) in [(0.0, 1.0), (0.39, 1.0), (0.6, 0.5), (0.79, 0.025), (0.8, 0.0), (1.0, 0.0)] {
        assert!((rule.strength(progress) - strength).abs() < 1e-9, "{progress}");
    }
    assert_eq!(textures(&canvas, [0.8, 0.0], &Device::cpu()).strength(0.79), 1.0);
    for ends in [[1.1, 0.0], [0.5, -0.1], [f64::NAN, 0.0]] {
        assert!(TextureSpace::new(&canvas, (&pixels, &weights), 30, ends, &Device::cpu()).is_err());
    }
    assert!(TextureSpace::new(&canvas, (&pixels, &weights), 31, [0.5, 0.0], &Device::cpu()).is_err());
}

#[test]
fn pinned_places_keep_their_values_and_others_are_averaged() {
    let pixels = [Some(7), None, Some(2), Some(7), Some(7)];
    for device in devices("pinned canvas") {
        let canvas = Canvas::new(&pixels, &[1.0, 5.0, 1.0, 2.0, 1.0], &device).unwrap();
        let values = Tensor::from_slice(&device, &[0.5f32, 0.25], &[2, 1]).unwrap();
        let pictures = Tensor::from_slice(&device, &[1.0f32, 100.0, 3.0, 5.0, 9.0], &[1, 1, 5, 1]).unwrap();
        let shown = |known: [bool; 2]| {
            Pinned::new(&canvas, &values, &known).unwrap().agreed(&pictures).unwrap().to_vec::<f32>().unwrap()
        };
        assert_eq!(shown([true, false]), [5.0, 100.0, 0.5, 5.0, 5.0]);
        assert_eq!(shown([false, true]), [0.25, 100.0, 3.0, 0.25, 0.25]);
        assert_eq!(shown([false, false]), canvas.agreed(&pictures).unwrap().to_vec::<f32>().unwrap());
        assert!(Pinned::new(&canvas, &values, &[true]).is_err());
    }
}

/// A prior of smooth pictures whose latents are squares of 2 × 2 pixels, turned by an orthonormal matrix: what it does in latents is
/// known in pictures.
struct Folded(crate::PriorInfo);

impl Folded {
    fn new() -> Self {
        Self(crate::PriorInfo {
            name: "folded".into(),
            size: None,
            made_for: None,
            multiple: 1,
            pixels: 2,
            channels: 4,
            range: [-1.0, 1.0],
            labels: vec![],
            schedule: Schedule::Cosine,
            parameterisation: crate::Parameterisation::Noise,
            capabilities: vec![Capability::Encode, Capability::Decode],
        })
    }

    /// Of single-channel pictures [n, 2h, 2w, 1]: sums and differences of squares, halved. The matrix is its own inverse.
    fn turned(squares: &[f32]) -> Vec<f32> {
        let turn = |s: &[f32]| {
            let [a, b, c, d] = [s[0], s[1], s[2], s[3]];
            [a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d].map(|x| 0.5 * x)
        };
        squares.chunks_exact(4).flat_map(turn).collect()
    }

    /// Numbers of pixels, square by square.
    fn pixels([n, h, w]: [usize; 3]) -> Vec<usize> {
        let square = |k: usize| {
            let (i, y, x) = (k / (h * w), k / w % h, k % w);
            [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(v, u)| (i * 2 * h + 2 * y + v) * 2 * w + 2 * x + u)
        };
        (0..n * h * w).flat_map(square).collect()
    }
}

impl DiffusionPrior for Folded {
    fn info(&self) -> &crate::PriorInfo {
        &self.0
    }

    /// That of N(0.3, 0.2²) in each pixel: white, so that it is the same in latents, whose first channel has the mean.
    fn predict(&self, noisy: &Tensor, levels: &[Level], _: &[crate::Condition]) -> Result<Tensor> {
        let Level { a, sigma } = levels[0];
        let gain = sigma / (a * a * 0.04 + sigma * sigma);
        let mean: Vec<f32> = (0..noisy.len()).map(|k| if k % 4 == 0 { 0.6 } else { 0.0 }).collect();
        let mean = Tensor::from_slice(noisy.device(), &mean, noisy.shape())?;
        Ok(combine(&[(&noisy.clone().into(), &[gain]), (&mean.into(), &[-gain * a])])?.tensor().clone())
    }

    fn encode(&self, pictures: &Tensor) -> Result<Tensor> {
        let &[n, h, w, _] = pictures.shape() else { unreachable!("pictures") };
        let x = pictures.to_vec::<f32>()?;
        let squares: Vec<f32> = Self::pixels([n, h / 2, w / 2]).into_iter().map(|p| x[p]).collect();
        Ok(Tensor::from_slice(pictures.device(), &Self::turned(&squares), &[n, h / 2, w / 2, 4])?)
    }

    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let &[n, h, w, _] = latents.shape() else { unreachable!("latents") };
        let squares = Self::turned(&latents.to_vec::<f32>()?);
        let mut x = vec![0.0f32; squares.len()];
        Self::pixels([n, h, w]).into_iter().zip(squares).for_each(|(p, s)| x[p] = s);
        Ok(Tensor::from_slice(latents.device(), &x, &[n, 2 * h, 2 * w, 1])?)
    }
}

#[test]
fn latents_of_an_exact_autoencoder_agree_as_their_pictures_do() {
    let prior = Folded::new();
    let levels = Schedule::Cosine.levels(0.99, 0.0, 15);
    for device in devices("exact autoencoder") {
        let pixels: Vec<Option<u32>> =
            (0..96).map(|k| (uniform(3, k) < 0.8).then(|| (hash(4, k) % 30) as u32)).collect();
        let weights: Vec<f32> = (0..96).map(|k| uniform(5, k) as f32).collect();
        let canvas = Canvas::new(&pixels, &weights, &device).unwrap();
        let noise = random_normal(&device, DType::F32, &[2, 8, 6, 1], 8).unwrap();
        let synchrony = Synchrony { shown: &canvas, until: 0.8 };
        let expected = synchronised(&noise, &levels, Some(&synchrony), &mut gaussian).unwrap();
        let decoded = Decoded::new(&prior, &canvas).unwrap();
        let synchrony = Synchrony { shown: &decoded, until: 0.8 };
        let mut predict = |z: &Tensor, l: Level| prior.predict(z, &[l], &[]);
        let latents = prior.encode(&noise).unwrap();
        let found = synchronised(&latents, &levels, Some(&synchrony), &mut predict).unwrap();
        let (found, expected) = (prior.decode(&found).unwrap(), expected.to_vec::<f32>().unwrap());
        let found = found.to_vec::<f32>().unwrap();
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {expected:?}");
    }
}
