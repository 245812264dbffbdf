//! Surfaces with textures, as jobs want them.

use super::super::mesh::{self, MeshJob};
use super::super::place::Place;
use super::super::source::Source;
use super::super::surface::Extracted;
use super::{Photographs, Refit, Textured, atlas, baked, normal_map, refit, scored, visible};
use crate::run::Summary;
use crate::{Error, Result};
use lumigrad_core::Device;
use lumigrad_geometry::{Keep, Subset};
use lumigrad_scene::camera::{Framing, sphere_views};

/// Parts of a surface that have less than this share of its area are nothing.
const SPECK: f64 = 1e-4;
/// Views that colours are baked from where there are no photographs, and their rows and columns.
const VIEWS: usize = 64;
const VIEW_SIZE: usize = 384;

/// How near the mesh that was written comes to photographs that were held out.
pub fn score(photographs: &Photographs, job: &MeshJob, device: &Device, summary: &mut Summary) -> Result<()> {
    let scene = crate::files::load_scene(&job.out)?;
    let (psnr, ssim) = scored(&scene, photographs, device)?;
    summary.metric("test_psnr", psnr);
    summary.metric("test_ssim", ssim);
    Ok(())
}

/// What photographs see of a surface that lies somewhere in the world, without specks; `None`: nothing.
///
/// # Errors
/// Memory.
pub fn seen(
    surface: &Extracted,
    place: Place,
    photographs: &Photographs,
    device: &Device,
) -> Result<Option<Extracted>> {
    let world: Vec<[f32; 3]> = surface.positions.iter().map(|&p| place.outwards(p)).collect();
    let kept = visible(&world, &surface.triangles, photographs, device)?;
    if kept.triangles.is_empty() {
        return Ok(None);
    }
    let found = surface.kept(kept);
    Ok(Some(found.kept(Subset::of_parts(&found.positions, &found.triangles, Keep::Share(SPECK))?)))
}

/// The surface with its texture, in the world.
pub fn textured(
    source: &dyn Source,
    photographs: Option<&Photographs>,
    job: &MeshJob,
    device: &Device,
    summary: &mut Summary,
) -> Result<Textured> {
    if job.curvature {
        return Err(Error::usage("--curvature", "is a colour of vertices", "add --appearance vertices"));
    }
    let place = source.place();
    let mut found = mesh::found(source, job)?;
    if let Some(photographs) = photographs {
        let help = "give the photographs that the run was trained on, or choose --appearance texture";
        let nothing = || Error::file(source.name(), "the photographs see nothing of the surface", help);
        found = seen(&found, place, photographs, device)?.ok_or_else(nothing)?;
    }
    let found = mesh::fewer(found, job, summary)?;
    let normals = source.surface_normals(&found.positions, &found.triangles)?;
    mesh::tell(&found.positions, &found.triangles, summary)?;
    let cut = atlas(&found.positions, &found.triangles, job.texture_size)?;
    summary.metric("n_charts", cut.n_charts as f64);
    summary.metric("texture_size", cut.size as f64);
    let views: Vec<_> = match photographs {
        Some(p) => p.dataset.train.iter().map(|s| s.view.clone()).collect(),
        None => {
            let half = source.half() * place.scale;
            sphere_views(VIEWS, &Framing::of_sphere(place.centre, half.length(), (VIEW_SIZE, VIEW_SIZE)))
        }
    };
    let colours = baked(source, (&cut, &found.positions, &normals), &views)?;
    let positions = found.positions.iter().map(|&p| place.outwards(p)).collect();
    let mut surface = Textured { positions, normals, atlas: cut, colours, normal_map: None };
    if job.normal_map {
        surface.normal_map = Some(vec![[0.0, 0.0, 1.0]; surface.colours.len()]);
        let scene = surface.scene()?;
        surface.normal_map = normal_map(source, (&surface.atlas, &found.positions, &surface.normals), &scene)?;
    }
    if let Some(photographs) = photographs {
        let how = Refit { steps: job.refit_steps, seed: job.common.seed };
        refit(&mut surface, photographs, &how, device)?;
    }
    Ok(surface)
}
