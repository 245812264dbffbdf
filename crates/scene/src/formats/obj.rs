//! Wavefront OBJ with MTL.

use crate::mesh::{MeshMaterial, TriangleMesh};
use crate::picture::Picture;
use crate::{Error, Result, write_atomically};
use std::collections::HashMap;
use std::fmt::Write;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Reads an OBJ file and the MTL files it names; polygons become fans. A missing MTL file leaves the mesh without
/// materials. Colour (`Kd`) is taken as linear.
///
/// # Errors
/// A file that cannot be read, or that breaks the format.
pub fn load(path: &Path) -> Result<TriangleMesh> {
    let text = std::fs::read(path).map_err(Error::io(path))?;
    let location = path.display().to_string();
    let folder = path.parent().unwrap_or(Path::new(""));
    let options =
        tobj::LoadOptions { triangulate: true, ignore_points: true, ignore_lines: true, ..Default::default() };
    let material_file = |name: &Path| {
        let bytes = std::fs::read(folder.join(name)).map_err(|_| tobj::LoadError::OpenFileFailed)?;
        tobj::load_mtl_buf(&mut Cursor::new(bytes))
    };
    let (models, materials) = tobj::load_obj_buf(&mut Cursor::new(text), &options, material_file)
        .map_err(|e| Error::invalid(&location, e.to_string(), "expected a Wavefront OBJ file"))?;
    let mut mesh = Builder::default();
    models.iter().try_for_each(|model| mesh.add(&model.mesh, &location))?;
    let mut mesh = mesh.finish();
    mesh.materials = materials.unwrap_or_default().into_iter().map(|m| material(m, folder)).collect();
    if mesh.materials.is_empty() {
        mesh.triangle_materials.clear();
    }
    mesh.checked(&location)
}

fn material(material: tobj::Material, folder: &Path) -> MeshMaterial {
    let texture = material.diffuse_texture.as_deref().and_then(|t| texture_path(t, folder));
    MeshMaterial { name: material.name, color: material.diffuse.unwrap_or([1.0; 3]), texture }
}

/// The file named by a `map_Kd` statement: the whole rest of the line, or what follows its options.
fn texture_path(statement: &str, folder: &Path) -> Option<PathBuf> {
    let whole = statement.trim().replace('\\', "/");
    let last = whole.split_whitespace().last()?.to_string();
    let name = if whole.starts_with('-') { last } else { whole };
    Some(folder.join(name))
}

/// Joins the models of a file into one mesh with one index per vertex.
#[derive(Default)]
struct Builder {
    mesh: TriangleMesh,
    normals: Vec<[f32; 3]>,
    uvs: Vec<[f32; 2]>,
    colors: Vec<[f32; 3]>,
    lacks_normals: bool,
    has_uvs: bool,
    lacks_colors: bool,
}

fn at<const N: usize>(values: &[f32], index: u32) -> Option<[f32; N]> {
    let start = (index as usize).checked_mul(N)?;
    values.get(start..start.checked_add(N)?)?.try_into().ok()
}

impl Builder {
    fn add(&mut self, source: &tobj::Mesh, location: &str) -> Result<()> {
        let wrong = || Error::invalid(location, "a face names a vertex that does not exist", "");
        let n = source.indices.len();
        let full = |indices: &[u32]| (indices.len() == n).then(|| indices.to_vec());
        let uv_indices = full(&source.texcoord_indices);
        let normal_indices = full(&source.normal_indices);
        let mut known = HashMap::new();
        let mut corners = Vec::with_capacity(n);
        for i in 0..n {
            let pick = |indices: &Option<Vec<u32>>| indices.as_ref().map_or(u32::MAX, |v| v[i]);
            let key = (source.indices[i], pick(&uv_indices), pick(&normal_indices));
            let next = self.mesh.positions.len() as u32;
            let vertex = *known.entry(key).or_insert(next);
            if vertex == next {
                self.mesh.positions.push(at(&source.positions, key.0).ok_or_else(wrong)?);
                let uv: Option<[f32; 2]> = at(&source.texcoords, key.1);
                let normal = at(&source.normals, key.2);
                let color: Option<[f32; 3]> = at(&source.vertex_color, key.0);
                self.has_uvs |= uv.is_some();
                self.lacks_normals |= normal.is_none();
                self.lacks_colors |= color.is_none_or(|c| !c.iter().all(|x| x.is_finite()));
                // OBJ counts v from the bottom.
                self.uvs.push(uv.map_or([0.0; 2], |[u, v]| [u, 1.0 - v]));
                self.normals.push(normal.unwrap_or_default());
                self.colors.push(color.unwrap_or_default());
            }
            corners.push(vertex);
        }
        let triangles = corners.chunks_exact(3).map(|t| [t[0], t[1], t[2]]);
        self.mesh.triangles.extend(triangles);
        let material = source.material_id.map(|m| m as u32);
        self.mesh.triangle_materials.resize(self.mesh.triangles.len(), material);
        Ok(())
    }

    fn finish(self) -> TriangleMesh {
        let any = !self.mesh.positions.is_empty();
        TriangleMesh {
            normals: (any && !self.lacks_normals).then_some(self.normals),
            uvs: self.has_uvs.then_some(self.uvs),
            colors: (any && !self.lacks_colors).then_some(self.colors),
            ..self.mesh
        }
    }
}

/// Writes `path`, and beside it an MTL file and one PNG for each material that has a picture in `textures` (one entry per
/// material, or none at all). Files appear whole or not at all, the OBJ last.
///
/// # Errors
/// A path without a file name; what the operating system refuses.
pub fn save(path: &Path, mesh: &TriangleMesh, textures: &[Option<Picture>]) -> Result<()> {
    let Some(stem) = path.file_stem().map(|s| s.to_string_lossy().into_owned()) else {
        return Err(Error::invalid(path.display(), "no file name", "name an .obj file"));
    };
    let mut text = String::from("# lumigrad\n");
    if !mesh.materials.is_empty() {
        let mut mtl = String::new();
        for (i, material) in mesh.materials.iter().enumerate() {
            let [r, g, b] = material.color;
            push(&mut mtl, format_args!("newmtl {}\nKd {r} {g} {b}\n", material_name(material, i)));
            if let Some(Some(picture)) = textures.get(i) {
                let name = if mesh.materials.len() == 1 { format!("{stem}.png") } else { format!("{stem}_{i}.png") };
                picture.save_png(&path.with_file_name(&name))?;
                push(&mut mtl, format_args!("map_Kd {name}\n"));
            }
        }
        let name = format!("{stem}.mtl");
        write_atomically(path.with_file_name(&name), mtl.as_bytes())?;
        push(&mut text, format_args!("mtllib {name}\n"));
    }
    for (i, [x, y, z]) in mesh.positions.iter().enumerate() {
        match mesh.colors.as_ref().map(|c| c[i]) {
            Some([r, g, b]) => push(&mut text, format_args!("v {x} {y} {z} {r} {g} {b}\n")),
            None => push(&mut text, format_args!("v {x} {y} {z}\n")),
        }
    }
    for [u, v] in mesh.uvs.iter().flatten() {
        push(&mut text, format_args!("vt {u} {}\n", 1.0 - v));
    }
    for [x, y, z] in mesh.normals.iter().flatten() {
        push(&mut text, format_args!("vn {x} {y} {z}\n"));
    }
    let mut current = None;
    for (i, triangle) in mesh.triangles.iter().enumerate() {
        let material = mesh.triangle_materials.get(i).copied().flatten();
        if let Some(m) = material.filter(|_| material != current) {
            let named = mesh.materials.get(m as usize).map_or(String::new(), |x| material_name(x, m as usize));
            push(&mut text, format_args!("usemtl {named}\n"));
            current = material;
        }
        let corner = |v: u32| match (mesh.uvs.is_some(), mesh.normals.is_some()) {
            (true, true) => format!("{0}/{0}/{0}", v + 1),
            (true, false) => format!("{0}/{0}", v + 1),
            (false, true) => format!("{0}//{0}", v + 1),
            (false, false) => format!("{}", v + 1),
        };
        let [a, b, c] = triangle.map(corner);
        push(&mut text, format_args!("f {a} {b} {c}\n"));
    }
    write_atomically(path, text.as_bytes())
}

fn material_name(material: &MeshMaterial, index: usize) -> String {
    if material.name.is_empty() { format!("material_{index}") } else { material.name.replace(char::is_whitespace, "_") }
}

fn push(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments).expect("writing to a string never fails");
}
