//! Rolling shutters of posed pictures.

use crate::camera::View;
use glam::{DMat3, DQuat, DVec3};

/// How a camera moved while its picture was read out line by line, from the pose at the first line to that at the last.
///
/// Rotations between are interpolated spherically, translations of world → camera linearly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Readout {
    /// The rotation vector (radians) and the translation of the camera's own axes from the first line to the last: at the time
    /// s, −½ at the first line and ½ at the last, the pose R, t of the middle has become exp(s ω) R, t + s v.
    pub motion: [f64; 6],
    /// Lines are columns, read from the left; otherwise rows, read from the top.
    pub columns: bool,
}

/// Ways to read a picture out: name, whether lines are columns, and whether they come from the bottom or the right.
const WAYS: [(&str, bool, bool); 4] = [
    ("top_to_bottom", false, false),
    ("bottom_to_top", false, true),
    ("left_to_right", true, false),
    ("right_to_left", true, true),
];

impl Readout {
    /// The names of the ways to read a picture out.
    pub(super) fn ways() -> String {
        WAYS.map(|w| w.0).join(", ")
    }

    /// The pose in the middle of a readout and the motion, from the poses at its beginning and its end; `None` for a way that
    /// has no such name.
    pub(super) fn between(first: &View, last: &View, way: &str) -> Option<(View, Self)> {
        let &(_, columns, backward) = WAYS.iter().find(|w| w.0 == way)?;
        let pose = |view: &View| {
            let row = |r: usize| DVec3::new(view.viewmat[r][0], view.viewmat[r][1], view.viewmat[r][2]);
            let turn = DMat3::from_cols(row(0), row(1), row(2)).transpose();
            (turn, DVec3::new(view.viewmat[0][3], view.viewmat[1][3], view.viewmat[2][3]))
        };
        let ((from, start), (to, end)) = (pose(first), pose(last));
        let spin = DQuat::from_mat3(&(to * from.transpose())).to_scaled_axis();
        let middle = DMat3::from_quat(DQuat::from_scaled_axis(0.5 * spin)) * from;
        let centre = 0.5 * (start + end);
        let row = |r: usize| [middle.col(0)[r], middle.col(1)[r], middle.col(2)[r], centre[r]];
        let view = View { viewmat: [row(0), row(1), row(2), first.viewmat[3]], ..first.clone() };
        // Lines that are counted from the other side see the opposite motion.
        let sign = if backward { -1.0 } else { 1.0 };
        let (spin, speed) = (sign * spin, sign * (end - start));
        Some((view, Self { motion: [spin.x, spin.y, spin.z, speed.x, speed.y, speed.z], columns }))
    }
}
