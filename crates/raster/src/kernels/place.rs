//! Shaded fragments at their pixels.

use crate::Result;
use lumigrad_core::map::{CallParams, Map};
use lumigrad_core::ops::concat;
use lumigrad_core::tape::{Operator, apply};
use lumigrad_core::{Tensor, Var};
use std::sync::Arc;

/// The picture `[n_pixels, C]` of shaded fragments: per draw, values `[P, C]` and pixels u32 `[P]`. Zero where there is no
/// fragment.
///
/// **Gradients**: each fragment gets its pixel's. **Cost**: reads and writes the picture once; where draws have a slot per
/// pixel (on a GPU), one sum per further draw.
pub fn place(draws: Vec<(Var, Tensor)>, n_pixels: usize) -> Result<Var> {
    let mut rows = vec![0u32; n_pixels];
    let mut count = 0;
    for (_, pixels) in &draws {
        let Some(pixels) = pixels.as_slice::<u32>() else {
            return sum(draws);
        };
        for &pixel in pixels {
            count += 1;
            rows[pixel as usize] = count;
        }
    }
    let (values, pixels): (Vec<Var>, Vec<Tensor>) = draws.into_iter().unzip();
    let (values, pixels) = match (values.as_slice(), pixels.as_slice()) {
        ([values], [pixels]) => (values.clone(), pixels.clone()),
        _ => {
            let pixels: Vec<Var> = pixels.into_iter().map(Var::from).collect();
            let all = |vars: &[Var]| concat(&vars.iter().collect::<Vec<_>>(), 0);
            (all(&values)?, all(&pixels)?.tensor().clone())
        }
    };
    let rows = Tensor::from_slice(pixels.device(), &rows, &[n_pixels])?;
    Ok(apply(Arc::new(Place { rows, pixels }), &[&values])?.remove(0))
}

/// Draws with a value for every pixel.
fn sum(draws: Vec<(Var, Tensor)>) -> Result<Var> {
    let mut draws = draws.into_iter().map(|(values, _)| values);
    let first = draws.next().expect("at least one draw");
    Ok(draws.try_fold(first, |sum, values| sum.add(&values))?)
}

struct Place {
    /// Fragment number + 1 per pixel, 0 = none.
    rows: Tensor,
    /// Pixel per fragment.
    pixels: Tensor,
}

/// Row `number` − `base` of `table` for every number, zeros below `base`.
fn rows_or_zero(table: &Tensor, numbers: &Tensor, base: i32) -> lumigrad_core::Result<Tensor> {
    match table.shape()[1] {
        4 => rows_of::<4>(table, numbers, base),
        _ => rows_of::<{ crate::Aov::COUNT }>(table, numbers, base),
    }
}

fn rows_of<const N: usize>(table: &Tensor, numbers: &Tensor, base: i32) -> lumigrad_core::Result<Tensor> {
    let map = Map::cached(&format!("raster/place {N} {base}"), |m| {
        let [number] = m.item_int("number");
        let row = m.table::<N>("rows").fetch(number - base);
        m.output("row", &row.map(|x| number.less(base).select(0.0, x)));
    });
    Ok(map.run(&[numbers, table], &CallParams::default())?.remove(0))
}

impl Operator for Place {
    fn name(&self) -> &str {
        "raster/place"
    }

    fn forward(&self, inputs: &[Tensor]) -> lumigrad_core::Result<Vec<Tensor>> {
        Ok(vec![rows_or_zero(&inputs[0], &self.rows, 1)?])
    }

    fn vjp(
        &self,
        _: &[Tensor],
        _: &[Tensor],
        cotangents: &[Option<Tensor>],
        _: &[bool],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        Ok(vec![cotangents[0].as_ref().map(|c| rows_or_zero(c, &self.pixels, 0)).transpose()?])
    }

    fn jvp(
        &self,
        _: &[Tensor],
        _: &[Tensor],
        tangents: &[Option<Tensor>],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        Ok(vec![tangents[0].as_ref().map(|t| rows_or_zero(t, &self.rows, 1)).transpose()?])
    }
}
