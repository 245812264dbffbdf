//! What is written of an edit.

use super::measure::{self, Seen};
use super::task::Edit;
use crate::Result;
use crate::fit::drive::Output;
use crate::fit::frames::picture;
use crate::guiding;
use crate::run::report::{Curve, Figure, Series, Table};
use lumigrad_core::Tensor;
use lumigrad_scene::picture::Picture;

/// Views on the page.
const SHOWN: usize = 4;
/// Points of the curve of norms.
const CURVE: usize = 400;
/// Samples of the prior.
const SAMPLES: usize = 6;

/// Writes grid, views, figures and the page's parts.
pub fn finish(edit: &Edit, values: &[Tensor], output: &mut Output) -> Result<()> {
    let (device, seed) = (&edit.device, edit.job.run.common.seed);
    let views = &edit.compared.views;
    let before = measure::see(&edit.original, &edit.original.values, &edit.region, views, device)?;
    let after = measure::see(&edit.model, values, &edit.region, views, device)?;
    let kept = measure::outside(&before, &after);
    output.summary.metric("outside_psnr", kept.psnr);
    output.summary.metric("outside_share", kept.share);
    let note = format!("{:.0} % of the pixels of {} views", 100.0 * kept.share, views.len());
    output.report.figures.push(Figure::new("Outside, before and after", format!("{:.1} dB", kept.psnr), note));
    let judged = |seen| measure::inside(&edit.guide, seen, &before, edit.crops.side, device);
    let (was, is) = (judged(&before)?, judged(&after)?);
    for (name, judged) in [("before", &was), ("after", &is)] {
        output.summary.metric(&format!("energy_{name}"), judged.energy);
        if let Some(part) = judged.recognised {
            output.summary.metric(&format!("recognised_{name}"), part);
        }
    }
    output.report.figures.push(Figure::new(
        "Prior energy",
        format!("{:.4}", is.energy),
        format!("before {:.4}", was.energy),
    ));
    if let (Some(was), Some(is)) = (was.recognised, is.recognised) {
        let note = format!("before {:.0} %", 100.0 * was);
        output.report.figures.push(Figure::new("Recognised by the prior", format!("{:.0} %", 100.0 * is), note));
    }
    output.figure("guidance_norm", "Guidance at the end", edit.norms.last().copied().unwrap_or(0.0) as f64, 5, "");
    let bytes = edit.model.to_bytes(values)?;
    output.summary.metric("model_bytes", bytes.len() as f64);
    output.file("grid", "grid.safetensors", &bytes)?;
    for (k, (a, b)) in before.iter().zip(&after).enumerate() {
        let states = vec![("after", shown(b)), ("before", shown(a)), ("region", share(b))];
        for (state, picture) in &states[..2] {
            output.folder.write(&format!("views/{state}_{k:03}.png"), &picture.encode_png()?)?;
        }
        if k < SHOWN {
            output.slider(&views[k].name, String::new(), states)?;
        }
    }
    output.summary.output("views", &output.folder.final_path("views"));
    let mut moments: Vec<(String, Picture)> =
        edit.moments.iter().map(|(at, seen)| (format!("{:.0} %", 100.0 * at), shown(seen))).collect();
    moments.push(("end".into(), shown(&after[0])));
    output.gallery("The first view over time", "", moments)?;
    let samples = guiding::samples(&edit.guide, SAMPLES, edit.crops.side, seed, device)?;
    let named = samples.into_iter().enumerate().map(|(k, p)| (format!("{k}"), p)).collect();
    output.gallery("Samples of the prior", "what it was asked for, from noise", named)?;
    output.report.curves.push(norms(&edit.norms));
    output.report.tables.push(Table {
        title: "Edit".into(),
        columns: vec!["what".into(), "value".into()],
        rows: vec![
            vec!["prior".into(), edit.guide.info().name.clone()],
            vec!["corners that may change".into(), edit.region.numbers().len().to_string()],
            vec!["corners".into(), edit.region.rows.len().to_string()],
            vec!["crops of".into(), format!("{}×{} pixels", edit.crops.side[1], edit.crops.side[0])],
        ],
    });
    Ok(())
}

fn norms(all: &[f32]) -> Curve {
    let stride = all.len().div_ceil(CURVE).max(1);
    let points = all.iter().enumerate().step_by(stride).map(|(k, n)| (k as f64, *n as f64)).collect();
    let series = vec![Series { name: "guidance".into(), points }];
    Curve {
        title: "Guidance (root mean square)".into(),
        unit: String::new(),
        x_label: "step".into(),
        log: true,
        series,
    }
}

/// A view over the model's own background, cut to [0, 1].
fn shown(seen: &Seen) -> Picture {
    let values = seen.image.colour.as_flattened().iter().map(|x| x.clamp(0.0, 1.0)).collect();
    picture(seen.image.width, seen.image.height, values)
}

/// How much of each pixel the region is.
fn share(seen: &Seen) -> Picture {
    picture(seen.image.width, seen.image.height, seen.share.iter().flat_map(|s| [s.clamp(0.0, 1.0); 3]).collect())
}
