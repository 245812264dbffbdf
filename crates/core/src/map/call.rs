//! A map on the tape.

use super::program::OutputKind;
use super::{CallParams, Derivative, Kept, Map};
use crate::tape::Operator;
use crate::{Result, Tensor};
use std::sync::Arc;

/// One recorded call.
pub struct MapCall {
    /// What runs.
    pub map: Map,
    /// Its numbers.
    pub params: CallParams,
    /// How values are kept for the backward pass, if they are.
    pub(super) kept: Option<Arc<Kept>>,
}

fn present(tensors: &[Option<Tensor>]) -> impl Iterator<Item = &Tensor> {
    tensors.iter().flatten()
}

impl Operator for MapCall {
    fn name(&self) -> &str {
        self.map.name()
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        match &self.kept {
            Some(kept) => kept.forward.run(&inputs, &self.params),
            None => self.map.run(&inputs, &self.params),
        }
    }

    fn jvp(&self, inputs: &[Tensor], outputs: &[Tensor], tangents: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let active = tangents.iter().map(Option::is_some).collect();
        let all: Vec<&Tensor> = inputs.iter().chain(present(tangents)).collect();
        let params = self.with_items(outputs);
        let mut results = self.map.compiled(Derivative::Jvp(active)).run(&all, &params)?.into_iter();
        // What was kept for the backward pass comes last and has no tangents.
        Ok(outputs.iter().map(|o| if o.dtype().is_real() { results.next() } else { None }).collect())
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        outputs: &[Tensor],
        cotangents: &[Option<Tensor>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let (outputs, kept_values) = outputs.split_at(self.map.0.program.outputs.len());
        let real = outputs.iter().zip(cotangents).filter(|(o, _)| o.dtype().is_real());
        let given: Vec<bool> = real.map(|(_, c)| c.is_some()).collect();
        let wanted: Vec<bool> = inputs.iter().zip(wanted).map(|(t, w)| *w && t.dtype().is_real()).collect();
        let mut all: Vec<&Tensor> = inputs.iter().chain(present(cotangents)).collect();
        let params = self.with_items(outputs);
        let results = match &self.kept {
            Some(kept) if kept.wanted == wanted && !given.contains(&false) => {
                all.extend(kept_values);
                kept.backward.run(&all, &params)?
            }
            _ => self.map.compiled(Derivative::Vjp { given, wanted: wanted.clone() }).run(&all, &params)?,
        };
        let mut results = results.into_iter();
        Ok(inputs
            .iter()
            .zip(wanted)
            .map(|(input, w)| match w {
                true => results.next().map(|g| g.reshape(input.shape()).expect("gradients have their input's size")),
                false => None,
            })
            .collect())
    }
}

impl MapCall {
    /// Derivatives run over as many items as the forward pass did, also without item inputs.
    fn with_items(&self, outputs: &[Tensor]) -> CallParams {
        let mut params = self.params.clone();
        let item = self.map.0.program.outputs.iter().position(|o| matches!(o.kind, OutputKind::Item(_)));
        if params.items == 0
            && let Some(k) = item
        {
            params.items = outputs[k].shape()[0];
        }
        params
    }
}
