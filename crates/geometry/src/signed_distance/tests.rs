use super::*;
use crate::random::{number, unit};
use crate::shapes::{Mesh, cube, inside_out, joined, sphere, square, torus};

fn field(mesh: &Mesh) -> SignedDistance {
    SignedDistance::new(&mesh.0, &mesh.1).unwrap()
}

fn cloud(n: usize, size: f32) -> Vec<[f32; 3]> {
    (0..n).map(|i| std::array::from_fn(|c| size * (unit(number(9, (3 * i + c) as u64)) as f32 - 0.5))).collect()
}

/// The distance to a cube [0, 1]³.
fn to_cube(p: [f32; 3]) -> f64 {
    let q = DVec3::from_array(p.map(|x| (x as f64 - 0.5).abs() - 0.5));
    q.max(DVec3::ZERO).length() + q.max_element().min(0.0)
}

#[test]
fn distances_to_a_cube_are_exact() {
    let points: Vec<[f32; 3]> = cloud(5000, 3.0).into_iter().map(|p| p.map(|x| x + 0.5)).collect();
    let field = field(&cube([0.0; 3], 1.0));
    assert_eq!(field.n_turned(), 0);
    let distances = field.distances(&points);
    for ((p, d), hit) in points.iter().zip(&distances).zip(field.nearest(&points)) {
        let expected = to_cube(*p);
        assert!((hit.distance - expected).abs() < 1e-12 && *d == hit.distance as f32, "{p:?}: {d} {expected}");
        let away = DVec3::from_array(p.map(f64::from)).distance(hit.point);
        assert!((away - expected.abs()).abs() < 1e-12);
    }
}

#[test]
fn distances_to_a_torus_are_those_of_its_formula() {
    let field = field(&torus(256, 128, 1.0, 0.4));
    let points = cloud(4000, 3.5);
    for (p, d) in points.iter().zip(field.distances(&points)) {
        let expected = ((p[0].hypot(p[1]) - 1.0).hypot(p[2])) - 0.4;
        assert!((d - expected).abs() < 5e-4, "{p:?}: {d} {expected}");
    }
}

#[test]
fn sides_are_told_close_to_the_surface() {
    let field = field(&torus(128, 64, 1.0, 0.3));
    let surface = field.nearest(&cloud(2000, 3.0));
    // Twice the stated part of the extent, and what the corners of f32 points round off.
    let step = 2.6e-6 * 2.0;
    for side in [-1.0, 1.0] {
        let points: Vec<[f32; 3]> = surface
            .iter()
            .map(|hit| {
                let ring = DVec3::new(hit.point.x, hit.point.y, 0.0).normalize();
                (hit.point + side * step * (hit.point - ring).normalize()).as_vec3().to_array()
            })
            .collect();
        assert!(field.distances(&points).iter().all(|d| (*d as f64 * side) > 0.0));
    }
}

#[test]
fn winding_numbers_count_how_often_a_surface_goes_around() {
    let (outer, inner) = (cube([0.0; 3], 1.0), cube([0.25; 3], 0.5));
    let points = [[0.5; 3], [0.1; 3], [2.0, 0.5, 0.5]];
    let near = |mesh: &Mesh, expected: [f32; 3]| {
        let found =
            SignedDistance::new(&mesh.0, &mesh.1).unwrap().with_accuracy(f32::INFINITY).winding_numbers(&points);
        assert!((0..3).all(|k| (found[k] - expected[k]).abs() < 1e-5), "{found:?} {expected:?}");
    };
    near(&outer, [1.0, 1.0, 0.0]);
    near(&joined(&[outer.clone(), inner.clone()]), [2.0, 1.0, 0.0]);
    near(&joined(&[outer.clone(), inside_out(&inner)]), [0.0, 1.0, 0.0]);
    near(&inside_out(&outer), [1.0, 1.0, 0.0]);
}

#[test]
fn dipoles_are_as_exact_as_stated() {
    for mesh in [sphere(64, 1.0), torus(128, 64, 1.0, 0.3), square(40)] {
        let points = cloud(3000, 3.0);
        let exact = field(&mesh).with_accuracy(f32::INFINITY).winding_numbers(&points);
        let mut before = f32::INFINITY;
        for (accuracy, bound) in [(2.0, 0.1), (4.0, 0.025), (8.0, 0.0063)] {
            let found = field(&mesh).with_accuracy(accuracy).winding_numbers(&points);
            let worst = found.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < bound && worst < before, "{accuracy}: {worst}");
            before = worst;
        }
    }
}

#[test]
fn turned_triangles_and_doubled_vertices_change_nothing() {
    let points: Vec<[f32; 3]> = cloud(2000, 3.0);
    let mesh = sphere(32, 1.0);
    let expected = field(&mesh).distances(&points);
    let mut turned = mesh.clone();
    let mut n = 0;
    for (k, t) in turned.1.iter_mut().enumerate() {
        if number(3, k as u64) % 10 < 4 {
            t.swap(1, 2);
            n += 1;
        }
    }
    // Triangles without neighbours of area (at the poles) are never turned.
    assert!(field(&turned).n_turned().abs_diff(n) < 200);
    assert_eq!(field(&turned).distances(&points), expected);
    let soup: Mesh = (
        turned.1.iter().flat_map(|t| t.map(|v| turned.0[v as usize])).collect(),
        (0..turned.1.len() as u32).map(|k| [3 * k, 3 * k + 1, 3 * k + 2]).collect(),
    );
    assert_eq!(field(&soup).distances(&points), expected);
    // Weights are those of the corners as they were given.
    for (p, hit) in points.iter().zip(field(&turned).nearest(&points)) {
        let t = turned.1[hit.triangle as usize];
        let sum: DVec3 = (0..3).map(|k| wide(turned.0[t[k] as usize]) * hit.weights[k]).sum();
        assert!(sum.distance(hit.point) < 1e-12 && (wide(*p).distance(sum) - hit.distance.abs()).abs() < 1e-12);
    }
}

#[test]
fn surfaces_with_holes_crossings_and_crowded_edges_have_an_inside() {
    // A sphere without 5 % of its triangles.
    let mut open = sphere(48, 1.0);
    let mut k = 0;
    open.1.retain(|_| {
        k += 1;
        !number(1, k).is_multiple_of(20)
    });
    // Two cubes that cross, a fin on an edge of one, and one triangle twice.
    let mut crossing = joined(&[cube([0.0; 3], 1.0), cube([0.5; 3], 1.0)]);
    crossing.0.push([-1.0, -1.0, 0.5]);
    crossing.1.push([0, 1, 16]);
    crossing.1.push(crossing.1[3]);
    let points = cloud(4000, 3.0);
    for ((p, a), b) in points.iter().zip(field(&open).distances(&points)).zip(field(&crossing).distances(&points)) {
        let radius = wide(*p).length();
        if (radius - 1.0).abs() > 0.1 {
            assert_eq!(a < 0.0, radius < 1.0, "{p:?}");
        }
        let inside = |corner: f32| p.iter().all(|x| (corner..corner + 1.0).contains(x));
        assert!((b < 0.0) == (inside(0.0) || inside(0.5)) || b.abs() < 0.02, "{p:?} {b}");
    }
}

#[test]
fn answers_do_not_depend_on_the_number_of_threads() {
    let (field, points) = (field(&torus(64, 32, 1.0, 0.4)), cloud(3000, 3.0));
    let of = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(|| field.nearest(&points));
    assert!(of(1) == of(3));
    // Points on their own have the same distances.
    let one = |p: &[f32; 3]| field.distances(std::slice::from_ref(p))[0];
    let alone: Vec<f32> = points.iter().map(one).collect();
    assert_eq!(alone, field.distances(&points));
}

#[test]
fn hostile_meshes_and_points_are_answered() {
    let unit = cube([0.0; 3], 1.0);
    assert!(matches!(SignedDistance::new(&unit.0, &[]), Err(Error::Empty(_))));
    assert!(matches!(SignedDistance::new(&[], &unit.1), Err(Error::Index { .. })));
    assert!(matches!(SignedDistance::new(&[[0.0, f32::NAN, 0.0]; 8], &unit.1), Err(Error::NotFinite { vertex: 0 })));
    let mut points = cloud(300, 3.0);
    points[7] = [f32::NAN, 0.0, 0.0];
    points[8] = [f32::INFINITY; 3];
    points[9] = [f32::MAX; 3];
    let found = field(&unit).distances(&points);
    assert!(found[7].is_nan() && found[8].is_nan() && found[9] > 1e38);
    assert!(found.iter().enumerate().all(|(k, d)| k == 7 || k == 8 || !d.is_nan()));
    assert!(field(&unit).nearest(&points)[7].triangle == u32::MAX && field(&unit).distances(&[]).is_empty());
    // All corners in one point, and triangles without area.
    let point = SignedDistance::new(&[[1.0; 3]; 3], &[[0, 1, 2], [0, 0, 0]]).unwrap();
    assert_eq!(point.distances(&[[1.0, 1.0, 3.0]]), [2.0]);
    // Tiny, huge and far meshes.
    for (scale, shift) in [(1e-30f32, 0.0f32), (1e30, 0.0), (1.0, 1000.0)] {
        let mesh: Mesh = (unit.0.iter().map(|p| p.map(|x| x * scale + shift)).collect(), unit.1.clone());
        let at = |p: [f32; 3]| p.map(|x| x * scale + shift);
        let found = field(&mesh).distances(&[at([0.5, 0.5, 0.75]), at([0.5, 0.5, 2.0])]);
        assert!((found[0] / scale + 0.25).abs() < 1e-4 && (found[1] / scale - 1.0).abs() < 1e-4, "{found:?}");
    }
}
