//! PLY: ascii and binary of both byte orders in, binary little-endian out.

mod header;

use crate::mesh::TriangleMesh;
use crate::{Error, Result, write_atomically};
use header::{Element, Encoding, Header, Kind};
use std::path::Path;

/// Reads a PLY mesh or point cloud (no triangles); polygons become fans; elements and properties of no use are skipped.
///
/// # Errors
/// A file that cannot be read, or that breaks the format: the message names the element.
pub fn load(path: &Path) -> Result<TriangleMesh> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    decode(&bytes, &path.display().to_string())
}

/// As [`load`], from bytes; `location` names them in errors.
///
/// # Errors
/// As [`load`].
pub fn decode(bytes: &[u8], location: &str) -> Result<TriangleMesh> {
    let (header, body) = Header::parse(bytes, location)?;
    let mut values = Values { encoding: header.encoding, rest: &bytes[body..] };
    let mut mesh = TriangleMesh::default();
    for element in &header.elements {
        match element.name.as_str() {
            "vertex" => read_vertices(element, &mut values, &mut mesh, location)?,
            "face" => read_faces(element, &mut values, &mut mesh, location)?,
            _ => read_rows(element, &mut values, location, |_, _, _| Ok(()))?,
        }
    }
    mesh.checked(location)
}

struct Values<'a> {
    encoding: Encoding,
    rest: &'a [u8],
}

impl Values<'_> {
    fn next(&mut self, kind: Kind) -> Option<f64> {
        if self.encoding == Encoding::Ascii {
            let start = self.rest.iter().position(|b| !b.is_ascii_whitespace())?;
            let rest = &self.rest[start..];
            let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
            self.rest = &rest[end..];
            return std::str::from_utf8(&rest[..end]).ok()?.parse().ok();
        }
        let (bytes, rest) = self.rest.split_at_checked(kind.size())?;
        self.rest = rest;
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        if self.encoding == Encoding::BigEndian {
            word[..bytes.len()].reverse();
        }
        Some(kind.value(word))
    }
}

/// Calls `found(row, property, values)` for every property of every row.
fn read_rows(
    element: &Element,
    values: &mut Values,
    location: &str,
    mut found: impl FnMut(usize, usize, &[f64]) -> Result<()>,
) -> Result<()> {
    if element.properties.is_empty() {
        return Ok(());
    }
    let place = |row: usize| format!("{location}: element {} {row}", element.name);
    let ended = |row: usize| {
        let message = format!("the data end or are not numbers, expected {} rows", element.count);
        Error::invalid(place(row), message, "the file is cut off or damaged")
    };
    let mut row_values = Vec::new();
    for row in 0..element.count {
        for (index, property) in element.properties.iter().enumerate() {
            let length = match property.length {
                None => 1,
                Some(kind) => values.next(kind).ok_or_else(|| ended(row))? as usize,
            };
            // A value takes a byte at least, so this bounds the allocation by the file's size.
            if length > values.rest.len() {
                return Err(ended(row));
            }
            row_values.clear();
            for _ in 0..length {
                row_values.push(values.next(property.kind).ok_or_else(|| ended(row))?);
            }
            found(row, index, &row_values)?;
        }
    }
    Ok(())
}

fn read_vertices(element: &Element, values: &mut Values, mesh: &mut TriangleMesh, location: &str) -> Result<()> {
    const NAMES: [&str; 11] = ["x", "y", "z", "nx", "ny", "nz", "u", "v", "red", "green", "blue"];
    let alias = |name: &str| match name {
        "s" | "texture_u" => "u".to_string(),
        "t" | "texture_v" => "v".to_string(),
        "diffuse_red" | "diffuse_green" | "diffuse_blue" => name["diffuse_".len()..].to_string(),
        other => other.to_string(),
    };
    let slot: Vec<Option<usize>> = element
        .properties
        .iter()
        .map(|p| NAMES.iter().position(|n| p.length.is_none() && *n == alias(&p.name)))
        .collect();
    let has = |range: std::ops::Range<usize>| range.into_iter().all(|k| slot.contains(&Some(k)));
    if !has(0..3) {
        return Err(Error::invalid(format!("{location}: element vertex"), "no properties x, y and z", ""));
    }
    let scale: Vec<f64> = element.properties.iter().map(|p| p.kind.color_scale()).collect();
    let (mut normals, mut uvs, mut colors) = (Vec::new(), Vec::new(), Vec::new());
    let mut vertex = [0.0f32; NAMES.len()];
    let last = element.properties.len() - 1;
    read_rows(element, values, location, |_, property, row| {
        if let (Some(k), Some(&x)) = (slot[property], row.first()) {
            vertex[k] = if k >= 8 { x / scale[property] } else { x } as f32;
        }
        if property == last {
            let v = &vertex;
            mesh.positions.push([v[0], v[1], v[2]]);
            normals.push([v[3], v[4], v[5]]);
            uvs.push([v[6], 1.0 - v[7]]);
            colors.push([v[8], v[9], v[10]]);
        }
        Ok(())
    })?;
    mesh.normals = has(3..6).then_some(normals);
    mesh.uvs = has(6..8).then_some(uvs);
    mesh.colors = has(8..11).then_some(colors);
    Ok(())
}

fn read_faces(element: &Element, values: &mut Values, mesh: &mut TriangleMesh, location: &str) -> Result<()> {
    let is_list = |name: &str| matches!(name, "vertex_indices" | "vertex_index");
    let list = element.properties.iter().position(|p| p.length.is_some() && is_list(&p.name));
    read_rows(element, values, location, |row, property, corners| {
        if Some(property) != list {
            return Ok(());
        }
        let index = |x: f64| {
            let wrong = || Error::invalid(format!("{location}: element face {row}"), format!("vertex index {x}"), "");
            (x >= 0.0 && x < f64::from(u32::MAX) && x.fract() == 0.0).then_some(x as u32).ok_or_else(wrong)
        };
        for i in 2..corners.len() {
            mesh.triangles.push([index(corners[0])?, index(corners[i - 1])?, index(corners[i])?]);
        }
        Ok(())
    })
}

/// The mesh as a binary little-endian PLY file; colours become bytes, materials are not kept.
pub fn encode(mesh: &TriangleMesh) -> Vec<u8> {
    let mut header = format!("ply\nformat binary_little_endian 1.0\nelement vertex {}\n", mesh.positions.len());
    let mut declare = |kind: &str, names: &[&str]| {
        names.iter().for_each(|name| header.push_str(&format!("property {kind} {name}\n")));
    };
    declare("float", &["x", "y", "z"]);
    if mesh.normals.is_some() {
        declare("float", &["nx", "ny", "nz"]);
    }
    if mesh.uvs.is_some() {
        declare("float", &["s", "t"]);
    }
    if mesh.colors.is_some() {
        declare("uchar", &["red", "green", "blue"]);
    }
    header.push_str(&format!(
        "element face {}\nproperty list uchar int vertex_indices\nend_header\n",
        mesh.triangles.len()
    ));
    let mut out = header.into_bytes();
    let floats = |out: &mut Vec<u8>, values: &[f32]| values.iter().for_each(|x| out.extend(x.to_le_bytes()));
    for (i, position) in mesh.positions.iter().enumerate() {
        floats(&mut out, position);
        mesh.normals.iter().for_each(|n| floats(&mut out, &n[i]));
        mesh.uvs.iter().for_each(|uv| floats(&mut out, &[uv[i][0], 1.0 - uv[i][1]]));
        mesh.colors.iter().for_each(|c| out.extend(c[i].map(|x| (x.clamp(0.0, 1.0) * 255.0 + 0.5) as u8)));
    }
    for triangle in &mesh.triangles {
        out.push(3);
        triangle.iter().for_each(|v| out.extend(v.to_le_bytes()));
    }
    out
}

/// Writes [`encode`] to `path`; the file appears whole or not at all.
///
/// # Errors
/// What the operating system refuses.
pub fn save(path: &Path, mesh: &TriangleMesh) -> Result<()> {
    write_atomically(path, &encode(mesh))
}
