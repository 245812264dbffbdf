//! Slices and concatenations: the transposes of each other.

use super::shape::{like, strided_copy, strides};
use crate::map::{CallParams, Map};
use crate::tape::{Operator, apply};
use crate::{Element, Error, Result, Tensor, Var};
use std::sync::Arc;

/// A tensor seen as [outer, n, inner] around an axis.
fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

fn with_axis(shape: &[usize], axis: usize, n: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape[axis] = n;
    shape
}

/// Rows `start..end` along an axis, copied.
pub fn slice_tensor(input: &Tensor, axis: usize, start: usize, end: usize) -> Result<Tensor> {
    if axis >= input.shape().len() || start > end || end > input.shape()[axis] {
        return Err(Error::shape("slice's input", input.shape(), format!("an axis {axis} with {start}..{end}")));
    }
    if start == 0 && end == input.shape()[axis] {
        return Ok(input.clone());
    }
    let shape = with_axis(input.shape(), axis, end - start);
    let strides = strides(input.shape());
    if input.device().is_cpu() {
        fn copy<T: Element>(input: &Tensor, out: &mut Tensor, axis: usize, start: usize, end: usize) -> Option<()> {
            let (_, n, inner) = around(input.shape(), axis);
            let from = input.as_slice::<T>()?.chunks(n * inner);
            let to = out.as_slice_mut::<T>()?.chunks_mut((end - start) * inner);
            from.zip(to).for_each(|(f, t)| t.copy_from_slice(&f[start * inner..end * inner]));
            Some(())
        }
        let mut out = Tensor::uninit(input.device(), input.dtype(), &shape)?;
        if !out.is_empty() {
            let o = &mut out;
            let _ = copy::<f32>(input, o, axis, start, end)
                .or_else(|| copy::<f64>(input, o, axis, start, end))
                .or_else(|| copy::<u32>(input, o, axis, start, end))
                .or_else(|| copy::<i32>(input, o, axis, start, end));
        }
        return Ok(out);
    }
    strided_copy(input, &shape, &strides, start * strides[axis])
}

/// Tensors one after the other along an axis, copied.
pub fn concat_tensors(inputs: &[&Tensor], axis: usize) -> Result<Tensor> {
    let first = inputs.first().ok_or_else(|| Error::shape("concat's inputs", &[0], "at least one tensor"))?;
    let rank_ok = axis < first.shape().len();
    let alike = |t: &Tensor| {
        t.dtype() == first.dtype() && rank_ok && with_axis(t.shape(), axis, 0) == with_axis(first.shape(), axis, 0)
    };
    if let Some(other) = inputs.iter().find(|t| t.shape().len() != first.shape().len() || !alike(t)) {
        return Err(Error::shape(
            "an input of concat",
            other.shape(),
            format!("{:?} but for axis {axis}", first.shape()),
        ));
    }
    if inputs.len() == 1 {
        return Ok((*first).clone());
    }
    let total = inputs.iter().map(|t| t.shape()[axis]).sum();
    if first.device().is_cpu() {
        fn copy<T: Element>(inputs: &[&Tensor], out: &mut Tensor, axis: usize) -> Option<()> {
            let (outer, total, inner) = around(out.shape(), axis);
            let parts: Vec<(&[T], usize)> =
                inputs.iter().map(|t| Some((t.as_slice::<T>()?, t.shape()[axis] * inner))).collect::<Option<_>>()?;
            let out = out.as_slice_mut::<T>()?;
            for o in 0..outer {
                let mut at = o * total * inner;
                for (part, n) in &parts {
                    out[at..at + n].copy_from_slice(&part[o * n..(o + 1) * n]);
                    at += n;
                }
            }
            Some(())
        }
        let mut out = Tensor::uninit(first.device(), first.dtype(), &with_axis(first.shape(), axis, total))?;
        let o = &mut out;
        let _ = copy::<f32>(inputs, o, axis)
            .or_else(|| copy::<f64>(inputs, o, axis))
            .or_else(|| copy::<u32>(inputs, o, axis))
            .or_else(|| copy::<i32>(inputs, o, axis));
        return Ok(out);
    }
    let mut joined = (*first).clone();
    for next in &inputs[1..] {
        joined = concat_pair(&joined, next, axis)?;
    }
    Ok(joined)
}

/// Two tensors as one map over the result.
fn concat_pair(a: &Tensor, b: &Tensor, axis: usize) -> Result<Tensor> {
    let (outer, n, inner) = around(a.shape(), axis);
    let k = b.shape()[axis];
    let shape = with_axis(a.shape(), axis, n + k);
    if a.is_empty() || b.is_empty() {
        return if a.is_empty() { b.reshape(&shape) } else { a.reshape(&shape) };
    }
    let real = a.dtype().is_real();
    let map = Map::cached(if real { "concat" } else { "concat int" }, |m| {
        let (first, second) = (m.int_param(), m.int_param()); // elements of a row of a and of b
        let at = m.index();
        let row = at.quotient(first + second);
        let rest = at - row * (first + second);
        let in_first = rest.less(first);
        let (i, j) = (row * first + rest, row * second + (rest - first));
        if real {
            let (a, b) = (m.table::<1>("a"), m.table::<1>("b"));
            m.output("joined", &[in_first.select(a.fetch(i)[0], b.fetch(j)[0])]);
        } else {
            let (a, b) = (m.table_int::<1>("a"), m.table_int::<1>("b"));
            m.output_int("joined", &[in_first.select_int(a.fetch(i)[0], b.fetch(j)[0])]);
        }
    });
    let int = vec![(n * inner) as i32, (k * inner) as i32];
    let call = CallParams { items: outer * (n + k) * inner, real: vec![], int };
    like(a, map.run(&[a, b], &call)?.remove(0).reshape(&shape)?)
}

/// Zeros around a tensor along an axis, to the size `total`.
fn embed(input: &Tensor, axis: usize, start: usize, total: usize) -> Result<Tensor> {
    let zeros = |n| Tensor::zeros(input.device(), input.dtype(), &with_axis(input.shape(), axis, n));
    let (before, after) = (zeros(start)?, zeros(total - start - input.shape()[axis])?);
    let parts: Vec<&Tensor> = [&before, input, &after].into_iter().filter(|t| t.shape()[axis] > 0).collect();
    if parts.is_empty() { Ok(input.clone()) } else { concat_tensors(&parts, axis) }
}

struct Slice {
    axis: usize,
    start: usize,
    end: usize,
}

impl Operator for Slice {
    fn name(&self) -> &str {
        "slice"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![slice_tensor(&inputs[0], self.axis, self.start, self.end)?])
    }

    fn vjp(&self, inputs: &[Tensor], _: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let total = inputs[0].shape()[self.axis];
        Ok(vec![c[0].as_ref().map(|c| embed(c, self.axis, self.start, total)).transpose()?])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| slice_tensor(t, self.axis, self.start, self.end)).transpose()?])
    }
}

struct Concat(usize);

impl Operator for Concat {
    fn name(&self) -> &str {
        "concat"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![concat_tensors(&inputs.iter().collect::<Vec<_>>(), self.0)?])
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        _: &[Tensor],
        c: &[Option<Tensor>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let Some(c) = &c[0] else { return Ok(vec![None; inputs.len()]) };
        let mut at = 0;
        inputs
            .iter()
            .zip(wanted)
            .map(|(t, &wanted)| {
                let n = t.shape()[self.0];
                at += n;
                wanted.then(|| slice_tensor(c, self.0, at - n, at)).transpose()
            })
            .collect()
    }

    fn jvp(&self, inputs: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let full = inputs
            .iter()
            .zip(t)
            .map(|(input, t)| match t {
                Some(t) => Ok(t.clone()),
                None => Tensor::zeros(input.device(), input.dtype(), input.shape()),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(vec![Some(concat_tensors(&full.iter().collect::<Vec<_>>(), self.0)?)])
    }
}

/// Values one after the other along an axis; all other dimensions are equal.
pub fn concat(inputs: &[&Var], axis: usize) -> Result<Var> {
    Ok(apply(Arc::new(Concat(axis)), inputs)?.remove(0))
}

impl Var {
    /// Rows `start..end` along an axis. The gradient is zero elsewhere.
    pub fn slice(&self, axis: usize, start: usize, end: usize) -> Result<Var> {
        Ok(apply(Arc::new(Slice { axis, start, end }), &[self])?.remove(0))
    }
}
