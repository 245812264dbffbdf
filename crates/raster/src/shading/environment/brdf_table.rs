//! Directional albedo of the BRDF, integrated in f64 once per process.
//!
//! Row (roughness k / 32, N·V i / 64), N·V fastest, holds
//! - A = ∫ D Vis (1 − p) N·L dL and B = ∫ D Vis p N·L dL, p = (1 − V·H)⁵: the specular albedo is F0 A + F90 B;
//! - C = ∫ p N·L dL / π: the diffuse part is weighted by 1 − F0 − (F90 − F0) C (it does not depend on roughness);
//! - S: the lobe's mean direction is along N + S (R − N), R the mirrored view. Rough lobes lean towards the normal;
//! - Q: the roughness whose prefiltered lobe (N = V = R) has the same mean length, i.e. is as wide. Rough lobes that the
//!   horizon cuts are narrower.

use lumigrad_core::map::{Expr, Table};
use rayon::prelude::*;
use std::f64::consts::{PI, TAU};
use std::sync::LazyLock;

/// Intervals along N·V.
pub const COSINES: usize = 64;
/// Intervals along roughness.
pub const ROUGHNESSES: usize = 32;

/// [A, B, C, S, Q] of all nodes.
pub fn values() -> &'static [[f64; 5]] {
    static VALUES: LazyLock<Vec<[f64; 5]>> = LazyLock::new(|| {
        let diffuse: Vec<f64> =
            (0..=COSINES).into_par_iter().map(|i| diffuse_loss(i as f64 / COSINES as f64)).collect();
        (0..(COSINES + 1) * (ROUGHNESSES + 1))
            .into_par_iter()
            .map(|node| {
                let (k, i) = (node / (COSINES + 1), node % (COSINES + 1));
                let [a, b, s, q] = specular(i as f64 / COSINES as f64, k as f64 / ROUGHNESSES as f64);
                [a, b, diffuse[i], s, q]
            })
            .collect()
    });
    &VALUES
}

/// A, B, S and Q at one N·V and roughness.
pub fn specular(nv: f64, roughness: f64) -> [f64; 4] {
    // At the ends S is a limit.
    let nv = nv.clamp(1e-3, 0.999);
    let mirror = (1.0 - nv).powi(5);
    if roughness <= 0.0 {
        return [1.0 - mirror, mirror, 1.0, 0.0];
    }
    let a2 = roughness.powi(4);
    let sine = (1.0 - nv * nv).sqrt();
    let smith = |x: f64, y: f64| x * (y * y * (1.0 - a2) + a2).sqrt();
    let (rings, sectors) = (96, 32);
    let mut sum = [0.0; 2];
    let mut mean = [0.0; 2]; // along the normal, and across towards R
    for ring in 0..rings {
        // Half vectors with density D · N·H; the square puts more rings into the tail.
        let s = (ring as f64 + 0.5) / rings as f64;
        let (u, du) = (1.0 - s * s, 2.0 * s);
        let nh = ((1.0 - u) / (1.0 + (a2 - 1.0) * u)).sqrt();
        let sh = (1.0 - nh * nh).max(0.0).sqrt();
        for sector in 0..sectors {
            let phi = PI * (sector as f64 + 0.5) / sectors as f64;
            let vh = sine * sh * phi.cos() + nv * nh;
            let nl = 2.0 * vh * nh - nv;
            if nl > 0.0 && vh > 0.0 {
                // f N·L / pdf with pdf = D N·H / (4 V·H).
                let w = 2.0 / (smith(nl, nv) + smith(nv, nl)) * nl * vh / nh * du;
                let p = (1.0 - vh).powi(5);
                sum[0] += w * (1.0 - p);
                sum[1] += w * p;
                mean[0] += w * nl;
                mean[1] += w * (sine - 2.0 * vh * sh * phi.cos());
            }
        }
    }
    let slope = mean[1] / mean[0];
    let s = slope / (sine + slope * (1.0 - nv));
    let n = (rings * sectors) as f64;
    let length = (mean[0] * mean[0] + mean[1] * mean[1]).sqrt() / (sum[0] + sum[1]);
    [sum[0] / n, sum[1] / n, s, as_wide(length)]
}

/// Length of the mean direction of the prefiltered lobe of a roughness.
fn mean_length(roughness: f64) -> f64 {
    let a2 = roughness.powi(4);
    let n = 2000;
    let (mut mean, mut all) = (0.0, 0.0);
    for k in 0..n {
        let s = (k as f64 + 0.5) / n as f64;
        let u = 1.0 - s * s;
        let nh2 = (1.0 - u) / (1.0 + (a2 - 1.0) * u);
        let nl = (2.0 * nh2 - 1.0).max(0.0);
        mean += s * nl * nl;
        all += s * nl;
    }
    mean / all
}

/// The roughness whose prefiltered lobe has this mean length.
fn as_wide(length: f64) -> f64 {
    static LENGTHS: LazyLock<Vec<f64>> = LazyLock::new(|| (0..=200).map(|k| mean_length(k as f64 / 200.0)).collect());
    let k = LENGTHS.partition_point(|&l| l > length).clamp(1, 200);
    let (a, b) = (LENGTHS[k - 1], LENGTHS[k]);
    ((k - 1) as f64 + ((a - length) / (a - b)).clamp(0.0, 1.0)) / 200.0
}

fn diffuse_loss(nv: f64) -> f64 {
    let sine = (1.0 - nv * nv).sqrt();
    let (rings, sectors) = (64, 64);
    let mut sum = 0.0;
    for ring in 0..rings {
        // Directions with density N·L / π.
        let u = (ring as f64 + 0.5) / rings as f64;
        let (nl, sl) = ((1.0 - u).sqrt(), u.sqrt());
        for sector in 0..sectors {
            let phi = TAU * (sector as f64 + 0.5) / sectors as f64;
            let vl = sine * sl * phi.cos() + nv * nl;
            // |V + L|² = 2 + 2 V·L and V·H = (1 + V·L) / |V + L|.
            sum += (1.0 - ((1.0 + vl).max(0.0) * 0.5).sqrt()).powi(5);
        }
    }
    sum / (rings * sectors) as f64
}

/// [A, B, C, S, Q], bilinear; both arguments in [0, 1].
pub fn lookup(table: Table<5>, nv: Expr, roughness: Expr) -> [Expr; 5] {
    let split = |x: Expr, n: usize| {
        let x = x.clamp(0.0, 1.0) * n as f64;
        let low = x.floor().min(n as f64 - 1.0);
        (low.to_int(), x - low)
    };
    let ((i, f), (k, g)) = (split(nv, COSINES), split(roughness, ROUGHNESSES));
    let first = k * (COSINES as i32 + 1) + i;
    super::bilinear(table, first, COSINES as i32 + 1, f, g)
}
