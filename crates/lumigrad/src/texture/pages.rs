//! What is written of what was painted.

use super::cloud::PaintedSplats;
use super::texels::{PaintedTexels, Painter};
use super::thing::Thing;
use super::{cloud, textures};
use crate::Result;
use crate::fit::drive::Output;
use crate::fit::frames::picture;
use crate::guiding;
use crate::run::report::{Report, Table};
use crate::run::{RunFolder, Summary};
use lumigrad_core::Tensor;
use lumigrad_scene::camera::View;

/// Views on the page.
const SHOWN: usize = 6;
/// Samples of the prior.
const SAMPLES: usize = 4;
/// Their sides where the prior is of any size.
const SAMPLE_SIDE: usize = 64;

/// What was painted.
pub enum Made {
    /// Textures.
    Texels(Box<PaintedTexels>),
    /// Colours of splats.
    Splats(Box<PaintedSplats>),
}

/// A run before it is written.
pub struct Done<'a> {
    pub painter: &'a Painter<'a>,
    pub thing: Thing,
    pub made: Made,
    /// The first view on the way: when, and what it looked like.
    pub moments: Vec<(String, Vec<f32>)>,
}

/// How all views look, [P, 3] in [0, 1]: of the thing, and of it where each view was denoised by itself.
pub struct Looks {
    pub together: Vec<f32>,
    pub apart: Option<Vec<f32>>,
}

/// Writes what was painted, its views, figures and the page's parts.
pub fn finish(mut done: Done, folder: &RunFolder, summary: &mut Summary, report: &mut Report) -> Result<()> {
    let mut output = Output { folder, summary, report };
    let painter = done.painter;
    let (looks, gallery) = match &done.made {
        Made::Texels(made) => textures::write(made, &mut done.thing, painter, &mut output)?,
        Made::Splats(made) => (cloud::write(made, painter, &mut output)?, vec![]),
    };
    let (pictures, views) = match &done.made {
        Made::Texels(made) => (&made.pictures, &made.texels.seen.views),
        Made::Splats(made) => (&made.pictures, &made.seen.views),
    };
    let judged = guiding::judge(&*painter.guide.prior, pictures, &painter.guide.wanted)?;
    output.figure("energy", "Prior energy", judged.energy, 4, "");
    if let Some(part) = judged.recognised {
        output.figure("recognised", "Views recognised by the prior", 100.0 * part, 0, " %");
        output.summary.metric("recognised", part);
    }
    seen(painter, views, pictures, &looks, &mut output)?;
    let (w, h) = (painter.size.width, painter.size.height);
    let moments = done.moments.into_iter().map(|(when, data)| (when, picture(w, h, data)));
    output.gallery("The first view over time", "", moments.collect())?;
    if !gallery.is_empty() {
        output.gallery("Textures", "what no view sees is filled with what is around it", gallery)?;
    }
    let own = painter.guide.info().size;
    let side = if painter.guide.is_slow() { [h, w] } else { own.unwrap_or([h.min(SAMPLE_SIDE), w.min(SAMPLE_SIDE)]) };
    let samples = guiding::samples(painter.guide, SAMPLES, side, painter.job.common.seed, &painter.device)?;
    let named = samples.into_iter().enumerate().map(|(k, p)| (format!("{k}"), p)).collect();
    output.gallery("Samples of the prior", "what it was asked for, from noise", named)?;
    let mut rows = vec![
        vec!["method".into(), painter.job.method.clone()],
        vec!["prior".into(), painter.guide.info().name.clone()],
        vec!["views".into(), format!("{} of {w}×{h}", views.len())],
    ];
    rows.extend(match &done.made {
        Made::Texels(made) => textures::rows(made, &done.thing),
        Made::Splats(made) => cloud::rows(made)?,
    });
    output.report.tables.push(Table { title: "Painted".into(), columns: vec!["what".into(), "value".into()], rows });
    Ok(())
}

/// Pictures of the views, as files and on the page.
fn seen(painter: &Painter, views: &[View], pictures: &Tensor, looks: &Looks, output: &mut Output) -> Result<()> {
    let (w, h) = (painter.size.width, painter.size.height);
    let view = |all: &[f32], k: usize| picture(w, h, all[3 * w * h * k..3 * w * h * (k + 1)].to_vec());
    let own = painter.guide.shown(pictures)?;
    // Those of the page are spread over all.
    let every = views.len().div_ceil(SHOWN);
    for (k, camera) in views.iter().enumerate() {
        let apart = looks.apart.as_ref().map(|apart| ("each alone", view(apart, k)));
        let mut states: Vec<_> = apart.into_iter().chain([("together", view(&looks.together, k))]).collect();
        for (state, picture) in &states {
            let name = format!("views/{}_{}.png", camera.name, state.replace(' ', "_"));
            output.folder.write(&name, &picture.encode_png()?)?;
        }
        if k % every == 0 {
            states.push(("as denoised", view(&own, k)));
            output.slider(&camera.name, String::new(), states)?;
        }
    }
    output.summary.output("views", &output.folder.final_path("views"));
    Ok(())
}
