//! Arrays that are pulled, with their optimiser.

use crate::run::{Array, Checkpoint};
use crate::{Error, Result};
use lumigrad_core::{Device, Tape, Tensor, Var};
use lumigrad_guidance::distill::pull;
use lumigrad_optim::{Adam, Group};

/// What checkpoints call the arrays that are learnt at present.
const MODEL: &str = "model";

/// Arrays of a model, and what Adam remembers of them.
pub struct Learnt {
    device: Device,
    /// In the order of the groups.
    pub arrays: Vec<Tensor>,
    adam: Adam,
}

/// A step's renders, recorded.
pub struct Recorded {
    pub(super) tape: Tape,
    pub(super) leaves: Vec<Var>,
    /// [n, side, side, 3] over white, display-encoded, as they are: values may leave [0, 1] a little.
    pub renders: Var,
    /// Normals as colours, while they are polished.
    pub normals: Option<Var>,
    /// What falls beside the distance to the prior, of one element.
    pub(super) loss: Option<Var>,
}

/// Cotangents of a step.
pub struct Pulled {
    /// Of the renders.
    pub renders: Tensor,
    /// Of the normals, where a prior pulls at them.
    pub normals: Option<Tensor>,
}

impl Learnt {
    /// Arrays with the names, rates and bounds of groups.
    pub fn new(arrays: Vec<Tensor>, groups: Vec<Group>, device: &Device) -> Self {
        Self { device: device.clone(), arrays, adam: Adam::new(groups) }
    }

    /// Where they are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Constants of them.
    pub fn vars(&self) -> Vec<Var> {
        self.arrays.iter().cloned().map(Var::from).collect()
    }

    /// Follows cotangents of the renders and of the normals; rates times `factor`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn step(&mut self, recorded: Recorded, pulled: Pulled, factor: f64) -> Result<()> {
        let Recorded { tape, leaves, renders, normals, loss } = recorded;
        let mut total = pull(&renders, pulled.renders)?;
        if let (Some(normals), Some(cotangent)) = (&normals, pulled.normals) {
            total = total.add(&pull(normals, cotangent)?)?;
        }
        if let Some(loss) = loss {
            total = total.add(&loss)?;
        }
        let mut gradients = tape.backward(&total)?;
        let gradients: Vec<Option<Tensor>> = leaves.iter().map(|v| gradients.take(v)).collect();
        let mut values: Vec<&mut Tensor> = self.arrays.iter_mut().collect();
        self.adam.step(&mut values, &gradients, factor)?;
        self.device.submit();
        Ok(())
    }

    /// Goes back to arrays that were kept, with an optimiser that forgot.
    pub fn go_back(&mut self, arrays: Vec<Tensor>) {
        self.arrays = arrays;
        self.adam = Adam::new(self.adam.groups().to_vec());
    }

    /// Writes arrays into a checkpoint, under a name.
    ///
    /// # Errors
    /// Those of the device.
    pub fn save_arrays(&self, name: &str, checkpoint: &mut Checkpoint) -> Result<()> {
        for (group, array) in self.adam.groups().iter().zip(&self.arrays) {
            let values = Array::F32(array.to_vec::<f32>()?);
            checkpoint.insert(format!("{name}.{}", group.name), array.shape(), values);
        }
        Ok(())
    }

    /// Writes arrays and optimiser into a checkpoint.
    ///
    /// # Errors
    /// Those of the device.
    pub fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        self.save_arrays(MODEL, checkpoint)?;
        let (steps, moments) = self.adam.state();
        checkpoint.facts.insert("adam".into(), steps.to_string());
        for (name, moment) in moments {
            checkpoint.insert(format!("adam.{name}"), moment.shape(), Array::F32(moment.to_vec::<f32>()?));
        }
        Ok(())
    }

    /// Takes up the arrays of a name in a checkpoint.
    ///
    /// # Errors
    /// Arrays that are missing or of another size.
    pub fn restore_arrays(&mut self, name: &str, checkpoint: &Checkpoint) -> Result<()> {
        for (group, array) in self.adam.groups().iter().zip(&mut self.arrays) {
            let data = checkpoint.f32(&format!("{name}.{}", group.name), array.shape())?;
            *array = Tensor::from_slice(&self.device, data, array.shape())?;
        }
        Ok(())
    }

    /// Takes up arrays and optimiser of a checkpoint.
    ///
    /// # Errors
    /// Arrays that are missing or of another size.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.restore_arrays(MODEL, checkpoint)?;
        let steps = checkpoint.facts.get("adam").and_then(|s| s.parse().ok());
        let steps = steps.ok_or_else(|| Error::job("the checkpoint does not tell the optimiser's steps"))?;
        let device = self.device.clone();
        let shape_of = |name: &str| checkpoint.tensors.get(&format!("adam.{name}")).map(|(shape, _)| shape.clone());
        self.adam.load_state(steps, |name| {
            let shape = shape_of(name)?;
            Tensor::from_slice(&device, checkpoint.f32(&format!("adam.{name}"), &shape).ok()?, &shape).ok()
        });
        Ok(())
    }
}
