//! The field of a source by itself, near it: exact, and cut off smoothly, so that a network has the rest to say.

use super::C;
use std::f64::consts::PI;

/// Steps of a deviation, or of 1/k where that is less, in the table.
const FINE: f64 = 200.0;
/// Most rows of the table.
const MOST: usize = 1 << 20;
/// Deviations beyond which a source is nothing.
const REACH: f64 = 9.0;
/// Where it is cut off: from a deviation on, over two wavelengths, but at most this far.
const FARTHEST: f64 = 0.7;

/// A round source of unit integral in open space of one wave number, by distance.
///
/// s = −(iπ/2)·[H₀⁽²⁾(kr)·∫₀ʳ J₀(kq) f(q) q dq + J₀(kr)·∫ᵣ^∞ H₀⁽²⁾(kq) f(q) q dq] solves s″ + s′/r + k²s = −f and goes out;
/// what is added to the network is χ·s, χ falling from 1 to 0 between two distances.
pub struct Near {
    wavenumber: f64,
    width: f64,
    step: f64,
    /// s and s′.
    table: Vec<[C; 2]>,
    from: f64,
    to: f64,
}

impl Near {
    pub fn new(wavenumber: f64, width: f64) -> Self {
        let from = width.min(0.5 * FARTHEST);
        let to = (from + 4.0 * PI / wavenumber).min(FARTHEST);
        let end = to.max(REACH * width);
        let n = ((end / (width.min(1.0 / wavenumber) / FINE)) as usize).clamp(1000, MOST);
        let step = end / (n - 1) as f64;
        // At the middle the second kind is infinite; what multiplies it is zero.
        let bessel = |r: f64| {
            let z = wavenumber * r.max(0.5 * step);
            let (j, y) = (libm::j0(wavenumber * r), libm::y0(z));
            let slopes = (-wavenumber * libm::j1(wavenumber * r), -wavenumber * libm::y1(z));
            ((j, slopes.0), (C::new(j, -y), C::new(slopes.0, -slopes.1)))
        };
        let all: Vec<_> = (0..n).map(|i| bessel(i as f64 * step)).collect();
        let source = |r: f64| (-0.5 * (r / width).powi(2)).exp() / (2.0 * PI * width * width);
        let share = |i: usize| source(i as f64 * step) * i as f64 * step * step;
        // Trapezoids: the sum to the middle of rows.
        let mut outer = vec![C::new(0.0, 0.0); n];
        for i in (0..n - 1).rev() {
            outer[i] = outer[i + 1] + 0.5 * (all[i].1.0 * share(i) + all[i + 1].1.0 * share(i + 1));
        }
        let (mut inner, mut table) = (0.0, Vec::with_capacity(n));
        for (i, ((j, j_slope), (h, h_slope))) in all.iter().enumerate() {
            if i > 0 {
                inner += 0.5 * (all[i - 1].0.0 * share(i - 1) + j * share(i));
            }
            let turn = C::new(0.0, -0.5 * PI);
            table.push([turn * (h * inner + outer[i] * j), turn * (h_slope * inner + outer[i] * j_slope)]);
        }
        Self { wavenumber, width, step, table, from, to }
    }

    /// The source itself at a distance.
    pub fn source(&self, r: f64) -> f64 {
        (-0.5 * (r / self.width).powi(2)).exp() / (2.0 * PI * self.width * self.width)
    }

    /// s, s′ and s″ at a distance that is in the table.
    fn open(&self, r: f64) -> [C; 3] {
        let at = (r / self.step).min((self.table.len() - 2) as f64);
        let (i, t) = (at as usize, at.fract());
        let mix = |k: usize| self.table[i][k] * (1.0 - t) + self.table[i + 1][k] * t;
        let (s, slope) = (mix(0), mix(1));
        let rest = -self.source(r) - self.wavenumber * self.wavenumber * s;
        // Near the middle s′/r is s″.
        match r > 2.0 * self.step {
            true => [s, slope, rest - slope / r],
            false => [s, rest * (0.5 * r), rest * 0.5],
        }
    }

    /// χ·s and its derivatives along x, xx, y, yy at a place relative to the source, in the order of the equation's factors:
    /// x, xx, y, yy, value. `None` where it is zero.
    pub fn at(&self, [x, y]: [f64; 2]) -> Option<[C; 5]> {
        let r = x.hypot(y);
        if r >= self.to {
            return None;
        }
        let [s, s1, s2] = self.open(r);
        let [c, c1, c2] = self.cut(r);
        let (g, g1, g2) = (c * s, c * s1 + c1 * s, c * s2 + 2.0 * c1 * s1 + c2 * s);
        if r <= 2.0 * self.step {
            return Some([g2 * x, g2, g2 * y, g2, g]);
        }
        let (a, b) = (x / r, y / r);
        let across = g1 / r;
        Some([g1 * a, g2 * (a * a) + across * (b * b), g1 * b, g2 * (b * b) + across * (a * a), g])
    }

    /// χ and its derivatives: a polynomial with two continuous ones.
    fn cut(&self, r: f64) -> [f64; 3] {
        let unit = 1.0 / (self.to - self.from);
        let t = ((r - self.from) * unit).clamp(0.0, 1.0);
        let value = 1.0 - t * t * t * (10.0 - 15.0 * t + 6.0 * t * t);
        [value, -30.0 * (t * (1.0 - t)).powi(2) * unit, -60.0 * t * (1.0 - t) * (1.0 - 2.0 * t) * unit * unit]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_from_the_source_it_is_the_greens_function() {
        // A Gaussian keeps exp(−(kσ)²/2) of waves of this length.
        let (k, width) = (20.0, 0.05);
        let near = Near::new(k, width);
        for r in [0.35, 0.5, 0.65] {
            let kept = f64::exp(-0.5 * (k * width) * (k * width));
            let known = kept * C::new(-0.25 * libm::y0(k * r), -0.25 * libm::j0(k * r));
            assert!((near.open(r)[0] - known).norm() < 1e-4 * known.norm(), "{r}");
        }
    }

    #[test]
    fn derivatives_are_those_of_the_field_that_is_cut_off() {
        let near = Near::new(20.0, 0.05);
        let h = 1e-3;
        for p in [[0.02, 0.01], [0.2, -0.15], [-0.4, 0.1], [0.05, 0.5]] {
            let at = |dx: f64, dy: f64| near.at([p[0] + dx, p[1] + dy]).unwrap()[4];
            let own = near.at(p).unwrap();
            let first = [at(h, 0.0) - at(-h, 0.0), at(0.0, h) - at(0.0, -h)].map(|d| d / (2.0 * h));
            let second = [at(h, 0.0) + at(-h, 0.0), at(0.0, h) + at(0.0, -h)].map(|s| (s - own[4] * 2.0) / (h * h));
            for (found, known, size) in
                [(own[0], first[0], 1.0), (own[2], first[1], 1.0), (own[1], second[0], 20.0), (own[3], second[1], 20.0)]
            {
                assert!((found - known).norm() < 0.02 * size, "{p:?}: {found} {known}");
            }
        }
    }
}
