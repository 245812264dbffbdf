//! Interpolation against formulas, finite differences, and between devices.

use lumigrad_core::{Device, Tensor, Var};
use lumigrad_testkit::{Check, real, real_in};
use lumigrad_voxel::{Lattice, Sparse};

fn core<T>(found: lumigrad_voxel::Result<T>) -> lumigrad_core::Result<T> {
    found.map_err(|e| match e {
        lumigrad_voxel::Error::Core(e) => e,
        e => panic!("{e}"),
    })
}

#[test]
fn both_derivative_modes_on_both_devices() {
    let lattice = Lattice::new([5, 4, 6]).unwrap();
    // Some points lie outside, where a slope is 0; none lies near a face of a cell.
    let points = real_in(&[40, 3], 1, -1.2, 1.2);
    for channels in [1, 3, 6, 12] {
        let table = real(&[lattice.len(), channels], 2);
        Check::new("voxel/sample", |x| Ok(vec![core(lattice.sample(&x[0], &x[1]))?])).run(&[points.clone(), table]);
    }
    let corners: Vec<usize> = (0..lattice.len()).step_by(7).chain([lattice.len() - 1]).collect();
    Check::new("voxel/roughness", |x| Ok(vec![core(lattice.roughness(&x[0], &corners))?]))
        .run(&[real(&[lattice.len(), 3], 5)]);
}

#[test]
fn corners_that_are_not_kept_are_zero() {
    let lattice = Lattice::new([5, 4, 6]).unwrap();
    let points = real_in(&[40, 3], 1, -1.2, 1.2);
    let keep = |k: usize| k % 3 != 1;
    let n = Sparse::new(lattice, keep, &Device::cpu()).unwrap().len();
    for channels in [1, 12] {
        Check::new("voxel/sample, sparse", |x| {
            let sparse = core(Sparse::new(lattice, keep, x[0].device()))?;
            Ok(vec![core(sparse.sample(&x[0], &x[1]))?])
        })
        .run(&[points.clone(), real(&[n, channels], 2)]);
    }
    // The same as a whole table with zeros.
    let device = Device::cpu();
    let sparse = Sparse::new(lattice, keep, &device).unwrap();
    let whole: Vec<f64> = (0..lattice.len()).map(|k| if keep(k) { (k as f64).sin() } else { 0.0 }).collect();
    let whole = Tensor::from_slice(&device, &whole, &[lattice.len(), 1]).unwrap();
    let found = sparse.sample(&points.clone().into(), &sparse.gather(&whole).unwrap().into()).unwrap();
    let expected = lattice.sample(&points.into(), &whole.into()).unwrap();
    assert_eq!(found.tensor().to_vec::<f64>().unwrap(), expected.tensor().to_vec::<f64>().unwrap());
    // Files tell the same, and a corner's neighbours are kept with it.
    let again = Sparse::from_bits(lattice, &sparse.to_bits(), &device).unwrap().unwrap();
    assert_eq!(again.kept(), sparse.kept());
    assert!(Sparse::from_bits(lattice, &[0; 3], &device).unwrap().is_none());
    let middle = 2 + 5 * (1 + 4 * 3);
    assert_eq!(Sparse::around(lattice, |k| k == middle, &device).unwrap().len(), 27);
    assert_eq!(Sparse::around(lattice, |k| k == 0, &device).unwrap().len(), 8);
}

#[test]
fn products_of_coordinates_are_exact_and_so_is_resampling() {
    let device = Device::cpu();
    let (coarse, fine) = (Lattice::new([4, 5, 3]).unwrap(), Lattice::new([9, 7, 11]).unwrap());
    // What trilinear interpolation gives back exactly.
    let f = |[x, y, z]: [f64; 3]| [1.0 + x - 2.0 * y + 0.5 * z + x * y * z, x * z - y];
    let table = |lattice: &Lattice| {
        let rows: Vec<f64> = (0..lattice.len()).flat_map(|k| f(lattice.place(k))).collect();
        Tensor::from_slice(&device, &rows, &[lattice.len(), 2]).unwrap()
    };
    let places: Vec<[f64; 3]> = (0..50).map(|k| [1.0, 2.3, 3.7].map(|s| (s * k as f64).sin())).collect();
    let points = Tensor::from_slice(&device, places.as_flattened(), &[50, 3]).unwrap();
    let found = coarse.sample(&points.into(), &table(&coarse).into()).unwrap();
    for (place, found) in places.iter().zip(found.tensor().to_vec::<f64>().unwrap().as_chunks::<2>().0) {
        assert!((0..2).all(|c| (found[c] - f(*place)[c]).abs() < 1e-12), "{place:?}: {found:?}");
    }
    let narrow = |t: Tensor| t.cast(lumigrad_core::DType::F32).unwrap();
    let half = |p: [f64; 3]| p.map(|x| 0.5 * x - 0.25);
    let found = coarse.resample(&narrow(table(&coarse)), &fine, half).unwrap().to_vec::<f32>().unwrap();
    for (k, found) in found.as_chunks::<2>().0.iter().enumerate() {
        let expected = f(half(fine.place(k)));
        assert!((0..2).all(|c| (found[c] as f64 - expected[c]).abs() < 1e-6));
    }
}

#[test]
fn roughness_is_the_mean_of_squared_steps() {
    let lattice = Lattice::new([3, 2, 2]).unwrap();
    // A ramp of 2 per corner along x and 3 along z.
    let ramp: Vec<f32> = (0..12).map(|k| (2 * (k % 3) + 3 * (k / 6)) as f32).collect();
    let table = Tensor::from_slice(&Device::cpu(), &ramp, &[12, 1]).unwrap();
    let all: Vec<usize> = (0..12).collect();
    let found = lattice.roughness(&Var::from(table), &all).unwrap().tensor().item().unwrap();
    // 8 steps along x, 6 along y, 6 along z.
    assert!((found - (8.0 * 4.0 + 6.0 * 9.0) / 20.0).abs() < 1e-6, "{found}");
}

#[test]
fn the_tables_gradient_has_the_same_bits_for_any_number_of_threads() {
    let lattice = Lattice::new([17, 9, 21]).unwrap();
    let points: Vec<f32> = (0..3 * 5000).map(|k| ((k as f32) * 0.37).sin()).collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let device = Device::cpu();
            let tape = lumigrad_core::Tape::new();
            let table = tape.variable(Tensor::zeros(&device, lumigrad_core::DType::F32, &[lattice.len(), 12]).unwrap());
            let points = Tensor::from_slice(&device, &points, &[5000, 3]).unwrap();
            let found = lattice.sample(&points.into(), &table).unwrap();
            let loss = found.sub(&found.scale(0.3).unwrap().offset(1.0).unwrap()).unwrap().square().unwrap().sum();
            let gradient = tape.backward(&loss.unwrap()).unwrap().take(&table).unwrap();
            gradient.to_vec::<f32>().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        })
    };
    assert_eq!(run(1), run(3));
}
