//! The Jacobian of a picture by Gaussians, without a matrix and without a cache: J·p is the forward pass carrying tangents, Jᵀu
//! the backward pass.

use crate::Error;
use crate::composite::{Drawn, PLANES, Tiled, place};
use crate::frame::{Frame, TILE, smoothing_of};
use crate::lanes::{Precision, level};
use crate::loss::Planes;
use crate::project::{Camera, project_tangent};
use crate::rows::{BLOCK, Rows};
use crate::update::collect;
use fearless_simd::dispatch;
use rayon::prelude::*;

/// A picture, the way it changes, and the memory of both.
#[derive(Default)]
pub(crate) struct Linear<T: Precision> {
    pub frame: Frame<T>,
    pub drawn: Drawn<T>,
    /// Change of each splat.
    tangents: Vec<[T; 10]>,
    pub change: Tiled<T>,
    sums: Vec<[T; 10]>,
}

impl<T: Precision> Linear<T> {
    /// Draws rows and their change along `direction`.
    ///
    /// **Errors**: Gaussians that cover too much.
    pub fn along(
        &mut self,
        (rows, smoothing): (&Rows<T>, &[T]),
        direction: &Rows<T>,
        camera: &Camera<T>,
        size: [usize; 2],
    ) -> Result<(), Error> {
        self.frame.update(rows, smoothing, camera, size, true)?;
        self.tangents.resize(self.frame.splats.len(), [T::ZERO; 10]);
        let block = rows.width * BLOCK;
        let blocks = rows.data.par_chunks_exact(block).zip(direction.data.par_chunks_exact(block));
        let out = self.tangents.as_chunks_mut::<BLOCK>().0.par_iter_mut().zip(&self.frame.seen);
        blocks.zip(out).with_min_len(16).enumerate().filter(|(_, (_, (_, bits)))| **bits != 0).for_each(
            |(at, ((row, by), (out, _)))| {
                let row = (row, smoothing_of(smoothing, at));
                dispatch!(level(), simd => project_tangent::<_, T>(simd, row, by, camera, out));
            },
        );
        self.drawn.update_along(&self.frame, &self.tangents, &mut self.change);
        Ok(())
    }

    /// Adds to `out` the derivative by rows, times `weight`, given that by the picture that was drawn last; with `SQUARED`
    /// its squares.
    pub fn back<const SQUARED: bool>(
        &mut self,
        rows: (&Rows<T>, &[T]),
        by_picture: &Tiled<T>,
        camera: &Camera<T>,
        weight: T,
        out: &mut Rows<T>,
    ) {
        self.drawn.backward(&self.frame, by_picture, (false, false), &mut self.sums);
        collect::<T, _, _, SQUARED>(rows, camera, &self.frame, &self.sums, weight, out);
    }
}

/// `change`, over a background, times `weights`, and then as a derivative by the picture before the background: in place.
pub(crate) fn weigh(change: &mut Tiled<f32>, weights: &Planes<f32>, [width, height]: [usize; 2], behind: [f32; 3]) {
    let columns = width.div_ceil(TILE);
    change.par_iter_mut().enumerate().for_each(|(tile, planes)| {
        let corner = [tile % columns * TILE, tile / columns * TILE];
        for y in 0..TILE {
            for x in 0..TILE {
                let at = place(x, y);
                let inside = corner[0] + x < width && corner[1] + y < height;
                let pixel = (corner[1] + y) * width + corner[0] + x;
                let mut by_left = 0.0;
                for ch in 0..3 {
                    let weight = if inside { weights[ch][pixel] } else { 0.0 };
                    let by = weight * (planes[ch][at] + planes[PLANES - 1][at] * behind[ch]);
                    planes[ch][at] = by;
                    by_left += by * behind[ch];
                }
                planes[PLANES - 1][at] = by_left;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::composite::PIXELS;
    use crate::render::camera;
    use crate::render_tests::{scene, view};
    use crate::{Kernel, Projection, View};

    fn noise(i: usize, seed: usize) -> f64 {
        ((i * 7919 + seed * 104_729) as f64 * 0.618_034).fract() - 0.5
    }

    fn direction(rows: &Rows<f64>, size: f64) -> Rows<f64> {
        let mut out = Rows::zeros(rows.n, rows.width);
        for i in 0..rows.n {
            out.set_row(i, (0..rows.width).map(|k| size * noise(i * rows.width + k, 1)));
        }
        out
    }

    fn cases() -> Vec<(Kernel, Projection, Vec<f64>)> {
        let smoothing: Vec<f64> = (0..BLOCK).map(|i| 0.02 + 0.01 * i as f64).collect();
        vec![
            (Kernel::Classic, Projection::Perspective, vec![]),
            (Kernel::Mip, Projection::Perspective, smoothing),
            (Kernel::Mip, Projection::Orthographic, vec![]),
        ]
    }

    #[test]
    fn forward_and_reverse_mode_are_adjoint_and_forward_matches_differences() {
        for (kernel, projection, smoothing) in cases() {
            let view = View { projection, ..view() };
            let rows = Rows::<f64>::new(&scene(kernel, 3));
            let mut camera = camera::<f64>(kernel, 3, &view, 0.01);
            // So low that no difference moves a pixel across the cut.
            camera.least = -60.0;
            let size = [view.width, view.height];
            let (mut linear, by) = (Linear::default(), direction(&rows, 1.0));
            linear.along((&rows, &smoothing), &by, &camera, size).unwrap();
            let change = linear.change.clone();
            let mut u = change.clone();
            for (tile, planes) in u.iter_mut().enumerate() {
                for (k, plane) in planes.iter_mut().enumerate() {
                    // Without depth.
                    let of = |i: usize| if k == 3 { 0.0 } else { noise(tile * PIXELS + i, k + 2) };
                    plane.iter_mut().enumerate().for_each(|(i, x)| *x = of(i));
                }
            }
            let mut gradient = Rows::zeros(rows.n, rows.width);
            linear.back::<false>((&rows, &smoothing), &u, &camera, 1.0, &mut gradient);
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            // Pixels beyond the border do not change.
            let left = dot(change.as_flattened().as_flattened(), u.as_flattened().as_flattened());
            let right = dot(&by.data, &gradient.data);
            assert!((left - right).abs() < 1e-9 * left.abs().max(0.1), "{kernel:?} {projection:?}: {left} {right}");
            let moved = |by: f64| {
                let mut moved = rows.clone();
                let way = direction(&rows, by);
                moved.data.iter_mut().zip(&way.data).for_each(|(x, d)| *x += d);
                let mut linear = Linear::default();
                linear.along((&moved, &smoothing), &way, &camera, size).unwrap();
                linear.drawn.picture
            };
            let (high, low) = (moved(1e-6), moved(-1e-6));
            let (mut worst, mut largest) = (0.0f64, 0.0f64);
            for (tile, planes) in change.iter().enumerate() {
                for plane in [0, 1, 2, 4] {
                    for i in 0..PIXELS {
                        let found = (high[tile][plane][i] - low[tile][plane][i]) / 2e-6;
                        worst = worst.max((found - planes[plane][i]).abs());
                        largest = largest.max(found.abs());
                    }
                }
            }
            assert!(worst < 2e-6 * largest && largest > 0.05, "{kernel:?} {projection:?}: {worst} of {largest}");
        }
    }
}
