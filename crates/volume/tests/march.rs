//! Where samples lie: empty space may be skipped without a change, on both devices, for rays of every kind.

mod common;

use common::{hostile, rays};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_scene::camera::{Lens, View};
use lumigrad_testkit::{devices, gpu};
use lumigrad_volume::{Domain, Mapping, March, Occupancy, Rays, march};

fn shell(device: &Device) -> Occupancy {
    let mut grid = Occupancy::full(64, device).unwrap();
    let is_full = |c: [usize; 3]| {
        let r = c.iter().map(|&i| ((2 * i + 1) as f64 / 64.0 - 1.0).powi(2)).sum::<f64>().sqrt();
        (0.4..0.6).contains(&r) || c[0] == 50
    };
    grid.set(is_full).unwrap();
    grid
}

fn how(unbounded: bool) -> March {
    let ratio = if unbounded { 1.0 / 64.0 } else { 0.0 };
    March {
        step: 0.01,
        ratio,
        range: [0.0, if unbounded { 300.0 } else { 1e9 }],
        most: 1024,
        total: usize::MAX,
        unbounded,
    }
}

fn shifts(n: usize, device: &Device) -> Tensor {
    let all: Vec<f32> = (0..n as u64).map(|k| random::uniform(11, k) as f32).collect();
    Tensor::from_slice(device, &all, &[n]).unwrap()
}

/// Middles per ray.
fn found(grid: &Occupancy, how: &March, device: &Device) -> Vec<Vec<f32>> {
    let rays = rays(&hostile(), device);
    let samples = march(&rays, &shifts(rays.len(), device), grid, how).unwrap();
    let (offsets, middles) = (samples.offsets.to_vec::<u32>().unwrap(), samples.middles.to_vec::<f32>().unwrap());
    offsets.windows(2).map(|w| middles[w[0] as usize..w[1] as usize].to_vec()).collect()
}

#[test]
fn skipping_leaves_samples_in_full_cells_as_they_are() {
    let cpu = Device::cpu();
    let (full, shell) = (Occupancy::full(64, &cpu).unwrap(), shell(&cpu));
    for unbounded in [false, true] {
        let how = how(unbounded);
        let mapping = if unbounded { Mapping::Contracted } else { Mapping::Bounded };
        let (all, some) = (found(&full, &how, &cpu), found(&shell, &how, &cpu));
        let mut counted = [0, 0];
        for ((ray, all), some) in hostile().iter().zip(&all).zip(&some) {
            // Those of all samples that lie in full cells, but for such as lie within rounding of a face.
            let mut rest = some.iter().peekable();
            for &t in all {
                let x: [f64; 3] = std::array::from_fn(|a| (ray.0[a] + t * ray.1[a]) as f64);
                let domain = Domain::new([0.0; 3], [1.0; 3], mapping).unwrap();
                let q = domain.cube(x).map(|x| (x + 1.0) * 32.0);
                let near_face = q.iter().any(|x| (x - x.round()).abs() < 1e-3);
                let r = q.iter().map(|x| ((x.floor() + 0.5) / 32.0 - 1.0).powi(2)).sum::<f64>().sqrt();
                let is_full = (0.4..0.6).contains(&r) || q[0].floor() == 50.0;
                let is_there = rest.next_if(|s| **s == t).is_some();
                counted[is_there as usize] += 1;
                assert!(is_there == is_full || near_face, "{ray:?} at {t}: {is_there}");
            }
            assert!(rest.next().is_none(), "samples that are not on the lattice");
        }
        assert!(counted.iter().all(|&n| n > 1000), "{counted:?}");
    }
}

#[test]
fn rays_past_the_box_and_without_direction_have_no_samples() {
    let all = found(&Occupancy::full(64, &Device::cpu()).unwrap(), &how(false), &Device::cpu());
    assert!(all[9].is_empty() && all[10].is_empty());
    // Through the whole box, from front to back.
    assert!((all[0].len() as i64 - 200).abs() <= 1 && all[0][0] > 1.999 && all[0].is_sorted());
}

#[test]
fn devices_place_the_same_samples() {
    let Some(gpu) = gpu("march") else { return };
    for unbounded in [false, true] {
        let how = how(unbounded);
        let [a, b] = [Device::cpu(), gpu.clone()].map(|d| found(&shell(&d), &how, &d));
        let (mut same, mut all) = (0, 0);
        for (a, b) in a.iter().zip(&b) {
            all += a.len();
            same += a.iter().filter(|t| b.iter().any(|s| (*s - **t).abs() < 1e-4 * t.max(1.0))).count();
        }
        // Samples within rounding of a face may fall on either side.
        assert!(same as f64 > 0.995 * all as f64 && all > 1000, "{same} of {all}");
    }
}

#[test]
fn rays_are_left_out_where_all_have_too_many_samples() {
    for device in devices("march") {
        let (rays, grid) = (rays(&hostile(), &device), Occupancy::full(64, &device).unwrap());
        let all = march(&rays, &shifts(rays.len(), &device), &grid, &how(false)).unwrap();
        let some = March { total: 1000, ..how(false) };
        let few = march(&rays, &shifts(rays.len(), &device), &grid, &some).unwrap();
        let (a, b) = (all.offsets.to_vec::<u32>().unwrap(), few.offsets.to_vec::<u32>().unwrap());
        assert_eq!(a[..b.len()], b);
        assert!(few.len() <= 1000 && a[b.len()] > 1000 && few.n_rays() < rays.len());
        assert_eq!(all.middles.to_vec::<f32>().unwrap()[..few.len()], few.middles.to_vec::<f32>().unwrap());
    }
}

#[test]
fn growing_steps_cover_the_ray() {
    let grid = Occupancy::full(64, &Device::cpu()).unwrap();
    let rays = rays(&[([0.0; 3], [0.0, 0.6, 0.8])], &Device::cpu());
    let s = march(&rays, &shifts(1, &Device::cpu()), &grid, &how(true)).unwrap();
    let (m, l) = (s.middles.to_vec::<f32>().unwrap(), s.lengths.to_vec::<f32>().unwrap());
    assert!(m.len() > 300 && *m.last().unwrap() > 295.0);
    let mut end = m[0] - 0.5 * l[0];
    for (m, l) in m.iter().zip(&l) {
        // A middle lies inside of its sample, samples follow one another, and steps grow with distance.
        assert!((m - end) / l > 0.45 && (m - end) / l < 0.55, "{m} {end} {l}");
        assert!(*l < 1.05 * (m / 64.0).max(0.01) + 1e-4);
        end += l;
    }
}

#[test]
fn rays_go_through_their_pixels() {
    let domain = Domain::new([0.3, -0.2, 0.5], [2.0, 1.0, 0.5], Mapping::Bounded).unwrap();
    let base = View::look_at("v", [3.0, 2.0, 4.0], [0.0; 3], [0.0, 1.0, 0.0], 0.8, (32, 24)).unwrap();
    let lenses = [
        Lens::Perspective,
        Lens::OpenCv { k: [-0.1, 0.02, 0.0, 0.0, 0.0, 0.0], p: [0.001, -0.002] },
        Lens::Fisheye { k: [0.01, 0.0, 0.0, 0.0] },
    ];
    for lens in lenses {
        let view = View { lens, ..base.clone() };
        for device in devices("rays") {
            let rays = Rays::of_pixels(&domain, &view, 0..32 * 24, &device).unwrap();
            let (o, d) = (rays.origins.to_vec::<f32>().unwrap(), rays.directions.to_vec::<f32>().unwrap());
            for pixel in [0, 31, 400, 767] {
                let t = 2.0f64;
                let x: [f64; 3] = std::array::from_fn(|a| {
                    let inside = o[3 * pixel + a] as f64 + t * d[3 * pixel + a] as f64;
                    domain.centre[a] + domain.half[a] * inside
                });
                let found = view.project(x).unwrap();
                let expected = [(pixel % 32) as f64 + 0.5, (pixel / 32) as f64 + 0.5];
                assert!((0..2).all(|k| (found[k] - expected[k]).abs() < 1e-3), "{found:?} {expected:?}");
                // Distances are in units of the longest half side.
                let from: [f64; 3] = view.centre();
                let distance = (0..3).map(|a| (x[a] - from[a]).powi(2)).sum::<f64>().sqrt();
                assert!((distance - t * domain.unit()).abs() < 1e-4);
            }
        }
    }
}

#[test]
fn points_are_where_the_rays_are() {
    let cpu = Device::cpu();
    let rays = rays(&hostile(), &cpu);
    let s = march(&rays, &shifts(rays.len(), &cpu), &shell(&cpu), &how(true)).unwrap();
    let points = s.points(&Var::from(rays.origins.clone()), &Var::from(rays.directions.clone()), true).unwrap();
    let points = points.tensor().to_vec::<f32>().unwrap();
    let (ids, middles) = (s.rays.to_vec::<u32>().unwrap(), s.middles.to_vec::<f32>().unwrap());
    let domain = Domain::new([0.0; 3], [1.0; 3], Mapping::Contracted).unwrap();
    for (k, p) in points.chunks(3).enumerate() {
        let (o, d) = hostile()[ids[k] as usize];
        let q = domain.cube([0, 1, 2].map(|a| (o[a] + middles[k] * d[a]) as f64));
        assert!((0..3).all(|a| (p[a] as f64 - q[a]).abs() < 1e-4 && p[a].abs() <= 1.0), "{p:?} {q:?}");
    }
}
