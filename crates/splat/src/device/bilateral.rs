//! Bilateral grids: how each photograph was toned, place by place and tone by tone (Wang et al. 2024, "Bilateral Guided
//! Radiance Field Processing"): a coarse grid of affine maps of colours over columns, rows and luminance.

use lumigrad_core::map::{Expr, IntExpr};
use lumigrad_core::{CallParams, Device, Map, Result, Tensor, Var};

/// Cells along luminance, rows and columns.
const SHAPE: [usize; 3] = [8, 16, 16];
/// Rows of three factors and a constant in a cell.
const AFFINE: usize = 12;
/// Weight of the variation beside the loss.
const VARIATION: f64 = 10.0;

/// A grid that leaves colours as they are, [cells, 12].
///
/// **Errors**: memory.
pub fn identity(device: &Device) -> Result<Tensor> {
    let cells: usize = SHAPE.iter().product();
    let one = super::cameras::IDENTITY;
    Tensor::from_slice(device, &one.repeat(cells), &[cells, AFFINE])
}

/// Colours [H·W, 3] through the affine maps that the grid holds where they are: trilinear between its cells.
///
/// **Gradients** flow to the grid, and to colours through their maps and through which maps these are.
pub fn tone(colour: &Var, grid: &Var, [width, height]: [usize; 2]) -> Result<Var> {
    let map = Map::cached("splat/tone", |m| {
        let c = m.item::<3>("colour");
        let grid = m.table::<AFFINE>("grid");
        let (width, height) = (m.int_param(), m.int_param());
        let y = m.index().quotient(width);
        let x = m.index() - y * width;
        let luminance = 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2];
        let part = |k: IntExpr, n: IntExpr| (k.to_real() + 0.5) / n.to_real();
        let places = [luminance.clamp(0.0, 1.0), part(y, height), part(x, width)];
        // The cell before, and how far it is to the next one.
        let split = |axis: usize| -> (IntExpr, Expr) {
            let last = SHAPE[axis] - 1;
            let at = places[axis] * last as f64;
            let low = at.floor().clamp(0.0, (last - 1) as f64);
            (low.to_int(), at - low)
        };
        let [(l, dl), (r, dr), (q, dq)] = [split(0), split(1), split(2)];
        let mut affine = [Expr::from(0.0); AFFINE];
        for corner in 0..8 {
            let bit = |axis: i32| corner >> axis & 1;
            let share = |axis: i32, d: Expr| if bit(axis) == 1 { d } else { 1.0 - d };
            let weight = share(0, dl) * share(1, dr) * share(2, dq);
            let row = ((l + bit(0)) * SHAPE[1] as i32 + r + bit(1)) * SHAPE[2] as i32 + q + bit(2);
            let cell = grid.fetch(row);
            affine = std::array::from_fn(|k| affine[k] + weight * cell[k]);
        }
        let row =
            |k: usize| affine[4 * k] * c[0] + affine[4 * k + 1] * c[1] + affine[4 * k + 2] * c[2] + affine[4 * k + 3];
        m.output("toned", &[row(0), row(1), row(2)]);
    });
    let int = vec![width as i32, height as i32];
    Ok(map.apply_with(&[colour, grid], CallParams { items: 0, real: vec![], int })?.remove(0))
}

/// Weighted mean of the squared differences of neighbouring cells, shape [].
pub fn variation(grid: &Var) -> Result<Var> {
    let cells: usize = SHAPE.iter().product();
    let map = Map::cached("splat/tone variation", |m| {
        let own = m.item::<AFFINE>("own");
        let grid = m.table::<AFFINE>("grid");
        let mut sum = Expr::from(0.0);
        let mut stride = 1;
        for n in SHAPE.iter().rev().map(|n| *n as i32) {
            let place = m.index().quotient(IntExpr::from(stride));
            let last = (place - place.quotient(IntExpr::from(n)) * n).equals(n - 1);
            // The last one of a line is its own neighbour.
            let next = grid.fetch(m.index() + last.select_int(0, stride));
            let change = std::array::from_fn::<Expr, AFFINE, _>(|k| (next[k] - own[k]).square());
            sum = sum + change.into_iter().reduce(|a, b| a + b).expect("twelve");
            stride *= n;
        }
        m.sum("variation", &[sum]);
    });
    let sum = map.apply(&[grid, grid])?.remove(0);
    sum.reshape(&[])?.scale(VARIATION / (AFFINE * cells) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_testkit::{Check, real_in};

    #[test]
    fn tones_have_right_derivatives() {
        let cells = SHAPE.iter().product();
        let inputs = [real_in(&[20, 3], 1, 0.1, 0.9), real_in(&[cells, AFFINE], 2, -1.0, 1.0)];
        Check::new("tones", |x| Ok(vec![tone(&x[0], &x[1], [5, 4])?, variation(&x[1])?])).run(&inputs);
    }

    #[test]
    fn tones_lie_between_those_of_cells() {
        let cpu = Device::cpu();
        let colours: Var = Tensor::from_slice(&cpu, &[0.25f32; 3 * 32], &[32, 3]).unwrap().into();
        let same = identity(&cpu).unwrap();
        let toned = tone(&colours, &same.clone().into(), [32, 1]).unwrap().tensor().to_vec::<f32>().unwrap();
        assert!(toned.iter().all(|x| (x - 0.25).abs() < 1e-6));
        assert_eq!(variation(&same.clone().into()).unwrap().tensor().item().unwrap(), 0.0);
        // Red grows with the column: its constant is the cell's.
        let mut grid = same.to_vec::<f32>().unwrap();
        for (cell, map) in grid.as_chunks_mut::<AFFINE>().0.iter_mut().enumerate() {
            map[3] = (cell % SHAPE[2]) as f32;
        }
        let grid: Var = Tensor::from_slice(&cpu, &grid, same.shape()).unwrap().into();
        let toned = tone(&colours, &grid, [32, 1]).unwrap().tensor().to_vec::<f32>().unwrap();
        for (x, rgb) in toned.as_chunks::<3>().0.iter().enumerate() {
            let expected = 0.25 + (x as f32 + 0.5) / 32.0 * 15.0;
            assert!((rgb[0] - expected).abs() < 1e-4 && (rgb[1] - 0.25).abs() < 1e-6, "{x}: {rgb:?}");
        }
        // Of the three axes one changes, by one in twelve numbers, between 15 of 16 columns.
        let found = variation(&grid).unwrap().tensor().item().unwrap();
        assert!((found - VARIATION / 12.0 * 15.0 / 16.0).abs() < 1e-5, "{found}");
    }
}
