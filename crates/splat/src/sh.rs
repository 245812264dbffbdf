//! Real spherical harmonics (Condon–Shortley phase), degrees 0 to 4, with derivatives by dual numbers.

use std::ops::{Add, Mul, Sub};

/// What values of functions are made of.
pub(crate) trait Number: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {}
impl<N: Copy + Add<Output = N> + Sub<Output = N> + Mul<Output = N>> Number for N {}

/// A value and its derivatives by `K` numbers: the three coordinates of a direction, or the one along a change.
#[derive(Clone, Copy)]
pub(crate) struct Dual<R, const K: usize = 3> {
    pub v: R,
    pub d: [R; K],
}

// Loops: closures would not be compiled for the instruction set of their caller.
impl<R: Number, const K: usize> Add for Dual<R, K> {
    type Output = Self;
    #[inline(always)]
    fn add(mut self, b: Self) -> Self {
        self.v = self.v + b.v;
        for k in 0..K {
            self.d[k] = self.d[k] + b.d[k];
        }
        self
    }
}

impl<R: Number, const K: usize> Sub for Dual<R, K> {
    type Output = Self;
    #[inline(always)]
    fn sub(mut self, b: Self) -> Self {
        self.v = self.v - b.v;
        for k in 0..K {
            self.d[k] = self.d[k] - b.d[k];
        }
        self
    }
}

impl<R: Number, const K: usize> Mul for Dual<R, K> {
    type Output = Self;
    #[allow(clippy::suspicious_arithmetic_impl)] // the product rule adds
    #[inline(always)]
    fn mul(mut self, b: Self) -> Self {
        for k in 0..K {
            self.d[k] = self.d[k] * b.v + self.v * b.d[k];
        }
        self.v = self.v * b.v;
        self
    }
}

/// Values of the (degree + 1)² basis functions at the unit direction `dir`, and their derivatives by its coordinates
/// (taken as independent). `number` makes constants.
#[inline(always)]
pub(crate) fn basis<R: Number>(degree: usize, dir: [R; 3], number: impl Fn(f64) -> R) -> [Dual<R>; 25] {
    let unit = |k: usize| {
        let mut d = [number(0.0); 3];
        d[k] = number(1.0);
        Dual { v: dir[k], d }
    };
    values(degree, [unit(0), unit(1), unit(2)], |x| Dual { v: number(x), d: [number(0.0); 3] })
}

/// The values alone.
#[inline(always)]
pub(crate) fn values<R: Number>(degree: usize, [x, y, z]: [R; 3], c: impl Fn(f64) -> R) -> [R; 25] {
    let mut out = [c(0.0); 25];
    out[0] = c(0.2820947917738781);
    if degree >= 1 {
        let k = c(-0.4886025119029199);
        out[1] = k * y;
        out[2] = c(0.4886025119029199) * z;
        out[3] = k * x;
    }
    if degree < 2 {
        return out;
    }
    let (xx, yy, zz, xy, yz, xz) = (x * x, y * y, z * z, x * y, y * z, x * z);
    out[4] = c(1.0925484305920792) * xy;
    out[5] = c(-1.0925484305920792) * yz;
    out[6] = c(0.31539156525252005) * (c(2.0) * zz - xx - yy);
    out[7] = c(-1.0925484305920792) * xz;
    out[8] = c(0.5462742152960396) * (xx - yy);
    if degree >= 3 {
        out[9] = c(-0.5900435899266435) * y * (c(3.0) * xx - yy);
        out[10] = c(2.890611442640554) * xy * z;
        out[11] = c(-0.4570457994644658) * y * (c(4.0) * zz - xx - yy);
        out[12] = c(0.3731763325901154) * z * (c(2.0) * zz - c(3.0) * xx - c(3.0) * yy);
        out[13] = c(-0.4570457994644658) * x * (c(4.0) * zz - xx - yy);
        out[14] = c(1.445305721320277) * z * (xx - yy);
        out[15] = c(-0.5900435899266435) * x * (xx - c(3.0) * yy);
    }
    if degree >= 4 {
        let seven = c(7.0) * zz;
        out[16] = c(2.5033429417967046) * xy * (xx - yy);
        out[17] = c(-1.7701307697799304) * yz * (c(3.0) * xx - yy);
        out[18] = c(0.9461746957575601) * xy * (seven - c(1.0));
        out[19] = c(-0.6690465435572892) * yz * (seven - c(3.0));
        out[20] = c(0.10578554691520431) * (c(35.0) * zz * zz - c(30.0) * zz + c(3.0));
        out[21] = c(-0.6690465435572892) * xz * (seven - c(3.0));
        out[22] = c(0.47308734787878004) * (xx - yy) * (seven - c(1.0));
        out[23] = c(-1.7701307697799304) * xz * (xx - c(3.0) * yy);
        out[24] = c(0.6258357354491761) * (xx * (xx - c(3.0) * yy) - yy * (c(3.0) * xx - yy));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basis_is_orthonormal_on_the_sphere() {
        // Equal steps in the azimuth are exact for these degrees; in z midpoints, with an error of 1e-5.
        let (n_z, n_turn) = (2000, 16);
        let mut sums = [[0.0f64; 25]; 25];
        for i in 0..n_z {
            let z = (i as f64 + 0.5) / n_z as f64 * 2.0 - 1.0;
            for k in 0..n_turn {
                let turn = (k as f64 + 0.3) / n_turn as f64 * std::f64::consts::TAU;
                let r = (1.0 - z * z).sqrt();
                let y = basis(4, [r * turn.cos(), r * turn.sin(), z], |x| x).map(|y| y.v);
                for a in 0..25 {
                    for b in 0..25 {
                        sums[a][b] += y[a] * y[b] * 4.0 * std::f64::consts::PI / (n_z * n_turn) as f64;
                    }
                }
            }
        }
        for a in 0..25 {
            for b in 0..25 {
                assert!((sums[a][b] - (a == b) as u8 as f64).abs() < 1e-4, "functions {a} and {b}: {}", sums[a][b]);
            }
        }
    }
}
