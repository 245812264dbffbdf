//! What is written of painted textures.

use super::execute::Done;
use super::seams::{Seams, seams};
use super::{compose, painted::Painted};
use crate::Result;
use crate::fit::drive::Output;
use crate::fit::frames::picture;
use crate::guiding;
use crate::run::report::{Figure, Report, Table};
use crate::run::{RunFolder, Summary};
use lumigrad_core::{Tensor, Var};
use lumigrad_guidance::Canvas;
use lumigrad_scene::Scene;

/// Views on the page.
const SHOWN: usize = 6;
/// Samples of the prior, and their sides where it has no size of its own.
const SAMPLES: usize = 4;

/// A set of views as a texture, texel by texel from the view that sees it straightest.
struct Composed {
    /// How it looks at all pixels, [P, 3] in [0, 1].
    shown: Vec<f32>,
    seams: Seams,
}

/// Writes scene, textures, views, figures and the page's parts.
pub fn finish(mut done: Done, folder: &RunFolder, summary: &mut Summary, report: &mut Report) -> Result<()> {
    let per_view = done.job.size.width * done.job.size.height;
    let best = compose::best(&done.painted);
    let composed = |views: &Tensor| -> Result<Composed> {
        let pixels = done.guide.shown(views)?;
        let seams = seams(&done.painted, &best, &pixels, per_view);
        Ok(Composed { shown: projected(&done.painted, &best, &pixels), seams })
    };
    let together = composed(&done.together)?;
    let apart = done.apart.as_ref().map(composed).transpose()?;
    let mut output = Output { folder, summary, report };
    figures(&together, apart.as_ref(), &mut output);
    let values = averaged(&done.canvas, &done.together, &done)?;
    let covered = done.canvas.covered();
    output.summary.metric("covered_texels", covered.len() as f64);
    let [columns, rows] = done.painted.size;
    output.summary.metric("texture_size", columns as f64);
    let textures = compose::filled(&done.painted, covered, &values);
    let pictures = textures.chunks_exact(3 * columns * rows);
    let named: Vec<_> = (done.painted.materials.iter().zip(pictures))
        .map(|(m, data)| (name(&done, *m), picture(columns, rows, data.to_vec())))
        .collect();
    for (k, (_, texture)) in named.iter().enumerate() {
        folder.write(&format!("textures/{k}.png"), &texture.encode_png()?)?;
    }
    output.summary.output("textures", &folder.final_path("textures"));
    match &mut done.scene {
        Some(scene) => {
            paint(scene, &done.painted, &textures)?;
            scene.save(folder.path("scene.glb"))?;
            output.summary.output("scene", &folder.final_path("scene.glb"));
        }
        None => output.file("panorama", "panorama.png", &named[0].1.encode_png()?)?,
    }
    let judged = guiding::judge(&*done.guide.prior, &done.together, &done.guide.wanted)?;
    output.figure("energy", "Prior energy", judged.energy, 4, "");
    if let Some(part) = judged.recognised {
        output.figure("recognised", "Views recognised by the prior", 100.0 * part, 0, " %");
        output.summary.metric("recognised", part);
    }
    pages(&done, &together, apart.as_ref(), named, &mut output)
}

/// What a texture is of.
fn name(done: &Done, material: Option<usize>) -> String {
    let of = material.zip(done.scene.as_ref()).map(|(m, scene)| scene.materials()[m].name.clone());
    of.unwrap_or_else(|| "panorama".into())
}

fn figures(together: &Composed, apart: Option<&Composed>, output: &mut Output) {
    output.summary.metric("seam_gradient", together.seams.across);
    output.summary.metric("gradient_within_views", together.seams.within);
    let Some(apart) = apart else { return };
    output.summary.metric("seam_gradient_independent", apart.seams.across);
    let ratio = apart.seams.across / together.seams.across.max(1e-9);
    output.summary.metric("seam_ratio", ratio);
    let note =
        format!("{} pairs of texels; {:.4} against {:.4}", apart.seams.n, apart.seams.across, together.seams.across);
    output.report.figures.push(Figure::new("Seams, each view alone over together", format!("{ratio:.1}×"), note));
}

/// What pixels show of the values of the pixels that see their texels straightest; black where they show none.
fn projected(painted: &Painted, best: &[Option<u32>], pixels: &[f32]) -> Vec<f32> {
    let shown = |texel: &Option<u32>| {
        let from = texel.and_then(|t| best[t as usize]).map(|p| 3 * p as usize);
        from.map_or([0.0; 3], |k| [pixels[k], pixels[k + 1], pixels[k + 2]])
    };
    painted.texels.iter().flat_map(shown).collect()
}

/// Weighted means of what the views show of covered texels, [covered, 3] in [0, 1].
fn averaged(canvas: &Canvas, views: &Tensor, done: &Done) -> Result<Vec<f32>> {
    let own = Var::from(views.reshape(&[views.len() / 3, 3])?);
    done.guide.shown(canvas.average(&own)?.tensor())
}

/// Puts textures into the scene, with base colours that do not tint them.
fn paint(scene: &mut Scene, painted: &Painted, textures: &[f32]) -> Result<()> {
    let [columns, rows] = painted.size.map(|n| n as u32);
    let each = textures.chunks_exact(3 * painted.texels_each());
    for (m, texture) in painted.materials.iter().zip(each).filter_map(|(m, t)| m.map(|m| (m, t))) {
        let pointer = format!("/materials/{m}/pbrMetallicRoughness");
        scene.create_texture(&format!("{pointer}/baseColorTexture"), columns, rows, &compose::linear(texture))?;
        scene.set(&format!("{pointer}/baseColorFactor"), &[1.0; 4])?;
    }
    Ok(())
}

fn pages(
    done: &Done,
    together: &Composed,
    apart: Option<&Composed>,
    textures: Vec<(String, lumigrad_scene::picture::Picture)>,
    output: &mut Output,
) -> Result<()> {
    let (w, h) = (done.job.size.width, done.job.size.height);
    let view = |all: &[f32], k: usize| picture(w, h, all[3 * w * h * k..3 * w * h * (k + 1)].to_vec());
    let seen = done.guide.shown(&done.together)?;
    for (k, camera) in done.views.iter().enumerate() {
        let mut states = vec![("together", view(&together.shown, k))];
        if let Some(apart) = apart {
            states.insert(0, ("each alone", view(&apart.shown, k)));
        }
        for (state, picture) in &states {
            let name = format!("views/{}_{}.png", camera.name, state.replace(' ', "_"));
            output.folder.write(&name, &picture.encode_png()?)?;
        }
        if k < SHOWN {
            states.push(("as denoised", view(&seen, k)));
            output.slider(&camera.name, String::new(), states)?;
        }
    }
    output.summary.output("views", &output.folder.final_path("views"));
    let moments = done.moments.iter().map(|(step, data)| (format!("step {step}"), picture(w, h, data.clone())));
    output.gallery("The first view over time", "", moments.collect())?;
    output.gallery("Textures", "what no view sees is filled with what is around it", textures)?;
    let side = done.guide.info().size.unwrap_or([h.min(64), w.min(64)]);
    let samples = guiding::samples(&done.guide, SAMPLES, side, done.job.common.seed, &done.device)?;
    let named = samples.into_iter().enumerate().map(|(k, p)| (format!("{k}"), p)).collect();
    output.gallery("Samples of the prior", "what it was asked for, from noise", named)?;
    let mut rows = vec![
        vec!["prior".into(), done.guide.info().name.clone()],
        vec!["views".into(), format!("{} of {w}×{h}", done.views.len())],
        vec!["columns and rows of a texture".into(), format!("{:?}", done.painted.size)],
        vec!["textures".into(), done.painted.materials.len().to_string()],
    ];
    if let Some(charts) = done.charts {
        rows.push(vec!["charts of the atlas that was made".into(), charts.to_string()]);
    }
    output.report.tables.push(Table { title: "Textures".into(), columns: vec!["what".into(), "value".into()], rows });
    Ok(())
}
