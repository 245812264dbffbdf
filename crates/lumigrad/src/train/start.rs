//! Where Gaussians start.

use super::dataset::Dataset;
use crate::run::flatten;
use crate::run::job::commands::TrainSplatsJob;
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_geometry::Surface;
use lumigrad_scene::picture::{Picture, Transfer};
use lumigrad_splat::{Gaussians, Kernel, MAX_SH_DEGREE};
use std::path::Path;

/// Gaussians of a start that has no points.
const START: usize = 10_000;

/// Places, and display-encoded colours.
pub type Points = (Vec<[f32; 3]>, Vec<[f32; 3]>);

/// Gaussians to start from, at most `most`.
pub fn initial(job: &TrainSplatsJob, dataset: &Dataset, most: usize) -> Result<Gaussians> {
    if job.sh_degree > MAX_SH_DEGREE {
        let message = format!("{} is too high", job.sh_degree);
        return Err(Error::usage("--sh-degree", message, format!("0 to {MAX_SH_DEGREE}")));
    }
    let kernel = match job.kernel.as_str() {
        "mip" => Kernel::Mip,
        "surfel" => Kernel::Surfel,
        _ => Kernel::Classic,
    };
    let (means, colours) = match job.init.as_str() {
        "sfm" => places(job.common.seed, dataset, most),
        "random" => scattered(job.common.seed, dataset, most),
        other => match other.strip_prefix("mesh:") {
            Some(file) => on_mesh(Path::new(file), START.min(most))?,
            None => return Err(Error::usage("--init", format!("cannot read {other:?}"), "sfm, random or mesh:FILE")),
        },
    };
    Ok(Gaussians::from_points(&means, &colours, job.sh_degree, kernel))
}

/// Points of the reconstruction, or random ones where there is none, at most `most`.
pub fn places(seed: u64, dataset: &Dataset, most: usize) -> Points {
    reconstructed(dataset, most).unwrap_or_else(|| scattered(seed, dataset, most))
}

/// Points of the reconstruction, every n-th where there are too many; `None` where there are none that are numbers.
fn reconstructed(dataset: &Dataset, most: usize) -> Option<Points> {
    let points = &dataset.points;
    let stride = points.positions.len().div_ceil(most).max(1);
    let every = |list: &[[f32; 3]]| list.iter().step_by(stride).copied().collect::<Vec<_>>();
    let (places, colours) = (every(&points.positions), every(&points.colors));
    places.iter().any(|p| p.iter().all(|x| x.is_finite())).then_some((places, colours))
}

/// Random points of random colours in what the cameras see.
fn scattered(seed: u64, dataset: &Dataset, most: usize) -> Points {
    let (centre, radius) = dataset.focus();
    let uniform = |i: usize, k: usize| random::uniform(seed ^ 0x5eed, (6 * i + k) as u64);
    let place = |i: usize| [0, 1, 2].map(|k| (centre[k] + radius * (2.0 * uniform(i, k) - 1.0)) as f32);
    let colour = |i: usize| [3, 4, 5].map(|k| uniform(i, k) as f32);
    (0..START.min(most)).map(|i| (place(i), colour(i))).unzip()
}

/// Points spread over the surface of a scene, of its base colours.
fn on_mesh(file: &Path, count: usize) -> Result<Points> {
    let (mesh, textures) = flatten(&crate::files::load_scene(file)?)?;
    let textures: Vec<Option<Picture>> = textures.into_iter().map(|t| t.map(Picture::into_linear)).collect();
    let surface = Surface { name: "the surface", positions: &mesh.positions, triangles: &mesh.triangles };
    let samples = surface.samples(count).map_err(|e| Error::file(file.display(), e.to_string(), ""))?;
    let (mut places, mut colours) = (vec![], vec![]);
    for sample in samples {
        places.push(surface.place(sample).map(|x| x as f32));
        let material = mesh.triangle_materials.get(sample.triangle).copied().flatten().map(|m| m as usize);
        let mut colour = material.and_then(|m| mesh.materials.get(m)).map_or([0.5; 3], |m| m.color);
        let texture = material.and_then(|m| textures.get(m)?.as_ref());
        if let (Some(texture), Some(uvs)) = (texture, &mesh.uvs) {
            let corners = mesh.triangles[sample.triangle].map(|v| uvs[v as usize]);
            let along = |k: usize| (0..3).map(|c| sample.weights[c] as f32 * corners[c][k]).sum::<f32>();
            let texel = texel(texture, [along(0), along(1)]);
            colour.iter_mut().zip(texel).for_each(|(c, t)| *c *= t);
        }
        colours.push(colour);
    }
    let data = colours.as_flattened().to_vec();
    let row = Picture { width: count, height: 1, channels: 3, data, transfer: Transfer::Linear, premultiplied: false };
    Ok((places, row.into_srgb().data.as_chunks::<3>().0.to_vec()))
}

/// The nearest texel, repeated.
fn texel(picture: &Picture, uv: [f32; 2]) -> [f32; 3] {
    let at = |x: f32, n: usize| (((x - x.floor()) * n as f32) as usize).min(n.saturating_sub(1));
    let first = picture.channels * (at(uv[1], picture.height) * picture.width + at(uv[0], picture.width));
    std::array::from_fn(|ch| picture.data.get(first + ch).copied().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_on_the_mesh_and_have_its_colours() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/globe.glb");
        let (places, colours) = on_mesh(&file, 2000).unwrap();
        // The globe's facets are a little inside of the unit sphere.
        assert!(places.iter().all(|p| (0.99..1.0001).contains(&p.iter().map(|x| x * x).sum::<f32>().sqrt())));
        let mean = [0, 1, 2].map(|k| colours.iter().map(|c| c[k]).sum::<f32>() / 2000.0);
        let blue = colours.iter().filter(|c| c[2] > 1.5 * c[0]).count();
        assert!(mean.iter().all(|m| (0.15..0.9).contains(m)) && blue > 500, "{mean:?}, {blue} are blue");
        assert!(on_mesh(Path::new("nowhere.glb"), 10).unwrap_err().to_string().contains("nowhere.glb"));
    }
}
