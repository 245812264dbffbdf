//! Maps: both devices, both derivative modes, every kind of input and output.

use lumigrad_core::map::{random, vector};
use lumigrad_core::{CallParams, DType, Device, Map, Tape, Tensor, ops};
use lumigrad_testkit::{Check, devices, integers, real, real_in};

#[test]
fn elementary_functions_have_right_values_and_derivatives() {
    let map = Map::new("elementary", |m| {
        let [x, y] = m.item("x");
        let r = (x * x + y * y + 0.1).sqrt();
        m.output("a", &[x.sin() * y.cos(), (x * y).exp(), r.ln(), y.atan2(x), x.tanh()]);
        m.output("b", &[x.min(y), x.max(0.3), r.pow(1.7), x.abs() / r, x.powi(5)]);
    });
    // atan2 and ln near their singular points lose digits in f32.
    Check::new("elementary", |x| map.apply(&[&x[0]])).f32_tolerance(2e-4).run(&[real(&[500, 2], 1)]);
}

#[test]
fn sums_uniforms_and_tables_have_right_derivatives() {
    let map = Map::new("gathered", |m| {
        let [w] = m.item("w");
        let [row, other] = m.item_int("rows");
        let scale = m.uniform::<3>("scale");
        let table = m.table::<3>("table");
        let (a, b) = (table.fetch(row), table.fetch(other));
        let c = vector::cross(a, b);
        let d: Vec<_> = (0..3).map(|k| c[k] * scale[k] * w).collect();
        m.output("cross", &d);
        m.sum("total", &[vector::dot(a, b) * w.sin(), w * scale[0]]);
    });
    let inputs = [real(&[1000], 1), integers(&[1000, 2], 2, 37), real(&[3], 3), real(&[37, 3], 4)];
    Check::new("gathered", |x| map.apply(&x.iter().collect::<Vec<_>>())).run(&inputs);
}

#[test]
fn guarded_items_give_zeros_and_no_gradients() {
    let map = Map::new("guarded", |m| {
        let [x] = m.item("x");
        m.guard(x.greater(0.0));
        m.output("root", &[x.sqrt()]);
        m.sum("total", &[x.ln()]);
    });
    let tape = Tape::new();
    let x = tape.variable(Tensor::from_slice(&lumigrad_core::Device::cpu(), &[-1.0f64, 0.0, 4.0], &[3]).unwrap());
    let out = map.apply(&[&x]).unwrap();
    assert_eq!(out[0].tensor().to_vec::<f64>().unwrap(), [0.0, 0.0, 2.0]);
    let g = tape.backward(&out[0].sum().unwrap()).unwrap().take(&x).unwrap();
    assert_eq!(g.to_vec::<f64>().unwrap(), [0.0, 0.0, 0.25]);
    Check::new("guarded", |x| map.apply(&[&x[0]])).run(&[real_in(&[300], 5, 0.2, 2.0)]);
}

#[test]
fn call_parameters_and_item_numbers_reach_the_definition() {
    let map = Map::new("parameters", |m| {
        let [x] = m.item("x");
        let (a, n) = (m.param(), m.int_param());
        m.output("y", &[x * a + m.index().modulo(n).to_real()]);
    });
    let call = || CallParams { items: 0, real: vec![2.5], int: vec![3] };
    Check::new("parameters", |x| map.apply_with(&[&x[0]], call())).run(&[real(&[130], 1)]);
}

#[test]
fn scattered_outputs_add_up_and_differentiate() {
    let map = Map::new("scattered", |m| {
        let [x] = m.item("x");
        let [row] = m.item_int("row");
        let like = m.table::<2>("like");
        m.scatter("sums", like, &[(row, [x, x * x])]);
    });
    let inputs = [real(&[2000], 1), integers(&[2000], 2, 11), real(&[11, 2], 3)];
    Check::new("scattered", |x| map.apply(&x.iter().collect::<Vec<_>>())).fixed(&[2]).run(&inputs);
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    let map = Map::new("threads", |m| {
        let [x] = m.item("x");
        let [row] = m.item_int("row");
        let table = m.table::<1>("table");
        m.sum("total", &[x * table.fetch(row)[0]]);
        m.scatter("sums", table, &[(row, [x])]);
    });
    let x = real(&[50_000], 1).cast(lumigrad_core::DType::F32).unwrap();
    let table = real(&[997], 3).cast(lumigrad_core::DType::F32).unwrap();
    let rows = integers(&[50_000], 2, 997);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let out = pool.install(|| map.run(&[&x, &rows, &table], &CallParams::default()).unwrap());
        out.iter().map(|t| t.to_vec::<f32>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(2));
    assert_eq!(run(1), run(5));
}

#[test]
fn shaders_of_a_map_validate_without_a_gpu() {
    let map = Map::new("validated", |m| {
        let [x] = m.item("x");
        let table = m.table::<2>("table");
        let [a, b] = table.fetch(x.floor().to_int());
        m.output("y", &[a.less(b).select(x.tanh(), b.atan2(x))]);
        m.sum("s", &[a]);
    });
    for text in map.shaders() {
        lumigrad_testkit::validate_wgsl(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    }
}

#[test]
fn random_numbers_in_maps_have_their_distributions_and_are_alike_on_devices() {
    let n = 40_000;
    let map = Map::cached("test/random", |m| {
        let ([zero], seed, at) = (m.item("like"), m.int_param(), m.index());
        let [a, b] = random::normals(seed, at);
        m.output("numbers", &[random::uniform(seed, at) + zero, a, b]);
        m.output_int("bits", &[random::hash(at)]);
    });
    let mut first: Option<(Vec<f32>, Vec<i32>)> = None;
    for device in devices("random numbers in maps") {
        let like = Tensor::zeros(&device, DType::F32, &[n, 1]).unwrap();
        let draw = |seed: i32| {
            let call = CallParams { items: 0, real: vec![], int: vec![seed] };
            let mut out = map.run(&[&like], &call).unwrap();
            let bits = out.remove(1).to_vec::<i32>().unwrap();
            (out.remove(0).to_vec::<f32>().unwrap(), bits)
        };
        let (numbers, bits) = draw(7);
        // Of another program: lowbias32 of 1, 2 and 3.
        assert_eq!(bits[1..4].iter().map(|x| *x as u32).collect::<Vec<_>>(), [1753845952, 3507691905, 1408362973]);
        let column = |k: usize| numbers.iter().skip(k).step_by(3).map(|x| *x as f64).collect::<Vec<_>>();
        let moment = |x: &[f64], p: i32| x.iter().map(|x| x.powi(p)).sum::<f64>() / n as f64;
        let (u, a, b) = (column(0), column(1), column(2));
        assert!(u.iter().all(|x| *x > 0.0 && *x <= 1.0) && (moment(&u, 1) - 0.5).abs() < 0.01);
        for x in [&a, &b] {
            assert!(moment(x, 1).abs() < 0.02 && (moment(x, 2) - 1.0).abs() < 0.03 && (moment(x, 4) - 3.0).abs() < 0.2);
        }
        let product = a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>() / n as f64;
        let next = a.iter().zip(&a[1..]).map(|(a, b)| a * b).sum::<f64>() / n as f64;
        assert!(product.abs() < 0.02 && next.abs() < 0.02, "{product} {next}");
        assert_ne!(draw(8).0, numbers);
        let (expected, same) = first.get_or_insert((numbers.clone(), bits.clone()));
        assert_eq!(*same, bits);
        assert!(expected.iter().zip(&numbers).all(|(a, b)| (a - b).abs() < 1e-4), "{device}");
    }
}

#[test]
fn slices_give_the_bits_of_runs() {
    let map = Map::new("slices", |m| {
        let ([x], y) = (m.item("x"), m.item::<2>("y"));
        let [k] = m.uniform("k");
        m.output("z", &[(k * x).sin() * y[0], x + y[1]]);
    });
    let n = 70_001;
    let tensor = |len: usize, seed| ops::random_uniform(&Device::cpu(), DType::F32, &[len], seed, -2.0, 2.0).unwrap();
    let inputs = [tensor(n, 1), tensor(2 * n, 2), tensor(1, 3)];
    let cotangent = tensor(2 * n, 4);
    let slices: Vec<&[f32]> = inputs.iter().map(|t| t.as_slice().unwrap()).collect();
    // Often enough for machine code too.
    for _ in 0..4 {
        let whole = map.run(&inputs.iter().collect::<Vec<_>>(), &CallParams::default()).unwrap().remove(0);
        let mut found = vec![0.0f32; 2 * n];
        map.slices().run(n, &slices, &mut [&mut found]);
        assert_eq!(found, whole.as_slice::<f32>().unwrap());
        let tape = Tape::new();
        let x = tape.variable(inputs[0].clone());
        let z = map.apply(&[&x, &inputs[1].clone().into(), &inputs[2].clone().into()]).unwrap().remove(0);
        let gradient = tape
            .backward_with(&z, cotangent.reshape(&[n, 2]).unwrap())
            .unwrap()
            .take(&x)
            .unwrap()
            .to_vec::<f32>()
            .unwrap();
        let mut found = vec![0.0f32; n];
        let given = [slices[0], slices[1], slices[2], cotangent.as_slice::<f32>().unwrap()];
        map.vjp_slices(&[true], &[true, false, false]).run(n, &given, &mut [&mut found]);
        let close = found.iter().zip(&gradient).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0));
        assert!(close, "gradients differ");
    }
}
