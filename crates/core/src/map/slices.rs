//! Maps over slices, on the calling thread: for CPU bodies of kernels that keep blocks of values in the cache.

use super::approx::Elementary;
use super::eval::{self, Target};
use super::exec::Data;
use super::program::{Mode, OutputKind};
use super::{Compiled, Derivative, Map, emit};
use std::sync::Arc;

/// A map, or a derivative of one, that runs over slices on the calling thread, without tensors. Its bits are those of
/// [`Map::run`].
#[derive(Clone)]
pub struct Slices(Arc<Compiled>);

impl Map {
    /// This map over slices. Its inputs and outputs are rows of items or the same for all, and real.
    pub fn slices(&self) -> Slices {
        Slices::new(self.compiled(Derivative::Primal))
    }

    /// The gradient of inputs with `wanted[k]`, in order, over slices: takes the inputs, then the cotangents of the outputs
    /// with `given[k]`.
    pub fn vjp_slices(&self, given: &[bool], wanted: &[bool]) -> Slices {
        Slices::new(self.compiled(Derivative::Vjp { given: given.to_vec(), wanted: wanted.to_vec() }))
    }
}

impl Map {
    /// This map as a WGSL function, `fn NAME(in0: f32, …) -> array<f32, N>`, for shaders that keep its numbers in registers.
    /// Its inputs and outputs are one real number per item each.
    pub fn wgsl_function(&self, name: &str) -> String {
        emit::function(&Slices::new(self.compiled(Derivative::Primal)).numbers().0.program, name)
    }

    /// What [`Map::vjp_slices`] computes as such a function.
    pub fn vjp_wgsl_function(&self, name: &str, given: &[bool], wanted: &[bool]) -> String {
        emit::function(&self.vjp_slices(given, wanted).numbers().0.program, name)
    }
}

impl Slices {
    /// Itself, where all inputs and outputs are one number per item.
    fn numbers(self) -> Self {
        let p = &self.0.program;
        assert!(
            p.inputs.iter().all(|i| i.mode == Mode::Item && i.width == 1)
                && p.outputs.iter().all(|o| matches!(o.kind, OutputKind::Item(_)) && o.width == 1),
            "{} has rows or sums, which a function of numbers has not",
            p.name
        );
        self
    }

    fn new(compiled: Arc<Compiled>) -> Self {
        let p = &compiled.program;
        assert!(
            p.inputs.iter().all(|i| i.real && i.mode != Mode::Table)
                && p.outputs.iter().all(|o| o.real && !matches!(o.kind, OutputKind::Scatter { .. }))
                && p.n_params + p.n_int_params == 0,
            "{} has tables, integers or call parameters, which slices have not",
            p.name
        );
        Self(compiled)
    }

    /// Runs for `items` items. Slices hold `items` rows of the width of their input or output; those of inputs and sums
    /// that all items share hold one.
    pub fn run<R: Elementary>(&self, items: usize, inputs: &[&[R]], outputs: &mut [&mut [R]]) {
        let p = &self.0.program;
        assert!(inputs.len() == p.inputs.len() && outputs.len() == p.outputs.len(), "slices of {}", p.name);
        for (slice, input) in inputs.iter().zip(&p.inputs) {
            let rows = if input.mode == Mode::Item { items } else { 1 };
            assert_eq!(slice.len(), rows * input.width, "{} of {}", input.name, p.name);
        }
        for (slice, output) in outputs.iter().zip(&p.outputs) {
            let rows = if matches!(output.kind, OutputKind::Item(_)) { items } else { 1 };
            assert_eq!(slice.len(), rows * output.width, "{} of {}", output.name, p.name);
        }
        let data = Data {
            real: inputs.to_vec(),
            int: vec![&[]; inputs.len()],
            widths: p.inputs.iter().map(|i| i.width).collect(),
            rows: inputs.iter().zip(&p.inputs).map(|(x, i)| x.len() / i.width).collect(),
            params: vec![],
            int_params: vec![],
        };
        let mut targets: Vec<Target<R>> = outputs.iter_mut().map(|x| Target::Real(x)).collect();
        let native = self.0.native.get(&self.0.code, &data, items);
        let whole = items.next_multiple_of(eval::L).max(eval::L);
        eval::evaluate(&self.0.code, native, &data, (items, whole), &mut targets);
    }
}
