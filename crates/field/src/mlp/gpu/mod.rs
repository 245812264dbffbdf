//! Whole networks on GPUs: one launch forward, one back, and small ones that pack parameters and unpack their gradients.
//!
//! Shaders are written for a network's sizes (`forward`, `backward`) around activations that are maps (`Map::wgsl_function`);
//! the CPU body of the same operator is `mlp::cpu`. Numbers before activations are kept, four points in a vector. The order of
//! all sums depends on sizes and the adapter's limits only.

mod backward;
mod forward;
mod layout;
mod shader;
#[cfg(test)]
mod tests;

use super::Precision;
use super::blocks::Plan;
use crate::{Derivatives, Mlp};
use backward::Wanted;
use layout::Layout;
use lumigrad_core::device::Limits;
use lumigrad_core::kernel::Generated;
use lumigrad_core::{DType, Result, Tensor, bytemuck};
use shader::{Array, Net};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

/// Workgroups that sum parameter gradients on their own at most.
const GROUPS: usize = 256;

/// A network's shaders on one kind of device.
pub struct Network {
    mlp: Mlp,
    derivatives: Derivatives,
    plan: Plan,
    layout: Layout,
    pack: Generated,
    shaders: Mutex<HashMap<Use, Arc<Generated>>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Use {
    Forward { keep: bool },
    Backward(Wanted),
    Unpack(Vec<Array>),
}

/// Parameters of all shaders: points, points in fours, tiles, and workgroups that share them.
fn parameters(n: usize, fours: usize, groups: usize) -> [u32; 4] {
    let n4 = n.div_ceil(4);
    [n as u32, n4 as u32, n4.div_ceil(fours) as u32, groups as u32]
}

impl Network {
    /// Of a network on a device of these limits; none where it doesn't fit. Networks are made once.
    pub fn new(mlp: &Mlp, derivatives: &Derivatives, present: &[bool], limits: &Limits) -> Option<Arc<Self>> {
        static NETWORKS: LazyLock<Mutex<HashMap<String, Option<Arc<Network>>>>> = LazyLock::new(Mutex::default);
        let key = format!("{mlp:?} {derivatives:?} {present:?} {limits:?}");
        let mut known = NETWORKS.lock().expect("no thread panics in here");
        if let Some(found) = known.get(&key) {
            return found.clone();
        }
        let plan = Plan::new(mlp, derivatives, present);
        let made = Layout::new(&plan, limits).map(|layout| {
            let pack = Generated::new("field/mlp_pack", shader::pack(&layout, mlp.precision), "pack");
            let (mlp, derivatives) = (mlp.clone(), derivatives.clone());
            Arc::new(Self { mlp, derivatives, plan, layout, pack, shaders: Mutex::default() })
        });
        known.insert(key, made.clone());
        made
    }

    /// Bytes that N points keep, in one buffer.
    pub fn kept_bytes(&self, n: usize) -> usize {
        self.layout.kept * n.div_ceil(4) * self.four_bytes()
    }

    fn four_bytes(&self) -> usize {
        if self.mlp.precision == Precision::F16 { 8 } else { 16 }
    }

    fn shader(&self, of: &Use) -> Arc<Generated> {
        let mut known = self.shaders.lock().expect("no thread panics in here");
        if let Some(found) = known.get(of) {
            return found.clone();
        }
        let (mlp, derivatives, plan, layout) = (&self.mlp, &self.derivatives, &self.plan, &self.layout);
        let net = Net { mlp, derivatives, plan, layout };
        let made = Arc::new(match of {
            Use::Forward { keep } => {
                Generated::new("field/mlp_forward", forward::text(&net, mlp.precision, *keep), "forward")
            }
            Use::Backward(wanted) => {
                Generated::new("field/mlp_backward", backward::text(&net, mlp.precision, wanted), "backward")
            }
            Use::Unpack(arrays) => Generated::new("field/mlp_unpack", shader::unpack(layout, arrays), "unpack"),
        });
        known.insert(of.clone(), made.clone());
        made
    }

    /// A buffer of fours.
    fn fours(&self, like: &Tensor, n: usize) -> Result<Tensor> {
        match self.mlp.precision {
            Precision::F32 => Tensor::uninit(like.device(), DType::F32, &[4 * n]),
            Precision::F16 => Tensor::uninit(like.device(), DType::U32, &[2 * n]),
        }
    }

    fn packed(&self, arrays: &[Tensor]) -> Result<Tensor> {
        let mut packed = self.fours(&arrays[0], self.layout.packed)?;
        let reads: Vec<&Tensor> = arrays.iter().collect();
        let words = [0u32; 4];
        let groups = self.layout.packed.div_ceil(64);
        self.pack.launch(arrays[0].device(), bytemuck::bytes_of(&words), &reads, &mut [&mut packed], groups)?;
        Ok(packed)
    }

    /// The streams that come out; then, if asked for, the packed parameters and what is kept.
    pub fn forward(&self, streams: &[Tensor], arrays: &[Tensor], keep: bool) -> Result<Vec<Tensor>> {
        let (n, device) = (streams[0].shape()[0], streams[0].device());
        let last = &self.layout.layers[self.layout.layers.len() - 1];
        let packed = self.packed(arrays)?;
        let new = |_: &usize| Tensor::uninit(device, DType::F32, &[n, last.makes]);
        let mut outputs = last.after.iter().map(new).collect::<Result<Vec<_>>>()?;
        if keep {
            outputs.push(self.fours(&packed, self.layout.kept * n.div_ceil(4))?);
        }
        let words = parameters(n, self.layout.forward.fours, 0);
        let reads: Vec<&Tensor> = [&packed].into_iter().chain(streams).collect();
        let mut writes: Vec<&mut Tensor> = outputs.iter_mut().collect();
        let shader = self.shader(&Use::Forward { keep });
        shader.launch(device, bytemuck::bytes_of(&words), &reads, &mut writes, words[2] as usize)?;
        if keep {
            outputs.push(packed);
        }
        Ok(outputs)
    }

    /// Gradients of the wanted streams and arrays; `kept` is what the forward pass gave behind its streams.
    pub fn vjp(
        &self,
        streams: &[Tensor],
        arrays: &[Tensor],
        kept: &[Tensor],
        cotangents: &[Option<Tensor>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let (n, device) = (streams[0].shape()[0], streams[0].device());
        let (to_streams, to_arrays) = wanted.split_at(streams.len());
        let use_of = Wanted {
            given: cotangents.iter().map(Option::is_some).collect(),
            to_input: to_streams.contains(&true),
            to_parameters: to_arrays.contains(&true),
        };
        let tiles = parameters(n, self.layout.backward.fours, 0)[2] as usize;
        let groups = tiles.min(GROUPS);
        let words = parameters(n, self.layout.backward.fours, groups);
        let mut gradients = vec![];
        if use_of.to_parameters {
            gradients.push(Tensor::uninit(device, DType::F32, &[groups, 4 * self.layout.packed])?);
        }
        if use_of.to_input {
            for stream in streams {
                gradients.push(Tensor::uninit(device, DType::F32, stream.shape())?);
            }
        }
        let [kept, packed] = kept else { return Ok(vec![None; wanted.len()]) };
        let reads: Vec<&Tensor> =
            [packed, kept].into_iter().chain(streams).chain(cotangents.iter().flatten()).collect();
        let mut writes: Vec<&mut Tensor> = gradients.iter_mut().collect();
        let shader = self.shader(&Use::Backward(use_of.clone()));
        shader.launch(device, bytemuck::bytes_of(&words), &reads, &mut writes, groups)?;
        let mut found = gradients.into_iter();
        let sums = if use_of.to_parameters { found.next() } else { None };
        let mut all: Vec<Option<Tensor>> = to_streams.iter().map(|&w| found.next().filter(|_| w)).collect();
        all.extend(match sums {
            None => vec![None; arrays.len()],
            Some(sums) => self.unpacked(&sums, arrays, to_arrays, words)?,
        });
        Ok(all)
    }

    /// Gradients of wanted arrays of workgroups' sums.
    fn unpacked(
        &self,
        sums: &Tensor,
        arrays: &[Tensor],
        wanted: &[bool],
        words: [u32; 4],
    ) -> Result<Vec<Option<Tensor>>> {
        let device = sums.device();
        let kinds = self
            .layout
            .layers
            .iter()
            .enumerate()
            .flat_map(|(l, place)| [(l, false)].into_iter().chain(place.bias.map(|_| (l, true))));
        let of: Vec<(usize, Array)> = kinds.enumerate().filter(|(k, _)| wanted[*k]).collect();
        let mut gradients = vec![None; arrays.len()];
        let buffers = (device.limits().buffers - 1).min(of.len().max(1));
        for part in of.chunks(buffers) {
            let new = |(k, _): &(usize, Array)| Tensor::uninit(device, DType::F32, arrays[*k].shape());
            let mut found = part.iter().map(new).collect::<Result<Vec<_>>>()?;
            let shader = self.shader(&Use::Unpack(part.iter().map(|(_, array)| *array).collect()));
            let items: usize = found.iter().map(Tensor::len).sum();
            let mut writes: Vec<&mut Tensor> = found.iter_mut().collect();
            shader.launch(device, bytemuck::bytes_of(&words), &[sums], &mut writes, items.div_ceil(64))?;
            for ((k, _), gradient) in part.iter().zip(found) {
                gradients[*k] = Some(gradient);
            }
        }
        Ok(gradients)
    }
}
