//! What all methods promise, and what each does beside.

use super::{area_and_volume, sampled, topology};
use crate::isosurface::{Border, Indexed, Method, SampleGrid, extract, grid_tangents};
use crate::random::{number, unit};
use crate::{Bvh, Error};
use glam::{DMat3, DVec3};
use std::collections::HashMap;
use std::f64::consts::PI;

/// By any method, with gradients of the field by central differences.
fn surface(method: Method, n: usize, half: f64, border: Border, f: impl Fn(DVec3) -> f64) -> Indexed {
    let (samples, grid) = sampled(n, half, &f);
    let tangent = |p: &[f32; 3]| {
        let p = DVec3::from_array(p.map(f64::from));
        let [x, y, z] = DVec3::AXES.map(|axis| (f(p + 1e-6 * axis) - f(p - 1e-6 * axis)) / 2e-6);
        [f(p), x, y, z].map(|x| x as f32)
    };
    let tangents = |points: &[[f32; 3]]| Ok::<_, Error>(points.iter().map(tangent).collect());
    extract(method, &samples, &grid, 0.0, border, tangents).unwrap()
}

/// By any method from samples alone.
fn of_samples(method: Method, samples: &[f32], grid: &SampleGrid, border: Border) -> Indexed {
    extract(method, samples, grid, 0.0, border, |points| grid_tangents(samples, grid, points)).unwrap()
}

#[test]
fn spheres_are_closed_and_their_errors_fall_with_the_square_of_the_spacing() {
    for (name, method) in Method::ALL {
        let mut last: Option<[f64; 2]> = None;
        for n in [17, 33, 65] {
            let m = surface(method, n, 1.5, Border::Open, |p| p.length() - 1.0);
            let t = topology(&m);
            assert!(t.watertight() && t.manifold() && t.n_degenerate == 0, "{name} {t:?}");
            assert_eq!((t.euler_characteristic(), t.n_parts, t.n_vertices), (2, 1, m.0.len()), "{name}");
            let (area, volume) = area_and_volume(&m);
            let errors = [(area / (4.0 * PI) - 1.0).abs(), (volume / (4.0 / 3.0 * PI) - 1.0).abs()];
            let h = 3.0 / (n - 1) as f64;
            assert!(volume > 0.0 && errors.iter().all(|e| *e < 1.5 * h * h), "{name} {errors:?}");
            if let Some(last) = last {
                assert!((0..2).all(|k| last[k] / errors[k] > 3.0), "{name} {last:?} {errors:?}");
            }
            last = Some(errors);
        }
    }
}

#[test]
fn a_torus_has_one_handle_by_every_method() {
    for (name, method) in Method::ALL {
        let m = surface(method, 40, 1.5, Border::Closed, |p| (p.x.hypot(p.y) - 1.0).hypot(p.z) - 0.3);
        assert_eq!((topology(&m).genus(), topology(&m).n_parts), (Some(1), 1), "{name}");
        assert!((area_and_volume(&m).1 / (2.0 * PI.powi(2) * 0.09) - 1.0).abs() < 0.04, "{name}");
    }
}

#[test]
fn dual_contouring_keeps_the_edges_of_a_turned_cube() {
    // Side 2, turned against the grid.
    let turn = DMat3::from_axis_angle(DVec3::new(1.0, 2.0, 0.5).normalize(), 0.6);
    let cube = |p: DVec3| (turn.transpose() * p).abs().max_element() - 1.0;
    let h = 4.4 / 32.0;
    let gaps: Vec<f64> = Method::ALL
        .iter()
        .map(|(_, method)| {
            let m = surface(*method, 33, 2.2, Border::Open, cube);
            let bvh = Bvh::new(&m.0, &m.1);
            let on_edge = |k: usize| {
                let (edge, t) = (k / 50, (k % 50) as f64 / 25.0 - 1.0);
                let side = |bit: usize| if edge >> bit & 1 == 1 { 1.0 } else { -1.0 };
                let mut p = DVec3::splat(t);
                (p[(edge / 4 + 1) % 3], p[(edge / 4 + 2) % 3]) = (side(0), side(1));
                bvh.nearest(turn * p).unwrap().distance
            };
            (0..600).map(on_edge).sum::<f64>() / 600.0 / h
        })
        .collect();
    // Marching cubes cuts edges off by a third of a cell. Dual contouring has them but where they pass through cells whose
    // corners are all outside.
    assert!(gaps[0] > 0.3 && gaps[2] < 0.05, "{gaps:?}");
    let m = surface(Method::DualContouring, 33, 2.2, Border::Open, cube);
    let (area, volume) = area_and_volume(&m);
    assert!((area / 24.0 - 1.0).abs() < 5e-3 && (volume / 8.0 - 1.0).abs() < 5e-3, "{area} {volume}");
}

#[test]
fn random_samples_make_closed_manifolds_where_that_is_promised() {
    for (name, method) in Method::ALL {
        for seed in 0..60 {
            let value = |k: u64| match seed % 3 {
                0 => (number(seed, k) % 2) as f32 * 2.0 - 1.0,
                1 => unit(number(seed, k)) as f32 - 0.5,
                _ => (number(seed, k) % 4) as f32 - 1.0,
            };
            let samples: Vec<f32> = (0..512).map(value).collect();
            let grid = SampleGrid { size: [8; 3], origin: [0.0; 3], spacing: [1.0, 2.0, 0.5] };
            let m = of_samples(method, &samples, &grid, Border::Closed);
            assert!(m.0.iter().flatten().all(|x| x.is_finite()));
            let t = topology(&m);
            match method {
                Method::DualContouring => assert!(sides_are_even(&m.1), "{seed}"),
                _ => assert!(t.manifold() && t.watertight() && t.n_degenerate == 0, "{name} {seed} {t:?}"),
            }
            let open = of_samples(method, &samples, &grid, Border::Open);
            let t = topology(&open);
            assert!(method == Method::DualContouring || t.n_crowded_edges + t.n_turned_edges == 0, "{name} {seed}");
        }
    }
}

/// Every side of a triangle is there as often in one direction as in the other.
fn sides_are_even(triangles: &[[u32; 3]]) -> bool {
    let mut sides: HashMap<(u32, u32), i32> = HashMap::new();
    for t in triangles {
        for k in 0..3 {
            let (a, b) = (t[k], t[(k + 1) % 3]);
            *sides.entry((a.min(b), a.max(b))).or_default() += if a < b { 1 } else { -1 };
        }
    }
    sides.values().all(|n| *n == 0)
}

#[test]
fn grids_of_nothing_of_everything_and_of_bad_numbers() {
    for (name, method) in Method::ALL {
        let grid = SampleGrid { size: [5, 4, 3], origin: [0.0; 3], spacing: [1.0; 3] };
        for x in [0.0, 1.0, f32::INFINITY, f32::NAN] {
            assert!(of_samples(method, &[x; 60], &grid, Border::Closed).1.is_empty(), "{name}");
        }
        for x in [-1.0, f32::NEG_INFINITY] {
            let m = of_samples(method, &[x; 60], &grid, Border::Closed);
            assert!(topology(&m).watertight() && topology(&m).euler_characteristic() == 2, "{name}");
            assert!(m.0.iter().flatten().all(|x| x.is_finite()), "{name}");
        }
        for size in [[0, 0, 0], [0, 5, 5], [1, 1, 1], [1, 5, 5], [70, 1, 1]] {
            let grid = SampleGrid { size, ..grid };
            let samples = vec![-1.0; grid.n_samples()];
            assert!(of_samples(method, &samples, &grid, Border::Open).1.is_empty(), "{name}");
            let closed = of_samples(method, &samples, &grid, Border::Closed);
            assert_eq!(topology(&closed).watertight(), grid.n_samples() > 0, "{name} {size:?}");
        }
        let none = |_: &[[f32; 3]]| Ok::<_, Error>(vec![]);
        assert!(extract(method, &[0.0; 59], &grid, 0.0, Border::Open, none).is_err());
        let flat = SampleGrid { spacing: [1.0, 0.0, 1.0], ..grid };
        assert!(extract(method, &[0.0; 60], &flat, 0.0, Border::Open, none).is_err());
    }
}

#[test]
fn long_rows_and_any_number_of_threads_give_the_same() {
    for (name, method) in Method::ALL {
        for nx in [63, 64, 65, 130] {
            let grid = SampleGrid { size: [nx, 9, 9], origin: [0.0; 3], spacing: [1.0; 3] };
            let samples: Vec<f32> = (0..grid.n_samples() as u64).map(|k| unit(number(3, k)) as f32 - 0.4).collect();
            let of = |n| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
                pool.install(|| of_samples(method, &samples, &grid, Border::Closed))
            };
            let m = of(1);
            assert!(m == of(3) && sides_are_even(&m.1), "{name} {nx}");
            assert!(topology(&m).n_vertices >= m.0.len());
            for t in &m.1 {
                let p = t.map(|v| m.0[v as usize]);
                assert!((0..3).all(|c| (p[0][c] - p[1][c]).abs() <= 2.001 && (p[0][c] - p[2][c]).abs() <= 2.001));
            }
        }
    }
}

#[test]
fn tangents_of_a_linear_field_are_its_slopes() {
    let (samples, grid) = sampled(9, 1.0, |p| 2.0 * p.x - 3.0 * p.y + 0.5 * p.z);
    let found = grid_tangents(&samples, &grid, &[[0.1, 0.2, -0.9], [1.0, -1.0, 1.0], [5.0, 0.0, 0.0]]).unwrap();
    assert!((found[0][0] + 0.85).abs() < 1e-6);
    for g in found {
        assert!((0..3).all(|c| (g[c + 1] - [2.0, -3.0, 0.5][c]).abs() < 1e-5), "{g:?}");
    }
    assert_eq!(Method::from_name("dc"), Some(Method::DualContouring));
    assert_eq!(Method::from_name("tsdf"), None);
}
