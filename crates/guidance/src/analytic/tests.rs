use super::*;
use lumigrad_core::{DType, Device};
use lumigrad_testkit::{devices, real};

/// Two components over pictures of 1 × 2 × 2, D = 4, with one principal direction each.
fn mixture() -> Mixture {
    let component = |label: usize, mean: [f64; 4], along: [f64; 4], variance: f64, azimuth: f64| Component {
        weight: 1.0 + label as f64,
        label: Some(label),
        view: Some(View { azimuth, elevation: 0.1 }),
        mean: mean.to_vec(),
        covariance: Covariance::Principal { directions: along.to_vec(), variances: vec![variance], residual: 0.05 },
    };
    let labels = vec!["dark".to_string(), "bright".to_string()];
    let components = vec![
        component(0, [-0.5, -0.4, -0.6, -0.5], [0.6, 0.8, 0.0, 0.0], 0.7, 0.0),
        component(1, [0.5, 0.3, 0.4, 0.6], [0.5, -0.5, 0.5, -0.5], 0.4, 1.5),
    ];
    Mixture::new(Pictures { labels, concentration: 4.0, ..Pictures::new("a test", [1, 2], 2) }, components).unwrap()
}

/// ln N(x; aμ, a²Σ + σ²I) through the dense covariance by Cholesky: another way than Woodbury's identity.
fn dense_log_normal(x: &[f64], c: &Component, level: Level) -> f64 {
    let Covariance::Principal { directions, variances, residual } = &c.covariance else { panic!("principal") };
    let (d, r) = (x.len(), variances.len());
    let mut m = vec![vec![0.0; d]; d];
    for i in 0..d {
        for j in 0..d {
            let low: f64 =
                (0..r).map(|k| directions[i * r + k] * (variances[k] - residual) * directions[j * r + k]).sum();
            let own = if i == j { level.a.powi(2) * residual + level.sigma.powi(2) } else { 0.0 };
            m[i][j] = level.a.powi(2) * low + own;
        }
    }
    let mut l = vec![vec![0.0; d]; d];
    for i in 0..d {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            l[i][j] = if i == j { (m[i][i] - sum).sqrt() } else { (m[i][j] - sum) / l[j][j] };
        }
    }
    let mut y = vec![0.0; d];
    let mut log = -0.5 * d as f64 * std::f64::consts::TAU.ln();
    for i in 0..d {
        let sum: f64 = (0..i).map(|k| l[i][k] * y[k]).sum();
        y[i] = (x[i] - level.a * c.mean[i] - sum) / l[i][i];
        log -= 0.5 * y[i] * y[i] + l[i][i].ln();
    }
    log
}

fn dense_log_density(x: &[f64], m: &Mixture, level: Level) -> f64 {
    let total: f64 = m.components().iter().map(|c| c.weight).sum();
    m.components().iter().map(|c| c.weight / total * dense_log_normal(x, c, level).exp()).sum::<f64>().ln()
}

fn at(values: &[f64]) -> Tensor {
    Tensor::from_slice(&Device::cpu(), values, &[1, 1, 2, 2]).unwrap()
}

#[test]
fn densities_are_those_of_the_dense_covariance() {
    let m = mixture();
    for (level, x) in
        [(Level::new(0.8, 0.6).unwrap(), [0.1, -0.3, 0.5, 0.2]), (Level::flow(0.3).unwrap(), [1.0, 0.0, -1.0, 2.0])]
    {
        let found = m.log_density(&at(&x), &[level], &[Condition::null()]).unwrap()[0];
        assert!((found - dense_log_density(&x, &m, level)).abs() < 1e-10);
    }
}

#[test]
fn the_prediction_is_the_slope_of_the_density() {
    let (m, x) = (mixture(), [0.1, -0.3, 0.5, 0.2]);
    for level in [Level::new(0.8, 0.6).unwrap(), Level::new(1.0, 3.0).unwrap(), Level::flow(0.9).unwrap()] {
        let e = m.predict(&at(&x), &[level], &[Condition::null()]).unwrap().to_vec::<f64>().unwrap();
        for i in 0..4 {
            let moved = |by: f64| {
                let mut y = x;
                y[i] += by;
                dense_log_density(&y, &m, level)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((-e[i] / level.sigma - slope).abs() < 1e-7, "{level:?}");
        }
    }
}

#[test]
fn labels_choose_components_and_views_weight_them() {
    let (m, x, level) = (mixture(), at(&[0.1, -0.3, 0.5, 0.2]), [Level::new(0.8, 0.6).unwrap()]);
    let dark = m.info().condition("dark").unwrap();
    let found = m.log_density(&x, &level, std::slice::from_ref(&dark)).unwrap()[0];
    assert!((found - dense_log_normal(&x.to_vec::<f64>().unwrap(), &m.components()[0], level[0])).abs() < 1e-10);
    // A view of nothing in particular: π_k·exp(κ(cos δ − 1)).
    let seen = Condition::null().seen_from(View { azimuth: 0.0, elevation: 0.1 });
    let logs = m.log_weights(&seen).unwrap();
    let cos = 0.1f64.sin().powi(2) + 0.1f64.cos().powi(2) * 1.5f64.cos();
    assert!(logs[0].abs() < 1e-12 && (logs[1] - 2f64.ln() - 4.0 * (cos - 1.0)).abs() < 1e-12);
    assert!(m.info().condition("brigth").unwrap_err().to_string().contains("did you mean \"bright\""));
    assert!(m.predict(&x, &level, &[Condition::label(7)]).is_err());
    let text = Condition { subject: Subject::Text("a cat".into()), view: None };
    assert!(m.predict(&x, &level, &[text]).unwrap_err().to_string().contains("cannot be conditioned on texts"));
}

/// A mixture of two in the cosine basis over pictures of 4 × 3 × 1.
fn cosines() -> Mixture {
    let component = |seed: u64, at: f64| Component {
        weight: 1.0,
        label: None,
        view: None,
        mean: real(&[12], seed).to_vec::<f64>().unwrap().iter().map(|x| x * 0.3 + at).collect(),
        covariance: Covariance::Cosine { variances: (0..12).map(|k| 0.5 / (1.0 + k as f64)).collect() },
    };
    Mixture::new(Pictures::new("cosines", [4, 3], 1), vec![component(1, 0.2), component(2, -0.2)]).unwrap()
}

#[test]
fn predictions_are_the_same_on_all_devices() {
    for m in [mixture(), cosines()] {
        let [h, w] = m.info().size.unwrap();
        let x = real(&[3, h, w, m.info().channels], 5);
        let levels = [0.2, 0.5, 0.9].map(|t| Schedule::Cosine.level(t));
        let expected = m.predict(&x, &levels, &[Condition::null()]).unwrap().to_vec::<f64>().unwrap();
        for device in devices("analytic priors") {
            let y = x.cast(DType::F32).unwrap().to_device(&device).unwrap();
            let found = m.predict(&y, &levels, &[Condition::null()]).unwrap().to_f64_vec().unwrap();
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{device}");
        }
    }
}

#[test]
fn the_cosine_transform_is_orthonormal_and_known() {
    let x = real(&[2, 4, 3, 2], 1);
    let y = cosine_transform(&x.clone().into()).unwrap();
    let back = inverse_cosine_transform(&y).unwrap().tensor().to_vec::<f64>().unwrap();
    assert!(back.iter().zip(x.as_slice::<f64>().unwrap()).all(|(a, b)| (a - b).abs() < 1e-12));
    // A constant has one coefficient, √(h·w) times its value.
    let flat = Tensor::full(&Device::cpu(), DType::F64, &[1, 4, 3, 1], 2.0).unwrap();
    let y = cosine_transform(&flat.into()).unwrap().tensor().to_vec::<f64>().unwrap();
    assert!((y[0] - 2.0 * 12f64.sqrt()).abs() < 1e-12 && y[1..].iter().all(|v| v.abs() < 1e-12));
}

/// Pictures x = mean + √variance·z along given directions.
fn drawn(n: usize) -> Vec<Vec<f32>> {
    let z = crate::noise(&Device::cpu(), DType::F64, &[n, 4], 3, 0).unwrap().to_vec::<f64>().unwrap();
    let direction = [0.6, 0.8, 0.0, 0.0];
    let picture =
        |z: &[f64]| (0..4).map(|i| (0.1 * i as f64 + 0.8 * z[0] * direction[i] + 0.2 * z[i]) as f32).collect();
    z.chunks(4).map(picture).collect()
}

#[test]
fn estimates_have_the_samples_moments_in_either_way() {
    let pictures = drawn(400);
    let n = pictures.len() as f64;
    let mean: Vec<f64> = (0..4).map(|i| pictures.iter().map(|p| p[i] as f64).sum::<f64>() / n).collect();
    let covariance = |i: usize, j: usize| {
        pictures.iter().map(|p| (p[i] as f64 - mean[i]) * (p[j] as f64 - mean[j])).sum::<f64>() / n
    };
    let g = Mixture::best_gaussian(Pictures::new("best", [2, 2], 1), pictures.clone()).unwrap();
    let c = &g.components()[0];
    let Covariance::Principal { directions, variances, .. } = &c.covariance else { panic!("principal") };
    for i in 0..4 {
        assert!((c.mean[i] - mean[i]).abs() < 1e-6);
        for j in 0..4 {
            let found: f64 = (0..4).map(|k| directions[i * 4 + k] * variances[k] * directions[j * 4 + k]).sum();
            assert!((found - covariance(i, j)).abs() < 1e-6, "{i} {j}");
        }
    }
    // Fewer pictures than numbers: directions come from the products of pictures, and are orthonormal.
    let few = Samples { pictures: pictures[..3].to_vec(), ..Default::default() };
    let m = Mixture::estimate(Pictures::new("few", [2, 2], 1), Basis::Principal(2), &[few]).unwrap();
    let Covariance::Principal { directions, .. } = &m.components()[0].covariance else { panic!("principal") };
    for (k, l, expected) in [(0, 0, 1.0), (0, 1, 0.0), (1, 1, 1.0)] {
        let product: f64 = (0..4).map(|i| directions[2 * i + k] * directions[2 * i + l]).sum();
        assert!((product - expected).abs() < 1e-9);
    }
}

#[test]
fn files_hold_mixtures_whole() {
    for m in [mixture(), cosines()] {
        let bytes = m.to_bytes(Precision::Full).unwrap();
        let read = Mixture::from_bytes("a file", &bytes).unwrap();
        assert_eq!(read.info().labels, m.info().labels);
        for (a, b) in read.components().iter().zip(m.components()) {
            assert_eq!((a.label, a.view.is_some()), (b.label, b.view.is_some()));
            assert!(a.mean.iter().zip(&b.mean).all(|(x, y)| (x - y).abs() < 1e-6));
        }
        let half = Mixture::from_bytes("half", &m.to_bytes(Precision::Half).unwrap()).unwrap();
        assert!(half.components()[0].mean.iter().zip(&m.components()[0].mean).all(|(x, y)| (x - y).abs() < 1e-3));
    }
}

#[test]
fn broken_files_and_settings_are_errors() {
    let bytes = mixture().to_bytes(Precision::Full).unwrap();
    for cut in [0, 7, 20, bytes.len() / 2, bytes.len() - 1] {
        assert!(Mixture::from_bytes("cut", &bytes[..cut]).is_err(), "{cut}");
    }
    for at in 0..bytes.len().min(1200) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x15;
        let _ = Mixture::from_bytes("damaged", &damaged); // an error or a mixture, never a panic
    }
    assert!(Mixture::from_bytes("noise", &[0xff; 64]).is_err());
    let one = Samples { pictures: vec![vec![0.0; 4]], ..Default::default() };
    let error = Mixture::estimate(Pictures::new("one", [2, 2], 1), Basis::Cosine, &[one]).unwrap_err();
    assert!(error.to_string().contains("at least 2 pictures"));
    assert!(Mixture::new(Pictures::new("none", [2, 2], 1), vec![]).is_err());
    let m = mixture();
    let wrong = Tensor::zeros(&Device::cpu(), DType::F64, &[1, 3, 2, 2]).unwrap();
    let error = m.predict(&wrong, &[Level::flow(0.5).unwrap()], &[Condition::null()]).unwrap_err().to_string();
    assert!(error.contains("[1, 3, 2, 2]") && error.contains("[n, 1, 2, 2]"), "{error}");
}
