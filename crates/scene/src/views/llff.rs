//! LLFF: `poses_bounds.npy` beside folders of pictures.

use super::locate::Locator;
use super::{Found, colmap};
use crate::camera::View;
use crate::{Error, Result};
use glam::{DMat3, DVec3};
use std::path::Path;

/// Rows of 17 numbers of a numpy file.
fn read_rows(path: &Path) -> Result<Vec<[f64; 17]>> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let wrong = |message: String| Error::invalid(path.display(), message, "expected a numpy array of shape (N, 17)");
    if !bytes.starts_with(b"\x93NUMPY") || bytes.len() < 12 {
        return Err(wrong("not a numpy file".into()));
    }
    let (start, length) = match bytes[6] {
        1 => (10usize, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        _ => (12, u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize),
    };
    let header = start.checked_add(length).and_then(|end| bytes.get(start..end));
    let header = header.ok_or_else(|| wrong("the header is cut off".into()))?;
    let text: String = String::from_utf8_lossy(header).split_whitespace().collect();
    let kind = if text.contains("'<f8'") { 8 } else { 4 };
    if (kind == 4 && !text.contains("'<f4'")) || !text.contains("'fortran_order':False") {
        return Err(wrong(format!("array of kind {text}, expected little-endian floats in C order")));
    }
    let shape = text.split_once("'shape':(").and_then(|(_, rest)| rest.split_once(')'));
    let shape: Vec<usize> = shape.map_or(Vec::new(), |(s, _)| s.split(',').filter_map(|n| n.parse().ok()).collect());
    let [rows, 17] = shape[..] else { return Err(wrong(format!("array of shape {shape:?}"))) };
    let data = &bytes[start + length..];
    if rows.checked_mul(17 * kind) != Some(data.len()) {
        return Err(wrong(format!("{} bytes of data for {rows} rows", data.len())));
    }
    let value = |b: &[u8]| match b.len() {
        4 => f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        _ => f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]),
    };
    let row = |b: &[u8]| std::array::from_fn(|i| value(&b[i * kind..(i + 1) * kind]));
    Ok(data.chunks_exact(17 * kind).map(row).collect())
}

/// Each row holds a 3×5 matrix and two depths; its columns are the camera's down, right and backwards axes, its centre,
/// and (height, width, focal). Rows are in the order of the pictures' names.
pub(super) fn load(locator: &Locator) -> Result<Found> {
    let path = locator.root.join("poses_bounds.npy");
    let rows = read_rows(&path)?;
    let Some((_, folder)) = locator.picture_folder() else {
        return Err(Error::invalid(locator.root.display(), "no folder images/ or images_K/ large enough", ""));
    };
    let entries = std::fs::read_dir(&folder).map_err(Error::io(&folder))?;
    let is_picture = |name: &String| {
        let ending = name.rsplit_once('.').map_or(String::new(), |(_, e)| e.to_lowercase());
        ["png", "jpg", "jpeg", "webp", "exr"].contains(&ending.as_str())
    };
    let names = entries.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.filter(is_picture).collect();
    names.sort();
    if names.len() != rows.len() {
        let message = format!("{} poses for {} pictures in {}", rows.len(), names.len(), folder.display());
        return Err(Error::invalid(path.display(), message, "expected one pose per picture"));
    }
    let mut pictures = Vec::new();
    for (i, (row, name)) in rows.iter().zip(&names).enumerate() {
        let location = format!("{}: row {i} ({name})", path.display());
        let column = |c: usize| DVec3::new(row[c], row[5 + c], row[10 + c]);
        let axes = DMat3::from_cols(column(1), column(0), -column(2));
        let [height, width, focal] = column(4).to_array();
        let sizes = (1.0..1e6).contains(&height) && (1.0..1e6).contains(&width) && focal > 0.0;
        if row.iter().any(|x| !x.is_finite()) || !sizes || axes.determinant().abs() < 1e-9 {
            return Err(Error::invalid(location, "the pose is not finite or has no inverse", "the file is damaged"));
        }
        let size = (width.round() as usize, height.round() as usize);
        let view = View::from_axes(name, axes, column(3), [focal, focal, 0.5 * width, 0.5 * height], size);
        let view = View { near: row[15], far: row[16], ..view };
        let place = locator.require(&Path::new("images").join(name), &location)?;
        pictures.push((locator.pose(view, place, None, &location)?, None));
    }
    Ok(Found { pictures, points: colmap::read_points_beside(locator.root)? })
}
