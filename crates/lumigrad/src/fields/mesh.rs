//! `mesh`: the surface of a field as triangles.

use super::file::{FILE, FieldFile, find};
use super::operators::{DERIVATIONS, Derivation};
use super::source::{FieldSource, Source};
use super::splats::SplatSource;
use super::surface::{Extracted, METHODS, extracted};
use super::textured::{self, Photographs};
use super::{extract, shade};
use crate::run::job::Kind::*;
use crate::run::job::commands::Common;
use crate::run::job::job_keys;
use crate::run::{Summary, run_splats};
use crate::train::radiance::Trained;
use crate::{Error, Result};
use lumigrad_core::Device;
use lumigrad_geometry::{Keep, Subset, Topology, close_holes, mean_fold, simplify};
use lumigrad_scene::Scene;
use lumigrad_scene::formats::{obj, ply};
use lumigrad_scene::mesh::TriangleMesh;
use lumigrad_splat::formats::is_splats;
use std::path::{Path, PathBuf};

job_keys! {
    /// Take the surface out of a field as triangles.
    MeshJob {
        include common: Common;
        /// The field: the field.safetensors of fit sdf, fit eikonal, fit slices, fit evolve or train field, the grid.safetensors of
        /// train voxels, splats, or a run folder.
        field: Option<PathBuf>, Path, example "\"runs/sdf-bunny\"";
        /// How: mc is marching cubes and mt marching tetrahedra, whose surfaces are manifold for any field; dc is dual
        /// contouring, which keeps edges and corners; flexicubes is dual marching cubes, manifold with even triangles; tsdf
        /// fuses depth maps of views from all around, which splats need.
        method: String, Choice(METHODS), default "\"mc\"";
        /// Cells along the longest side of the grid.
        resolution: usize, Count(2), default "256";
        /// Time, of a surface that moves: from 0 to the duration it was fitted for. Without it the end.
        time: Option<f64>, Number, example "0.5";
        /// Normals and curvature: polyfit by polynomials fitted around each point, which see through the roughness of grids, ad by
        /// differentiation.
        normals: String, Choice(DERIVATIONS), default "\"polyfit\"";
        /// Deviation of the fitted operator, in parts of the shape's longest side. Without it the one that the fit chose, or about
        /// that of a cell of the field's finest grid.
        polyfit_sigma: Option<f64>, Amount, example "0.01";
        /// Colour vertices by mean curvature, from blue where the surface is hollow to red where it bulges.
        curvature: bool, Flag, default "false";
        /// Keep the part of the surface with the largest area only.
        largest: bool, Flag, default "false";
        /// Close holes of at most so many edges.
        close_holes: Option<usize>, Count(3), example "64";
        /// Most triangles: edges are collapsed where that costs least (Garland & Heckbert 1997).
        triangles: Option<usize>, Count(4), example "150000";
        /// What colours are kept in: vertices, or a texture. refit learns texture and vertices from the run's photographs, through
        /// the rasteriser, keeps of the surface what they see, and tells how near to those held out the written mesh comes
        /// (test_psnr). auto: refit for binary grids, vertices for all else.
        appearance: String, Choice(&["auto", "vertices", "texture", "refit"]), default "\"auto\"";
        /// Rows and columns of textures. Without it what suits the number of triangles.
        texture_size: Option<usize>, Count(16), example "2048";
        /// With a texture: a map of the surface's normals too, which shows what fewer triangles lost.
        normal_map: bool, Flag, default "false";
        /// Steps of refit, a photograph each.
        refit_steps: usize, Count(1), default "1500";
        /// The file that is written: .ply, .obj, .glb or .gltf.
        out: PathBuf, Path, default "\"mesh.ply\"";
    }
}

/// Takes the surface out of a field and writes it.
///
/// # Errors
/// A file that is no field with a surface; settings that do not suit it; a file that cannot be written.
pub fn mesh(job: &MeshJob, device: &Device, summary: &mut Summary) -> Result<()> {
    let path =
        job.field.clone().ok_or_else(|| Error::usage("mesh", "FIELD is missing", "lumigrad mesh runs/sdf-bunny"))?;
    writer(&job.out)?;
    let splats = run_splats(&path).unwrap_or_else(|| path.clone());
    if is_splats(&splats) {
        return written(&SplatSource::load(&splats)?, &splats, job, device, summary);
    }
    let help = format!("give a {FILE}, or the folder of a run that has one");
    let file = find(&path).ok_or_else(|| Error::file(path.display(), "no field", help))?;
    let bytes = std::fs::read(&file).map_err(|e| Error::io(&file, e))?;
    if let Some(trained) = Trained::read(&file, &bytes, device)? {
        return written(&trained, &file, job, device, summary);
    }
    let field = FieldFile::read(&file, &bytes, device)?;
    let solid = field.solid(job.time)?;
    let operators = field.operators(&solid, job.polyfit_sigma, job.common.seed)?;
    let source = FieldSource::new(field.name(), &solid, operators, Derivation::from_name(&job.normals));
    written(&source, &file, job, device, summary)
}

/// Writes the surface of a source, which came from `file`, as the job wants it.
fn written(source: &dyn Source, file: &Path, job: &MeshJob, device: &Device, summary: &mut Summary) -> Result<()> {
    let textured = ["texture", "refit"].contains(&job.appearance.as_str());
    let wanted = match job.appearance.as_str() {
        "auto" if source.is_binary() && textured::ending(&job.out) != "ply" => "refit",
        "auto" => "vertices",
        other => other,
    };
    if (wanted == "vertices" || textured && textured::ending(&job.out) == "ply") && (textured || job.normal_map) {
        let place = if job.normal_map { "--normal-map" } else { "--appearance" };
        let message = "textures are asked for, and not to be written";
        return Err(Error::usage(place, message, "choose --appearance texture or refit, and .glb, .gltf or .obj"));
    }
    let photographs = match (wanted == "refit").then(|| Photographs::of_run(file)) {
        None => None,
        Some(Ok(found)) => Some(found),
        Some(Err(reason)) => {
            let message = format!("the photographs of the run cannot be read: {reason}");
            let help = "put them back where the run found them, or choose --appearance texture";
            if job.appearance == "refit" {
                return Err(Error::file(file.display(), message, help));
            }
            let instead = format!("{message}; colours are those of the grid, test_psnr is not known ({help})");
            summary.warnings.push(instead);
            None
        }
    };
    if wanted == "vertices" {
        writer(&job.out)?(&job.out, &surface(source, job, summary)?)?;
    } else {
        textured::textured(source, photographs.as_ref(), job, device, summary)?.save(&job.out)?;
        if let Some(photographs) = &photographs {
            textured::score(photographs, job, device, summary)?;
        }
    }
    summary.output("mesh", &job.out);
    Ok(())
}

/// The surface of a source as the job wants it, in the world.
///
/// # Errors
/// A grid that is too fine; a source without a surface, or without what is asked of it.
pub fn surface(source: &dyn Source, job: &MeshJob, summary: &mut Summary) -> Result<TriangleMesh> {
    let Extracted { positions, triangles, mut colours } = fewer(found(source, job)?, job, summary)?;
    let normals = source.surface_normals(&positions, &triangles)?;
    if job.curvature {
        let no = || Error::usage("--curvature", format!("{} has none", source.name()), "leave it out");
        let curvatures = source.curvatures(&positions)?.ok_or_else(no)?;
        let range = shade::scale_of(&curvatures);
        colours = Some(shade::curvature_colours(&curvatures, range));
        summary.metric("curvature_range", range.into());
    }
    tell(&positions, &triangles, summary)?;
    Ok(TriangleMesh { colors: colours, ..source.place().mesh(&positions, triangles, normals) })
}

/// The surface of a source, or its largest part.
pub(super) fn found(source: &dyn Source, job: &MeshJob) -> Result<Extracted> {
    extract::check("--resolution", source.half(), job.resolution)?;
    let found = extracted(source, &job.method, job.resolution)?;
    if found.triangles.is_empty() {
        return Err(Error::file(
            source.name(),
            "the field has no surface there",
            "train it longer, or choose another --time",
        ));
    }
    Ok(match job.largest {
        true => found.kept(Subset::of_parts(&found.positions, &found.triangles, Keep::Largest)?),
        false => found,
    })
}

/// The same of no more triangles than the job wants.
pub(super) fn fewer(mut found: Extracted, job: &MeshJob, summary: &mut Summary) -> Result<Extracted> {
    if let Some(longest) = job.close_holes {
        let closed = close_holes(&found.positions, &found.triangles, longest)?;
        summary.metric("n_closed_holes", closed.n_closed as f64);
        found.triangles.extend(closed.triangles);
    }
    if let Some(most) = job.triangles {
        found = found.kept(simplify(&found.positions, &found.triangles, most)?);
        let n = found.triangles.len();
        if n > most {
            summary.warnings.push(format!("{n} triangles, more than {most}: handles and borders keep them"));
        }
    }
    Ok(found)
}

/// Tells how a surface is connected, and how bumpy it is.
pub(crate) fn tell(positions: &[[f32; 3]], triangles: &[[u32; 3]], summary: &mut Summary) -> Result<()> {
    let topology = Topology::new(positions.len(), triangles)?;
    summary.metric("n_vertices", positions.len() as f64);
    summary.metric("n_triangles", triangles.len() as f64);
    summary.metric("fold_deg", mean_fold(positions, triangles).to_degrees());
    summary.metric("n_components", topology.n_parts as f64);
    summary.metric("watertight", topology.watertight() as u8 as f64);
    summary.metric("manifold", topology.manifold() as u8 as f64);
    if let Some(genus) = topology.genus() {
        summary.metric("genus", genus as f64);
    }
    Ok(())
}

type Write = fn(&Path, &TriangleMesh) -> Result<()>;

/// What writes files of this ending.
fn writer(to: &Path) -> Result<Write> {
    let ending = textured::ending(to);
    Ok(match ending.as_str() {
        "ply" => |to, mesh| Ok(ply::save(to, mesh)?),
        "obj" => |to, mesh| Ok(obj::save(to, mesh, &[])?),
        "glb" | "gltf" => |to, mesh| Ok(Scene::from_triangle_mesh("surface", mesh)?.save(to)?),
        _ => {
            let message = format!("cannot write a mesh ending in {ending:?}");
            return Err(Error::usage(to.display(), message, "choose .ply, .obj, .glb or .gltf"));
        }
    })
}
