//! `mesh`: the surface of a field as triangles.

use super::file::{FILE, FieldFile, find};
use super::operators::{DERIVATIONS, Derivation};
use super::source::{FieldSource, Source};
use super::surface::{Extracted, METHODS, extracted};
use super::{extract, shade};
use crate::run::Summary;
use crate::run::job::Kind::*;
use crate::run::job::commands::Common;
use crate::run::job::job_keys;
use crate::train::radiance::Trained;
use crate::{Error, Result};
use lumigrad_core::Device;
use lumigrad_geometry::{Keep, Subset, Topology, simplify};
use lumigrad_scene::Scene;
use lumigrad_scene::formats::{obj, ply};
use lumigrad_scene::mesh::TriangleMesh;
use std::path::{Path, PathBuf};

job_keys! {
    /// Take the surface out of a field as triangles.
    MeshJob {
        include common: Common;
        /// The field: the field.safetensors of fit sdf, fit eikonal, fit slices, fit evolve or train field, the grid.safetensors of
        /// train voxels, or a run folder.
        field: Option<PathBuf>, Path, example "\"runs/sdf-bunny\"";
        /// How: mc is marching cubes and mt marching tetrahedra, whose surfaces are manifold for any field; dc is dual
        /// contouring, which keeps edges and corners; flexicubes is dual marching cubes, manifold with even triangles; tsdf
        /// fuses depth maps of views from all around.
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
        /// Most triangles: edges are collapsed where that costs least (Garland & Heckbert 1997).
        triangles: Option<usize>, Count(4), example "150000";
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
    let write = writer(&job.out)?;
    let help = format!("give a {FILE}, or the folder of a run that has one");
    let file = find(&path).ok_or_else(|| Error::file(path.display(), "no field", help))?;
    let bytes = std::fs::read(&file).map_err(|e| Error::io(&file, e))?;
    if let Some(trained) = Trained::read(&file, &bytes, device)? {
        let mesh = surface(&trained, job, summary)?;
        write(&job.out, &mesh)?;
        summary.output("mesh", &job.out);
        return Ok(());
    }
    let file = FieldFile::read(&file, &bytes, device)?;
    let solid = file.solid(job.time)?;
    let operators = file.operators(&solid, job.polyfit_sigma, job.common.seed)?;
    let source = FieldSource::new(file.name(), &solid, operators, Derivation::from_name(&job.normals));
    let mesh = surface(&source, job, summary)?;
    write(&job.out, &mesh)?;
    summary.output("mesh", &job.out);
    Ok(())
}

/// The surface of a source as the job wants it, in the world.
///
/// # Errors
/// A grid that is too fine; a source without a surface, or without what is asked of it.
pub fn surface(source: &dyn Source, job: &MeshJob, summary: &mut Summary) -> Result<TriangleMesh> {
    extract::check("--resolution", source.half(), job.resolution)?;
    let mut found = extracted(source, &job.method, job.resolution)?;
    if found.triangles.is_empty() {
        return Err(Error::file(
            source.name(),
            "the field has no surface there",
            "train it longer, or choose another --time",
        ));
    }
    if job.largest {
        found = found.kept(Subset::of_parts(&found.positions, &found.triangles, Keep::Largest)?);
    }
    if let Some(most) = job.triangles {
        found = found.kept(simplify(&found.positions, &found.triangles, most)?);
    }
    let Extracted { positions, triangles, mut colours } = found;
    if let Some(most) = job.triangles.filter(|most| triangles.len() > *most) {
        summary
            .warnings
            .push(format!("{} triangles, more than {most}: handles and borders keep them", triangles.len()));
    }
    let normals = source.normals(&positions)?;
    if job.curvature {
        let no = || Error::usage("--curvature", format!("{} has none", source.name()), "leave it out");
        let curvatures = source.curvatures(&positions)?.ok_or_else(no)?;
        let range = shade::scale_of(&curvatures);
        colours = Some(shade::curvature_colours(&curvatures, range));
        summary.metric("curvature_range", range.into());
    }
    let topology = Topology::new(positions.len(), &triangles)?;
    summary.metric("n_vertices", positions.len() as f64);
    summary.metric("n_triangles", triangles.len() as f64);
    summary.metric("n_components", topology.n_parts as f64);
    summary.metric("watertight", topology.watertight() as u8 as f64);
    summary.metric("manifold", topology.manifold() as u8 as f64);
    if let Some(genus) = topology.genus() {
        summary.metric("genus", genus as f64);
    }
    Ok(TriangleMesh { colors: colours, ..source.place().mesh(&positions, triangles, normals) })
}

type Write = fn(&Path, &TriangleMesh) -> Result<()>;

/// What writes files of this ending.
fn writer(to: &Path) -> Result<Write> {
    let ending = to.extension().unwrap_or_default().to_string_lossy().to_lowercase();
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
