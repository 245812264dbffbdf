//! Adam (Kingma & Ba 2014) with groups, bounds and AdamW's decoupled decay (Loshchilov & Hutter 2017).

use crate::kernels::adam_step::{AdamStep, Params};
use crate::{Error, Result};
use lumigrad_core::map::vector;
use lumigrad_core::{CallParams, Map, Tensor, ops};

/// Settings of one optimised array.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Name, for messages and checkpoints.
    pub name: String,
    /// Learning rate before the schedule.
    pub rate: f64,
    /// Values are projected into these bounds after each step.
    pub bounds: (f64, f64),
    /// One second moment for the whole array (its maximum), so that steps keep the gradient's direction: AdamUniform of
    /// Nicolet et al. 2021.
    pub uniform: bool,
    /// Decay rates of the moments.
    pub betas: (f64, f64),
    /// Added to the denominator. Very small values make steps of the learning rate's size however small gradients are.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub decay: f64,
    /// Elements whose gradient is exactly 0 are left alone, their moments too: rows of tables of which a step touches some.
    pub masked: bool,
    /// Each residual depends on one row of the array at most, as in [`LmOptions`](crate::LmOptions); Adam does not care.
    pub separable: bool,
    /// Longest change of a row in one step of Levenberg–Marquardt; Adam does not care.
    pub reach: f64,
}

impl Group {
    /// A group with Adam's usual constants and no bounds.
    pub fn new(name: impl Into<String>, rate: f64) -> Self {
        let bounds = (f64::NEG_INFINITY, f64::INFINITY);
        let betas = (0.9, 0.999);
        Self {
            name: name.into(),
            rate,
            bounds,
            uniform: false,
            betas,
            epsilon: 1e-8,
            decay: 0.0,
            masked: false,
            separable: false,
            reach: f64::INFINITY,
        }
    }
}

/// Limits of gradients, applied before the moments see them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clip {
    /// Length of all groups' gradients together at most; longer ones are scaled down.
    pub norm: Option<f64>,
    /// Absolute value of each element at most.
    pub value: Option<f64>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamInfo {
    /// Length of all groups' gradients together, before clipping.
    pub gradient_norm: f64,
    /// A gradient was not finite: nothing was changed.
    pub skipped: bool,
}

/// The moments of one group.
#[derive(Clone)]
struct Moments {
    first: Tensor,
    second: Tensor,
}

/// Adam over groups of arrays.
pub struct Adam {
    groups: Vec<Group>,
    moments: Vec<Option<Moments>>,
    clip: Clip,
    steps: u32,
    skipped: u32,
}

/// The moments alone, for groups with one denominator.
fn moments_map() -> Map {
    Map::cached("optim/adam_moments", |b| {
        let ([g], [m], [v]) = (b.item("gradient"), b.item("first"), b.item("second"));
        let [beta1, beta2, scale, limit] = std::array::from_fn(|_| b.param());
        let g = (scale * g).max(-limit).min(limit);
        b.output("first", &[beta1 * m + (1.0 - beta1) * g]);
        b.output("second", &[beta2 * v + (1.0 - beta2) * g * g]);
    })
}

fn uniform_step_map() -> Map {
    Map::cached("optim/adam_uniform", |b| {
        let ([x], [m]) = (b.item("values"), b.item("first"));
        let [rate, shrink, lo, hi] = std::array::from_fn(|_| b.param());
        b.output("values", &[(shrink * x - rate * m).max(lo).min(hi)]);
    })
}

/// ‖g‖² of all gradients together, one number on their device; `None` where there are none.
///
/// # Errors
/// Those of the device.
pub fn gradient_square(gradients: &[Option<Tensor>]) -> Result<Option<Tensor>> {
    // Eight elements per item where it comes out even: fewer sums to add.
    let wide = Map::cached("optim/squared_norm 8", |m| {
        let g = m.item::<8>("gradient");
        m.sum("norm", &[vector::dot(g, g)]);
    });
    let narrow = Map::cached("optim/squared_norm", |m| {
        let [g] = m.item("gradient");
        m.sum("norm", &[g * g]);
    });
    let mut total: Option<Tensor> = None;
    for gradient in gradients.iter().flatten().filter(|g| !g.is_empty()) {
        let norm = match gradient.len() % 8 {
            0 => wide.run(&[&gradient.reshape(&[gradient.len() / 8, 8])?], &CallParams::default())?.remove(0),
            _ => narrow.run(&[gradient], &CallParams::default())?.remove(0),
        };
        total = Some(match total {
            None => norm,
            Some(t) => ops::add_tensors(&t, &norm)?,
        });
    }
    Ok(total)
}

impl Adam {
    /// Fresh moments for these groups.
    pub fn new(groups: Vec<Group>) -> Self {
        Self { moments: vec![None; groups.len()], groups, clip: Clip::default(), steps: 0, skipped: 0 }
    }

    /// The same with limits of gradients.
    pub fn with_clip(mut self, clip: Clip) -> Self {
        self.clip = clip;
        self
    }

    /// Its groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Its groups, to change rates or decays between steps.
    pub fn groups_mut(&mut self) -> &mut [Group] {
        &mut self.groups
    }

    /// Steps that were left out because a gradient was not finite.
    pub fn skipped(&self) -> u32 {
        self.skipped
    }

    /// One step. `values` and `gradients` belong to the groups in order; a gradient of `None` leaves its array and
    /// moments alone. `factor` multiplies all rates.
    ///
    /// When any element of a gradient is not finite, nothing changes and the step counts as skipped.
    ///
    /// **Determinism**: always. **Cost**: reads the gradients twice, reads and writes values and moments once; values
    /// are changed in place unless another holder shares them.
    ///
    /// # Errors
    /// When the number of arrays is not that of the groups, or a gradient has another size than its values.
    pub fn step(&mut self, values: &mut [&mut Tensor], gradients: &[Option<Tensor>], factor: f64) -> Result<AdamInfo> {
        if values.len() != self.groups.len() || gradients.len() != self.groups.len() {
            return Err(Error::Groups { found: values.len().min(gradients.len()), expected: self.groups.len() });
        }
        for ((value, gradient), group) in values.iter().zip(gradients).zip(&self.groups) {
            if let Some(g) = gradient.as_ref().filter(|g| g.len() != value.len()) {
                let what = format!("the gradient of {}", group.name);
                let expected = format!("the size of its values {:?}", value.shape());
                return Err(lumigrad_core::Error::shape(&what, g.shape(), expected).into());
            }
        }
        let gradient_norm = gradient_square(gradients)?.map_or(Ok(0.0), |t| t.item())?.sqrt();
        self.step_known(values, gradients, factor, gradient_norm)
    }

    /// [`Adam::step`] with the length of all gradients together, which the caller found by [`gradient_square`]: nothing is
    /// read from a GPU.
    ///
    /// # Errors
    /// When the number of arrays is not that of the groups.
    pub fn step_known(
        &mut self,
        values: &mut [&mut Tensor],
        gradients: &[Option<Tensor>],
        factor: f64,
        gradient_norm: f64,
    ) -> Result<AdamInfo> {
        if values.len() != self.groups.len() || gradients.len() != self.groups.len() {
            return Err(Error::Groups { found: values.len().min(gradients.len()), expected: self.groups.len() });
        }
        if !gradient_norm.is_finite() {
            self.skipped += 1;
            return Ok(AdamInfo { gradient_norm, skipped: true });
        }
        self.steps += 1;
        let scale = self.clip.norm.map_or(1.0, |c| (c / (gradient_norm + 1e-6)).min(1.0));
        for (k, value) in values.iter_mut().enumerate() {
            if let Some(gradient) = &gradients[k] {
                self.update(k, value, gradient, factor, scale)?;
            }
        }
        Ok(AdamInfo { gradient_norm, skipped: false })
    }

    fn update(&mut self, k: usize, value: &mut Tensor, gradient: &Tensor, factor: f64, scale: f64) -> Result<()> {
        let group = &self.groups[k];
        let zeros = || Tensor::zeros(value.device(), value.dtype(), value.shape());
        let mut moments = match self.moments[k].take() {
            Some(m) => m,
            None => Moments { first: zeros()?, second: zeros()? },
        };
        let (b1, b2) = group.betas;
        let unbias = |beta: f64| 1.0 / (1.0 - beta.powi(self.steps as i32));
        let rate = group.rate * factor;
        let shrink = 1.0 - rate * group.decay;
        let finite = |x: f64| x.clamp(-1e30, 1e30);
        let (lo, hi) = (finite(group.bounds.0), finite(group.bounds.1));
        let limit = finite(self.clip.value.unwrap_or(f64::INFINITY));
        if group.uniform {
            let call = |real: Vec<f64>| CallParams { items: 0, real, int: vec![] };
            let inputs = [gradient, &moments.first, &moments.second];
            let mut new = moments_map().run(&inputs, &call(vec![b1, b2, scale, limit]))?;
            let second = new.remove(1).reshape(value.shape())?;
            let first = new.remove(0).reshape(value.shape())?;
            let largest = match second.as_slice::<f32>() {
                Some(v) => v.iter().fold(0f32, |a, &b| a.max(b)) as f64,
                None => second.to_f64_vec()?.into_iter().fold(0.0, f64::max),
            };
            let step = rate * unbias(b1) / ((largest * unbias(b2)).sqrt() + group.epsilon);
            let next = uniform_step_map().run(&[value, &first], &call(vec![step, shrink, lo, hi]))?.remove(0);
            *value = next.reshape(value.shape())?;
            moments = Moments { first, second };
        } else {
            let [beta1, rest1, beta2, rest2] = [b1, 1.0 - b1, b2, 1.0 - b2].map(|x| x as f32);
            let [rate, unbias2, epsilon, shrink] =
                [rate * unbias(b1), unbias(b2), group.epsilon, shrink].map(|x| x as f32);
            let [lo, hi, scale, limit] = [lo, hi, scale, limit].map(|x| x as f32);
            #[rustfmt::skip]
            let params =
                Params { beta1, rest1, beta2, rest2, rate, unbias2, epsilon, shrink, lo, hi, scale, limit, masked: group.masked as u32, unused: [0; 3] };
            let Moments { first, second } = &mut moments;
            AdamStep { gradient, values: value, first, second }.launch(&params, gradient.len())?;
        }
        self.moments[k] = Some(moments);
        Ok(())
    }

    /// Steps done and the moments by name, for checkpoints.
    pub fn state(&self) -> (u32, Vec<(String, Tensor)>) {
        let mut list = vec![];
        for (group, m) in self.groups.iter().zip(&self.moments) {
            if let Some(m) = m {
                list.push((format!("{}#first", group.name), m.first.clone()));
                list.push((format!("{}#second", group.name), m.second.clone()));
            }
        }
        (self.steps, list)
    }

    /// Puts a saved state back; the next steps are those of an uninterrupted run.
    pub fn load_state(&mut self, steps: u32, mut take: impl FnMut(&str) -> Option<Tensor>) {
        self.steps = steps;
        for (group, m) in self.groups.iter().zip(&mut self.moments) {
            let first = take(&format!("{}#first", group.name));
            let second = take(&format!("{}#second", group.name));
            *m = first.zip(second).map(|(first, second)| Moments { first, second });
        }
    }
}
