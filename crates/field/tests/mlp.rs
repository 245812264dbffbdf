//! Networks on jets: derivatives by the input, and gradients of losses of them.

use lumigrad_core::{DType, Device, Tape, Tensor, Var};
use lumigrad_field::{ACTIVATIONS, Activation, Derivatives, Error, Jet, Mlp, Omega, init};
use lumigrad_testkit::{Check, real};
use std::sync::Arc;

fn sine(widths: &[usize]) -> Mlp {
    Mlp {
        widths: widths.to_vec(),
        activation: Activation::Sine,
        output: Activation::Identity,
        bias: true,
        skips: vec![],
    }
}

fn parameters(mlp: &Mlp, seed: u64) -> Vec<Tensor> {
    let start = init::start(mlp, Omega { first: 3.0, hidden: 1.0 }, seed);
    let arrays = start.iter().zip(mlp.shapes());
    arrays.map(|((x, _), (_, shape))| Tensor::from_slice(&Device::cpu(), x, &shape).unwrap()).collect()
}

/// The value at points, in f64.
fn value(mlp: &Mlp, parameters: &[Tensor], points: &[f64], d: usize) -> Vec<f64> {
    let points = Tensor::from_slice(&Device::cpu(), points, &[points.len() / d, d]).unwrap();
    let jet = Jet::seed(&points.into(), Arc::new(Derivatives::none())).unwrap();
    let parameters: Vec<Var> = parameters.iter().cloned().map(Var::from).collect();
    mlp.forward(&jet, &parameters).unwrap().value().tensor().to_vec::<f64>().unwrap()
}

fn jet(points: &Var, derivatives: Derivatives) -> Jet {
    Jet::seed(points, Arc::new(derivatives)).unwrap()
}

#[test]
fn gradient_and_hessian_match_finite_differences() {
    let mut mlp = sine(&[3, 16, 16, 2]);
    for skips in [vec![], vec![1]] {
        mlp.skips = skips;
        let p = parameters(&mlp, 1);
        let vars: Vec<Var> = p.iter().cloned().map(Var::from).collect();
        let points = real(&[5, 3], 2);
        let x = points.to_vec::<f64>().unwrap();
        let found = mlp.forward(&jet(&points.into(), Derivatives::hessian(3)), &vars).unwrap();
        let moved = |k: usize, s: f64| {
            let mut y = x.clone();
            y.iter_mut().skip(k).step_by(3).for_each(|y| *y += s);
            y
        };
        let gradient = |x: &[f64], k: usize| {
            let t = Tensor::from_slice(&Device::cpu(), x, &[5, 3]).unwrap();
            let found = mlp.forward(&jet(&t.into(), Derivatives::gradient(3)), &vars).unwrap();
            found.first(k).unwrap().tensor().to_vec::<f64>().unwrap()
        };
        let close = |a: &[f64], b: &[f64], what: &str| {
            let (mut difference, mut size) = (0.0, 0.0);
            for (a, b) in a.iter().zip(b) {
                difference += (a - b) * (a - b);
                size += b * b;
            }
            assert!(difference.sqrt() < 1e-7 * f64::sqrt(size), "{what}: {difference} of {size}");
        };
        let h = 1e-5;
        for k in 0..3 {
            let (up, down) = (value(&mlp, &p, &moved(k, h), 3), value(&mlp, &p, &moved(k, -h), 3));
            let differences: Vec<f64> = up.iter().zip(&down).map(|(a, b)| (a - b) / (2.0 * h)).collect();
            close(&found.first(k).unwrap().tensor().to_vec::<f64>().unwrap(), &differences, "gradient");
            for l in 0..3 {
                let (up, down) = (gradient(&moved(l, h), k), gradient(&moved(l, -h), k));
                let differences: Vec<f64> = up.iter().zip(&down).map(|(a, b)| (a - b) / (2.0 * h)).collect();
                close(&found.second(k, l).unwrap().tensor().to_vec::<f64>().unwrap(), &differences, "hessian");
            }
        }
        let laplacian = mlp.forward(&jet(found_points(&x).as_ref(), Derivatives::laplacian(3)), &vars).unwrap();
        let (a, b) = (found.laplacian().unwrap(), laplacian.laplacian().unwrap());
        let (a, b) = (a.tensor().to_vec::<f64>().unwrap(), b.tensor().to_vec::<f64>().unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12 * b.abs().max(1.0)));
    }
}

fn found_points(x: &[f64]) -> Box<Var> {
    Box::new(Tensor::from_slice(&Device::cpu(), x, &[x.len() / 3, 3]).unwrap().into())
}

/// Mean of f² + 0.3‖∇f‖² + 0.1(Δf)².
fn loss(jet: &Jet) -> lumigrad_field::Result<Var> {
    let mut sum = jet.value().square()?;
    for &k in jet.derivatives().first() {
        sum = sum.add(&jet.first(k)?.square()?.scale(0.3)?)?;
    }
    Ok(sum.add(&jet.laplacian()?.square()?.scale(0.1)?)?.mean()?)
}

#[test]
fn losses_of_derivatives_reach_parameters_and_points() {
    for activation in [Activation::Sine, Activation::Mish, Activation::Hermite, Activation::Fourier] {
        for skips in [vec![], vec![1, 2]] {
            let mlp = Mlp {
                widths: vec![2, 7, 6, 5, 1],
                activation,
                output: if activation == Activation::Sine { Activation::Identity } else { Activation::Softplus },
                bias: activation != Activation::Mish,
                skips,
            };
            let mut inputs = parameters(&mlp, 3);
            inputs.insert(0, real(&[9, 2], 4));
            let f = |v: &[Var]| {
                let seed = Jet::seed(&v[0], Arc::new(Derivatives::laplacian(2))).unwrap();
                Ok(vec![loss(&mlp.forward(&seed, &v[1..]).unwrap()).unwrap()])
            };
            // The seed's streams of ones have no derivative by points: through the value all of it must come.
            Check::new(activation.name(), f).f32_tolerance(3e-4).run(&inputs);
        }
    }
}

#[test]
fn fused_networks_equal_layers() {
    // Several groups and blocks, with an odd end, more streams than one, and skips.
    let mlp = Mlp { skips: vec![2], ..sine(&[2, 20, 17, 3]) };
    let p = parameters(&mlp, 5);
    let points = real(&[3001, 2], 6);
    let run = |fused: bool| {
        let tape = Tape::new();
        let x = tape.variable(points.clone());
        let vars: Vec<Var> = p.iter().map(|t| tape.variable(t.clone())).collect();
        let seed = jet(&x, Derivatives::laplacian(2));
        let found = if fused { mlp.forward(&seed, &vars) } else { mlp.forward_by_layers(&seed, &vars) }.unwrap();
        let loss = loss(&found).unwrap();
        let mut gradients = tape.backward(&loss).unwrap();
        let mut all = vec![loss.tensor().to_vec::<f64>().unwrap()];
        all.extend([&x].into_iter().chain(&vars).map(|v| gradients.take(v).unwrap().to_vec::<f64>().unwrap()));
        all
    };
    for (a, b) in run(true).iter().zip(run(false)) {
        let size = b.iter().fold(0.0f64, |s, x| s.max(x.abs()));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-11 * size), "{a:?} {b:?}");
    }
}

#[test]
fn networks_are_the_same_bits_for_any_number_of_threads() {
    let mlp = sine(&[2, 33, 1]);
    let p: Vec<Tensor> = parameters(&mlp, 7).iter().map(|t| t.cast(DType::F32).unwrap()).collect();
    let points = real(&[5000, 2], 8).cast(DType::F32).unwrap();
    let run = |threads| {
        let pool = rayon_pool(threads);
        pool.install(|| {
            let tape = Tape::new();
            let vars: Vec<Var> = p.iter().map(|t| tape.variable(t.clone())).collect();
            let loss =
                loss(&mlp.forward(&jet(&points.clone().into(), Derivatives::laplacian(2)), &vars).unwrap()).unwrap();
            let mut gradients = tape.backward(&loss).unwrap();
            vars.iter().flat_map(|v| gradients.take(v).unwrap().to_vec::<f32>().unwrap()).collect::<Vec<_>>()
        })
    };
    assert_eq!(run(1), run(2));
    assert_eq!(run(1), run(5));
}

fn rayon_pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn quadratic_activations_make_quadratic_forms_exactly() {
    // Σⱼ (Wx)ⱼ² = xᵀWWᵀx: gradient 2WWᵀx, Hessian 2WWᵀ.
    let mlp = Mlp {
        widths: vec![2, 3, 1],
        activation: Activation::Square,
        output: Activation::Identity,
        bias: false,
        skips: vec![],
    };
    let w = real(&[2, 3], 9);
    let ones = Tensor::full(&Device::cpu(), DType::F64, &[3, 1], 1.0).unwrap();
    let points = real(&[4, 2], 10);
    let found =
        mlp.forward(&jet(&points.clone().into(), Derivatives::hessian(2)), &[w.clone().into(), ones.into()]).unwrap();
    let w = w.to_vec::<f64>().unwrap();
    for k in 0..2 {
        for l in 0..2 {
            let q: f64 = (0..3).map(|j| 2.0 * w[3 * k + j] * w[3 * l + j]).sum();
            let second = found.second(k, l).unwrap().tensor().to_vec::<f64>().unwrap();
            assert!(second.iter().all(|s| (s - q).abs() < 1e-14), "{second:?} {q}");
        }
    }
}

#[test]
fn activations_have_right_derivatives_and_know_where_they_bend() {
    for (name, activation) in ACTIVATIONS {
        let mlp = Mlp { widths: vec![1, 1], activation, output: activation, bias: false, skips: vec![] };
        let one = Tensor::full(&Device::cpu(), DType::F64, &[1, 1], 1.0).unwrap();
        let coefficients = activation.coefficients();
        let mut p: Vec<Var> = vec![one.into()];
        if !coefficients.is_empty() {
            p.push(Tensor::from_slice(&Device::cpu(), &coefficients, &[coefficients.len()]).unwrap().into());
        }
        let x: Vec<f64> = (0..41).map(|k| -6.05 + 0.3 * k as f64).collect();
        let at = |s: f64| {
            let moved: Vec<f64> = x.iter().map(|x| x + s).collect();
            let points = Tensor::from_slice(&Device::cpu(), &moved, &[41, 1]).unwrap();
            mlp.forward(&jet(&points.into(), Derivatives::hessian(1)), &p).unwrap()
        };
        let flat = activation.is_piecewise_linear();
        let numbers = |j: &Jet, order: usize| match order {
            0 => j.value().tensor().to_vec::<f64>().unwrap(),
            1 => j.first(0).unwrap().tensor().to_vec::<f64>().unwrap(),
            _ => j.second(0, 0).unwrap().tensor().to_vec::<f64>().unwrap(),
        };
        let h = 1e-5;
        let (here, up, down) = (at(0.0), at(h), at(-h));
        for order in 0..if flat { 1 } else { 2 } {
            let (now, a, b) = (numbers(&here, order + 1), numbers(&up, order), numbers(&down, order));
            for k in 0..x.len() {
                let difference = (a[k] - b[k]) / (2.0 * h);
                assert!(
                    (now[k] - difference).abs() < 1e-6 * difference.abs().max(1.0),
                    "{name} at {}: {} {difference}",
                    x[k],
                    now[k]
                );
            }
        }
        assert_eq!(matches!(here.second(0, 0), Err(Error::Flat { .. })), flat, "{name}");
    }
}

#[test]
fn sine_networks_start_with_unit_deviation_at_every_depth() {
    let points = real(&[4096, 2], 11);
    for depth in 1..4 {
        // Numbers before the activation of hidden layer `depth`.
        let mut widths = vec![2];
        widths.extend(vec![256; depth + 1]);
        let whole = sine(&[&widths[..], &[1]].concat());
        let mlp = sine(&widths);
        let start = init::start(&whole, Omega::default(), 12);
        let arrays = start.iter().zip(whole.shapes()).take(2 * mlp.n_layers());
        let p: Vec<Var> = arrays
            .map(|((x, _), (name, shape))| {
                let x = if name.ends_with("bias") { vec![0.0; x.len()] } else { x.clone() };
                Tensor::from_slice(&Device::cpu(), &x, &shape).unwrap().into()
            })
            .collect();
        let z = mlp.forward(&jet(&points.clone().into(), Derivatives::none()), &p).unwrap();
        let z = z.value().tensor().to_vec::<f64>().unwrap();
        let deviation = (z.iter().map(|x| x * x).sum::<f64>() / z.len() as f64).sqrt();
        assert!((deviation - 1.0).abs() < 0.1, "layer {depth}: {deviation}");
    }
}

#[test]
fn networks_name_what_does_not_fit() {
    let mlp = sine(&[3, 4, 1]);
    let p: Vec<Var> = parameters(&mlp, 1).into_iter().map(Var::from).collect();
    let seed = jet(&real(&[2, 2], 1).into(), Derivatives::none());
    assert!(mlp.forward(&seed, &p).unwrap_err().to_string().contains("3 components"));
    let seed = jet(&real(&[2, 3], 1).into(), Derivatives::none());
    assert!(mlp.forward(&seed, &p[1..]).is_err());
    assert!(mlp.forward(&seed, &p).unwrap().laplacian().is_err());
    let empty = jet(&Tensor::zeros(&Device::cpu(), DType::F64, &[0, 3]).unwrap().into(), Derivatives::none());
    assert_eq!(mlp.forward(&empty, &p).unwrap().value().shape(), [0, 1]);
}
