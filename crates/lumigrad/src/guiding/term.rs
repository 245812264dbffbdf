//! A prior's pull as a term of a loss, beside pictures that are matched.

use super::{Guide, PriorKeys, patches};
use crate::run::job::Kind::*;
use crate::run::job::job_keys;
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Tensor, Var};
use lumigrad_guidance::distill::{Distiller, Options, Times, Verdict, pull};
use lumigrad_guidance::{Condition, PriorInfo};
use lumigrad_scene::camera::View;
use std::sync::{Mutex, PoisonError};

job_keys! {
    /// Keys of a prior that pulls beside other losses.
    PriorTermKeys {
        include guide: PriorKeys;
        /// How much the prior pulls at views from between the cameras, against the mean squared difference of pictures. There has to
        /// be a prior.
        guidance_weight: f64, Amount, default "0.1";
        /// Least and most time of the noise that the prior is shown, from 0 (pictures) to 1 (noise): little noise cleans, much
        /// of it makes anew.
        guidance_times: [f64; 2], Numbers(2), default "[0.02, 0.5]";
    }
}

/// Pixels along a side of what a prior of any size is shown.
const SIDE: usize = 32;
/// Patches of a step.
const PATCHES: usize = 4;

/// Rows and columns of patches: what the prior has, or was made for where the smallest picture is not smaller.
fn side(info: &PriorInfo, pictures: &[(&str, [usize; 2])]) -> Result<[usize; 2]> {
    let step = info.step();
    let most = info.pictures(None, SIDE)?;
    let fitting = |whole: usize, found: usize| whole.min((found / step * step).max(step));
    let fit = |s: [usize; 2], (_, [h, w]): &(&str, [usize; 2])| [fitting(s[0], *h), fitting(s[1], *w)];
    Ok(if info.size.is_some() { most } else { pictures.iter().fold(most, fit) })
}

/// Score distillation (Poole et al. 2022) as a term of a loss: a prior pulls at patches of its size, seen from between the cameras.
pub struct PriorTerm {
    guide: Guide,
    distiller: Mutex<Distiller>,
    weight: f64,
    size: [usize; 2],
}

impl PriorTerm {
    /// What a job asks for; `None` where it names no prior. `command` is who asks, `views` are the cameras.
    ///
    /// # Errors
    /// As [`Guide::new`]'s; a prompt without a prior; times that are none; pictures smaller than the prior's.
    pub fn new<'v>(
        keys: &PriorTermKeys,
        command: &str,
        views: impl Iterator<Item = &'v View>,
        seed: u64,
    ) -> Result<Option<Self>> {
        let pictures: Vec<_> = views.map(|v| (v.name.as_str(), [v.height, v.width])).collect();
        Self::beside(keys, command, &pictures, seed)
    }

    /// The same beside pictures with these names, rows and columns.
    ///
    /// # Errors
    /// As [`Self::new`]'s.
    pub fn beside(
        keys: &PriorTermKeys,
        command: &str,
        pictures: &[(&str, [usize; 2])],
        seed: u64,
    ) -> Result<Option<Self>> {
        if keys.guide.prior.is_none() {
            let given = [
                ("--prompt", keys.guide.prompt.is_some()),
                ("--negative-prompt", keys.guide.negative_prompt.is_some()),
                ("--lora", !keys.guide.changes.lora.is_empty()),
            ];
            return match given.iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(Error::usage(flag, "asks for a prior, and none is given", "add --prior FILE")),
                None => Ok(None),
            };
        }
        let guide = Guide::new(&keys.guide, command)?;
        let [least, most] = keys.guidance_times;
        let options = Options {
            times: Times { least, most, most_at_end: most },
            guidance: guide.guidance.clone(),
            ..Options::default()
        };
        let distiller = Distiller::new(guide.prior.clone(), options, seed)
            .map_err(|e| Error::usage("--guidance-times", e.to_string(), "expected two times such as 0.02,0.5"))?;
        let size = side(guide.info(), pictures)?;
        for (name, [rows, columns]) in pictures {
            if *columns < size[1] || *rows < size[0] {
                let message = format!(
                    "{name} is {columns}x{rows} pixels, smaller than the {}x{} of {}",
                    size[1],
                    size[0],
                    guide.info().name
                );
                return Err(Error::usage("--prior", message, "take larger pictures, or a prior of smaller ones"));
            }
        }
        Ok(Some(Self { guide, distiller: Mutex::new(distiller), weight: keys.guidance_weight, size }))
    }

    /// Number, rows and columns of a step's patches.
    pub fn shape(&self) -> [usize; 3] {
        [PATCHES, self.size[0], self.size[1]]
    }

    /// Cameras of a step's patches.
    pub fn patches(&self, views: &[&View], target: [f64; 3], seed: u64) -> Vec<View> {
        let [rows, columns] = self.size;
        patches(views, target, PATCHES, (columns, rows), random::hash(seed, 0x9a7c))
    }

    /// The term for patches [n, rows, columns, 3], display-encoded, taken by `cameras`; noise and its levels are drawn from `seed`.
    ///
    /// Scaled as the mean over numbers of the patches, so that the weight does not depend on their size. **Gradients**: the
    /// prior's pull, which is that of no function; the value is half its square. After ten steps in a row at which it was not
    /// finite or exploded the value is NaN: whoever minimises it goes back.
    ///
    /// # Errors
    /// Those of the prior.
    pub fn evaluate(&self, patches: &Var, cameras: &[View], target: [f64; 3], seed: u64) -> Result<Var> {
        let conditions = self.guide.seen_from(&cameras.iter().collect::<Vec<_>>(), target);
        self.pulled(patches, &conditions, seed)
    }

    /// The same for patches of which nobody knows from where they were seen.
    ///
    /// # Errors
    /// Those of the prior.
    pub fn evaluate_unseen(&self, patches: &Var, seed: u64) -> Result<Var> {
        self.pulled(patches, std::slice::from_ref(&self.guide.wanted), seed)
    }

    fn pulled(&self, patches: &Var, conditions: &[Condition], seed: u64) -> Result<Var> {
        let numbers: Vec<u64> = (0..patches.shape()[0] as u64).collect();
        let mut distiller = self.distiller.lock().unwrap_or_else(PoisonError::into_inner);
        let guided = distiller.guide(patches.tensor(), conditions, &numbers, seed, 0.0)?;
        let term = pull(patches, guided.cotangent)?;
        // The distiller sums over a patch.
        let mut factor = self.weight / (self.size[0] * self.size[1] * 3) as f64;
        if guided.verdict == Verdict::RollBack {
            distiller.forget();
            factor = f64::NAN;
        }
        let factor = Tensor::full(patches.device(), patches.dtype(), &[], factor)?;
        Ok(term.mul(&factor.into())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::job::Document;
    use lumigrad_core::{DType, Device, Tape, ops};
    use lumigrad_scene::camera::{Framing, orbit};
    use std::path::Path;

    fn keys(text: &str) -> PriorTermKeys {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
        let text = format!("command = \"optimize\"\n{text}");
        let document = Document::parse_text(&text, "test", &folder).unwrap();
        document.parse::<crate::run::job::commands::OptimizeJob>().unwrap().prior
    }

    fn cameras(size: usize) -> Vec<View> {
        orbit(4, &Framing::of_sphere([0.0; 3], 1.0, (size, size)), 0.2)
    }

    fn term(text: &str, size: usize) -> Result<Option<PriorTerm>> {
        PriorTerm::new(&keys(text), "a test", cameras(size).iter(), 3)
    }

    #[test]
    fn the_gradient_is_the_weighted_mean_of_the_pull() {
        let term =
            term("prior = \"materials.safetensors\"\nprompt = \"lava\"\nguidance_weight = 0.5", 16).unwrap().unwrap();
        let views = cameras(16);
        let taken = term.patches(&views.iter().collect::<Vec<_>>(), [0.0; 3], 5);
        assert!(taken.len() == PATCHES && taken.iter().all(|v| (v.width, v.height) == (8, 8)));
        let device = Device::cpu();
        let pictures = ops::random_normal(&device, DType::F32, &[PATCHES, 8, 8, 3], 1).unwrap();
        let tape = Tape::new();
        let x = tape.variable(pictures.clone());
        let loss = term.evaluate(&x, &taken, [0.0; 3], 7).unwrap();
        let found = tape.backward(&loss).unwrap().take(&x).unwrap().to_vec::<f32>().unwrap();
        let guide = &term.guide;
        let options = Options {
            times: Times { least: 0.02, most: 0.5, most_at_end: 0.5 },
            guidance: guide.guidance.clone(),
            ..Options::default()
        };
        let mut distiller = Distiller::new(guide.prior.clone(), options, 3).unwrap();
        let conditions = guide.seen_from(&taken.iter().collect::<Vec<_>>(), [0.0; 3]);
        let pull = distiller.guide(&pictures, &conditions, &[0, 1, 2, 3], 7, 0.0).unwrap();
        for (a, b) in found.iter().zip(pull.cotangent.to_vec::<f32>().unwrap()) {
            assert!((a - b * 0.5 / 192.0).abs() <= 1e-6 * b.abs(), "{a} {b}");
        }
    }

    #[test]
    fn what_pulls_without_end_is_no_number_after_ten_steps() {
        let term = term("prior = \"materials.safetensors\"", 16).unwrap().unwrap();
        let views = cameras(8);
        let nothing = Tensor::full(&Device::cpu(), DType::F32, &[4, 8, 8, 3], f64::NAN).unwrap();
        let values: Vec<f64> = (0..10)
            .map(|step| {
                let tape = Tape::new();
                term.evaluate(&tape.variable(nothing.clone()), &views, [0.0; 3], step).unwrap().tensor().item().unwrap()
            })
            .collect();
        assert!(values[..9].iter().all(|v| *v == 0.0) && values[9].is_nan(), "{values:?}");
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        let refused = |text: &str, size: usize| term(text, size).err().expect("refused").to_string();
        assert!(term("", 16).unwrap().is_none());
        assert!(refused("prompt = \"lava\"", 16).contains("--prompt"));
        assert!(refused("prior = \"materials.safetensors\"", 7).contains("smaller than the 8x8"));
        assert!(
            refused("prior = \"materials.safetensors\"\nguidance_times = [0.5, 0.2]", 16).contains("guidance-times")
        );
        assert!(refused("prior = \"materials.safetensors\"\nprompt = \"moss\"", 16).contains("--prompt"));
    }
}
