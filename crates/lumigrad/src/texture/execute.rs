//! The `texture` command: from a job to a run folder with what was painted.

use super::cloud::PaintedSplats;
use super::pages::{Done, Made, finish};
use super::runner::Runner;
use super::texels::Painter;
use super::thing::Thing;
use super::{GENESIS, TextureJob};
use crate::guiding::Guide;
use crate::run::job::{Document, Size};
use crate::run::report::Report;
use crate::run::{Event, Observer, RunFolder, Stop, Summary, USUAL, peak_memory_bytes, require_memory};
use crate::{Error, Result};
use lumigrad_core::Device;
use lumigrad_guidance::Tiled;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Steps at most.
const MOST_STEPS: usize = 100_000;
/// Columns and rows of views where nobody says.
const SIDE: usize = 128;
/// Bytes of a pixel of a view while it is denoised, for each patch that shows it.
const PIXEL_BYTES: u64 = 96;

/// Runs a `texture` job and writes its run folder.
///
/// # Errors
/// Scenes, priors and settings that cannot be used; files that cannot be written.
pub fn texture(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let began = Instant::now();
    let job: TextureJob = document.parse()?;
    let device = Device::from_name(&job.common.device)?;
    let mut summary = Summary::new(document.command().name, device.to_string(), job.common.seed);
    observer.event(&Event::Phase("loading".into()));
    check(&job)?;
    let (guide, size) = patched(Guide::new(&job.guide, "texture")?, &job)?;
    let (name, thing) = Thing::open(&job)?;
    if let Thing::Mesh(scene, _) = &thing {
        summary.warnings.extend(scene.warnings.iter().take(20).cloned());
    }
    let place = job.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("texture-{name}")));
    let asked = job.guide.prompt.as_deref().unwrap_or("anything that the prior knows");
    let what = format!("{} of {name}: {asked}", if matches!(thing, Thing::Splats(_)) { "Colours" } else { "Textures" });
    let named = (what.clone(), device.to_string());
    let at = (place.as_path(), document.fingerprint());
    let mut runner = Runner::new((&job, &guide), named, at, stop, observer)?;
    let painter = Painter { job: &job, guide: &guide, size, device };
    let made = match &thing {
        // Genesis asks for texels, and is told that there are none.
        Thing::Splats(gaussians) if job.method != GENESIS => {
            Made::Splats(Box::new(PaintedSplats::new(&painter, &thing, gaussians, &mut runner)?))
        }
        _ if job.method == GENESIS => Made::Texels(Box::new(painter.genesis(&thing, &mut runner)?)),
        _ => Made::Texels(Box::new(painter.textures(&thing, &mut runner)?)),
    };
    let folder = RunFolder::create(&place)?;
    let moments = std::mem::take(&mut runner.moments);
    summary.metric("ms_per_iteration", runner.pace());
    summary.iterations = runner.steps();
    runner.observer.event(&Event::Phase("writing".into()));
    let mut report = Report { title: what, ..Report::default() };
    let done = Done { painter: &painter, thing, made, moments };
    finish(done, &folder, &mut summary, &mut report)?;
    folder.write("job.toml", document.anchored().to_toml().as_bytes())?;
    runner.end.save(&folder.path("checkpoint.safetensors"))?;
    summary.seconds = began.elapsed().as_secs_f64();
    summary.peak_memory_bytes = peak_memory_bytes();
    report.subtitle = format!("{} steps, {:.1} s on {}", summary.iterations, summary.seconds, summary.device);
    report.warnings.extend(summary.warnings.iter().cloned());
    report.job = document.to_toml();
    folder.close(&USUAL, &report, &mut summary, &runner.saves)?;
    runner.observer.event(&Event::Done { seconds: summary.seconds, interrupted: stop.is_requested() });
    Ok(summary)
}

/// Refuses numbers that make no sense.
fn check(job: &TextureJob) -> Result<()> {
    let parts = [
        ("--until", job.until),
        ("--fade", job.fade),
        ("--refine", job.refine),
        ("--together", job.together.unwrap_or(0.0)),
    ];
    if let Some((flag, part)) = parts.into_iter().find(|(_, x)| !(*x <= 1.0)) {
        return Err(Error::usage(flag, format!("is {part}"), "a part, from 0 to 1"));
    }
    if job.iterations > MOST_STEPS {
        return Err(Error::usage("--iterations", format!("{} steps", job.iterations), format!("at most {MOST_STEPS}")));
    }
    Ok(())
}

/// A prior for pictures of the views' size, itself or in patches, and that size.
fn patched(mut guide: Guide, job: &TextureJob) -> Result<(Guide, Size)> {
    let asked = job.size.map(|s| [s.height, s.width]);
    let [height, width] = match guide.is_slow() {
        true => {
            guide.info().pictures(asked, SIDE).map_err(|e| Error::usage("--size", e.to_string(), "leave it out"))?
        }
        false => asked.unwrap_or([SIDE; 2]),
    };
    let size = Size { width, height };
    // Denser views are twice as many and as many again.
    let views = (job.views as u64).saturating_mul(if job.method == GENESIS { 4 } else { 1 });
    let pixels = (height as u64 * width as u64).saturating_mul(views);
    require_memory(pixels.saturating_mul(PIXEL_BYTES), "--size", "take fewer or smaller --views")?;
    let Some(side) = guide.info().size.filter(|s| *s != [height, width] && !guide.is_slow()) else {
        return Ok((guide, size));
    };
    if side[0] > height || side[1] > width {
        let message = format!("{width}x{height} is smaller than the prior's {}x{}", side[1], side[0]);
        return Err(Error::usage("--size", message, "take larger views"));
    }
    let stride = job.stride.unwrap_or((side[0].min(side[1]) / 2).max(1));
    let overlap = (side[0] * side[1]).div_ceil((stride * stride).max(1)) as u64;
    require_memory(
        pixels.saturating_mul(overlap * PIXEL_BYTES),
        "--size",
        "take fewer or smaller --views, or a larger --stride",
    )?;
    guide.prior = Arc::new(Tiled::new(guide.prior, stride).map_err(|e| Error::usage("--stride", e.to_string(), ""))?);
    Ok((guide, size))
}
