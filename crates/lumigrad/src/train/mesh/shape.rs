//! The second and third stage: the surface that Gaussians show, and a signed distance grid that is optimised through the
//! rasteriser.

use crate::fields::extract;
use crate::fields::source::Source;
use crate::fields::splats::SplatSource;
use crate::fields::surface::{Extracted, extracted};
use crate::fields::textured::{Target, glowing, linear};
use crate::optimize::Flexible;
use crate::{Error, Result};
use lumigrad_core::ops::concat;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::Parameter;
use lumigrad_geometry::{Bvh, Cut, FlexiSurface, Keep, SampleGrid, Subset};
use lumigrad_raster::{Bindings, Frame, Options, Renderer};
use lumigrad_scene::picture::srgb_to_linear;
use lumigrad_scene::{MeshData, Scene};
use lumigrad_splat::Gaussians;
use rayon::prelude::*;

/// Cells of the fusion along the sphere of the Gaussians, in those of the grid along the surface that is in it.
const FUSION: f64 = 1.5;
/// Parts of the surface with less of its area are left out.
const SPECK: f64 = 0.01;
/// Rate of the logits of colours.
const COLOUR_RATE: f64 = 0.1;
/// Colours are at least so far from 0 and 1 at the start, where logits are infinite.
const EDGE: f32 = 0.01;
/// Where the mesh of the scene is.
const MESH: &str = "/meshes/0/primitives/0/attributes";

/// The closed surface of what Gaussians show from all around, without its specks, with colours, in the world.
///
/// # Errors
/// There is none.
pub fn fused(gaussians: &Gaussians, cells: usize) -> Result<Extracted> {
    let source = SplatSource::new("the Gaussians", gaussians)?;
    let resolution = (FUSION * cells as f64) as usize;
    extract::check("--resolution", source.half(), resolution)?;
    let found = extracted(&source, "tsdf", resolution)?;
    if found.triangles.is_empty() {
        let message = "the Gaussians show no surface yet: train longer (--iterations), or give more photographs";
        return Err(Error::job(message));
    }
    let found = found.kept(Subset::of_parts(&found.positions, &found.triangles, Keep::Share(SPECK))?);
    let place = source.place();
    Ok(Extracted { positions: found.positions.iter().map(|&p| place.outwards(p)).collect(), ..found })
}

/// Encoded colours as logits.
pub fn logits(colours: &[[f32; 3]]) -> Vec<f32> {
    let logit = |c: &f32| {
        let c = c.clamp(EDGE, 1.0 - EDGE);
        (c / (1.0 - c)).ln()
    };
    colours.as_flattened().iter().map(logit).collect()
}

/// A scene of a surface whose vertices have colours.
///
/// # Errors
/// Numbers that are not finite.
pub fn scene(surface: &Extracted) -> Result<Scene> {
    let light = |c: &[f32; 3]| {
        let [r, g, b] = c.map(srgb_to_linear);
        [r, g, b, 1.0]
    };
    let colors = surface.colours.as_ref().map(|all| all.iter().map(light).collect());
    let (positions, triangles) = (surface.positions.clone(), surface.triangles.clone());
    glowing(MeshData { positions, triangles, colors, ..MeshData::default() })
}

/// A signed distance on a grid, with a colour in each cell.
pub struct Shape {
    flexible: Flexible,
    scene: Scene,
    renderer: Renderer,
    /// The surface that it starts from.
    pub fused: Extracted,
}

impl Shape {
    /// On a grid around a surface.
    ///
    /// # Errors
    /// A surface without extent, too many cells.
    pub fn new(fused: Extracted, cells: usize, device: &Device) -> Result<Self> {
        let scene = scene(&fused)?;
        let renderer = Renderer::new(&scene, device, &Options::default())?;
        Ok(Self { flexible: Flexible::new(&scene, cells, device)?, scene, renderer, fused })
    }

    /// Values, deformations and weights of the grid, and logits of the colours of its cells [C, 3]: those of the surface's
    /// nearest points.
    ///
    /// # Errors
    /// Memory.
    pub fn start(&self) -> Result<Vec<Parameter>> {
        let own = self.flexible.variables(&self.scene)?.into_iter();
        let parameter = |name: String, value, rate, sparse| Parameter { name, value, rate, sparse };
        let mut all: Vec<Parameter> = own.map(|v| parameter(v.parameter.pointer, v.value, v.rate, false)).collect();
        let SampleGrid { size, origin, spacing } = *self.flexible.grid();
        let [nx, ny, nz] = size.map(|n| n - 1);
        let bvh = Bvh::new(&self.fused.positions, &self.fused.triangles);
        let colours = self.fused.colours.as_deref().unwrap_or_default();
        let colour = |k: usize| {
            let cell = [k % nx, k / nx % ny, k / nx / ny];
            let middle = std::array::from_fn(|a| origin[a] + (cell[a] as f64 + 0.5) * spacing[a]);
            let Some(hit) = bvh.nearest(glam::DVec3::from_array(middle)) else { return [0.5; 3] };
            let corners = self.fused.triangles[hit.triangle as usize].map(|v| colours.get(v as usize));
            let part = |(c, w): (Option<&[f32; 3]>, f64), k: usize| c.map_or(0.5, |c| c[k]) * w as f32;
            std::array::from_fn(|k| corners.into_iter().zip(hit.weights).map(|pair| part(pair, k)).sum())
        };
        let colours: Vec<[f32; 3]> = (0..nx * ny * nz).into_par_iter().map(colour).collect();
        let value = Tensor::from_slice(self.renderer.device(), &logits(&colours), &[colours.len(), 3])?;
        all.push(parameter("colours".into(), value, COLOUR_RATE, true));
        Ok(all)
    }

    /// Encoded colours [V, 3] of the vertices of a surface: of sheets those of their cells, of centres the means of these.
    fn colours(&self, logits: &Var, surface: &FlexiSurface) -> Result<Var> {
        let [nx, ny, _] = self.flexible.grid().size.map(|n| n as u32 - 1);
        let cells: Vec<u32> = surface.dual.cells.iter().map(|c| c[0] + nx * (c[1] + ny * c[2])).collect();
        let device = self.renderer.device();
        let sheets = logits.gather(&Tensor::from_slice(device, &cells, &[cells.len()])?)?.sigmoid()?;
        if surface.positions.shape()[0] == cells.len() {
            return Ok(sheets);
        }
        let quads = surface.dual.quads.as_flattened();
        let around = sheets.gather(&Tensor::from_slice(device, quads, &[quads.len() / 4, 4])?)?;
        Ok(concat(&[&sheets, &around.mean_axis(1)?], 0)?)
    }

    /// How far pictures of the surface are from photographs, and what keeps it in shape when so much of the stage is done.
    ///
    /// # Errors
    /// The surface has vanished.
    pub fn loss(&self, parameters: &[Var], targets: &[&Target], background: [f32; 3], progress: f64) -> Result<Var> {
        let (sight, kept) = self.seen(parameters, progress)?;
        let frame = sight.frame()?;
        let each = targets.iter().map(|target| target.difference(&frame, sight.positions(), background));
        let each = each.map(|one| one?.reshape(&[1]).map_err(Error::from)).collect::<Result<Vec<_>>>()?;
        Ok(concat(&each.iter().collect::<Vec<_>>(), 0)?.mean()?.add(&kept)?)
    }

    /// The surface to be looked at, and the loss that keeps it in shape when so much of the stage is done.
    ///
    /// # Errors
    /// The surface has vanished.
    pub fn seen(&self, parameters: &[Var], progress: f64) -> Result<(Sight, Var)> {
        let (arrays, logits) = parameters.split_at(3);
        let surface = self.flexible.surface(arrays, Cut::Centres)?;
        let positions = rows(&surface.positions)?;
        let colors = Some(vec![[1.0; 4]; positions.len()]);
        let mut scene = self.scene.clone();
        let triangles = surface.triangles.clone();
        scene.replace_geometry(0, 0, &MeshData { positions, triangles, colors, ..MeshData::default() })?;
        let renderer = self.renderer.with_geometry(&scene)?;
        let mut bindings = Bindings::new();
        bindings.bind(format!("{MESH}/POSITION"), surface.positions.clone());
        bindings.bind(format!("{MESH}/COLOR_0"), linear(&self.colours(&logits[0], &surface)?)?);
        let kept = self.flexible.loss(&surface, arrays, progress)?;
        Ok((Sight { renderer, bindings, positions: surface.positions }, kept))
    }

    /// The surface without its specks, with colours.
    ///
    /// # Errors
    /// It has vanished.
    pub fn surface(&self, values: &[Tensor]) -> Result<Extracted> {
        let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let (arrays, logits) = vars.split_at(3);
        let surface = self.flexible.surface(arrays, Cut::Diagonals)?;
        let (positions, triangles) = (rows(&surface.positions)?, surface.triangles.clone());
        let colours = Some(rows(&self.colours(&logits[0], &surface)?)?);
        let found = Extracted { positions, triangles, colours };
        Ok(found.kept(Subset::of_parts(&found.positions, &found.triangles, Keep::Share(SPECK))?))
    }
}

/// A surface as it is in a step.
pub struct Sight {
    renderer: Renderer,
    bindings: Bindings,
    positions: Var,
}

impl Sight {
    /// In its colours.
    ///
    /// # Errors
    /// Memory.
    pub fn frame(&self) -> Result<Frame<'_>> {
        Ok(self.renderer.frame(&self.bindings)?)
    }

    /// In encoded colours [V, 3] of its vertices.
    ///
    /// # Errors
    /// Memory.
    pub fn coloured(&self, colours: &Var) -> Result<Frame<'_>> {
        let mut bindings = self.bindings.clone();
        bindings.bind(format!("{MESH}/COLOR_0"), linear(colours)?);
        Ok(self.renderer.frame(&bindings)?)
    }

    /// Where its vertices are.
    pub fn positions(&self) -> &[[f32; 3]] {
        &self.renderer.geometry().host_positions
    }

    /// Their normals [V, 3].
    ///
    /// # Errors
    /// Memory.
    pub fn normals(&self) -> Result<Var> {
        Ok(self.renderer.geometry().smooth_normals(&self.positions)?)
    }
}

fn rows(table: &Var) -> Result<Vec<[f32; 3]>> {
    Ok(table.tensor().to_vec::<f32>()?.as_chunks::<3>().0.to_vec())
}
