//! Numbers of trees at points.

use super::Octree;
use crate::Result;
use crate::kernels::octree::{Locate, LocateParams};
use lumigrad_core::map::vector;
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
    /// **Shapes**: points [N, 3], table [corners, C] with C 1 or 3; result [N, C]. **Gradients**: to both; by points those of the leaf that a
    /// point lies in. **Determinism**: the table's gradient is added up in a fixed order on the CPU, in any on a GPU.
    /// **Cost**: eight rows per point.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn sample(&self, points: &Var, leaves: &Tensor, table: &Var, outside: f64) -> Result<Var> {
        match *table.shape() {
            [n, 1] if n == self.n_corners() => self.sample_fixed::<1>(points, leaves, table, outside),
            [n, 3] if n == self.n_corners() => self.sample_fixed::<3>(points, leaves, table, outside),
            _ => {
                let expected = format!("[{}, 1] or 3 numbers per corner", self.n_corners());
                Err(Error::shape("an octree's table", table.shape(), expected).into())
            }
        }
    }

    fn sample_fixed<const C: usize>(&self, points: &Var, leaves: &Tensor, table: &Var, outside: f64) -> Result<Var> {
        let map = Map::cached(&format!("octree/sample {C}"), |m| {
            let p = m.item::<3>("points");
            let [leaf] = m.item_int("leaves");
            let [x, y, z, side] = m.table::<4>("frames").fetch(leaf);
            let rows = m.table_int::<8>("corners").fetch(leaf);
            let table = m.table::<C>("table");
            let outside = m.param();
            let u: [_; 3] = std::array::from_fn(|a| (p[a] - [x, y, z][a]) / side);
            let off = (0..3).map(|a| (u[a] - 0.5).abs()).reduce(|a, b| a.max(b)).expect("three axes");
            let mut numbers = rows.map(|row| table.fetch(row));
            for (a, t) in u.into_iter().enumerate() {
                for c in 0..4 >> a {
                    numbers[c] = vector::mix(numbers[2 * c], numbers[2 * c + 1], t);
                }
            }
            m.output("values", &numbers[0].map(|x| off.less(0.5 + SLACK).select(x, outside)));
        });
        let real = self.frames.cast(points.dtype())?;
        let inputs = [points, &leaves.clone().into(), &real.into(), &self.corners.clone().into(), table];
        let call = CallParams { items: leaves.len(), real: vec![outside], int: vec![] };
        Ok(map.apply_with(&inputs, call)?.remove(0))
    }
}
