use super::rasterize;
use lumigrad_core::{Device, Tensor, ops::random};
use lumigrad_testkit::devices;

const SIZE: usize = 48;

fn scene(device: &Device, clip: &[[f32; 4]], triangles: &[[u32; 3]], flags: &[u32]) -> (Tensor, Tensor, Tensor) {
    (
        Tensor::from_slice(device, clip.as_flattened(), &[clip.len(), 4]).unwrap(),
        Tensor::from_slice(device, triangles.as_flattened(), &[triangles.len(), 3]).unwrap(),
        Tensor::from_slice(device, flags, &[flags.len()]).unwrap(),
    )
}

fn ids(device: &Device, clip: &[[f32; 4]], triangles: &[[u32; 3]], flags: &[u32]) -> Vec<u32> {
    let (c, t, f) = scene(device, clip, triangles, flags);
    rasterize(&c, &t, &f, SIZE, SIZE, None).unwrap().triangles.to_vec().unwrap()
}

fn number(stream: u64, i: usize) -> f32 {
    random::uniform(stream, i as u64) as f32 * 2.0 - 1.0
}

/// A mesh of a square whose inner vertices are moved at random; every pixel lies in exactly one triangle.
fn shaken_grid(n: usize) -> (Vec<[f32; 4]>, Vec<[u32; 3]>) {
    let at = |i: usize| i as f32 / n as f32 * 2.0 - 1.0;
    let mut clip = vec![];
    for y in 0..=n {
        for x in 0..=n {
            let inner = x > 0 && y > 0 && x < n && y < n;
            let shake = if inner { 0.3 / n as f32 } else { 0.0 };
            let k = y * (n + 1) + x;
            let w = 1.0 + 0.5 * number(3, k).abs();
            let (px, py) = (at(x) + shake * number(1, k), at(y) + shake * number(2, k));
            clip.push([px * w, py * w, 0.5 * w, w]);
        }
    }
    let v = |x: usize, y: usize| (y * (n + 1) + x) as u32;
    let mut triangles = vec![];
    for y in 0..n {
        for x in 0..n {
            let (a, b, c, d) = (v(x, y), v(x + 1, y), v(x + 1, y + 1), v(x, y + 1));
            if (x + y) % 2 == 0 {
                triangles.extend([[a, b, c], [a, c, d]]);
            } else {
                triangles.extend([[a, b, d], [b, c, d]]);
            }
        }
    }
    (clip, triangles)
}

#[test]
fn a_tessellated_square_covers_every_pixel_once() {
    for n in [1, 2, 3, 8, 17, 48] {
        let (clip, triangles) = shaken_grid(n);
        for device in devices("watertight") {
            let mut hits = vec![0; SIZE * SIZE];
            for t in &triangles {
                for (h, id) in hits.iter_mut().zip(ids(&device, &clip, &[*t], &[0])) {
                    *h += (id != 0) as u32;
                }
                if !device.is_cpu() && n > 3 {
                    break; // one launch per triangle is slow there; the joint picture is compared below
                }
            }
            if device.is_cpu() || n <= 3 {
                assert!(hits.iter().all(|&h| h == 1), "n = {n} on {device}");
            }
        }
    }
}

#[test]
fn devices_see_the_same_triangles_and_layers() {
    let n = 60;
    let clip: Vec<[f32; 4]> = (0..3 * n)
        .map(|i| {
            let w = 1.0 + number(4, i).abs();
            [number(1, i) * 1.3 * w, number(2, i) * 1.3 * w, (0.5 + 0.4 * number(3, i)) * w, w]
        })
        .collect();
    let triangles: Vec<[u32; 3]> = (0..n as u32).map(|t| [3 * t, 3 * t + 1, 3 * t + 2]).collect();
    let flags: Vec<u32> = (0..n as u32).map(|t| t % 2).collect();
    let layers = |device: &Device| {
        let (c, t, f) = scene(device, &clip, &triangles, &flags);
        let mut previous = None;
        (0..3)
            .map(|_| {
                let layer = rasterize(&c, &t, &f, SIZE, SIZE, previous.as_ref()).unwrap();
                let ids = layer.triangles.to_vec::<u32>().unwrap();
                previous = Some(layer);
                ids
            })
            .collect::<Vec<_>>()
    };
    let reference = layers(&Device::cpu());
    assert!(reference[0].iter().any(|&t| t != 0));
    for (front, back) in reference[0].iter().zip(&reference[1]) {
        assert!(*back == 0 || front != back, "a peeled layer shows the front again");
    }
    for device in devices("layers").into_iter().skip(1) {
        for (k, (a, b)) in layers(&device).iter().zip(&reference).enumerate() {
            // Depths are f32 there and f64 here: surfaces that cross may swap at single pixels.
            let different = a.iter().zip(b).filter(|(a, b)| a != b).count();
            assert!(different <= 2 * (k + 1), "layer {k}: {different} pixels differ on {device}");
        }
    }
}

#[test]
fn backs_are_culled_unless_double_sided_or_flipped() {
    let clip = [[-0.8, -0.8, 0.5, 1.0], [0.8, -0.8, 0.5, 1.0], [0.0, 0.8, 0.5, 1.0]];
    for device in devices("culling") {
        let seen = |t: [u32; 3], flag: u32| ids(&device, &clip, &[t], &[flag]).iter().any(|&t| t != 0);
        assert!(seen([0, 1, 2], 0) && !seen([0, 2, 1], 0));
        assert!(seen([0, 2, 1], 1) && seen([0, 2, 1], 2) && !seen([0, 1, 2], 2));
    }
}

#[test]
fn hostile_triangles_draw_nothing_and_do_no_harm() {
    let nan = f32::NAN;
    let clip = [
        [nan, 0.0, 0.5, 1.0],
        [0.0, f32::INFINITY, 0.5, 1.0],
        [0.5, 0.5, 0.5, 0.0],
        [0.1, 0.1, 0.5, 1.0],
        [0.2, 0.2, 0.5, 1.0],
        [0.3, 0.3, 0.5, 1.0],
        [0.0, 0.0, -1.0, -1.0],
    ];
    let triangles = [[0, 3, 4], [1, 3, 4], [3, 4, 5], [3, 3, 4], [6, 6, 6]];
    for device in devices("hostile") {
        assert!(ids(&device, &clip, &triangles, &[1; 5]).iter().all(|&t| t == 0), "{device}");
        assert!(ids(&device, &clip, &[], &[]).iter().all(|&t| t == 0));
    }
}

#[test]
fn triangles_through_the_camera_plane_cover_what_lies_in_front() {
    // A floor from behind the camera to far ahead: y = −1, seen with z/w from the near plane 0.1 on.
    let vertex = |x: f32, depth: f32| [x, -1.0, depth - 0.1, depth];
    let clip = [vertex(-50.0, -5.0), vertex(50.0, -5.0), vertex(0.0, 100.0)];
    for device in devices("near plane") {
        let seen = ids(&device, &clip, &[[0, 1, 2]], &[1]);
        let filled = |row: usize| seen[row * SIZE..(row + 1) * SIZE].iter().filter(|&&t| t != 0).count();
        assert_eq!((filled(2), filled(20)), (0, 0), "nothing above the horizon on {device}");
        assert!(filled(SIZE - 1) > SIZE / 2, "the floor fills the bottom row on {device}");
    }
}

#[test]
fn edges_through_pixel_centres_belong_to_exactly_one_triangle() {
    // Eight triangles around a pixel centre, all corners on pixel centres: every spoke and rim runs through centres.
    let ring = [[8, 8], [24, 8], [40, 8], [40, 24], [40, 40], [24, 40], [8, 40], [8, 24]];
    let pixel = |p: [i32; 2]| p.map(|x| x as f32 + 0.5);
    let half = SIZE as f32 / 2.0;
    let clip: Vec<[f32; 4]> = [[24, 24]]
        .into_iter()
        .chain(ring)
        .map(|p| pixel(p).map(|x| x / half - 1.0))
        .map(|[x, y]| [x, -y, 0.5, 1.0])
        .collect();
    for device in devices("fan") {
        let mut hits = vec![0; SIZE * SIZE];
        for k in 0..8 {
            let triangle = [0, 1 + k, 1 + (k + 1) % 8];
            for (h, id) in hits.iter_mut().zip(ids(&device, &clip, &[triangle], &[1])) {
                *h += (id != 0) as u32;
            }
        }
        for (i, &h) in hits.iter().enumerate() {
            // Left and top borders belong to the square, right and bottom ones do not.
            let inside = (8..40).contains(&(i % SIZE)) && (8..40).contains(&(i / SIZE));
            assert_eq!(h, inside as u32, "pixel ({}, {}) on {device}", i % SIZE, i / SIZE);
        }
    }
}

#[test]
fn layers_come_by_depth_and_surfaces_at_one_depth_by_number() {
    let depths = [0.6, 0.2, 0.8, 0.4, 0.2, 0.4f32];
    let corner = |x: f32, y: f32, z: f32| [3.0 * x, 3.0 * y, z, 1.0];
    let clip: Vec<[f32; 4]> =
        depths.iter().flat_map(|&z| [corner(-1.0, -1.0, z), corner(1.0, -1.0, z), corner(0.0, 1.0, z)]).collect();
    let triangles: Vec<[u32; 3]> = (0..6).map(|t| [3 * t, 3 * t + 1, 3 * t + 2]).collect();
    for device in devices("peeling") {
        let (c, t, f) = scene(&device, &clip, &triangles, &[0; 6]);
        let mut previous = None;
        for expected in [2, 5, 4, 6, 1, 3, 0] {
            let layer = rasterize(&c, &t, &f, SIZE, SIZE, previous.as_ref()).unwrap();
            let centre = layer.triangles.to_vec::<u32>().unwrap()[SIZE / 2 * SIZE + SIZE / 2];
            assert_eq!(centre, expected, "{device}");
            previous = Some(layer);
        }
    }
}

#[test]
fn clipping_at_the_near_plane_keeps_exactly_what_rays_hit() {
    // A floor y = −0.08 from behind the camera to far ahead; z/w is 0 at depth 0.1, a little above the lowest row.
    let vertex = |x: f32, depth: f32| [x, -0.08, depth - 0.1, depth];
    let clip = [vertex(-0.3, -3.0), vertex(0.2, -2.0), vertex(0.3, 6.0)];
    let hit = |px: f64, py: f64| -> Option<bool> {
        // The ray (px, py, 1) · depth meets the floor where py · depth = −0.08.
        let depth = -0.08 / py;
        let p = [px * depth, depth];
        let corners = clip.map(|c| [c[0] as f64, c[3] as f64]);
        let sides = [0, 1, 2].map(|k| {
            let (a, b) = (corners[k], corners[(k + 1) % 3]);
            (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
        });
        let near = depth - 0.1;
        let decided = sides.iter().all(|s| s.abs() > 1e-3) && near.abs() > 1e-4;
        let inside = sides.iter().all(|s| *s > 0.0) || sides.iter().all(|s| *s < 0.0);
        decided.then_some(py < 0.0 && inside && near > 0.0)
    };
    for device in devices("near plane") {
        let seen = ids(&device, &clip, &[[0, 1, 2]], &[1]);
        let (mut checked, mut covered) = (0, 0);
        for (i, &id) in seen.iter().enumerate() {
            let at = |k: usize| 2.0 * (k as f64 + 0.5) / SIZE as f64 - 1.0;
            let Some(expected) = hit(at(i % SIZE), -at(i / SIZE)) else { continue };
            assert_eq!(id != 0, expected, "pixel ({}, {}) on {device}", i % SIZE, i / SIZE);
            checked += 1;
            covered += expected as usize;
        }
        assert!(checked > SIZE * SIZE * 9 / 10 && covered > 100, "{checked} checked, {covered} covered");
    }
}
