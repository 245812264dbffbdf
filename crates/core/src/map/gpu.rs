//! Launches of programs on a GPU, in pages where arrays are longer than the adapter binds at once.

use super::program::{Mode, Output, OutputKind};
use super::{CallParams, Compiled, emit};
use crate::gpu::{Binding, pages};
use crate::{DType, Device, Result, Tensor};
use std::ops::Range;

impl Compiled {
    pub(super) fn run_gpu(
        &self,
        device: &Device,
        inputs: &[&Tensor],
        params: &CallParams,
        items: usize,
    ) -> Result<Vec<Tensor>> {
        let p = &self.program;
        let gpu = device.gpu().expect("a GPU device");
        let groups = items.div_ceil(emit::GROUP as usize);
        let mut outputs = vec![];
        for (k, output) in p.outputs.iter().enumerate() {
            let shape = self.output_shape(k, inputs, items);
            let dtype = if output.real { DType::F32 } else { DType::I32 };
            outputs.push(match output.kind {
                OutputKind::Item(_) => Tensor::uninit(device, dtype, &shape)?,
                OutputKind::Sum(_) => Tensor::uninit(device, dtype, &[groups, output.width])?,
                OutputKind::Scatter { .. } => Tensor::zeros(device, dtype, &shape)?,
            });
        }
        // Empty tables are replaced by one zero row, as on the CPU.
        let filled = inputs
            .iter()
            .zip(&p.inputs)
            .map(|(t, i)| match t.is_empty() && items > 0 {
                true => Tensor::zeros(device, t.dtype(), &[1, i.width]),
                false => Ok((*t).clone()),
            })
            .collect::<Result<Vec<_>>>()?;
        let writes: Vec<bool> = inputs.iter().map(|_| false).chain(outputs.iter().map(|_| true)).collect();
        let pipeline = gpu.pipeline(&self.shader.key, "main", &self.shader.text, &writes)?;
        let mut words: Vec<u32> = vec![0; 4];
        words.extend(params.real.iter().map(|&x| (x as f32).to_bits()));
        words.extend(params.int.iter().map(|&x| x as u32));
        words.resize(words.len().next_multiple_of(4).max(8), 0);
        let by_item = p.inputs.iter().map(|i| (i.mode == Mode::Item).then_some(i.width));
        let written = |o: &Output| matches!(o.kind, OutputKind::Item(_)).then_some(o.width);
        let by_item = by_item.chain(p.outputs.iter().map(written));
        let widest = by_item.flatten().max().unwrap_or(0);
        for page in pages(items, widest, device.limits().buffer_bytes) {
            words[..3].copy_from_slice(&[page.len(), page.start, page.start / emit::GROUP as usize].map(|n| n as u32));
            let rows = |width: usize, rows: Range<usize>| 4 * width * rows.start..4 * width * rows.end;
            let read = filled.iter().zip(&p.inputs).map(|(tensor, input)| match input.mode {
                Mode::Item => Binding::part(tensor, rows(input.width, page.clone())),
                _ => Binding::whole(tensor),
            });
            let written = outputs.iter().zip(&p.outputs).map(|(tensor, output)| match output.kind {
                OutputKind::Item(_) => Binding::part(tensor, rows(output.width, page.clone())),
                _ => Binding::whole(tensor),
            });
            let bindings: Vec<Binding> = read.chain(written).collect();
            let launch = (page.len(), emit::GROUP);
            gpu.dispatch(&pipeline, bytemuck::cast_slice(&words), &bindings, launch, &p.name)?;
        }
        for (k, output) in p.outputs.iter().enumerate() {
            if matches!(output.kind, OutputKind::Sum(_)) {
                outputs[k] = crate::kernels::sum_rows(&outputs[k])?;
            }
        }
        Ok(outputs)
    }
}
