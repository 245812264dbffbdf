//! Solids that fields describe: where they are negative.

use super::extract;
use super::place::Place;
use crate::Result;
use glam::DVec3;
use lumigrad_core::{DType, Device, Tensor, Var, ops};
use lumigrad_field::{Derivatives, Field, Jet};
use lumigrad_geometry::{Border, marching_cubes};
use std::sync::Arc;

/// Points that are evaluated at a time.
const CHUNK: usize = 1 << 16;
/// Cells of the grid that tells where a solid is.
const COARSE: usize = 48;

/// Jets of a network at points [N, d].
type Jets<'a> = dyn Fn(&Var, &Arc<Derivatives>) -> lumigrad_field::Result<Jet> + 'a;

/// Where a field of three coordinates, or of these and time, is negative within a box around 0.
pub struct Solid<'a> {
    jets: Box<Jets<'a>>,
    device: Device,
    /// Where the domain lies in the world.
    pub place: Place,
    /// Half the sides of the box, beyond which everything is outside.
    pub half: DVec3,
    /// 1, or −1 where the field is positive inside.
    pub sign: f64,
    /// The domain's time, of a field that has one.
    pub time: Option<f32>,
}

impl<'a> Solid<'a> {
    /// Of a network, negative inside, over [−1, 1]³.
    pub fn new(
        device: &Device,
        place: Place,
        jets: impl Fn(&Var, &Arc<Derivatives>) -> lumigrad_field::Result<Jet> + 'a,
    ) -> Self {
        Self { jets: Box::new(jets), device: device.clone(), place, half: DVec3::ONE, sign: 1.0, time: None }
    }

    /// Of a field with its parameters.
    pub fn of_field(field: &'a Field, values: &[Tensor], place: Place) -> Self {
        let device = values.first().map_or_else(Device::cpu, |t| t.device().clone());
        let parameters: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        Self::new(&device, place, move |points, derivatives| field.jet(&parameters, points, derivatives))
    }

    /// The device that it is evaluated on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The field at points [N, 3], positive outside, with derivatives by these.
    pub fn jet(&self, points: &Var, derivatives: &Arc<Derivatives>) -> lumigrad_field::Result<Jet> {
        let jet = match self.time {
            None => (self.jets)(points, derivatives)?,
            Some(time) => {
                let column = Tensor::full(&self.device, DType::F32, &[points.shape()[0], 1], time.into())?;
                (self.jets)(&ops::concat(&[points, &column.into()], 1)?, derivatives)?
            }
        };
        if self.sign > 0.0 {
            return Ok(jet);
        }
        let turned = jet.streams().iter().map(|s| s.as_ref().map(|s| s.scale(-1.0)).transpose());
        Ok(Jet::new(jet.derivatives().clone(), turned.collect::<lumigrad_core::Result<_>>()?))
    }

    /// The field at points on the host, three numbers each.
    pub fn values(&self, points: &[f32]) -> Result<Vec<f32>> {
        let none = Arc::new(Derivatives::none());
        let mut found = Vec::with_capacity(points.len() / 3);
        for chunk in points.chunks(3 * CHUNK) {
            let points = Tensor::from_slice(&self.device, chunk, &[chunk.len() / 3, 3])?;
            found.extend(self.jet(&points.into(), &none)?.value().tensor().to_vec::<f32>()?);
        }
        Ok(found)
    }

    /// Its surface in the domain, closed at the box, from a grid of about so many cells along the longest side.
    #[allow(clippy::type_complexity)]
    pub fn surface(&self, resolution: usize) -> Result<(Vec<[f32; 3]>, Vec<[u32; 3]>)> {
        let grid = extract::grid(self.half, resolution);
        let samples = extract::sampled(&grid, &mut |points| self.values(points))?;
        Ok(marching_cubes(&samples, &grid, 0.0, Border::Closed)?)
    }

    /// The box of its surface in the world, roughly; `None` where it has none.
    pub fn bounds(&self) -> Result<Option<[DVec3; 2]>> {
        let (positions, _) = self.surface(COARSE)?;
        let points = positions.iter().map(|&p| DVec3::from_array(self.place.outwards(p).map(f64::from)));
        let around = |b: Option<[DVec3; 2]>, p: DVec3| Some(b.map_or([p, p], |[lo, hi]| [lo.min(p), hi.max(p)]));
        Ok(points.fold(None, around))
    }
}
