use crate::{Error, Result, check_indices};
use glam::DVec3;

/// What the triangles around a vertex weigh in its normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormalWeights {
    /// Their areas.
    Area,
    /// Their angles there, which does not depend on how the surface is cut into triangles.
    Angle,
}

/// Unit normals of vertices; 0 where a vertex has no triangle with area, or its triangles cancel.
///
/// # Errors
/// Positions that are not finite, indices out of range.
pub fn vertex_normals(positions: &[[f32; 3]], triangles: &[[u32; 3]], weights: NormalWeights) -> Result<Vec<[f32; 3]>> {
    let normals = sums(positions, triangles, weights)?;
    Ok(normals.into_iter().map(|n| n.normalize_or_zero().as_vec3().to_array()).collect())
}

fn sums(positions: &[[f32; 3]], triangles: &[[u32; 3]], weights: NormalWeights) -> Result<Vec<DVec3>> {
    check_indices(positions.len(), triangles)?;
    if let Some(vertex) = positions.iter().position(|p| !p.iter().all(|x| x.is_finite())) {
        return Err(Error::NotFinite { vertex });
    }
    let mut out = vec![DVec3::ZERO; positions.len()];
    for t in triangles {
        let p = corners(positions, t);
        let across = (p[1] - p[0]).cross(p[2] - p[0]);
        for k in 0..3 {
            out[t[k] as usize] += match weights {
                NormalWeights::Area => across,
                NormalWeights::Angle => {
                    let (e, f) = (p[(k + 1) % 3] - p[k], p[(k + 2) % 3] - p[k]);
                    across.normalize_or_zero() * e.cross(f).length().atan2(e.dot(f))
                }
            };
        }
    }
    Ok(out)
}

fn corners(positions: &[[f32; 3]], t: &[u32; 3]) -> [DVec3; 3] {
    t.map(|v| DVec3::from_array(positions[v as usize].map(f64::from)))
}

/// Mean curvature (κ₁ + κ₂)/2 at vertices, in one over the unit of length; +1/r for a sphere of radius r that faces
/// outwards, −1/r for one that faces inwards.
///
/// H = −n · Δx / 2, with the cotangent Laplacian Δx = Σ (cot α + cot β)(xⱼ − xᵢ) / 2A over the mixed Voronoi area A,
/// and n the normal weighted by angles. 0 at borders, where the sum has a part along the border, and at vertices without
/// area. Weld vertices at equal positions first ([`weld_positions`](crate::weld_positions)), or seams count as borders.
/// Triangles without area are left out.
///
/// **Accuracy**: that of the formula, which does not converge at single vertices of irregular meshes; means over some
/// vertices do.
///
/// **Source**: Meyer et al., "Discrete Differential-Geometry Operators for Triangulated 2-Manifolds", 2003, eqs. 5–8.
///
/// # Errors
/// Positions that are not finite, indices out of range.
pub fn mean_curvature(positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> Result<Vec<f32>> {
    let normals = sums(positions, triangles, NormalWeights::Angle)?;
    let border = border(positions.len(), triangles);
    let mut flow = vec![DVec3::ZERO; positions.len()];
    let mut areas = vec![0.0; positions.len()];
    for t in triangles {
        let p = corners(positions, t);
        let twice = (p[1] - p[0]).cross(p[2] - p[0]).length();
        if !(twice > 0.0) {
            continue;
        }
        let dots: [f64; 3] = std::array::from_fn(|k| (p[(k + 1) % 3] - p[k]).dot(p[(k + 2) % 3] - p[k]));
        let obtuse = dots.iter().any(|&d| d < 0.0);
        for k in 0..3 {
            // The side across from corner k, of whose ends it weighs the difference.
            let (i, j) = ((k + 1) % 3, (k + 2) % 3);
            let (side, cotangent) = (p[j] - p[i], dots[k] / twice);
            flow[t[i] as usize] += 0.5 * cotangent * side;
            flow[t[j] as usize] -= 0.5 * cotangent * side;
            if obtuse {
                areas[t[k] as usize] += if dots[k] < 0.0 { 0.25 * twice } else { 0.125 * twice };
            } else {
                let part = 0.125 * cotangent * side.length_squared();
                areas[t[i] as usize] += part;
                areas[t[j] as usize] += part;
            }
        }
    }
    let curvature = |v: usize| {
        let value = -0.5 * normals[v].normalize_or_zero().dot(flow[v]) / areas[v];
        if border[v] || !(areas[v] > 0.0) { 0.0 } else { value as f32 }
    };
    Ok((0..positions.len()).map(curvature).collect())
}

/// Whether vertices have an edge of one triangle.
fn border(n: usize, triangles: &[[u32; 3]]) -> Vec<bool> {
    let mut edges: Vec<(u32, u32)> =
        triangles.iter().flat_map(|t| [0, 1, 2].map(|k| (t[k], t[(k + 1) % 3]))).filter(|e| e.0 != e.1).collect();
    edges.iter_mut().for_each(|e| *e = (e.0.min(e.1), e.0.max(e.1)));
    edges.sort_unstable();
    let mut out = vec![false; n];
    for edge in edges.chunk_by(|x, y| x == y).filter(|group| group.len() == 1) {
        (out[edge[0].0 as usize], out[edge[0].1 as usize]) = (true, true);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{Mesh, cube, inside_out, sphere, square, torus, welded};

    fn curvature(mesh: &Mesh) -> Vec<f32> {
        mean_curvature(&mesh.0, &mesh.1).unwrap()
    }

    #[test]
    fn a_sphere_of_radius_r_has_mean_curvature_1_over_r() {
        let mesh = welded(&sphere(48, 2.0));
        assert!(curvature(&mesh).iter().all(|h| (h - 0.5).abs() < 5e-3));
        assert!(curvature(&inside_out(&mesh)).iter().all(|h| (h + 0.5).abs() < 5e-3));
    }

    #[test]
    fn a_torus_has_the_curvature_of_its_formula() {
        let mesh = welded(&torus(192, 96, 1.0, 0.4));
        for (p, h) in mesh.0.iter().zip(curvature(&mesh)) {
            let ring = p[0].hypot(p[1]);
            // 1/r along the tube, cos θ / (distance from the axis) around.
            let expected = 0.5 * (1.0 / 0.4 + (ring - 1.0) / 0.4 / ring);
            assert!((h - expected).abs() < 0.01, "{h} {expected}");
        }
    }

    #[test]
    fn planes_borders_and_bad_triangles_are_flat() {
        let mut flat = square(4);
        flat.1.push([3, 3, 4]);
        flat.0.push([9.0; 3]);
        assert!(curvature(&flat).iter().all(|h| h.abs() < 1e-6));
        assert!(mean_curvature(&flat.0, &[[0, 1, 99]]).is_err());
        flat.0[3][1] = f32::INFINITY;
        assert!(matches!(mean_curvature(&flat.0, &flat.1), Err(Error::NotFinite { vertex: 3 })));
    }

    #[test]
    fn normals_by_angle_do_not_depend_on_diagonals() {
        let mesh = cube([0.0; 3], 1.0);
        let angle = vertex_normals(&mesh.0, &mesh.1, NormalWeights::Angle).unwrap();
        for (p, n) in mesh.0.iter().zip(&angle) {
            let expected = p.map(|x| (2.0 * x - 1.0) / 3f32.sqrt());
            assert!((0..3).all(|c| (n[c] - expected[c]).abs() < 1e-6));
        }
        let area = vertex_normals(&mesh.0, &mesh.1, NormalWeights::Area).unwrap();
        assert!(angle != area && area.iter().all(|n| (n.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6));
        assert_eq!(vertex_normals(&[[1.0; 3]], &[], NormalWeights::Area).unwrap(), [[0.0; 3]]);
    }
}
