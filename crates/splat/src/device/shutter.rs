//! Rolling shutters: cameras that move while their picture is read out, line by line. All of their mathematics is here.

use super::CameraVars;
use crate::Shutter;
use crate::project::{Mat, column};
use lumigrad_core::Var;
use lumigrad_core::map::{Builder, Expr, vector};

/// Newton steps that find the time at which a mean is read out.
const STEPS: usize = 4;
/// Least share of the readout's speed that is left where what is seen runs along with it.
const SLOWEST: f64 = 0.1;
/// Means are taken to be read out within as many readouts before and after the middle.
const LONGEST: f64 = 1.0;

/// Which lines a camera reads out one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// From the top to the bottom.
    Rows,
    /// From the left to the right.
    Columns,
}

/// What projects a mean, at the time at which it is read out.
pub(super) struct Moment {
    /// The mean as the camera sees it.
    pub p: [Expr; 3],
    /// World → camera rotation.
    pub turn: Mat<Expr>,
    /// What the motion makes of displacements in the picture, as seen from the mean: `[x by x, x by y, y by x, y by y]`;
    /// none where the camera stands still.
    pub shear: Option<[Expr; 4]>,
}

/// Where a map's camera sees a mean: parameters of [`super::project::project_map`].
pub(super) struct Seen {
    pub mean: [Expr; 3],
    /// The upper three rows of world → camera, in the middle of the readout.
    pub pose: [Expr; 12],
    pub intrinsics: [Expr; 4],
    pub size: [Expr; 2],
    pub near: Expr,
    pub parallel: bool,
}

impl Seen {
    /// The moment at which the mean is seen. A camera with a shutter has an input more: its motion during the readout.
    ///
    /// The time s of a line is −½ at the first and ½ at the last one; the pose then is p ↦ exp(s ω) R p + t + s v. A mean is
    /// seen at the time s that is that of the place where it is then seen: τ(x(s)) = s, by Newton's steps, which also make the
    /// derivatives those of the implicit function. What is near the mean is seen by the same law to first order: with
    /// x(p, τ(x)), dx = (I − ẋ τ′)⁻¹ J dp.
    pub fn moment(&self, m: &mut Builder, lines: Option<Lines>) -> Moment {
        let row = |r: usize| [self.pose[4 * r], self.pose[4 * r + 1], self.pose[4 * r + 2]];
        let middle = [row(0), row(1), row(2)];
        let turned = middle.map(|r| vector::dot(r, self.mean));
        let moved = [3, 7, 11].map(|k| self.pose[k]);
        let Some(lines) = lines else {
            return Moment { p: vector::add(turned, moved), turn: middle, shear: None };
        };
        let [x, y, z, speed @ ..] = m.uniform::<6>("shutter");
        let spin = [x, y, z];
        let along = if lines == Lines::Rows { 1 } else { 0 };
        let per_line = 1.0 / (self.size[along] - 1.0).max(1.0);
        let angle = vector::dot(spin, spin).max(1e-24).sqrt();
        let axis = spin.map(|x| x / angle);
        // Rodrigues' formula.
        let rotated = |a: [Expr; 3], s: Expr| -> [Expr; 3] {
            let (cos, sin) = ((s * angle).cos(), (s * angle).sin());
            let (across, part) = (vector::cross(axis, a), vector::dot(axis, a) * (1.0 - cos));
            std::array::from_fn(|k| a[k] * cos + across[k] * sin + axis[k] * part)
        };
        let place = |s: Expr| -> ([Expr; 3], [Expr; 2]) {
            let r = rotated(turned, s);
            let p: [Expr; 3] = std::array::from_fn(|k| r[k] + moved[k] + s * speed[k]);
            let dp = vector::add(vector::cross(spin, r), speed);
            let z = self.depth(p);
            let slip = |k: usize| if self.parallel { dp[k] } else { (dp[k] - p[k] / z * dp[2]) / z };
            (p, [self.intrinsics[0] * slip(0), self.intrinsics[1] * slip(1)])
        };
        let line = |p: [Expr; 3]| self.intrinsics[along] * p[along] / self.depth(p) + self.intrinsics[2 + along];
        let left = |slip: [Expr; 2]| (1.0 - slip[along] * per_line).max(SLOWEST);
        let mut s = Expr::from(0.0);
        for _ in 0..STEPS {
            let (p, slip) = place(s);
            let late = s - ((line(p) - 0.5) * per_line - 0.5);
            s = (s - late / left(slip)).clamp(-LONGEST, LONGEST);
        }
        let (p, slip) = place(s);
        let per_left = 1.0 / left(slip);
        let (zero, one) = (Expr::from(0.0), Expr::from(1.0));
        let shear = match lines {
            Lines::Rows => [one, slip[0] * per_line * per_left, zero, per_left],
            Lines::Columns => [per_left, zero, slip[1] * per_line * per_left, one],
        };
        let columns = [0, 1, 2].map(|k| rotated(column(&middle, k), s));
        let turn = std::array::from_fn(|i| std::array::from_fn(|k| columns[k][i]));
        Moment { p, turn, shear: Some(shear) }
    }

    /// What positions are divided by.
    fn depth(&self, p: [Expr; 3]) -> Expr {
        match self.parallel {
            true => Expr::from(1.0),
            false => self.near.less_eq(p[2]).select(p[2], 1.0),
        }
    }
}

impl Moment {
    /// Two lines of numbers that stand for x and y of displacements in the picture, sheared by the motion.
    pub fn sheared(&self, x: [Expr; 3], y: [Expr; 3]) -> [[Expr; 3]; 2] {
        let Some([xx, xy, yx, yy]) = self.shear else { return [x, y] };
        let mix = |a: Expr, b: Expr| std::array::from_fn(|k| a * x[k] + b * y[k]);
        [mix(xx, xy), mix(yx, yy)]
    }
}

/// The lines that a camera reads out, where it moves, and inputs of maps for it.
pub(super) fn lines_of(camera: &CameraVars) -> (Option<Lines>, Option<&Var>) {
    match &camera.shutter {
        Some((lines, motion)) => (Some(*lines), Some(motion)),
        None => (None, None),
    }
}

impl Shutter {
    /// Lines and motion, where there is any.
    pub(super) fn motion(&self) -> Option<(Lines, [f32; 6])> {
        match *self {
            Shutter::Global => None,
            Shutter::Rows(motion) => Some((Lines::Rows, motion)),
            Shutter::Columns(motion) => Some((Lines::Columns, motion)),
        }
    }
}
