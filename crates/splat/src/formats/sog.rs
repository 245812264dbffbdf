//! SOG version 2: attributes as lossless WebP pictures with codebooks, in a folder or a zip.

use super::FormatError;
use super::common::{bounds, from_smallest_three, logit, morton_order, quantise, sigmoid, smallest_three};
use super::quantise::{codebook, scalars};
use crate::{Gaussians, Kernel};
use serde_json::{Value, json};
use std::io::{Cursor, Read, Write};

/// Alpha of rotations whose first component was left out.
const FIRST: u8 = 252;
/// Palette entries in a row of the picture of centroids.
const ROW: usize = 64;
/// Most bytes of a part of a zip.
const MOST: u64 = 1 << 31;

fn damaged(message: impl Into<String>) -> FormatError {
    FormatError::new(message, "the file is damaged, or not a SOG of version 2")
}

/// Reads by a function that gives the bytes of a file of the folder.
pub fn read(part: &mut dyn FnMut(&str) -> Result<Vec<u8>, FormatError>) -> Result<Gaussians, FormatError> {
    let meta: Value = serde_json::from_slice(&part("meta.json")?).map_err(|e| damaged(format!("meta.json: {e}")))?;
    if meta["version"] != 2 {
        return Err(damaged(format!("version {}, expected 2", meta["version"])));
    }
    let n = meta["count"].as_u64().filter(|&n| n < u32::MAX as u64).ok_or_else(|| damaged("meta.json: no count"))?;
    let n = n as usize;
    let mut texels = |group: &str, k: usize, least: usize| -> Result<(Vec<u8>, usize), FormatError> {
        let name =
            meta[group]["files"][k].as_str().ok_or_else(|| damaged(format!("meta.json: no files of {group}")))?;
        let bytes = part(name)?;
        let mut reader = image::ImageReader::new(Cursor::new(bytes));
        reader.set_format(image::ImageFormat::WebP);
        let picture = reader.decode().map_err(|e| damaged(format!("{name}: {e}")))?.into_rgba8();
        let width = picture.width() as usize;
        let data = picture.into_raw();
        if data.len() / 4 < least {
            return Err(damaged(format!("{name} has {} pixels, expected {least}", data.len() / 4)));
        }
        Ok((data, width))
    };
    let numbers = |group: &str, key: &str, count: usize| -> Result<Vec<f32>, FormatError> {
        let all = meta[group][key].as_array().filter(|a| a.len() >= count);
        let all = all.ok_or_else(|| damaged(format!("meta.json: {group}.{key} has not {count} numbers")))?;
        Ok(all.iter().map(|x| x.as_f64().unwrap_or(0.0) as f32).collect())
    };
    let ((low, _), (high, _)) = (texels("means", 0, n)?, texels("means", 1, n)?);
    let (mins, maxs) = (numbers("means", "mins", 3)?, numbers("means", "maxs", 3)?);
    let ((scales, _), (quats, _), (sh0, _)) = (texels("scales", 0, n)?, texels("quats", 0, n)?, texels("sh0", 0, n)?);
    let (scale_book, colour_book) = (numbers("scales", "codebook", 256)?, numbers("sh0", "codebook", 256)?);
    let sh_degree =
        if meta["shN"].is_object() { meta["shN"]["bands"].as_u64().unwrap_or(0).min(4) as usize } else { 0 };
    let bands = (sh_degree + 1) * (sh_degree + 1) - 1;
    let rest = match sh_degree {
        0 => None,
        _ => {
            let labels = texels("shN", 1, n)?.0;
            let (centroids, width) = texels("shN", 0, 1)?;
            Some((labels, centroids, width, numbers("shN", "codebook", 256)?))
        }
    };
    let kernel = if meta["antialias"] == true { Kernel::Mip } else { Kernel::Classic };
    let mut out = Gaussians { sh_degree, kernel, ..Default::default() };
    for i in 0..n {
        let byte = |from: &[u8], k: usize| from[4 * i + k] as usize;
        out.means.push([0, 1, 2].map(|k| {
            let part = (byte(&high, k) << 8 | byte(&low, k)) as f32 / 65535.0;
            let x = mins[k] + (maxs[k] - mins[k]) * part;
            x.signum() * x.abs().exp_m1()
        }));
        out.log_scales.push([0, 1, 2].map(|k| scale_book[byte(&scales, k)]));
        let others = [0, 1, 2].map(|k| byte(&quats, k) as f32 / 255.0 * 2.0 - 1.0);
        out.rotations.push(from_smallest_three(quats[4 * i + 3].saturating_sub(FIRST) as usize, others));
        out.sh.push([0, 1, 2].map(|k| colour_book[byte(&sh0, k)]));
        out.opacity_logits.push(logit(byte(&sh0, 3) as f32 / 255.0));
        let Some((labels, centroids, width, book)) = &rest else { continue };
        let label = byte(labels, 0) | byte(labels, 1) << 8;
        let first = label / ROW * width + label % ROW * bands;
        if (first + bands) * 4 > centroids.len() || label % ROW * bands + bands > *width {
            return Err(damaged(format!("Gaussian {i} has palette entry {label}, which is not there")));
        }
        let value = |b: usize, ch: usize| book[centroids[4 * (first + b) + ch] as usize];
        out.sh.extend((0..bands).map(|b| [0, 1, 2].map(|ch| value(b, ch))));
    }
    Ok(out)
}

/// Reads a bundle.
pub fn read_zip(bytes: &[u8]) -> Result<Gaussians, FormatError> {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(e.to_string()))?;
    read(&mut |name| {
        let file = zip.by_name(name).map_err(|e| damaged(format!("{name}: {e}")))?;
        let mut out = vec![];
        file.take(MOST).read_to_end(&mut out).map_err(|e| damaged(format!("{name}: {e}")))?;
        Ok(out)
    })
}

/// The files of a folder, by name.
fn files(gaussians: &Gaussians) -> Result<Vec<(&'static str, Vec<u8>)>, FormatError> {
    let order = morton_order(&gaussians.means);
    let n = order.len();
    let (n_basis, bands) = (gaussians.n_basis(), gaussians.n_basis() - 1);
    let width = (n as f64).sqrt().ceil().max(1.0) as usize;
    let mut out = vec![];
    let mut picture = |name: &'static str, width: usize, rows: &mut dyn Iterator<Item = [u8; 4]>| {
        let mut data: Vec<u8> = rows.flatten().collect();
        let height = (data.len() / 4).div_ceil(width).max(1);
        data.resize(4 * width * height, 0);
        let mut file = vec![];
        let encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut file);
        let done = encoder.encode(&data, width as u32, height as u32, image::ExtendedColorType::Rgba8);
        done.map_err(|e| FormatError::new(format!("{name}: {e}"), "WebP holds at most 16383 pixels a side"))?;
        out.push((name, file));
        Ok::<_, FormatError>(())
    };
    let shrink = |i: usize| gaussians.means[i].map(|x| x.signum() * x.abs().ln_1p());
    let (mins, maxs) = bounds(order.iter().map(|&i| shrink(i)));
    let places: Vec<[u32; 3]> = order
        .iter()
        .map(|&i| {
            let x = shrink(i);
            std::array::from_fn(|k| quantise((x[k] - mins[k]) / (maxs[k] - mins[k]).max(1e-30), 65535))
        })
        .collect();
    let bytes = |x: &[u32; 3], shift: u32| [(x[0] >> shift) as u8, (x[1] >> shift) as u8, (x[2] >> shift) as u8, 255];
    picture("means_l.webp", width, &mut places.iter().map(|x| bytes(x, 0)))?;
    picture("means_u.webp", width, &mut places.iter().map(|x| bytes(x, 8)))?;
    let quats = order.iter().map(|&i| {
        let (largest, others) = smallest_three(gaussians.rotations[i]);
        let [a, b, c] = others.map(|x| quantise(0.5 * x + 0.5, 255) as u8);
        [a, b, c, FIRST + largest as u8]
    });
    picture("quats.webp", width, &mut quats.into_iter())?;
    let flat = |of: &dyn Fn(usize) -> [f32; 3]| order.iter().flat_map(|&i| of(i)).collect::<Vec<f32>>();
    let (scale_book, scales) = scalars(&flat(&|i| gaussians.log_scales[i]));
    picture("scales.webp", width, &mut scales.as_chunks::<3>().0.iter().map(|s| [s[0], s[1], s[2], 255]))?;
    let (colour_book, colours) = scalars(&flat(&|i| gaussians.sh[i * n_basis]));
    let alpha = |i: usize| quantise(sigmoid(gaussians.opacity_logits[i]), 255) as u8;
    let sh0 = colours.as_chunks::<3>().0.iter().zip(&order).map(|(c, &i)| [c[0], c[1], c[2], alpha(i)]);
    picture("sh0.webp", width, &mut sh0.into_iter())?;
    let mut meta = json!({
        "version": 2,
        "asset": { "generator": "lumigrad" },
        "count": n,
        "antialias": gaussians.kernel == Kernel::Mip,
        "means": { "mins": mins, "maxs": maxs, "files": ["means_l.webp", "means_u.webp"] },
        "scales": { "codebook": scale_book, "files": ["scales.webp"] },
        "quats": { "files": ["quats.webp"] },
        "sh0": { "codebook": colour_book, "files": ["sh0.webp"] },
    });
    if bands > 0 && n > 0 {
        let rest: Vec<f32> = order
            .iter()
            .flat_map(|&i| gaussians.sh[i * n_basis + 1..(i + 1) * n_basis].as_flattened().iter().copied())
            .collect();
        let (centroids, labels) = codebook(&rest, 3 * bands, n.min(1 << 16));
        let (book, indices) = scalars(&centroids);
        let palette = indices.as_chunks::<3>().0.iter().map(|c| [c[0], c[1], c[2], 255]);
        picture("shN_centroids.webp", ROW * bands, &mut palette.into_iter())?;
        picture("shN_labels.webp", width, &mut labels.iter().map(|&l| [l as u8, (l >> 8) as u8, 0, 255]))?;
        meta["shN"] = json!({
            "count": centroids.len() / (3 * bands), "bands": gaussians.sh_degree, "codebook": book,
            "files": ["shN_centroids.webp", "shN_labels.webp"],
        });
    }
    out.push(("meta.json", meta.to_string().into_bytes()));
    Ok(out)
}

/// A bundle.
pub fn write(gaussians: &Gaussians) -> Result<Vec<u8>, FormatError> {
    let mut zip = zip::ZipWriter::new(Cursor::new(vec![]));
    // The pictures are compressed already.
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let failed = |e: String| FormatError::new(e, "");
    for (name, data) in files(gaussians)? {
        zip.start_file(name, stored).map_err(|e| failed(e.to_string()))?;
        zip.write_all(&data).map_err(|e| failed(e.to_string()))?;
    }
    Ok(zip.finish().map_err(|e| failed(e.to_string()))?.into_inner())
}
