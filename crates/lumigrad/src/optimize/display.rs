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

/// An encoded picture over black, as [`encode`] makes it, over another colour. Its alpha stays, or is 1 where it is to be an
/// opaque picture.
pub fn over(encoded: &Var, background: [f32; 3], opaque: bool) -> Result<Var> {
    let map = Map::cached("optimize/over", |m| {
        let [r, g, b, a] = m.item("encoded");
        let [x, y, z, opaque] = std::array::from_fn(|_| m.param());
        let left = 1.0 - a;
        m.output("over", &[r + left * x, g + left * y, b + left * z, (1.0 - opaque) * a + opaque]);
    });
    let [x, y, z] = background.map(f64::from);
    let call = CallParams { items: 0, real: vec![x, y, z, f64::from(opaque)], int: vec![] };
    map.apply_with(&[encoded], call)?.remove(0).reshape(encoded.shape())
}
