//! Prefix sums and sums of segments.

use crate::kernels::{Order, scan, scan_segments, segment_ids};
use crate::map::{CallParams, Map};
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::sync::Arc;

/// Linear, so that forward mode is the operator itself; its transpose sums from the other end.
struct PrefixSum(usize, Order);

impl Operator for PrefixSum {
    fn name(&self) -> &str {
        "prefix_sum"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![scan(&inputs[0], self.0, self.1)?])
    }

    fn vjp(&self, _: &[Tensor], _: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let back = Order { reverse: !self.1.reverse, ..self.1 };
        Ok(vec![c[0].as_ref().map(|c| scan(c, self.0, back)).transpose()?])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| scan(t, self.0, self.1)).transpose()?])
    }
}

/// Linear; its transpose gives every row the cotangent of its segment.
struct SegmentSum {
    offsets: Tensor,
    ids: Tensor,
}

impl SegmentSum {
    /// The last prefix sum of every segment.
    fn run(&self, rows: &Tensor) -> Result<Tensor> {
        let (segments, rest) = (self.offsets.len() - 1, &rows.shape()[1..]);
        let shape = [&[segments], rest].concat();
        if rows.is_empty() || segments == 0 {
            return Tensor::zeros(rows.device(), rows.dtype(), &shape);
        }
        let scanned = scan_segments(rows, 0, &self.ids)?;
        let width: usize = rest.iter().product();
        let map = Map::cached("segment ends", |m| {
            let width = m.int_param();
            let offsets = m.table_int::<1>("offsets");
            let scanned = m.table::<1>("scanned");
            let segment = m.index().quotient(width);
            let [start] = offsets.fetch(segment);
            let [end] = offsets.fetch(segment + 1);
            let [last] = scanned.fetch((end - 1) * width + m.index() - segment * width);
            m.output("sums", &[start.less(end).select(last, 0.0)]);
        });
        let call = CallParams { items: segments * width, real: vec![], int: vec![width as i32] };
        map.run(&[&self.offsets, &scanned], &call)?.remove(0).reshape(&shape)
    }
}

impl Operator for SegmentSum {
    fn name(&self) -> &str {
        "segment_sum"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![self.run(&inputs[0])?])
    }

    fn vjp(&self, inputs: &[Tensor], _: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Some(c) = &c[0] else { return Ok(vec![None]) };
        // Rows outside all segments have number S: a row of zeros.
        let zeros = Tensor::zeros(c.device(), c.dtype(), &[&[1], &inputs[0].shape()[1..]].concat())?;
        let padded = if c.is_empty() { zeros } else { super::concat_tensors(&[c, &zeros], 0)? };
        Ok(vec![Some(Var::from(padded).gather(&self.ids)?.tensor().clone())])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| self.run(t)).transpose()?])
    }
}

impl Var {
    /// Prefix sums along an axis: `result[i]` = Σ over j ≤ i of `self[j]` (or j < i, or from the end; see [`Order`]).
    ///
    /// **Shapes**: the result has the shape of self (real or u32). **Gradients**: to self, prefix sums from the other
    /// end. **Errors**: no such axis, i32 elements, 2³² or more elements. **Determinism**: the same bits for any number of
    /// threads, and from run to run on a GPU.
    pub fn prefix_sum(&self, axis: usize, order: Order) -> Result<Var> {
        Ok(apply(Arc::new(PrefixSum(axis, order)), &[self])?.remove(0))
    }

    /// Sums of neighbouring rows: `result[s, …]` = Σ over i in `offsets[s]..offsets[s + 1]` of `self[i, …]`.
    ///
    /// **Shapes**: self [N, …]; `offsets` u32 [S + 1] in ascending order; result [S, …], zeros for empty segments. Rows
    /// outside all segments are not added. **Gradients**: to self, the cotangent of a row's segment.
    /// **Errors**: other types and shapes. **Determinism**: the same bits for any number of threads, and from run to run
    /// on a GPU: sort rows by where they go, and this replaces a scatter-add. **Cost**: three passes over the rows,
    /// whatever the lengths of the segments.
    pub fn segment_sum(&self, offsets: &Tensor) -> Result<Var> {
        let Some(&rows) = self.shape().first() else {
            return Err(Error::shape("segment_sum's input", self.shape(), "[N, …]"));
        };
        if !self.dtype().is_real() {
            let tensor = "segment_sum's input".into();
            return Err(Error::DType { tensor, found: self.dtype().name(), expected: "f32".into() });
        }
        let operator = SegmentSum { offsets: offsets.clone(), ids: segment_ids(offsets, rows)? };
        Ok(apply(Arc::new(operator), &[self])?.remove(0))
    }
}
