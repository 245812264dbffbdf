//! SuperSplat's compressed PLY: chunks of 256 Gaussians with bounds, four words for each Gaussian.

use super::FormatError;
use super::common::{C0, bounds, from_smallest_three, logit, morton_order, quantise, sigmoid, smallest_three};
use super::table::Ply;
use crate::{Gaussians, Kernel};

const CHUNK: usize = 256;
/// Scales are clamped: chunks must have bounds.
const SCALES: (f32, f32) = (-20.0, 20.0);
const BOUNDS: [&str; 18] = [
    "min_x",
    "min_y",
    "min_z",
    "max_x",
    "max_y",
    "max_z",
    "min_scale_x",
    "min_scale_y",
    "min_scale_z",
    "max_scale_x",
    "max_scale_y",
    "max_scale_z",
    "min_r",
    "min_g",
    "min_b",
    "max_r",
    "max_g",
    "max_b",
];
const WORDS: [&str; 4] = ["packed_position", "packed_rotation", "packed_scale", "packed_color"];

/// Three numbers of 11, 10 and 11 bits, from 0 to 1.
fn unpack(word: u32) -> [f32; 3] {
    [(word >> 21) as f32 / 2047.0, (word >> 11 & 1023) as f32 / 1023.0, (word & 2047) as f32 / 2047.0]
}

fn pack(x: [f32; 3]) -> u32 {
    quantise(x[0], 2047) << 21 | quantise(x[1], 1023) << 11 | quantise(x[2], 2047)
}

/// Whether a PLY is of this kind.
pub fn is_compressed(ply: &Ply) -> bool {
    ply.table("vertex").is_some_and(|t| t.has(WORDS[0]))
}

pub fn read(ply: &Ply) -> Result<Gaussians, FormatError> {
    let missing = |name: &str| FormatError::new(format!("there is no element {name}"), "the file is damaged");
    let (vertex, chunk) =
        (ply.table("vertex").ok_or_else(|| missing("vertex"))?, ply.table("chunk").ok_or_else(|| missing("chunk"))?);
    if chunk.rows < vertex.rows.div_ceil(CHUNK) {
        let message = format!("{} chunks for {} Gaussians", chunk.rows, vertex.rows);
        return Err(FormatError::new(message, "the file is damaged: 256 Gaussians make a chunk"));
    }
    // Files before colours had bounds: from 0 to 1.
    let bound = |k: usize| -> Result<Vec<f32>, FormatError> {
        match chunk.column(BOUNDS[k]) {
            Some(column) => Ok(column.map(|x| x as f32).collect()),
            None if k >= 12 => Ok(vec![if k < 15 { 0.0 } else { 1.0 }; chunk.rows]),
            None => Err(chunk.require(BOUNDS[k]).err().unwrap_or_else(|| missing(BOUNDS[k]))),
        }
    };
    let bounds = (0..18).map(bound).collect::<Result<Vec<_>, _>>()?;
    let words =
        |k: usize| -> Result<Vec<u32>, FormatError> { Ok(vertex.require(WORDS[k])?.map(|x| x as u32).collect()) };
    let words = (0..4).map(words).collect::<Result<Vec<_>, _>>()?;
    let sh = match ply.table("sh") {
        Some(sh) if sh.rows == vertex.rows => {
            let names = (0..sh.columns.len()).map(|k| format!("f_rest_{k}"));
            names.map(|n| Ok(sh.require(&n)?.map(|v| v as f32).collect())).collect::<Result<Vec<Vec<f32>>, _>>()?
        }
        _ => vec![],
    };
    let bands = sh.len() / 3;
    let sh_degree = [0, 3, 8, 15, 24].iter().position(|&n| n == bands).unwrap_or(0);
    let bands = (sh_degree + 1) * (sh_degree + 1) - 1;
    let mut out = Gaussians { sh_degree, kernel: Kernel::Classic, ..Default::default() };
    for i in 0..vertex.rows {
        let within = |x: [f32; 3], low: usize| -> [f32; 3] {
            std::array::from_fn(|k| {
                let (a, b) = (bounds[low + k][i / CHUNK], bounds[low + 3 + k][i / CHUNK]);
                a + (b - a) * x[k]
            })
        };
        out.means.push(within(unpack(words[0][i]), 0));
        out.log_scales.push(within(unpack(words[2][i]), 6));
        let word = words[1][i];
        let others = [20, 10, 0].map(|shift| (word >> shift & 1023) as f32 / 1023.0 * 2.0 - 1.0);
        out.rotations.push(from_smallest_three((word >> 30) as usize, others));
        let [r, g, b, a] = words[3][i].to_be_bytes().map(|x| x as f32 / 255.0);
        out.sh.push(within([r, g, b], 12).map(|c| (c - 0.5) / C0));
        out.opacity_logits.push(logit(a));
        // Bytes stand for the middles of their steps, but at the ends.
        let value = |v: f32| match v {
            0.0 => 0.0,
            255.0 => 1.0,
            v => (v + 0.5) / 256.0,
        };
        out.sh.extend((0..bands).map(|b| [0, 1, 2].map(|ch| (value(sh[ch * bands + b][i]) - 0.5) * 8.0)));
    }
    Ok(out)
}

pub fn write(gaussians: &Gaussians) -> Vec<u8> {
    let order = morton_order(&gaussians.means);
    let bands = gaussians.n_basis() - 1;
    let mut text = "ply\nformat binary_little_endian 1.0\n".to_owned();
    text += &format!("element chunk {}\n", order.len().div_ceil(CHUNK));
    BOUNDS.iter().for_each(|n| text += &format!("property float {n}\n"));
    text += &format!("element vertex {}\n", order.len());
    WORDS.iter().for_each(|n| text += &format!("property uint {n}\n"));
    if bands > 0 {
        text += &format!("element sh {}\n", order.len());
        (0..3 * bands).for_each(|k| text += &format!("property uchar f_rest_{k}\n"));
    }
    let mut out = (text + "end_header\n").into_bytes();
    let scale = |i: usize| gaussians.log_scales[i].map(|s| s.clamp(SCALES.0, SCALES.1));
    let colour = |i: usize| gaussians.sh[i * (bands + 1)].map(|c| c * C0 + 0.5);
    let mut words = vec![];
    for chunk in order.chunks(CHUNK) {
        let all = [
            bounds(chunk.iter().map(|&i| gaussians.means[i])),
            bounds(chunk.iter().map(|&i| scale(i))),
            bounds(chunk.iter().map(|&i| colour(i))),
        ];
        all.iter().for_each(|(low, high)| low.iter().chain(high).for_each(|x| out.extend(x.to_le_bytes())));
        let part = |x: [f32; 3], (low, high): &([f32; 3], [f32; 3])| -> [f32; 3] {
            std::array::from_fn(|k| if high[k] > low[k] { (x[k] - low[k]) / (high[k] - low[k]) } else { 0.0 })
        };
        for &i in chunk {
            let (largest, others) = smallest_three(gaussians.rotations[i]);
            let [a, b, c] = others.map(|x| quantise(0.5 * x + 0.5, 1023));
            let [red, green, blue] = part(colour(i), &all[2]).map(|x| quantise(x, 255) as u8);
            let alpha = quantise(sigmoid(gaussians.opacity_logits[i]), 255) as u8;
            words.extend([
                pack(part(gaussians.means[i], &all[0])),
                (largest as u32) << 30 | a << 20 | b << 10 | c,
                pack(part(scale(i), &all[1])),
                u32::from_be_bytes([red, green, blue, alpha]),
            ]);
        }
    }
    words.iter().for_each(|w| out.extend(w.to_le_bytes()));
    for &i in &order {
        let sh = &gaussians.sh[i * (bands + 1) + 1..(i + 1) * (bands + 1)];
        for ch in 0..3 {
            out.extend(sh.iter().map(|c| ((c[ch] / 8.0 + 0.5) * 256.0).clamp(0.0, 255.0) as u8));
        }
    }
    out
}
