//! A cotangent as a term of a loss.

use crate::{Error, Result};
use lumigrad_core::{Operator, Tensor, Var, apply};
use std::sync::Arc;

struct Pull(Tensor);

impl Pull {
    fn product(&self, with: &Tensor) -> lumigrad_core::Result<Tensor> {
        Ok(Var::from(self.0.clone()).mul(&with.clone().into())?.sum()?.tensor().clone())
    }
}

impl Operator for Pull {
    fn name(&self) -> &str {
        "guidance/pull"
    }

    fn forward(&self, _: &[Tensor]) -> lumigrad_core::Result<Vec<Tensor>> {
        Ok(vec![lumigrad_core::ops::scale_tensor(&self.product(&self.0)?, 0.5)?])
    }

    fn vjp(
        &self,
        _: &[Tensor],
        _: &[Tensor],
        c: &[Option<Tensor>],
        _: &[bool],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        let Some(c) = &c[0] else { return Ok(vec![None]) };
        Ok(vec![Some(Var::from(self.0.clone()).mul(&c.clone().into())?.tensor().clone())])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| self.product(t)).transpose()?])
    }
}

/// ½‖x − sg(x − g)‖² = ½|g|², a number whose gradient by the renders is the cotangent g, whatever x is.
///
/// **Shapes**: renders and cotangent alike; result []. **Gradients**: g to the renders, in both modes; none to g.
/// **Errors**: other shapes.
pub fn pull(renders: &Var, cotangent: Tensor) -> Result<Var> {
    if renders.shape() != cotangent.shape() {
        return Err(Error::shape("the cotangent", cotangent.shape(), format!("{:?} (renders)", renders.shape())));
    }
    Ok(apply(Arc::new(Pull(cotangent)), &[renders])?.remove(0))
}
