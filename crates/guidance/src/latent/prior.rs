//! A latent diffusion model as a prior.

use super::adapter::Adapter;
use super::lora::LowRank;
use super::placed::Placed;
use super::{Ask, Autoencoder, Denoiser, Scheduler, TextEncoder, folder};
use crate::{Capability, Condition, DiffusionPrior, Error, Level, PriorInfo, Result, Student, Subject};
use crate::{combine, of_picture};
use lumigrad_core::{DType, Device, Tape, Tensor, Var, ops};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A latent diffusion model.
#[derive(Clone)]
pub struct LatentPrior(pub(super) Arc<Model>);

/// What a prior and its adapters share.
pub(super) struct Model {
    info: PriorInfo,
    pub(super) scheduler: Scheduler,
    text: TextEncoder,
    pub(super) denoiser: Denoiser,
    pub(super) weights: Placed,
    autoencoder: Autoencoder,
    autoencoder_weights: Placed,
    /// States of texts that were asked for, [1, T, width].
    told: Mutex<HashMap<String, Tensor>>,
}

/// Texts that are remembered.
const REMEMBERED: usize = 64;

impl LatentPrior {
    /// Reads a folder in the layout of the diffusers library.
    ///
    /// # Errors
    /// Names what is missing, what is broken, and models of other kinds.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_changed::<&Path>(path, &[])
    }

    /// The same with low-rank changes of users' own files (LoRA) added to the weights of U-Net and text encoder, one after another.
    /// Each is a safetensors file of diffusers, peft or kohya-ss, as `FILE` or `FILE:SCALE`.
    ///
    /// # Errors
    /// As [`Self::open`]; files that are missing or broken, or that change what this model does not have: they name it.
    pub fn open_changed<P: AsRef<Path>>(path: &Path, changes: &[P]) -> Result<Self> {
        folder::check(path)?;
        let scheduler = Scheduler::read(&path.join("scheduler/scheduler_config.json"))?;
        let cpu = Device::cpu();
        let (mut text, mut denoiser) = (TextEncoder::open(path, &cpu)?, Denoiser::open(path, &cpu)?);
        for file in changes {
            let mut changes = LowRank::open(file.as_ref())?;
            denoiser.merge(&mut changes)?;
            text.merge(&mut changes)?;
            changes.finish()?;
        }
        let autoencoder = Autoencoder::open(path, &cpu)?;
        let name = path.display().to_string();
        let c = denoiser.config();
        let fits = [
            ("takes", "channels of latents", c.inputs, autoencoder.channels()),
            ("gives", "channels of latents", c.outputs, autoencoder.channels()),
            ("takes", "numbers of a token", c.context, text.width()),
        ];
        if let Some((does, what, found, others)) = fits.into_iter().find(|(.., found, others)| found != others) {
            let reason = format!("its U-Net {does} {found} {what}, its other networks have {others}");
            return Err(Error::File { file: name, reason });
        }
        let made_for = c.sample_size.map(|side| [side * autoencoder.factor(); 2]);
        let info = PriorInfo {
            name,
            size: None,
            made_for,
            multiple: c.multiple(),
            pixels: autoencoder.factor(),
            channels: c.inputs,
            range: [-1.0, 1.0],
            labels: vec![],
            schedule: scheduler.schedule,
            parameterisation: scheduler.parameterisation,
            capabilities: vec![
                Capability::Text,
                Capability::Encode,
                Capability::Decode,
                Capability::Attention,
                Capability::Adapt,
                Capability::Share,
            ],
        };
        Ok(Self(Arc::new(Model {
            info,
            scheduler,
            text,
            weights: Placed::new(denoiser.parameters().to_vec()),
            denoiser,
            autoencoder_weights: Placed::new(autoencoder.parameters().to_vec()),
            autoencoder,
            told: Mutex::default(),
        })))
    }

    /// Its networks, with how many parameters each has.
    pub fn networks(&self) -> [(&'static str, usize); 3] {
        let count = |tensors: &[Tensor]| tensors.iter().map(Tensor::len).sum();
        [
            ("text encoder", count(self.0.text.parameters())),
            ("U-Net", count(self.0.weights.home())),
            ("autoencoder", count(self.0.autoencoder_weights.home())),
        ]
    }
}

impl Model {
    /// States of what conditions say, [n, T, width], or [1, T, width] for a single one.
    fn context(&self, conditions: &[Condition], device: &Device) -> Result<Var> {
        let states: Vec<Tensor> = conditions
            .iter()
            .map(|condition| {
                self.info.check_condition(condition)?;
                let words = match &condition.subject {
                    Subject::Text(text) => text.as_str(),
                    _ => "",
                };
                let known = self.told.lock().unwrap_or_else(PoisonError::into_inner).get(words).cloned();
                let state = match known {
                    Some(state) => state,
                    None => {
                        let state = self.text.encode(&[words], &Device::cpu())?;
                        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                        if told.len() >= REMEMBERED {
                            told.clear();
                        }
                        told.insert(words.into(), state.clone());
                        state
                    }
                };
                Ok(state.to_device(device)?)
            })
            .collect::<Result<_>>()?;
        Ok(ops::concat_tensors(&states.iter().collect::<Vec<_>>(), 0)?.into())
    }

    pub(super) fn check(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<()> {
        self.info.check("noisy latents", noisy.shape())?;
        self.info.check_entries("levels", noisy.shape()[0], levels.len())?;
        self.info.check_entries("conditions", noisy.shape()[0], conditions.len())
    }

    /// What the network says of latents at variance-preserving levels.
    pub(super) fn output(
        &self,
        p: &[Var],
        noisy: &Var,
        levels: &[Level],
        conditions: &[Condition],
        ask: &Ask,
    ) -> Result<Var> {
        let steps: Vec<f64> = levels.iter().map(|l| self.scheduler.step(*l)).collect();
        let context = self.context(conditions, noisy.device())?;
        self.denoiser.apply(p, noisy, &steps, &context, ask)
    }

    /// ε̂, with parameters of any origin.
    pub(super) fn noise(
        &self,
        p: &[Var],
        noisy: &Tensor,
        levels: &[Level],
        conditions: &[Condition],
        ask: &Ask,
    ) -> Result<Tensor> {
        self.check(noisy, levels, conditions)?;
        if noisy.is_empty() {
            return Ok(noisy.clone());
        }
        let (levels, factors): (Vec<Level>, Vec<f64>) = levels.iter().map(|l| l.to_variance_preserving()).unzip();
        // The network is of single precision.
        let noisy = noisy.cast(DType::F32)?;
        let moved = combine(&[(&noisy.into(), &factors)])?;
        let output = self.output(p, &moved, &levels, conditions, ask)?;
        self.scheduler.parameterisation.to_noise(output.tensor(), moved.tensor(), &levels)
    }
}

impl DiffusionPrior for LatentPrior {
    fn info(&self) -> &PriorInfo {
        &self.0.info
    }

    fn predict(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Tensor> {
        let p = self.0.weights.on(noisy.device())?;
        self.0.noise(&p, noisy, levels, conditions, &Ask::default())
    }

    /// Means of the encoder's distribution, scaled.
    fn encode(&self, pictures: &Tensor) -> Result<Tensor> {
        let p = self.0.autoencoder_weights.on(pictures.device())?;
        Ok(self.0.autoencoder.encode(&p, &pictures.cast(DType::F32)?.into())?.tensor().clone())
    }

    fn encode_vjp(&self, pictures: &Tensor, cotangent: &Tensor) -> Result<Tensor> {
        let p = self.0.autoencoder_weights.on(pictures.device())?;
        // One picture at a time: the record of the encoder is what takes memory.
        let n = pictures.shape().first().copied().unwrap_or(0);
        let mut parts = vec![];
        for i in 0..n {
            let tape = Tape::new();
            let picture = tape.variable(ops::slice_tensor(pictures, 0, i, i + 1)?.cast(DType::F32)?);
            let latents = self.0.autoencoder.encode(&p, &picture)?;
            let mut gradients = tape.backward_with(&latents, ops::slice_tensor(cotangent, 0, i, i + 1)?)?;
            parts.push(match gradients.take(&picture) {
                Some(gradient) => gradient,
                None => Tensor::zeros(picture.device(), picture.dtype(), picture.shape())?,
            });
        }
        match parts.is_empty() {
            true => Ok(pictures.clone()),
            false => Ok(ops::concat_tensors(&parts.iter().collect::<Vec<_>>(), 0)?),
        }
    }

    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        self.0.info.check("latents", latents.shape())?;
        let p = self.0.autoencoder_weights.on(latents.device())?;
        Ok(self.0.autoencoder.decode(&p, &latents.cast(DType::F32)?.into())?.tensor().clone())
    }

    /// Mean over heads and layers of how much each place of the latents attends to the word's tokens, over the most.
    fn attention(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition], word: &str) -> Result<Tensor> {
        let p = self.0.weights.on(noisy.device())?;
        let places: Vec<Vec<usize>> = conditions
            .iter()
            .map(|condition| {
                let found = match &condition.subject {
                    Subject::Text(text) => self.0.text.words(text, word),
                    _ => vec![],
                };
                let missing = || Error::Condition(format!("attention to {word:?} needs a text that has it"));
                if found.is_empty() { Err(missing()) } else { Ok(found) }
            })
            .collect::<Result<_>>()?;
        let ask = Ask::attention();
        self.0.noise(&p, noisy, levels, conditions, &ask)?;
        let &[n, h, w, _] = noisy.shape() else { unreachable!("checked") };
        let mut out = vec![0.0f32; n * h * w];
        for (size, weights) in ask.seen() {
            let (weights, tokens) = (weights.to_vec::<f32>()?, weights.shape()[2]);
            for i in 0..n {
                let of_word = of_picture(&places, i);
                for y in 0..h {
                    for x in 0..w {
                        let cell = (i * size[0] + y * size[0] / h) * size[1] + x * size[1] / w;
                        let row = &weights[cell * tokens..(cell + 1) * tokens];
                        out[(i * h + y) * w + x] += of_word.iter().map(|&t| row[t]).sum::<f32>();
                    }
                }
            }
        }
        for picture in out.chunks_exact_mut((h * w).max(1)) {
            let most = picture.iter().copied().fold(0.0f32, f32::max).max(1e-12);
            picture.iter_mut().for_each(|x| *x /= most);
        }
        Ok(Tensor::from_slice(noisy.device(), &out, &[n, h, w, 1])?)
    }

    fn adapt(&self, rank: usize, seed: u64) -> Result<Box<dyn Student>> {
        Ok(Box::new(Adapter::new(self.clone(), rank, seed)?))
    }

    fn predict_together(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Tensor> {
        let p = self.0.weights.on(noisy.device())?;
        self.0.noise(&p, noisy, levels, conditions, &Ask::together())
    }
}
