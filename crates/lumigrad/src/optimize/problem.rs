//! What is to be matched: target pictures with their cameras, from photographs or synthesised from a scene.

use super::display::encode;
use super::settings::{Settings, Source};
use crate::{Error, Result};
use lumigrad_core::{DType, Device, Tensor};
use lumigrad_raster::{Bindings, Camera, Options, Renderer};
use lumigrad_scene::Scene;
use lumigrad_scene::camera::{Framing, View, sphere_views};
use lumigrad_scene::environment::Environment;
use lumigrad_scene::views::{Options as ViewOptions, Views};
use std::f64::consts::{PI, TAU};

/// A target picture with its camera.
pub struct Target {
    /// The camera that the picture was taken with, or is believed to have been.
    pub view: View,
    /// [H, W, 4]: display-encoded colour over black, and alpha.
    pub encoded: Tensor,
    /// [H, W, 1]: where the picture counts.
    pub mask: Option<Tensor>,
    /// The picture has no alpha: it shows the background too, and how much is covered is not known.
    pub opaque: bool,
}

/// Everything that a run needs.
pub struct Problem {
    /// The scene at the start, before `init`.
    pub scene: Scene,
    /// The scene that the pictures show, where it is known.
    pub truth: Option<Scene>,
    /// Pictures to match.
    pub train: Vec<Target>,
    /// Held-out pictures.
    pub test: Vec<Target>,
    /// Light from all around.
    pub environment: Option<Environment>,
}

/// Centre and radius of the sphere around everything that is drawn.
pub fn bounds(scene: &Scene) -> Result<([f64; 3], f64)> {
    let (mut lo, mut hi) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    let mut points = vec![];
    for instance in scene.instances() {
        for p in scene.world_geometry(&instance)?.positions {
            for k in 0..3 {
                lo[k] = lo[k].min(p[k] as f64);
                hi[k] = hi[k].max(p[k] as f64);
            }
            points.push(p);
        }
    }
    if points.is_empty() {
        return Ok(([0.0; 3], 1.0));
    }
    let centre: [f64; 3] = std::array::from_fn(|k| 0.5 * (lo[k] + hi[k]));
    let distance = |p: &[f32; 3]| (0..3).map(|k| (p[k] as f64 - centre[k]).powi(2)).sum::<f64>();
    let radius = points.iter().map(distance).fold(0.0, f64::max).sqrt();
    Ok((centre, radius.max(1e-12)))
}

/// The environment that lights a scene: the job's, else a constant 1 where the scene has no light of its own.
pub fn environment(scene: &Scene, given: Option<&Environment>) -> Option<Environment> {
    match given {
        Some(e) => Some(e.clone()),
        None if scene.placed_lights().is_empty() => Some(Environment::constant([1.0; 3])),
        None => None,
    }
}

/// Light of another colour from each of six sides: what is lit by it shows how it is turned, which a constant does not.
fn from_six_sides() -> Environment {
    let (width, height) = (32, 16);
    let radiance = |k: usize| {
        let (u, v) = (((k % width) as f64 + 0.5) / width as f64, ((k / width) as f64 + 0.5) / height as f64);
        let ((sin, cos), y) = ((TAU * (u - 0.5)).sin_cos(), (PI * v).cos());
        let ring = (1.0 - y * y).sqrt();
        [cos * ring, y, sin * ring].map(|x| (0.5 + 0.6 * x).max(0.0) as f32)
    };
    Environment { width, height, data: (0..width * height).flat_map(radiance).collect() }
}

impl Problem {
    /// Loads scenes and pictures.
    pub fn load(settings: &Settings, device: &Device) -> Result<Self> {
        let mut scene = crate::files::load_scene(&settings.scene)?;
        let given = settings.environment.clone();
        match &settings.source {
            Source::Pictures(dir) => {
                let options =
                    ViewOptions { hdr: settings.hdr, downscale: settings.downscale, max_size: settings.max_size };
                let views = Views::load(dir, &options)?;
                let environment = environment(&scene, given.as_ref());
                let load = |list: &[lumigrad_scene::views::PosedPicture]| -> Result<Vec<Target>> {
                    list.iter().map(|p| photograph(p, &scene, device)).collect()
                };
                let (train, test) = (load(&views.train)?, load(&views.test)?);
                if train.is_empty() {
                    return Err(Error::job(format!("{} has no training pictures", dir.display())));
                }
                Ok(Self { truth: None, train, test, environment, scene })
            }
            Source::Synthesise { target, views } => {
                let truth = crate::files::load_scene(target)?;
                let (centre, radius) = bounds(&truth)?;
                if settings.moves_geometry() {
                    fit_to_box(&mut scene, &truth)?;
                }
                let dark = given.is_none() && truth.placed_lights().is_empty();
                let environment = match settings.grid.is_some() && dark {
                    true => Some(from_six_sides()),
                    false => environment(&truth, given.as_ref()),
                };
                let options = Options { environment: environment.clone(), dtype: None };
                let renderer = Renderer::new(&truth, device, &options)?;
                let frame = renderer.frame(&Bindings::new())?;
                let cameras = sphere_views(*views, &Framing::of_sphere(centre, radius, settings.size));
                let (mut train, mut test) = (vec![], vec![]);
                for (k, view) in cameras.into_iter().enumerate() {
                    let image = frame.render(&Camera::new(&view, device, DType::F32)?)?.image;
                    let target = Target { view, encoded: encode(&image)?.tensor().clone(), mask: None, opaque: false };
                    let held_out = k % 8 == 7 && !settings.moves_cameras();
                    if held_out { test.push(target) } else { train.push(target) }
                }
                if test.is_empty() && train.len() > 1 && !settings.moves_cameras() {
                    test.push(train.pop().expect("more than one view"));
                }
                Ok(Self { truth: Some(truth), train, test, environment, scene })
            }
        }
    }

    /// Pictures that scores are measured on.
    pub fn scored(&self) -> &[Target] {
        if self.test.is_empty() { &self.train } else { &self.test }
    }
}

fn photograph(p: &lumigrad_scene::views::PosedPicture, scene: &Scene, device: &Device) -> Result<Target> {
    let picture = p.load_linear()?.into_rgba().into_premultiplied();
    let opaque = picture.data.iter().skip(3).step_by(4).all(|alpha| *alpha >= 1.0);
    let (w, h) = (picture.width, picture.height);
    let linear = Tensor::from_slice(device, &picture.data, &[h, w, 4])?;
    let encoded = encode(&linear.into())?.tensor().clone();
    let mask = match p.load_mask()? {
        Some(m) => Some(Tensor::from_slice(device, &m, &[h, w, 1])?),
        None => None,
    };
    let mut view = p.view.clone();
    if view.near <= 0.0 || !view.far.is_finite() {
        let (centre, radius) = bounds(scene)?;
        let eye = view.centre();
        let distance = (0..3).map(|k| (eye[k] - centre[k]).powi(2)).sum::<f64>().sqrt();
        view.near = (distance - 1.5 * radius).max(0.01 * radius);
        view.far = distance + 1.5 * radius;
    }
    Ok(Target { view, encoded, mask, opaque })
}

/// Moves and scales a scene's root nodes so that its bounding box is the target's.
fn fit_to_box(scene: &mut Scene, truth: &Scene) -> Result<()> {
    let boxed = |s: &Scene| -> Result<([f64; 3], [f64; 3])> {
        let (mut lo, mut hi) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for instance in s.instances() {
            for p in s.world_geometry(&instance)?.positions {
                for k in 0..3 {
                    lo[k] = lo[k].min(p[k] as f64);
                    hi[k] = hi[k].max(p[k] as f64);
                }
            }
        }
        Ok((lo, hi))
    };
    let ((a, b), (c, d)) = (boxed(scene)?, boxed(truth)?);
    let scale: [f64; 3] = std::array::from_fn(|k| (d[k] - c[k]).max(1e-9) / (b[k] - a[k]).max(1e-9));
    for parameter in scene.resolve("/meshes/*/primitives/*/attributes/POSITION")? {
        let (_, data) = scene.get(&parameter.pointer)?;
        let moved: Vec<f32> = data
            .chunks_exact(3)
            .flat_map(|p| std::array::from_fn::<f32, 3, _>(|k| ((p[k] as f64 - a[k]) * scale[k] + c[k]) as f32))
            .collect();
        scene.set(&parameter.pointer, &moved)?;
    }
    Ok(())
}
