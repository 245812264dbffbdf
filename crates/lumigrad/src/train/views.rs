//! Pictures of a training: cameras, scores of held-out views, and what is written of them.

use super::dataset::{Dataset, Shot};
use crate::optimize::angle;
use crate::run::fixed;
use crate::{Error, Result};
use lumigrad_scene::camera::{Lens, View};
use lumigrad_scene::picture::{Picture, Transfer};
use lumigrad_scene::views::save_transforms;
use lumigrad_splat::{Background, Image, Projection, Shutter};
use std::path::{Path, PathBuf};

/// A camera as the renderer takes it, without its distortion.
pub fn camera(view: &View) -> lumigrad_splat::View {
    lumigrad_splat::View {
        viewmat: view.viewmat.map(|row| row.map(|x| x as f32)),
        intrinsics: view.intrinsics.map(|x| x as f32),
        width: view.width,
        height: view.height,
        projection: match view.lens {
            Lens::Orthographic => Projection::Orthographic,
            _ => Projection::Perspective,
        },
        shutter: Shutter::Global,
    }
}

/// Of a picture and its photograph over the same background: all colours of both, then those of pixels that count.
fn compared(image: &Image, shot: &Shot, background: Background) -> [[Vec<f32>; 2]; 2] {
    let target = over(shot, fixed(background));
    let shown: Vec<f32> = image.colour.as_flattened().iter().map(|x| x.clamp(0.0, 1.0)).collect();
    let counted = |all: &[f32]| -> Vec<f32> {
        let weights = |i: usize| shot.mask.get(i).copied().unwrap_or(1.0);
        let pixels = all.as_chunks::<3>().0.iter().enumerate().filter(|(i, _)| weights(*i) > 0.5);
        pixels.flat_map(|(_, p)| *p).collect()
    };
    let those = [counted(&shown), counted(&target)];
    [[shown, target], those]
}

/// Mean PSNR after rounding to 8 bits, of pixels that count, and mean SSIM.
pub fn scores<'a>(
    rendered: &[Image],
    shots: impl IntoIterator<Item = &'a Shot>,
    background: Background,
) -> Result<(f64, f64)> {
    let (mut psnr, mut ssim) = (0.0, 0.0);
    for (image, shot) in rendered.iter().zip(shots) {
        let [[shown, target], [own, wanted]] = compared(image, shot, background);
        psnr += lumigrad_metrics::psnr(&own, &wanted).map_err(incomparable)?;
        ssim += lumigrad_metrics::ssim(&shown, &target, image.width, image.height, 3).map_err(incomparable)?;
    }
    let n = rendered.len().max(1) as f64;
    Ok((psnr / n, ssim / n))
}

/// Mean PSNR, as in [`scores`], of colours that an affine map brings to the photograph's.
pub fn aligned_psnr(rendered: &[Image], shots: &[Shot], background: Background) -> Result<f64> {
    let mut sum = 0.0;
    for (image, shot) in rendered.iter().zip(shots) {
        let [_, [own, wanted]] = compared(image, shot, background);
        let aligned = lumigrad_metrics::aligned(&own, &wanted).map_err(incomparable)?;
        sum += lumigrad_metrics::psnr(&aligned, &wanted).map_err(incomparable)?;
    }
    Ok(sum / rendered.len().max(1) as f64)
}

fn incomparable(e: lumigrad_metrics::Error) -> Error {
    Error::job(e.to_string())
}

/// A photograph over a background, [H·W·3].
pub fn over(shot: &Shot, background: [f32; 3]) -> Vec<f32> {
    let alpha = |i: usize| shot.alpha.get(i).copied().unwrap_or(1.0);
    let pixels = shot.colour.iter().enumerate();
    pixels.flat_map(|(i, c)| [0, 1, 2].map(|k| c[k] * alpha(i) + background[k] * (1.0 - alpha(i)))).collect()
}

/// Views take the poses that were learnt; gives the mean angle by which they turned, in degrees.
pub fn moved(shots: &mut [Shot], poses: &[[[f64; 4]; 4]]) -> f64 {
    let mut sum = 0.0;
    for (shot, pose) in shots.iter_mut().zip(poses) {
        sum += angle(pose, &shot.view.viewmat).to_degrees();
        shot.view.viewmat = *pose;
    }
    sum / poses.len().max(1) as f64
}

/// The rendered test pictures, the photographs beside them, and cameras of both splits as they were used.
pub fn write_views(folder: &Path, dataset: &Dataset, rendered: &[Image], background: Background) -> Result<()> {
    let photographs = folder.join("photographs");
    std::fs::create_dir_all(&photographs).map_err(|e| Error::io(&photographs, e))?;
    let file = |view: &View| format!("{}.png", view.name.replace(['/', '\\'], "_"));
    let picture = |data: Vec<f32>, view: &View| Picture {
        width: view.width,
        height: view.height,
        channels: 3,
        data,
        transfer: Transfer::Srgb,
        premultiplied: false,
    };
    for (image, shot) in rendered.iter().zip(dataset.scored()) {
        picture(image.colour.as_flattened().to_vec(), &shot.view).save_png(&folder.join(file(&shot.view)))?;
        picture(over(shot, fixed(background)), &shot.view).save_png(&photographs.join(file(&shot.view)))?;
    }
    for (split, shots) in [("train", &dataset.train), ("test", &dataset.test)] {
        let renamed: Vec<View> = shots
            .iter()
            .map(|s| View { name: format!("photographs/{}", s.view.name.replace(['/', '\\'], "_")), ..s.view.clone() })
            .collect();
        let path: PathBuf = folder.join(format!("transforms_{split}.json"));
        save_transforms(&path, &renamed, ".png")?;
    }
    Ok(())
}
