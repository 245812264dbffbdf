//! Which triangles photographs see.

use super::photographs::Photographs;
use super::refit::{camera, doubled};
use crate::Result;
use lumigrad_core::Device;
use lumigrad_geometry::Subset;
use lumigrad_raster::{Bindings, Options, Renderer};
use lumigrad_scene::Scene;
use lumigrad_scene::mesh::TriangleMesh;

/// Rings of triangles around what is seen that are kept.
const RINGS: usize = 2;

/// The part of a surface of the world that photographs see, with what touches it: surfaces inside of others go.
///
/// # Errors
/// Memory.
pub fn visible(
    positions: &[[f32; 3]],
    triangles: &[[u32; 3]],
    photographs: &Photographs,
    device: &Device,
) -> Result<Subset> {
    let (positions, triangles) = (positions.to_vec(), triangles.to_vec());
    let mesh = TriangleMesh { positions, triangles, ..TriangleMesh::default() };
    let scene = Scene::from_triangle_mesh("surface", &mesh)?;
    let renderer = Renderer::new(&scene, device, &Options::default())?;
    let frame = renderer.frame(&Bindings::new())?;
    let mut seen = vec![false; mesh.triangles.len()];
    for shot in &photographs.dataset.train {
        let found = frame.render(&camera(&doubled(&shot.view), &mesh.positions, device)?)?.triangles;
        for &number in found.to_vec::<u32>()?.iter().filter(|n| **n > 0) {
            seen[number as usize - 1] = true;
        }
    }
    for _ in 0..RINGS {
        let mut near = vec![false; mesh.positions.len()];
        let all = || mesh.triangles.iter().enumerate();
        all().filter(|(k, _)| seen[*k]).for_each(|(_, t)| t.iter().for_each(|&v| near[v as usize] = true));
        all().for_each(|(k, t)| seen[k] |= t.iter().any(|&v| near[v as usize]));
    }
    let kept = mesh.triangles.iter().zip(&seen).filter(|(_, seen)| **seen).map(|(t, _)| *t).collect();
    Ok(Subset::new(mesh.positions.len(), kept))
}
