//! STL, binary and ascii, in.

use crate::mesh::TriangleMesh;
use crate::{Error, Result};
use std::collections::HashMap;
use std::path::Path;

/// Reads an STL file. Corners at bitwise equal positions become one vertex; the file's normals are not kept, since they
/// only repeat the triangles'.
///
/// # Errors
/// A file that cannot be read, is cut off or is neither kind.
pub fn load(path: &Path) -> Result<TriangleMesh> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    decode(&bytes, &path.display().to_string())
}

/// As [`load`], from bytes; `location` names them in errors.
///
/// # Errors
/// As [`load`].
pub fn decode(bytes: &[u8], location: &str) -> Result<TriangleMesh> {
    let count = bytes.get(80..84).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let needed = count.map(|n| 84 + 50 * n as u64);
    // Some binary files begin with "solid" too, so the size that the count asks for decides first.
    let corners = if needed == Some(bytes.len() as u64) || !bytes.trim_ascii_start().starts_with(b"solid") {
        match needed {
            Some(needed) if needed <= bytes.len() as u64 => binary(bytes),
            _ => {
                let found = format!("{} bytes, {} are needed", bytes.len(), needed.unwrap_or(84));
                return Err(Error::invalid(location, found, "the file is cut off, or not an STL file"));
            }
        }
    } else {
        ascii(bytes, location)?
    };
    weld(&corners).checked(location)
}

fn binary(bytes: &[u8]) -> Vec<[f32; 3]> {
    let count = u32::from_le_bytes([bytes[80], bytes[81], bytes[82], bytes[83]]) as usize;
    let float = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let corner = |b: &[u8]| [float(b), float(&b[4..]), float(&b[8..])];
    let facets = bytes[84..].chunks_exact(50).take(count);
    facets.flat_map(|f| [corner(&f[12..]), corner(&f[24..]), corner(&f[36..])]).collect()
}

fn ascii(bytes: &[u8], location: &str) -> Result<Vec<[f32; 3]>> {
    let text = String::from_utf8_lossy(bytes);
    let mut corners = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |message: String| Error::invalid(format!("{location}:{}", number + 1), message, "");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["vertex", x, y, z] => {
                let parse = |s: &str| s.parse().map_err(|_| wrong(format!("{s:?} is not a number")));
                corners.push([parse(x)?, parse(y)?, parse(z)?]);
            }
            ["vertex", ..] => return Err(wrong("a vertex needs three numbers".into())),
            ["endfacet", ..] if corners.len() % 3 != 0 => return Err(wrong("a facet needs three vertices".into())),
            _ => {}
        }
    }
    if corners.len() % 3 != 0 {
        return Err(Error::invalid(location, "the last facet is not complete", "the file is cut off"));
    }
    Ok(corners)
}

fn weld(corners: &[[f32; 3]]) -> TriangleMesh {
    let mut mesh = TriangleMesh::default();
    let mut known = HashMap::new();
    let mut vertex = |corner: &[f32; 3]| {
        // Adding zero makes -0 equal 0.
        *known.entry(corner.map(|x| (x + 0.0).to_bits())).or_insert_with(|| {
            mesh.positions.push(*corner);
            mesh.positions.len() as u32 - 1
        })
    };
    mesh.triangles = corners.chunks_exact(3).map(|t| [vertex(&t[0]), vertex(&t[1]), vertex(&t[2])]).collect();
    mesh
}
