//! Forward mode of the projection, by dual numbers.

use super::{Camera, Lanes, MIN_RATIO, direction, dot, product, rotation, terms};
use crate::lanes::{Precision, V};
use crate::rows::{BLOCK, OPACITY, ROTATION, SCALE, SH};
use crate::sh::{self, Dual, Number};
use crate::{Kernel, Projection};
use fearless_simd::{Select, Simd, SimdBase, SimdFloat};

/// A number and its change.
type Along<N> = Dual<N, 1>;

#[inline(always)]
fn quotient<N: Number + std::ops::Div<Output = N>>(a: Along<N>, b: Along<N>) -> Along<N> {
    let v = a.v / b.v;
    Dual { v, d: [(a.d[0] - v * b.d[0]) / b.v] }
}

/// The change of the splats of a block when its rows change along the rows of `change`: mean, quadratic form, log₂ of the
/// opacity, red, green, blue and depth of each. Those that are not seen have none of meaning; colours that are clamped do
/// not change. The adjoint of [`super::project_backward`] with the moments of [`crate::composite`].
#[inline(always)]
pub(crate) fn project_tangent<S: Simd, T: Precision>(
    simd: S,
    (block, smoothing): (&[T], &[T]),
    change: &[T],
    camera: &Camera<T>,
    out: &mut [[T; 10]; BLOCK],
) {
    let camera = camera.spread(simd);
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let still = |x: V<S, T>| Dual { v: x, d: [c(0.0)] };
    for lane in (0..BLOCK).step_by(V::<S, T>::LEN) {
        let row = Lanes { block, lane, smoothing };
        let by = Lanes { block: change, lane, smoothing: &[] };
        let (s, _) = terms(simd, row, &camera);
        let moved = [by.get(simd, 0), by.get(simd, 1), by.get(simd, 2)];
        let mut p = [still(s.p[0]), still(s.p[1]), still(s.p[2])];
        for i in 0..3 {
            p[i].d[0] = dot(camera.rotation[i], moved);
        }
        // The rotation that quaternions of any length mean.
        let mut q = [still(s.q[0]), still(s.q[1]), still(s.q[2]), still(s.q[3])];
        let mut along = c(0.0);
        for k in 0..4 {
            q[k].d[0] = by.get(simd, ROTATION + k) / s.q_norm;
            along = q[k].d[0].mul_add(s.q[k], along);
        }
        for k in 0..4 {
            q[k].d[0] -= along * s.q[k];
        }
        let turned = {
            let own = rotation(q, still(c(1.0)), still(c(2.0)));
            let mut world = own;
            for i in 0..3 {
                for k in 0..3 {
                    world[i][k] = still(camera.rotation[i][k]);
                }
            }
            product(&world, &own)
        };
        let mut by_log_opacity = (c(1.0) - s.given) * by.get(simd, OPACITY);
        let mut m = turned;
        for k in 0..3 {
            let log_scale = by.get(simd, SCALE + k);
            by_log_opacity += (c(1.0) - s.own[k]) * log_scale;
            let scale = Dual { v: s.scale[k], d: [s.scale[k] * s.own[k] * log_scale] };
            for i in 0..3 {
                m[i][k] = m[i][k] * scale;
            }
        }
        let [fx, fy, cx, cy] = camera.intrinsics;
        let parallel = camera.projection == Projection::Orthographic;
        let per_z = if parallel { still(c(1.0)) } else { quotient(still(c(1.0)), p[2]) };
        let mut v = [m[0], m[1]];
        let mut mean = [p[0], p[1]];
        for (a, (f, centre)) in [(fx, cx), (fy, cy)].into_iter().enumerate() {
            let slope = p[a] * per_z;
            mean[a] = still(f) * slope + still(centre);
            let stretch = still(f) * per_z;
            for k in 0..3 {
                v[a][k] = stretch * m[a][k];
            }
            if !parallel {
                let inside = s.slope[a].simd_eq(s.clamped[a]);
                let clamped = Dual { v: s.clamped[a], d: [inside.select(slope.d[0], c(0.0))] };
                let tilt = stretch * clamped;
                for k in 0..3 {
                    v[a][k] = v[a][k] - tilt * m[2][k];
                }
            }
        }
        let raw = [dot(v[0], v[0]), dot(v[0], v[1]), dot(v[1], v[1])];
        let mut cov = raw;
        for k in 0..3 {
            cov[k].v = s.cov[k];
        }
        let det = cov[0] * cov[2] - cov[1] * cov[1];
        if camera.kernel == Kernel::Mip {
            let ratio = quotient(raw[0] * raw[2] - raw[1] * raw[1], det);
            let counts = ratio.v.simd_gt(c(MIN_RATIO));
            by_log_opacity += counts.select(c(0.5) * ratio.d[0] / ratio.v, c(0.0));
        }
        let per_det = quotient(still(c(-0.5 * std::f64::consts::LOG2_E)), det);
        let quadratic = [per_det * cov[2], still(c(-2.0)) * per_det * cov[1], per_det * cov[0]];
        let dir = direction(s.to_mean, s.distance, c(1.0));
        let mut towards = [still(dir[0]), still(dir[1]), still(dir[2])];
        if !parallel {
            // The eye stands still.
            let along = dot(dir, moved);
            for k in 0..3 {
                towards[k].d[0] = (moved[k] - along * dir[k]) / s.distance;
            }
        }
        let basis = sh::values(camera.sh_degree, towards, |x| still(c(x)));
        let mut colour = [still(c(0.5)); 3];
        for b in 0..(camera.sh_degree + 1).pow(2) {
            for ch in 0..3 {
                let k = SH + 3 * b + ch;
                colour[ch] = colour[ch] + basis[b] * Dual { v: row.get(simd, k), d: [by.get(simd, k)] };
            }
        }
        for ch in 0..3 {
            colour[ch].d[0] = colour[ch].v.simd_gt(c(0.0)).select(colour[ch].d[0], c(0.0));
        }
        let by_log_opacity = by_log_opacity * c(std::f64::consts::LOG2_E);
        for k in 0..V::<S, T>::LEN {
            out[lane + k] = [
                mean[0].d[0][k],
                mean[1].d[0][k],
                quadratic[0].d[0][k],
                quadratic[1].d[0][k],
                quadratic[2].d[0][k],
                by_log_opacity[k],
                colour[0].d[0][k],
                colour[1].d[0][k],
                colour[2].d[0][k],
                p[2].d[0][k],
            ];
        }
    }
}
