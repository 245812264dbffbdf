use super::*;
use crate::random::{number, unit};

fn cloud(n: usize, seed: u64, size: f64, shift: f64) -> Vec<[f32; 3]> {
    let at = |k: usize| (shift + size * unit(number(seed, k as u64))) as f32;
    (0..n).map(|i| std::array::from_fn(|c| at(3 * i + c))).collect()
}

fn check(positions: &[[f32; 3]], triangles: &[[u32; 3]], points: &[[f32; 3]]) {
    let bvh = Bvh::new(positions, triangles);
    for p in points {
        let p = DVec3::from_array(p.map(f64::from));
        let distance = |t: &[DVec3; 3]| p.distance(point(t, closest_weights(p, t)));
        let all = bvh.triangles.iter().map(|(t, _)| distance(t)).fold(f64::INFINITY, f64::min);
        let hit = bvh.nearest(p).unwrap();
        assert!((hit.distance - all).abs() <= 1e-13 * all, "{} {all}", hit.distance);
        let corners = triangles[hit.triangle as usize].map(|v| DVec3::from_array(positions[v as usize].map(f64::from)));
        assert!((p.distance(hit.point) - all).abs() <= 1e-13 * all);
        let sum: DVec3 = (0..3).map(|k| corners[k] * hit.weights[k]).sum();
        assert!(sum.distance(hit.point) <= 1e-6 * (1.0 + p.length()), "{sum} {}", hit.point);
    }
}

#[test]
fn nearest_points_agree_with_a_search_over_all_triangles() {
    for (n, size, shift) in
        [(1, 1.0, 0.0), (7, 1.0, 0.0), (100, 1.0, -0.5), (1000, 1.0, 100.0), (300, 1e-12, 1e-12), (300, 1e18, 0.0)]
    {
        let triangles: Vec<[u32; 3]> = (0..n).map(|t| [3 * t, 3 * t + 1, 3 * t + 2]).collect();
        let positions = cloud(3 * n as usize, 1, size, shift);
        check(&positions, &triangles, &cloud(200, 77_777, 3.0 * size, shift - size));
        check(&positions, &triangles, &cloud(20, 99_999, 1e4 * size, shift));
        check(&positions, &triangles, &positions);
    }
}

#[test]
fn slivers_and_triangles_without_area_are_measured() {
    let mut positions = cloud(300, 5, 1.0, 0.0);
    for k in 0..100 {
        let [a, b] = [positions[3 * k], positions[3 * k + 1]];
        positions[3 * k + 2] = match k % 4 {
            0 => a,
            1 => b,
            2 => std::array::from_fn(|c| 0.5 * (a[c] + b[c])),
            _ => std::array::from_fn(|c| a[c] * 1.000001),
        };
        if k % 8 == 0 {
            positions[3 * k + 1] = a;
        }
    }
    let triangles: Vec<[u32; 3]> = (0..100).map(|t| [3 * t, 3 * t + 1, 3 * t + 2]).collect();
    check(&positions, &triangles, &cloud(500, 1_000_000, 2.0, -0.5));
}

#[test]
fn hostile_numbers_do_no_harm() {
    let positions = [[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [f32::NAN; 3], [f32::INFINITY; 3]];
    let bvh = Bvh::new(&positions, &[[0, 1, 2], [0, 1, 3], [1, 2, 4]]);
    assert!((bvh.nearest(DVec3::new(0.1, 0.1, 2.0)).unwrap().distance - 2.0).abs() < 1e-12);
    assert!(bvh.nearest(DVec3::NAN).is_none() && bvh.nearest(DVec3::INFINITY).is_none());
    assert!((bvh.nearest(DVec3::splat(1e30)).unwrap().distance / (3f64.sqrt() * 1e30) - 1.0).abs() < 1e-9);
    assert!(Bvh::new(&positions, &[]).nearest(DVec3::ZERO).is_none());
    assert!(Bvh::new(&positions, &[[3, 3, 3]]).nearest(DVec3::ZERO).is_none());
}
