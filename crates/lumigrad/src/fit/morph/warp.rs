//! Warps of the plane in time.

use crate::Result;
use lumigrad_core::ops::{concat, pointwise};
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_field::{Derivatives, Field, Jet, Parameter};
use std::sync::Arc;

/// T(x, t) = x + t·f(x, t): where a place x goes in a time t from −1 to 1. T(x, 0) = x, whatever the field f is.
pub struct Warp {
    /// From x, y, t to two numbers.
    pub field: Field,
}

impl Warp {
    /// Parameters at their start, where nothing moves.
    pub fn start(&self, seed: u64, device: &Device) -> Result<Vec<Parameter>> {
        let mut parameters = self.field.start(seed, device)?;
        // Weights and bias of the last layer.
        for parameter in parameters.iter_mut().rev().take(2) {
            parameter.value = Tensor::zeros(device, DType::F32, parameter.value.shape())?;
        }
        Ok(parameters)
    }

    /// f at places [N, 2] and times [N, 1], with derivatives by place.
    pub fn jet(&self, parameters: &[Var], places: &Var, times: &Var, derivatives: Derivatives) -> Result<Jet> {
        Ok(self.field.jet(parameters, &concat(&[places, times], 1)?, &Arc::new(derivatives))?)
    }

    /// T of places and times where f is known.
    pub fn moved(places: &Var, times: &Var, f: &Var) -> Result<Var> {
        Ok(pointwise("fit/warp", &[places, times, f], |x| x[0] + x[1] * x[2])?)
    }

    /// T at places [N, 2] and times [N, 1].
    pub fn at(&self, parameters: &[Var], places: &Var, times: &Var) -> Result<Var> {
        Self::moved(places, times, self.jet(parameters, places, times, Derivatives::none())?.value())
    }

    /// The thin plate's energy at each place [N, 1]: the squared Frobenius norm of T's second derivatives by place.
    pub fn bending(jet: &Jet, times: &Var) -> Result<Var> {
        let [xx, xy, yy] = [jet.second(0, 0)?, jet.second(0, 1)?, jet.second(1, 1)?];
        let square =
            |x: &[lumigrad_core::map::Expr]| (x[0].square() + 2.0 * x[1].square() + x[2].square()) * x[3].square();
        Ok(pointwise("fit/bending", &[&xx, &xy, &yy, times], square)?.sum_axis(1)?)
    }

    /// T at places on the host, two numbers each, at one time.
    pub fn sample(&self, values: &[Tensor], places: &[f32], time: f32) -> Result<Vec<f32>> {
        let f = self.field.sample(values, &at_time(places, time), &Arc::new(Derivatives::none()))?.remove(0);
        Ok(places.iter().zip(f).map(|(x, f)| x + time * f).collect())
    }

    /// det ∂T/∂x at places: how an area there grows, negative where the warp folds over.
    pub fn determinants(&self, values: &[Tensor], places: &[f32], time: f32) -> Result<Vec<f32>> {
        let streams = self.field.sample(values, &at_time(places, time), &Arc::new(Derivatives::gradient(2)))?;
        let (x, y) = (&streams[1], &streams[2]);
        let of = |(x, y): (&[f32], &[f32])| (1.0 + time * x[0]) * (1.0 + time * y[1]) - time * time * x[1] * y[0];
        Ok(x.chunks_exact(2).zip(y.chunks_exact(2)).map(of).collect())
    }
}

fn at_time(places: &[f32], time: f32) -> Vec<f32> {
    places.chunks_exact(2).flat_map(|p| [p[0], p[1], time]).collect()
}
