//! Lists of the fragments of a draw.

use super::Layer;
use crate::Result;
use lumigrad_core::map::{CallParams, Map};
use lumigrad_core::{DType, Tensor};
use std::ops::Range;

/// Pixels of one draw. On a GPU there is one slot per pixel, with triangle 0 where the draw is not seen (no count is
/// read back); on the CPU only those that are seen.
pub struct Fragments {
    /// Pixel number, u32 `[P]`.
    pub pixels: Tensor,
    /// Triangle number + 1, u32 `[P]`; 0 = padding.
    pub triangles: Tensor,
}

/// The numbers 0..n, u32.
pub(crate) fn counting(like: &Tensor, n: usize) -> Result<Tensor> {
    let map = Map::cached("raster/counting", |m| {
        let i = m.index();
        let _ = m.item_int::<1>("like");
        m.output_int("index", &[i]);
    });
    let like = Tensor::uninit(like.device(), DType::U32, &[n])?;
    Ok(map.run(&[&like], &CallParams { items: n, ..Default::default() })?.remove(0).reshape(&[n])?)
}

/// Fragments whose triangle is in a range. Tiles of 8×8 pixels follow each other, for texture locality.
pub fn fragments(layer: &Layer, range: Range<usize>) -> Result<Fragments> {
    let device = layer.triangles.device();
    let Some(ids) = layer.triangles.as_slice::<u32>() else {
        let map = Map::cached("raster/fragments", |m| {
            let [id] = m.item_int("triangle");
            let (first, last) = (m.int_param(), m.int_param());
            let own = first.less(id).and(last.less(id).not());
            m.output_int("triangle", &[own.select_int(id, 0)]);
        });
        let int = vec![range.start as i32, range.end as i32];
        let triangles = map.run(&[&layer.triangles], &CallParams { int, ..Default::default() })?.remove(0);
        let n = layer.triangles.len();
        return Ok(Fragments { pixels: counting(&layer.triangles, n)?, triangles: triangles.reshape(&[n])? });
    };
    let (mut pixels, mut triangles) = (vec![], vec![]);
    let (width, height) = (layer.width, layer.height);
    for tile_y in (0..height).step_by(8) {
        for tile_x in (0..width).step_by(8) {
            for y in tile_y..(tile_y + 8).min(height) {
                for x in tile_x..(tile_x + 8).min(width) {
                    let id = ids[y * width + x];
                    if id != 0 && range.contains(&(id as usize - 1)) {
                        pixels.push((y * width + x) as u32);
                        triangles.push(id);
                    }
                }
            }
        }
    }
    Ok(Fragments {
        pixels: Tensor::from_slice(device, &pixels, &[pixels.len()])?,
        triangles: Tensor::from_slice(device, &triangles, &[triangles.len()])?,
    })
}
