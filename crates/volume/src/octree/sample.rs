//! Numbers of trees at points.

use super::Octree;
use crate::Result;
use crate::kernels::octree::{Locate, LocateParams};
use lumigrad_core::{CallParams, DType, Error, Map, Tensor, Var};

/// How far beyond a leaf a point still counts as in it, in parts of its side: samples lie within leaves but for rounding.
const SLACK: f64 = 1e-3;

impl Octree {
    /// The leaf that each point [N, 3] lies in: u32 \[N\]; of points in none, one that is near.
    ///
    /// # Errors
    /// Another shape; memory.
    pub fn locate(&self, points: &Tensor) -> Result<Tensor> {
        let n = points.len() / 3;
        if points.shape() != [n, 3] {
            return Err(Error::shape("points of an octree", points.shape(), "[N, 3]").into());
        }
        let mut leaves = Tensor::uninit(points.device(), DType::U32, &[n])?;
        let params = LocateParams { points: n as u32, unused: [0; 3] };
        Locate { points, nodes: &self.nodes, leaves: &mut leaves }.launch(&params, n)?;
        Ok(leaves)
    }

    /// Numbers at points, trilinear between the corners of their `leaves` ([`Self::locate`]), and `outside` of points that lie in
    /// none. Where leaves of two sizes meet, numbers jump.
    ///
    /// **Shapes**: points [N, 3], table \[corners, 1\]; result [N, 1]. **Gradients**: to both; by points those of the leaf that a
    /// point lies in. **Determinism**: the table's gradient is added up in a fixed order on the CPU, in any on a GPU.
    /// **Cost**: eight numbers per point.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn sample(&self, points: &Var, leaves: &Tensor, table: &Var, outside: f64) -> Result<Var> {
        if table.len() != self.n_corners() {
            let expected = format!("[{}, 1], a number per corner", self.n_corners());
            return Err(Error::shape("an octree's table", table.shape(), expected).into());
        }
        let map = Map::cached("octree/sample", |m| {
            let p = m.item::<3>("points");
            let [leaf] = m.item_int("leaves");
            let [x, y, z, side] = m.table::<4>("frames").fetch(leaf);
            let rows = m.table_int::<8>("corners").fetch(leaf);
            let table = m.table::<1>("table");
            let outside = m.param();
            let u: [_; 3] = std::array::from_fn(|a| (p[a] - [x, y, z][a]) / side);
            let off = (0..3).map(|a| (u[a] - 0.5).abs()).reduce(|a, b| a.max(b)).expect("three axes");
            let mut numbers = rows.map(|row| table.fetch(row)[0]);
            for (a, t) in u.into_iter().enumerate() {
                for c in 0..4 >> a {
                    numbers[c] = numbers[2 * c] + t * (numbers[2 * c + 1] - numbers[2 * c]);
                }
            }
            m.output("values", &[off.less(0.5 + SLACK).select(numbers[0], outside)]);
        });
        let real = self.frames.cast(points.dtype())?;
        let inputs = [points, &leaves.clone().into(), &real.into(), &self.corners.clone().into(), table];
        let call = CallParams { items: leaves.len(), real: vec![outside], int: vec![] };
        Ok(map.apply_with(&inputs, call)?.remove(0))
    }
}
