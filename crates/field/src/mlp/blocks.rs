//! How a network's work is cut into blocks of points that stay in the cache.

use super::{Mlp, after};
use crate::jet::Activate;
use crate::{Activation, Derivatives};
use lumigrad_core::map::Slices;

/// Rows (points times streams) of a block: long enough for matrix products to be fast, short enough that a layer's
/// numbers fit in a core's cache.
const ROWS: usize = 384;
/// Parts of the work that have parameter gradients of their own.
const GROUPS: usize = 16;
/// Bytes of all these gradients.
const GROUP_BYTES: usize = 128 << 20;

/// One layer.
pub struct Layer {
    /// Components that it takes of the layer before, of the network's input, and that it makes.
    pub takes: usize,
    pub skipped: usize,
    pub makes: usize,
    /// Streams that come in; those before the activation are the same.
    pub present: Vec<bool>,
    /// Streams after the activation.
    pub results: Vec<bool>,
    /// Whether the numbers before its activation are kept for the backward pass.
    pub keeps: bool,
    /// The activation over streams, and its gradient; none for the identity.
    pub activation: Option<(Slices, Slices)>,
}

/// How many streams are there.
pub fn count(present: &[bool]) -> usize {
    present.iter().filter(|&&p| p).count()
}

/// The layers of a network for jets of one kind.
pub struct Plan {
    pub layers: Vec<Layer>,
    pub bias: bool,
}

/// How N points are cut.
#[derive(Clone, Copy)]
pub struct Cut {
    pub n: usize,
    /// Points of a block.
    pub points: usize,
    /// Blocks of a group.
    pub blocks: usize,
}

impl Plan {
    pub fn new(mlp: &Mlp, derivatives: &Derivatives, present: &[bool]) -> Self {
        let mut present = present.to_vec();
        let layers = (0..mlp.n_layers()).map(|layer| {
            let activation = mlp.activation_after(layer);
            let results = after(activation, derivatives, &present);
            let slices = (activation != Activation::Identity).then(|| {
                let map = Activate::new(activation, derivatives, &present).map();
                (map.slices(), map.vjp_slices(&vec![true; count(&results)], &vec![true; count(&present)]))
            });
            Layer {
                takes: mlp.widths[layer],
                skipped: mlp.takes(layer) - mlp.widths[layer],
                makes: mlp.widths[layer + 1],
                present: std::mem::replace(&mut present, results.clone()),
                results,
                keeps: slices.is_some() || layer + 1 < mlp.n_layers(),
                activation: slices,
            }
        });
        Self { layers: layers.collect(), bias: mlp.bias }
    }

    /// Streams that come out.
    pub fn results(&self) -> &[bool] {
        &self.layers[self.layers.len() - 1].results
    }

    /// Streams of the widest layer.
    pub fn most_streams(&self) -> usize {
        self.layers.iter().map(|l| count(&l.results).max(count(&l.present))).max().unwrap_or(1)
    }

    /// Components of the widest layer.
    pub fn most_components(&self) -> usize {
        self.layers.iter().map(|l| l.makes.max(l.takes).max(l.skipped)).max().unwrap_or(1)
    }

    /// Numbers before activations that a point has.
    pub fn kept(&self) -> usize {
        self.layers.iter().filter(|l| l.keeps).map(|l| count(&l.present) * l.makes).sum()
    }

    /// Numbers of all parameters.
    pub fn n_parameters(&self) -> usize {
        self.layers.iter().map(|l| (l.takes + l.skipped) * l.makes + if self.bias { l.makes } else { 0 }).sum()
    }

    /// Cuts N points into blocks and groups; depends on sizes only.
    pub fn cut(&self, n: usize) -> Cut {
        let points = (ROWS / self.most_streams()).max(16);
        let blocks = n.div_ceil(points);
        let groups = GROUPS.min(GROUP_BYTES / (4 * self.n_parameters().max(1))).clamp(2, GROUPS);
        Cut { n, points, blocks: blocks.div_ceil(groups).max(1) }
    }
}

impl Cut {
    /// Groups.
    pub fn groups(&self) -> usize {
        self.n.div_ceil(self.points * self.blocks)
    }

    /// First point and number of points of each block of a group.
    pub fn of_group(self, group: usize) -> impl Iterator<Item = (usize, usize)> {
        let start = group * self.points * self.blocks;
        let end = (start + self.points * self.blocks).min(self.n);
        (start..end).step_by(self.points).map(move |at| (at, self.points.min(end - at)))
    }
}
