//! Regularisers of triangle meshes.

use crate::Result;
use lumigrad_core::map::vector::{cross, dot, normalize, scale, sub};
use lumigrad_core::{CallParams, Device, Error as CoreError, Map, Tensor, Var};
use std::collections::BTreeMap;

/// Losses that keep a mesh well shaped while its vertices move: means over its vertices, edges and pairs of triangles.
///
/// **Gradients** flow to the positions [V, 3].
#[derive(Clone, Debug)]
pub struct MeshRegularizer {
    /// Both ends of each edge, u32 [E, 2].
    edges: Tensor,
    /// For each edge of two triangles its ends and the opposite vertices, u32 [H, 4]: (a, b, c) and (b, a, d).
    hinges: Tensor,
    /// Neighbours of each vertex, f32 [V, 1].
    degrees: Tensor,
}

impl MeshRegularizer {
    /// The tables of a mesh of `n` vertices. Edges of more than two triangles, or of two that face opposite sides, have
    /// no hinge.
    ///
    /// # Errors
    /// A triangle names a vertex beyond `n`.
    pub fn new(device: &Device, n: usize, triangles: &[[u32; 3]]) -> Result<Self> {
        let mut sides: BTreeMap<[u32; 2], Vec<[u32; 3]>> = BTreeMap::new();
        for t in triangles {
            if t.iter().any(|&v| v as usize >= n) {
                return Err(
                    CoreError::shape("the positions", &[n, 3], format!("the vertices of triangle {t:?}")).into()
                );
            }
            for k in 0..3 {
                let [a, b, c] = [0, 1, 2].map(|i| t[(k + i) % 3]);
                if a != b {
                    sides.entry([a.min(b), a.max(b)]).or_default().push([a, b, c]);
                }
            }
        }
        let mut degrees = vec![0f32; n];
        sides.keys().flatten().for_each(|&v| degrees[v as usize] += 1.0);
        let hinge = |s: &Vec<[u32; 3]>| match s[..] {
            [[a, b, c], [p, _, d]] if p == b => Some([a, b, c, d]),
            _ => None,
        };
        let hinges: Vec<[u32; 4]> = sides.values().filter_map(hinge).collect();
        let edges: Vec<[u32; 2]> = sides.into_keys().collect();
        Ok(Self {
            edges: Tensor::from_slice(device, edges.as_flattened(), &[edges.len(), 2])?,
            hinges: Tensor::from_slice(device, hinges.as_flattened(), &[hinges.len(), 4])?,
            degrees: Tensor::from_slice(device, &degrees, &[n, 1])?,
        })
    }

    /// Uniform Laplacian: the mean over vertices of |mean of the neighbours − vertex|², shape [].
    ///
    /// # Errors
    /// When positions do not fit.
    pub fn laplacian(&self, positions: &Var) -> Result<Var> {
        let pulls = Map::cached("optim/laplacian_pulls", |m| {
            let [a, b] = m.item_int("edges");
            let positions = m.table::<3>("positions");
            let pull = sub(positions.fetch(b), positions.fetch(a));
            m.scatter("pulls", positions, &[(a, pull), (b, scale(pull, -1.0))]);
        });
        let squares = Map::cached("optim/laplacian_squares", |m| {
            let (pull, [degree]) = (m.item::<3>("pulls"), m.item("degrees"));
            m.sum("loss", &[dot(pull, pull) / degree.max(1.0).square()]);
        });
        let pulls = pulls.apply(&[&self.edges.clone().into(), positions])?.remove(0);
        let degrees = self.degrees.cast(positions.dtype())?.into();
        mean(squares.apply(&[&pulls, &degrees])?, self.degrees.len())
    }

    /// Mean over pairs of neighbouring triangles of 1 − cos of the angle between their normals, shape []; triangles
    /// without area have the normal 0.
    ///
    /// # Errors
    /// When positions do not fit.
    pub fn normal_consistency(&self, positions: &Var) -> Result<Var> {
        let map = Map::cached("optim/normal_consistency", |m| {
            let hinge = m.item_int::<4>("hinges");
            let positions = m.table::<3>("positions");
            let [a, b, c, d] = hinge.map(|v| positions.fetch(v));
            let normals = [(a, b, c), (b, a, d)].map(|(p, q, r)| normalize(cross(sub(q, p), sub(r, p))));
            m.sum("loss", &[1.0 - dot(normals[0], normals[1])]);
        });
        mean(map.apply(&[&self.hinges.clone().into(), positions])?, self.hinges.len() / 4)
    }

    /// Mean over edges of (length − `target`)², shape []. Edges shorter than 10⁻¹⁵ have no gradient.
    ///
    /// # Errors
    /// When positions do not fit.
    pub fn edge_length(&self, positions: &Var, target: f64) -> Result<Var> {
        let map = Map::cached("optim/edge_length", |m| {
            let ends = m.item_int::<2>("edges");
            let positions = m.table::<3>("positions");
            let target = m.param();
            let [a, b] = ends.map(|v| positions.fetch(v));
            let edge = sub(a, b);
            m.sum("loss", &[(dot(edge, edge).max(1e-30).sqrt() - target).square()]);
        });
        let params = CallParams { items: 0, real: vec![target], int: vec![] };
        mean(map.apply_with(&[&self.edges.clone().into(), positions], params)?, self.edges.len() / 2)
    }
}

fn mean(mut sums: Vec<Var>, n: usize) -> Result<Var> {
    Ok(sums.remove(0).reshape(&[])?.scale(1.0 / n.max(1) as f64)?)
}
