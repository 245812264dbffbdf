//! What stands behind transparent pictures.

use crate::splat::Background;
use crate::{Error, Result};

/// Reads `white`, `black`, `random` or R,G,B.
///
/// # Errors
/// Anything else.
pub fn background(text: &str) -> Result<Background> {
    let numbers: Vec<f32> = text.split(',').filter_map(|x| x.trim().parse().ok()).collect();
    match (text, &numbers[..]) {
        ("black", _) => Ok(Background::Colour([0.0; 3])),
        ("white", _) => Ok(Background::Colour([1.0; 3])),
        ("random", _) => Ok(Background::Random),
        (_, &[r, g, b]) if [r, g, b].iter().all(|x| (0.0..=1.0).contains(x)) => Ok(Background::Colour([r, g, b])),
        _ => Err(Error::usage(
            "--background",
            format!("cannot read {text:?}"),
            "white, black, random or R,G,B from 0 to 1",
        )),
    }
}

/// The colour that pictures are scored over: black where training takes another one in every step.
pub fn fixed(background: Background) -> [f32; 3] {
    match background {
        Background::Colour(colour) => colour,
        Background::Random => [0.0; 3],
    }
}
