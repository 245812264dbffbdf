//! Rows by number: gather and scatter-add, the transposes of each other.

use crate::map::{CallParams, IntExpr, Map};
use crate::{Error, Result, Tensor, Var};

/// Gather of rows of a width known to the map: one item per row.
fn gather_fixed<const N: usize>() -> Map {
    Map::cached(&format!("gather {N}"), |m| {
        let [row] = m.item_int("indices");
        let values = m.table::<N>("values");
        m.output("rows", &values.fetch(row));
    })
}

fn clamp_row(row: IntExpr, rows: IntExpr) -> IntExpr {
    row.max(0).min(rows - 1)
}

/// Gather of rows of any width: one item per element.
fn gather_any() -> Map {
    Map::cached("gather", |m| {
        let width = m.int_param();
        let indices = m.table_int::<1>("indices");
        let values = m.table::<1>("values");
        let row = m.index().quotient(width);
        let column = m.index() - row * width;
        let row = clamp_row(indices.fetch(row)[0], values.rows().quotient(width));
        m.output("rows", &values.fetch(row * width + column));
    })
}

fn scatter_fixed<const N: usize>() -> Map {
    Map::cached(&format!("scatter_add {N}"), |m| {
        let values = m.item::<N>("values");
        let [row] = m.item_int("indices");
        let like = m.table::<N>("rows");
        m.scatter("sums", like, &[(row, values)]);
    })
}

fn scatter_any() -> Map {
    Map::cached("scatter_add", |m| {
        let width = m.int_param();
        let [value] = m.item("values");
        let indices = m.table_int::<1>("indices");
        let like = m.table::<1>("rows");
        let row = m.index().quotient(width);
        let column = m.index() - row * width;
        let row = clamp_row(indices.fetch(row)[0], like.rows().quotient(width));
        m.scatter("sums", like, &[(row * width + column, [value])]);
    })
}

fn check_indices(operator: &str, indices: &Tensor) -> Result<()> {
    if indices.dtype().is_real() {
        let tensor = format!("indices of {operator}");
        return Err(Error::DType { tensor, found: indices.dtype().name(), expected: "u32 or i32".into() });
    }
    Ok(())
}

impl Var {
    /// Rows of `self` by number: `result[i, …] = self[indices[i], …]`.
    ///
    /// **Shapes**: self [N, …]; `indices` u32 or i32 of any shape [M…]; result [M…, …].
    /// **Gradients**: to self, by scatter-add. Numbers outside 0..N are clamped into it.
    /// **Errors**: rows are asked of an empty table. **Determinism**: the gradient adds in a fixed order on the CPU, in
    /// any order on a GPU.
    pub fn gather(&self, indices: &Tensor) -> Result<Var> {
        check_indices("gather", indices)?;
        let Some((&n, rest)) = self.shape().split_first() else {
            return Err(Error::shape("gather's input", self.shape(), "[N, …]"));
        };
        if n == 0 && !indices.is_empty() {
            return Err(Error::shape("gather's input", self.shape(), "at least one row"));
        }
        let width: usize = rest.iter().product();
        let shape = [indices.shape(), rest].concat();
        let call = CallParams { items: indices.len(), real: vec![], int: vec![] };
        let rows = Var::from(indices.clone());
        let map = match width {
            1 => gather_fixed::<1>(),
            2 => gather_fixed::<2>(),
            3 => gather_fixed::<3>(),
            4 => gather_fixed::<4>(),
            _ => {
                let call = CallParams { items: indices.len() * width, real: vec![], int: vec![width as i32] };
                return gather_any().apply_with(&[&rows, self], call)?.remove(0).reshape(&shape);
            }
        };
        map.apply_with(&[&rows, self], call)?.remove(0).reshape(&shape)
    }

    /// Sums of rows by number: `result[r, …]` = Σ over i with `indices[i]` = r of `self[i, …]`.
    ///
    /// **Shapes**: `indices` u32 or i32 [M…]; self [M…, …]; result [rows, …].
    /// **Gradients**: to self, by gather. Numbers outside 0..rows are clamped into it.
    /// **Determinism**: adds in a fixed order on the CPU, in any order on a GPU.
    pub fn scatter_add(&self, indices: &Tensor, rows: usize) -> Result<Var> {
        check_indices("scatter_add", indices)?;
        let lead = indices.shape().len();
        if self.shape().get(..lead) != Some(indices.shape()) {
            let expected = format!("{:?} of the indices, then any dimensions", indices.shape());
            return Err(Error::shape("scatter_add's input", self.shape(), expected));
        }
        let rest = &self.shape()[lead..];
        let width: usize = rest.iter().product();
        let shape = [&[rows], rest].concat();
        if rows == 0 && !self.is_empty() {
            return Err(Error::shape("scatter_add's result", &shape, "at least one row"));
        }
        let like = Var::from(Tensor::uninit(self.device(), self.dtype(), &shape)?);
        let numbers = Var::from(indices.clone());
        let map = match width {
            1 => scatter_fixed::<1>(),
            2 => scatter_fixed::<2>(),
            3 => scatter_fixed::<3>(),
            4 => scatter_fixed::<4>(),
            _ => {
                let call = CallParams { items: self.len(), real: vec![], int: vec![width as i32] };
                return scatter_any().apply_with(&[self, &numbers, &like], call)?.remove(0).reshape(&shape);
            }
        };
        map.apply(&[self, &numbers, &like])?.remove(0).reshape(&shape)
    }
}
