//! Tables at points.

use crate::kernels::sample::{Params, Sample, SampleAlong, SamplePoints, SampleTable};
use crate::{Lattice, Result, Sparse};
use lumigrad_core::{DType, Device, Error, Operator, Tensor, Var, apply, ops};
use std::sync::Arc;

/// Points [N, 3] and table [corners, C] → values [N, C].
struct Interpolate {
    lattice: Lattice,
    /// Rows of corners, where not all have one.
    index: Option<Tensor>,
}

impl Interpolate {
    fn params(&self, points: &Tensor, channels: usize) -> (Params, usize) {
        let (n, [nx, ny, nz]) = (points.shape()[0], self.lattice.size.map(|n| n as u32));
        let sparse = self.index.is_some() as u32;
        (Params { points: n as u32, channels: channels as u32, nx, ny, nz, sparse, unused: [0; 2] }, n)
    }

    /// The buffer of rows; kernels want one even where they do not look at it.
    fn index(&self, device: &Device) -> lumigrad_core::Result<Tensor> {
        self.index.clone().map_or_else(|| Tensor::zeros(device, DType::U32, &[1]), Ok)
    }

    fn values(&self, points: &Tensor, table: &Tensor) -> lumigrad_core::Result<Tensor> {
        let channels = table.shape()[1];
        let (params, n) = self.params(points, channels);
        let mut values = Tensor::uninit(points.device(), points.dtype(), &[n, channels])?;
        let index = &self.index(points.device())?;
        Sample { points, index, table, values: &mut values }.launch(&params, n)?;
        Ok(values)
    }
}

impl Operator for Interpolate {
    fn name(&self) -> &str {
        "voxel/sample"
    }

    fn forward(&self, inputs: &[Tensor]) -> lumigrad_core::Result<Vec<Tensor>> {
        Ok(vec![self.values(&inputs[0], &inputs[1])?])
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        _outputs: &[Tensor],
        cotangents: &[Option<Tensor>],
        wanted: &[bool],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        let Some(cotangents) = &cotangents[0] else { return Ok(vec![None, None]) };
        let (points, table) = (&inputs[0], &inputs[1]);
        let (params, n) = self.params(points, table.shape()[1]);
        let index = &self.index(points.device())?;
        let to_points = || -> lumigrad_core::Result<Tensor> {
            let mut gradient = Tensor::uninit(points.device(), points.dtype(), points.shape())?;
            SamplePoints { points, index, table, cotangents, gradient: &mut gradient }.launch(&params, n)?;
            Ok(gradient)
        };
        let to_table = || -> lumigrad_core::Result<Tensor> {
            let mut gradient = Tensor::zeros(table.device(), table.dtype(), table.shape())?;
            SampleTable { points, index, cotangents, gradient: &mut gradient }.launch(&params, n)?;
            Ok(gradient)
        };
        Ok(vec![wanted[0].then(to_points).transpose()?, wanted[1].then(to_table).transpose()?])
    }

    fn jvp(
        &self,
        inputs: &[Tensor],
        _outputs: &[Tensor],
        tangents: &[Option<Tensor>],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        let (points, table) = (&inputs[0], &inputs[1]);
        let by_table = tangents[1].as_ref().map(|t| self.values(points, t)).transpose()?;
        let along = |directions: &Tensor| -> lumigrad_core::Result<Tensor> {
            let channels = table.shape()[1];
            let (params, n) = self.params(points, channels);
            let mut changes = Tensor::uninit(points.device(), points.dtype(), &[n, channels])?;
            let index = &self.index(points.device())?;
            SampleAlong { points, index, table, directions, changes: &mut changes }.launch(&params, n)?;
            Ok(changes)
        };
        let by_points = tangents[0].as_ref().map(along).transpose()?;
        Ok(vec![match (by_table, by_points) {
            (Some(a), Some(b)) => Some(ops::add_tensors(&a, &b)?),
            (a, b) => a.or(b),
        }])
    }
}

impl Lattice {
    /// A table's values at points of the cube, trilinear between corners; outside of the cube, those of its border.
    ///
    /// **Shapes**: points [N, 3], table [corners, C]; result [N, C]. **Gradients**: to both; by points they are constant
    /// within a cell along each axis' own direction, jump between cells, and are 0 along axes on which a point lies outside.
    /// **Determinism**: the same bits for any number of threads; on GPUs the table's gradient is added up in no fixed order.
    /// **Cost**: eight rows per point; the table's gradient is a whole table.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn sample(&self, points: &Var, table: &Var) -> Result<Var> {
        if table.shape().len() != 2 || table.shape()[0] != self.len() {
            let expected = format!("[{}, C], a row per corner of {:?}", self.len(), self.size);
            return Err(Error::shape("a lattice's table", table.shape(), expected).into());
        }
        interpolate(points, table, Interpolate { lattice: *self, index: None })
    }
}

impl Sparse {
    /// A table's values at points of the cube, as [`Lattice::sample`]; corners that are not kept are 0.
    ///
    /// **Shapes**: points [N, 3], table [kept corners, C]; result [N, C]. **Gradients**: to both.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn sample(&self, points: &Var, table: &Var) -> Result<Var> {
        if table.shape().len() != 2 || table.shape()[0] != self.len() {
            let expected = format!("[{}, C], a row per corner that is kept", self.len());
            return Err(Error::shape("a sparse lattice's table", table.shape(), expected).into());
        }
        interpolate(points, table, Interpolate { lattice: self.lattice(), index: Some(self.index().clone()) })
    }
}

fn interpolate(points: &Var, table: &Var, how: Interpolate) -> Result<Var> {
    if points.shape().len() != 2 || points.shape()[1] != 3 {
        return Err(Error::shape("points of a lattice", points.shape(), "[N, 3]").into());
    }
    Ok(apply(Arc::new(how), &[points, table])?.remove(0))
}
