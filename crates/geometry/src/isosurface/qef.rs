//! The point that fits planes best.

use glam::{DMat3, DVec3};

/// Singular values of the planes' normals below this say nothing about where the point is.
const TRUNCATION: f64 = 0.1;
/// Sweeps of Jacobi's rotations; more than a symmetric 3 × 3 matrix needs.
const SWEEPS: usize = 8;

/// The point with the least squared distances to planes (a point and a unit normal each), nearest to the mean of the points
/// where the planes leave it open: singular values of the normals below 0.1 are taken for 0.
///
/// **Source**: Ju et al., "Dual Contouring of Hermite Data", 2002.
pub(super) fn meeting_point(planes: impl Iterator<Item = (DVec3, DVec3)> + Clone) -> DVec3 {
    let n = planes.clone().count().max(1) as f64;
    let mean = planes.clone().map(|(point, _)| point).sum::<DVec3>() / n;
    let (mut ata, mut atb) = (DMat3::ZERO, DVec3::ZERO);
    for (point, normal) in planes {
        ata += DMat3::from_cols(normal * normal.x, normal * normal.y, normal * normal.z);
        atb += normal * normal.dot(point - mean);
    }
    let (values, axes) = eigen(ata);
    let along = |k: usize| {
        let axis = axes.col(k);
        if values[k] < TRUNCATION * TRUNCATION { DVec3::ZERO } else { axis * (axis.dot(atb) / values[k]) }
    };
    mean + along(0) + along(1) + along(2)
}

/// Eigenvalues and -vectors (columns) of a symmetric matrix, by Jacobi's rotations.
fn eigen(mut a: DMat3) -> ([f64; 3], DMat3) {
    let mut axes = DMat3::IDENTITY;
    for (p, q) in std::iter::repeat_n([(0, 1), (0, 2), (1, 2)], SWEEPS).flatten() {
        let off = a.col(q)[p];
        if off == 0.0 {
            continue;
        }
        let theta = (a.col(q)[q] - a.col(p)[p]) / (2.0 * off);
        let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
        let c = 1.0 / (t * t + 1.0).sqrt();
        let mut turn = DMat3::IDENTITY;
        (turn.col_mut(p)[p], turn.col_mut(q)[q]) = (c, c);
        (turn.col_mut(q)[p], turn.col_mut(p)[q]) = (t * c, -t * c);
        a = turn.transpose() * a * turn;
        axes *= turn;
    }
    (std::array::from_fn(|k| a.col(k)[k]), axes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_meet_where_they_do_and_near_the_mean_where_they_do_not() {
        let corner = DVec3::new(0.3, -0.2, 0.7);
        let normals = [DVec3::new(1.0, 0.2, 0.0), DVec3::new(-0.1, 1.0, 0.3), DVec3::new(0.2, 0.1, -1.0)];
        let aside = [DVec3::Z, DVec3::X, DVec3::new(1.0, 0.5, 0.3)];
        let planes = |k: usize| {
            let normal = normals[k].normalize();
            (corner + aside[k] - normal * normal.dot(aside[k]), normal)
        };
        let found = meeting_point([0, 1, 2].into_iter().map(planes));
        assert!((found - corner).length() < 1e-12, "{found}");
        // One plane: the mean of the points, moved onto it.
        let flat = [(DVec3::ZERO, DVec3::Z), (DVec3::X, DVec3::Z), (DVec3::new(0.0, 1.0, 0.5), DVec3::Z)];
        let found = meeting_point(flat.into_iter());
        assert!((found - DVec3::new(1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0)).length() < 1e-12);
        // Two normals 3° apart: their second singular value is below the truncation.
        let tilted = |a: f64| DVec3::new(a.sin(), 0.0, a.cos());
        let planes = [(DVec3::ZERO, tilted(0.0)), (DVec3::new(1.0, 0.0, 0.2), tilted(0.05))];
        assert!((meeting_point(planes.into_iter()).x - 0.5).abs() < 0.02);
        let (values, axes) = eigen(DMat3::from_cols_array(&[2.0, 1.0, 0.5, 1.0, 3.0, -1.0, 0.5, -1.0, 1.0]));
        assert!((values.iter().sum::<f64>() - 6.0).abs() < 1e-12);
        assert!((axes.transpose() * axes - DMat3::IDENTITY).to_cols_array().iter().all(|x| x.abs() < 1e-12));
    }
}
