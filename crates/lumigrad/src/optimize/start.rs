//! Where optimised values start.

use super::intrinsics::Intrinsics;
use super::problem::Problem;
use super::run::{INTRINSICS_GROUP, POSE_GROUP};
use super::settings::Init;
use super::variable::Variable;
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_raster::shading::ENVIRONMENT_POINTER;
use lumigrad_scene::environment::Environment;
use lumigrad_scene::{Parameter, ParameterKind};

/// Largest map of an environment that is optimised, columns and rows; and the one that nothing is known of.
const ENVIRONMENT_SIZE: (usize, usize) = (64, 32);

/// What can be optimised that no scene holds: the views' poses and lenses (shapes per view), and the light from all around
/// (at its largest).
pub fn own_parameters() -> Vec<Parameter> {
    let (width, height) = ENVIRONMENT_SIZE;
    let anything = (f32::NEG_INFINITY, f32::INFINITY);
    let camera = ParameterKind::Camera;
    let own = [
        (POSE_GROUP, "motion of a view", vec![6], camera, anything),
        (INTRINSICS_GROUP, "fx, fy, cx, cy of a view", vec![4], camera, anything),
        (
            ENVIRONMENT_POINTER,
            "radiance from all around",
            vec![height, width, 3],
            ParameterKind::Light,
            (0.0, f32::INFINITY),
        ),
    ];
    let parameter = |(pointer, name, shape, kind, bounds): (&str, &str, Vec<usize>, ParameterKind, (f32, f32))| {
        Parameter { pointer: pointer.into(), name: Some(name.into()), shape, kind, bounds }
    };
    own.map(parameter).into()
}

/// Where an optimised environment starts: at the given one, reduced; else at a constant 1.
pub(super) fn optimised_environment(given: Option<&Environment>) -> Environment {
    let (width, height) = ENVIRONMENT_SIZE;
    match given {
        Some(e) if e.width * e.height > 1 => e.downsampled(width, height),
        _ => {
            let radiance = given.map_or([1.0; 3], |e| [e.data[0], e.data[1], e.data[2]]);
            Environment { width, height, data: radiance.repeat(width * height) }
        }
    }
}

/// Sets lenses to their start values.
pub(super) fn initialise_intrinsics(intrinsics: &mut Intrinsics, init: &Init, seed: u64) -> Result<()> {
    match init {
        Init::Noise(sigma) => intrinsics.perturb(*sigma, seed),
        Init::Vector(v) if v.len() == 4 && v[0] > 0.0 && v[1] > 0.0 => {
            intrinsics.set([v[0], v[1], v[2], v[3]].map(f64::from))
        }
        _ => Err(Error::job(format!("--init {INTRINSICS_GROUP}: expected noise:SIGMA or FX,FY,CX,CY in pixels"))),
    }
}

/// Sets variables that match a pattern to their start values.
pub(super) fn initialise(
    problem: &Problem,
    variables: &mut [Variable],
    pattern: &str,
    init: &Init,
    seed: u64,
) -> Result<()> {
    let environment = pattern == ENVIRONMENT_POINTER;
    let matches = if environment { vec![] } else { problem.scene.resolve(pattern)? };
    let mut found = false;
    for v in variables.iter_mut() {
        let (shape, present) = match v.radiance()? {
            Some(e) if environment => (vec![e.height, e.width, 3], e.data),
            None if matches.iter().any(|p| p.pointer == v.parameter.pointer) => {
                problem.scene.get(&v.parameter.pointer)?
            }
            _ => continue,
        };
        found = true;
        let texture = matches!(v.parameter.kind, ParameterKind::Texture { .. });
        let width = shape.last().copied().unwrap_or(1);
        let (lo, hi) = v.parameter.bounds;
        let values: Vec<f32> = match init {
            Init::Number(x) if texture => present.chunks_exact(4).flat_map(|p| [*x, *x, *x, p[3]]).collect(),
            Init::Number(x) => vec![*x; present.len()],
            Init::Vector(row) if row.len() == width || (texture && row.len() == 3) => present
                .chunks_exact(width)
                .flat_map(|p| (0..width).map(|k| row.get(k).copied().unwrap_or(p[k])).collect::<Vec<_>>())
                .collect(),
            Init::Vector(row) => {
                return Err(Error::job(format!("--init {pattern}: {} numbers given, {width} expected", row.len())));
            }
            Init::Noise(sigma) => {
                let noisy = |(i, (&x, read)): (usize, (&f32, bool))| match read {
                    true => ((x as f64 * (sigma * random::normal(seed, i as u64)).exp()) as f32).clamp(lo, hi),
                    false => x,
                };
                present.iter().zip(v.read(&problem.scene)).enumerate().map(noisy).collect()
            }
            Init::Picture(path) => {
                let picture = lumigrad_scene::picture::Picture::load(path)?.into_linear().into_straight().into_rgba();
                let data = picture.resized(shape[1], shape[0]).into_straight().data;
                data.chunks_exact(4).flat_map(|p| p[..width].to_vec()).collect()
            }
        };
        v.set(&values)?;
    }
    if found {
        Ok(())
    } else {
        Err(Error::job(format!("--init {pattern}: no optimised parameter matches; add it with --param")))
    }
}
