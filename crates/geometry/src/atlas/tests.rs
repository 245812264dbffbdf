use super::*;
use crate::shapes::{Mesh, cube, joined, sphere, square, torus, welded};

const OPTIONS: AtlasOptions = AtlasOptions { size: 256, gutter: 4 };

fn atlas(mesh: &Mesh, options: &AtlasOptions) -> Atlas {
    let atlas = Atlas::new(&mesh.0, &mesh.1, options).unwrap();
    // The same surface: every corner is where it was.
    assert_eq!(atlas.triangles.len(), mesh.1.len());
    for (a, b) in atlas.triangles.iter().zip(&mesh.1) {
        assert_eq!(a.map(|v| atlas.vertices[v as usize]), *b);
    }
    assert!(atlas.uvs.as_flattened().iter().all(|x| (0.0..=1.0).contains(x)));
    atlas
}

/// A texel may be of one chart only, and charts are `gutter` apart: said by brute force.
fn check_apart(atlas: &Atlas, options: &AtlasOptions) {
    let n = options.size;
    let corners = |t: &[u32; 3]| t.map(|v| glam::DVec2::from(atlas.uvs[v as usize].map(f64::from)) * n as f64);
    let mut covered = vec![NONE; n * n];
    let mut twice = 0;
    for (k, t) in atlas.triangles.iter().enumerate() {
        let t = corners(t);
        let whole = (t[1] - t[0]).perp_dot(t[2] - t[0]);
        let (lo, hi) = flatten::bounds(t.iter().copied());
        for y in lo.y as usize..=(hi.y as usize).min(n - 1) {
            for x in lo.x as usize..=(hi.x as usize).min(n - 1) {
                // Off the grid, so that no point is on a side that two triangles share.
                let p = glam::DVec2::new(x as f64 + 0.5013, y as f64 + 0.4989);
                let inside = (0..3).all(|k| (t[(k + 1) % 3] - t[k]).perp_dot(p - t[k]) / whole > 1e-6);
                if inside {
                    twice += (covered[y * n + x] != NONE) as usize;
                    covered[y * n + x] = atlas.charts[k];
                }
            }
        }
    }
    assert_eq!(twice, 0, "triangles overlap");
    let reach = options.gutter as i64;
    for k in (0..n * n).filter(|&k| covered[k] != NONE) {
        let (x, y) = ((k % n) as i64, (k / n) as i64);
        for (i, j) in (-reach..=reach).flat_map(|j| (-reach..=reach).map(move |i| (x + i, y + j))) {
            let near = i >= 0 && j >= 0 && (i as usize) < n && (j as usize) < n;
            // Centres of texels as many apart as the gutter.
            if near && (i - x).pow(2) + (j - y).pow(2) < reach * reach {
                let other = covered[j as usize * n + i as usize];
                assert!(other == NONE || other == covered[k], "charts {other} and {} at {x} {y}", covered[k]);
            }
        }
    }
}

#[test]
fn a_flat_square_is_one_chart_that_fills_the_picture() {
    let a = atlas(&welded(&square(8)), &OPTIONS);
    assert_eq!((a.n_charts, a.vertices.len()), (1, 81));
    assert!(a.filled > 0.9, "{}", a.filled);
    // Seen from outside: x × y of the picture, whose rows count downwards, is a triangle's normal reversed.
    for t in &a.triangles {
        let [p, q, r] = t.map(|v| glam::DVec2::from(a.uvs[v as usize].map(f64::from)));
        assert!((q - p).perp_dot(r - p) < 0.0);
    }
}

#[test]
fn a_cube_has_six_charts_of_equal_scale() {
    let mesh = cube([1.0, -2.0, 0.5], 3.0);
    let a = atlas(&mesh, &OPTIONS);
    assert_eq!((a.n_charts, a.vertices.len()), (6, 24));
    check_apart(&a, &OPTIONS);
    assert!(a.filled > 0.5, "{}", a.filled);
    for (t, u) in a.triangles.iter().zip(&mesh.1) {
        for k in 0..3 {
            let [p, q] = [k, (k + 1) % 3].map(|k| glam::DVec2::from(a.uvs[t[k] as usize].map(f64::from)) * 256.0);
            let [x, y] = [k, (k + 1) % 3].map(|k| glam::DVec3::from(mesh.0[u[k] as usize].map(f64::from)));
            assert!((p.distance(q) / (a.texels_per_unit * x.distance(y)) - 1.0).abs() < 1e-4);
        }
    }
}

#[test]
fn charts_of_curved_and_noisy_surfaces_do_not_overlap_and_are_apart() {
    let mut rough = welded(&sphere(24, 1.0));
    for (k, p) in rough.0.iter_mut().enumerate() {
        let noise = 1.0 + 0.12 * ((k as f32 * 12.9898).sin() * 43758.547).fract();
        *p = p.map(|x| x * noise);
    }
    for mesh in [welded(&sphere(20, 1.0)), welded(&torus(40, 20, 1.0, 0.4)), rough] {
        let options = AtlasOptions { size: 512, gutter: 2 };
        let a = atlas(&mesh, &options);
        check_apart(&a, &options);
        assert!(a.filled > 0.25, "{} of {} charts", a.filled, a.n_charts);
        // No triangle is smaller than the cone allows.
        let area = |t: &[u32; 3]| {
            let [p, q, r] = t.map(|v| glam::DVec2::from(a.uvs[v as usize].map(f64::from)) * 512.0);
            0.5 * (q - p).perp_dot(r - p).abs()
        };
        for (t, u) in a.triangles.iter().zip(&mesh.1) {
            let [x, y, z] = u.map(|v| glam::DVec3::from(mesh.0[v as usize].map(f64::from)));
            let real = 0.5 * (y - x).cross(z - x).length() * a.texels_per_unit.powi(2);
            assert!(area(t) > 0.36 * real && area(t) < 1.01 * real, "{} {real}", area(t));
        }
    }
}

#[test]
fn a_spiral_that_would_lie_on_itself_is_cut() {
    // Two turns of a ramp around z, nearly flat: every triangle faces up, and turns lie above each other.
    let n = 80;
    let at = |k: usize, r: f32| {
        let a = k as f32 / n as f32 * 2.0 * std::f32::consts::TAU;
        [r * a.cos(), r * a.sin(), 0.05 * k as f32 / n as f32]
    };
    let positions: Vec<[f32; 3]> = (0..=n).flat_map(|k| [at(k, 1.0), at(k, 2.0)]).collect();
    let quad = |k: u32| [[2 * k, 2 * k + 1, 2 * k + 3], [2 * k, 2 * k + 3, 2 * k + 2]];
    let mesh = (positions, (0..n as u32).flat_map(quad).collect());
    let a = atlas(&mesh, &OPTIONS);
    assert!(a.n_charts >= 2);
    check_apart(&a, &OPTIONS);
}

#[test]
fn texels_know_their_place_on_the_surface_and_gutters_the_nearest() {
    let mesh = welded(&sphere(24, 1.0));
    let a = atlas(&mesh, &OPTIONS);
    let places = a.rows(&mesh.0);
    let [plain, wide] = [0.0, 2.0].map(|reach| a.texels(256, reach));
    assert!(wide.known().count() > plain.known().count());
    let share = plain.known().count() as f64 / (256.0 * 256.0);
    assert!((share / a.filled - 1.0).abs() < 0.05, "{share} {}", a.filled);
    for texel in wide.known() {
        let p = wide.blend(texel, &a.triangles, &places);
        let r = p.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!(r > 0.97 && r < 1.001, "{r}");
        assert!((wide.weights[texel].iter().sum::<f32>() - 1.0).abs() < 1e-5);
        if plain.is_known(texel) {
            // Where the triangle's corners are in the picture, weighted, the texel's centre is.
            let t = a.triangles[wide.triangles[texel] as usize];
            let at = |c: usize| (0..3).map(|k| wide.weights[texel][k] * a.uvs[t[k] as usize][c]).sum::<f32>() * 256.0;
            assert!(
                (at(0) - (texel % 256) as f32 - 0.5).abs() < 1e-2 && (at(1) - (texel / 256) as f32 - 0.5).abs() < 1e-2
            );
        }
    }
    let missing = (0..256 * 256).find(|&k| !wide.is_known(k)).unwrap();
    assert_eq!(wide.blend(missing, &a.triangles, &places), [0.0; 3]);
}

#[test]
fn gaps_are_filled_from_what_is_near() {
    for n in [1, 5, 8] {
        let mut known = vec![false; n * n];
        let mut values = vec![-1.0; 2 * n * n];
        fill_gaps(&mut values, (n, 2), &known);
        assert!(values.iter().all(|v| *v == -1.0));
        known[0] = true;
        (values[0], values[1]) = (3.0, 4.0);
        fill_gaps(&mut values, (n, 2), &known);
        assert!(values.chunks(2).all(|v| v == [3.0, 4.0]));
    }
    let mut values = vec![1.0, 9.0, 0.0, 3.0, 9.0, 9.0, 9.0, 9.0, 9.0];
    let known: Vec<bool> = (0..9).map(|k| k == 0 || k == 3).collect();
    fill_gaps(&mut values, (3, 1), &known);
    assert_eq!((values[0], values[3], values[1], values[4]), (1.0, 3.0, 2.0, 2.0));
}

#[test]
fn odd_surfaces_and_sizes_are_results_or_errors() {
    let none = atlas(&(vec![], vec![]), &OPTIONS);
    assert_eq!((none.n_charts, none.texels(16, 1.0).known().count()), (0, 0));
    // Triangles without area, alone and beside others, one that names a vertex twice, and an edge of three triangles.
    let points = vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
    let odd = vec![[0, 1, 2], [0, 1, 3], [1, 1, 2], [4, 4, 4], [1, 0, 4], [0, 1, 4]];
    atlas(&(points.clone(), odd), &OPTIONS);
    atlas(&(points.clone(), vec![[0, 1, 3]]), &OPTIONS);
    // Opposite triangles of the same corners, whose normals cancel.
    assert_eq!(atlas(&(points.clone(), vec![[0, 1, 2], [0, 2, 1]]), &OPTIONS).n_charts, 2);
    for (size, gutter) in [(0, 0), (1 << 15, 2), (8, 8)] {
        assert!(matches!(Atlas::new(&[], &[], &AtlasOptions { size, gutter }), Err(Error::Atlas { charts: 0, .. })));
    }
    let specks: Vec<Mesh> = (0..200).map(|k| cube([k as f32, 0.0, 0.0], 0.1)).collect();
    let many = welded(&joined(&specks));
    let tiny = Atlas::new(&many.0, &many.1, &AtlasOptions { size: 32, gutter: 2 });
    assert!(matches!(tiny, Err(Error::Atlas { charts: 1200, .. })));
    assert!(Atlas::new(&[[f32::NAN; 3]], &[], &OPTIONS).is_err());
    assert!(Atlas::new(&points, &[[0, 1, 9]], &OPTIONS).is_err());
}
