//! How bumpy a surface is.

use glam::Vec3;
use std::collections::HashMap;

/// The mean angle between the normals of triangles that share an edge, radians; 0 where none do.
///
/// Edges of more than two triangles and triangles without area do not count. It does not depend on the size of the surface, but
/// on that of its triangles: halve them, and it halves where the surface is smooth.
pub fn mean_fold(positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> f64 {
    let corner = |v: u32| Vec3::from(positions[v as usize]);
    let normal = |t: &[u32; 3]| (corner(t[1]) - corner(t[0])).cross(corner(t[2]) - corner(t[0])).normalize_or_zero();
    let mut around: HashMap<[u32; 2], Vec<usize>> = HashMap::new();
    for (k, t) in triangles.iter().enumerate() {
        for [a, b] in [[t[0], t[1]], [t[1], t[2]], [t[2], t[0]]] {
            around.entry([a.min(b), a.max(b)]).or_default().push(k);
        }
    }
    // In an order that is always the same, so that the sum is.
    let mut pairs: Vec<[usize; 2]> = around.into_values().filter_map(|t| t.try_into().ok()).collect();
    pairs.sort_unstable();
    let angles = pairs.into_iter().filter_map(|pair| {
        let [a, b] = pair.map(|k| normal(&triangles[k]));
        (a != Vec3::ZERO && b != Vec3::ZERO).then(|| f64::from(a.cross(b).length()).atan2(a.dot(b).into()))
    });
    let (sum, n) = angles.fold((0.0, 0usize), |(sum, n), angle| (sum + angle, n + 1));
    sum / n.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::FRAC_PI_2;

    #[test]
    fn a_cube_folds_by_right_angles_at_its_edges_and_not_at_its_diagonals() {
        let corner = |k: usize| [0, 1, 2].map(|c| if k >> c & 1 == 0 { 0.0 } else { 2.0 });
        let positions: Vec<[f32; 3]> = (0..8).map(corner).collect();
        let sides = [[0u32, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1], [4, 5, 7, 6]];
        let triangles: Vec<[u32; 3]> = sides.iter().flat_map(|s| [[s[0], s[1], s[2]], [s[0], s[2], s[3]]]).collect();
        // 12 edges of π/2 and 6 diagonals of 0.
        assert!((mean_fold(&positions, &triangles) - FRAC_PI_2 * 12.0 / 18.0).abs() < 1e-6);
        assert_eq!(mean_fold(&positions, &triangles[..1]), 0.0);
        assert_eq!(mean_fold(&positions, &[[0, 0, 1], [0, 1, 2]]), 0.0);
    }
}
