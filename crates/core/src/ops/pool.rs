//! Pictures of half and of twice the size.

use crate::map::{CallParams, IntExpr, Map};
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::sync::Arc;

/// A linear operator and its transpose, which is the other one times 4 or 1/4.
#[derive(Clone, Copy, PartialEq)]
enum Resize {
    /// Means of squares of 2 × 2 pixels.
    Down,
    /// Every pixel four times.
    Up,
}

/// Four channels at a time where they come out even: fewer places to compute.
fn map<const N: usize>(kind: Resize) -> Map {
    let name = if kind == Resize::Down { "average_down" } else { "nearest_up" };
    Map::cached(&format!("{name} {N}"), |m| {
        // Sizes of the result; a row of the table is a pixel's channels, N at a time.
        let [h, w, parts] = std::array::from_fn(|_| m.int_param());
        let factor = m.param();
        let table = m.table::<N>("pictures");
        let part = m.index().modulo(parts);
        let pixel = m.index().quotient(parts);
        let (x, line) = (pixel.modulo(w), pixel.quotient(w));
        let (y, picture) = (line.modulo(h), line.quotient(h));
        let at = |wide: IntExpr, row: IntExpr, column: IntExpr| table.fetch((row * wide + column) * parts + part);
        let values = match kind {
            Resize::Up => at(w.quotient(2), picture * h.quotient(2) + y.quotient(2), x.quotient(2)),
            Resize::Down => {
                let (row, column) = ((picture * h + y) * 2, x * 2);
                let [a, b] = [0, 1].map(|i| [0, 1].map(|j| at(w * 2, row + i, column + j)));
                std::array::from_fn(|c| (a[0][c] + a[1][c]) + (b[0][c] + b[1][c]))
            }
        };
        m.output("resized", &values.map(|v| v * factor));
    })
}

impl Resize {
    fn other(self) -> Self {
        if self == Resize::Down { Resize::Up } else { Resize::Down }
    }

    fn run(self, input: &Tensor, factor: f64) -> Result<Tensor> {
        let &[n, h, w, c] = input.shape() else {
            return Err(Error::shape("a picture to resize", input.shape(), "[N, H, W, C]"));
        };
        let [h, w] = [h, w].map(|x| if self == Resize::Down { x / 2 } else { 2 * x });
        let wide = c % 4 == 0;
        let parts = if wide { c / 4 } else { c };
        let call =
            CallParams { items: n * h * w * parts, real: vec![factor], int: [h, w, parts].map(|x| x as i32).into() };
        if call.items == 0 {
            return Tensor::zeros(input.device(), input.dtype(), &[n, h, w, c]);
        }
        let map = if wide { map::<4>(self) } else { map::<1>(self) };
        map.run(&[input], &call)?.remove(0).reshape(&[n, h, w, c])
    }

    /// Weight of a value in the result.
    fn factor(self) -> f64 {
        if self == Resize::Down { 0.25 } else { 1.0 }
    }
}

impl Operator for Resize {
    fn name(&self) -> &str {
        if *self == Resize::Down { "average_down" } else { "nearest_up" }
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![self.run(&inputs[0], self.factor())?])
    }

    fn vjp(&self, _: &[Tensor], _: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![c[0].as_ref().map(|c| self.other().run(c, self.factor())).transpose()?])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| self.run(t, self.factor())).transpose()?])
    }
}

impl Var {
    /// Means of squares of 2 × 2 pixels: [N, H, W, C] → [N, H/2, W/2, C]. **Errors**: an odd height or width.
    pub fn average_down(&self) -> Result<Var> {
        match self.shape() {
            [_, h, w, _] if h % 2 == 0 && w % 2 == 0 => Ok(apply(Arc::new(Resize::Down), &[self])?.remove(0)),
            _ => Err(Error::shape("average_down's input", self.shape(), "[N, H, W, C] with even H and W")),
        }
    }

    /// Every pixel four times: [N, H, W, C] → [N, 2H, 2W, C].
    pub fn nearest_up(&self) -> Result<Var> {
        Ok(apply(Arc::new(Resize::Up), &[self])?.remove(0))
    }
}
