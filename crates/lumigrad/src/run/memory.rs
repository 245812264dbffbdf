//! Memory of this process, and what jobs need of it.

use super::job::commands::OptimizeJob;
use super::job::{Size, ViewSource};
use crate::{Error, Result};
use lumigrad_scene::Scene;
use lumigrad_scene::views::{Options, Views};

/// Bytes that the CPU renderer holds per pixel of one picture (measured; full or empty makes no difference).
const RENDER_BYTES: u64 = 120;
/// The same with auxiliary pictures.
const AOV_BYTES: u64 = 390;
/// More of them under fitted materials (measured on one that covers a fifth of the picture).
const MATERIAL_BYTES: u64 = 150;
/// Bytes per pixel of every view of an optimisation: target, pictures before and after (measured).
const VIEW_BYTES: u64 = 96;
/// Bytes per pixel of every view of a step: the tape (measured on a scene that fills a fifth of the picture).
const STEP_BYTES: u64 = 430;
/// Bytes per cell of the grid that a shape is made of: its numbers, their gradients and moments (measured).
pub const CELL_BYTES: u64 = 1600;
/// Bytes per texel: as stored, as numbers, and its share of the mip levels (measured).
const TEXEL_BYTES: u64 = 36;
/// Bytes per vertex and per triangle at every node that places them (measured).
const PLACED_BYTES: u64 = 150;

/// Most physical memory that this process has held, bytes; 0 where the system does not tell (only Linux does).
pub fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(0, |k| k * 1024)
}

/// Memory that this process can still get, bytes: free physical memory, and no more than its control group may hold.
/// `None` where the system does not tell (only Linux does).
pub fn available_memory_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let free = line.split_whitespace().next()?.parse::<u64>().ok().map(|k| k * 1024)?;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    Some(group.and_then(|g| g.trim().parse().ok()).map_or(free, |limit: u64| free.min(limit)))
}

/// Refuses what would need more memory than there is, before it is asked for.
///
/// # Errors
/// `bytes` are not available; `location` and `help` say what asks for them and what to do instead. Where the system does
/// not tell what is free, nothing is refused.
pub fn require_memory(bytes: u64, location: &str, help: &str) -> Result<()> {
    match available_memory_bytes() {
        Some(free) if bytes > free => {
            let gib = |x: u64| x as f64 / (1u64 << 30) as f64;
            let message = format!("needs about {:.1} GiB of memory, {:.1} GiB are free", gib(bytes), gib(free));
            Err(Error::file(location, message, help))
        }
        _ => Ok(()),
    }
}

/// What a scene takes once its textures are numbers and its meshes stand in the world, bytes: an estimate. A mesh counts
/// at every node that places it.
pub fn scene_bytes(scene: &Scene) -> u64 {
    let texels: u64 = scene.images().iter().map(|i| u64::from(i.width) * u64::from(i.height)).sum();
    let size = |i: &lumigrad_scene::Instance| {
        let primitive = scene.primitive(i);
        (primitive.positions.len() + primitive.triangles.len()) as u64
    };
    let placed: u64 = scene.instances().iter().map(size).sum();
    texels.saturating_mul(TEXEL_BYTES).saturating_add(placed.saturating_mul(PLACED_BYTES))
}

/// What rendering pictures of at most `pixels` each takes on the CPU, bytes: an estimate.
pub(super) fn render_bytes(scene: &Scene, pixels: u64, with_aovs: bool, with_materials: bool) -> u64 {
    let more = if with_materials { MATERIAL_BYTES } else { 0 };
    let per_pixel = more + if with_aovs { AOV_BYTES } else { RENDER_BYTES };
    scene_bytes(scene).saturating_add(pixels.saturating_mul(per_pixel))
}

/// What the pictures and steps of an optimisation take on the CPU, bytes: an estimate without the scene itself. Pictures
/// that cannot be found count as nothing: loading them tells why.
pub fn optimize_bytes(job: &OptimizeJob) -> u64 {
    let pixels = |width: usize, height: usize| (width as u64).saturating_mul(height as u64);
    let sizes: Vec<u64> = match (&job.views, &job.target) {
        (Some(ViewSource::Folder(folder)), _) => {
            let options = Options { hdr: job.hdr, downscale: job.downscale, max_size: job.max_size };
            let views = Views::load(folder, &options).map(|v| [v.train, v.test].concat()).unwrap_or_default();
            views.iter().map(|p| pixels(p.view.width, p.view.height)).collect()
        }
        (_, None) => vec![],
        (views, Some(_)) => {
            let Size { width, height } = job.size;
            let n = if let Some(ViewSource::Count(n)) = views { *n } else { 24 };
            // A sum needs no list, and a list of very many views would be what is to be avoided.
            return optimize_bytes_of(n as u64, pixels(width, height), job);
        }
    };
    let largest = sizes.iter().copied().max().unwrap_or(0);
    optimize_bytes_of(sizes.len() as u64, largest, job)
}

fn optimize_bytes_of(n_views: u64, pixels: u64, job: &OptimizeJob) -> u64 {
    let moves_cameras = job.param.iter().any(|p| p.pointer.starts_with("/views/"));
    let all = moves_cameras || lumigrad_optim::method::find(&job.optimizer).is_ok_and(|m| m.deterministic);
    let batch = job.budget.batch.map_or(if all { n_views } else { 1 }, |b| (b as u64).min(n_views));
    let views = n_views.saturating_mul(VIEW_BYTES);
    let cells = if job.representation == "flexicubes" { (job.grid_resolution as u64).saturating_pow(3) } else { 0 };
    cells
        .saturating_mul(CELL_BYTES)
        .saturating_add(pixels.saturating_mul(views.saturating_add(batch.saturating_mul(STEP_BYTES))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::job::{Command, Document};

    fn needed(flags: &[(&str, &str)]) -> u64 {
        let mut document = Document::new(Command::named("optimize").unwrap());
        document.set_flag("target", vec!["t.glb".into()]).unwrap();
        flags.iter().for_each(|(k, v)| document.set_flag(k, vec![v.to_string()]).unwrap());
        optimize_bytes(&document.parse().unwrap())
    }

    #[test]
    fn views_and_batches_need_memory_in_proportion() {
        let one = needed(&[("views", "1"), ("size", "100x10")]);
        assert_eq!(one, 1000 * (VIEW_BYTES + STEP_BYTES));
        let grid =
            needed(&[("views", "1"), ("size", "100x10"), ("representation", "flexicubes"), ("grid_resolution", "100")]);
        assert_eq!(grid, one + 1_000_000 * CELL_BYTES);
        assert_eq!(needed(&[("views", "5"), ("size", "100x10"), ("batch", "5")]), 5 * one);
        assert_eq!(needed(&[("views", "5"), ("size", "100x10"), ("param", "/views/*/pose")]), 5 * one);
        assert_eq!(needed(&[("views", "5"), ("size", "100x10"), ("optimizer", "lm")]), 5 * one);
        assert_eq!(needed(&[("views", "9223372036854775807"), ("size", "32768x32768")]), u64::MAX);
    }

    #[test]
    fn what_no_machine_has_is_refused_with_a_remedy() {
        assert!(require_memory(1, "a", "b").is_ok());
        if available_memory_bytes().is_some() {
            let error = require_memory(u64::MAX, "scene.glb", "smaller --size").unwrap_err();
            assert_eq!(error.location(), "scene.glb");
            assert!(error.to_string().contains("GiB are free; smaller --size") && !error.is_usage(), "{error}");
        }
    }
}
