//! Pictures of numbers.

use lumigrad_scene::picture::{Picture, Transfer};

/// Colours from low to high: dark blue, teal, green, yellow.
const RAMP: [[f32; 3]; 5] =
    [[0.27, 0.0, 0.33], [0.23, 0.32, 0.55], [0.13, 0.57, 0.55], [0.37, 0.79, 0.38], [0.99, 0.91, 0.14]];

/// The colour at a share of a row of colours, from 0 for the first to 1 for the last.
pub fn ramp(colours: &[[f32; 3]], share: f32) -> [f32; 3] {
    let t = share.clamp(0.0, 1.0) * (colours.len() - 1) as f32;
    let at = (t as usize).min(colours.len() - 2);
    let rest = t - at as f32;
    std::array::from_fn(|c| colours[at][c] + (colours[at + 1][c] - colours[at][c]) * rest)
}

/// Numbers, row-major from the top, as colours from the lowest to the highest; what is not finite is black.
pub fn coloured(numbers: &[f32], width: usize, height: usize) -> Picture {
    let finite = || numbers.iter().copied().filter(|x| x.is_finite());
    let (lo, hi) = (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max));
    let shown = |x: f32| {
        if !x.is_finite() {
            return [0.0; 3];
        }
        ramp(&RAMP, if hi > lo { (x - lo) / (hi - lo) } else { 0.5 })
    };
    let data = numbers.iter().flat_map(|&x| shown(x)).collect();
    Picture { width, height, channels: 3, data, transfer: Transfer::Srgb, premultiplied: false }
}

#[cfg(test)]
mod tests {
    use super::coloured;

    #[test]
    fn colours_go_from_the_lowest_to_the_highest() {
        let p = coloured(&[3.0, 5.0, f32::NAN, 4.0], 2, 2);
        assert_eq!(p.data[..3], super::RAMP[0]);
        assert_eq!(p.data[3..6], super::RAMP[4]);
        assert_eq!(p.data[6..9], [0.0; 3]);
        assert_eq!(p.data[9..], super::RAMP[2]);
        assert_eq!(coloured(&[1.0; 4], 2, 2).data[..3], super::RAMP[2]);
    }
}
