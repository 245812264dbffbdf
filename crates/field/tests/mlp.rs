//! Networks on jets: derivatives by the input, and gradients of losses of them.

use lumigrad_core::{DType, Device, Tape, Tensor, Var};
use lumigrad_field::{ACTIVATIONS, Activation, Derivatives, Error, Jet, Mlp, Omega, Precision, init};
use lumigrad_testkit::{Check, real};
use std::sync::Arc;

fn sine(widths: &[usize]) -> Mlp {
    Mlp {
        widths: widths.to_vec(),
        activation: Activation::Sine,
        output: Activation::Identity,
        bias: true,
        skips: vec![],
        precision: Precision::F32,
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
                precision: Precision::F32,
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

/// A network's loss and all its gradients, on a device in f32.
fn on_device(
    mlp: &Mlp,
    derivatives: &Derivatives,
    points: &Tensor,
    p: &[Tensor],
    fused: bool,
    device: &Device,
) -> Vec<Vec<f64>> {
    let moved = |t: &Tensor| t.cast(DType::F32).unwrap().to_device(device).unwrap();
    let tape = Tape::new();
    let x = tape.variable(moved(points));
    let vars: Vec<Var> = p.iter().map(|t| tape.variable(moved(t))).collect();
    let seed = jet(&x, derivatives.clone());
    let found = if fused { mlp.forward_in_one(&seed, &vars) } else { mlp.forward_by_layers(&seed, &vars) }.unwrap();
    let streams = found.streams().iter().flatten();
    let loss = streams.map(|s| s.square().unwrap().mean().unwrap()).reduce(|a, b| a.add(&b).unwrap()).unwrap();
    let mut gradients = tape.backward(&loss).unwrap();
    let mut all: Vec<Vec<f64>> = found.streams().iter().flatten().map(|s| s.tensor().to_f64_vec().unwrap()).collect();
    all.extend([&x].into_iter().chain(&vars).map(|v| gradients.take(v).unwrap().to_f64_vec().unwrap()));
    all
}

/// The largest difference of arrays, relative to the root mean square of the second.
fn difference(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let of = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        let size = (b.iter().map(|x| x * x).sum::<f64>() / b.len() as f64).sqrt();
        a.iter().zip(b).fold(0.0f64, |most, (a, b)| most.max((a - b).abs())) / size.max(1e-20)
    };
    a.iter().zip(b).map(of).fold(0.0, f64::max)
}

/// Networks of several shapes: widths that are and are not multiples of four, derivatives, outputs bent or not. They are small:
/// software adapters take seconds to compile each.
fn shapes() -> Vec<(Mlp, Derivatives)> {
    vec![
        (
            Mlp { activation: Activation::Relu, output: Activation::Sigmoid, ..sine(&[5, 32, 16, 3]) },
            Derivatives::none(),
        ),
        (Mlp { bias: false, ..sine(&[2, 7, 1]) }, Derivatives::laplacian(2)),
    ]
}

#[test]
fn networks_of_gpus_equal_those_of_the_cpu_in_one_launch_or_by_layers() {
    let Some(gpu) = lumigrad_testkit::gpu("fused networks") else { return };
    for (mlp, derivatives) in shapes() {
        let p = parameters(&mlp, 21);
        // Several tiles, the last of which is not full.
        let points = real(&[1 + 4 * 67, mlp.widths[0]], 22);
        let known = on_device(&mlp, &derivatives, &points, &p, true, &Device::cpu());
        for fused in [true, false] {
            let found = on_device(&mlp, &derivatives, &points, &p, fused, &gpu);
            let wrong = difference(&found, &known);
            assert!(wrong < 2e-4, "{mlp:?}, fused {fused}: {wrong}");
        }
        if derivatives == Derivatives::none() {
            let half = Mlp { precision: Precision::F16, ..mlp };
            let found = on_device(&half, &derivatives, &points, &p, true, &gpu);
            // Numbers that are stored are right to 2⁻¹¹ of their size; some units of some points change their side of zero,
            // whose gradients are others altogether.
            for (a, b) in found.iter().zip(&known) {
                let of = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(*a, *b)).sum::<f64>().sqrt();
                let wrong = of(&|a, b| (a - b).powi(2)) / of(&|_, b| b * b);
                assert!((1e-6..0.05).contains(&wrong), "{half:?}: {wrong}");
            }
        }
    }
}

#[test]
fn fused_networks_have_both_derivative_modes_on_gpus() {
    for (mlp, derivatives) in shapes() {
        let mut inputs = parameters(&mlp, 23);
        inputs.insert(0, real(&[9, mlp.widths[0]], 24));
        let f = |v: &[Var]| {
            let found = mlp.forward_in_one(&jet(&v[0], derivatives.clone()), &v[1..]).unwrap();
            Ok(found.streams().iter().flatten().cloned().collect())
        };
        Check::new("mlp", f).f32_tolerance(3e-4).run(&inputs);
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
        precision: Precision::F32,
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
        let mlp = Mlp {
            widths: vec![1, 1],
            activation,
            output: activation,
            bias: false,
            skips: vec![],
            precision: Precision::F32,
        };
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
