//! `prior sample`: pictures of a prior.

use super::draw;
use crate::guiding::ChangeKeys;
use crate::run::job::Kind::*;
use crate::run::job::commands::Common;
use crate::run::job::job_keys;
use crate::run::{Summary, make_folder, require_memory};
use crate::{Error, Result};
use lumigrad_core::Device;
use lumigrad_guidance::modify::Guidance;
use lumigrad_scene::picture::{Picture, Transfer};
use std::path::PathBuf;

job_keys! {
    /// Draw pictures from a prior.
    PriorSampleJob {
        include common: Common;
        include changes: ChangeKeys;
        /// The prior: a run folder of `prior train`, or its file.
        prior: Option<PathBuf>, Path, example "\"runs/prior-photographs\"";
        /// Pictures.
        count: usize, Count(1), default "16";
        /// How: ddim and euler take straight steps, heun, dpm++ and ghvb are of second order, langevin are scores at ten levels of
        /// noise, with so many steps of noise.
        method: String, Choice(lumigrad_guidance::sample::METHODS), default "\"heun\"";
        /// Steps from noise to a picture.
        steps: usize, Count(2), default "64";
        /// Label, or several with commas between, of priors that know some; a text for those that read texts.
        tag: Option<String>, Text, example "\"cat\"";
        /// How much the prediction for the tag is exaggerated against that for anything: 1 not at all, 7.5 is usual for texts.
        guidance_scale: f64, Amount, default "1.0";
        /// Columns and rows, for priors of pictures of any size.
        size: Option<crate::run::job::Size>, Size, example "\"32x32\"";
        /// Folder for the pictures.
        out: PathBuf, Path, default "\"samples\"";
    }
}

/// Bytes that a pixel of a sample takes while it is drawn, roughly.
const PIXEL_BYTES: u64 = 64;

/// Draws pictures and writes them as 000.png and so on.
///
/// # Errors
/// No prior is there, or it does not know the tag; files that cannot be written.
pub fn sample(job: &PriorSampleJob, device: &Device, summary: &mut Summary) -> Result<()> {
    let help = "give the run folder of a prior: lumigrad prior sample runs/prior-photographs";
    let path = job.prior.clone().ok_or_else(|| Error::usage("prior sample", "PRIOR is missing", help))?;
    let prior = super::describe::open(&path, &job.changes.lora)?;
    let info = prior.info();
    let given = job.size.map(|s| [s.height, s.width]);
    if (info.size, info.made_for, given) == (None, None, None) {
        return Err(Error::usage("--size", "is missing", "this prior has pictures of any size"));
    }
    let size = info.pictures(given, 0).map_err(|e| Error::usage("--size", e.to_string(), "leave it out"))?;
    let pixels = (size[0] * size[1]) as u64 * job.count as u64;
    require_memory(pixels.saturating_mul(PIXEL_BYTES), "--count", "draw fewer pictures")?;
    let condition = info.condition(job.tag.as_deref().unwrap_or_default())?;
    let guidance = Guidance { scale: job.guidance_scale, ..Guidance::default() };
    let drawing = draw::Drawing { method: &job.method, steps: job.steps, condition, guidance, seed: job.common.seed };
    let made = draw::pictures(prior.as_ref(), (size, job.count), &drawing, device)?;
    let (values, [dark, bright]) = (made.to_vec::<f32>()?, info.range);
    make_folder(&job.out)?;
    let digits = (job.count - 1).to_string().len().max(3);
    let channels = made.shape()[3];
    for (k, pixels) in values.chunks_exact(size[0] * size[1] * channels).enumerate() {
        let shown = |x: &f32| ((*x as f64 - dark) / (bright - dark)).clamp(0.0, 1.0) as f32;
        let picture = Picture {
            width: size[1],
            height: size[0],
            channels,
            data: pixels.iter().map(shown).collect(),
            transfer: Transfer::Srgb,
            premultiplied: false,
        };
        picture.save_png(&job.out.join(format!("{k:0digits$}.png")))?;
    }
    summary.metric("n_files", job.count as f64);
    summary.output("samples", &job.out);
    Ok(())
}
