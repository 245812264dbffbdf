//! Largest and smallest elements along an axis.

use crate::kernels::extreme_place;
use crate::map::{CallParams, Map};
use crate::{Result, Tensor, Var};

/// Elements of [outer, n, inner] at places [outer, inner] along the axis.
fn take_along(input: &Var, places: &Tensor, axis: usize) -> Result<Var> {
    let map = Map::cached("take along axis", |m| {
        let (n, inner) = (m.int_param(), m.int_param());
        let [place] = m.item_int("places");
        let table = m.table::<1>("input");
        let outer = m.index().quotient(inner);
        m.output("taken", &table.fetch((outer * n + place) * inner + m.index() - outer * inner));
    });
    let inner: usize = input.shape()[axis + 1..].iter().product();
    let call = CallParams { items: places.len(), real: vec![], int: vec![input.shape()[axis] as i32, inner as i32] };
    map.apply_with(&[&places.clone().into(), input], call)?.remove(0).reshape(places.shape())
}

impl Var {
    /// Largest element along an axis, which disappears from the shape.
    ///
    /// **Gradients**: to the first largest element only. **Errors**: the axis has no elements.
    pub fn max_axis(&self, axis: usize) -> Result<Var> {
        take_along(self, &self.argmax_axis(axis)?, axis)
    }

    /// Smallest element along an axis, which disappears from the shape.
    ///
    /// **Gradients**: to the first smallest element only. **Errors**: the axis has no elements.
    pub fn min_axis(&self, axis: usize) -> Result<Var> {
        take_along(self, &self.argmin_axis(axis)?, axis)
    }

    /// Places (u32) of the first largest elements along an axis.
    pub fn argmax_axis(&self, axis: usize) -> Result<Tensor> {
        extreme_place(self.tensor(), axis, false)
    }

    /// Places (u32) of the first smallest elements along an axis.
    pub fn argmin_axis(&self, axis: usize) -> Result<Tensor> {
        extreme_place(self.tensor(), axis, true)
    }
}
