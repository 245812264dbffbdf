//! A regulariser of textures.

use crate::Result;
use lumigrad_core::map::IntExpr;
use lumigrad_core::ops::concat;
use lumigrad_core::{CallParams, Error as CoreError, Map, Var};

/// Differences between neighbouring texels below this are noise, above it edges.
const EDGE: f64 = 0.03;

/// Total variation of a texture, rounded off: the mean over texels of Σ √(d² + ε²) − ε, ε = 0.03, over the differences d
/// to the right and lower neighbour in each channel. Unlike their squares it leaves edges sharp.
///
/// **Shapes**: texture [H, W, C], C at most 4, → []. **Gradients**: exact, of first order. **Cost**: each texel is read
/// with its four neighbours, in both directions. **Source**: Rudin, Osher, Fatemi 1992, anisotropic.
///
/// # Errors
/// When the shape is another.
pub fn total_variation(texture: &Var) -> Result<Var> {
    match *texture.shape() {
        [h, w, c @ 1..=4] => with_channels!(c, of_channels(texture, h, w)),
        _ => Err(CoreError::shape("texture", texture.shape(), "[H, W, C], C at most 4").into()),
    }
}

/// Residuals r, flat, such that ½‖r‖² has the gradient of [`total_variation`]: differences with the weights of iteratively
/// reweighted least squares, through which no derivative flows.
///
/// # Errors
/// As [`total_variation`].
pub fn total_variation_residuals(texture: &Var) -> Result<Var> {
    let &[h, w, 1..=4] = texture.shape() else {
        return Err(CoreError::shape("texture", texture.shape(), "[H, W, C], C at most 4").into());
    };
    let map = Map::cached("optim/variation_roots", |m| {
        let ([d], share) = (m.item("difference"), m.param());
        m.output("roots", &[(share / (d.square() + EDGE * EDGE).sqrt()).sqrt()]);
    });
    let share = CallParams { items: 0, real: vec![1.0 / (h * w).max(1) as f64], int: vec![] };
    let along = |axis: usize, n: usize| -> Result<Var> {
        let d = texture.slice(axis, 1, n)?.sub(&texture.slice(axis, 0, n - 1)?)?;
        let roots = map.apply_with(&[&d.stop_gradient()], share.clone())?.remove(0);
        Ok(d.mul(&roots.reshape(d.shape())?)?.reshape(&[d.len()])?)
    };
    let sides = [(0, h), (1, w)].into_iter().filter(|(_, n)| *n > 1);
    let parts = sides.map(|(axis, n)| along(axis, n)).collect::<Result<Vec<_>>>()?;
    match parts.is_empty() {
        true => Ok(texture.scale(0.0)?.reshape(&[texture.len()])?),
        false => Ok(concat(&parts.iter().collect::<Vec<_>>(), 0)?),
    }
}

fn of_channels<const C: usize>(texture: &Var, h: usize, w: usize) -> Result<Var> {
    let map = Map::cached(&format!("optim/total_variation {C}"), |m| {
        let own = m.item::<C>("texture");
        let texels = m.table::<C>("neighbours");
        let (w, h) = (m.int_param(), m.int_param());
        let y = m.index().quotient(w);
        let x = m.index() - y * w;
        let at = |x: IntExpr, y: IntExpr| texels.fetch(y.max(0).min(h - 1) * w + x.max(0).min(w - 1));
        let around = [at(x - 1, y), at(x + 1, y), at(x, y - 1), at(x, y + 1)];
        let size = |d: lumigrad_core::map::Expr| (d.square() + EDGE * EDGE).sqrt() - EDGE;
        let differences = around.iter().flat_map(|n| (0..C).map(move |c| own[c] - n[c]));
        m.sum("variation", &[differences.map(size).fold(0.0.into(), |sum, d| sum + d)]);
    });
    // Seen from both of its ends, each difference counts twice, and the derivative by the own texels alone is that of
    // the single count: gradients are gathered instead of scattered.
    let call = CallParams { items: h * w, real: vec![], int: vec![w as i32, h as i32] };
    let twice = map.apply_with(&[texture, &texture.stop_gradient()], call)?.remove(0).reshape(&[])?;
    let once = twice.sub(&twice.stop_gradient().scale(0.5)?)?;
    Ok(once.scale(1.0 / (h * w).max(1) as f64)?)
}
