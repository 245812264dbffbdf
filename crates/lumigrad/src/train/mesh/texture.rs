//! The last stage: a texture, and vertices that move a little.

use super::TrainMeshJob;
use super::shape::logits;
use crate::fields::place::Place;
use crate::fields::surface::Extracted;
use crate::fields::textured::{Fitted, Photographs, Target, Textured, atlas, painted, seen};
use crate::{Error, Result};
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_field::Parameter;
use lumigrad_geometry::simplify;
use lumigrad_scene::smooth_normals;

/// Rates of the logits of colours, and of vertices in mean edges.
const RATES: [f64; 2] = [0.1, 0.02];

/// What photographs see of a surface, of as few triangles as the job wants.
///
/// # Errors
/// They see nothing of it.
pub fn visible(
    surface: &Extracted,
    photographs: &Photographs,
    job: &TrainMeshJob,
    device: &Device,
) -> Result<Extracted> {
    let world = Place { centre: [0.0; 3], scale: 1.0 };
    let nothing = || Error::job("the photographs see nothing of the surface: train longer (--iterations)");
    let found = seen(surface, world, photographs, device)?.ok_or_else(nothing)?;
    Ok(match job.triangles {
        Some(most) => found.kept(simplify(&found.positions, &found.triangles, most)?),
        None => found,
    })
}

/// A surface with a texture that has the colours of its vertices.
///
/// # Errors
/// A size of the texture that its charts do not fit in.
pub fn unwrapped(surface: &Extracted, size: Option<usize>) -> Result<Textured> {
    let (positions, triangles) = (surface.positions.clone(), &surface.triangles);
    let cut = atlas(&positions, triangles, size)?;
    let colours = painted(&cut, surface.colours.as_deref().unwrap_or_default());
    Ok(Textured { normals: smooth_normals(&positions, triangles), positions, atlas: cut, colours, normal_map: None })
}

/// A surface whose texture is learnt.
pub struct Painted {
    /// As it was before, with the colours of its vertices.
    pub surface: Extracted,
    mesh: Textured,
    fitted: Fitted,
}

impl Painted {
    /// A surface of the world, before the first step.
    ///
    /// # Errors
    /// A size of the texture that its charts do not fit in.
    pub fn new(surface: Extracted, size: Option<usize>, device: &Device) -> Result<Self> {
        let mesh = unwrapped(&surface, size)?;
        Ok(Self { fitted: Fitted::new(&mesh, device)?, surface, mesh })
    }

    /// Logits of the texels' colours [S, S, 3] and motions of the vertices [V, 3], in mean edges.
    ///
    /// # Errors
    /// Memory.
    pub fn start(&self, device: &Device) -> Result<Vec<Parameter>> {
        let (size, n) = (self.mesh.atlas.size, self.mesh.positions.len());
        let texels = Tensor::from_slice(device, &logits(&self.mesh.colours), &[size, size, 3])?;
        let moves = Tensor::zeros(device, DType::F32, &[n, 3])?;
        let [texel_rate, move_rate] = RATES;
        Ok(vec![
            Parameter { name: "texture".into(), value: texels, rate: texel_rate, sparse: true },
            Parameter { name: "moves".into(), value: moves, rate: move_rate, sparse: false },
        ])
    }

    /// How far the picture is from a photograph, and how differently neighbours moved.
    ///
    /// # Errors
    /// Memory.
    pub fn loss(&self, parameters: &[Var], target: &Target, background: [f32; 3]) -> Result<Var> {
        self.fitted.loss(&parameters[0].sigmoid()?, &parameters[1], target, background)
    }

    /// The mesh as it is now.
    ///
    /// # Errors
    /// Memory.
    pub fn mesh(&self, values: &[Tensor]) -> Result<Textured> {
        let colours = Var::from(values[0].clone()).sigmoid()?;
        let mut mesh = self.mesh.clone();
        self.fitted.store(colours.tensor(), &values[1], &mut mesh)?;
        Ok(mesh)
    }
}
