//! Fewer triangles.

use crate::{Error, Result, Subset, check_indices};
use meshopt::{SimplifyOptions, VertexDataAdapter};

/// Error that is allowed, in parts of the surface's extent: the number of triangles decides.
const ANY_ERROR: f32 = 1.0;

/// At most about `target` triangles of a surface, by collapsing edges where that costs least by the quadrics of its planes.
///
/// Vertices are some of those that there were, where they were. Borders, handles and parts stay; where too many of these
/// keep the number up, the smallest parts go too. There may be more than `target` triangles left. **Cost**: some 0.5 µs per
/// triangle.
///
/// **Source**: Garland & Heckbert, "Surface Simplification Using Quadric Error Metrics", 1997; the library meshoptimizer.
///
/// # Errors
/// Indices out of range, positions that are not finite.
pub fn simplify(positions: &[[f32; 3]], triangles: &[[u32; 3]], target: usize) -> Result<Subset> {
    check_indices(positions.len(), triangles)?;
    if let Some(vertex) = positions.iter().position(|p| !p.iter().all(|x| x.is_finite())) {
        return Err(Error::NotFinite { vertex });
    }
    let bytes = meshopt::typed_to_bytes(positions);
    let mut kept = triangles.as_flattened().to_vec();
    for options in [SimplifyOptions::None, SimplifyOptions::Prune] {
        if kept.len() <= 3 * target || positions.is_empty() {
            break;
        }
        let vertices = VertexDataAdapter::new(bytes, size_of::<[f32; 3]>(), 0).expect("positions begin each vertex");
        kept = meshopt::simplify(&kept, &vertices, 3 * target, ANY_ERROR, options, None);
    }
    Ok(Subset::new(positions.len(), kept.as_chunks().0.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{Mesh, joined, sphere, square, torus, welded};
    use crate::{Surface, Topology, compare};

    fn simplified(mesh: &Mesh, target: usize) -> Mesh {
        let kept = simplify(&mesh.0, &mesh.1, target).unwrap();
        (kept.rows(&mesh.0), kept.triangles)
    }

    #[test]
    fn a_flat_square_needs_two_triangles() {
        let (p, t) = simplified(&welded(&square(16)), 2);
        assert_eq!((p.len(), t.len()), (4, 2));
        assert!(p.iter().all(|p| (p[0] == 0.0 || p[0] == 1.0) && (p[1] == 0.0 || p[1] == 1.0)));
    }

    #[test]
    fn the_error_of_a_sphere_falls_with_the_budget_and_topology_stays() {
        let fine = welded(&sphere(64, 1.0));
        let surface = |m: &Mesh| -> f64 {
            let [a, b] = [m, &fine].map(|m| Surface { name: "sphere", positions: &m.0, triangles: &m.1 });
            compare(a, b, 10_000).unwrap().chamfer_percent
        };
        let mut last = f64::INFINITY;
        for target in [100, 400, 1600, 6400] {
            let m = simplified(&fine, target);
            let t = Topology::new(m.0.len(), &m.1).unwrap();
            assert!(t.manifold() && t.watertight() && t.genus() == Some(0) && t.n_triangles <= target, "{t:?}");
            assert!(t.n_triangles * 10 > target * 9);
            let error = surface(&m);
            assert!(error < 0.5 * last, "{error} after {last}");
            last = error;
        }
        let ring = welded(&torus(80, 40, 1.0, 0.3));
        let m = simplified(&ring, 300);
        assert_eq!(Topology::new(m.0.len(), &m.1).unwrap().genus(), Some(1));
    }

    #[test]
    fn small_parts_go_where_there_are_too_many_and_enough_is_left_alone() {
        let specks: Vec<Mesh> = (0..50)
            .map(|k| {
                let (p, t) = sphere(3, 0.01);
                (p.iter().map(|p| [p[0] + 2.0 + k as f32, p[1], p[2]]).collect(), t)
            })
            .collect();
        let m = welded(&joined(&[vec![sphere(32, 1.0)], specks].concat()));
        assert!(simplified(&m, 100).1.len() <= 400);
        assert_eq!(simplified(&m, 1 << 20).1, m.1);
        assert!(simplify(&[], &[], 10).unwrap().triangles.is_empty());
        assert!(simplify(&[[0.0; 3]], &[[0, 0, 1]], 1).is_err());
    }
}
