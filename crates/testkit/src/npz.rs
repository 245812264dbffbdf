//! Reading NumPy archives, the form of the reference data.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// An array of a NumPy file, as `f64` whatever its type.
#[derive(Clone, Debug, Default)]
pub struct Array {
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub data: Vec<f64>,
}

/// All arrays of an `.npz` file.
///
/// # Panics
/// When the file cannot be read: reference data is part of the test.
pub fn read_npz(path: &Path) -> BTreeMap<String, Array> {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut archive = zip::ZipArchive::new(file).expect("a zip archive");
    (0..archive.len())
        .map(|i| {
            let mut entry = archive.by_index(i).expect("an entry");
            let name = entry.name().trim_end_matches(".npy").to_owned();
            let mut bytes = vec![];
            entry.read_to_end(&mut bytes).expect("entry data");
            (name, parse_npy(&bytes))
        })
        .collect()
}

fn parse_npy(bytes: &[u8]) -> Array {
    assert_eq!(&bytes[..6], b"\x93NUMPY", "an npy header");
    let (length, start) = match bytes[6] {
        1 => (u16::from_le_bytes([bytes[8], bytes[9]]) as usize, 10),
        _ => (u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize, 12),
    };
    let header = std::str::from_utf8(&bytes[start..start + length]).expect("a text header");
    assert!(header.contains("'fortran_order': False"), "row-major arrays only");
    let after = |key: &str| &header[header.find(key).expect(key) + key.len()..];
    let kind: String = after("'descr': '").chars().take_while(|c| *c != '\'').collect();
    let dims: String = after("'shape': (").chars().take_while(|c| *c != ')').collect();
    let shape: Vec<usize> = dims.split(',').filter_map(|d| d.trim().parse().ok()).collect();
    let body = &bytes[start + length..];
    fn all<const N: usize>(body: &[u8], f: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        body.chunks_exact(N).map(|c| f(c.try_into().expect("N bytes"))).collect()
    }
    let data = match &kind[1..] {
        "f8" => all(body, f64::from_le_bytes),
        "f4" => all(body, |b| f32::from_le_bytes(b) as f64),
        "f2" => all(body, |b| half::f16::from_le_bytes(b).to_f64()),
        "i8" => all(body, |b| i64::from_le_bytes(b) as f64),
        "i4" => all(body, |b| i32::from_le_bytes(b) as f64),
        "i2" => all(body, |b| i16::from_le_bytes(b) as f64),
        "u1" | "b1" => all(body, |b: [u8; 1]| b[0] as f64),
        "i1" => all(body, |b: [u8; 1]| b[0] as i8 as f64),
        "u2" => all(body, |b| u16::from_le_bytes(b) as f64),
        "u4" => all(body, |b| u32::from_le_bytes(b) as f64),
        other => panic!("npy type {other}"),
    };
    Array { shape, data }
}
