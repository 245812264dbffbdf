//! What a training of a mesh writes and shows.

use super::super::report::beside;
use super::shape;
use super::task::{Mesher, Results};
use crate::Result;
use crate::fields::mesh::tell;
use crate::fields::surface::Extracted;
use crate::fields::textured::normals;
use crate::fit::drive::Output;
use lumigrad_core::Device;
use lumigrad_raster::{Options, Renderer};
use lumigrad_scene::camera::View;
use lumigrad_scene::formats::ply;
use lumigrad_scene::mesh::TriangleMesh;
use lumigrad_scene::picture::Picture;
use lumigrad_scene::{Scene, smooth_normals};
use lumigrad_splat::{Background, formats};
use std::path::Path;

/// Views whose shapes are shown, and the longest side of their pictures.
const SHOWN: usize = 3;
const SIDE: usize = 320;

/// Writes the mesh and what the stages made, scores it, and shows all.
///
/// # Errors
/// Files that cannot be written.
pub fn write(mesher: &Mesher, results: &Results, output: &mut Output) -> Result<()> {
    let file = formats::write(Path::new("splats.ply"), &results.gaussians).map_err(|e| crate::Error::job(e.message))?;
    output.file("splats", "stages/splats.ply", &file)?;
    let mut shapes = vec![("fused", shape::scene(&results.fused)?)];
    stage(&results.fused, "fused", output)?;
    output.figure("fused_psnr", "Fused surface", mesher.scene_psnr(&shapes[0].1)?, 2, " dB");
    if let Some(optimised) = &results.optimised {
        stage(optimised, "optimised", output)?;
        let scene = shape::scene(optimised)?;
        output.figure("optimised_psnr", "Optimised surface", mesher.scene_psnr(&scene)?, 2, " dB");
        shapes.push(("optimised", scene));
    }
    let path = output.folder.path("mesh.glb");
    results.mesh.save(&path)?;
    output.summary.output("mesh", &output.folder.final_path("mesh.glb"));
    tell(&results.mesh.positions, &results.mesh.atlas.uncut(), output.summary)?;
    output.summary.metric("texture_size", results.mesh.atlas.size as f64);
    // What was written is what is scored.
    let scene = crate::files::load_scene(&path)?;
    let dataset = &mesher.photographs.dataset;
    let rendered = mesher.pictures(&scene, dataset.scored())?;
    beside(dataset, &rendered, Background::Colour(mesher.photographs.background), output)?;
    shapes.push(("textured", scene));
    let scored = dataset.scored();
    for shot in scored.iter().step_by(scored.len().div_ceil(SHOWN).max(1)) {
        let states = shapes.iter().map(|(name, scene)| Ok((*name, shape_of(scene, &shot.view, &mesher.device)?)));
        output.gallery(&shot.view.name, "Shapes of the stages, by their normals", states.collect::<Result<_>>()?)?;
    }
    Ok(())
}

/// Writes the surface of a stage.
fn stage(surface: &Extracted, name: &str, output: &mut Output) -> Result<()> {
    let mesh = TriangleMesh {
        positions: surface.positions.clone(),
        triangles: surface.triangles.clone(),
        normals: Some(smooth_normals(&surface.positions, &surface.triangles)),
        colors: surface.colours.clone(),
        ..TriangleMesh::default()
    };
    let file = format!("stages/{name}.ply");
    ply::save(&output.folder.path(&file), &mesh)?;
    output.summary.output(name, &output.folder.final_path(&file));
    Ok(())
}

/// Normals of a scene from a view, SIDE pixels along its longest side.
fn shape_of(scene: &Scene, view: &View, device: &Device) -> Result<Picture> {
    let scale = SIDE as f64 / view.width.max(view.height) as f64;
    let [w, h] = [view.width, view.height].map(|n| ((n as f64 * scale).round() as usize).max(1));
    normals(&Renderer::new(scene, device, &Options::default())?, &view.clone().resized(w, h))
}
