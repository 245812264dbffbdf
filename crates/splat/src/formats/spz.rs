//! SPZ files: quantised attributes one after the other, gzip to version 3, streams of zstd in version 4.
//!
//! Their axes are right, up and back; ours are right, down and forward: y and z change their signs.

use super::FormatError;
use super::common::{from_smallest_three, logit, quantise, sigmoid, smallest_three, take};
use crate::{Gaussians, Kernel, MAX_SH_DEGREE};
use std::io::Read;

const MAGIC: &[u8; 4] = b"NGSP";
const ANTIALIASED: u8 = 1;
/// Bits of positions behind the point.
const FRACTION: u8 = 12;
const COLOUR: f32 = 0.15;
/// Bytes of a version 4 header, and of an entry of its table of streams.
const HEADER: usize = 32;
const STREAM: usize = 16;
/// Most bytes of a Gaussian: what a file may unfold to.
const WIDEST: usize = 9 + 1 + 3 + 3 + 4 + 72;

/// Which functions of the harmonics (without the constant one) change their sign with y and z.
const ODD: [bool; 24] = {
    let mut odd = [false; 24];
    let list = [1, 2, 4, 7, 9, 11, 12, 14, 16, 18, 21, 23];
    let mut i = 0;
    while i < list.len() {
        odd[list[i] - 1] = true;
        i += 1;
    }
    odd
};

fn damaged(message: impl Into<String>) -> FormatError {
    FormatError::new(message, "the file is damaged, or not an SPZ")
}

pub fn read(bytes: &[u8]) -> Result<Gaussians, FormatError> {
    if bytes.starts_with(MAGIC) && bytes.len() >= 16 && word(bytes, 4) >= 4 {
        return read_streams(bytes);
    }
    let mut unpacked = vec![];
    // The header tells how much there may be.
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
    decoder.by_ref().take(16).read_to_end(&mut unpacked).map_err(|e| damaged(e.to_string()))?;
    if unpacked.len() < 16 || !unpacked.starts_with(MAGIC) {
        return Err(damaged("no SPZ header"));
    }
    let header = unpacked;
    let limit = (word(&header, 8) as u64).saturating_mul(WIDEST as u64);
    let mut body = vec![];
    decoder.take(limit).read_to_end(&mut body).map_err(|e| damaged(e.to_string()))?;
    let mut rest = &body[..];
    let n = word(&header, 8) as usize;
    let version = word(&header, 4);
    let (position, rotation) = match version {
        1 => (6, 3),
        2 => (9, 3),
        3 => (9, 4),
        other => return Err(damaged(format!("version {other}, expected 1 to 4"))),
    };
    let degree = header[12] as usize;
    let widths = [position, 1, 3, 3, rotation, 3 * bands(degree)?];
    let mut parts = vec![];
    for width in widths {
        parts.push(take(&mut rest, n, width)?);
    }
    decode(n, degree, header[13], header[14], &parts)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn bands(degree: usize) -> Result<usize, FormatError> {
    if degree > MAX_SH_DEGREE {
        return Err(damaged(format!("harmonics of degree {degree}, expected at most {MAX_SH_DEGREE}")));
    }
    Ok((degree + 1) * (degree + 1) - 1)
}

fn read_streams(bytes: &[u8]) -> Result<Gaussians, FormatError> {
    let version = word(bytes, 4);
    if version != 4 || bytes.len() < HEADER {
        return Err(damaged(format!("version {version} with {} bytes, expected version 1 to 4", bytes.len())));
    }
    let (n, degree) = (word(bytes, 8) as usize, bytes[12] as usize);
    let widths = [9, 1, 3, 3, 4, 3 * bands(degree)?];
    let used = if degree == 0 { 5 } else { 6 };
    let (count, first) = (bytes[15] as usize, word(bytes, 16) as usize);
    let mut table = bytes.get(first..).ok_or_else(|| damaged("the table of streams is beyond the end"))?;
    let entries = take(&mut table, count, STREAM)?;
    if count < used {
        return Err(damaged(format!("{count} streams, expected {used}")));
    }
    let mut parts = vec![];
    for (entry, width) in entries.chunks_exact(STREAM).zip(widths).take(used) {
        let size = |k: usize| u64::from_le_bytes(std::array::from_fn(|i| entry[k + i]));
        let (packed, plain) = (size(0), size(8));
        if plain != (n as u64).saturating_mul(width as u64) {
            return Err(damaged(format!("a stream of {plain} bytes, expected {n} times {width}")));
        }
        let packed = take(&mut table, usize::try_from(packed).unwrap_or(usize::MAX), 1)?;
        let mut part = vec![];
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed).map_err(|e| damaged(e.to_string()))?;
        decoder.by_ref().take(plain + 1).read_to_end(&mut part).map_err(|e| damaged(e.to_string()))?;
        if part.len() as u64 != plain {
            return Err(damaged(format!("a stream of {} bytes, {plain} are promised", part.len())));
        }
        parts.push(part);
    }
    if degree == 0 {
        parts.push(vec![]);
    }
    decode(n, degree, bytes[13], bytes[14], &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Gaussians from positions, opacities, colours, scales, rotations and harmonics.
fn decode(n: usize, degree: usize, fraction: u8, flags: u8, parts: &[&[u8]]) -> Result<Gaussians, FormatError> {
    let [positions, alphas, colours, scales, rotations, sh] = parts else { return Err(damaged("parts are missing")) };
    let kernel = if flags & ANTIALIASED != 0 { Kernel::Mip } else { Kernel::Classic };
    let mut out = Gaussians { sh_degree: degree, kernel, ..Default::default() };
    let unit = 1.0 / 2f64.powi(fraction.min(30) as i32);
    let wide = positions.len() / n.max(1);
    let quaternion = rotations.len() / n.max(1);
    let bands = bands(degree)?;
    for i in 0..n {
        let position = |k: usize| match wide {
            6 => half(u16::from_le_bytes([positions[6 * i + 2 * k], positions[6 * i + 2 * k + 1]])),
            _ => {
                let at = 9 * i + 3 * k;
                // 24 bits with a sign.
                let bits = i32::from_le_bytes([0, positions[at], positions[at + 1], positions[at + 2]]) >> 8;
                (bits as f64 * unit) as f32
            }
        };
        out.means.push([position(0), -position(1), -position(2)]);
        out.opacity_logits.push(logit(alphas[i] as f32 / 255.0));
        out.sh.push([0, 1, 2].map(|k| (colours[3 * i + k] as f32 / 255.0 - 0.5) / COLOUR));
        out.log_scales.push([0, 1, 2].map(|k| scales[3 * i + k] as f32 / 16.0 - 10.0));
        let [x, y, z, w] = match quaternion {
            3 => {
                let [x, y, z] = [0, 1, 2].map(|k| rotations[3 * i + k] as f32 / 127.5 - 1.0);
                [x, y, z, (1.0 - x * x - y * y - z * z).max(0.0).sqrt()]
            }
            _ => unpack(word(rotations, 4 * i)),
        };
        out.rotations.push([w, x, -y, -z]);
        for b in 0..bands {
            let sign = if ODD[b] { -1.0 } else { 1.0 };
            out.sh.push([0, 1, 2].map(|ch| sign * (sh[(i * bands + b) * 3 + ch] as f32 - 128.0) / 128.0));
        }
    }
    Ok(out)
}

/// A half-precision float.
fn half(bits: u16) -> f32 {
    let (sign, exponent, mantissa) = (bits >> 15, (bits >> 10 & 31) as i32, (bits & 1023) as f32);
    let size = match exponent {
        0 => mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + mantissa / 1024.0) * 2f32.powi(exponent - 15),
    };
    if sign == 1 { -size } else { size }
}

/// Quaternion xyzw of a word: two bits for the largest, then a sign and nine bits for each of the others, the last lowest.
fn unpack(word: u32) -> [f32; 4] {
    let part = |shift: u32| {
        let size = (word >> shift & 511) as f32 / 511.0;
        if word >> (shift + 9) & 1 == 1 { -size } else { size }
    };
    from_smallest_three((word >> 30) as usize, [part(20), part(10), part(0)])
}

fn pack(q: [f32; 4]) -> u32 {
    let (largest, others) = smallest_three(q);
    let bits = |x: f32| quantise(x.abs(), 511) | ((x < 0.0) as u32) << 9;
    (largest as u32) << 30 | bits(others[0]) << 20 | bits(others[1]) << 10 | bits(others[2])
}

/// A file of version 4. Positions beyond ±2048 are clamped.
pub fn write(gaussians: &Gaussians) -> Vec<u8> {
    let mut parts: [Vec<u8>; 6] = Default::default();
    let bands = gaussians.n_basis() - 1;
    for i in 0..gaussians.len() {
        let [x, y, z] = gaussians.means[i];
        for x in [x, -y, -z] {
            let limit = (1 << 23) as f32 - 1.0;
            let bits = (x * (1u32 << FRACTION) as f32).round().clamp(-limit, limit) as i32;
            parts[0].extend(&bits.to_le_bytes()[..3]);
        }
        parts[1].push(quantise(sigmoid(gaussians.opacity_logits[i]), 255) as u8);
        let sh = &gaussians.sh[i * (bands + 1)..(i + 1) * (bands + 1)];
        parts[2].extend(sh[0].map(|c| quantise(c * COLOUR + 0.5, 255) as u8));
        parts[3].extend(gaussians.log_scales[i].map(|s| ((s + 10.0) * 16.0).round().clamp(0.0, 255.0) as u8));
        let [w, x, y, z] = gaussians.rotations[i];
        parts[4].extend(pack([x, -y, -z, w]).to_le_bytes());
        for (b, c) in sh[1..].iter().enumerate() {
            let sign = if ODD[b] { -1.0 } else { 1.0 };
            parts[5].extend(c.map(|x| (sign * x * 128.0 + 128.0).round().clamp(0.0, 255.0) as u8));
        }
    }
    let used = if bands == 0 { 5 } else { 6 };
    let flags = if gaussians.kernel == Kernel::Mip { ANTIALIASED } else { 0 };
    let mut out = MAGIC.to_vec();
    out.extend(4u32.to_le_bytes());
    out.extend((gaussians.len() as u32).to_le_bytes());
    out.extend([gaussians.sh_degree as u8, FRACTION, flags, used]);
    out.extend((HEADER as u32).to_le_bytes());
    out.resize(HEADER, 0);
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let streams: Vec<Vec<u8>> =
        parts[..used as usize].iter().map(|p| ruzstd::encoding::compress_to_vec(&p[..], level)).collect();
    for (packed, plain) in streams.iter().zip(&parts) {
        out.extend((packed.len() as u64).to_le_bytes());
        out.extend((plain.len() as u64).to_le_bytes());
    }
    streams.iter().for_each(|s| out.extend(s));
    out
}
