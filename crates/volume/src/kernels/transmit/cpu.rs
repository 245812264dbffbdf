//! The CPU bodies: rays in parallel, the samples of a ray one after the other.

use super::{Params, WeightsBuffers, WeightsJvpBuffers, WeightsVjpBuffers};
use crate::kernels::by_rays;
use lumigrad_core::Real;

/// 1 − e⁻ˣ, which keeps its digits near zero.
#[inline(always)]
fn opacity<R: Real>(x: R) -> R {
    let c = R::of;
    if x < c(0.02) {
        let third = R::ONE / c(3.0);
        let more = R::ONE - c(0.2) * x * (R::ONE - third * c(0.5) * x);
        x * (R::ONE - c(0.5) * x * (R::ONE - x * third * (R::ONE - c(0.25) * x * more)))
    } else {
        R::ONE - (-x).exp()
    }
}

pub fn weights<R: Real>(_: &Params, _items: usize, b: WeightsBuffers<'_, R>) {
    by_rays(b.offsets, [b.weights], |_, range, [weights]| {
        let mut depth = R::ZERO;
        for (i, weight) in range.zip(weights) {
            let tau = b.densities[i] * b.lengths[i];
            *weight = (-depth).exp() * opacity(tau);
            depth += tau;
        }
    });
}

pub fn weights_vjp<R: Real>(_: &Params, _items: usize, b: WeightsVjpBuffers<'_, R>) {
    by_rays(b.offsets, [b.gradient], |_, range, [gradient]| {
        // The gradient's place keeps how deep each sample lies until the way back.
        let mut depth = R::ZERO;
        for (i, place) in range.clone().zip(gradient.iter_mut()) {
            *place = depth;
            depth += b.densities[i] * b.lengths[i];
        }
        let mut behind = R::ZERO;
        for (i, place) in range.zip(gradient).rev() {
            let tau = b.densities[i] * b.lengths[i];
            let (before, g) = ((-*place).exp(), b.cotangents[i]);
            *place = b.lengths[i] * (g * before * (-tau).exp() - behind);
            behind += g * before * opacity(tau);
        }
    });
}

pub fn weights_jvp<R: Real>(_: &Params, _items: usize, b: WeightsJvpBuffers<'_, R>) {
    by_rays(b.offsets, [b.moved], |_, range, [moved]| {
        let (mut depth, mut depth_moved) = (R::ZERO, R::ZERO);
        for (i, place) in range.zip(moved) {
            let (tau, tau_moved) = (b.densities[i] * b.lengths[i], b.tangents[i] * b.lengths[i]);
            *place = (-depth).exp() * ((-tau).exp() * tau_moved - depth_moved * opacity(tau));
            depth += tau;
            depth_moved += tau_moved;
        }
    });
}
