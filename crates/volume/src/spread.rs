//! Distortion: how far apart along a ray its weight lies.

use crate::kernels::spread::{Params, Spread};
use crate::{Result, Samples};
use lumigrad_core::{Error, Operator, Tensor, Var, apply};
use std::sync::Arc;

/// w → A w, symmetric.
struct Pull {
    offsets: Tensor,
    middles: Tensor,
    lengths: Tensor,
}

impl Pull {
    fn run(&self, weights: &Tensor) -> lumigrad_core::Result<Tensor> {
        let rays = self.offsets.len() - 1;
        let mut pulls = Tensor::uninit(weights.device(), weights.dtype(), weights.shape())?;
        let (offsets, middles, lengths) = (&self.offsets, &self.middles, &self.lengths);
        let params = Params { rays: rays as u32, unused: [0; 3] };
        Spread { offsets, middles, lengths, weights, pulls: &mut pulls }.launch(&params, rays)?;
        Ok(pulls)
    }
}

impl Operator for Pull {
    fn name(&self) -> &str {
        "volume/spread"
    }

    fn forward(&self, inputs: &[Tensor]) -> lumigrad_core::Result<Vec<Tensor>> {
        Ok(vec![self.run(&inputs[0])?])
    }

    fn vjp(
        &self,
        _: &[Tensor],
        _: &[Tensor],
        cotangents: &[Option<Tensor>],
        _: &[bool],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        Ok(vec![cotangents[0].as_ref().map(|c| self.run(c)).transpose()?])
    }

    fn jvp(
        &self,
        _: &[Tensor],
        _: &[Tensor],
        tangents: &[Option<Tensor>],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        Ok(vec![tangents[0].as_ref().map(|t| self.run(t)).transpose()?])
    }
}

impl Samples {
    /// The distortion of each ray: Σᵢⱼ wᵢwⱼ|mᵢ − mⱼ| + ⅓Σ wᵢ²δᵢ (Barron et al. 2022, eq. 15), which is least where all
    /// weight lies in one place. Distances are those of the samples: measure them in parts of the ray's length first.
    ///
    /// **Shapes**: weights \[M\]; result [R, 1]. **Gradients**: to the weights. **Cost**: linear in the samples.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn distortion(&self, weights: &Var) -> Result<Var> {
        if weights.len() != self.len() {
            let expected = format!("[{}], one per sample", self.len());
            return Err(Error::shape("weights", weights.shape(), expected).into());
        }
        let as_weights = |t: &Tensor| t.cast(weights.dtype());
        let (middles, lengths) = (as_weights(&self.middles)?, as_weights(&self.lengths)?);
        let pull = Pull { offsets: self.offsets.clone(), middles, lengths };
        let pulls = apply(Arc::new(pull), &[weights])?.remove(0);
        let product = pulls.mul(weights)?.scale(0.5)?.reshape(&[self.len(), 1])?;
        Ok(product.segment_sum(&self.offsets)?)
    }
}
