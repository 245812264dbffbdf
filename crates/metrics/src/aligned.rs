//! Colours of one picture as another one's camera would have exposed them.

use crate::{Error, check};
use glam::{DMat4, DVec4};

/// Added to the diagonal of the normal equations, per pixel: pictures of one colour leave factors open.
const RIDGE: f64 = 1e-6;

/// Colours of `a` [P, 3] under the affine map of three channels that brings them nearest to `b`, least squares. Compared
/// after it, pictures are judged but for exposure and white balance.
///
/// # Errors
/// Different lengths, or ones that are no multiple of three.
pub fn aligned(a: &[f32], b: &[f32]) -> Result<Vec<f32>, Error> {
    check(a, b, b.len() / 3 * 3)?;
    let row = |p: &[f32]| DVec4::new(p[0].into(), p[1].into(), p[2].into(), 1.0);
    let outer = |r: DVec4, s: DVec4| DMat4::from_cols(r * s.x, r * s.y, r * s.z, r * s.w);
    let pixels = a.as_chunks::<3>().0.len() as f64;
    // Towards the identity, where pictures say nothing.
    let mut squares = DMat4::IDENTITY * (RIDGE * pixels);
    let mut products = squares;
    for (p, q) in a.as_chunks::<3>().0.iter().zip(b.as_chunks::<3>().0) {
        squares += outer(row(p), row(p));
        products += outer(row(p), row(q));
    }
    let map = (squares.inverse() * products).transpose();
    let mapped = a.as_chunks::<3>().0.iter().map(|p| map * row(p));
    Ok(mapped.flat_map(|c| [c.x as f32, c.y as f32, c.z as f32]).collect())
}

#[test]
fn an_affine_map_of_colours_is_undone() {
    let a: Vec<f32> = (0..300).map(|i| ((i * 37) % 101) as f32 / 101.0).collect();
    let of = |p: &[f32; 3]| [0.7 * p[0] + 0.1, 0.6 * p[1] + 0.1 * p[2], 0.9 * p[2] + 0.05];
    let b: Vec<f32> = a.as_chunks::<3>().0.iter().flat_map(of).collect();
    let far = |x: &[f32]| x.iter().zip(&b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(far(&a) > 0.1 && far(&aligned(&a, &b).unwrap()) < 1e-4);
    // One colour: nothing to divide by.
    let grey = vec![0.5; 30];
    assert!(aligned(&grey, &grey).unwrap().iter().all(|x| (x - 0.5).abs() < 1e-4));
    assert!(aligned(&a, &b[3..]).is_err());
}
