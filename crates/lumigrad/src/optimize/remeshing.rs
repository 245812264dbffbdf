//! Remeshing between stages of shape optimisation: where a surface was stretched it has too few vertices to go on.

use super::run::Optimizer;
use super::variable::{Variable, position_of, weld};
use crate::run::{Array, Checkpoint};
use crate::{Error, Result};
use lumigrad_geometry::remesh;
use lumigrad_raster::{Options, Renderer};
use lumigrad_scene::{MeshData, Parameter, ParameterKind, smooth_normals};

/// Fractions of the run after which shapes are remeshed, and the vertices that they get over those at the start.
const STAGES: [(f64, f64); 3] = [(0.2, 1.0), (0.4, 1.5), (0.6, 2.0)];
/// Iterations of remeshing.
const ITERATIONS: usize = 5;

/// A primitive whose positions are optimised.
type Place = (usize, usize);

impl Optimizer<'_> {
    /// Remeshes what is optimised when the run has come so far.
    pub(super) fn remesh_when_due(&mut self, progress: f64) -> Result<()> {
        while self.settings.remesh && self.stage < STAGES.len() && progress >= STAGES[self.stage].0 {
            let growth = STAGES[self.stage].1;
            self.stage += 1;
            for place in self.shapes() {
                if let Some(mesh) = self.remeshed(place, growth)? {
                    self.replace(place, mesh)?;
                }
            }
            self.renew()?;
        }
        Ok(())
    }

    /// Shapes whose vertices carry nothing but their place: no texture is spread over them, nothing deforms them.
    fn shapes(&self) -> Vec<Place> {
        let parameters = self.base.parameters();
        let textured = |material: usize| {
            let place = format!("/materials/{material}/");
            let texture = |p: &Parameter| matches!(p.kind, ParameterKind::Texture { .. });
            parameters.iter().any(|p| texture(p) && p.pointer.starts_with(&place))
        };
        let plain = |&(mesh, primitive): &Place| {
            let p = &self.base.meshes()[mesh].primitives[primitive];
            let bare = p.colors.is_none() && p.targets.is_empty() && p.influences.is_none();
            bare && !p.material.is_some_and(textured)
        };
        self.variables.iter().filter_map(|v| position_of(&v.parameter)).filter(plain).collect()
    }

    /// The primitive with even triangles, `growth` times as many vertices as at the start; `None` where its surface is no
    /// manifold, which stays as it is.
    fn remeshed(&self, (mesh, primitive): Place, growth: f64) -> Result<Option<MeshData>> {
        let start = &self.problem.scene.meshes()[mesh].primitives[primitive];
        let n = weld(&start.positions).0.len() as f64 * growth;
        let scene = self.scene()?;
        let now = &scene.meshes()[mesh].primitives[primitive];
        let (positions, class) = weld(&now.positions);
        let triangles: Vec<[u32; 3]> = now.triangles.iter().map(|t| t.map(|v| class[v as usize])).collect();
        let triangles: Vec<[u32; 3]> =
            triangles.into_iter().filter(|t| t[0] != t[1] && t[1] != t[2] && t[2] != t[0]).collect();
        // n vertices make 2n triangles of (√3/4)·edge².
        let edge = (area(&positions, &triangles) / (2.0 * n) * 4.0 / 3f64.sqrt()).sqrt();
        Ok(remesh(&positions, &triangles, edge, ITERATIONS).ok().map(mesh_data))
    }

    /// Puts geometry in the place of a primitive's, and the variable that stands for it.
    fn replace(&mut self, (mesh, primitive): Place, data: MeshData) -> Result<()> {
        self.base.replace_geometry(mesh, primitive, &data)?;
        for k in 0..self.variables.len() {
            let old = &self.variables[k];
            if position_of(&old.parameter) == Some((mesh, primitive)) {
                let parameter = self.base.resolve(&old.parameter.pointer)?.remove(0);
                self.variables[k] =
                    Variable::new(&self.base, parameter, old.rate, self.settings.displacement, &self.device)?;
            }
        }
        Ok(())
    }

    /// What depends on the meshes.
    fn renew(&mut self) -> Result<()> {
        let options = Options { environment: self.problem.environment.clone(), dtype: None };
        self.renderer = Renderer::new(&self.base, &self.device, &options)?;
        self.begin()
    }

    /// Writes remeshed geometry into a checkpoint.
    pub(super) fn save_meshes(&self, c: &mut Checkpoint) {
        c.facts.insert("stage".into(), self.stage.to_string());
        for (mesh, primitive) in self.shapes().into_iter().filter(|_| self.stage > 0) {
            let p = &self.base.meshes()[mesh].primitives[primitive];
            let name = |what: &str| format!("mesh/{mesh}/{primitive}/{what}");
            let (positions, triangles) = (p.positions.as_flattened().to_vec(), p.triangles.as_flattened().to_vec());
            c.insert(name("positions"), &[p.positions.len(), 3], Array::F32(positions));
            c.insert(name("triangles"), &[p.triangles.len(), 3], Array::U32(triangles));
        }
    }

    /// Takes remeshed geometry from a checkpoint.
    pub(super) fn restore_meshes(&mut self, c: &Checkpoint) -> Result<()> {
        self.stage = c.facts.get("stage").and_then(|s| s.parse().ok()).unwrap_or(0);
        if self.stage == 0 {
            return Ok(());
        }
        for (mesh, primitive) in self.shapes() {
            let name = |what: &str| format!("mesh/{mesh}/{primitive}/{what}");
            let found = (c.tensors.get(&name("positions")), c.tensors.get(&name("triangles")));
            let (Some((_, Array::F32(positions))), Some((_, Array::U32(triangles)))) = found else {
                return Err(Error::job("the checkpoint lacks the remeshed geometry; run again without --resume"));
            };
            let rows = positions.as_chunks::<3>().0.to_vec();
            self.replace((mesh, primitive), mesh_data((rows, triangles.as_chunks::<3>().0.to_vec())))?;
        }
        self.renew()
    }
}

fn mesh_data((positions, triangles): (Vec<[f32; 3]>, Vec<[u32; 3]>)) -> MeshData {
    let normals = Some(smooth_normals(&positions, &triangles));
    MeshData { positions, triangles, normals, ..MeshData::default() }
}

fn area(positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> f64 {
    let of = |t: &[u32; 3]| {
        let [a, b, c] = t.map(|v| positions[v as usize].map(f64::from));
        let (p, q): ([f64; 3], [f64; 3]) = (std::array::from_fn(|k| b[k] - a[k]), std::array::from_fn(|k| c[k] - a[k]));
        let n = [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]];
        0.5 * n.iter().map(|x| x * x).sum::<f64>().sqrt()
    };
    triangles.iter().map(of).sum()
}
