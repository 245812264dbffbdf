//! Pictures as they are compared and shown: display-encoded, composited on black.

use lumigrad_core::map::{Expr, srgb};
use lumigrad_core::{CallParams, Map, Result, Var};

/// Linear premultiplied [H, W, 4] → display-encoded colour over black, and alpha, [H, W, 4].
///
/// Straight colour is encoded (sRGB, continued above 1), then multiplied by alpha, as a viewer composites a PNG.
/// **Gradients** are exact; colour below zero counts as zero.
pub fn encode(image: &Var) -> Result<Var> {
    let map = Map::cached("optimize/encode", |m| {
        let [r, g, b, a] = m.item("image");
        let visible = a.greater(1e-4);
        let alpha = visible.select(a, 1.0);
        let encode = |x: Expr| visible.select(srgb::to_encoded((x / alpha).max(0.0)) * alpha, 0.0);
        m.output("encoded", &[encode(r), encode(g), encode(b), a]);
    });
    map.apply(&[image])?.remove(0).reshape(image.shape())
}

/// An encoded picture over black, as [`encode`] makes it, over another colour; its alpha is what covers that, and becomes
/// `alpha` where one is given.
pub fn over(encoded: &Var, background: [f32; 3], alpha: Option<f64>) -> Result<Var> {
    let map = Map::cached("optimize/over", |m| {
        let [r, g, b, a] = m.item("encoded");
        let [x, y, z, keep, alpha] = std::array::from_fn(|_| m.param());
        let left = 1.0 - a;
        m.output("over", &[r + left * x, g + left * y, b + left * z, keep * a + alpha]);
    });
    let [x, y, z] = background.map(f64::from);
    let (keep, alpha) = alpha.map_or((1.0, 0.0), |alpha| (0.0, alpha));
    let call = CallParams { items: 0, real: vec![x, y, z, keep, alpha], int: vec![] };
    map.apply_with(&[encoded], call)?.remove(0).reshape(encoded.shape())
}
