//! LDR-FLIP, the difference that a viewer sees when alternating between two pictures (Andersson et al. 2020).

use crate::plane::{Plane, gaussian};
use crate::{Error, check};
use rayon::prelude::*;
use std::f64::consts::PI;

/// Pixels per degree of the published figures: 0.7 m from a 0.7 m wide screen of 3840 pixels.
pub const FLIP_PIXELS_PER_DEGREE: f64 = 67.02;
/// Pixels per degree that make sense, and keep windows small.
const RANGE: std::ops::RangeInclusive<f64> = 1.0..=1000.0;

/// Contrast sensitivity of a channel as a sum of Gaussians (a, b): a √(π/b) exp(−π² x²/b), x in degrees (§4.1.1).
type Sensitivity = &'static [(f64, f64)];
const ACHROMATIC: Sensitivity = &[(1.0, 0.0047)];
const RED_GREEN: Sensitivity = &[(1.0, 0.0053)];
const BLUE_YELLOW: Sensitivity = &[(34.1, 0.04), (13.5, 0.025)];
/// The largest b: all windows reach three of its standard deviations.
const WIDEST: f64 = 0.04;

/// Exponent of colour differences (§4.1.2).
const QC: f64 = 0.7;
/// Colour differences up to this fraction of the largest fill the lower [`PT`] of the range.
const PC: f64 = 0.4;
const PT: f64 = 0.95;
/// Width of a feature, degrees (§4.2).
const FEATURE_WIDTH: f64 = 0.082;
/// Exponent of feature differences.
const QF: f64 = 0.5;

/// Linear Rec. 709 to XYZ; row sums are the D65 white.
const XYZ: [[f64; 3]; 3] = [
    [10_135_552.0 / 24_577_794.0, 8_788_810.0 / 24_577_794.0, 4_435_075.0 / 24_577_794.0],
    [2_613_072.0 / 12_288_897.0, 8_788_810.0 / 12_288_897.0, 887_015.0 / 12_288_897.0],
    [1_425_312.0 / 73_733_382.0, 8_788_810.0 / 73_733_382.0, 70_074_185.0 / 73_733_382.0],
];

/// Mean of [`flip_map`]; 0 for empty pictures.
///
/// # Errors
/// As [`flip_map`].
pub fn flip(a: &[f32], b: &[f32], width: usize, height: usize, pixels_per_degree: f64) -> Result<f64, Error> {
    let map = flip_map(a, b, width, height, pixels_per_degree)?;
    Ok(map.iter().sum::<f64>() / map.len().max(1) as f64)
}

/// LDR-FLIP of [height, width, 3] pictures per pixel: 0 where no difference is seen, 1 the largest.
///
/// `pixels_per_degree` of the visual field: [`FLIP_PIXELS_PER_DEGREE`] unless the viewing distance is known. Symmetric
/// in the pictures. **Cost**: windows of about 0.3 `pixels_per_degree` pixels, separable.
///
/// **Source**: Andersson, Nilsson, Akenine-Möller, Oskarsson, Åström, Fairchild, "FLIP: A Difference Evaluator for
/// Alternating Images", 2020; constants of its §4 and of the authors' program.
///
/// # Errors
/// Pictures that are not both `width` × `height` × 3; pixels per degree that are not from 1 to 1000.
pub fn flip_map(a: &[f32], b: &[f32], width: usize, height: usize, pixels_per_degree: f64) -> Result<Vec<f64>, Error> {
    check(a, b, width * height * 3)?;
    if !RANGE.contains(&pixels_per_degree) {
        return Err(Error::PixelsPerDegree(pixels_per_degree));
    }
    if a.is_empty() {
        return Ok(vec![]);
    }
    let [a, b] = [a, b].map(|x| Seen::new(x, width, height, pixels_per_degree));
    let largest = hyab(hunt([0.0, 1.0, 0.0]), hunt([0.0, 0.0, 1.0])).powf(QC);
    let pixel = |i: usize| {
        let colour = redistributed(hyab(a.colors[i], b.colors[i]).powf(QC), largest);
        let (edges, points) = (a.edges[i] - b.edges[i], a.points[i] - b.points[i]);
        let feature = (edges.abs().max(points.abs()) / 2f64.sqrt()).powf(QF);
        colour.powf(1.0 - feature)
    };
    Ok((0..width * height).into_par_iter().map(pixel).collect())
}

/// What is seen of a picture.
struct Seen {
    /// L, a, b after the eye's blur and Hunt's correction.
    colors: Vec<[f64; 3]>,
    /// Strength of edges and of points in lightness.
    edges: Vec<f64>,
    points: Vec<f64>,
}

impl Seen {
    fn new(picture: &[f32], width: usize, height: usize, ppd: f64) -> Self {
        let channels: [Plane; 3] = std::array::from_fn(|c| Plane::of_channel(picture, width, height, 3, c));
        let pixels = |p: &[Plane; 3]| -> Vec<[f64; 3]> {
            (0..width * height).into_par_iter().map(|i| std::array::from_fn(|c| p[c].data[i])).collect()
        };
        let opponent: Vec<[f64; 3]> = pixels(&channels).into_par_iter().map(|p| to_opponent(p.map(decoded))).collect();
        let plane = |c: usize| Plane { width, height, data: opponent.iter().map(|p| p[c]).collect() };
        let [y, cx, cz] = [plane(0), plane(1), plane(2)];
        let blurred = [(&y, ACHROMATIC), (&cx, RED_GREEN), (&cz, BLUE_YELLOW)].map(|(p, s)| blurred(p, s, ppd));
        let colors = pixels(&blurred).into_par_iter().map(|p| hunt(from_opponent(p))).collect();
        let lightness = Plane { data: y.data.iter().map(|y| (y + 16.0) / 116.0).collect(), ..y };
        let [edges, points] = [true, false].map(|edge| strength(&lightness, edge, ppd));
        Self { colors, edges, points }
    }
}

/// A plane as the eye resolves it: a sum of separable Gaussians, normalised together.
fn blurred(plane: &Plane, sensitivity: Sensitivity, ppd: f64) -> Plane {
    let radius = (3.0 * (WIDEST / 2.0).sqrt() / PI * ppd).ceil() as usize;
    let extended = plane.extended(radius);
    let taps = |b: f64| -> Vec<f64> {
        let at = |k: usize| (k as f64 - radius as f64) / ppd;
        (0..=2 * radius).map(|k| (-(PI * at(k)).powi(2) / b).exp()).collect()
    };
    let mut out = Plane { data: vec![0.0; plane.data.len()], ..*plane };
    let mut total = 0.0;
    for &(a, b) in sensitivity {
        let (taps, share) = (taps(b), a * (PI / b).sqrt());
        total += share * taps.iter().sum::<f64>().powi(2);
        out = out.zip(&extended.filtered(&taps, &taps), |sum, x| sum + share * x);
    }
    out.data.iter_mut().for_each(|x| *x /= total);
    out
}

/// Length of the gradient (`edge`) or of the second derivatives of a plane under a Gaussian window.
fn strength(plane: &Plane, edge: bool, ppd: f64) -> Vec<f64> {
    let sigma = 0.5 * FEATURE_WIDTH * ppd;
    let radius = (3.0 * sigma).ceil() as usize;
    let window = gaussian(sigma, radius);
    let derivative = |(k, g): (usize, &f64)| {
        let x = k as f64 - radius as f64;
        g * if edge { -x } else { (x / sigma).powi(2) - 1.0 }
    };
    let mut taps: Vec<f64> = window.iter().enumerate().map(derivative).collect();
    // Positive weights sum to 1, negative ones to −1.
    let sum = |sign: f64| taps.iter().map(|t| (sign * t).max(0.0)).sum::<f64>();
    let (up, down) = (sum(1.0), sum(-1.0));
    taps.iter_mut().for_each(|t| *t /= if *t > 0.0 { up } else { down });
    let extended = plane.extended(radius);
    extended.filtered(&taps, &window).zip(&extended.filtered(&window, &taps), f64::hypot).data
}

/// Differences of most colours spread over most of the range.
fn redistributed(difference: f64, largest: f64) -> f64 {
    let knee = PC * largest;
    if difference < knee { PT / knee * difference } else { PT + (difference - knee) / (largest - knee) * (1.0 - PT) }
}

/// HyAB distance: city-block in lightness, Euclidean in chroma.
fn hyab(p: [f64; 3], q: [f64; 3]) -> f64 {
    (p[0] - q[0]).abs() + (p[1] - q[1]).hypot(p[2] - q[2])
}

fn decoded(x: f64) -> f64 {
    if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) }
}

/// XYZ relative to white.
fn to_xyz(rgb: [f64; 3]) -> [f64; 3] {
    XYZ.map(|row| (0..3).map(|c| row[c] * rgb[c]).sum::<f64>() / row.iter().sum::<f64>())
}

/// Linear RGB to the opponent space Y Cx Cz (Poynton 2012).
fn to_opponent(rgb: [f64; 3]) -> [f64; 3] {
    let [x, y, z] = to_xyz(rgb);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// Inverse of [`to_opponent`], clamped to [0, 1].
fn from_opponent([y, cx, cz]: [f64; 3]) -> [f64; 3] {
    let y = (y + 16.0) / 116.0;
    let relative = [y + cx / 500.0, y, y - cz / 200.0];
    let xyz: [f64; 3] = std::array::from_fn(|r| relative[r] * XYZ[r].iter().sum::<f64>());
    // The inverse by cofactors: rows of the adjugate are cross products of columns.
    let column = |c: usize| [XYZ[0][c], XYZ[1][c], XYZ[2][c]];
    let cross =
        |p: [f64; 3], q: [f64; 3]| [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]];
    let dot = |p: [f64; 3], q: [f64; 3]| p[0] * q[0] + p[1] * q[1] + p[2] * q[2];
    std::array::from_fn(|c| {
        let adjugate = cross(column((c + 1) % 3), column((c + 2) % 3));
        (dot(adjugate, xyz) / dot(adjugate, column(c))).clamp(0.0, 1.0)
    })
}

/// CIELAB of linear RGB, with chroma scaled by lightness (Hunt's effect).
fn hunt(rgb: [f64; 3]) -> [f64; 3] {
    const DELTA: f64 = 6.0 / 29.0;
    let [x, y, z] =
        to_xyz(rgb).map(|t| if t > DELTA.powi(3) { t.cbrt() } else { t / (3.0 * DELTA * DELTA) + 4.0 / 29.0 });
    let l = 116.0 * y - 16.0;
    [l, 0.01 * l * 500.0 * (x - y), 0.01 * l * 200.0 * (y - z)]
}

#[test]
fn opponent_space_has_its_inverse() {
    for rgb in [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.9, 0.02, 0.4], [0.1, 0.7, 0.3]] {
        let back = from_opponent(to_opponent(rgb));
        (0..3).for_each(|c| assert!((back[c] - rgb[c]).abs() < 1e-12, "{rgb:?} {back:?}"));
    }
}
