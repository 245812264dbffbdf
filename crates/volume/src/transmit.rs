//! Weights of samples: how much of a ray's light comes from each.

use crate::kernels::transmit::{Params, Weights, WeightsJvp, WeightsVjp};
use crate::{Result, Samples};
use lumigrad_core::{Error, Operator, Tensor, Var, apply};
use std::sync::Arc;

struct Transmit {
    offsets: Tensor,
    lengths: Tensor,
}

impl Transmit {
    fn params(&self) -> (Params, usize) {
        let rays = self.offsets.len() - 1;
        (Params { rays: rays as u32, unused: [0; 3] }, rays)
    }
}

impl Operator for Transmit {
    fn name(&self) -> &str {
        "volume/weights"
    }

    fn forward(&self, inputs: &[Tensor]) -> lumigrad_core::Result<Vec<Tensor>> {
        let (densities, (params, rays)) = (&inputs[0], self.params());
        let mut weights = Tensor::uninit(densities.device(), densities.dtype(), densities.shape())?;
        let (offsets, lengths) = (&self.offsets, &self.lengths);
        Weights { offsets, densities, lengths, weights: &mut weights }.launch(&params, rays)?;
        Ok(vec![weights])
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        _: &[Tensor],
        cotangents: &[Option<Tensor>],
        _: &[bool],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        let Some(cotangents) = &cotangents[0] else { return Ok(vec![None]) };
        let (densities, (params, rays)) = (&inputs[0], self.params());
        let mut gradient = Tensor::uninit(densities.device(), densities.dtype(), densities.shape())?;
        let (offsets, lengths) = (&self.offsets, &self.lengths);
        WeightsVjp { offsets, densities, lengths, cotangents, gradient: &mut gradient }.launch(&params, rays)?;
        Ok(vec![Some(gradient)])
    }

    fn jvp(
        &self,
        inputs: &[Tensor],
        _: &[Tensor],
        tangents: &[Option<Tensor>],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        let Some(tangents) = &tangents[0] else { return Ok(vec![None]) };
        let (densities, (params, rays)) = (&inputs[0], self.params());
        let mut moved = Tensor::uninit(densities.device(), densities.dtype(), densities.shape())?;
        let (offsets, lengths) = (&self.offsets, &self.lengths);
        WeightsJvp { offsets, densities, lengths, tangents, moved: &mut moved }.launch(&params, rays)?;
        Ok(vec![Some(moved)])
    }
}

impl Samples {
    /// How much of its ray's light comes from each sample: wᵢ = Tᵢ(1 − exp(−σᵢδᵢ)), Tᵢ = exp(−Σ_{j<i} σⱼδⱼ) (Max 1995; the
    /// quadrature of Mildenhall et al. 2020, eq. 3).
    ///
    /// **Shapes**: densities \[M\] or [M, 1], not negative; result the same. **Gradients**: to the densities; sums are taken
    /// from behind, so that nothing cancels where light is nearly gone. **Cost**: two passes over a ray; memory of its own:
    /// none.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn weights(&self, densities: &Var) -> Result<Var> {
        if densities.len() != self.len() {
            let expected = format!("[{}], one per sample", self.len());
            return Err(Error::shape("densities", densities.shape(), expected).into());
        }
        let lengths = self.lengths.cast(densities.dtype())?;
        let operator = Transmit { offsets: self.offsets.clone(), lengths };
        Ok(apply(Arc::new(operator), &[densities])?.remove(0))
    }
}
