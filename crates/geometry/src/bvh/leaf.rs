use super::{Row, WIDTH};
use fearless_simd::{Select, Simd, SimdBase, SimdFloat, SimdFrom, f32x8};
use glam::DVec3;

/// Eight triangles, each in a frame of its own: corners (0, 0), (b, 0) and `c` in the plane of `u` and `v`, `n` across.
#[repr(C, align(32))]
pub(crate) struct Leaf {
    origin: [Row; 3],
    u: [Row; 3],
    v: [Row; 3],
    n: [Row; 3],
    b: Row,
    c: [Row; 2],
    /// Inverse squares of the sides that meet in `c`, 0 where there is no such side.
    inverse_bc: Row,
    inverse_ca: Row,
}

impl Leaf {
    pub fn empty() -> Self {
        let three = [[0.0; WIDTH]; 3];
        let one = [0.0; WIDTH];
        Self { origin: three, u: three, v: three, n: three, b: one, c: [one; 2], inverse_bc: one, inverse_ca: one }
    }

    pub fn set(&mut self, lane: usize, [a, b, c]: [DVec3; 3]) {
        let along = if b != a { b - a } else { c - a };
        let u = along.try_normalize().unwrap_or(DVec3::X);
        let n = (b - a).cross(c - a).try_normalize().unwrap_or_else(|| u.any_orthonormal_vector());
        let v = n.cross(u);
        let (b, c) = ((b - a).dot(u), [(c - a).dot(u), (c - a).dot(v)]);
        for k in 0..3 {
            self.origin[k][lane] = a[k] as f32;
            self.u[k][lane] = u[k] as f32;
            self.v[k][lane] = v[k] as f32;
            self.n[k][lane] = n[k] as f32;
        }
        let inverse = |x: f64, y: f64| {
            let square = (x * x + y * y) as f32;
            if square > f32::MIN_POSITIVE { 1.0 / square } else { 0.0 }
        };
        self.b[lane] = b as f32;
        self.c[0][lane] = c[0] as f32;
        self.c[1][lane] = c[1] as f32;
        self.inverse_bc[lane] = inverse(c[0] - b, c[1]);
        self.inverse_ca[lane] = inverse(c[0], c[1]);
    }

    /// A point in the triangles' frames.
    #[inline(always)]
    fn place<S: Simd>(&self, simd: S, at: [f32; 3]) -> [f32x8<S>; 3] {
        let row = |r: &Row| f32x8::simd_from(simd, *r);
        let zero = f32x8::splat(simd, 0.0);
        let (mut x, mut y, mut z) = (zero, zero, zero);
        for k in 0..3 {
            let d = at[k] - row(&self.origin[k]);
            x = d.mul_add(row(&self.u[k]), x);
            y = d.mul_add(row(&self.v[k]), y);
            z = d.mul_add(row(&self.n[k]), z);
        }
        [x, y, z]
    }

    /// Squared distances: across the plane for points above the triangle, to the nearest side for others.
    #[inline(always)]
    pub fn squares<S: Simd>(&self, simd: S, at: [f32; 3]) -> f32x8<S> {
        let [x, y, z] = self.place(simd, at);
        let (zero, one) = (f32x8::splat(simd, 0.0), f32x8::splat(simd, 1.0));
        let b = f32x8::simd_from(simd, self.b);
        let (cx, cy) = (f32x8::simd_from(simd, self.c[0]), f32x8::simd_from(simd, self.c[1]));
        let dx = x - x.max(zero).min(b);
        let to_ab = dx.mul_add(dx, y * y);
        // From b to c.
        let (ex, px) = (cx - b, x - b);
        let t = ex.mul_add(px, cy * y) * f32x8::simd_from(simd, self.inverse_bc);
        let t = t.max(zero).min(one);
        let (dx, dy) = (px - t * ex, y - t * cy);
        let to_bc = dx.mul_add(dx, dy * dy);
        let left_bc = ex * y - cy * px;
        // From a to c; c goes back to a.
        let t = cx.mul_add(x, cy * y) * f32x8::simd_from(simd, self.inverse_ca);
        let t = t.max(zero).min(one);
        let (dx, dy) = (x - t * cx, y - t * cy);
        let to_ca = dx.mul_add(dx, dy * dy);
        let left_ca = cy * x - cx * y;
        let above = y.simd_gt(zero) & left_bc.simd_gt(zero) & left_ca.simd_gt(zero);
        let flat = above.select(zero, to_ab.min(to_bc).min(to_ca));
        z.mul_add(z, flat)
    }

    /// Halves of the solid angles that the triangles are seen under, positive from behind (Van Oosterom & Strackee
    /// 1983, in the triangles' frames).
    #[inline(always)]
    pub fn half_angles<S: Simd>(&self, simd: S, at: [f32; 3]) -> f32x8<S> {
        let [x, y, z] = self.place(simd, at);
        let b = f32x8::simd_from(simd, self.b);
        let (cx, cy) = (f32x8::simd_from(simd, self.c[0]), f32x8::simd_from(simd, self.c[1]));
        let (bx, cx, cy_) = (b - x, cx - x, cy - y);
        let zz = z * z;
        let (yy, y_zz) = (y * y, y.mul_add(y, zz));
        let la = x.mul_add(x, y_zz).sqrt();
        let lb = bx.mul_add(bx, y_zz).sqrt();
        let lc = cx.mul_add(cx, cy_.mul_add(cy_, zz)).sqrt();
        // Dot products of the corners a = (−x, −y, −z), b and c.
        let ab = yy + zz - x * bx;
        let ac = zz - x * cx - y * cy_;
        let bc = bx.mul_add(cx, zz) - y * cy_;
        let down = (la * lb).mul_add(lc, ab.mul_add(lc, ac.mul_add(lb, bc * la)));
        atan2(simd, -(z * b * cy), down)
    }
}

/// The angle of (x, y), to 2e-7; 0 where both are.
#[inline(always)]
fn atan2<S: Simd>(simd: S, y: f32x8<S>, x: f32x8<S>) -> f32x8<S> {
    let c = |x: f32| f32x8::splat(simd, x);
    let (ax, ay) = (x.abs(), y.abs());
    let steep = ay.simd_gt(ax);
    let r = ax.min(ay) / ax.max(ay).max(c(f32::MIN_POSITIVE));
    let rr = r * r;
    // Least maximum of |atan r − r p(r²)| on [0, 1].
    let mut p = c(-4.054_560_3e-3);
    for k in [0.021_862_933, -0.055_912_293, 0.096_421_95, -0.139_086_29, 0.199_465_65, -0.333_298_6, 0.999_999_34] {
        p = p.mul_add(rr, c(k));
    }
    let angle = p * r;
    let angle = steep.select(c(std::f32::consts::FRAC_PI_2) - angle, angle);
    let angle = x.simd_lt(c(0.0)).select(c(std::f32::consts::PI) - angle, angle);
    angle.copysign(y)
}
