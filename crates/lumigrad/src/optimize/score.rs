//! How good a result is: pictures against held-out ones, and parameters against the truth where it is known.

use super::drive::{Outcome, mean_psnr, psnr};
use super::problem::Problem;
use super::run::Optimizer;
use crate::run::{Summary, flatten};
use crate::{Error, Result};
use lumigrad_core::Tensor;
use lumigrad_geometry::{Surface, Topology, compare};
use lumigrad_scene::ParameterKind;

/// Samples of each surface for chamfer distances.
const CHAMFER_SAMPLES: usize = 100_000;

/// Puts the figures of a result into a summary.
pub(super) fn score(
    summary: &mut Summary,
    problem: &Problem,
    optimizer: &Optimizer,
    outcome: &Outcome,
    result: &[Tensor],
) -> Result<()> {
    summary.metric("loss", outcome.loss);
    summary.metric("test_psnr", mean_psnr(result, problem.scored())?);
    let mut ssim = 0.0;
    for (picture, target) in result.iter().zip(problem.scored()) {
        let rgb = |t: &Tensor| -> Result<Vec<f32>> {
            Ok(t.to_vec::<f32>()?.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect())
        };
        let (h, w) = (picture.shape()[0], picture.shape()[1]);
        let value = lumigrad_metrics::ssim(&rgb(picture)?, &rgb(&target.encoded)?, w, h, 3);
        ssim += value.map_err(|e| Error::job(e.to_string()))?;
    }
    summary.metric("test_ssim", ssim / result.len().max(1) as f64);
    let train = optimizer.pictures(&problem.train, true)?;
    summary.metric("train_psnr", mean_psnr(&train, &problem.train)?);
    summary.metric("ms_per_iteration", outcome.ms_per_iteration);
    if let Some((rotation, translation)) = outcome.camera_errors {
        summary.metric("camera_rotation_deg", rotation);
        summary.metric("camera_translation_percent", translation);
    }
    if let Some(percent) = outcome.intrinsics_error {
        summary.metric("camera_intrinsics_percent", percent);
    }
    let Some(truth) = &problem.truth else { return Ok(()) };
    let moved = optimizer.variables().iter().any(|v| v.is_geometry());
    if moved {
        let (a, b) = (flatten(&outcome.scene)?.0, flatten(truth)?.0);
        let result = Surface { name: "the result", positions: &a.positions, triangles: &a.triangles };
        let target = Surface { name: "the target", positions: &b.positions, triangles: &b.triangles };
        let c = compare(result, target, CHAMFER_SAMPLES)?;
        summary.metric("chamfer_percent", c.chamfer_percent);
        summary.metric("f_score", c.f_score);
        summary.metric("normal_angle_deg", c.normal_angle_deg);
        if optimizer.flexible.is_some() {
            let topology = Topology::welded(&a.positions, &a.triangles)?;
            summary.metric("n_components", topology.n_parts as f64);
            if let Some(genus) = topology.genus() {
                summary.metric("genus", genus as f64);
            }
        }
    }
    let (mut textures, mut errors) = (vec![], vec![]);
    for v in optimizer.variables().iter().filter(|v| !v.is_geometry()) {
        let pointer = &v.parameter.pointer;
        let (Ok((shape, a)), Ok((other, b))) = (outcome.scene.get(pointer), truth.get(pointer)) else { continue };
        if shape != other {
            continue;
        }
        if matches!(v.parameter.kind, ParameterKind::Texture { .. }) {
            textures.push((pointer.clone(), psnr(&a, &b)));
        } else {
            // Of what pictures can tell.
            let read: Vec<(f32, f32)> =
                a.iter().zip(&b).zip(v.read(truth)).filter(|(_, read)| *read).map(|((a, b), _)| (*a, *b)).collect();
            let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| (x as f64).powi(2)).sum::<f64>().sqrt();
            let gap = norm(&mut read.iter().map(|(x, y)| x - y));
            // Relative to the truth; absolute where the truth is nothing.
            let truth = norm(&mut read.iter().map(|r| r.1));
            errors.push((pointer.clone(), if truth > 0.0 { gap / truth } else { gap }));
        }
    }
    if !textures.is_empty() {
        summary.metric_table("texture_psnr", textures);
    }
    if !errors.is_empty() {
        summary.metric_table("parameter_error", errors);
    }
    Ok(())
}
