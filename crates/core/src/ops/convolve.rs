//! Filters that are products of a row and a column filter.

use crate::kernels::correlate;
use crate::map::{CallParams, Map};
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::sync::Arc;

/// What lies outside a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Border {
    /// Zeros; the result has the picture's size.
    Zero,
    /// The picture mirrored about its outermost pixels, which are not repeated; the result has the picture's size.
    Reflect,
    /// Nothing: the result has only pixels whose filter lies inside, K − 1 fewer per dimension.
    Valid,
}

/// Correlation along an axis with fixed weights: linear, so that forward mode is the operator itself.
struct Correlate {
    weights: Vec<f64>,
    axis: usize,
    middle: usize,
    n_out: usize,
}

impl Correlate {
    fn run(&self, input: &Tensor, weights: &[f64], middle: usize, n_out: usize) -> Result<Tensor> {
        let weights = Tensor::from_slice(&crate::Device::cpu(), weights, &[weights.len()])?;
        let weights = weights.cast(input.dtype())?.to_device(input.device())?;
        correlate(input, &weights, self.axis, middle, n_out)
    }

    fn apply_to(&self, input: &Tensor) -> Result<Tensor> {
        self.run(input, &self.weights, self.middle, self.n_out)
    }
}

impl Operator for Correlate {
    fn name(&self) -> &str {
        "correlate"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![self.apply_to(&inputs[0])?])
    }

    fn vjp(&self, inputs: &[Tensor], _: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let reversed: Vec<f64> = self.weights.iter().rev().copied().collect();
        let (middle, n) = (self.weights.len() - 1 - self.middle, inputs[0].shape()[self.axis]);
        Ok(vec![c[0].as_ref().map(|c| self.run(c, &reversed, middle, n)).transpose()?])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| self.apply_to(t)).transpose()?])
    }
}

/// A picture [H, W, C] with `before` and `after` mirrored pixels at the ends of both dimensions.
fn reflect(image: &Var, before: usize, after: usize) -> Result<Var> {
    let &[h, w, c] = image.shape() else { unreachable!("the caller checked the shape") };
    let map = Map::cached("reflect border", |m| {
        let [h, w, c, wide, before] = std::array::from_fn(|_| m.int_param());
        let table = m.table::<1>("image");
        let pixel = m.index().quotient(c);
        let mirror = |i: crate::map::IntExpr, n: crate::map::IntExpr| {
            let i = (i - before).max(before - i); // |i − before|
            i.min((n - 1) * 2 - i)
        };
        let (y, x) = (pixel.quotient(wide), pixel.modulo(wide));
        m.output("padded", &table.fetch((mirror(y, h) * w + mirror(x, w)) * c + m.index().modulo(c)));
    });
    let (tall, wide) = (h + before + after, w + before + after);
    let int = [h, w, c, wide, before].map(|x| x as i32).to_vec();
    let call = CallParams { items: tall * wide * c, real: vec![], int };
    map.apply_with(&[image], call)?.remove(0).reshape(&[tall, wide, c])
}

/// A picture filtered by `kernel` along rows and along columns:
/// `result[y, x, c] = Σᵢⱼ kernel[i] · kernel[j] · image[y + i − m, x + j − m, c]`, where m = ⌊K/2⌋ (0 for
/// [`Border::Valid`]).
///
/// **Shapes**: image [H, W, C], kernel K weights; result [H, W, C], or [H − K + 1, W − K + 1, C] for a valid border.
/// **Gradients**: to the image (the correlation with the reversed kernel).
/// **Errors**: an empty kernel; a picture smaller than the kernel for a valid border; not larger than ⌊K/2⌋ for a
/// reflected one. **Determinism**: the same bits for any number of threads.
pub fn conv2d_separable(image: &Var, kernel: &[f64], border: Border) -> Result<Var> {
    let (&[h, w, _], false) = (image.shape(), kernel.is_empty()) else {
        return Err(Error::shape("conv2d_separable's image", image.shape(), "[H, W, C], and a kernel with weights"));
    };
    let taps = kernel.len();
    let smallest = match border {
        Border::Zero => 0,
        Border::Reflect => taps / 2 + 1,
        Border::Valid => taps,
    };
    if h.min(w) < smallest {
        let expected = format!("at least {smallest} pixels in both dimensions for {taps} weights and this border");
        return Err(Error::shape("conv2d_separable's image", image.shape(), expected));
    }
    let mut current = match border {
        Border::Reflect => reflect(image, taps / 2, taps - 1 - taps / 2)?,
        _ => image.clone(),
    };
    for axis in [1, 0] {
        let n = current.shape()[axis];
        let (middle, n_out) = if border == Border::Zero { (taps / 2, n) } else { (0, (n + 1).saturating_sub(taps)) };
        let operator = Correlate { weights: kernel.to_vec(), axis, middle, n_out };
        current = apply(Arc::new(operator), &[&current])?.remove(0);
    }
    Ok(current)
}
