//! How numbers grow along a tape, for those who look for what went wrong.

use crate::tape::{Node, Tape, Var, sweep_back_with};
use crate::{Error, Result, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// One recorded operator. Magnitudes are largest absolute values; not a number where an element is not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    /// The operator's name.
    pub operator: String,
    /// Magnitude of what it was given.
    pub input: f64,
    /// Magnitude of what it gave.
    pub output: f64,
    /// Magnitude of its outputs' cotangents; 0 where none came.
    pub cotangent: f64,
    /// Magnitude of the gradients that it passed on.
    pub gradient: f64,
}

impl Traced {
    /// True where it made what is not finite out of finite numbers, in the forward pass.
    pub fn breaks_forward(&self) -> bool {
        self.input.is_finite() && !self.output.is_finite()
    }

    /// The same in the reverse pass.
    pub fn breaks_backward(&self) -> bool {
        self.cotangent.is_finite() && !self.gradient.is_finite()
    }
}

impl Tape {
    /// Every operator that `loss`, of one element, was recorded after, in order. **Cost**: a reverse pass, and all values
    /// are read on the host.
    ///
    /// # Errors
    /// As [`Tape::backward`].
    pub fn trace(&self, loss: &Var) -> Result<Vec<Traced>> {
        let Some(id) = loss.id_on(self) else { return Err(Error::MixedTapes { operator: "trace".into() }) };
        let nodes = self.nodes();
        let mut backward: HashMap<*const Node, (f64, f64)> = HashMap::new();
        let one = Tensor::full(loss.device(), loss.dtype(), loss.shape(), 1.0)?;
        sweep_back_with(&nodes, id, one, &mut |node, cotangents, gradients| {
            let some = |list: &[Option<Tensor>]| magnitude(list.iter().flatten());
            backward.insert(Arc::as_ptr(node), (some(cotangents)?, some(gradients)?));
            Ok(())
        })?;
        let traced = |node: &Arc<Node>| {
            let (cotangent, gradient) = backward.get(&Arc::as_ptr(node)).copied().unwrap_or((0.0, 0.0));
            let (input, output) = (magnitude(&node.inputs)?, magnitude(&node.outputs)?);
            Ok(Traced { operator: node.operator.name().into(), input, output, cotangent, gradient })
        };
        nodes.iter().map(traced).collect()
    }
}

/// The largest absolute value of real tensors.
fn magnitude<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<f64> {
    let mut largest = 0.0f64;
    for t in tensors.into_iter().filter(|t| t.dtype().is_real()) {
        for x in t.to_f64_vec()? {
            // The maximum would lose what is not a number.
            largest = if x.is_finite() && largest.is_finite() { largest.max(x.abs()) } else { f64::NAN };
        }
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn the_operator_that_breaks_is_named_in_both_passes() {
        let of = |x: f64| {
            let tape = Tape::new();
            let x = tape.variable(Tensor::from_slice(&Device::cpu(), &[x, 1.0], &[2]).unwrap());
            let loss = x.scale(2.0).unwrap().sqrt().unwrap().scale(3.0).unwrap().sum().unwrap();
            tape.trace(&loss).unwrap()
        };
        let names = |rows: &[Traced], breaks: fn(&Traced) -> bool| {
            rows.iter().filter(|t| breaks(t)).map(|t| t.operator.clone()).collect::<Vec<_>>()
        };
        let fine = of(4.0);
        assert!(names(&fine, Traced::breaks_forward).is_empty() && names(&fine, Traced::breaks_backward).is_empty());
        assert_eq!((fine[0].input, fine[0].output, fine.last().unwrap().cotangent), (4.0, 8.0, 1.0));
        // The root of a negative number, and the slope of the root at 0.
        let root = fine.iter().find(|t| t.output == 8f64.sqrt()).unwrap().operator.clone();
        assert_eq!(names(&of(-1.0), Traced::breaks_forward), std::slice::from_ref(&root));
        assert_eq!(names(&of(0.0), Traced::breaks_backward), [root]);
    }
}
