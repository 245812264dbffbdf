//! Forward-facing space: its coordinates are those of the paper, rays in it are straight, and none of them is lost in infinity.

use lumigrad_core::{DType, Tensor, Var};
use lumigrad_scene::camera::View;
use lumigrad_testkit::devices;
use lumigrad_volume::{Domain, Frustum, Mapping, March, Occupancy, Rays, march};

/// Half of what is seen at depth 1, to the right and down, and the near plane.
const HALF: [f64; 2] = [0.6, 0.45];
const NEAR: f64 = 1.25;
const SCALE: f64 = 0.7;

/// A rig at the origin that looks along −z with y up, as in the paper, or turned and moved from there.
fn domain(turned: bool) -> Domain {
    let (origin, axes) = if turned {
        ([3.0, -2.0, 1.0], [[0.0, 0.6, 0.8], [0.0, -0.8, 0.6], [1.0, 0.0, 0.0]])
    } else {
        ([0.0; 3], [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
    };
    let depth = 0.5 * SCALE / NEAR;
    let mapping = Mapping::Forward(Frustum { origin, axes, scale: SCALE });
    // Wider where pictures are looked at, which are not seen straight on.
    let wide = if turned { 3.0 } else { 1.0 };
    Domain::new([0.0, 0.0, -depth], [wide * HALF[0], wide * HALF[1], depth], mapping).unwrap()
}

fn close(a: [f64; 3], b: [f64; 3], tolerance: f64) -> bool {
    (0..3).all(|k| (a[k] - b[k]).abs() <= tolerance * b[k].abs().max(1.0))
}

#[test]
fn coordinates_are_normalised_device_coordinates() {
    let domain = domain(false);
    assert!((domain.near() - NEAR).abs() < 1e-12);
    for p in [[0.3, -0.2, -2.0], [5.0, 1.0, -40.0], [0.0, 0.1, -NEAR], [-1e4, 2e3, -1e6]] {
        let [x, y, z] = p;
        // Appendix C with f → ∞; the y axis points downwards here.
        let paper = [-x / (HALF[0] * z), y / (HALF[1] * z), 1.0 + 2.0 * NEAR / z];
        let found = domain.cube(domain.inside(p));
        assert!(close(found, paper, 1e-12), "{found:?} {paper:?}");
        let back = domain.world(domain.inside(p));
        assert!(close(back, p, 1e-6), "{back:?} {p:?}");
    }
    assert!(close(domain.middle(), [0.0, 0.0, -2.0 * NEAR], 1e-12));
}

#[test]
fn rays_are_those_of_the_paper() {
    let domain = domain(false);
    for (o, d) in [([0.2, -0.1, 0.3], [0.1, 0.3, -0.8]), ([-0.5, 0.4, -0.2], [-0.5, 0.0, -1.0])] {
        let length = d.iter().map(|x: &f64| x * x).sum::<f64>().sqrt();
        let [start, way] = domain.ray(o, d.map(|x| x / length)).unwrap();
        // First to the near plane, then o′ and d′ of appendix C, along which t′ goes from 0 to 1.
        let t = -(NEAR + o[2]) / d[2];
        let o: [f64; 3] = std::array::from_fn(|a| o[a] + t * d[a]);
        let from = [-o[0] / (HALF[0] * o[2]), o[1] / (HALF[1] * o[2]), 1.0 + 2.0 * NEAR / o[2]];
        let along = [-(d[0] / d[2] - o[0] / o[2]) / HALF[0], (d[1] / d[2] - o[1] / o[2]) / HALF[1], -2.0 * NEAR / o[2]];
        // Distances are those across the box, whose depth they go through as t′ goes to 1.
        let all = SCALE / NEAR / domain.unit();
        assert!(close(start, from, 1e-12), "{start:?} {from:?}");
        assert!(close(way.map(|x| x * all), along, 1e-12), "{way:?} {along:?}");
    }
}

#[test]
fn rays_go_through_their_pixels_out_to_infinity() {
    let domain = domain(true);
    let view = View::look_at("v", [3.1, -2.2, 1.3], [9.0, -2.0, 1.0], [0.0, 1.0, 0.0], 0.7, (32, 24)).unwrap();
    for device in devices("forward rays") {
        let rays = Rays::of_pixels(&domain, &view, 0..32 * 24, &device).unwrap();
        let (o, d) = (rays.origins.to_vec::<f32>().unwrap(), rays.directions.to_vec::<f32>().unwrap());
        let full = Occupancy::full(64, &device).unwrap();
        let how = March { step: 0.01, ratio: 0.0, range: [0.0, 1e6], most: 1024, total: usize::MAX, unbounded: false };
        let samples =
            march(&rays, &Tensor::full(&device, DType::F32, &[rays.len()], 0.5).unwrap(), &full, &how).unwrap();
        let (offsets, middles) = (samples.offsets.to_vec::<u32>().unwrap(), samples.middles.to_vec::<f32>().unwrap());
        for pixel in [0, 31, 400, 767] {
            let at =
                |t: f64| -> [f64; 3] { std::array::from_fn(|a| o[3 * pixel + a] as f64 + t * d[3 * pixel + a] as f64) };
            let own = &middles[offsets[pixel] as usize..offsets[pixel + 1] as usize];
            assert!(own.len() > 20, "{pixel}: {} samples", own.len());
            for &t in own {
                let found = view.project(domain.world(at(t as f64))).unwrap();
                let expected = [(pixel % 32) as f64 + 0.5, (pixel / 32) as f64 + 0.5];
                assert!((0..2).all(|k| (found[k] - expected[k]).abs() < 2e-3), "{found:?} {expected:?}");
            }
            let all = SCALE / NEAR / domain.unit();
            assert!((at(all)[2] - 1.0).abs() < 1e-5, "infinity is the box's far face");
        }
    }
}

#[test]
fn hostile_rays_give_numbers_and_no_samples_where_they_miss() {
    let domain = domain(false);
    let misses = [
        ([0.0, 0.0, 0.0], [0.0, 0.0, 1.0]),
        ([0.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
        ([0.0, 0.0, -3.0], [0.0, 1.0, 1e-9]),
        ([0.0, 0.0, -3.0], [0.0, 0.0, 0.0]),
    ];
    assert!(misses.iter().all(|(o, d)| domain.ray(*o, *d).is_none()));
    // A camera in front of the near plane begins where it stands; one on the rig's plane or behind it at the near plane.
    let start = |o: [f64; 3]| domain.ray(o, [0.0, 0.0, -1.0]).unwrap()[0][2];
    assert!((start([0.0, 0.0, -5.0]) - 0.5).abs() < 1e-12);
    assert!([0.0, 7.0, -NEAR].iter().all(|z| (start([0.0, 0.0, *z]) + 1.0).abs() < 1e-12));
    for p in [[0.0; 3], [0.0, 0.0, 5.0], [1.0, 1.0, 0.0], [1e30, 0.0, -1e30]] {
        let found = domain.inside(p);
        assert!(found.iter().all(|x| x.is_finite()), "{p:?}: {found:?}");
    }
    for x in [[0.0, 0.0, 1.0], [3.0, 1.0, 9.0], [0.0, 0.0, -1e9]] {
        assert!(domain.world(x).iter().all(|p| p.is_finite()), "{x:?}");
    }
    // Through a camera that looks back, aside and ahead at once.
    let wide = View::look_at("w", [0.0; 3], [1.0, 0.0, -0.2], [0.0, 1.0, 0.0], 2.9, (16, 16)).unwrap();
    for device in devices("hostile forward rays") {
        let rays = Rays::of_pixels(&domain, &wide, 0..256, &device).unwrap();
        let full = Occupancy::full(64, &device).unwrap();
        let how = March { step: 0.02, ratio: 0.0, range: [0.0, 1e6], most: 512, total: usize::MAX, unbounded: false };
        let shifts = Tensor::zeros(&device, DType::F32, &[256]).unwrap();
        let samples = march(&rays, &shifts, &full, &how).unwrap();
        let var = |t: &Tensor| Var::from(t.clone());
        let points = samples.points(&var(&rays.origins), &var(&rays.directions), false).unwrap();
        let points = points.tensor().to_vec::<f32>().unwrap();
        assert!(!points.is_empty() && points.iter().all(|x| x.abs() <= 1.001));
    }
}

#[test]
fn boxes_that_are_not_in_front_are_refused() {
    let good = domain(false);
    let Mapping::Forward(frustum) = good.mapping else { unreachable!() };
    let refused = |centre: [f64; 3], half: [f64; 3], frustum: Frustum| {
        assert!(Domain::new(centre, half, Mapping::Forward(frustum)).is_err(), "{centre:?} {half:?} {frustum:?}");
    };
    refused([0.0; 3], [1.0; 3], frustum);
    refused([0.0, 0.0, 2.0], [1.0; 3], frustum);
    for scale in [0.0, -1.0, f64::NAN] {
        refused(good.centre, good.half, Frustum { scale, ..frustum });
    }
    refused(good.centre, good.half, Frustum { axes: [[1.0, 0.0, 0.0]; 3], ..frustum });
    refused(good.centre, good.half, Frustum { origin: [f64::INFINITY, 0.0, 0.0], ..frustum });
}
