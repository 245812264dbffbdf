//! The state of a run as a checkpoint.

use super::run::{INTRINSICS_GROUP, Optimizer};
use crate::Result;
use crate::run::{Array, Checkpoint};
use lumigrad_core::Tensor;
use lumigrad_optim::method::State;

/// Before the names of what the optimiser remembers, in checkpoints.
const METHOD: &str = "optimizer/";

impl Optimizer<'_> {
    /// The whole state, for `--resume`.
    pub fn checkpoint(&self, job: String) -> Result<Checkpoint> {
        let state = self.method.as_ref().map(|m| m.state()).unwrap_or_default();
        let mut c = Checkpoint { step: self.iteration as u64, seed: self.settings.seed, job, ..Default::default() };
        c.facts.extend(state.numbers.iter().map(|(name, x)| (format!("{METHOD}{name}"), x.to_string())));
        c.facts.insert("seconds".into(), self.seconds.to_string());
        c.facts.insert("rate factor".into(), self.rate_factor.to_string());
        self.save_meshes(&mut c);
        if let Some(topology) = &self.topology {
            topology.save(&mut c);
        }
        if let Some(tuning) = &self.tuning {
            tuning.save(&mut c);
        }
        for v in &self.variables {
            c.insert(v.parameter.pointer.clone(), v.value.shape(), Array::F32(v.value.to_vec::<f32>()?));
        }
        for (name, t) in &state.tensors {
            c.insert(format!("{METHOD}{name}"), t.shape(), Array::F32(t.to_vec::<f32>()?));
        }
        if let Some(intrinsics) = &self.intrinsics {
            let value = &intrinsics.value;
            c.insert(INTRINSICS_GROUP, value.shape(), Array::F32(value.to_vec::<f32>()?));
        }
        if let Some(poses) = &self.poses {
            let flat = poses.base.iter().flatten().flatten().copied().collect();
            c.insert("/views", &[poses.base.len(), 4, 4], Array::F64(flat));
        }
        Ok(c)
    }

    /// Goes on from a checkpoint.
    pub fn restore(&mut self, c: &Checkpoint) -> Result<()> {
        self.iteration = c.step as usize;
        self.seconds = c.facts.get("seconds").and_then(|s| s.parse().ok()).unwrap_or(0.0);
        self.rate_factor = c.facts.get("rate factor").and_then(|s| s.parse().ok()).unwrap_or(1.0);
        self.restore_meshes(c)?;
        if let Some(topology) = &mut self.topology {
            topology.restore(c);
        }
        if let Some(tuning) = &mut self.tuning {
            tuning.restore(c);
        }
        for v in &mut self.variables {
            let shape = v.value.shape().to_vec();
            v.value = Tensor::from_slice(&self.device, c.f32(&v.parameter.pointer, &shape)?, &shape)?;
        }
        if let Some(intrinsics) = &mut self.intrinsics {
            let shape = intrinsics.value.shape().to_vec();
            intrinsics.value = Tensor::from_slice(&self.device, c.f32(INTRINSICS_GROUP, &shape)?, &shape)?;
        }
        if let Some(poses) = &mut self.poses {
            let flat = c.f64("/views", &[poses.base.len(), 4, 4])?;
            for (pose, values) in poses.base.iter_mut().zip(flat.chunks_exact(16)) {
                *pose = std::array::from_fn(|r| std::array::from_fn(|k| values[4 * r + k]));
            }
        }
        let mut state = State::default();
        state.numbers.extend(c.numbers_under(METHOD).map(|(name, x)| (name.into(), x)));
        for (name, shape, data) in c.arrays_under(METHOD) {
            state.tensors.insert(name.into(), Tensor::from_slice(&self.device, data, shape)?);
        }
        if let Some(method) = &mut self.method {
            method.load_state(&state);
        }
        Ok(())
    }
}
