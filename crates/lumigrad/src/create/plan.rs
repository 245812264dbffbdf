//! What is created, and how it is pulled.

use super::asked::Asked;
use super::cameras::ring;
use super::judge::Judge;
use super::keys::{CreateKeys, PolishKeys};
use super::model::Model;
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_guidance::sample::{Method as Sampler, ratio_levels, sample};
use lumigrad_guidance::{Capability, View as Direction, noise};
use std::path::Path;

/// Renders around the object that are judged.
pub const JUDGED: usize = 32;
/// Pixels along a side of renders, where the prior does not care.
const SIDE: usize = 64;
/// Default elevations, degrees.
const ELEVATION: [f64; 2] = [15.0, 25.0];

/// A creation, after all that can be checked before anything is computed.
pub struct Plan {
    /// What pulls.
    pub asked: Asked,
    /// What pulls at normals, with the weight and the rows and columns that it sees.
    pub normals: Option<(Asked, f64, usize)>,
    /// Rows and columns of renders.
    pub side: usize,
    judge: Option<(Judge, usize)>,
    /// Radians.
    elevation: [f64; 2],
}

impl Plan {
    /// Of a command's keys.
    ///
    /// # Errors
    /// Priors, subjects or settings that cannot be used.
    pub fn new(command: &str, job: &CreateKeys, polish: Option<&PolishKeys>) -> Result<Self> {
        let path = job.prior.clone().ok_or_else(|| {
            let help = "give a file or folder: --prior assets/guidance/shapes.safetensors";
            Error::usage(command, "the prior is missing", help)
        })?;
        let asked = Asked::new(&path, &job.subject, (job, &job.changes.lora))?;
        let side = side_of(&asked, &path, job)?;
        let normals = match polish.and_then(|p| Some((p.normal_prior.as_ref()?, p.normal_weight))) {
            Some((path, weight)) => {
                let asked = Asked::named(path, job)?;
                let side = side_of(&asked, path, job)?;
                Some((asked, weight, side))
            }
            None => None,
        };
        let judge = match &job.judge {
            None => None,
            Some(path) => {
                let judge = Judge::load(path)?;
                if side < judge.side {
                    let message = format!("it sees {0}x{0} pixels, the prior's pictures have {side}", judge.side);
                    return Err(Error::file(path.display(), message, "take another judge or prior"));
                }
                let class = judge.labels.iter().position(|l| *l == job.subject).ok_or_else(|| {
                    let known = judge.labels.join(", ");
                    Error::usage("--judge", format!("it knows no {:?}; it knows {known}", job.subject), "leave it out")
                })?;
                Some((judge, class))
            }
        };
        let elevation = job.elevation.unwrap_or(ELEVATION);
        if !(elevation[0] <= elevation[1] && elevation.iter().all(|e| e.abs() < 90.0)) {
            return Err(Error::usage("--elevation", format!("{elevation:?} is no range within -90 to 90"), "15,25"));
        }
        Ok(Self { asked, normals, side, judge, elevation: elevation.map(f64::to_radians) })
    }

    /// Directions of a step, spread around the object from a random first one.
    pub fn directions(&self, seed: u64, step: u64, n: usize) -> Vec<Direction> {
        let key = random::hash(random::hash(seed, 22), step);
        let around = ring(n, 0.0, random::uniform(key, 0));
        let [lo, hi] = self.elevation;
        let height = |k: u64| lo + (hi - lo) * random::uniform(key, k + 1);
        around.into_iter().zip(0..).map(|(d, k)| Direction { elevation: height(k), ..d }).collect()
    }

    /// The middle of the elevations, radians.
    pub fn middle(&self) -> f64 {
        0.5 * (self.elevation[0] + self.elevation[1])
    }

    /// Part of the judged renders that show the subject.
    ///
    /// # Errors
    /// Those of the renderer.
    pub fn recognised(&self, model: &dyn Model) -> Result<Option<f64>> {
        let Some((judge, class)) = &self.judge else { return Ok(None) };
        let mut right = 0;
        for picture in shown(&model.renders(&ring(JUDGED, self.middle(), 0.5), self.side)?)? {
            right += (judge.class(&picture, self.side, self.side)? == *class) as usize;
        }
        Ok(Some(right as f64 / JUDGED as f64))
    }

    /// Pictures that the prior makes by itself of the same subject, from some directions; from the first one where there are
    /// latents, for such a prior is slow.
    ///
    /// # Errors
    /// The prior's.
    pub fn samples(&self, directions: &[Direction], seed: u64, device: &Device) -> Result<Vec<Vec<f32>>> {
        let info = self.asked.info();
        let directions = if info.can(Capability::Decode) { &directions[..directions.len().min(1)] } else { directions };
        let shape = info.denoised(directions.len(), [self.side; 2]);
        let start = noise(device, DType::F32, &shape, random::hash(seed, 23), 0)?;
        let conditions = self.asked.conditions(directions);
        let levels = ratio_levels(80.0, 0.02, 7.0, 30)?;
        let mut ask = |x: &Tensor, l, k: usize| {
            let guided =
                self.asked.options.guidance.predict(&*self.asked.prior, x, &[l], &conditions, k as f64 / 30.0)?;
            Ok(guided.guided)
        };
        let x = sample(Sampler::DpmSolverPlusPlus, &levels, &start, seed, &mut ask, &mut |_, _, _| Ok(()))?;
        let [lo, hi] = info.range;
        let x = Var::from(self.asked.prior.left(&x)?).offset(-lo)?.scale(1.0 / (hi - lo))?;
        shown(x.tensor())
    }
}

/// Rows and columns of the square pictures that a prior is shown.
fn side_of(asked: &Asked, path: &Path, job: &CreateKeys) -> Result<usize> {
    let shown = asked.info().pictures(job.side.map(|s| [s; 2]), SIDE);
    let [side, columns] = shown.map_err(|e| Error::usage("--side", e.to_string(), "leave it out"))?;
    if side != columns {
        let found = format!("pictures of {columns}x{side}");
        return Err(Error::file(path.display(), found, "create needs square pictures with 3 channels"));
    }
    Ok(side)
}

/// Pictures of a batch as they are shown, in [0, 1].
///
/// # Errors
/// Those of the device.
pub fn shown(batch: &Tensor) -> Result<Vec<Vec<f32>>> {
    let values: Vec<f32> = batch.to_vec::<f32>()?.into_iter().map(|x| x.clamp(0.0, 1.0)).collect();
    let n = batch.shape().first().copied().unwrap_or(0);
    Ok(values.chunks((values.len() / n.max(1)).max(1)).map(<[f32]>::to_vec).collect())
}
