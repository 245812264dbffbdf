//! How much views disagree where one ends and another begins.

use super::painted::Painted;

/// Mean differences of neighbouring texels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seams {
    /// Where the two are best seen by different views: the gradient's size across their border, per texel.
    pub across: f64,
    /// Where they are best seen by one.
    pub within: f64,
    /// Neighbours on borders.
    pub n: usize,
}

/// Measures them in a texture in which each texel has the value [P, 3] of the pixel that sees it straightest.
pub fn seams(painted: &Painted, best: &[Option<u32>], pixels: &[f32], per_view: usize) -> Seams {
    let [columns, rows] = painted.size;
    let (mut sums, mut counts) = ([0.0; 2], [0usize; 2]);
    for (k, here) in best.iter().enumerate() {
        let Some(a) = here.map(|p| p as usize) else { continue };
        let (x, y) = (k % columns, k / columns % rows);
        for other in [(x + 1 < columns).then_some(k + 1), (y + 1 < rows).then_some(k + columns)].into_iter().flatten() {
            let Some(b) = best[other].map(|p| p as usize) else { continue };
            let difference: f64 =
                (0..3).map(|c| (pixels[3 * a + c] - pixels[3 * b + c]).abs() as f64).sum::<f64>() / 3.0;
            let border = usize::from(a / per_view == b / per_view);
            sums[border] += difference;
            counts[border] += 1;
        }
    }
    let mean = |k: usize| sums[k] / counts[k].max(1) as f64;
    Seams { across: mean(0), within: mean(1), n: counts[0] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_between_views_is_a_seam_and_one_within_a_view_is_none() {
        // Two views of two pixels each paint a row of four texels, and twice as many below that nobody sees.
        let painted =
            Painted { materials: vec![None], size: [4, 4], texels: (0..4).map(Some).collect(), weights: vec![1.0; 4] };
        let best = super::super::compose::best(&painted);
        let found = seams(&painted, &best, &[0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.6, 0.6, 0.6, 0.9, 0.9, 0.9], 2);
        assert!((found.across - 0.5).abs() < 1e-6 && (found.within - 0.2).abs() < 1e-6 && found.n == 1, "{found:?}");
    }
}
