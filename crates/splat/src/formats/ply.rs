//! The PLY files of 3DGS: one row of floats for each Gaussian.

use super::FormatError;
use super::table::Ply;
use crate::{Gaussians, Kernel};

/// Reads the 3DGS layout, properties in any order. Degree of the harmonics by the number of `f_rest`, channel after
/// channel. A comment of `mip` or `antialiased` marks the mip kernel; without `scale_2` Gaussians are surfels.
pub fn read(ply: &Ply) -> Result<Gaussians, FormatError> {
    let table =
        ply.table("vertex").ok_or_else(|| FormatError::new("there is no element vertex", "not a splat file"))?;
    let rest = (0..).take_while(|k| table.has(&format!("f_rest_{k}"))).count();
    let sh_degree = match rest {
        0 => 0,
        9 => 1,
        24 => 2,
        45 => 3,
        72 => 4,
        _ => {
            let message = format!("{rest} properties f_rest, expected 0, 9, 24, 45 or 72");
            return Err(FormatError::new(message, "the file is damaged"));
        }
    };
    let has = |word: &str| ply.comments.iter().any(|c| c.to_lowercase().contains(word));
    let surfels = !table.has("scale_2");
    let kernel = match () {
        _ if surfels => Kernel::Surfel,
        _ if has("antialiased") || has("mip") => Kernel::Mip,
        _ => Kernel::Classic,
    };
    let column = |name: &str| -> Result<Vec<f32>, FormatError> { Ok(table.require(name)?.map(|x| x as f32).collect()) };
    let columns = |names: &[&str]| names.iter().map(|n| column(n)).collect::<Result<Vec<_>, _>>();
    let [means, rotations] = [columns(&["x", "y", "z"])?, columns(&["rot_0", "rot_1", "rot_2", "rot_3"])?];
    let mut scales = columns(if surfels { &["scale_0", "scale_1"] } else { &["scale_0", "scale_1", "scale_2"] })?;
    if surfels {
        scales.push(vec![super::FLAT; table.rows]);
    }
    let dc = columns(&["f_dc_0", "f_dc_1", "f_dc_2"])?;
    let names: Vec<String> = (0..rest).map(|k| format!("f_rest_{k}")).collect();
    let rest = columns(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let bands = rest.len() / 3;
    let mut out = Gaussians { sh_degree, kernel, opacity_logits: column("opacity")?, ..Default::default() };
    // Decoders of bytes write infinity for what is opaque.
    out.opacity_logits.iter_mut().for_each(|o| *o = o.clamp(-30.0, 30.0));
    for i in 0..table.rows {
        out.means.push([0, 1, 2].map(|k| means[k][i]));
        out.log_scales.push([0, 1, 2].map(|k| scales[k][i]));
        out.rotations.push([0, 1, 2, 3].map(|k| rotations[k][i]));
        out.sh.push([0, 1, 2].map(|ch| dc[ch][i]));
        out.sh.extend((0..bands).map(|b| [0, 1, 2].map(|ch| rest[ch * bands + b][i])));
    }
    Ok(out)
}

/// The file of some Gaussians.
pub fn write(gaussians: &Gaussians) -> Vec<u8> {
    let bands = gaussians.n_basis() - 1;
    let surfels = gaussians.kernel == Kernel::Surfel;
    let scales = if surfels { 2 } else { 3 };
    let mut names: Vec<String> = ["x", "y", "z", "nx", "ny", "nz"].map(String::from).to_vec();
    names.extend((0..3).map(|k| format!("f_dc_{k}")));
    names.extend((0..3 * bands).map(|k| format!("f_rest_{k}")));
    names.push("opacity".into());
    names.extend((0..scales).map(|k| format!("scale_{k}")));
    names.extend((0..4).map(|k| format!("rot_{k}")));
    let mut text = "ply\nformat binary_little_endian 1.0\n".to_owned();
    match gaussians.kernel {
        Kernel::Mip => text += "comment SplatRenderMode: mip\n",
        Kernel::Surfel => text += "comment SplatRenderMode: 2dgs\n",
        Kernel::Classic => {}
    }
    text += &format!("element vertex {}\n", gaussians.len());
    names.iter().for_each(|n| text += &format!("property float {n}\n"));
    text += "end_header\n";
    let mut out = text.into_bytes();
    out.reserve(gaussians.len() * names.len() * 4);
    for i in 0..gaussians.len() {
        let sh = &gaussians.sh[i * (bands + 1)..(i + 1) * (bands + 1)];
        let mut row = gaussians.means[i].to_vec();
        row.extend([0.0; 3]);
        row.extend(sh[0]);
        row.extend((0..3).flat_map(|ch| sh[1..].iter().map(move |c| c[ch])));
        row.push(gaussians.opacity_logits[i]);
        row.extend(&gaussians.log_scales[i][..scales]);
        row.extend(gaussians.rotations[i]);
        row.iter().for_each(|x| out.extend(x.to_le_bytes()));
    }
    out
}
