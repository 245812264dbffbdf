use super::*;
use crate::random::{number, unit};
use crate::{Topology, dual_marching_cubes};
use glam::DVec3;
use lumigrad_core::map::vector::{cross, dot};
use lumigrad_core::{Map, Tape};
use lumigrad_testkit::{Check, real_in};

fn cube(n: usize, half: f64) -> FlexiCubes {
    FlexiCubes::new(SampleGrid::over([-half; 3], [half; 3], [n; 3])).unwrap()
}

fn sampled(cubes: &FlexiCubes, f: impl Fn(DVec3) -> f64) -> Vec<f64> {
    (0..cubes.grid().n_samples()).map(|k| f(DVec3::from_array(cubes.grid().point(k)))).collect()
}

fn tensor(data: &[f64], shape: &[usize]) -> Tensor {
    Tensor::from_slice(&Device::cpu(), data, shape).unwrap()
}

/// Values with deformations and weights at rest.
fn at_rest(cubes: &FlexiCubes, values: &[f64]) -> [Var; 3] {
    let zeros = |shape: &[usize]| Var::from(Tensor::zeros(&Device::cpu(), DType::F64, shape).unwrap());
    let weights = zeros(&[cubes.n_cells(), FlexiCubes::WEIGHTS]);
    [tensor(values, &[values.len()]).into(), zeros(&[values.len(), 3]), weights]
}

fn surface(cubes: &FlexiCubes, [values, deformations, weights]: &[Var; 3], cut: Cut) -> FlexiSurface {
    cubes.surface(values, deformations, weights, cut).unwrap()
}

/// Σ v₀·(v₁ × v₂)/6 over triangles.
fn volume(surface: &FlexiSurface) -> Var {
    let map = Map::cached("test/volume", |m| {
        let corners = m.item_int::<3>("triangles");
        let positions = m.table::<3>("positions");
        let [a, b, c] = corners.map(|v| positions.fetch(v));
        m.sum("volume", &[dot(a, cross(b, c)) * (1.0 / 6.0)]);
    });
    let flat = surface.triangles.as_flattened();
    let triangles = Tensor::from_slice(&Device::cpu(), flat, &[flat.len() / 3, 3]).unwrap();
    map.apply(&[&triangles.into(), &surface.positions]).unwrap().remove(0).reshape(&[]).unwrap()
}

fn area(surface: &FlexiSurface) -> f64 {
    let p = surface.positions.tensor().to_f64_vec().unwrap();
    let at = |v: u32| DVec3::from_slice(&p[3 * v as usize..]);
    surface.triangles.iter().map(|&[a, b, c]| 0.5 * (at(b) - at(a)).cross(at(c) - at(a)).length()).sum()
}

#[test]
fn at_rest_it_is_dual_marching_cubes() {
    let cubes = cube(17, 1.5);
    let values = sampled(&cubes, |p| p.length() - 1.0 + 0.2 * (5.0 * p.x).sin() * (4.0 * p.y).cos());
    let found = surface(&cubes, &at_rest(&cubes, &values), Cut::Diagonals);
    let samples: Vec<f32> = values.iter().map(|&x| x as f32).collect();
    let (positions, triangles) = dual_marching_cubes(&samples, cubes.grid(), 0.0, Border::Open).unwrap();
    assert_eq!((found.dual.cells.len(), found.triangles.len()), (positions.len(), triangles.len()));
    let own = found.positions.tensor().to_f64_vec().unwrap();
    assert!(own.iter().zip(positions.as_flattened()).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-5));
    let cut = surface(&cubes, &at_rest(&cubes, &values), Cut::Centres);
    assert_eq!(cut.triangles.len(), 2 * triangles.len());
    let t = Topology::new(cut.positions.shape()[0], &cut.triangles).unwrap();
    assert!(t.watertight() && t.manifold() && t.euler_characteristic() == 2 && t.n_degenerate == 0);
    assert!((volume(&cut).tensor().item().unwrap() / volume(&found).tensor().item().unwrap() - 1.0).abs() < 0.01);
}

#[test]
fn the_volume_of_a_distance_field_grows_by_its_area() {
    let cubes = cube(33, 1.5);
    let tape = Tape::new();
    let values = sampled(&cubes, |p| p.length() - 1.0);
    let [fixed, deformations, weights] = at_rest(&cubes, &values);
    let values = tape.variable(fixed.tensor().clone());
    for cut in [Cut::Diagonals, Cut::Centres] {
        let found = surface(&cubes, &[values.clone(), deformations.clone(), weights.clone()], cut);
        let volume = volume(&found);
        let gradient = tape.backward(&volume).unwrap().take(&values).unwrap().to_f64_vec().unwrap();
        // Of the field less c: the volume grows by −Σ of the gradient.
        let growth = -gradient.iter().sum::<f64>();
        assert!((growth / area(&found) - 1.0).abs() < 2e-3, "{growth} {}", area(&found));
        assert!((growth / (4.0 * std::f64::consts::PI) - 1.0).abs() < 0.012, "{growth}");
        assert!((volume.tensor().item().unwrap() / (4.0 / 3.0 * std::f64::consts::PI) - 1.0).abs() < 0.02);
    }
}

#[test]
fn gradients_match_finite_differences_on_both_devices() {
    let cubes = cube(6, 1.5);
    let n = cubes.grid().n_samples();
    // Values keep away from 0, so that signs stay as they are.
    let values: Vec<f64> = sampled(&cubes, |p| p.length() - 1.0)
        .iter()
        .zip(0..)
        .map(|(s, k)| s.signum() * (s.abs().max(0.2) + 0.2 * unit(number(1, k))))
        .collect();
    let inputs = [
        tensor(&values, &[n]),
        real_in(&[n, 3], 2, -0.8, 0.8),
        real_in(&[cubes.n_cells(), FlexiCubes::WEIGHTS], 3, -1.0, 1.0),
    ];
    for cut in [Cut::Centres, Cut::Diagonals] {
        let run = |x: &[Var]| -> Result<Vec<Var>> {
            let s = cubes.surface(&x[0], &x[1], &x[2], cut)?;
            Ok(vec![s.deviation()?, s.sign_entropy(&x[0], 3.0)?, s.positions])
        };
        let run = |x: &[Var]| {
            run(x).map_err(|e| match e {
                Error::Core(e) => e,
                other => panic!("{other}"),
            })
        };
        Check::new("flexicubes", run).run(&inputs);
    }
}

#[test]
fn surfaces_of_random_numbers_are_manifold_and_vertices_stay_near_their_cells() {
    let n = 9;
    let cubes = cube(n, 4.0);
    for seed in 0..20 {
        let border = |k: usize| [k % n, k / n % n, k / n / n].iter().any(|&x| x == 0 || x == n - 1);
        let value = |k: usize| if border(k) { 1.0 } else { unit(number(seed, k as u64)) - 0.5 };
        let values: Vec<f64> = (0..n * n * n).map(value).collect();
        let inputs = [
            Var::from(tensor(&values, &[values.len()])),
            real_in(&[values.len(), 3], seed, -9.0, 9.0).into(),
            real_in(&[cubes.n_cells(), FlexiCubes::WEIGHTS], seed, -9.0, 9.0).into(),
        ];
        for cut in [Cut::Centres, Cut::Diagonals] {
            let s = surface(&cubes, &inputs, cut);
            let t = Topology::new(s.positions.shape()[0], &s.triangles).unwrap();
            assert!(t.watertight() && t.manifold() && t.n_degenerate == 0, "{seed} {t:?}");
            let p = s.positions.tensor().to_f64_vec().unwrap();
            for (cell, p) in s.dual.cells.iter().zip(p.chunks_exact(3)) {
                // Spacings are 1.
                assert!((0..3).all(|c| (p[c] + 4.0 - f64::from(cell[c]) - 0.5).abs() < 1.0));
            }
        }
    }
}

#[test]
fn nothing_inside_is_an_empty_surface_and_wrong_shapes_are_told() {
    let cubes = cube(5, 1.0);
    let inputs = at_rest(&cubes, &[1.0; 125]);
    for cut in [Cut::Centres, Cut::Diagonals] {
        let s = surface(&cubes, &inputs, cut);
        assert!(s.triangles.is_empty() && s.positions.is_empty());
        assert_eq!(s.deviation().unwrap().tensor().item().unwrap(), 0.0);
    }
    let short = at_rest(&cubes, &[1.0; 124]);
    let error = cubes.surface(&short[0], &inputs[1], &inputs[2], Cut::Centres).err().unwrap();
    assert!(error.to_string().contains("values"), "{error}");
    assert!(FlexiCubes::new(SampleGrid { size: [4000; 3], ..*cubes.grid() }).is_err());
}

#[test]
fn weights_can_put_vertices_on_a_sharp_edge() {
    // A vertex follows the crossing whose β is large.
    let cubes = cube(5, 1.0);
    let values = sampled(&cubes, |p| p.abs().max_element() - 0.6);
    let [values, deformations, _] = at_rest(&cubes, &values);
    let mut weights = vec![-4.0; cubes.n_cells() * FlexiCubes::WEIGHTS];
    weights.chunks_mut(FlexiCubes::WEIGHTS).for_each(|w| w[8] = 4.0);
    let weights = Var::from(tensor(&weights, &[cubes.n_cells(), FlexiCubes::WEIGHTS]));
    let s = surface(&cubes, &[values, deformations, weights], Cut::Diagonals);
    let p = s.positions.tensor().to_f64_vec().unwrap();
    let (row, _) = s.dual.edges.iter().enumerate().find(|(_, e)| **e & 1 == 1 && e.count_ones() > 1).unwrap();
    let edge = s.dual.cells[row].map(|x| -1.0 + 0.5 * f64::from(x));
    // Edge 0 runs along x through the cell's first corner.
    assert!((p[3 * row + 1] - edge[1]).abs() < 0.02 && (p[3 * row + 2] - edge[2]).abs() < 0.02);
}
