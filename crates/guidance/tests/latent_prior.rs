//! Latent diffusion as a prior: against pipelines of diffusers, and what distillation asks of it.

#[path = "latent/reference.rs"]
mod reference;

use lumigrad_core::{DType, Device, Tensor, Var, ops};
use lumigrad_guidance::distill::{Distiller, Method, Options, Weighting};
use lumigrad_guidance::modify::Guidance;
use lumigrad_guidance::sample::{Method as Sampler, sample};
use lumigrad_guidance::{
    Agreement, Canvas, Condition, Decoded, DiffusionPrior, LatentPrior, Level, Shown, Subject, Synchrony, TextureSpace,
    Together, keyed_noise, one_by_one, synchronised,
};
use lumigrad_testkit::devices;
use reference::{MODELS, compare, folder, input};
use std::sync::Arc;

fn open(model: &str) -> LatentPrior {
    LatentPrior::open(&folder().join(model)).unwrap()
}

fn text(words: &str) -> Condition {
    Condition { subject: Subject::Text(words.into()), view: None }
}

/// ᾱ of a step: the product of 1 − β with √β from √0.00085 to √0.012 in 1000 steps.
fn level(step: usize) -> Level {
    let beta = |i: usize| (0.00085f64.sqrt() + (0.012f64.sqrt() - 0.00085f64.sqrt()) * i as f64 / 999.0).powi(2);
    Level::variance_preserving((0..=step).map(|i| 1.0 - beta(i)).product()).unwrap()
}

fn values(t: &Tensor) -> Vec<f64> {
    t.to_f64_vec().unwrap()
}

/// The largest difference, over the largest of `b`.
fn apart(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (values(a), values(b));
    let most = b.iter().fold(1e-12f64, |m, x| m.max(x.abs()));
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / most
}

#[test]
fn sampling_with_guidance_is_the_pipeline_of_diffusers() {
    for model in MODELS {
        let prior = open(model);
        for device in devices("latent diffusion") {
            // DDIM in four steps as diffusers spaces them; the last goes to the first step's level.
            let levels = [751, 501, 251, 1, 0].map(level);
            let wanted = [text("a Red chair, isn't it?")];
            let guidance = Guidance { scale: 5.0, ..Guidance::default() };
            let mut ask = |x: &Tensor, l: Level, _: usize| Ok(guidance.predict(&prior, x, &[l], &wanted, 0.0)?.guided);
            let start = input(model, "start", &device);
            let found = sample(Sampler::Ddim { eta: 0.0 }, &levels, &start, 0, &mut ask, &mut |_, _, _| Ok(()));
            compare(&found.unwrap(), model, "sample");
        }
    }
}

#[test]
fn any_level_of_the_same_ratio_is_known() {
    let prior = open("sd2");
    let x = input("sd2", "x", &Device::cpu());
    let at = |factor: f64| {
        let l = level(400);
        let moved = ops::scale_tensor(&x, factor).unwrap();
        let l = Level::new(factor * l.a, factor * l.sigma).unwrap();
        prior.predict(&moved, &[l], &[Condition::null()]).unwrap()
    };
    assert!(apart(&at(7.0), &at(1.0)) < 1e-4);
    // The prediction for a text is not that for none.
    let told = prior.predict(&x, &[level(400)], &[text("a chair")]).unwrap();
    assert!(apart(&told, &at(1.0)) > 1e-3);
}

#[test]
fn pictures_are_pulled_through_the_encoder() {
    let prior = Arc::new(open("sd1"));
    for device in devices("distillation through an encoder") {
        let renders = ops::random_uniform(&device, DType::F32, &[2, 16, 24, 3], 4, 0.0, 1.0).unwrap();
        let options = Options { weighting: Weighting::One, ..Options::default() };
        let mut distiller = Distiller::new(prior.clone(), options, 9).unwrap();
        let wanted = [text("a chair")];
        let guided = distiller.guide(&renders, &wanted, &[0, 1], 3, 0.0).unwrap();
        assert_eq!(guided.cotangent.shape(), renders.shape());
        // Half of the square of the pull at latents, by a difference along a direction: what the encoder's derivative makes of it.
        let to_latents = |renders: &Tensor| {
            let pictures = Var::from(renders.clone()).scale(2.0).unwrap().offset(-1.0).unwrap();
            prior.encode(pictures.tensor()).unwrap()
        };
        let z = to_latents(&renders);
        let key = lumigrad_core::ops::random::hash(9, 12);
        let noise = keyed_noise(&device, DType::F32, z.shape(), key, 3, &[0, 1]).unwrap();
        let mut pull = vec![];
        for (i, l) in guided.levels.iter().enumerate() {
            let part = |t: &Tensor| Var::from(ops::slice_tensor(t, 0, i, i + 1).unwrap());
            let noisy = part(&z).scale(l.a).unwrap().add(&part(&noise).scale(l.sigma).unwrap()).unwrap();
            let found = prior.predict(noisy.tensor(), &[*l], &wanted).unwrap();
            let off = Var::from(found).sub(&part(&noise)).unwrap().scale(0.5).unwrap();
            pull.extend(values(off.tensor()));
        }
        let direction = ops::random_normal(&device, DType::F32, renders.shape(), 6).unwrap();
        let h = 1e-2;
        let moved = |h: f64| {
            let step = ops::scale_tensor(&direction, h).unwrap();
            values(&to_latents(&ops::add_tensors(&renders, &step).unwrap()))
        };
        let slope = moved(h).iter().zip(moved(-h)).zip(&pull).map(|((a, b), p)| p * (a - b) / (2.0 * h)).sum::<f64>();
        let found = values(&guided.cotangent).iter().zip(values(&direction)).map(|(c, d)| c * d).sum::<f64>();
        assert!((found - slope).abs() <= 5e-3 * slope.abs().max(found.abs()), "{found} {slope} on {device}");
    }
}

#[test]
fn pictures_of_a_batch_share_attention_where_they_are_asked_together() {
    let prior = open("sd1");
    let x = input("sd1", "x", &Device::cpu());
    let (l, wanted) = ([level(500)], [text("a chair")]);
    let one = ops::slice_tensor(&x, 0, 0, 1).unwrap();
    let alone = prior.predict(&one, &l, &wanted).unwrap();
    assert!(apart(&prior.predict_together(&one, &l, &wanted).unwrap(), &alone) < 1e-5);
    let both = prior.predict_together(&x, &l, &wanted).unwrap();
    assert!(apart(&ops::slice_tensor(&both, 0, 0, 1).unwrap(), &alone) > 1e-4);
}

#[test]
fn words_have_maps() {
    let prior = open("sd1");
    let x = input("sd1", "x", &Device::cpu());
    let map = |word: &str| prior.attention(&x, &[level(200)], &[text("a red chair")], word);
    let (red, chair) = (map("red").unwrap(), map("chair").unwrap());
    assert_eq!(red.shape(), [2, 8, 12, 1]);
    for map in [&red, &chair] {
        for picture in values(map).chunks(96) {
            let most = picture.iter().copied().fold(0.0, f64::max);
            assert!((most - 1.0).abs() < 1e-6 && picture.iter().all(|x| *x > 0.0));
        }
    }
    assert!(apart(&red, &chair) > 1e-3);
    assert!(map("lamp").unwrap_err().to_string().contains("lamp"));
    assert!(prior.attention(&x, &[level(200)], &[Condition::null()], "red").is_err());
}

#[test]
fn an_adapter_starts_as_the_prior_learns_and_is_restored() {
    for device in devices("low-rank adapter") {
        let prior = open("sd2");
        let mut student = prior.adapt(2, 5).unwrap();
        let x = input("sd2", "x", &device);
        let (levels, wanted) = ([level(300), level(700)], [text("a chair")]);
        let noise = ops::random_normal(&device, DType::F32, x.shape(), 8).unwrap();
        let told = |s: &dyn DiffusionPrior| s.predict(&x, &levels, &wanted).unwrap();
        assert!(apart(&told(&*student), &told(&prior)) < 1e-6);
        let losses: Vec<f64> = (0..30).map(|_| student.learn(&x, &noise, &levels, &wanted).unwrap()).collect();
        // The loss is that of ε̂ before the first step.
        let (a, s): (Vec<f64>, Vec<f64>) = levels.iter().map(|l| (l.a, l.sigma)).unzip();
        let noisy = lumigrad_guidance::combine(&[(&x.clone().into(), &a), (&noise.clone().into(), &s)]).unwrap();
        let found = values(&prior.predict(noisy.tensor(), &levels, &wanted).unwrap());
        let error = found.iter().zip(values(&noise)).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / found.len() as f64;
        assert!((losses[0] - error).abs() < 1e-4 * error, "{} {error}", losses[0]);
        assert!(losses[29] < 0.999 * losses[0] && apart(&told(&*student), &told(&prior)) > 1e-5, "{losses:?}");
        let mut other = prior.adapt(2, 6).unwrap();
        other.restore(&student.state()).unwrap();
        assert_eq!(values(&told(&*other)), values(&told(&*student)));
        let next = [&mut student, &mut other].map(|s| s.learn(&x, &noise, &levels, &wanted).unwrap());
        assert_eq!(next[0], next[1]);
        assert_eq!(values(&told(&*other)), values(&told(&*student)));
        assert!(prior.adapt(3, 5).unwrap().restore(&student.state()).is_err());
        assert!(prior.adapt(0, 5).is_err());
    }
}

#[test]
fn variational_distillation_learns_beside() {
    let mut options = Options { method: Method::Vsd, ..Options::default() };
    options.rank = 2;
    let mut distiller = Distiller::new(Arc::new(open("sd1")), options, 2).unwrap();
    let renders = ops::random_uniform(&Device::cpu(), DType::F32, &[1, 16, 16, 3], 4, 0.0, 1.0).unwrap();
    for step in 0..2 {
        let guided = distiller.guide(&renders, &[text("a chair")], &[0], step, 0.0).unwrap();
        // Without a scale the student starts at the prior: nothing pulls at first.
        assert!(if step == 0 { guided.norms[0] < 1e-5 } else { guided.norms[0] > 0.0 }, "{:?}", guided.norms);
        assert!(guided.student_loss.unwrap() > 0.0);
    }
}

/// Samples of latents of a model from noise, view by view, which agree.
fn agreeing(prior: &LatentPrior, noise: &Tensor, agreement: Option<&dyn Agreement>) -> Tensor {
    let levels = [901, 601, 301, 1].map(level);
    let wanted = [text("a red chair")];
    synchronised(noise, &levels, agreement, &mut |x, l| one_by_one(x, |_, z| prior.predict(z, &[l], &wanted))).unwrap()
}

#[test]
fn latents_of_identity_projections_are_those_of_plain_sampling_bit_for_bit() {
    let prior = open("sd1");
    for device in devices("latents that agree") {
        let one = ops::random_normal(&device, DType::F32, &[1, 4, 6, 4], 3).unwrap();
        let noise = ops::concat_tensors(&[&one, &one, &one], 0).unwrap();
        // Pictures have twice as many pixels along a side.
        let pixels: Vec<Option<u32>> = (0..3 * 96u32).map(|k| Some(k % 96)).collect();
        let weights: Vec<f32> = (0..3 * 96u64).map(|k| 0.1 + ops::random::uniform(2, k) as f32).collect();
        let canvas = Canvas::new(&pixels, &weights, &device).unwrap();
        let decoded = Decoded::new(&prior, &canvas).unwrap();
        let plain = values(&agreeing(&prior, &one, None));
        let together = values(&agreeing(&prior, &noise, Some(&Synchrony { shown: &decoded, until: 1.0 })));
        assert_eq!(together, plain.repeat(3), "{device}");
        // The same where views look at one latent texture.
        let pixels: Vec<Option<u32>> = (0..3 * 24).map(|k| Some(k % 24)).collect();
        let canvas = Canvas::new(&pixels, &weights[..72], &device).unwrap();
        let rule = TextureSpace::new(&canvas, (&pixels, &weights[..72]), 24, [0.8, 0.4], &device).unwrap();
        assert_eq!(values(&agreeing(&prior, &noise, Some(&rule))), plain.repeat(3), "{device}");
    }
}

#[test]
fn latents_follow_their_pictures() {
    let prior = open("sd2");
    let z = ops::random_normal(&Device::cpu(), DType::F32, &[2, 4, 4, 4], 3).unwrap();
    // The second view shows what the first one does, turned over.
    let pixels: Vec<Option<u32>> = (0..128).map(|k| Some(if k < 64 { k } else { 127 - k })).collect();
    let canvas = Canvas::new(&pixels, &[1.0; 128], &Device::cpu()).unwrap();
    let decoded = Decoded::new(&prior, &canvas).unwrap();
    let found = values(&decoded.agreed(&z).unwrap());
    let pictures = prior.decode(&z).unwrap();
    let moved = values(&prior.encode(&canvas.agreed(&pictures).unwrap()).unwrap());
    let own = values(&prior.encode(&pictures).unwrap());
    for (k, (found, z)) in found.iter().zip(values(&z)).enumerate() {
        let expected = z + moved[k] - own[k];
        assert!((found - expected).abs() < 1e-5 && (moved[k] - own[k]).abs() > 0.0, "{k}: {found} {expected}");
    }
    // On the other device they are the same but for rounding.
    for device in devices("latents that follow") {
        let canvas = Canvas::new(&pixels, &[1.0; 128], &device).unwrap();
        let there = z.to_device(&device).unwrap();
        let there = Decoded::new(&prior, &canvas).unwrap().agreed(&there).unwrap();
        assert!(values(&there).iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-4), "{device}");
    }
}

#[test]
fn priors_in_a_group_predict_together_and_others_say_that_they_cannot() {
    let prior: Arc<dyn DiffusionPrior> = Arc::new(open("sd1"));
    let x = input("sd1", "x", &Device::cpu());
    let (l, wanted) = ([level(500)], [text("a chair")]);
    let together = Together::new(prior.clone(), "").unwrap();
    let expected = prior.predict_together(&x, &l, &wanted).unwrap();
    assert_eq!(values(&together.predict(&x, &l, &wanted).unwrap()), values(&expected));
    // What is one already has nothing to share.
    let error = Together::new(Arc::new(together), " (needed by a test)").err().unwrap().to_string();
    assert!(error.contains("share features") && error.contains("a test"), "{error}");
}
