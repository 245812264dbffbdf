//! Image pyramids by 2 × 2 boxes.

use crate::Result;
use lumigrad_core::{CallParams, Map, Operator, Result as CoreResult, Tensor, Var, apply};
use std::sync::Arc;

/// Levels at most, the picture itself included.
const MAX_LEVELS: usize = 5;
/// The shorter side of a level is at least this.
const MIN_SIDE: usize = 8;

/// Picture, target and weight of one level.
pub type Level = (Var, Tensor, Option<Tensor>);

/// All levels, the finest first.
pub fn levels(picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Vec<Level>> {
    let &[mut h, mut w, _] = picture.shape() else { unreachable!("shapes were checked") };
    let weight = weight.map(|m| m.reshape(&[h, w, 1])).transpose()?;
    let mut all = vec![(picture.clone(), target.clone(), weight)];
    while all.len() < MAX_LEVELS && h.min(w) >= 2 * MIN_SIDE {
        let (picture, target, weight) = all.last().expect("the first level");
        let next = (halve(picture)?, halve_tensor(target)?, weight.as_ref().map(halve_tensor).transpose()?);
        (h, w) = (h / 2, w / 2);
        all.push(next);
    }
    Ok(all)
}

/// Means of 2 × 2 pixels: [H, W, C] → [⌊H/2⌋, ⌊W/2⌋, C]. An odd last row or column is left out.
fn halve(picture: &Var) -> CoreResult<Var> {
    Ok(apply(Arc::new(Halve), &[picture])?.remove(0))
}

struct Halve;

fn dims(t: &Tensor) -> (usize, usize, usize) {
    (t.shape()[0], t.shape()[1], t.shape()[2])
}

fn halve_tensor(input: &Tensor) -> CoreResult<Tensor> {
    fn run<const C: usize>(input: &Tensor) -> CoreResult<Tensor> {
        let map = Map::cached(&format!("optim/halve {C}"), |m| {
            let (wide, narrow) = (m.int_param(), m.int_param());
            let table = m.table::<C>("picture");
            let (y, x) = (m.index().quotient(narrow), m.index().modulo(narrow));
            let first = 2 * y * wide + 2 * x;
            let pixels = [first, first + 1, first + wide, first + wide + 1].map(|row| table.fetch(row));
            let means: [_; C] =
                std::array::from_fn(|c| pixels.iter().map(|p| p[c]).sum::<lumigrad_core::map::Expr>() * 0.25);
            m.output("half", &means);
        });
        let (h, w, _) = dims(input);
        let call = CallParams { items: (h / 2) * (w / 2), real: vec![], int: vec![w as i32, (w / 2) as i32] };
        map.run(&[input], &call)?.remove(0).reshape(&[h / 2, w / 2, C])
    }
    with_channels!(dims(input).2, run(input))
}

/// The transpose: every pixel gets a quarter of its 2 × 2 box.
fn spread(half: &Tensor, shape: &[usize]) -> CoreResult<Tensor> {
    fn run<const C: usize>(half: &Tensor, shape: &[usize]) -> CoreResult<Tensor> {
        let map = Map::cached(&format!("optim/spread {C}"), |m| {
            let (wide, narrow, low) = (m.int_param(), m.int_param(), m.int_param());
            let table = m.table::<C>("half");
            let (y, x) = (m.index().quotient(wide).quotient(2), m.index().modulo(wide).quotient(2));
            let inside = y.less(low).and(x.less(narrow));
            let pixel = table.fetch(y * narrow + x);
            m.output("picture", &pixel.map(|p| inside.select(0.25 * p, 0.0)));
        });
        let (h, w) = (shape[0], shape[1]);
        let int = [w, w / 2, h / 2].map(|x| x as i32).to_vec();
        map.run(&[half], &CallParams { items: h * w, real: vec![], int })?.remove(0).reshape(shape)
    }
    with_channels!(shape[2], run(half, shape))
}

impl Operator for Halve {
    fn name(&self) -> &str {
        "optim/halve"
    }

    fn forward(&self, inputs: &[Tensor]) -> CoreResult<Vec<Tensor>> {
        Ok(vec![halve_tensor(&inputs[0])?])
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        _: &[Tensor],
        c: &[Option<Tensor>],
        _: &[bool],
    ) -> CoreResult<Vec<Option<Tensor>>> {
        Ok(vec![c[0].as_ref().map(|c| spread(c, inputs[0].shape())).transpose()?])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> CoreResult<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(halve_tensor).transpose()?])
    }
}
