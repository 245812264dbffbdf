//! A network of functions that are known at some points of the unit square: what it learnt at one resolution it says at others.
//!
//! Blocks look at what is about a point, through bumps that have a place and a width in the square, not in pixels; of points that
//! are not known nothing is used. Between them, means over the cells of a coarse grid go through a [`UNet`] and come back to the
//! points by interpolation (after Bond-Taylor & Willcocks 2023, whose fine levels are sparse convolutions).

use super::features::VIEW;
use super::layers::{Layout, Linear};
use super::{FEATURES, UNet, UNetConfig};
use crate::{Error, Result};
use lumigrad_core::ops::{self, pointwise};
use lumigrad_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

/// Bumps about a point: three along each side of the square.
const BUMPS: usize = 9;
/// Weight of points below which there are none.
const NONE: f64 = 1e-6;
/// Most cells of the coarse grid, and points that a file may be trained at, along a side.
const MOST: usize = 1024;

/// Sizes of a [`PointNet`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointConfig {
    /// Pixels along a side that it is trained at: bumps are a pixel of these apart.
    pub size: usize,
    /// Channels at points.
    pub width: usize,
    /// Blocks before the coarse grid, and after it.
    pub blocks: usize,
    /// Cells of the coarse grid along a side.
    pub coarse: usize,
    /// The network on that grid; what comes in and goes out is set by `width`.
    pub inner: UNetConfig,
}

impl PointConfig {
    /// With the channels that go in and out of the coarse network.
    pub fn sized(self, labels: usize) -> Self {
        let inner = UNetConfig { inputs: self.width + 1, outputs: self.width, labels, ..self.inner };
        Self { inner, ..self }
    }

    /// Refuses sizes that no network has.
    ///
    /// # Errors
    /// Sizes that are 0 or too large; a coarse grid that the coarse network cannot halve.
    pub fn check(&self) -> Result<()> {
        self.inner.check()?;
        let sizes = [self.size, self.width, self.blocks, self.coarse];
        if sizes.iter().any(|s| !(1..=MOST).contains(s)) {
            return Err(Error::Setting(format!("a network of points of sizes {sizes:?}, expected 1 to {MOST} each")));
        }
        let multiple = self.inner.multiple();
        match self.coarse.is_multiple_of(multiple) && self.size.is_multiple_of(self.coarse) {
            true => Ok(()),
            false => Err(Error::Setting(format!(
                "{0}x{0} points over {1}x{1} cells of a network of multiples of {multiple}: one must be a multiple of the next",
                self.size, self.coarse
            ))),
        }
    }
}

/// x + mix(SiLU(s · gather(bumps x) + t)), where what is told gives s and t.
struct Local {
    gather: Linear,
    told: Linear,
    mix: Linear,
}

/// The network: which parameter is used where. Parameters are arrays in a fixed order, those of the coarse network last.
pub struct PointNet {
    config: PointConfig,
    layout: Layout,
    told: [Linear; 2],
    lift: Linear,
    before: Vec<Local>,
    inner: UNet,
    join: Linear,
    after: Vec<Local>,
    last: Linear,
}

impl PointNet {
    /// A network from `inputs` to `outputs` numbers a point.
    ///
    /// # Errors
    /// Sizes that no network has.
    pub fn new(config: PointConfig, [inputs, outputs]: [usize; 2]) -> Result<Self> {
        config.check()?;
        let inner = UNet::new(config.inner.clone())?;
        let mut layout = Layout::default();
        let l = &mut layout;
        let (told, width) = (config.inner.embedding, config.width);
        let known = FEATURES + config.inner.labels + 1 + VIEW;
        let told_of = [l.linear("told.0", known, told), l.linear("told.1", told, told)];
        let lift = l.linear("lift", inputs, width);
        let mut local = |name: String| Local {
            gather: l.linear_with(&format!("{name}.gather"), BUMPS * width, width, 1.7),
            told: l.linear_with(&format!("{name}.told"), told, 2 * width, 0.0),
            mix: l.linear_with(&format!("{name}.mix"), width, width, 0.0),
        };
        let before = (0..config.blocks).map(|k| local(format!("before.{k}"))).collect();
        let after = (0..config.blocks).map(|k| local(format!("after.{k}"))).collect();
        let join = l.linear("join", width, width);
        let last = l.linear_with("last", width, outputs, 0.0);
        Ok(Self { told: told_of, lift, before, inner, join, after, last, layout, config })
    }

    /// Its sizes.
    pub fn config(&self) -> &PointConfig {
        &self.config
    }

    /// Name and shape of each parameter.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let own = self.layout.arrays.iter().map(|a| (a.name.clone(), a.shape.clone()));
        own.chain(self.inner.shapes().map(|(name, shape)| (format!("coarse.{name}"), shape.to_vec()))).collect()
    }

    /// Parameters at their start: the network's result is 0. The same on every device.
    ///
    /// # Errors
    /// Memory.
    pub fn start(&self, seed: u64, device: &Device) -> Result<Vec<Tensor>> {
        let mut all = self.layout.start(seed, device)?;
        all.extend(self.inner.start(!seed, device)?);
        Ok(all)
    }

    /// Multiplications of a picture of `size` pixels along a side, by the shapes of products.
    pub fn multiplications(&self, size: usize) -> usize {
        let own: usize =
            self.layout.arrays.iter().filter(|a| a.shape.len() == 2).map(|a| a.shape.iter().product::<usize>()).sum();
        own * size * size + self.inner.multiplications(self.config.coarse)
    }

    /// The result at all points of [N, H, W, inputs], told [`features()`](super::features()) [N, F]: [N, H, W, outputs].
    ///
    /// `known` [N or 1, H, W, 1] is 1 at points that are known, 0 elsewhere; what comes in and goes out there means nothing.
    /// **Gradients**: to pictures, features and parameters. **Errors**: sides that are no multiples of the coarse grid's.
    pub fn forward(&self, parameters: &[Var], pictures: &Var, known: &Var, features: &Var) -> Result<Var> {
        let c = &self.config;
        let (h, w) = match *pictures.shape() {
            [_, h, w, _] if h > 0 && h.is_multiple_of(c.coarse) && w > 0 && w.is_multiple_of(c.coarse) => (h, w),
            _ => {
                let expected = format!("[N, H, W, C] with sides that are multiples of {}", c.coarse);
                return Err(Error::shape("the input of a network of points", pictures.shape(), expected));
            }
        };
        let n_arrays = self.layout.arrays.len() + self.inner.shapes().count();
        if parameters.len() != n_arrays {
            let expected = format!("{n_arrays} arrays");
            return Err(Error::shape("the parameters of a network of points", &[parameters.len()], expected));
        }
        let (p, inner) = parameters.split_at(self.layout.arrays.len());
        let told = self.told[1].apply(p, &self.told[0].apply(p, features)?.silu()?)?.silu()?;
        let side = |n: usize| matrix(3 * n, n, |i, j| bump(i / n, i % n, j, n as f64 / c.size as f64));
        let around = Weighted::new([side(h), side(w)], known)?;
        let mut x = self.lift.apply(p, pictures)?;
        for block in &self.before {
            x = block.apply(p, &x, &told, &around, c.width)?;
        }
        let cells =
            |n: usize| matrix(c.coarse, n, |i, j| if j * c.coarse / n == i { c.coarse as f64 / n as f64 } else { 0.0 });
        let over = Weighted::new([cells(h), cells(w)], known)?;
        // One share for all pictures becomes one for each.
        let each = Tensor::zeros(x.device(), x.dtype(), &[x.shape()[0], 1, 1, 1])?;
        let share = over.weights.add(&each.into())?;
        let coarse = ops::concat(&[&over.means(&x)?, &share], 3)?;
        let found = self.inner.forward(inner, &coarse, features)?;
        let between = |n: usize| matrix(n, c.coarse, |i, j| interpolation(i, j, n, c.coarse));
        let found = resampled(&found, &between(h), &between(w))?;
        x = x.add(&self.join.apply(p, &found)?)?;
        for block in &self.after {
            x = block.apply(p, &x, &told, &around, c.width)?;
        }
        self.last.apply(p, &x.silu()?)
    }
}

impl Local {
    fn apply(&self, p: &[Var], x: &Var, told: &Var, around: &Weighted, width: usize) -> Result<Var> {
        let [n, h, w] = [x.shape()[0], x.shape()[1], x.shape()[2]];
        let bumps = around.means(&x.silu()?)?.reshape(&[n, 3, h, 3, w, width])?.permute(&[0, 2, 4, 1, 3, 5])?;
        let y = self.gather.apply(p, &bumps.reshape(&[n, h, w, BUMPS * width])?)?;
        let told = self.told.apply(p, told)?;
        let (scale, shift) = (told.slice(1, 0, width)?.offset(1.0)?, told.slice(1, width, 2 * width)?);
        let y = ops::modulate(&y, &scale, &shift)?.silu()?;
        Ok(x.add(&self.mix.apply(p, &y)?)?)
    }
}

/// Means of known points with weights along both sides.
struct Weighted {
    sides: [Vec<f64>; 2],
    known: Var,
    /// Weight of the known points in each mean.
    weights: Var,
    /// Its inverse, 0 where there are none.
    inverse: Var,
}

impl Weighted {
    fn new(sides: [Vec<f64>; 2], known: &Var) -> Result<Self> {
        let weights = resampled(known, &sides[0], &sides[1])?;
        let inverse = pointwise("guidance/inverse_weight", &[&weights], |x| {
            x[0].greater(NONE).select(1.0 / x[0].max(NONE), 0.0)
        })?;
        Ok(Self { sides, known: known.clone(), weights, inverse })
    }

    fn means(&self, x: &Var) -> Result<Var> {
        Ok(resampled(&x.mul(&self.known)?, &self.sides[0], &self.sides[1])?.mul(&self.inverse)?)
    }
}

fn matrix(rows: usize, columns: usize, entry: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    (0..rows * columns).map(|k| entry(k / columns, k % columns)).collect()
}

/// Weight of point `j` in bump `which` about point `i`: hats a trained pixel apart and as wide, or as wide as a pixel where these
/// are larger. A trained pixel is `pixels` of these.
fn bump(which: usize, i: usize, j: usize, pixels: f64) -> f64 {
    let off = j as f64 - i as f64 - (which as f64 - 1.0) * pixels;
    (1.0 - off.abs() / pixels.max(1.0)).max(0.0)
}

/// Weight of cell `j` of `m` at the middle of pixel `i` of `n`: linear between the middles of cells, constant beyond the outer ones.
fn interpolation(i: usize, j: usize, n: usize, m: usize) -> f64 {
    let at = ((i as f64 + 0.5) * m as f64 / n as f64 - 0.5).clamp(0.0, m as f64 - 1.0);
    (1.0 - (at - j as f64).abs()).max(0.0)
}

/// [N, A, B, C] of [N, H, W, C]: products with matrices [A, H] and [B, W] along both sides. **Gradients**: to the pictures.
fn resampled(x: &Var, rows: &[f64], columns: &[f64]) -> Result<Var> {
    let [n, h, w, c] = [0, 1, 2, 3].map(|k| x.shape()[k]);
    let (a, b) = (rows.len() / h, columns.len() / w);
    let put = |m: &[f64], shape: [usize; 2]| -> Result<Var> {
        Ok(Tensor::from_slice(&Device::cpu(), m, &shape)?.cast(x.dtype())?.to_device(x.device())?.into())
    };
    let along = |x: &Var, m: &Var, side: usize| ops::matmul_with(&x.reshape(&[x.len() / side, side])?, false, m, true);
    let x = along(&x.permute(&[0, 1, 3, 2])?, &put(columns, [b, w])?, w)?.reshape(&[n, h, c, b])?;
    let x = along(&x.permute(&[0, 3, 2, 1])?, &put(rows, [a, h])?, h)?.reshape(&[n, b, c, a])?;
    Ok(x.permute(&[0, 3, 1, 2])?)
}
