//! Softmax, and attention by it.

use super::{add_tensors, concat_tensors, scale_tensor, slice_tensor};
use crate::kernels::{Operand, matmul, softmax, softmax_back};
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::ops::Range;
use std::sync::Arc;

struct Softmax;

impl Operator for Softmax {
    fn name(&self) -> &str {
        "softmax"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![softmax(&inputs[0])?])
    }

    fn vjp(&self, _: &[Tensor], y: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![c[0].as_ref().map(|c| softmax_back(&y[0], c)).transpose()?])
    }

    fn jvp(&self, _: &[Tensor], y: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| softmax_back(&y[0], t)).transpose()?])
    }
}

impl Var {
    /// exp(xᵢ) / Σⱼ exp(xⱼ) over the last dimension, without overflow.
    pub fn softmax(&self) -> Result<Var> {
        Ok(apply(Arc::new(Softmax), &[self])?.remove(0))
    }
}

/// Weights that exist at a time, of some batches and queries.
const WEIGHTS: usize = 1 << 22;

/// Inputs are queries [N, Q, D], keys [N, T, D] and values [N, T, E]. Weights are made again for the derivatives.
struct Attention;

/// Batches, and queries of each of them.
type Piece = (Range<usize>, Range<usize>);

/// All batches and queries in order: some batches whole, or some queries of one batch.
fn pieces(n: usize, q: usize, t: usize) -> Vec<Piece> {
    let queries = (WEIGHTS / t.max(1)).clamp(1, q.max(1));
    let batches = if queries < q { 1 } else { (WEIGHTS / (q * t).max(1)).max(1) };
    let queries = |first: usize| (0..q).step_by(queries).map(move |k| (first, k..(k + queries).min(q)));
    let all = (0..n).step_by(batches).flat_map(queries);
    all.map(|(first, queries)| (first..(first + batches).min(n), queries)).collect()
}

fn product(a: &Tensor, ta: bool, b: &Tensor, tb: bool) -> Result<Tensor> {
    matmul(Operand { tensor: a, transposed: ta }, Operand { tensor: b, transposed: tb })
}

fn of_batches(tensor: &Tensor, piece: &Piece) -> Result<Tensor> {
    slice_tensor(tensor, 0, piece.0.start, piece.0.end)
}

fn of_queries(tensor: &Tensor, piece: &Piece) -> Result<Tensor> {
    slice_tensor(&of_batches(tensor, piece)?, 1, piece.1.start, piece.1.end)
}

/// What a piece needs: queries over √D, keys, values, weights.
struct Part {
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    weights: Tensor,
}

impl Attention {
    fn pieces(inputs: &[Tensor]) -> Vec<Piece> {
        pieces(inputs[0].shape()[0], inputs[0].shape()[1], inputs[1].shape()[1])
    }

    fn scale(inputs: &[Tensor]) -> f64 {
        1.0 / (inputs[0].shape()[2] as f64).sqrt()
    }

    fn part(inputs: &[Tensor], piece: &Piece) -> Result<Part> {
        let queries = scale_tensor(&of_queries(&inputs[0], piece)?, Self::scale(inputs))?;
        let (keys, values) = (of_batches(&inputs[1], piece)?, of_batches(&inputs[2], piece)?);
        let weights = softmax(&product(&queries, false, &keys, true)?)?;
        Ok(Part { queries, keys, values, weights })
    }
}

/// Parts of [N, Q, ..] in the order of their pieces, as one tensor.
fn joined(parts: Vec<Tensor>, shape: &[usize]) -> Result<Tensor> {
    let width = shape[2];
    let rows = parts.iter().map(|p| p.reshape(&[p.shape()[0] * p.shape()[1], width])).collect::<Result<Vec<_>>>()?;
    concat_tensors(&rows.iter().collect::<Vec<_>>(), 0)?.reshape(shape)
}

fn summed(sum: &mut Option<Tensor>, next: Tensor) -> Result<()> {
    *sum = Some(match sum.take() {
        Some(sum) => add_tensors(&sum, &next)?,
        None => next,
    });
    Ok(())
}

impl Operator for Attention {
    fn name(&self) -> &str {
        "attention"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let shape = [inputs[0].shape()[0], inputs[0].shape()[1], inputs[2].shape()[2]];
        let results = Self::pieces(inputs).into_iter().map(|piece| {
            let part = Self::part(inputs, &piece)?;
            product(&part.weights, false, &part.values, false)
        });
        Ok(vec![joined(results.collect::<Result<_>>()?, &shape)?])
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        _: &[Tensor],
        c: &[Option<Tensor>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let Some(c) = &c[0] else { return Ok(vec![None; 3]) };
        // Parts of all three gradients; those of keys and values are sums over the queries of a batch.
        let mut parts: [Vec<Tensor>; 3] = Default::default();
        let [mut by_keys, mut by_values] = [None, None];
        for piece in Self::pieces(inputs) {
            let part = Self::part(inputs, &piece)?;
            let c = of_queries(c, &piece)?;
            let by_fit = softmax_back(&part.weights, &product(&c, false, &part.values, true)?)?;
            if wanted[0] {
                parts[0].push(scale_tensor(&product(&by_fit, false, &part.keys, false)?, Self::scale(inputs))?);
            }
            if wanted[1] {
                summed(&mut by_keys, product(&by_fit, true, &part.queries, false)?)?;
            }
            if wanted[2] {
                summed(&mut by_values, product(&part.weights, true, &c, false)?)?;
            }
            if piece.1.end == inputs[0].shape()[1] {
                parts[1].extend(by_keys.take());
                parts[2].extend(by_values.take());
            }
        }
        let gradients = parts.into_iter().zip(inputs).zip(wanted);
        gradients.map(|((parts, input), &wanted)| wanted.then(|| joined(parts, input.shape())).transpose()).collect()
    }

    fn jvp(&self, inputs: &[Tensor], outputs: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let tangent = |piece: &Piece| -> Result<Tensor> {
            let part = Self::part(inputs, piece)?;
            let [mut by_fit, mut result] = [None, None];
            if let Some(t) = &t[0] {
                let queries = scale_tensor(&of_queries(t, piece)?, Self::scale(inputs))?;
                summed(&mut by_fit, product(&queries, false, &part.keys, true)?)?;
            }
            if let Some(t) = &t[1] {
                summed(&mut by_fit, product(&part.queries, false, &of_batches(t, piece)?, true)?)?;
            }
            if let Some(t) = by_fit {
                summed(&mut result, product(&softmax_back(&part.weights, &t)?, false, &part.values, false)?)?;
            }
            if let Some(t) = &t[2] {
                summed(&mut result, product(&part.weights, false, &of_batches(t, piece)?, false)?)?;
            }
            Ok(result.expect("an input moves"))
        };
        let parts = Self::pieces(inputs).iter().map(tangent).collect::<Result<_>>()?;
        Ok(vec![Some(joined(parts, outputs[0].shape())?)])
    }
}

/// Fails where queries and keys do not fit; gives N and T.
fn check(queries: &Var, keys: &Var) -> Result<[usize; 2]> {
    match (queries.shape(), keys.shape()) {
        (&[n, _, d], &[m, t, e]) if (n, d) == (m, e) && d > 0 => Ok([n, t]),
        (&[n, _, d], found) => {
            let expected = format!("[{n}, T, {d}] (N and D from the queries), and D of at least 1");
            Err(Error::shape("keys of attention", found, expected))
        }
        (found, _) => Err(Error::shape("queries of attention", found, "[N, Q, D]")),
    }
}

/// How well keys fit to queries: softmax(q kᵀ / √D + mask) over the keys.
///
/// **Shapes**: queries [N, Q, D], keys [N, T, D], mask anything that broadcasts to [N, Q, T] (−10⁹ hides a key); result
/// [N, Q, T]. **Gradients**: to all. **Errors**: shapes that do not fit.
pub fn attention_weights(queries: &Var, keys: &Var, mask: Option<&Var>) -> Result<Var> {
    check(queries, keys)?;
    let scale = 1.0 / (queries.shape()[2] as f64).sqrt();
    let fit = super::matmul_with(&queries.scale(scale)?, false, keys, true)?;
    match mask {
        Some(mask) => fit.add(mask)?.softmax(),
        None => fit.softmax(),
    }
}

/// Means of values, weighted by how well keys fit to queries: softmax(q kᵀ / √D) v.
///
/// **Shapes**: queries [N, Q, D], keys [N, T, D], values [N, T, E]; result [N, Q, E].
/// **Gradients**: to all three. **Errors**: shapes that do not fit. **Determinism**: the same bits for any number of threads.
/// **Cost**: at most 4 million of the N·Q·T weights (or one row of them) exist at a time; derivatives make them again.
/// **Source**: Vaswani et al. 2017, equation 1.
pub fn attention(queries: &Var, keys: &Var, values: &Var) -> Result<Var> {
    let [n, t] = check(queries, keys)?;
    let &[.., e] = values.shape() else {
        return Err(Error::shape("values of attention", values.shape(), "[N, T, E]"));
    };
    if values.shape() != [n, t, e] {
        let expected = format!("[{n}, {t}, E] (N, T from the keys)");
        return Err(Error::shape("values of attention", values.shape(), expected));
    }
    let q = queries.shape()[1];
    if n * q * t * e == 0 {
        return Ok(Tensor::zeros(queries.device(), queries.dtype(), &[n, q, e])?.into());
    }
    Ok(apply(Arc::new(Attention), &[queries, keys, values])?.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_every_query_once_and_are_bounded() {
        for (n, q, t) in [(3, 5, 7), (2, 4096, 4096), (1, 2, 1 << 23), (100, 300, 300)] {
            let mut next = 0;
            for (batches, queries) in pieces(n, q, t) {
                assert_eq!(batches.start * q + queries.start, next);
                assert!(queries.len() == q || batches.len() == 1);
                assert!(batches.len() * queries.len() * t <= WEIGHTS.max(t));
                next += batches.len() * queries.len();
            }
            assert_eq!(next, n * q);
        }
    }

    #[test]
    fn pieces_join_to_what_one_product_gives() {
        use crate::{DType, Device, Tape, ops::random};
        let numbers =
            |shape: &[usize], seed| random::random_uniform(&Device::cpu(), DType::F64, shape, seed, -1.0, 1.0).unwrap();
        // 2000 · 3000 weights are more than one piece.
        let given = [numbers(&[2, 2000, 2], 1), numbers(&[2, 3000, 2], 2), numbers(&[2, 3000, 1], 3)];
        let run = |f: &dyn Fn(&[Var]) -> Result<Var>| {
            let tape = Tape::new();
            let x: Vec<Var> = given.iter().map(|t| tape.variable(t.clone())).collect();
            let y = f(&x).unwrap();
            let mut gradients = tape.backward_with(&y, numbers(&[2, 2000, 1], 4)).unwrap();
            let all = x.iter().map(|x| gradients.take(x).unwrap()).chain([y.tensor().clone()]);
            all.flat_map(|t| t.to_vec::<f64>().unwrap()).collect::<Vec<_>>()
        };
        let found = run(&|x| attention(&x[0], &x[1], &x[2]));
        let expected = run(&|x| attention_weights(&x[0], &x[1], None)?.matmul(&x[2]));
        assert_eq!(found.len(), expected.len());
        found.iter().zip(&expected).for_each(|(x, y)| assert!((x - y).abs() < 1e-12, "{x} against {y}"));
    }
}
