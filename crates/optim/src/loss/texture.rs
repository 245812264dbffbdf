//! A regulariser of textures.

use crate::Result;
use lumigrad_core::map::IntExpr;
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
