//! What is optimised: arrays addressed by pointers, in a space where steps behave well.

use super::shape::{ShapeMesh, ShapeWeights};
use crate::{Error, Result};
use lumigrad_core::map::{CallParams, Map};
use lumigrad_core::{DType, Device, Operator, Tensor, Var, apply};
use lumigrad_geometry::LaplacianSolver;
use lumigrad_raster::Bindings;
use lumigrad_raster::render::material::read_columns;
use lumigrad_raster::shading::ENVIRONMENT_POINTER;
use lumigrad_scene::environment::Environment;
use lumigrad_scene::{Parameter, ParameterKind, Scene, smooth_normals};
use std::sync::Arc;

/// Strength of the Laplacian in (I + λL), the "large steps" of Nicolet et al. 2021. Their 19 suits meshes of 10⁴ to 10⁵
/// vertices; on our 2 500 it keeps ears from growing (spot from a sphere: chamfer 0.53 %, against 0.25 % with 3).
const LARGE_STEPS_LAMBDA: f64 = 3.0;

/// Radiance whose logarithm stands for darkness.
const MIN_RADIANCE: f32 = 1e-4;

/// How the optimised array becomes the scene's value.
enum Space {
    /// It is the value.
    Direct,
    /// The scene does not hold it: what it stands for is made elsewhere.
    Own,
    /// Vertex positions: u with (I + λL) v = u for the distinct positions v, spread over all vertices.
    LargeSteps { solver: Arc<LaplacianSolver>, index: Tensor },
    /// Distances d along the normals of the distinct positions at the start: u with (I + λL) d = u.
    Displacement { solver: Arc<LaplacianSolver>, index: Tensor, start: Tensor, normals: Tensor },
    /// Radiance from all around: u with (I + λL) ln v = u (without solver ln v = u) for the texels v. Always positive, and
    /// coarse before it is fine.
    Radiance { solver: Option<Arc<LaplacianSolver>>, shape: [usize; 3] },
}

/// One optimised array.
pub struct Variable {
    /// The scene's parameter; textures that share an image are one variable.
    pub parameter: Parameter,
    /// Other pointers with the same value.
    pub aliases: Vec<String>,
    /// The optimised array.
    pub value: Tensor,
    /// Learning rate at the start.
    pub rate: f64,
    space: Space,
    /// The mesh of positions.
    mesh: Option<ShapeMesh>,
}

/// Learning rate where the job gives none. Positions are in units of the scene's radius.
pub fn default_rate(parameter: &Parameter, radius: f64) -> f64 {
    match parameter.kind {
        ParameterKind::Position => 3e-2 * radius,
        // Normals and roughness decide where highlights are: larger steps end in sparkle (photographs of a helmet).
        ParameterKind::Texture { .. } if parameter.pointer.ends_with("ormalTexture") => 5e-3,
        ParameterKind::Texture { srgb: false, .. } => 0.01,
        ParameterKind::Texture { .. } => 0.03,
        ParameterKind::Translation => 1e-2 * radius,
        ParameterKind::Rotation => 5e-3,
        ParameterKind::Light => 0.05,
        ParameterKind::Camera => 5e-3,
        _ => 0.02,
    }
}

/// Distinct rows and, for each row, the number of its representative.
pub(super) fn weld(positions: &[[f32; 3]]) -> (Vec<[f32; 3]>, Vec<u32>) {
    let (class, n) = lumigrad_geometry::weld_positions(positions);
    let mut distinct = vec![[0.0; 3]; n];
    for (p, &c) in positions.iter().zip(&class) {
        distinct[c as usize] = *p;
    }
    (distinct, class)
}

impl Variable {
    /// A variable that starts at the scene's value. `displaced`: vertices move along their normals only.
    pub fn new(scene: &Scene, parameter: Parameter, rate: f64, displaced: bool, device: &Device) -> Result<Self> {
        let (shape, data) = scene.get(&parameter.pointer)?;
        let mut shape_mesh = None;
        let (value, space) = match position_of(&parameter) {
            Some((mesh, primitive)) => {
                let rows: Vec<[f32; 3]> = data.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
                let (distinct, index) = weld(&rows);
                let triangles: Vec<[u32; 3]> = scene.meshes()[mesh].primitives[primitive]
                    .triangles
                    .iter()
                    .map(|t| t.map(|v| index[v as usize]))
                    .collect();
                let solver = Arc::new(LaplacianSolver::new(distinct.len(), &triangles, LARGE_STEPS_LAMBDA)?);
                let index = Tensor::from_slice(device, &index, &[index.len()])?;
                let n = distinct.len();
                shape_mesh = Some(ShapeMesh::new(&distinct, triangles.clone()));
                let rows = |data: &[[f32; 3]]| Tensor::from_slice(device, data.as_flattened(), &[n, 3]);
                if displaced {
                    let normals = rows(&smooth_normals(&distinct, &triangles))?;
                    let value = Tensor::zeros(device, DType::F32, &[n, 1])?;
                    (value, Space::Displacement { solver, index, start: rows(&distinct)?, normals })
                } else {
                    let latent = solver.apply(distinct.as_flattened());
                    (Tensor::from_slice(device, &latent, &[n, 3])?, Space::LargeSteps { solver, index })
                }
            }
            None => (Tensor::from_slice(device, &data, &shape)?, Space::Direct),
        };
        Ok(Self { parameter, aliases: vec![], value, rate, space, mesh: shape_mesh })
    }

    /// The light from all around, to be bound at [`ENVIRONMENT_POINTER`]. `smoothness` is the λ of its Laplacian: the
    /// square of the distance, in texels, over which steps are spread; 0: none.
    pub fn environment(map: &Environment, smoothness: f64, rate: f64, device: &Device) -> Result<Self> {
        let (h, w) = (map.height, map.width);
        let solver = match smoothness > 0.0 {
            true => Some(Arc::new(LaplacianSolver::new(h * w, &sphere_of_texels(w, h), smoothness)?)),
            false => None,
        };
        let parameter = Parameter {
            pointer: ENVIRONMENT_POINTER.into(),
            name: None,
            shape: vec![h, w, 3],
            kind: ParameterKind::Light,
            bounds: (0.0, f32::INFINITY),
        };
        let value = Tensor::zeros(device, DType::F32, &[h * w, 3])?;
        let space = Space::Radiance { solver, shape: [h, w, 3] };
        let mut variable = Self { parameter, aliases: vec![], value, rate, space, mesh: None };
        variable.set(&map.data)?;
        Ok(variable)
    }

    /// An array of a shape that the scene does not hold.
    pub fn own(pointer: &str, value: Tensor, rate: f64) -> Self {
        let parameter = Parameter {
            pointer: pointer.into(),
            name: None,
            shape: value.shape().to_vec(),
            kind: ParameterKind::Position,
            bounds: (f32::NEG_INFINITY, f32::INFINITY),
        };
        Self { parameter, aliases: vec![], value, rate, space: Space::Own, mesh: None }
    }

    /// The light that it stands for, where it is the environment.
    pub fn radiance(&self) -> Result<Option<Environment>> {
        let Space::Radiance { shape: [height, width, _], .. } = self.space else { return Ok(None) };
        let data = self.expand(&self.value.clone().into())?.tensor().cast(DType::F32)?.to_vec()?;
        Ok(Some(Environment { width, height, data }))
    }

    /// Projection bounds, where steps may leave the meaningful range.
    pub fn bounds(&self) -> (f64, f64) {
        match self.space {
            Space::Direct => (self.parameter.bounds.0 as f64, self.parameter.bounds.1 as f64),
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// True for what decides on shapes.
    pub fn is_geometry(&self) -> bool {
        self.is_uniform() || matches!(self.space, Space::Own)
    }

    /// True for positions, whose rate is uniform over the array.
    pub fn is_uniform(&self) -> bool {
        matches!(self.space, Space::LargeSteps { .. } | Space::Displacement { .. })
    }

    /// True for textures.
    pub fn is_texture(&self) -> bool {
        matches!(self.parameter.kind, ParameterKind::Texture { .. })
    }

    /// What keeps the shape well formed, shape []; none for other arrays and without weights.
    pub fn shape_loss(&self, leaf: &Var, weights: &ShapeWeights) -> Result<Option<Var>> {
        match &self.mesh {
            Some(mesh) => mesh.loss(&self.points(leaf)?, weights, self.value.device()),
            None => Ok(None),
        }
    }

    /// Binds what `leaf`, in the place of the array, stands for.
    pub fn bind(&self, leaf: &Var, bindings: &mut Bindings) -> Result<()> {
        self.bind_points(&self.points(leaf)?, bindings)
    }

    /// Binds what `points` stand for.
    pub fn bind_points(&self, points: &Var, bindings: &mut Bindings) -> Result<()> {
        let value = self.spread(points)?;
        for pointer in self.pointers() {
            bindings.bind(pointer, value.clone());
        }
        Ok(())
    }

    /// All pointers with this value.
    pub fn pointers(&self) -> Vec<&str> {
        self.aliases.iter().chain([&self.parameter.pointer]).map(String::as_str).collect()
    }

    /// For each number of the scene's value, whether rendering reads it: opaque materials have no alpha.
    pub fn read(&self, scene: &Scene) -> Vec<bool> {
        let columns = read_columns(scene, &self.pointers());
        let n: usize = self.parameter.shape.iter().product();
        (0..n).map(|i| columns.is_empty() || columns[i % columns.len()]).collect()
    }

    /// Row of [`Variable::points`] for each vertex, where vertices share them.
    pub fn rows(&self) -> Result<Option<Vec<u32>>> {
        match &self.space {
            Space::LargeSteps { index, .. } | Space::Displacement { index, .. } => Ok(Some(index.to_vec()?)),
            _ => Ok(None),
        }
    }

    /// Gradient by the array, of the gradient by its points.
    pub fn pull_back(&self, gradient: Tensor) -> Result<Tensor> {
        match &self.space {
            Space::LargeSteps { solver, .. } | Space::Radiance { solver: Some(solver), .. } => {
                Ok(Solve(solver.clone()).solve(&gradient)?)
            }
            Space::Displacement { solver, normals, .. } => {
                let along = Var::from(gradient).mul(&normals.clone().into())?.sum_axis(1)?;
                Ok(Solve(solver.clone()).solve(&along.tensor().reshape(&[along.len(), 1])?)?)
            }
            _ => Ok(gradient),
        }
    }

    fn expand(&self, leaf: &Var) -> Result<Var> {
        self.spread(&self.points(leaf)?)
    }

    /// What steps move in the picture: distinct positions, texels, logarithms of radiance, numbers.
    pub fn points(&self, leaf: &Var) -> Result<Var> {
        match &self.space {
            Space::LargeSteps { solver, .. } | Space::Radiance { solver: Some(solver), .. } => {
                Ok(apply(Arc::new(Solve(solver.clone())), &[leaf])?.remove(0))
            }
            Space::Displacement { solver, start, normals, .. } => {
                let distances = apply(Arc::new(Solve(solver.clone())), &[leaf])?.remove(0);
                let real = |t: &Tensor| t.cast(leaf.dtype()).map(Var::from);
                Ok(distances.mul(&real(normals)?)?.add(&real(start)?)?)
            }
            _ => Ok(leaf.clone()),
        }
    }

    /// The scene's value of points.
    fn spread(&self, points: &Var) -> Result<Var> {
        match &self.space {
            Space::Direct | Space::Own => Ok(points.clone()),
            Space::LargeSteps { index, .. } | Space::Displacement { index, .. } => {
                let spread = Map::cached("optimize/spread", |m| {
                    let [row] = m.item_int("index");
                    let table = m.table::<3>("positions");
                    m.output("positions", &table.fetch(row));
                });
                Ok(spread.apply_with(&[&index.clone().into(), points], CallParams::default())?.remove(0))
            }
            Space::Radiance { shape, .. } => Ok(points.exp()?.reshape(shape)?),
        }
    }

    /// Writes the value into a scene, of which the environment and arrays of its own are no part.
    pub fn store(&self, scene: &mut Scene) -> Result<()> {
        if matches!(self.space, Space::Radiance { .. } | Space::Own) {
            return Ok(());
        }
        let value = self.expand(&self.value.clone().into())?;
        scene.set(&self.parameter.pointer, &value.tensor().cast(DType::F32)?.to_vec::<f32>()?)?;
        Ok(())
    }

    /// Replaces the value by one in the scene's space.
    pub fn set(&mut self, values: &[f32]) -> Result<()> {
        if self.is_geometry() || values.len() != self.value.len() {
            return Err(Error::job(format!(
                "{} has {} numbers and cannot be initialised with {}",
                self.parameter.pointer,
                self.value.len(),
                values.len()
            )));
        }
        let latent = match &self.space {
            Space::Radiance { solver, .. } => {
                let logarithms: Vec<f32> = values.iter().map(|x| x.max(MIN_RADIANCE).ln()).collect();
                solver.as_ref().map_or(logarithms.clone(), |s| s.apply(&logarithms))
            }
            _ => values.to_vec(),
        };
        self.value = Tensor::from_slice(self.value.device(), &latent, self.value.shape())?;
        Ok(())
    }
}

/// Triangles that connect the texels of an equirectangular map; columns wrap around.
fn sphere_of_texels(width: usize, height: usize) -> Vec<[u32; 3]> {
    let at = |x: usize, y: usize| (y * width + x % width) as u32;
    let cells = (0..height.saturating_sub(1)).flat_map(|y| (0..width).map(move |x| (x, y)));
    let triangles = cells.flat_map(|(x, y)| {
        let [a, b, c, d] = [at(x, y), at(x + 1, y), at(x, y + 1), at(x + 1, y + 1)];
        [[a, c, b], [b, c, d]]
    });
    // A map of one column has no neighbours along its rows.
    triangles.filter(|t| t[0] != t[1] && t[1] != t[2] && t[2] != t[0]).collect()
}

/// Mesh and primitive of a position pointer.
pub(super) fn position_of(parameter: &Parameter) -> Option<(usize, usize)> {
    if parameter.kind != ParameterKind::Position {
        return None;
    }
    let mut parts = parameter.pointer.split('/').skip(2);
    let mesh = parts.next()?.parse().ok()?;
    Some((mesh, parts.nth(1)?.parse().ok()?))
}

/// (I + λL)⁻¹ as an operator; symmetric, so that all three modes are the same solve.
struct Solve(Arc<LaplacianSolver>);

impl Solve {
    fn solve(&self, x: &Tensor) -> lumigrad_core::Result<Tensor> {
        let host = x.cast(DType::F32)?.to_vec::<f32>()?;
        Tensor::from_slice(&Device::cpu(), &self.0.solve(&host), x.shape())?.cast(x.dtype())?.to_device(x.device())
    }
}

impl Operator for Solve {
    fn name(&self) -> &str {
        "optimize/large_steps"
    }

    fn forward(&self, inputs: &[Tensor]) -> lumigrad_core::Result<Vec<Tensor>> {
        Ok(vec![self.solve(&inputs[0])?])
    }

    fn vjp(
        &self,
        _: &[Tensor],
        _: &[Tensor],
        c: &[Option<Tensor>],
        _: &[bool],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        Ok(vec![c[0].as_ref().map(|c| self.solve(c)).transpose()?])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| self.solve(t)).transpose()?])
    }
}
