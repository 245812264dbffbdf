//! Radiance fields and hypernetworks: derivatives of all inputs, devices, files.

use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Activation, Encoding, Field, Grid, Hyper, Interpolation, Model, Parameter, Radiance, prior};
use lumigrad_testkit::{Check, real_in};
use std::collections::BTreeMap;

fn core<T>(found: lumigrad_field::Result<T>) -> lumigrad_core::Result<T> {
    found.map_err(|e| match e {
        lumigrad_field::Error::Core(e) => e,
        e => panic!("{e}"),
    })
}

fn radiance(separate: bool) -> Radiance {
    let grid = Grid { interpolation: Interpolation::Smoothstep, ..Grid::hash(2, 7, 4, 9) };
    let plain = Field { activation: Activation::Softplus, ..Field::encoded(3, 5, Encoding::Grid(grid)) };
    let density = Field { width: 6, depth: 1, ..plain };
    Radiance { density, degree: 2, width: 6, depth: 2, separate, skips: if separate { vec![1] } else { vec![] } }
}

/// Parameters in f64, away from where rectifiers bend.
fn values(parameters: &[Parameter]) -> Vec<Tensor> {
    let table = |k: usize, p: &Parameter| match p.sparse {
        true => real_in(p.value.shape(), k as u64, -0.5, 0.5),
        false => real_in(p.value.shape(), k as u64, -0.6, 0.7),
    };
    parameters.iter().enumerate().map(|(k, p)| table(k, p)).collect()
}

#[test]
fn radiance_has_derivatives_by_parameters_points_and_directions() {
    for separate in [false, true] {
        let field = radiance(separate);
        let mut inputs = values(&field.start(1, &Device::cpu()).unwrap());
        let n = inputs.len();
        inputs.push(real_in(&[4, 3], 50, -0.8, 0.8));
        inputs.push(real_in(&[4, 3], 51, -0.6, 0.6));
        Check::new("radiance", |x| {
            let directions = core(field.encode_directions(&x[n + 1]))?;
            let (densities, colours) = core(field.evaluate(&x[..n], &x[n], &directions))?;
            Ok(vec![densities, colours])
        })
        .run(&inputs);
        // The density alone is the same.
        let vars: Vec<Var> = inputs.into_iter().map(Var::from).collect();
        let directions = field.encode_directions(&vars[n + 1]).unwrap();
        let (both, colours) = field.evaluate(&vars[..n], &vars[n], &directions).unwrap();
        let alone = field.densities(&vars[..n], &vars[n]).unwrap();
        assert_eq!(alone.tensor().to_vec::<f64>().unwrap(), both.tensor().to_vec::<f64>().unwrap());
        assert!(colours.tensor().to_vec::<f64>().unwrap().iter().all(|c| (0.0..=1.0).contains(c)));
    }
}

#[test]
fn without_weights_of_skips_a_network_is_the_plain_one() {
    // mi-MLP: what the extra inputs see is added by weights of their own.
    let plain = Radiance { skips: vec![], ..radiance(true) };
    let skipping = radiance(true);
    let start = plain.start(3, &Device::cpu()).unwrap();
    let wide = skipping.start(3, &Device::cpu()).unwrap();
    let mut values: Vec<Var> = vec![];
    for (small, large) in start.iter().zip(&wide) {
        let (a, b) = (small.value.shape(), large.value.shape());
        if a == b {
            values.push(small.value.clone().into());
            continue;
        }
        let mut numbers = small.value.to_vec::<f32>().unwrap();
        numbers.resize(b.iter().product(), 0.0);
        values.push(Tensor::from_slice(&Device::cpu(), &numbers, b).unwrap().into());
    }
    let (p, d) = (real_in(&[6, 3], 5, -0.9, 0.9), real_in(&[6, 3], 6, -0.5, 0.5));
    let single = |t: &Tensor| Var::from(t.cast(lumigrad_core::DType::F32).unwrap());
    let colours = |field: &Radiance, values: &[Var]| {
        let directions = field.encode_directions(&single(&d)).unwrap();
        field.evaluate(values, &single(&p), &directions).unwrap().1.tensor().to_vec::<f32>().unwrap()
    };
    let own: Vec<Var> = start.iter().map(|p| p.value.clone().into()).collect();
    assert_eq!(colours(&plain, &own), colours(&skipping, &values));
}

#[test]
fn opaque_densities_have_gradients() {
    // From e¹⁰ on a density is a line of its logarithm: large, finite, and not stuck.
    let field = radiance(false);
    let mut values: Vec<Var> = field.start(1, &Device::cpu()).unwrap().iter().map(|p| p.value.clone().into()).collect();
    let tape = lumigrad_core::Tape::new();
    let bias = field.shapes().iter().position(|(name, _)| name == "layers.1.bias").unwrap();
    values[bias] = tape.variable(Tensor::from_slice(&Device::cpu(), &[500.0f32; 5], &[5]).unwrap());
    let points = real_in(&[3, 3], 5, -0.9, 0.9).cast(lumigrad_core::DType::F32).unwrap();
    let densities = field.densities(&values, &points.into()).unwrap();
    let gradient = tape.backward(&densities.sum().unwrap()).unwrap().take(&values[bias]).unwrap();
    let found = [densities.tensor().to_vec::<f32>().unwrap()[0], gradient.to_vec::<f32>().unwrap()[0]];
    assert!(found.iter().all(|x| x.is_finite() && *x > 1e4), "{found:?}");
}

#[test]
fn fields_that_are_made_have_derivatives_by_code_and_network() {
    let field = Field { omega: [2.0, 2.0], ..Field::siren(2, 1, 4, 2) };
    let hyper = Hyper { field, n_codes: 3, code: 4, width: 5, depth: 2 };
    let mut inputs = values(&hyper.start(1, &Device::cpu()).unwrap());
    let n = inputs.len();
    inputs.push(real_in(&[5, 2], 50, -0.8, 0.8));
    Check::new("hyper", |x| {
        let code = hyper.codes(x).slice(0, 1, 2)?;
        let member = core(hyper.member(&x[..n], &code))?;
        Ok(vec![core(hyper.field.value(&member, &x[n]))?, core(prior(&code, &member))?])
    })
    .run(&inputs);
}

#[test]
fn members_start_as_the_field_does() {
    let hyper = Hyper { field: Field::siren(2, 3, 32, 2), n_codes: 5, code: 8, width: 16, depth: 1 };
    let vars: Vec<Var> = hyper.start(7, &Device::cpu()).unwrap().iter().map(|p| p.value.clone().into()).collect();
    let code = hyper.codes(&vars).slice(0, 2, 3).unwrap();
    let made = hyper.member(&vars, &code).unwrap();
    for (made, usual) in made.iter().zip(hyper.field.start(7 ^ 3, &Device::cpu()).unwrap()) {
        assert_eq!(made.shape(), usual.value.shape());
        let (a, b) = (made.tensor().to_vec::<f32>().unwrap(), usual.value.to_vec::<f32>().unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.1), "{}", usual.name);
    }
}

#[test]
fn files_hold_all_kinds_and_tell_them_apart() {
    let (field, cpu) = (radiance(true), Device::cpu());
    let values: Vec<Tensor> = field.start(1, &cpu).unwrap().into_iter().map(|p| p.value).collect();
    let facts = BTreeMap::from([("kind".to_owned(), "radiance".to_owned())]);
    let bytes = Model { field: field.clone(), values: values.clone(), facts }.to_bytes().unwrap();
    let read = Model::<Radiance>::from_bytes(&bytes, &cpu).unwrap();
    assert_eq!((&read.field, &read.facts["kind"][..]), (&field, "radiance"));
    assert!(read.values.iter().zip(&values).all(|(a, b)| a.to_vec::<f32>().unwrap() == b.to_vec::<f32>().unwrap()));
    let error = Model::<Field>::from_bytes(&bytes, &cpu).unwrap_err().to_string();
    assert!(error.contains("lumigrad.field"), "{error}");
    assert!(Model::<Radiance>::from_bytes(&bytes[..bytes.len() - 5], &cpu).is_err());
}
