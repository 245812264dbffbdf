//! Textures of views.

use super::painted::Painted;
use lumigrad_geometry::fill_gaps;
use lumigrad_scene::picture::srgb_to_linear;

/// For each texel the pixel that sees it straightest: the first of those that do.
pub fn best(painted: &Painted) -> Vec<Option<u32>> {
    let mut best: Vec<Option<u32>> = vec![None; painted.materials.len() * painted.texels_each()];
    for (pixel, texel) in painted.texels.iter().enumerate() {
        let Some(texel) = texel.map(|t| t as usize) else { continue };
        let weight = |p: u32| painted.weights[p as usize];
        if best[texel].is_none_or(|b| weight(b) < painted.weights[pixel]) {
            best[texel] = Some(pixel as u32);
        }
    }
    best
}

/// Colours of all texels [texels, 3] of textures: those that are not known are filled with what is around them.
pub fn filled(painted: &Painted, mut all: Vec<f32>, known: &[bool]) -> Vec<f32> {
    let ([columns, rows], size) = (painted.size, painted.texels_each());
    for (texture, known) in all.chunks_exact_mut(3 * size).zip(known.chunks_exact(size)) {
        if columns == rows {
            fill_gaps(texture, (columns, 3), known);
            continue;
        }
        // Gaps are filled in squares.
        let side = columns.max(rows);
        let (mut square, mut inside) = (vec![0.0; 3 * side * side], vec![false; side * side]);
        for y in 0..rows {
            square[3 * y * side..][..3 * columns].copy_from_slice(&texture[3 * y * columns..][..3 * columns]);
            inside[y * side..][..columns].copy_from_slice(&known[y * columns..][..columns]);
        }
        fill_gaps(&mut square, (side, 3), &inside);
        for y in 0..rows {
            texture[3 * y * columns..][..3 * columns].copy_from_slice(&square[3 * y * side..][..3 * columns]);
        }
    }
    all
}

/// Opaque RGBA in linear light, as scenes take textures.
pub fn linear(texture: &[f32]) -> Vec<f32> {
    let pixel = |p: &[f32]| [srgb_to_linear(p[0]), srgb_to_linear(p[1]), srgb_to_linear(p[2]), 1.0];
    texture.chunks_exact(3).flat_map(pixel).collect()
}
