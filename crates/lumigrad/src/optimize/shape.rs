//! What keeps optimised shapes well formed, beside the steps that are smooth already.

use crate::Result;
use lumigrad_core::{Device, Var};
use lumigrad_optim::MeshRegularizer;
use std::sync::OnceLock;

/// Weights of the regularisers of shapes, lengths in units of the mean edge at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShapeWeights {
    /// Of the squared uniform Laplacian.
    pub laplacian: f64,
    /// Of 1 − cos of the angle between neighbouring triangles.
    pub normal_consistency: f64,
    /// Of the squared differences of edges from the mean edge at the start.
    pub edge_length: f64,
}

/// A mesh whose vertices move.
pub struct ShapeMesh {
    triangles: Vec<[u32; 3]>,
    vertices: usize,
    /// Mean length of the triangles' sides at the start.
    edge: f64,
    tables: OnceLock<MeshRegularizer>,
}

impl ShapeMesh {
    /// A mesh at its start.
    pub fn new(positions: &[[f32; 3]], triangles: Vec<[u32; 3]>) -> Self {
        let side = |a: u32, b: u32| -> f64 {
            let [p, q] = [positions[a as usize], positions[b as usize]];
            (0..3).map(|k| (p[k] as f64 - q[k] as f64).powi(2)).sum::<f64>().sqrt()
        };
        let sum: f64 = triangles.iter().flat_map(|&[a, b, c]| [side(a, b), side(b, c), side(c, a)]).sum();
        let edge = (sum / (3 * triangles.len()).max(1) as f64).max(1e-12);
        Self { triangles, vertices: positions.len(), edge, tables: OnceLock::new() }
    }

    /// The weighted sum of the regularisers, shape [], and none where all weights are 0.
    pub fn loss(&self, positions: &Var, weights: &ShapeWeights, device: &Device) -> Result<Option<Var>> {
        if *weights == ShapeWeights::default() {
            return Ok(None);
        }
        let tables = match self.tables.get() {
            Some(tables) => tables,
            None => {
                let made = MeshRegularizer::new(device, self.vertices, &self.triangles)?;
                self.tables.get_or_init(|| made)
            }
        };
        let unit = self.edge.powi(-2);
        let laplacian = tables.laplacian(positions)?.scale(weights.laplacian * unit)?;
        let normals = tables.normal_consistency(positions)?.scale(weights.normal_consistency)?;
        let edges = tables.edge_length(positions, self.edge)?.scale(weights.edge_length * unit)?;
        Ok(Some(laplacian.add(&normals)?.add(&edges)?))
    }
}
