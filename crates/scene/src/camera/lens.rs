//! Projections and distortion models.

/// How camera-space directions meet the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Lens {
    /// Pinhole.
    #[default]
    Perspective,
    /// Parallel rays; the intrinsics' `fx`, `fy` are pixels per metre (width / (2·xmag), height / (2·ymag)).
    Orthographic,
    /// OpenCV's radial-tangential model; the radial factor is
    /// (1 + k1·r² + k2·r⁴ + k3·r⁶) / (1 + k4·r² + k5·r⁴ + k6·r⁶).
    OpenCv {
        /// k1 to k6.
        k: [f64; 6],
        /// p1, p2.
        p: [f64; 2],
    },
    /// OpenCV's fisheye model: θ_d = θ·(1 + k1·θ² + k2·θ⁴ + k3·θ⁶ + k4·θ⁸).
    Fisheye {
        /// k1 to k4.
        k: [f64; 4],
    },
}

/// Steps of Newton's method: it doubles the digits each step, so this is ample wherever it converges.
const STEPS: usize = 40;
const TOLERANCE: f64 = 1e-13;

impl Lens {
    /// Normalised picture coordinates (pixels = f·x + c) of a camera-space point.
    pub(super) fn distort(&self, [x, y, z]: [f64; 3]) -> Option<[f64; 2]> {
        if *self == Self::Orthographic {
            return Some([x, y]);
        }
        if z.is_nan() || z <= 0.0 {
            return None;
        }
        let (x, y) = (x / z, y / z);
        match self {
            Self::OpenCv { k, p } => {
                let (_, slope) = radial(k, x * x + y * y);
                (slope > 0.0).then(|| tangential(k, p, x, y).0)
            }
            Self::Fisheye { k } => {
                let r = x.hypot(y);
                let (bent, slope) = fisheye(k, r.atan());
                let scale = if r > 1e-12 { bent / r } else { 1.0 };
                (slope > 0.0).then_some([x * scale, y * scale])
            }
            _ => Some([x, y]),
        }
    }

    /// Undistorted coordinates (x/z, y/z; for an orthographic lens x, y) of normalised picture coordinates.
    pub(super) fn undistort(&self, [u, v]: [f64; 2]) -> Option<[f64; 2]> {
        match self {
            Self::Perspective | Self::Orthographic => Some([u, v]),
            Self::OpenCv { k, p } => {
                let (mut x, mut y) = (u, v);
                for _ in 0..STEPS {
                    let ([a, b], [[xx, xy], [yx, yy]]) = tangential(k, p, x, y);
                    let (ex, ey, det) = (a - u, b - v, xx * yy - xy * yx);
                    x -= (yy * ex - xy * ey) / det;
                    y -= (xx * ey - yx * ex) / det;
                    if ex.hypot(ey) < TOLERANCE {
                        return (radial(k, x * x + y * y).1 > 0.0).then_some([x, y]);
                    }
                }
                let ([a, b], _) = tangential(k, p, x, y);
                ((a - u).hypot(b - v) < 1e-9 && radial(k, x * x + y * y).1 > 0.0).then_some([x, y])
            }
            Self::Fisheye { k } => {
                let bent = u.hypot(v);
                let mut angle = bent;
                for _ in 0..STEPS {
                    let (value, slope) = fisheye(k, angle);
                    angle -= (value - bent) / slope;
                    if (value - bent).abs() < TOLERANCE {
                        break;
                    }
                }
                let (value, slope) = fisheye(k, angle);
                let seen = (value - bent).abs() < 1e-9
                    && slope > 0.0
                    && (0.0..std::f64::consts::FRAC_PI_2).contains(&angle.abs());
                let scale = if bent > 1e-12 { angle.tan() / bent } else { 1.0 };
                seen.then_some([u * scale, v * scale])
            }
        }
    }
}

/// The radial factor at squared radius `q`, and the slope of radius·factor over the radius (negative: folded back).
fn radial(k: &[f64; 6], q: f64) -> (f64, f64) {
    let polynomial = |a: f64, b: f64, c: f64| (1.0 + q * (a + q * (b + q * c)), a + q * (2.0 * b + q * 3.0 * c));
    let (above, above_slope) = polynomial(k[0], k[1], k[2]);
    let (below, below_slope) = polynomial(k[3], k[4], k[5]);
    let slope = (above_slope * below - above * below_slope) / (below * below);
    (above / below, above / below + 2.0 * q * slope)
}

/// Distorted coordinates and their Jacobian.
fn tangential(k: &[f64; 6], p: &[f64; 2], x: f64, y: f64) -> ([f64; 2], [[f64; 2]; 2]) {
    let q = x * x + y * y;
    let (factor, along) = radial(k, q);
    // d factor / d q, from the slope of r·factor: factor + 2q·factor'.
    let derivative = if q > 0.0 { (along - factor) / (2.0 * q) } else { k[0] - k[3] };
    let [p1, p2] = *p;
    let value = [
        x * factor + 2.0 * p1 * x * y + p2 * (q + 2.0 * x * x),
        y * factor + p1 * (q + 2.0 * y * y) + 2.0 * p2 * x * y,
    ];
    let cross = 2.0 * x * y * derivative + 2.0 * p1 * x + 2.0 * p2 * y;
    let jacobian = [
        [factor + 2.0 * x * x * derivative + 2.0 * p1 * y + 6.0 * p2 * x, cross],
        [cross, factor + 2.0 * y * y * derivative + 6.0 * p1 * y + 2.0 * p2 * x],
    ];
    (value, jacobian)
}

/// Bent angle and its slope.
fn fisheye(k: &[f64; 4], angle: f64) -> (f64, f64) {
    let q = angle * angle;
    let value = angle * (1.0 + q * (k[0] + q * (k[1] + q * (k[2] + q * k[3]))));
    (value, 1.0 + q * (3.0 * k[0] + q * (5.0 * k[1] + q * (7.0 * k[2] + q * 9.0 * k[3]))))
}
