//! Where things of a fused network are: parameters in their packed form, numbers that are kept, a workgroup's tile.

use crate::mlp::blocks::{Plan, count};
use lumigrad_core::device::Limits;

/// Components of the widest layer that is fused.
const MOST_UNITS: usize = 128;
/// Streams of the most that are fused: beyond, sums do not fit in registers.
const MOST_STREAMS: usize = 10;
/// Points in fours and streams that a workgroup's tile has at least in the backward pass: with fewer, sums of parameter
/// gradients move more than layers do.
const FEWEST_ROWS: usize = 8;
/// Bytes of a workgroup's memory that are used even if there are more, so that several workgroups fit on a processor.
const WORKGROUP_BYTES: usize = 48 << 10;
/// Invocations of a workgroup at most, and points in fours.
const INVOCATIONS: usize = 256;
const FOURS: usize = 64;

/// A layer in the packed parameters, whose unit is four numbers.
#[derive(Clone, Debug)]
pub struct Place {
    /// Components in and out, and those out in fours.
    pub takes: usize,
    pub makes: usize,
    pub blocks: usize,
    /// Rows of weights, of `blocks` fours each; then the bias, one row.
    pub weight: usize,
    pub bias: Option<usize>,
    /// First row of what it keeps, of all points in fours each.
    pub kept: Option<usize>,
    /// Streams before and after its activation, by their slots.
    pub before: Vec<usize>,
    pub after: Vec<usize>,
}

/// Sizes of a workgroup.
#[derive(Clone, Copy, Debug)]
pub struct Tile {
    /// Points in fours.
    pub fours: usize,
    pub invocations: usize,
}

/// A network's layout; does not depend on the number of points.
#[derive(Clone, Debug)]
pub struct Layout {
    pub layers: Vec<Place>,
    /// Fours of all parameters.
    pub packed: usize,
    /// Rows of what is kept.
    pub kept: usize,
    /// Streams that come out: what others are slots of.
    pub streams: usize,
    pub forward: Tile,
    pub backward: Tile,
}

impl Layout {
    /// Of a network; none where it does not fit the device.
    pub fn new(plan: &Plan, limits: &Limits) -> Option<Self> {
        let slots = |present: &[bool]| -> Vec<usize> {
            let known = plan.results().iter().scan(0, |next, &p| {
                *next += p as usize;
                Some(*next - p as usize)
            });
            present.iter().zip(known).filter(|(p, _)| **p).map(|(_, slot)| slot).collect()
        };
        let (mut packed, mut kept) = (0, 0);
        let layers = plan.layers.iter().map(|layer| {
            let blocks = layer.makes.div_ceil(4);
            let weight = packed;
            packed += layer.takes * blocks;
            let bias = plan.bias.then_some(packed);
            packed += if plan.bias { blocks } else { 0 };
            let own = layer.keeps.then_some(kept);
            kept += if layer.keeps { count(&layer.present) * layer.makes } else { 0 };
            Place {
                takes: layer.takes,
                makes: layer.makes,
                blocks,
                weight,
                bias,
                kept: own,
                before: slots(&layer.present),
                after: slots(&layer.results),
            }
        });
        let layers: Vec<Place> = layers.collect();
        let streams = count(plan.results());
        let n_in = layers[0].before.len();
        let n_parameters = layers.len() * if plan.bias { 2 } else { 1 };
        let widest = plan.most_components();
        let skips = plan.layers.iter().any(|l| l.skipped > 0);
        // Streams in, out and in again, packed parameters, what is kept, sums.
        let buffers = (2 * n_in + streams + 3).max(n_parameters + 1);
        if skips || widest > MOST_UNITS || streams > MOST_STREAMS || buffers > limits.buffers {
            return None;
        }
        let tile = |tiles: usize| {
            let blocks = layers.iter().map(|l| l.blocks.max(l.takes.div_ceil(4))).max().unwrap_or(1);
            let bytes = tiles * 4 * blocks * streams * 16;
            let fours = (limits.workgroup_bytes.min(WORKGROUP_BYTES) / bytes)
                .min(limits.invocations.min(INVOCATIONS) / blocks)
                .min(FOURS);
            // Neighbouring invocations have neighbouring points: powers of two keep them in step.
            let fours = fours.checked_ilog2().map_or(0, |log| 1 << log);
            Tile { fours, invocations: fours * blocks }
        };
        let (forward, backward) = (tile(1), tile(2));
        (backward.fours * streams >= FEWEST_ROWS).then_some(Self { layers, packed, kept, streams, forward, backward })
    }

    /// Fours of the tile's components.
    pub fn columns(&self) -> usize {
        self.layers.iter().map(|l| 4 * l.blocks.max(l.takes.div_ceil(4))).max().unwrap_or(4)
    }
}
