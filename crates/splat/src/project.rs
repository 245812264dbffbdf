//! Projection of one Gaussian to a splat (EWA), and its reverse mode.
//!
//! Source: Zwicker et al. 2001, Kerbl et al. 2023; compensation of opacity: Yu et al. 2024 (Mip-Splatting).

use crate::{Kernel, sh};
use lumigrad_core::Real;

/// Numbers of a row before the spherical harmonics: mean 3, log scale 3, rotation 4, logit of the opacity 1.
pub(crate) const SH: usize = 11;
type Mat<R> = [[R; 3]; 3];

/// What projection needs to know of camera and scene.
#[derive(Clone, Copy)]
pub(crate) struct Camera<R> {
    /// World → camera rotation.
    pub rotation: Mat<R>,
    pub translation: [R; 3],
    pub intrinsics: [R; 4],
    pub size: [R; 2],
    pub near: R,
    pub kernel: Kernel,
    pub sh_degree: usize,
    /// Alphas below this are not drawn.
    pub alpha_min: R,
}

/// A projected Gaussian.
#[derive(Clone, Copy)]
pub(crate) struct Splat<R> {
    pub mean: [R; 2],
    /// A, B, C of σ = ½(A dx² + C dy²) + B dx dy.
    pub conic: [R; 3],
    pub opacity: R,
    /// Red, green, blue, depth.
    pub channels: [R; 4],
    /// Half the size of the box outside of which alpha is below its minimum.
    pub half: [R; 2],
}

/// Derivative of a loss by a [`Splat`].
#[derive(Clone, Copy, Default)]
pub(crate) struct SplatGrad<R> {
    pub mean: [R; 2],
    pub conic: [R; 3],
    pub opacity: R,
    pub channels: [R; 4],
}

/// All that forward and backward share.
struct Terms<R> {
    p: [R; 3],
    /// x/z and y/z clamped, and whether they were inside.
    t: [R; 2],
    inside: [bool; 2],
    q: [R; 4],
    q_norm: R,
    turned: Mat<R>,
    scale: [R; 3],
    m: Mat<R>,
    j: [[R; 3]; 2],
    v: [[R; 3]; 2],
    /// Covariance xx, xy, yy before and after the low pass.
    raw: [R; 3],
    cov: [R; 3],
    det: R,
    ratio: R,
    rho: R,
    opacity: R,
    to_mean: [R; 3],
    distance: R,
    colour: [R; 3],
    basis: [sh::Dual<R>; 25],
}

fn dot<R: Real>(a: [R; 3], b: [R; 3]) -> R {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn column<R: Real>(m: &Mat<R>, k: usize) -> [R; 3] {
    [m[0][k], m[1][k], m[2][k]]
}

fn product<R: Real>(a: &Mat<R>, b: &Mat<R>) -> Mat<R> {
    std::array::from_fn(|i| std::array::from_fn(|k| dot(a[i], column(b, k))))
}

fn rotation<R: Real>([w, x, y, z]: [R; 4]) -> Mat<R> {
    let (one, two) = (R::ONE, R::of(2.0));
    [
        [one - two * (y * y + z * z), two * (x * y - w * z), two * (x * z + w * y)],
        [two * (x * y + w * z), one - two * (x * x + z * z), two * (y * z - w * x)],
        [two * (x * z - w * y), two * (y * z + w * x), one - two * (x * x + y * y)],
    ]
}

/// Smallest compensation of the opacity, squared.
const MIN_RATIO: f32 = 0.005 * 0.005;

fn terms<R: Real>(row: &[R], camera: &Camera<R>) -> Option<Terms<R>> {
    let mean = [row[0], row[1], row[2]];
    let p: [R; 3] = std::array::from_fn(|i| dot(camera.rotation[i], mean) + camera.translation[i]);
    if !(p[2] >= camera.near) || !row.iter().all(|x| x.is_finite()) {
        return None;
    }
    let [fx, fy, cx, cy] = camera.intrinsics;
    let (mut t, mut inside) = ([R::ZERO; 2], [true; 2]);
    for (k, (f, c)) in [(fx, cx), (fy, cy)].into_iter().enumerate() {
        let margin = R::of(0.15) * camera.size[k] / f;
        let (low, high) = (R::ZERO - c / f - margin, (camera.size[k] - c) / f + margin);
        let x = p[k] / p[2];
        inside[k] = x >= low && x <= high;
        t[k] = p[2] * x.max(low).min(high);
    }
    let raw_q = [row[6], row[7], row[8], row[9]];
    let norm2 = raw_q.iter().map(|&x| x * x).sum::<R>();
    if !(norm2 >= R::of(1e-6)) {
        return None;
    }
    let q_norm = norm2.sqrt();
    let q = raw_q.map(|x| x / q_norm);
    let scale = [row[3].exp(), row[4].exp(), row[5].exp()];
    let world = rotation(q);
    let turned = product(&camera.rotation, &world);
    let m: Mat<R> = std::array::from_fn(|i| std::array::from_fn(|k| turned[i][k] * scale[k]));
    let z = p[2];
    let zz = z * z;
    let j = [[fx / z, R::ZERO, -(fx * t[0] / zz)], [R::ZERO, fy / z, -(fy * t[1] / zz)]];
    let v: [[R; 3]; 2] = std::array::from_fn(|i| std::array::from_fn(|k| dot(j[i], column(&m, k))));
    let raw = [dot(v[0], v[0]), dot(v[0], v[1]), dot(v[1], v[1])];
    let mip = camera.kernel == Kernel::Mip;
    let low_pass = R::of(if mip { 0.1 } else { 0.3 });
    let cov = [raw[0] + low_pass, raw[1], raw[2] + low_pass];
    let det = cov[0] * cov[2] - cov[1] * cov[1];
    if !(det > R::ZERO) || !det.is_finite() {
        return None;
    }
    let ratio = (raw[0] * raw[2] - raw[1] * raw[1]) / det;
    let rho = if mip { ratio.max(R::of(MIN_RATIO)).sqrt() } else { R::ONE };
    let opacity = R::ONE / (R::ONE + (-row[10]).exp());
    // The eye is −Qᵀt, so mean − eye = Qᵀ(Q mean + t).
    let to_mean: [R; 3] = std::array::from_fn(|k| dot(column(&camera.rotation, k), p));
    let distance = dot(to_mean, to_mean).sqrt();
    let basis = sh::basis(camera.sh_degree, to_mean.map(|x| x / distance));
    let n_basis = (camera.sh_degree + 1).pow(2);
    let colour =
        std::array::from_fn(|ch| R::of(0.5) + (0..n_basis).map(|k| row[SH + 3 * k + ch] * basis[k].v).sum::<R>());
    #[rustfmt::skip]
    let terms = Terms {
        p, t, inside, q, q_norm, turned, scale, m, j, v, raw, cov, det, ratio, rho, opacity, to_mean, distance,
        colour, basis,
    };
    Some(terms)
}

/// The splat of a Gaussian, `None` where nothing of it can be seen. Non-finite Gaussians are not seen.
pub(crate) fn project<R: Real>(row: &[R], camera: &Camera<R>) -> Option<Splat<R>> {
    let s = terms(row, camera)?;
    let opacity = s.opacity * s.rho;
    if !(opacity >= camera.alpha_min) {
        return None;
    }
    let reach = R::of(2.0) * (opacity / camera.alpha_min).ln();
    let [fx, fy, cx, cy] = camera.intrinsics;
    let splat = Splat {
        mean: [fx * s.p[0] / s.p[2] + cx, fy * s.p[1] / s.p[2] + cy],
        conic: [s.cov[2] / s.det, -(s.cov[1] / s.det), s.cov[0] / s.det],
        opacity,
        channels: [s.colour[0].max(R::ZERO), s.colour[1].max(R::ZERO), s.colour[2].max(R::ZERO), s.p[2]],
        half: [(reach * s.cov[0]).sqrt(), (reach * s.cov[2]).sqrt()],
    };
    let finite = splat.mean.iter().chain(&splat.conic).chain(&splat.half).chain(&splat.channels).all(|x| x.is_finite());
    finite.then_some(splat)
}

/// Adds to `out` the derivative of the loss by the row, given that by its splat. Clamped colours have gradient 0.
pub(crate) fn project_backward<R: Real>(row: &[R], camera: &Camera<R>, g: &SplatGrad<R>, out: &mut [R]) {
    let Some(s) = terms(row, camera) else { return };
    let two = R::of(2.0);
    let [fx, fy, ..] = camera.intrinsics;
    // Conic → covariance: −K G K.
    let k = [[s.cov[2] / s.det, -(s.cov[1] / s.det)], [-(s.cov[1] / s.det), s.cov[0] / s.det]];
    let half = g.conic[1] / two;
    let gm = [[g.conic[0], half], [half, g.conic[2]]];
    let mut x = [[R::ZERO; 2]; 2];
    for i in 0..2 {
        for l in 0..2 {
            for a in 0..2 {
                for b in 0..2 {
                    x[i][l] += -(k[i][a] * gm[a][b] * k[b][l]);
                }
            }
        }
    }
    if camera.kernel == Kernel::Mip && s.ratio > R::of(MIN_RATIO) {
        let by_ratio = g.opacity * s.opacity / (two * s.rho) / s.det;
        x[0][0] += by_ratio * (s.raw[2] - s.ratio * s.cov[2]);
        x[1][1] += by_ratio * (s.raw[0] - s.ratio * s.cov[0]);
        let off = by_ratio * (s.ratio * s.cov[1] - s.raw[1]);
        x[0][1] += off;
        x[1][0] += off;
    }
    out[10] += g.opacity * s.rho * s.opacity * (R::ONE - s.opacity);
    let gv: [[R; 3]; 2] =
        std::array::from_fn(|i| std::array::from_fn(|c| two * (x[i][0] * s.v[0][c] + x[i][1] * s.v[1][c])));
    let gm: Mat<R> = std::array::from_fn(|i| std::array::from_fn(|c| s.j[0][i] * gv[0][c] + s.j[1][i] * gv[1][c]));
    let gj: [[R; 3]; 2] = std::array::from_fn(|i| std::array::from_fn(|c| dot(gv[i], s.m[c])));
    let mut by_world = [[R::ZERO; 3]; 3];
    for c in 0..3 {
        out[3 + c] += s.scale[c] * dot(column(&gm, c), column(&s.turned, c));
        let by_turned = column(&gm, c).map(|v| v * s.scale[c]);
        for i in 0..3 {
            by_world[i][c] = dot(column(&camera.rotation, i), by_turned);
        }
    }
    rotation_backward(&s, &by_world, &mut out[6..10]);
    let z = s.p[2];
    let (zz, zzz) = (z * z, z * z * z);
    let mut gp = [R::ZERO, R::ZERO, g.channels[3]];
    for (a, f) in [fx, fy].into_iter().enumerate() {
        gp[a] += f / z * g.mean[a];
        gp[2] += -(f * s.p[a] / zz * g.mean[a]) - f / zz * gj[a][a] + two * f * s.t[a] / zzz * gj[a][2];
        if s.inside[a] {
            gp[a] += -(f / zz * gj[a][2]);
        } else {
            gp[2] += -(f * s.t[a] / zzz * gj[a][2]);
        }
    }
    let mut by_dir = [R::ZERO; 3];
    for ch in 0..3 {
        if s.colour[ch] > R::ZERO {
            for b in 0..(camera.sh_degree + 1).pow(2) {
                out[SH + 3 * b + ch] += g.channels[ch] * s.basis[b].v;
                let weight = g.channels[ch] * row[SH + 3 * b + ch];
                for c in 0..3 {
                    by_dir[c] += weight * s.basis[b].d[c];
                }
            }
        }
    }
    let dir = s.to_mean.map(|v| v / s.distance);
    let along = dot(dir, by_dir);
    for c in 0..3 {
        out[c] += dot(column(&camera.rotation, c), gp) + (by_dir[c] - along * dir[c]) / s.distance;
    }
}

/// Rotation matrix → quaternion before normalisation.
fn rotation_backward<R: Real>(s: &Terms<R>, d: &Mat<R>, out: &mut [R]) {
    let [w, x, y, z] = s.q;
    let two = R::of(2.0);
    let g = [
        two * (x * (d[2][1] - d[1][2]) + y * (d[0][2] - d[2][0]) + z * (d[1][0] - d[0][1])),
        two * (y * (d[0][1] + d[1][0]) + z * (d[0][2] + d[2][0]) + w * (d[2][1] - d[1][2])
            - two * x * (d[1][1] + d[2][2])),
        two * (x * (d[0][1] + d[1][0]) + z * (d[1][2] + d[2][1]) + w * (d[0][2] - d[2][0])
            - two * y * (d[0][0] + d[2][2])),
        two * (x * (d[0][2] + d[2][0]) + y * (d[1][2] + d[2][1]) + w * (d[1][0] - d[0][1])
            - two * z * (d[0][0] + d[1][1])),
    ];
    let along = (0..4).map(|k| g[k] * s.q[k]).sum::<R>();
    for k in 0..4 {
        out[k] += (g[k] - along * s.q[k]) / s.q_norm;
    }
}
