//! Arithmetic on lists of tensors seen as one long vector.

use crate::Result;
use lumigrad_core::{CallParams, Map, Tensor};

fn call(real: &[f64]) -> CallParams {
    CallParams { items: 0, real: real.to_vec(), int: vec![] }
}

/// Σ aᵢ bᵢ.
pub fn dot(a: &[Tensor], b: &[Tensor]) -> Result<f64> {
    let map = Map::cached("optim/dot", |m| {
        let ([x], [y]) = (m.item("a"), m.item("b"));
        m.sum("dot", &[x * y]);
    });
    let mut sum = 0.0;
    for (a, b) in a.iter().zip(b).filter(|(a, _)| !a.is_empty()) {
        sum += map.run(&[a, b], &call(&[]))?[0].item()?;
    }
    Ok(sum)
}

/// a + s·b.
pub fn add_scaled(a: &[Tensor], s: f64, b: &[Tensor]) -> Result<Vec<Tensor>> {
    let map = Map::cached("optim/add_scaled", |m| {
        let ([x], [y], s) = (m.item("a"), m.item("b"), m.param());
        m.output("sum", &[x + s * y]);
    });
    a.iter().zip(b).map(|(a, b)| Ok(map.run(&[a, b], &call(&[s]))?.remove(0).reshape(a.shape())?)).collect()
}

/// a + s·b·c, element by element.
pub fn add_product(a: &[Tensor], s: f64, b: &[Tensor], c: &[Tensor]) -> Result<Vec<Tensor>> {
    let map = Map::cached("optim/add_product", |m| {
        let ([x], [y], [z], s) = (m.item("a"), m.item("b"), m.item("c"), m.param());
        m.output("sum", &[x + s * (y * z)]);
    });
    let one = |((a, b), c): ((&Tensor, &Tensor), &Tensor)| {
        Ok(map.run(&[a, b, c], &call(&[s]))?.remove(0).reshape(a.shape())?)
    };
    a.iter().zip(b).zip(c).map(one).collect()
}

/// s·a·b, element by element.
pub fn product(s: f64, a: &[Tensor], b: &[Tensor]) -> Result<Vec<Tensor>> {
    let map = Map::cached("optim/product", |m| {
        let ([x], [y], s) = (m.item("a"), m.item("b"), m.param());
        m.output("product", &[s * (x * y)]);
    });
    a.iter().zip(b).map(|(a, b)| Ok(map.run(&[a, b], &call(&[s]))?.remove(0).reshape(a.shape())?)).collect()
}

/// Zeros of the same shapes.
pub fn zeros_like(a: &[Tensor]) -> Result<Vec<Tensor>> {
    Ok(a.iter().map(|t| Tensor::zeros(t.device(), t.dtype(), t.shape())).collect::<lumigrad_core::Result<_>>()?)
}

/// All elements, one after the other.
pub fn flatten(a: &[Tensor]) -> Result<Vec<f64>> {
    let parts = a.iter().map(Tensor::to_f64_vec).collect::<lumigrad_core::Result<Vec<_>>>()?;
    Ok(parts.concat())
}

/// The inverse of [`flatten`]: tensors like `like` with these elements.
pub fn unflatten(values: &[f64], like: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut at = 0;
    let mut part = |t: &Tensor| {
        at += t.len();
        let part = Tensor::from_slice(&lumigrad_core::Device::cpu(), &values[at - t.len()..at], t.shape())?;
        part.cast(t.dtype())?.to_device(t.device())
    };
    Ok(like.iter().map(&mut part).collect::<lumigrad_core::Result<_>>()?)
}

/// s·a.
pub fn scaled(s: f64, a: &[Tensor]) -> Result<Vec<Tensor>> {
    add_scaled(&zeros_like(a)?, s, a)
}

/// Gradients with zeros where there are none.
pub fn filled(gradients: &[Option<Tensor>], like: &[Tensor]) -> Result<Vec<Tensor>> {
    let one = |(g, t): (&Option<Tensor>, &Tensor)| match g {
        Some(g) => g.reshape(t.shape()),
        None => Tensor::zeros(t.device(), t.dtype(), t.shape()),
    };
    Ok(gradients.iter().zip(like).map(one).collect::<lumigrad_core::Result<_>>()?)
}
