use super::*;
use crate::analytic::{Component, Covariance, Mixture, Pictures};
use crate::{Schedule, View};
use lumigrad_core::{DType, Device, Tape};
use lumigrad_testkit::{Check, real};

/// A mixture over single pixels of two channels, one isotropic component a label.
fn prior(parts: &[(f64, [f64; 2], f64)]) -> Arc<Mixture> {
    let component = |(k, (weight, mean, v)): (usize, &(f64, [f64; 2], f64))| Component {
        weight: *weight,
        label: Some(k),
        view: None,
        mean: mean.to_vec(),
        covariance: Covariance::Principal { directions: vec![], variances: vec![], residual: *v },
    };
    let labels = (0..parts.len()).map(|k| format!("part {k}")).collect();
    let components = parts.iter().enumerate().map(component).collect();
    Arc::new(Mixture::new(Pictures { labels, ..Pictures::new("pixels", [1, 1], 2) }, components).unwrap())
}

fn at_time(t: f64) -> Times {
    Times { least: t, most: t, most_at_end: t }
}

/// The mean cotangent over `steps` batches of 20 000 renders of one picture, each picture's own.
fn mean_pull(distiller: &mut Distiller, render: [f64; 2], conditions: &[Condition], steps: u64) -> [f64; 2] {
    let n = 20_000;
    let renders = Tensor::from_slice(&Device::cpu(), &render.repeat(n), &[n, 1, 1, 2]).unwrap();
    let views: Vec<u64> = (0..n as u64).collect();
    let mut sum = [0.0; 2];
    for step in 0..steps {
        let g = distiller.guide(&renders, conditions, &views, step, 0.0).unwrap().cotangent.to_vec::<f64>().unwrap();
        for pair in g.chunks(2) {
            (0..2).for_each(|k| sum[k] += pair[k] / steps as f64);
        }
    }
    sum
}

fn within_one_percent(found: [f64; 2], expected: [f64; 2], what: &str) {
    let size = expected[0].hypot(expected[1]);
    let off = (found[0] - expected[0]).hypot(found[1] - expected[1]);
    assert!(off < 0.01 * size, "{what}: {found:?}, expected {expected:?}");
}

#[test]
fn the_mean_pull_of_sds_is_the_closed_form() {
    // E[w(ε̂ − ε)] = wσa/(a²v + σ²)·(x − μ), times 2 for renders in [0, 1].
    let (mean, v, t) = ([0.3, -0.2], 0.2, 0.5);
    let options = Options { times: at_time(t), ..Default::default() };
    let mut distiller = Distiller::new(prior(&[(1.0, mean, v)]), options, 1).unwrap();
    let found = mean_pull(&mut distiller, [0.9, 0.8], &[Condition::null()], 20);
    let Level { a, sigma } = Schedule::Cosine.level(t);
    let factor = 2.0 * sigma * sigma * sigma * a / (a * a * v + sigma * sigma);
    within_one_percent(found, [0, 1].map(|k| factor * ([0.8, 0.6][k] - mean[k])), "SDS");
}

/// ε̂ of one isotropic Gaussian at mean a·x + noise: the expected prediction for a render x.
fn expected_noise(x: [f64; 2], mean: [f64; 2], v: f64, level: Level) -> [f64; 2] {
    [0, 1].map(|k| level.sigma * level.a * (x[k] - mean[k]) / (level.a * level.a * v + level.sigma * level.sigma))
}

#[test]
fn guided_variational_and_dsd_pulls_are_their_closed_forms() {
    let (t, x) = (0.45, [0.4, -0.1]);
    let level = Schedule::Cosine.level(t);
    let w = level.sigma * level.sigma;
    let parts = [(1.0, [0.8, 0.1], 0.15), (1.0, [0.8, 0.1], 0.15)];
    let render = [0.7, 0.45];
    let (student_mean, student_variance) = ([-0.3, 0.4], 0.4);
    let teach = |distiller: &mut Distiller| {
        let mean = Tensor::from_slice(&Device::cpu(), &student_mean, &[1, 1, 1, 2]).unwrap();
        let facts = Tensor::from_slice(&Device::cpu(), &[student_variance, 1e12], &[2]).unwrap();
        let state = [("mean[0]".to_string(), mean), ("facts[0]".to_string(), facts)];
        distiller.student_mut().unwrap().restore(&state).unwrap();
    };
    let p = expected_noise(x, [0.8, 0.1], 0.15, level);
    let q = expected_noise(x, student_mean, student_variance, level);
    // Both components are alike, so that the null prediction is the conditional one and guidance changes nothing.
    for (method, expected) in [
        (Method::Vsd, [0, 1].map(|k| 2.0 * w * (p[k] - q[k]))),
        (Method::Dsd { condition: 3.0, variation: 0.5 }, [0, 1].map(|k| 2.0 * w * 0.5 * (p[k] - q[k]))),
    ] {
        let guidance = Guidance { scale: 7.5, ..Default::default() };
        let options = Options { method: method.clone(), times: at_time(t), guidance, ..Default::default() };
        let mut distiller = Distiller::new(prior(&parts), options, 4).unwrap();
        let mut sum = [0.0; 2];
        for step in 0..20 {
            teach(&mut distiller);
            // A step learns after it pulled; the student starts each one as it was taught.
            let n = 20_000;
            let renders = Tensor::from_slice(&Device::cpu(), &render.repeat(n), &[n, 1, 1, 2]).unwrap();
            let views: Vec<u64> = (0..n as u64).collect();
            let x = Var::from(renders);
            let level = [level];
            let noise = keyed_noise(&Device::cpu(), DType::F64, &[n, 1, 1, 2], 12, step, &views).unwrap();
            let latent = x.scale(2.0).unwrap().offset(-1.0).unwrap();
            let g = distiller
                .difference(latent.tensor(), &noise, &vec![level[0]; n], &[Condition::label(0)], 0.0)
                .unwrap()
                .to_vec::<f64>()
                .unwrap();
            g.chunks(2).for_each(|p| (0..2).for_each(|k| sum[k] += 2.0 * p[k] / (20.0 * n as f64)));
        }
        within_one_percent(sum, expected, &format!("{method:?}"));
    }
}

#[test]
fn variational_pulls_vanish_where_renders_have_the_priors_law() {
    let mut distiller = Distiller::new(
        prior(&[(1.0, [0.3, -0.2], 0.2)]),
        Options { method: Method::Vsd, times: at_time(0.5), ..Default::default() },
        1,
    )
    .unwrap();
    let mean = Tensor::from_slice(&Device::cpu(), &[0.3, -0.2], &[1, 1, 1, 2]).unwrap();
    let facts = Tensor::from_slice(&Device::cpu(), &[0.2, 5.0], &[2]).unwrap();
    distiller.student_mut().unwrap().restore(&[("mean".into(), mean), ("facts".into(), facts)]).unwrap();
    let renders = real(&[8, 1, 1, 2], 3);
    let views: Vec<u64> = (0..8).collect();
    let g = distiller.guide(&renders, &[Condition::null()], &views, 0, 0.0).unwrap();
    assert!(g.cotangent.to_vec::<f64>().unwrap().iter().all(|x| x.abs() < 1e-12));
    assert!(g.student_loss.is_some());
}

#[test]
fn weighted_score_differences_are_the_derivative_of_their_divergence() {
    // p = N(0, 1), q = N(m, s²): d/dm of ∫ q f(p/q) by quadrature, and E_q[h(r)(∇ln q − ∇ln p)].
    let (m, s) = (0.6f64, 1.3f64);
    let normal = |x: f64, m: f64, s: f64| (-0.5 * ((x - m) / s).powi(2)).exp() / (s * std::f64::consts::TAU.sqrt());
    let integral = |f: &dyn Fn(f64) -> f64| (0..40_001).map(|k| f(-10.0 + 20.0 * k as f64 / 4e4)).sum::<f64>() * 5e-4;
    for divergence in [Divergence::ReverseKl, Divergence::ForwardKl, Divergence::JensenShannon] {
        let total =
            |m: f64| integral(&|x| normal(x, m, s) * divergence.generator(normal(x, 0.0, 1.0) / normal(x, m, s)));
        let slope = (total(m + 1e-4) - total(m - 1e-4)) / 2e-4;
        let pulled = integral(&|x| {
            let (p, q) = (normal(x, 0.0, 1.0), normal(x, m, s));
            q * divergence.weight((p / q).ln()) * (-(x - m) / (s * s) + x)
        });
        assert!((slope - pulled).abs() < 1e-5 * slope.abs().max(1.0), "{divergence}: {slope}, {pulled}");
    }
}

#[test]
fn sds_seeks_one_mode_and_a_condition_chooses_it() {
    let parts = [(0.7, [0.6, 0.6], 0.01), (0.3, [-0.6, -0.6], 0.01)];
    let run = |condition: Condition, start: [f64; 2]| {
        let options = Options { times: Times { least: 0.1, most: 0.4, most_at_end: 0.2 }, ..Default::default() };
        let mut distiller = Distiller::new(prior(&parts), options, 5).unwrap();
        let mut x = start;
        for step in 0..400u64 {
            let renders = Tensor::from_slice(&Device::cpu(), &x.repeat(16), &[16, 1, 1, 2]).unwrap();
            let views: Vec<u64> = (0..16).collect();
            let g =
                distiller.guide(&renders, std::slice::from_ref(&condition), &views, step, step as f64 / 400.0).unwrap();
            let g = g.cotangent.to_vec::<f64>().unwrap();
            let sum = |k: usize| g.iter().skip(k).step_by(2).sum::<f64>();
            let rate = 0.2 / (1.0 + step as f64 / 40.0);
            x = [x[0] - rate * sum(0), x[1] - rate * sum(1)];
        }
        x.map(|v| 2.0 * v - 1.0)
    };
    for (condition, start, mode) in [
        (Condition::null(), [0.65, 0.7], 0.6),
        (Condition::null(), [0.25, 0.3], -0.6),
        (Condition::label(1), [0.65, 0.7], -0.6),
    ] {
        let found = run(condition.clone(), start);
        assert!(found.iter().all(|x| (x - mode).abs() < 0.02), "{condition:?}: {found:?}");
    }
}

#[test]
fn two_priors_meet_where_the_view_says() {
    // Gaussians of one variance pull alike: (1 − η)(x − μ_b) + η(x − μ_p) is zero at the mean of their means, whatever the level.
    let (own, other, v, n) = ([0.6, -0.2], [-0.4, 0.3], 0.2, 20_000);
    let free = AngularBounds { upper: [1e9; 2], lower: [0.0; 2] };
    for cosine in [0.4, -0.5] {
        let eta = 0.5 * (1.0 + cosine);
        let meeting = [0, 1].map(|k| (1.0 - eta) * own[k] + eta * other[k]);
        let mean = |at: [f64; 2]| {
            let pixel = at.map(|x| 0.5 + 0.5 * x);
            let renders = Tensor::from_slice(&Device::cpu(), &pixel.repeat(n), &[n, 1, 1, 2]).unwrap();
            let views: Vec<u64> = (0..n as u64).collect();
            let mut sum = [0.0; 2];
            for step in 0..10 {
                let [aware, plain] = [(own, 1), (other, 2)].map(|(mean, seed)| {
                    let options = Options { times: at_time(0.5), ..Default::default() };
                    let mut distiller = Distiller::new(prior(&[(1.0, mean, v)]), options, seed).unwrap();
                    distiller.guide(&renders, &[Condition::null()], &views, step, 0.0).unwrap()
                });
                let found = composed(&aware, &plain, &free, &vec![cosine; n], 0.0).unwrap().cotangent;
                let found = found.to_vec::<f64>().unwrap();
                found.chunks(2).for_each(|pair| (0..2).for_each(|k| sum[k] += 0.1 * pair[k]));
            }
            sum
        };
        let Level { a, sigma } = Schedule::Cosine.level(0.5);
        let factor = 2.0 * sigma * sigma * sigma * a / (a * a * v + sigma * sigma);
        let aside = mean([0.9, 0.9]);
        within_one_percent(aside, [0, 1].map(|k| factor * (0.9 - meeting[k])), "two priors");
        assert!(mean(meeting).iter().all(|x| x.abs() < 0.01 * aside[0].abs()), "no pull where they meet");
    }
}

#[test]
fn a_consistent_solver_is_not_pulled_and_steps_bring_it_there() {
    let apart = |steps: usize| {
        let c = Consistency { steps, scale: 1.0, times: [0.4, 0.4], ..Default::default() };
        let x = real(&[2, 1, 1, 2], 1);
        let noise = real(&[2, 1, 1, 2], 2);
        let prior = prior(&[(1.0, [0.3, -0.2], 0.2)]);
        let draws = [[0.5, 0.5], [0.2, 0.9]];
        let (_, apart) = c.losses(&*prior, &x, &noise, &[Condition::null()], &draws, 0.0).unwrap();
        apart.to_vec::<f64>().unwrap().iter().map(|x| x.abs()).fold(0.0, f64::max)
    };
    let (one, ten, hundred) = (apart(1), apart(10), apart(100));
    assert!(one > 5.0 * ten && ten > 5.0 * hundred && hundred < 1e-3, "{one} {ten} {hundred}");
}

#[test]
fn the_guidance_part_of_consistency_pulls_to_the_condition() {
    // One step from far away, as with scale 7.5, says nothing of the way: only guidance is looked at.
    let guidance = Consistency { compact: 0.0, ..Default::default() };
    let options = Options { method: Method::Consistency(guidance), ..Default::default() };
    let mut distiller =
        Distiller::new(prior(&[(1.0, [0.6, 0.6], 0.05), (1.0, [-0.6, -0.6], 0.05)]), options, 5).unwrap();
    let mut x = [0.5, 0.55];
    for step in 0..300u64 {
        let renders = Tensor::from_slice(&Device::cpu(), &x.repeat(4), &[4, 1, 1, 2]).unwrap();
        let views: Vec<u64> = (0..4).collect();
        let g = distiller.guide(&renders, &[Condition::label(1)], &views, step, step as f64 / 300.0).unwrap();
        let g = g.cotangent.to_vec::<f64>().unwrap();
        x = [0, 1].map(|k| (x[k] - 0.01 * g.iter().skip(k).step_by(2).sum::<f64>()).clamp(0.0, 1.0));
    }
    assert!(x.iter().all(|x| *x < 0.3), "{x:?}");
}

#[test]
fn brightness_is_left_alone_where_it_is_grey() {
    let grey = Tensor::full(&Device::cpu(), DType::F32, &[1, 4, 4, 3], 0.5).unwrap();
    let white = Tensor::full(&Device::cpu(), DType::F32, &[1, 4, 4, 3], 0.97).unwrap();
    let b = Brightness::default();
    assert_eq!(b.factor(&grey, 0.5).unwrap(), 1.0);
    assert_eq!((b.factor(&white, 0.5).unwrap(), b.factor(&white, 0.05).unwrap()), (0.8, 1.0));
}

#[test]
fn a_pull_is_the_gradient_of_its_surrogate() {
    let g = real(&[2, 3], 7);
    let of = |x: &Var| {
        let g = g.cast(x.dtype())?.to_device(x.device())?;
        pull(x, g).map_err(|e| lumigrad_core::Error::Numeric { operator: "pull".into(), reason: e.to_string() })
    };
    let tape = Tape::new();
    let x = tape.variable(real(&[2, 3], 8));
    let value = of(&x).unwrap();
    let half = 0.5 * g.to_vec::<f64>().unwrap().iter().map(|v| v * v).sum::<f64>();
    assert!((value.tensor().item().unwrap() - half).abs() < 1e-12);
    assert_eq!(tape.backward(&value).unwrap().get(&x).unwrap().to_vec::<f64>().unwrap(), g.to_vec::<f64>().unwrap());
    // Against the surrogate itself, whose target is a constant: ½Σ(x − c)² with c = x₀ − g.
    Check::new("surrogate", |x| {
        let c = real(&[2, 3], 8).cast(x[0].dtype())?.to_device(x[0].device())?;
        let g = Var::from(g.cast(x[0].dtype())?.to_device(x[0].device())?);
        Ok(vec![x[0].sub(&Var::from(c).sub(&g)?)?.square()?.sum()?.scale(0.5)?])
    })
    .run(&[real(&[2, 3], 8)]);
    assert!(pull(&x, real(&[3, 2], 1)).is_err());
}

/// A prior that answers NaN.
struct Broken(crate::PriorInfo);

impl DiffusionPrior for Broken {
    fn info(&self) -> &crate::PriorInfo {
        &self.0
    }

    fn predict(&self, noisy: &Tensor, _: &[Level], _: &[Condition]) -> Result<Tensor> {
        Ok(Tensor::full(noisy.device(), noisy.dtype(), noisy.shape(), f64::NAN)?)
    }
}

#[test]
fn priors_that_break_pull_nothing_and_what_they_lack_is_asked_before() {
    let sound = prior(&[(1.0, [0.0, 0.0], 0.1)]);
    let info = crate::PriorInfo { capabilities: vec![], ..sound.info().clone() };
    let broken: Arc<dyn DiffusionPrior> = Arc::new(Broken(info));
    let mut distiller = Distiller::new(broken.clone(), Options::default(), 1).unwrap();
    let renders = real(&[2, 1, 1, 2], 1);
    for step in 0..10 {
        let g = distiller.guide(&renders, &[Condition::null()], &[0, 1], step, 0.0).unwrap();
        assert!(g.cotangent.to_vec::<f64>().unwrap().iter().all(|x| *x == 0.0));
        assert_eq!(g.verdict, if step < 9 { Verdict::Zeroed } else { Verdict::RollBack });
    }
    assert_eq!(distiller.watch().not_finite, 20);
    let vsd = Options { method: Method::Vsd, ..Default::default() };
    let error = Distiller::new(broken, vsd, 1).err().unwrap().to_string();
    assert!(error.contains("cannot be adapted (needed by variational distillation)"), "{error}");
    let times = Options { times: Times { least: 0.9, most: 0.1, most_at_end: 0.1 }, ..Default::default() };
    assert!(Distiller::new(sound.clone(), times, 1).is_err());
    let mut distiller = Distiller::new(sound, Options::default(), 1).unwrap();
    assert!(distiller.guide(&renders, &[Condition::label(9)], &[0, 1], 0, 0.0).is_err());
    assert!(distiller.guide(&renders, &[Condition::null()], &[0], 0, 0.0).is_err());
    assert!(distiller.guide(&real(&[2, 1, 2, 2], 1), &[Condition::null()], &[0, 1], 0, 0.0).is_err());
}

#[test]
fn steps_are_the_same_on_all_devices_and_for_any_batch() {
    let render = |device: &Device| {
        let mut distiller =
            Distiller::new(prior(&[(1.0, [0.6, 0.6], 0.05), (1.0, [-0.6, -0.6], 0.05)]), Options::default(), 5)
                .unwrap();
        let renders = real(&[2, 1, 1, 2], 1).cast(DType::F32).unwrap().to_device(device).unwrap();
        let seen = Condition::label(1).seen_from(View { azimuth: 0.0, elevation: 0.0 });
        distiller.guide(&renders, &[seen], &[3, 8], 17, 0.3).unwrap().cotangent.to_f64_vec().unwrap()
    };
    let expected = render(&Device::cpu());
    for device in lumigrad_testkit::devices("distillation") {
        let found = render(&device);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{device}: {found:?} {expected:?}");
    }
}
