//! The median depth on any device, with derivatives.

use super::kernels::SplatMedian;
use super::lists::Lists;
use super::project::SPLAT;
use super::surfels::kernels::SurfelMedian;
use super::surfels::{self, ListedSurfels};
use super::{CameraVars, DeviceOptions, GaussianVars, Listed, listed};
use crate::Kernel;
use lumigrad_core::map::vector;
use lumigrad_core::ops::{concat, radix_sort};
use lumigrad_core::{CallParams, DType, Map, Operator, Result, Tensor, Var, apply, kernels};
use std::sync::Arc;

/// Depth [H, W] (z of the camera) of the Gaussian that takes the transmittance of a pixel below ½; 0 where none does. Of a
/// surfel it is the depth of the point that the pixel's ray meets, or of its centre where that stands in for it, as in
/// [`super::surfels_vars`].
///
/// **Gradients** of both modes flow to the depth of that Gaussian (its mean and the camera), or to the plane of that surfel.
/// They are exact wherever a small change leaves the choice as it is. None flows through the choice: where another Gaussian
/// takes over the depth jumps, which no derivative tells, so that opacities and scales of Gaussians have none.
/// **Errors**: as [`super::render_vars`]. **Determinism**: the same bits from run to run on both devices.
/// **Cost**: a pass of compositing that ends at half of the light; backward, a sort of the pixels.
/// **Source**: Huang et al. 2024, "2D Gaussian Splatting", section 4.2.
pub fn median_depth_vars(gaussians: &GaussianVars, camera: &CameraVars, options: &DeviceOptions) -> Result<Var> {
    let [width, height] = camera.size;
    let like = &gaussians.means;
    let mut chosen = Tensor::uninit(like.device(), DType::U32, &[width * height])?;
    let depth = match options.kernel {
        Kernel::Surfel => {
            let ListedSurfels { surfels, lists: Lists { ids, starts, .. }, params } =
                surfels::listed(gaussians, camera, options)?;
            SurfelMedian { surfels: surfels.tensor(), ids: &ids, starts: &starts, chosen: &mut chosen }
                .launch(&params, params.tiles as usize)?;
            // The rows of the plane, and the centre.
            met(&rows_of(&surfels.slice(1, 0, PLANE)?, chosen)?, width)?
        }
        _ => {
            let Listed { splats, lists, params } = listed(gaussians, camera, options, None)?;
            SplatMedian { splats: splats.tensor(), ids: &lists.ids, starts: &lists.starts, chosen: &mut chosen }
                .launch(&params, params.tiles as usize)?;
            rows_of(&splats.slice(1, SPLAT - 1, SPLAT)?, chosen)?
        }
    };
    depth.reshape(&[height, width])
}

/// Numbers of a surfel that tell where a ray meets it: three rows of the plane, and the centre.
const PLANE: usize = 11;

/// Depths [H·W, 1] at which rays of pixels meet surfels [H·W, 11]; zeros where there is none.
fn met(surfels: &Var, width: usize) -> Result<Var> {
    let map = Map::cached("splat/met", |m| {
        let s = m.item::<PLANE>("surfels");
        let width = m.int_param();
        let y = m.index().quotient(width);
        let at = [(m.index() - y * width).to_real() + 0.5, y.to_real() + 0.5];
        let w = [s[6], s[7], s[8]];
        let plane = |k: usize| [0, 1, 2].map(|i| at[k] * w[i] - s[3 * k + i]);
        let p = vector::cross(plane(0), plane(1));
        let crosses = p[2].square().greater(0.0);
        let per = 1.0 / crosses.select(p[2], 1.0);
        let (u, v) = (p[0] * per, p[1] * per);
        let off = 2.0 * ((s[9] - at[0]).square() + (s[10] - at[1]).square());
        let close = crosses.and((u * u + v * v).less_eq(off));
        m.output("depth", &[close.select(u * w[0] + v * w[1], 0.0) + w[2]]);
    });
    let call = CallParams { items: 0, real: vec![], int: vec![width as i32] };
    Ok(map.apply_with(&[surfels], call)?.remove(0))
}

/// Row chosen − 1 of `values` for each pixel; zeros where that is none.
fn rows_of(values: &Var, chosen: Tensor) -> Result<Var> {
    let none = Tensor::zeros(values.device(), values.dtype(), &[1, values.shape()[1]])?;
    let values = concat(&[&none.into(), values], 0)?;
    let rows = values.shape()[0];
    Ok(apply(Arc::new(Chosen { chosen, rows }), &[&values])?.remove(0))
}

/// Rows [N, C] → those of pixels [M, C]. Unlike a gather it adds gradients up in a fixed order on every device.
struct Chosen {
    /// u32 [M].
    chosen: Tensor,
    rows: usize,
}

impl Operator for Chosen {
    fn name(&self) -> &str {
        "splat/chosen"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![Var::from(inputs[0].clone()).gather(&self.chosen)?.tensor().clone()])
    }

    fn vjp(
        &self,
        _inputs: &[Tensor],
        _outputs: &[Tensor],
        cotangents: &[Option<Tensor>],
        _wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let Some(grads) = &cotangents[0] else { return Ok(vec![None]) };
        let bits = usize::BITS - self.rows.leading_zeros();
        let sorted = radix_sort(&self.chosen, None, bits)?;
        let offsets = kernels::segment_offsets(&sorted.keys, self.rows)?;
        let by_row = Var::from(grads.clone()).gather(&sorted.payload)?.segment_sum(&offsets)?;
        Ok(vec![Some(by_row.tensor().clone())])
    }

    fn jvp(&self, _inputs: &[Tensor], _outputs: &[Tensor], tangents: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let Some(tangents) = &tangents[0] else { return Ok(vec![None]) };
        Ok(vec![Some(Var::from(tangents.clone()).gather(&self.chosen)?.tensor().clone())])
    }
}
