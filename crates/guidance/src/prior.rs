//! The interface of all priors.

use crate::{Condition, Error, Level, Parameterisation, Result, Schedule, Subject, View};
use lumigrad_core::Tensor;
use std::fmt;

/// What not every prior can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capability {
    /// Predictions for labels.
    Labels,
    /// Predictions for texts.
    Text,
    /// Predictions for views.
    Views,
    /// [`DiffusionPrior::encode`] and [`DiffusionPrior::encode_vjp`]: pictures live in a latent space.
    Encode,
    /// [`DiffusionPrior::decode`].
    Decode,
    /// [`DiffusionPrior::attention`].
    Attention,
    /// [`DiffusionPrior::adapt`].
    Adapt,
    /// [`DiffusionPrior::predict_together`].
    Share,
    /// [`DiffusionPrior::log_density`].
    Density,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Labels => "be conditioned on labels",
            Self::Text => "be conditioned on texts",
            Self::Views => "be conditioned on views",
            Self::Encode => "encode pictures",
            Self::Decode => "decode latents",
            Self::Attention => "give attention maps",
            Self::Adapt => "be adapted",
            Self::Share => "share features between pictures",
            Self::Density => "tell densities",
        })
    }
}

/// What a prior is.
#[derive(Clone, Debug)]
pub struct PriorInfo {
    /// What messages call it ("the Gaussian prior cats.safetensors").
    pub name: String,
    /// Height and width of what it denoises (pictures, or latents where there are any); `None` for any size.
    pub size: Option<[usize; 2]>,
    /// Height and width of pictures that it was made for, where others are possible.
    pub made_for: Option<[usize; 2]>,
    /// Height and width of what it denoises must be multiples of it (1 where they need not).
    pub multiple: usize,
    /// Pixels of a picture along a side of one of its latents (1 where there are none).
    pub pixels: usize,
    /// Channels of its pictures (of latents, where there are any).
    pub channels: usize,
    /// Darkest and brightest value of pictures: renders in [0, 1] are mapped there.
    pub range: [f64; 2],
    /// Names of labels, by number.
    pub labels: Vec<String>,
    /// The schedule that it was made for: times of methods are times of it.
    pub schedule: Schedule,
    /// What it predicts inside, of interest for people only.
    pub parameterisation: Parameterisation,
    /// What else it can do.
    pub capabilities: Vec<Capability>,
}

impl PriorInfo {
    /// Checks a batch of noisy pictures.
    pub fn check(&self, what: &str, shape: &[usize]) -> Result<()> {
        let side = |k: usize| self.size.map_or_else(|| "any".into(), |s| s[k].to_string());
        let fits = match *shape {
            [_, h, w, c] => {
                c == self.channels
                    && self.size.is_none_or(|s| s == [h, w])
                    && h % self.multiple.max(1) == 0
                    && w % self.multiple.max(1) == 0
            }
            _ => false,
        };
        match fits {
            true => Ok(()),
            false => {
                let multiple = match self.multiple {
                    0 | 1 => String::new(),
                    m => format!(", sides multiples of {m}"),
                };
                let expected = format!("[n, {}, {}, {}] of {}{multiple}", side(0), side(1), self.channels, self.name);
                Err(Error::shape(what, shape, expected))
            }
        }
    }

    /// Sides of pictures must be multiples of it.
    pub fn step(&self) -> usize {
        self.multiple.max(1) * self.pixels.max(1)
    }

    /// A condition for what is seen from somewhere: as views where it knows them, else in words where it reads texts.
    pub fn seen_from(&self, condition: &Condition, view: View) -> Condition {
        if self.can(Capability::Views) { condition.seen_from(view) } else { condition.told_from(view) }
    }

    /// Rows and columns of pictures that it is shown: what is `asked` for, else what it has or was made for, else squares of `usual`
    /// pixels along a side, or a few more.
    ///
    /// # Errors
    /// Sizes that it cannot be shown.
    pub fn pictures(&self, asked: Option<[usize; 2]>, usual: usize) -> Result<[usize; 2]> {
        let step = self.step();
        let own = self.size.map(|s| s.map(|s| s * self.pixels.max(1)));
        let wrong = |[h, w]: [usize; 2], known: String| {
            Err(Error::Setting(format!("{} has pictures of {known}, not of {w}x{h}", self.name)))
        };
        match (own, asked) {
            (Some(own), Some(asked)) if own != asked => wrong(asked, format!("{}x{}", own[1], own[0])),
            (None, Some(asked)) if asked.iter().any(|s| *s == 0 || s % step != 0) => {
                wrong(asked, format!("sides that are multiples of {step}"))
            }
            _ => Ok(own.or(asked).or(self.made_for).unwrap_or([usual.next_multiple_of(step); 2])),
        }
    }

    /// Shape of what it denoises of `n` pictures with these rows and columns.
    pub fn denoised(&self, n: usize, pictures: [usize; 2]) -> [usize; 4] {
        let [h, w] = pictures.map(|s| s / self.pixels.max(1));
        [n, h, w, self.channels]
    }

    /// Whether its pictures have three channels.
    pub fn is_colour(&self) -> bool {
        self.channels == 3 || self.can(Capability::Encode)
    }

    /// Checks that there is one entry for each of `n` pictures, or one for all.
    pub fn check_entries(&self, what: &str, n: usize, entries: usize) -> Result<()> {
        match entries == 1 || entries == n {
            true => Ok(()),
            false => Err(Error::shape(what, &[entries], format!("1 or {n} (pictures)"))),
        }
    }

    /// Checks what a prediction is conditioned on.
    pub fn check_condition(&self, condition: &Condition) -> Result<()> {
        match &condition.subject {
            Subject::Null => Ok(()),
            Subject::Text(_) => self.require(Capability::Text, " (it was given a text)"),
            Subject::Labels(labels) => match labels.iter().find(|&&l| l >= self.labels.len()) {
                Some(l) => Err(Error::Condition(format!("{} has labels 0..{}, not {l}", self.name, self.labels.len()))),
                None if labels.is_empty() => Err(Error::Condition("a list of labels is empty".into())),
                None => Ok(()),
            },
        }
    }

    /// Whether it can.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// An error where it cannot: asked for before a run starts. `needed` ("" or " (needed by …)") ends up in the message.
    pub fn require(&self, capability: Capability, needed: &str) -> Result<()> {
        match self.can(capability) {
            true => Ok(()),
            false => Err(Error::Unsupported { prior: self.name.clone(), capability, needed: needed.into() }),
        }
    }

    /// The condition that words stand for: a label by name, several with commas between, a text where the prior reads
    /// texts, and the null condition for "".
    ///
    /// # Errors
    /// Names the nearest label.
    pub fn condition(&self, words: &str) -> Result<Condition> {
        let words = words.trim();
        if words.is_empty() {
            return Ok(Condition::null());
        }
        if self.can(Capability::Text) {
            return Ok(Condition { subject: Subject::Text(words.into()), view: None });
        }
        self.require(Capability::Labels, &format!(" (asked for {words:?})"))?;
        let labels = words.split(',').map(|w| self.label(w.trim())).collect::<Result<_>>()?;
        Ok(Condition { subject: Subject::Labels(labels), view: None })
    }

    fn label(&self, word: &str) -> Result<usize> {
        self.labels.iter().position(|l| l == word).ok_or_else(|| {
            let near = self.labels.iter().max_by(|a, b| {
                let likeness = |l: &str| strsim::jaro_winkler(l, word);
                likeness(a).total_cmp(&likeness(b))
            });
            let near = near.map(|l| format!(", did you mean {l:?}")).unwrap_or_default();
            Error::Condition(format!("{} knows no {word:?}{near}? it knows {}", self.name, self.labels.join(", ")))
        })
    }
}

/// A prior over pictures, known by what noise it sees in them.
///
/// Tensors are batches [n, height, width, channels] on any device (what a prior keeps it moves where its input is); levels
/// and conditions have an entry for each picture or one for all. Nothing here is recorded on a tape: score distillation
/// needs no derivative of a prior.
pub trait DiffusionPrior: Send + Sync {
    /// What it is.
    fn info(&self) -> &PriorInfo;

    /// ε̂ of x_t = a·x + σ·ε: like `noisy`, finite for any level that is not (1, 0).
    ///
    /// # Errors
    /// Shapes, numbers of levels or conditions, and conditions that it does not know.
    fn predict(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Tensor>;

    /// Latents of pictures [n, height, width, 3] in the range [`PriorInfo::range`].
    fn encode(&self, _pictures: &Tensor) -> Result<Tensor> {
        Err(self.lacks(Capability::Encode))
    }

    /// The cotangent of pictures, given that of their latents: E'(pictures)ᵀ·cotangent.
    fn encode_vjp(&self, _pictures: &Tensor, _cotangent: &Tensor) -> Result<Tensor> {
        Err(self.lacks(Capability::Encode))
    }

    /// Pictures of latents.
    fn decode(&self, _latents: &Tensor) -> Result<Tensor> {
        Err(self.lacks(Capability::Decode))
    }

    /// Where pictures answer to a word of the condition: [n, height, width, 1] in [0, 1], averaged over layers.
    fn attention(&self, _noisy: &Tensor, _levels: &[Level], _conditions: &[Condition], _word: &str) -> Result<Tensor> {
        Err(self.lacks(Capability::Attention))
    }

    /// A copy that learns what renders look like (for variational distillation): low-rank changes of the weights.
    fn adapt(&self, _rank: usize, _seed: u64) -> Result<Box<dyn Student>> {
        Err(self.lacks(Capability::Adapt))
    }

    /// [`DiffusionPrior::predict`] with self-attention that looks at all pictures of the batch, so that they agree.
    fn predict_together(&self, _noisy: &Tensor, _levels: &[Level], _conditions: &[Condition]) -> Result<Tensor> {
        Err(self.lacks(Capability::Share))
    }

    /// ln p(x_t) of each picture.
    fn log_density(&self, _noisy: &Tensor, _levels: &[Level], _conditions: &[Condition]) -> Result<Vec<f64>> {
        Err(self.lacks(Capability::Density))
    }

    /// What it denoises of pictures: their latents, or themselves.
    fn entered(&self, pictures: &Tensor) -> Result<Tensor> {
        if self.info().can(Capability::Encode) { self.encode(pictures) } else { Ok(pictures.clone()) }
    }

    /// Pictures of what it denoises, which is itself where it has no latents.
    fn left(&self, denoised: &Tensor) -> Result<Tensor> {
        if self.info().can(Capability::Decode) { self.decode(denoised) } else { Ok(denoised.clone()) }
    }

    /// The error of what it cannot do.
    fn lacks(&self, capability: Capability) -> Error {
        Error::Unsupported { prior: self.info().name.clone(), capability, needed: String::new() }
    }
}

/// A prior of renders that is learnt while they change.
pub trait Student: DiffusionPrior {
    /// One step of learning ε̂(a·x + σ·ε) = ε on renders x: the loss (mean square) before the step.
    fn learn(&mut self, pictures: &Tensor, noise: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<f64>;

    /// What a checkpoint must hold: named arrays, in a fixed order.
    fn state(&self) -> Vec<(String, Tensor)>;

    /// Takes up a state again.
    ///
    /// # Errors
    /// Where names or shapes are others.
    fn restore(&mut self, state: &[(String, Tensor)]) -> Result<()>;
}
