//! Pictures of a step: what is drawn and what is wanted, over a background, and derivatives by them.

use super::TrainingPicture;
use crate::composite::{PIXELS, PLANES, Tiled, place};
use crate::frame::TILE;
use crate::loss::Planes;
use rayon::prelude::*;

/// The drawn picture over a background, in rows.
pub fn over(drawn: &Tiled<f32>, [width, height]: [usize; 2], background: [f32; 3], out: &mut Planes<f32>) {
    let columns = width.div_ceil(TILE);
    for (ch, plane) in out.iter_mut().enumerate() {
        plane.resize(width * height, 0.0);
        plane.par_chunks_mut(TILE * width).enumerate().for_each(|(line, strip)| {
            for (y, row) in strip.chunks_exact_mut(width).enumerate() {
                for (column, pixels) in row.chunks_mut(TILE).enumerate() {
                    let tile = &drawn[line * columns + column];
                    // Four pixels of a row stand together.
                    for (four, pixels) in pixels.chunks_mut(4).enumerate() {
                        let at = place(4 * four, y);
                        for (k, pixel) in pixels.iter_mut().enumerate() {
                            *pixel = tile[ch][at + k] + tile[PLANES - 1][at + k] * background[ch];
                        }
                    }
                }
            }
        });
    }
}

/// A photograph over a background.
pub fn target(picture: &TrainingPicture, background: [f32; 3], out: &mut Planes<f32>) {
    for (ch, plane) in out.iter_mut().enumerate() {
        plane.resize(picture.colour.len(), 0.0);
        let pixels = plane.par_iter_mut().zip(&picture.colour).with_min_len(1 << 14);
        if picture.alpha.is_empty() {
            pixels.for_each(|(to, c)| *to = c[ch]);
        } else {
            pixels.zip(&picture.alpha).for_each(|((to, c), a)| *to = c[ch] * a + (1.0 - a) * background[ch]);
        }
    }
}

/// Pixels that do not count are right as they are.
pub fn ignore(picture: &TrainingPicture, drawn: &Planes<f32>, target: &mut Planes<f32>) {
    for (target, drawn) in target.iter_mut().zip(drawn) {
        for i in (0..picture.mask.len()).filter(|&i| picture.mask[i] <= 0.5) {
            target[i] = drawn[i];
        }
    }
}

/// Nothing is learnt of pixels that do not count, through the windows of their neighbours either.
pub fn hide(picture: &TrainingPicture, by: &mut Planes<f32>) {
    for by in by.iter_mut() {
        by.iter_mut().zip(&picture.mask).filter(|(_, m)| **m <= 0.5).for_each(|(by, _)| *by = 0.0);
    }
}

/// The derivative by the planes of tiles, given that by the picture over a background.
pub fn by_tiles(by: &Planes<f32>, [width, height]: [usize; 2], background: [f32; 3], out: &mut Tiled<f32>) {
    let columns = width.div_ceil(TILE);
    out.resize_with(columns * height.div_ceil(TILE), || [[0.0; PIXELS]; PLANES]);
    out.par_iter_mut().enumerate().for_each(|(tile, planes)| {
        let corner = [tile % columns * TILE, tile / columns * TILE];
        for y in 0..TILE.min(height - corner[1]) {
            for x in 0..TILE.min(width - corner[0]) {
                let (pixel, at) = ((corner[1] + y) * width + corner[0] + x, place(x, y));
                let mut by_left = 0.0;
                for ch in 0..3 {
                    planes[ch][at] = by[ch][pixel];
                    by_left += by[ch][pixel] * background[ch];
                }
                planes[PLANES - 1][at] = by_left;
            }
        }
    });
}
