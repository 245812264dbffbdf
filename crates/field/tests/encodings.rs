//! Encodings: derivatives, and what others compute.

use lumigrad_core::{DType, Device, Tape, Tensor, Var};
use lumigrad_field::{Derivatives, Encoding, Grid, Interpolation, Storage};
use lumigrad_testkit::{Check, devices, real, real_in};
use std::sync::Arc;

fn grid(storage: Storage, interpolation: Interpolation) -> Grid {
    Grid { storage, interpolation, log2_hashmap_size: 7, ..Grid::hash(3, 7, 4, 11) }
}

fn all() -> Vec<(&'static str, Encoding, usize)> {
    use Interpolation::{Linear, Smoothstep};
    vec![
        ("identity", Encoding::Identity, 2),
        ("positional", Encoding::Positional { n_frequencies: 2 }, 3),
        ("random fourier", Encoding::RandomFourier { n_features: 3, sigma: 0.7, seed: 1 }, 2),
        ("spherical harmonics", Encoding::SphericalHarmonics { degree: 3 }, 3),
        ("hash", Encoding::Grid(grid(Storage::Hash, Linear)), 3),
        ("smooth hash", Encoding::Grid(grid(Storage::Hash, Smoothstep)), 3),
        ("smooth hash of 4", Encoding::Grid(grid(Storage::Hash, Smoothstep)), 4),
        ("dense", Encoding::Grid(grid(Storage::Dense, Smoothstep)), 1),
        ("planes", Encoding::Grid(grid(Storage::Planes, Smoothstep)), 3),
    ]
}

#[test]
fn streams_match_finite_differences_of_values() {
    for (name, encoding, dim) in all() {
        let table: Vec<Var> = encoding.shapes(dim).iter().map(|(_, s)| real(s, 3).into()).collect();
        // Away from faces of cells: grids of these resolutions have few.
        let x = real_in(&[6, dim], 5, -0.9, 0.9).to_vec::<f64>().unwrap();
        let at = |x: &[f64], derivatives: Derivatives| {
            let points = Tensor::from_slice(&Device::cpu(), x, &[6, dim]).unwrap();
            encoding.encode(&points.into(), &table, &Arc::new(derivatives)).unwrap()
        };
        let moved = |k: usize, s: f64| {
            let mut y = x.clone();
            y.iter_mut().skip(k).step_by(dim).for_each(|y| *y += s);
            y
        };
        let numbers = |v: &Var| v.tensor().to_vec::<f64>().unwrap();
        let h = 1e-5;
        let here = at(&x, Derivatives::hessian(dim));
        assert_eq!(here.channels(), encoding.width(dim), "{name}");
        let mut laplacian = vec![0.0; here.value().len()];
        for k in 0..dim {
            let (up, down) =
                (at(&moved(k, h), Derivatives::gradient(dim)), at(&moved(k, -h), Derivatives::gradient(dim)));
            let compare = |found: &[f64], up: &[f64], down: &[f64]| {
                let size = found.iter().fold(1e-3f64, |s, x| s.max(x.abs()));
                for ((f, a), b) in found.iter().zip(up).zip(down) {
                    let difference = (a - b) / (2.0 * h);
                    assert!((f - difference).abs() < 1e-6 * size, "{name}, axis {k}: {f} {difference}");
                }
            };
            compare(&numbers(&here.first(k).unwrap()), &numbers(up.value()), &numbers(down.value()));
            for l in 0..dim {
                // What is zero wherever it exists is absent.
                if let Ok(second) = here.second(k, l) {
                    compare(&numbers(&second), &numbers(&up.first(l).unwrap()), &numbers(&down.first(l).unwrap()));
                }
            }
            if let Ok(second) = here.second(k, k) {
                laplacian.iter_mut().zip(numbers(&second)).for_each(|(s, x)| *s += x);
            }
        }
        if let Ok(found) = at(&x, Derivatives::laplacian(dim)).laplacian() {
            let size = laplacian.iter().fold(1e-3f64, |s, x| s.max(x.abs()));
            assert!(numbers(&found).iter().zip(&laplacian).all(|(a, b)| (a - b).abs() < 1e-10 * size), "{name}");
        }
    }
}

#[test]
fn gradients_reach_tables_and_points_on_both_devices() {
    for (name, encoding, dim) in all().into_iter().filter(|(name, ..)| *name != "identity") {
        let linear = matches!(&encoding, Encoding::Grid(g) if g.interpolation == Interpolation::Linear);
        let derivatives = Arc::new(if linear { Derivatives::gradient(dim) } else { Derivatives::laplacian(dim) });
        let f = |v: &[Var]| {
            Ok(encoding.encode(&v[0], &v[1..], &derivatives).unwrap().streams().iter().flatten().cloned().collect())
        };
        let mut inputs = vec![real_in(&[7, dim], 6, -0.9, 0.9)];
        inputs.extend(encoding.shapes(dim).iter().map(|(_, s)| real(s, 7)));
        Check::new(name, f).f32_tolerance(5e-4).run(&inputs);
    }
}

/// tiny-cuda-nn's grid in plain loops, with 32-bit wrap.
fn reference(grid: &Grid, table: &[f64], x: &[f64]) -> Vec<f64> {
    let (mut offset, mut out) = (0, vec![]);
    let dim = x.len();
    for l in 0..grid.n_levels {
        let scale = grid.base_resolution as f64 * grid.per_level_scale.powi(l as i32) - 1.0;
        let side = scale.ceil() as u32 + 1;
        let dense = (side as usize).pow(dim as u32);
        let most = 1usize << grid.log2_hashmap_size;
        let rows = if dense > most { most } else { dense.next_multiple_of(8) };
        let mut sum = [0.0; 2];
        for bits in 0..1u32 << dim {
            let (mut w, mut hash, mut index, mut stride) = (1.0, 0u32, 0u32, 1u32);
            for a in 0..dim {
                // The scale is an f32 in the kernels.
                let p = (0.5 * x[a] + 0.5) * (scale as f32 as f64) + 0.5;
                let bit = bits >> a & 1;
                let t = p - p.floor();
                w *= if bit == 1 { t } else { 1.0 - t };
                let c = p.floor() as u32 + bit;
                hash ^= c.wrapping_mul([1, 2654435761, 805459861][a]);
                index += c * stride;
                stride *= side;
            }
            let row = offset + if dense > most { hash as usize % most } else { index as usize % rows };
            (0..2).for_each(|f| sum[f] += w * table[2 * row + f]);
        }
        out.extend(sum);
        offset += rows;
    }
    out
}

#[test]
fn hash_grids_equal_a_plain_reference() {
    for (dim, size) in [(2, 7), (3, 9), (3, 14)] {
        let grid = Grid::hash(5, size, 3, 40);
        let table = real(&grid.shape(dim), 8);
        let points = real(&[50, dim], 9);
        let found = Encoding::Grid(grid.clone())
            .encode(&points.clone().into(), &[table.clone().into()], &Arc::new(Derivatives::none()))
            .unwrap();
        let found = found.value().tensor().to_vec::<f64>().unwrap();
        let (table, points) = (table.to_vec::<f64>().unwrap(), points.to_vec::<f64>().unwrap());
        for (x, row) in points.chunks(dim).zip(found.chunks(10)) {
            for (a, b) in row.iter().zip(reference(&grid, &table, x)) {
                assert!((a - b).abs() < 1e-12, "{a} {b}");
            }
        }
    }
}

#[test]
fn weights_sum_to_one() {
    for device in devices("grid weights") {
        let grid = grid(Storage::Hash, Interpolation::Smoothstep);
        let points = real(&[300, 3], 10).cast(DType::F32).unwrap().to_device(&device).unwrap();
        let tape = Tape::new();
        let table = tape.variable(Tensor::zeros(&device, DType::F32, &grid.shape(3)).unwrap());
        let encoded = Encoding::Grid(grid.clone())
            .encode(&points.into(), std::slice::from_ref(&table), &Arc::new(Derivatives::none()))
            .unwrap();
        let gradient = tape.backward(&encoded.value().sum().unwrap()).unwrap().take(&table).unwrap();
        let sum: f64 = gradient.to_vec::<f32>().unwrap().iter().map(|&x| x as f64).sum();
        // 300 points, 3 levels, 2 features.
        assert!((sum - 1800.0).abs() < 1e-2, "{sum} on {device}");
    }
}

#[test]
fn spherical_harmonics_are_orthonormal() {
    // Midpoint rule over the sphere.
    let (nt, np) = (120, 240);
    let (mut points, mut areas) = (vec![], vec![]);
    for i in 0..nt {
        let t = std::f64::consts::PI * (i as f64 + 0.5) / nt as f64;
        for j in 0..np {
            let p = std::f64::consts::TAU * (j as f64 + 0.5) / np as f64;
            points.extend([t.sin() * p.cos(), t.sin() * p.sin(), t.cos()]);
            areas.push(t.sin() * std::f64::consts::PI / nt as f64 * std::f64::consts::TAU / np as f64);
        }
    }
    let points = Tensor::from_slice(&Device::cpu(), &points, &[areas.len(), 3]).unwrap();
    let encoding = Encoding::SphericalHarmonics { degree: 4 };
    let y = encoding.encode(&points.into(), &[], &Arc::new(Derivatives::none())).unwrap();
    let y = y.value().tensor().to_vec::<f64>().unwrap();
    for a in 0..25 {
        for b in 0..=a {
            let dot: f64 = y.chunks(25).zip(&areas).map(|(y, w)| y[a] * y[b] * w).sum();
            assert!((dot - (a == b) as u8 as f64).abs() < 1e-3, "{a} {b}: {dot}");
        }
    }
}

#[test]
fn encodings_that_cannot_be_are_errors() {
    let bad = |e: Encoding, dim| assert!(e.check(dim).is_err());
    bad(Encoding::SphericalHarmonics { degree: 2 }, 2);
    bad(Encoding::Grid(Grid { n_features_per_level: 3, ..Grid::hash(2, 5, 4, 8) }), 3);
    bad(Encoding::Grid(Grid::hash(2, 5, 4, 8)), 5);
    bad(Encoding::Grid(Grid { storage: Storage::Dense, ..Grid::hash(2, 5, 4, 4000) }), 3);
    bad(Encoding::Grid(Grid { per_level_scale: f64::NAN, ..Grid::hash(2, 5, 4, 8) }), 3);
}
