//! The CPU body.

use super::{Params, SpreadBuffers};
use crate::kernels::by_rays;
use lumigrad_core::Real;

pub fn spread<R: Real>(_: &Params, _items: usize, b: SpreadBuffers<'_, R>) {
    let c = R::from_f64;
    by_rays(b.offsets, [b.pulls], |_, range, [pulls]| {
        // Places are measured from the first sample: only differences count.
        let Some(&start) = b.middles.get(range.start) else { return };
        let (mut behind, mut behind_m) = (R::ZERO, R::ZERO);
        for i in range.clone() {
            behind += b.weights[i];
            behind_m += b.weights[i] * (b.middles[i] - start);
        }
        let (mut before, mut before_m) = (R::ZERO, R::ZERO);
        for (i, pull) in range.zip(pulls) {
            let (w, m) = (b.weights[i], b.middles[i] - start);
            behind -= w;
            behind_m -= w * m;
            *pull = c(2.0) * (m * (before - behind) - (before_m - behind_m)) + c(2.0 / 3.0) * b.lengths[i] * w;
            before += w;
            before_m += w * m;
        }
    });
}
