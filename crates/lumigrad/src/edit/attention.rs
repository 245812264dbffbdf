//! The extent of an edit by what a prior attends to (Vox-E, Sella et al. 2023, §3.3).

use super::crops::Crops;
use super::model::Model;
use super::region;
use crate::guiding::Guide;
use crate::volume::Rays;
use crate::{Error, Result};
use lumigrad_core::{DType, Device, Tape, Tensor, Var, ops};
use lumigrad_guidance::{combine, keyed_noise};
use lumigrad_scene::camera::View;
use lumigrad_voxel::Split;

/// Time of the level at which maps are taken: 200 of 1000.
const TIME: f64 = 0.2;
/// Corners that surely are of the edit attend to its word by so much of the most; so many attend most to the object's.
const EDITED: f64 = 0.992;
const OBJECT: usize = 5000;
/// These are no more than this part of all.
const OBJECT_SHARE: usize = 4;
/// Least probability that counts.
const LEAST: f64 = 1e-6;
/// Samples of a view's rays at most.
const SAMPLES: usize = 1 << 24;
/// Light that a corner gives to all views together where it is seen.
const SEEN: f32 = 1e-2;

/// What each row of a model's tables attends to: means over all pixels of the maps of two words, weighted by the light that
/// comes from its corner, [rows, 2], and that light, \[rows\].
///
/// The paper fits two grids to the maps; the means are the first step of that fit from nothing, scaled, and need no rates.
fn attended(
    (guide, words): (&Guide, [&str; 2]),
    (model, values): (&Model, &[Tensor]),
    crops: &Crops,
    (seed, device): (u64, &Device),
) -> Result<(Vec<[f64; 2]>, Vec<f32>)> {
    let parameters: Vec<Var> = values.iter().cloned().map(Var::from).collect();
    let scene = model.scene(model.background);
    let mut sums = vec![0.0f64; 3 * model.grids.rows()];
    for view in &crops.views {
        let rays = Rays::of_pixels(scene.domain, view, 0..view.width * view.height, device)?;
        let shifts = Tensor::zeros(device, DType::F32, &[rays.len()])?;
        let (light, done) = scene.light(&parameters, &rays, &shifts, SAMPLES)?;
        if done < rays.len() {
            return Err(Error::usage(
                "--size",
                format!("a view has more than {SAMPLES} samples"),
                "take smaller views",
            ));
        }
        let maps = maps(guide, words, view, (light.colours.tensor(), model), (seed, device))?;
        // What a table would show, whose transpose takes maps to corners.
        let tape = Tape::new();
        let table = tape.variable(Tensor::zeros(device, DType::F32, &[model.grids.rows(), 3])?);
        let (origins, directions) = (Var::from(rays.origins.clone()), Var::from(rays.directions.clone()));
        let points = light.samples.points(&origins, &directions, model.march.unbounded)?;
        let shown = light.samples.along(&light.weights, &model.grids.sample(&points, &table)?)?;
        let mut gradients = tape.backward_with(&shown, maps)?;
        if let Some(found) = gradients.take(&table) {
            sums.iter_mut().zip(found.to_vec::<f32>()?).for_each(|(s, f)| *s += f as f64);
        }
    }
    let rows = sums.as_chunks::<3>().0;
    let mean = |[a, b, light]: &[f64; 3]| [a / light.max(1e-12), b / light.max(1e-12)];
    Ok((rows.iter().map(mean).collect(), rows.iter().map(|r| r[2] as f32).collect()))
}

/// Maps of both words over a view, and 1: [pixels, 3].
fn maps(
    guide: &Guide,
    words: [&str; 2],
    view: &View,
    (colours, model): (&Tensor, &Model),
    (seed, device): (u64, &Device),
) -> Result<Tensor> {
    let shape = [1, view.height, view.width, 3];
    let pictures = guide.to_range(&colours.reshape(&shape)?)?;
    let level = guide.info().schedule.level(TIME);
    let x = guide.prior.entered(&pictures)?;
    let noise = keyed_noise(device, DType::F32, x.shape(), seed, 0, &[0])?;
    let noisy = combine(&[(&x.clone().into(), &[level.a]), (&noise.into(), &[level.sigma])])?;
    let conditions = guide.seen_from(&[view], model.domain.centre);
    let map = |word: &str| -> Result<Var> {
        let found = guide.prior.attention(noisy.tensor(), &[level], &conditions, word)?;
        let expected = [1, x.shape()[1], x.shape()[2], 1];
        if found.shape() != expected {
            let message = format!("{} gives attention maps of {:?}", guide.info().name, found.shape());
            return Err(Error::job(format!("{message}, expected {expected:?}")));
        }
        // Of latents every pixel has that of its latent.
        let pixels = guide.info().pixels.max(1);
        let row = |y: usize| (0..view.width).map(move |u| (y / pixels * expected[2] + u / pixels) as u32);
        let cells: Vec<u32> = (0..view.height).flat_map(row).collect();
        let cells = Tensor::from_slice(device, &cells, &[cells.len()])?;
        Ok(Var::from(found).reshape(&[expected[1] * expected[2], 1])?.gather(&cells)?)
    };
    let one = Tensor::full(device, DType::F32, &[view.height * view.width, 1], 1.0)?.into();
    Ok(ops::concat(&[&map(words[0])?, &map(words[1])?, &one], 1)?.tensor().clone())
}

/// Which rows of a model's tables belong to an edit: those that attend to the word of the edit more than to that of the object,
/// with a border where colours change.
///
/// Probabilities are the softmax of the two; corners that attend most to a word are sure, those that no view sees follow their
/// neighbours.
///
/// # Errors
/// A prior without attention; maps of another size.
pub fn extent(
    guided: (&Guide, [&str; 2]),
    (model, values): (&Model, &[Tensor]),
    crops: &Crops,
    (seed, device): (u64, &Device),
) -> Result<Vec<bool>> {
    let (found, light) = attended(guided, (model, values), crops, (seed, device))?;
    let corners = model.corners(device)?;
    let n = model.grids.lattice.len();
    let seen = |row: usize| light[row] > SEEN;
    let most = (0..found.len()).filter(|&r| seen(r)).map(|r| found[r][0]).fold(0.0, f64::max);
    let mut by_object: Vec<usize> = (0..found.len()).filter(|&r| seen(r)).collect();
    by_object.sort_by(|&a, &b| found[b][1].total_cmp(&found[a][1]));
    by_object.truncate(OBJECT.min(by_object.len() / OBJECT_SHARE));
    let (mut outside, mut inside) = (vec![0.0; n], vec![0.0; n]);
    for (row, &corner) in corners.iter().enumerate().filter(|(row, _)| seen(*row)) {
        let [edit, object] = found[row];
        let p = 1.0 / (1.0 + (object - edit).exp());
        outside[corner as usize] = -(1.0 - p).max(LEAST).ln();
        inside[corner as usize] = -p.max(LEAST).ln();
    }
    for &row in &by_object {
        inside[corners[row] as usize] = f64::INFINITY;
    }
    for row in (0..found.len()).filter(|&r| seen(r) && found[r][0] >= EDITED * most) {
        let corner = corners[row] as usize;
        (outside[corner], inside[corner]) = (f64::INFINITY, 0.0);
    }
    let links = region::links(&corners, model, values)?;
    let labels = Split { lattice: model.grids.lattice, outside, inside, links }.cheapest()?;
    Ok(corners.iter().map(|&c| labels[c as usize]).collect())
}
