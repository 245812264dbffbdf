use super::{area_and_volume, sampled, topology};
use crate::isosurface::{Border, SampleGrid, marching_cubes};
use crate::random::{number, unit};
use crate::{Error, Topology};
use glam::DVec3;

#[test]
fn a_gyroid_is_manifold_and_closed_at_the_border_when_asked() {
    let gyroid = |p: DVec3| p.x.sin() * p.y.cos() + p.y.sin() * p.z.cos() + p.z.sin() * p.x.cos();
    let (samples, grid) = sampled(48, 6.0, gyroid);
    let open = marching_cubes(&samples, &grid, 0.0, Border::Open).unwrap();
    let t = topology(&open);
    assert!(t.manifold() && t.n_border_edges > 0 && t.n_parts == 1);
    let closed = marching_cubes(&samples, &grid, 0.0, Border::Closed).unwrap();
    let t = Topology::welded(&closed.0, &closed.1).unwrap();
    assert!(t.manifold() && t.watertight() && t.n_degenerate == 0);
    // It halves the space.
    assert!((area_and_volume(&closed).1 / 12f64.powi(3) - 0.5).abs() < 0.02);
}

#[test]
fn random_signs_make_a_manifold() {
    for seed in 0..50 {
        for border in [Border::Open, Border::Closed] {
            let size = [8, 8, 8];
            // Signs alone, values, and few values, many of which are 0.
            let value = |k: u64| match seed % 3 {
                0 => (number(seed, k) % 2) as f32 * 2.0 - 1.0,
                1 => unit(number(seed, k)) as f32 - 0.5,
                _ => (number(seed, k) % 4) as f32 - 1.0,
            };
            let samples: Vec<f32> = (0..512).map(value).collect();
            let grid = SampleGrid { size, origin: [0.0; 3], spacing: [1.0, 2.0, 0.5] };
            let m = marching_cubes(&samples, &grid, 0.0, border).unwrap();
            for t in [topology(&m), Topology::welded(&m.0, &m.1).unwrap()] {
                assert!(t.manifold() && t.n_degenerate == 0 && t.n_vertices == m.0.len(), "{seed} {border:?} {t:?}");
                assert!(border == Border::Open || t.watertight());
            }
            // At an open border, edges of one triangle are on the faces of the grid.
            assert!(m.0.iter().all(|p| (0..3).all(|c| p[c].is_finite())));
        }
    }
}

#[test]
fn rows_longer_than_a_word_are_joined() {
    for nx in [63, 64, 65, 128, 130] {
        let grid = SampleGrid { size: [nx, 9, 9], origin: [0.0; 3], spacing: [1.0; 3] };
        let samples: Vec<f32> = (0..grid.n_samples() as u64).map(|k| unit(number(3, k)) as f32 - 0.4).collect();
        let m = marching_cubes(&samples, &grid, 0.0, Border::Closed).unwrap();
        let t = topology(&m);
        assert!(t.manifold() && t.watertight() && t.n_vertices == m.0.len());
        // Vertices are on the edges of the cells that their triangles are in.
        for t in &m.1 {
            let p = t.map(|v| m.0[v as usize]);
            assert!((0..3).all(|c| (p[0][c] - p[1][c]).abs() <= 1.001 && (p[0][c] - p[2][c]).abs() <= 1.001));
        }
    }
}

#[test]
fn nothing_inside_everything_inside_and_bad_numbers() {
    let grid = SampleGrid { size: [5, 4, 3], origin: [0.0; 3], spacing: [1.0; 3] };
    let of = |x: f32, border| marching_cubes(&[x; 60], &grid, 0.0, border).unwrap();
    for x in [0.0, 1.0, f32::INFINITY, f32::NAN] {
        assert!(of(x, Border::Open).1.is_empty() && of(x, Border::Closed).0.is_empty());
    }
    assert!(of(-1.0, Border::Open).1.is_empty());
    for x in [-1.0, f32::NEG_INFINITY] {
        let m = of(x, Border::Closed);
        assert!(topology(&m).watertight() && topology(&m).euler_characteristic() == 2);
    }
    assert!((area_and_volume(&of(-1.0, Border::Closed)).1 - 24.0).abs() < 0.1);
    // One NaN in a solid is a hole.
    let mut samples = [-1.0; 60];
    samples[26] = f32::NAN;
    assert_eq!(topology(&marching_cubes(&samples, &grid, 0.0, Border::Closed).unwrap()).n_parts, 2);
    for size in [[0, 0, 0], [0, 5, 5], [1, 1, 1], [1, 5, 5], [5, 1, 1]] {
        let grid = SampleGrid { size, ..grid };
        let samples = vec![-1.0; grid.n_samples()];
        assert!(marching_cubes(&samples, &grid, 0.0, Border::Open).unwrap().1.is_empty());
        let closed = marching_cubes(&samples, &grid, 0.0, Border::Closed).unwrap();
        assert_eq!(topology(&closed).watertight(), grid.n_samples() > 0);
    }
    assert!(matches!(marching_cubes(&[0.0; 59], &grid, 0.0, Border::Open), Err(Error::Samples { .. })));
    let flat = SampleGrid { spacing: [1.0, 0.0, 1.0], ..grid };
    assert!(matches!(marching_cubes(&[0.0; 60], &flat, 0.0, Border::Open), Err(Error::Spacing { .. })));
    let huge = SampleGrid { size: [usize::MAX; 3], ..grid };
    assert!(marching_cubes(&[0.0; 60], &huge, 0.0, Border::Open).is_err());
}

#[test]
fn surfaces_do_not_depend_on_the_number_of_threads() {
    let (samples, grid) = sampled(30, 2.0, |p| (3.0 * p.x).sin() + (4.0 * p.y * p.z).cos() - 0.3 * p.z);
    let of = |n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| marching_cubes(&samples, &grid, 0.1, Border::Closed).unwrap())
    };
    assert!(of(1) == of(3));
}
