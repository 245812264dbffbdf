//! Hand-written kernels.

pub mod march;
pub mod octree;
pub mod spread;
pub mod transmit;

use lumigrad_core::Real;
use lumigrad_core::kernel::KernelSpec;
use std::ops::Range;

/// All kernels of this crate.
pub const KERNELS: &[KernelSpec] = &[
    march::MarchCount::SPEC,
    march::MarchEmit::SPEC,
    march::Visible::SPEC,
    march::Keep::SPEC,
    octree::Locate::SPEC,
    octree::WalkCount::SPEC,
    octree::WalkEmit::SPEC,
    transmit::Weights::SPEC,
    transmit::WeightsVjp::SPEC,
    transmit::WeightsJvp::SPEC,
    spread::Spread::SPEC,
];

/// Rays that a thread takes at a time.
const PIECE: usize = 64;

/// Below it a ray does not move along an axis.
const STILL: f32 = 1e-12;

/// The part of a range of distances in which a ray is in the cube, or without end where space is not bounded; without a
/// direction, or where the ray misses the cube, it ends before it begins.
fn span<R: Real>(origin: [R; 3], direction: [R; 3], [mut near, mut far]: [R; 2], unbounded: bool) -> [R; 2] {
    if direction.iter().all(|d| *d == R::ZERO) {
        far = -R::ONE;
    }
    if unbounded {
        return [near, far];
    }
    for (o, d) in origin.into_iter().zip(direction) {
        if d.abs() < R::of(STILL) {
            if o.abs() > R::ONE {
                far = -R::ONE;
            }
            continue;
        }
        let (one, two) = ((-R::ONE - o) / d, (R::ONE - o) / d);
        near = near.max(one.min(two));
        far = far.min(one.max(two));
    }
    [near, far]
}

/// Row `k` of an array of three columns.
fn row<R: Copy>(data: &[R], k: usize) -> [R; 3] {
    [data[3 * k], data[3 * k + 1], data[3 * k + 2]]
}

/// Runs `f` for every ray, in parallel, with its number, the range of its samples, and that range of the outputs.
fn by_rays<R: Send, const N: usize>(
    offsets: &[u32],
    outputs: [&mut [R]; N],
    f: impl Fn(usize, Range<usize>, [&mut [R]; N]) + Sync,
) {
    if offsets.len() > 1 {
        halves(offsets, 0, outputs, &f);
    }
}

fn halves<R: Send, const N: usize>(
    offsets: &[u32],
    first: usize,
    outputs: [&mut [R]; N],
    f: &(impl Fn(usize, Range<usize>, [&mut [R]; N]) + Sync),
) {
    let rays = offsets.len() - 1;
    if rays > PIECE {
        let middle = rays / 2;
        let (before, behind) = cut(outputs, (offsets[middle] - offsets[0]) as usize);
        rayon::join(
            || halves(&offsets[..=middle], first, before, f),
            || halves(&offsets[middle..], first + middle, behind, f),
        );
        return;
    }
    let mut rest = outputs;
    for k in 0..rays {
        let range = offsets[k] as usize..offsets[k + 1] as usize;
        let (own, behind) = cut(rest, range.len());
        f(first + k, range, own);
        rest = behind;
    }
}

type Outputs<'a, R, const N: usize> = [&'a mut [R]; N];

fn cut<R, const N: usize>(outputs: Outputs<'_, R, N>, at: usize) -> (Outputs<'_, R, N>, Outputs<'_, R, N>) {
    let mut parts = outputs.map(|o| o.split_at_mut(at));
    let before = parts.each_mut().map(|p| std::mem::take(&mut p.0));
    (before, parts.map(|p| p.1))
}

#[cfg(test)]
mod tests {
    #[test]
    fn shaders_are_valid_and_match_their_declarations() {
        lumigrad_testkit::check_shaders(super::KERNELS);
    }
}
