use super::*;
use crate::shapes::{self, Mesh as Shape};
use crate::{Surface, compare};

/// Standard deviation of edge lengths over their mean, and the mean.
fn spread((positions, triangles): &Shape) -> (f64, f64) {
    let mesh = Mesh::new(positions.iter().map(|p| DVec3::from_array(p.map(f64::from))).collect(), triangles);
    let lengths: Vec<f64> = mesh.edges().into_iter().map(|e| mesh.length(e)).collect();
    let n = lengths.len() as f64;
    let mean = lengths.iter().sum::<f64>() / n;
    ((lengths.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n).sqrt() / mean, mean)
}

fn improves(name: &str, shape: &Shape, target: f64, tolerance_percent: f64) {
    let out = remesh(&shape.0, &shape.1, target, 6).unwrap();
    let [before, after] = [shape, &out].map(|s| Topology::new(s.0.len(), &s.1).unwrap());
    assert!(after.manifold() && after.watertight() == before.watertight(), "{name}: {after:?}");
    assert_eq!((after.genus(), after.n_parts), (before.genus(), before.n_parts), "{name}");
    let (old, (new, mean)) = (spread(shape).0, spread(&out));
    assert!(new < 0.25 && new < old, "{name}: spread {old} became {new}");
    assert!((mean / target - 1.0).abs() < 0.2, "{name}: edges of {mean}, wanted {target}");
    let surface = |s| {
        let (p, t): &Shape = s;
        Surface { name: "shape", positions: p, triangles: t }
    };
    let apart = compare(surface(&out), surface(shape), 5000).unwrap();
    // Flipped triangles would have angles near 180°.
    assert!(apart.chamfer_percent < tolerance_percent && apart.normal_angle_deg < 8.0, "{name}: {apart:?}");
    let bvh = Bvh::new(&shape.0, &shape.1);
    let corners = |s: &Shape, t: [u32; 3]| t.map(|v| DVec3::from_array(s.0[v as usize].map(f64::from)));
    for &t in &out.1 {
        let p = corners(&out, t);
        let hit = bvh.nearest((p[0] + p[1] + p[2]) / 3.0).unwrap();
        let input = mesh::area(corners(shape, shape.1[hit.triangle as usize]));
        assert!(mesh::area(p).dot(input) > 0.0, "{name}: a triangle turned over");
    }
}

#[test]
fn edge_lengths_become_even_and_the_surface_stays() {
    let sphere = shapes::welded(&shapes::sphere(24, 1.0));
    improves("sphere", &sphere, 0.12, 0.1);
    improves("coarser sphere", &sphere, 0.25, 0.4);
    let stretched: Shape = (sphere.0.iter().map(|p| [p[0], 0.6 * p[1], 2.0 * p[2]]).collect(), sphere.1.clone());
    improves("stretched sphere", &stretched, 0.12, 0.1);
    let wave = |p: &[f32; 3]| p.map(|x| x * (1.0 + 0.05 * (5.0 * p[0]).sin() * (4.0 * p[2]).cos()));
    let perturbed: Shape = (sphere.0.iter().map(wave).collect(), sphere.1);
    improves("perturbed sphere", &perturbed, 0.12, 0.1);
    improves("torus", &shapes::welded(&shapes::torus(40, 12, 1.0, 0.35)), 0.12, 0.2);
}

#[test]
fn borders_stay_in_place() {
    let (p, t) = shapes::square(8);
    let out = remesh(&p, &t, 0.08, 5).unwrap();
    let topology = Topology::new(out.0.len(), &out.1).unwrap();
    assert!(topology.manifold() && topology.n_parts == 1 && topology.euler_characteristic() == 1);
    for corner in p.iter().filter(|p| p[0] == 0.0 || p[0] == 1.0 || p[1] == 0.0 || p[1] == 1.0) {
        assert!(out.0.contains(corner), "{corner:?}");
    }
    let corners = |t: &[u32; 3]| t.map(|v| DVec3::from_array(out.0[v as usize].map(f64::from)));
    let area: f64 = out.1.iter().map(|t| 0.5 * mesh::area(corners(t)).z).sum();
    assert!((area - 1.0).abs() < 1e-6 && out.1.iter().all(|t| mesh::area(corners(t)).z > 0.0));
}

#[test]
fn hostile_input_is_refused_or_works() {
    let (p, t) = shapes::welded(&shapes::sphere(6, 1.0));
    let mut nan = p.clone();
    nan[3][1] = f32::NAN;
    assert!(matches!(remesh(&nan, &t, 0.2, 2), Err(Error::NotFinite { vertex: 3 })));
    for target in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-30] {
        assert!(matches!(remesh(&p, &t, target, 2), Err(Error::EdgeLength { .. })), "{target}");
    }
    assert!(matches!(remesh(&p, &[[0, 1, 999]], 0.2, 2), Err(Error::Index { .. })));
    for bad in [vec![[0, 1, 1]], vec![[0, 1, 2], [1, 0, 3], [0, 1, 4]], vec![[0, 1, 2], [0, 3, 2]]] {
        assert!(matches!(remesh(&p, &bad, 0.2, 2), Err(Error::NotManifold(_))), "{bad:?}");
    }
    // All at one point, all on a line, a sliver, nothing, far larger than the mesh.
    let topology = |mesh: &Shape| Topology::new(mesh.0.len(), &mesh.1).unwrap();
    for squash in [[0.0; 3], [1.0, 0.0, 0.0], [1.0, 1.0, 1e-6]] {
        let flat: Vec<[f32; 3]> = p.iter().map(|p| std::array::from_fn(|k| p[k] * squash[k])).collect();
        let out = remesh(&flat, &t, 0.2, 3).unwrap();
        assert!(topology(&out).manifold() && topology(&out).genus() == Some(0), "{squash:?}");
        assert!(out.0.iter().flatten().all(|x| x.is_finite()));
    }
    assert!(remesh(&[], &[], 0.1, 2).unwrap().1.is_empty());
    let coarse = remesh(&p, &t, 100.0, 4).unwrap();
    assert!(topology(&coarse).watertight() && topology(&coarse).genus() == Some(0));
}
