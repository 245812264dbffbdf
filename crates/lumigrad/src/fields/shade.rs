//! Pictures of numbers.

use lumigrad_scene::picture::{Picture, Transfer};

/// Colours from low to high: dark blue, teal, green, yellow.
const RAMP: [[f32; 3]; 5] =
    [[0.27, 0.0, 0.33], [0.23, 0.32, 0.55], [0.13, 0.57, 0.55], [0.37, 0.79, 0.38], [0.99, 0.91, 0.14]];

/// Colours from hollow to bulging: blue, grey, red.
const SIDES: [[f32; 3]; 3] = [[0.23, 0.30, 0.75], [0.86, 0.86, 0.86], [0.71, 0.02, 0.15]];
/// Part of the numbers that colours tell apart: the rest is beyond the last colour.
const TOLD: f64 = 0.95;

/// The colour at a share of a row of colours, from 0 for the first to 1 for the last.
pub fn ramp(colours: &[[f32; 3]], share: f32) -> [f32; 3] {
    let t = share.clamp(0.0, 1.0) * (colours.len() - 1) as f32;
    let at = (t as usize).min(colours.len() - 2);
    let rest = t - at as f32;
    std::array::from_fn(|c| colours[at][c] * (1.0 - rest) + colours[at + 1][c] * rest)
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

/// What most of some numbers are below, whatever their sign; 1 where they are all 0.
pub fn scale_of(numbers: &[f32]) -> f32 {
    let mut sizes: Vec<f32> = numbers.iter().map(|h| h.abs()).filter(|h| h.is_finite()).collect();
    sizes.sort_by(f32::total_cmp);
    let at = (TOLD * sizes.len() as f64) as usize;
    sizes.get(at.min(sizes.len().saturating_sub(1))).copied().filter(|&h| h > 0.0).unwrap_or(1.0)
}

/// Curvatures as display colours, from −range to range.
pub fn curvature_colours(curvatures: &[f32], range: f32) -> Vec<[f32; 3]> {
    curvatures.iter().map(|h| ramp(&SIDES, 0.5 + 0.5 * h / range)).collect()
}

/// Amounts as display colours, from 0 to a largest.
pub fn amounts(numbers: &[f32], largest: f32) -> Vec<[f32; 3]> {
    numbers.iter().map(|x| ramp(&RAMP, x / largest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_from_the_lowest_to_the_highest() {
        let p = coloured(&[3.0, 5.0, f32::NAN, 4.0], 2, 2);
        assert_eq!(p.data[..3], RAMP[0]);
        assert_eq!(p.data[3..6], RAMP[4]);
        assert_eq!(p.data[6..9], [0.0; 3]);
        assert_eq!(p.data[9..], RAMP[2]);
        assert_eq!(coloured(&[1.0; 4], 2, 2).data[..3], RAMP[2]);
    }

    #[test]
    fn colours_of_curvature_are_even_on_both_sides() {
        let curvatures: Vec<f32> = (-100..=100).map(|k| k as f32).collect();
        let range = scale_of(&curvatures);
        assert!((90.0..=100.0).contains(&range), "{range}");
        assert_eq!(curvature_colours(&[-1e9, 0.0, 1e9], range), SIDES);
        assert_eq!(scale_of(&[0.0, f32::NAN]), 1.0);
        assert_eq!(scale_of(&[]), 1.0);
    }
}
