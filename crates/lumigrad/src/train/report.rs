//! The report of a training.

use super::dataset::Dataset;
use super::views::{over, scores, write_views};
use crate::Result;
use crate::fit::drive::Output;
use crate::fit::frames::picture;
use crate::run::job::Document;
use crate::run::report::{Curve, Figure, Image, Report, Series, Slider};
use crate::run::{Summary, fixed};
use lumigrad_scene::picture::{Picture, Transfer};
use lumigrad_splat::Background;

/// Pictures shown, and their longest side.
const SHOWN: usize = 6;
const SIDE: usize = 640;

/// Scores pictures of what was trained, writes them, and shows them beside the photographs.
///
/// # Errors
/// Files that cannot be written.
pub fn beside(
    dataset: &Dataset,
    rendered: &[lumigrad_splat::Image],
    background: Background,
    output: &mut Output,
) -> Result<()> {
    let scored = dataset.scored();
    let (psnr, ssim) = scores(rendered, scored, background)?;
    output.summary.metric("test_psnr", psnr);
    let note = format!("{} {}, 8 bits", rendered.len(), held_out(dataset));
    output.report.figures.push(Figure::new("PSNR", format!("{psnr:.2} dB"), note));
    output.figure("test_ssim", "SSIM", ssim, 4, "");
    write_views(&output.folder.path("views"), dataset, rendered, background)?;
    output.summary.output("views", &output.folder.final_path("views"));
    let stride = rendered.len().div_ceil(SHOWN).max(1);
    for (image, shot) in rendered.iter().zip(scored).step_by(stride) {
        let of = |data: Vec<f32>| picture(image.width, image.height, data);
        let photograph = over(shot, fixed(background));
        let states = vec![("rendered", of(image.colour.as_flattened().to_vec())), ("photograph", of(photograph))];
        output.slider(&shot.view.name, String::new(), states)?;
    }
    Ok(())
}

/// What pictures are scored on.
fn held_out(dataset: &Dataset) -> &'static str {
    if dataset.test.is_empty() { "training pictures" } else { "held-out pictures" }
}

/// The page of a training of splats.
pub fn report(
    name: &str,
    dataset: &Dataset,
    rendered: &[lumigrad_splat::Image],
    background: [f32; 3],
    summary: &Summary,
    document: &Document,
) -> Result<Report> {
    let figure = |key: &str, label: &str, digits: usize, unit: &str, note: String| {
        summary.get(key).map(|x| Figure::new(label, format!("{x:.digits$}{unit}"), note))
    };
    let held_out = held_out(dataset);
    let figures = [
        figure("test_psnr", "PSNR", 2, " dB", format!("{} {held_out}, 8 bits", rendered.len())),
        figure("test_ssim", "SSIM", 4, "", String::new()),
        figure("n_splats", "Gaussians", 0, "", String::new()),
        figure("ms_per_iteration", "Time per step", 1, " ms", summary.device.clone()),
    ];
    let points = |of: &dyn Fn(&crate::run::Record) -> Option<f64>| -> Vec<(f64, f64)> {
        summary.history.iter().filter_map(|r| of(r).map(|y| (r.iteration as f64, y))).collect()
    };
    let curve = |title: &str, unit: &str, log: bool, points: Vec<(f64, f64)>| Curve {
        title: title.into(),
        unit: unit.into(),
        x_label: "step".into(),
        log,
        series: vec![Series { name: title.into(), points }],
    };
    let slider = |(image, shot): (&lumigrad_splat::Image, &super::dataset::Shot)| -> Result<Slider> {
        let photograph = over(shot, background);
        let of = |data: Vec<f32>| {
            let (width, height) = (image.width, image.height);
            let data = data.into_iter().map(|x| x.clamp(0.0, 1.0)).collect();
            Image::new(
                &Picture { width, height, channels: 3, data, transfer: Transfer::Srgb, premultiplied: false },
                SIDE,
            )
        };
        let rendered = image.colour.as_flattened().to_vec();
        let states = vec![("rendered".into(), of(rendered)?), ("photograph".into(), of(photograph)?)];
        Ok(Slider { name: shot.view.name.clone(), note: String::new(), states })
    };
    let shown = rendered.iter().zip(dataset.scored());
    let stride = rendered.len().div_ceil(SHOWN).max(1);
    Ok(Report {
        title: format!("Gaussian splats of {name}"),
        subtitle: format!(
            "{} pictures, {} steps, {:.1} s on {}",
            dataset.train.len(),
            summary.iterations,
            summary.seconds,
            summary.device
        ),
        figures: figures.into_iter().flatten().collect(),
        warnings: summary.warnings.clone(),
        sliders: shown.step_by(stride).map(slider).collect::<Result<_>>()?,
        curves: vec![
            curve("Loss", "", true, points(&|r| Some(r.loss))),
            curve("PSNR", "dB", false, points(&|r| r.test_psnr)),
        ],
        job: document.to_toml(),
        ..Report::default()
    })
}
