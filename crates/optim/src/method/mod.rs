//! Optimisers behind one interface, by name: a [`Method`] changes arrays so that an [`Objective`] shrinks.

mod adamomentum;
mod ademamix;
mod flatness;
mod forward_gradient;
mod grokfast;
mod hybrid;
mod least_squares;
mod normalized;
mod rule;
mod saddle_free;

pub use crate::vectors::filled;
pub use rule::Rule;

use crate::{Adam, Damping, Error, Group, Residuals, Result};
use lumigrad_core::{Device, Tape, Tensor, Var};
use std::collections::BTreeMap;

/// Which part of the data the loss is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// This step's, the same for all evaluations of one step.
    Batch,
    /// Everything.
    All,
}

/// The loss and its gradient by each array; `None` = the loss does not depend on it.
pub type Gradient = (f64, Vec<Option<Tensor>>);

/// What is minimised. `values` belong to the groups in order. Evaluations within one step see the same data and random
/// numbers.
pub trait Objective {
    /// Records the loss.
    ///
    /// # Errors
    /// When it cannot be evaluated.
    fn loss(&mut self, values: &[Var], sample: Sample) -> Result<Var>;

    /// True when the batch is all there is.
    fn is_whole(&self) -> bool {
        false
    }

    /// Parts that residuals come in, each of which fits memory; their mean is the whole.
    fn parts(&self) -> usize {
        1
    }

    /// Records the residuals of a part, in place of the loss; where they compare pictures, of pictures whose sides were
    /// halved `coarseness` times.
    ///
    /// # Errors
    /// When they cannot be evaluated.
    fn residuals(&mut self, values: &[Var], part: usize, coarseness: usize) -> Result<Residuals>;

    /// The loss and its gradient.
    ///
    /// # Errors
    /// When it cannot be evaluated.
    fn gradient(&mut self, values: &[Tensor], sample: Sample) -> Result<Gradient> {
        reverse_mode(values, |leaves| self.loss(leaves, sample))
    }
}

/// A recorded loss and its gradient.
///
/// # Errors
/// Those of `loss`.
pub fn reverse_mode(values: &[Tensor], loss: impl FnOnce(&[Var]) -> Result<Var>) -> Result<Gradient> {
    let tape = Tape::new();
    let leaves: Vec<Var> = values.iter().map(|t| tape.variable(t.clone())).collect();
    let loss = loss(&leaves)?;
    let mut gradients = tape.backward(&loss)?;
    Ok((loss.tensor().item()?, leaves.iter().map(|v| gradients.take(v)).collect()))
}

/// What a method remembers between steps, for checkpoints.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Numbers by name.
    pub numbers: BTreeMap<String, f64>,
    /// Arrays by name.
    pub tensors: BTreeMap<String, Tensor>,
}

impl State {
    /// A number, 0 where there is none.
    pub fn number(&self, name: &str) -> f64 {
        self.numbers.get(name).copied().unwrap_or(0.0)
    }
}

/// An optimiser.
pub trait Method: Send {
    /// One step; gives the loss before it. `factor` multiplies learning rates.
    ///
    /// # Errors
    /// When the objective cannot be evaluated.
    fn step(&mut self, values: &mut [Tensor], objective: &mut dyn Objective, factor: f64) -> Result<f64>;

    /// Calls `change` with the settings of each group, for schedules of one's own.
    fn for_groups(&mut self, _change: &mut dyn FnMut(&mut Group)) {}

    /// Sets the decay β₁ of the momentum, where there is one: schedules may cycle it.
    fn set_momentum(&mut self, beta: f64) {
        self.for_groups(&mut |g| g.betas.0 = beta);
    }

    /// The rows of all arrays have changed: row i is what was row `rows[i]`, or a new one. What is remembered of rows goes
    /// with them, and is zero for new ones.
    ///
    /// # Errors
    /// Memory of the device.
    fn resize(&mut self, rows: &[Option<usize>], before: usize) -> Result<()> {
        let mut state = self.state();
        for tensor in state.tensors.values_mut().filter(|t| t.shape().first() == Some(&before)) {
            *tensor = resized(tensor, rows)?;
        }
        self.load_state(&state);
        Ok(())
    }

    /// True when further steps would change nothing.
    fn converged(&self) -> bool {
        false
    }

    /// What it remembers.
    fn state(&self) -> State;

    /// Puts a saved state back: the next steps are those of an uninterrupted run.
    fn load_state(&mut self, state: &State);
}

/// Rows of an array, zeros where there is none.
fn resized(array: &Tensor, rows: &[Option<usize>]) -> Result<Tensor> {
    let width = array.len() / array.shape()[0].max(1);
    let old = array.to_f64_vec()?;
    let row = |from: &Option<usize>| match from {
        Some(i) => old[i * width..(i + 1) * width].to_vec(),
        None => vec![0.0; width],
    };
    let new: Vec<f64> = rows.iter().flat_map(row).collect();
    let shape: Vec<usize> = std::iter::once(rows.len()).chain(array.shape()[1..].iter().copied()).collect();
    Ok(Tensor::from_slice(&Device::cpu(), &new, &shape)?.cast(array.dtype())?.to_device(array.device())?)
}

/// What is known of a run when it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Optimised arrays.
    pub groups: Vec<Group>,
    /// Steps that the run will have, about.
    pub steps: usize,
    /// Seed of everything random.
    pub seed: u64,
}

/// An entry of [`METHODS`].
pub struct Entry {
    /// Name as in jobs.
    pub name: &'static str,
    /// What it is, for `--help`.
    pub about: &'static str,
    /// Whether its steps need the same data each time.
    pub deterministic: bool,
    /// Whether it follows gradients alone, which may be estimates.
    pub takes_estimates: bool,
    build: fn(Plan) -> Box<dyn Method>,
}

const fn entry(name: &'static str, about: &'static str, build: fn(Plan) -> Box<dyn Method>) -> Entry {
    Entry { name, about, deterministic: false, takes_estimates: true, build }
}

/// All optimisers.
pub const METHODS: &[Entry] = &[
    entry("adam", "adaptive moments (Kingma & Ba 2014)", |p| plain(adam(p))),
    entry("adamw", "Adam with decoupled weight decay 0.01 (Loshchilov & Hutter 2017)", |p| plain(adamw(p))),
    entry("ademamix", "Adam with a second, slow momentum (Pagliardini et al. 2024)", |p| plain(ademamix::rule(p))),
    entry("adamomentum", "Adam whose second moment is that of the momentum", |p| plain(adamomentum::rule(p))),
    entry("sam+adam", "Adam on the gradient at the worst point nearby (Foret et al. 2020); two passes", |p| {
        Box::new(flatness::Sam::new(adam(p)))
    }),
    entry("gam+adam", "Adam towards flat minima of the gradient's norm (Zhang et al. 2023); four passes", |p| {
        Box::new(flatness::Gam::new(adam(p)))
    }),
    entry("grokfast+adam", "Adam with slow gradients amplified (Lee et al. 2024)", |p| {
        plain(Box::new(grokfast::Grokfast::new(adam(p))))
    }),
    entry("spider", "normalised steps with variance reduction (Fang et al. 2018)", |p| {
        Box::new(normalized::Spider::new(p.groups))
    }),
    entry("saddle-free-newton", "Newton with |eigenvalues| in a Krylov space (Dauphin et al. 2014)", |p| {
        Box::new(saddle_free::SaddleFree::new(p.groups))
    }),
    Entry {
        deterministic: true,
        takes_estimates: false,
        ..entry("lm", "Levenberg-Marquardt, matrix-free: few large steps for sums of squares", |p| {
            Box::new(least_squares::LeastSquares::new(p, Damping::GainRatio))
        })
    },
    Entry {
        deterministic: true,
        takes_estimates: false,
        ..entry("lm-gns", "Levenberg-Marquardt damped by gradient-normalised smoothness (2025)", |p| {
            Box::new(least_squares::LeastSquares::new(p, Damping::GradientNormalized))
        })
    },
    Entry {
        deterministic: true,
        takes_estimates: false,
        ..entry("adam+lm", "Adam until the loss stands still, then Levenberg-Marquardt", |p| {
            Box::new(hybrid::Hybrid::new(
                plain(adam(p.clone())),
                Box::new(least_squares::LeastSquares::new(p, Damping::GainRatio)),
            ))
        })
    },
    Entry {
        takes_estimates: false,
        ..entry(
            "forward-gradient",
            "Adam on derivatives along eight random directions: a baseline without reverse mode",
            |p| {
                let seed = p.seed;
                Box::new(forward_gradient::ForwardGradient::new(adam(p), seed))
            },
        )
    },
];

/// The names of [`METHODS`].
pub const NAMES: [&str; METHODS.len()] = {
    let (mut names, mut k) = ([""; METHODS.len()], 0);
    while k < names.len() {
        names[k] = METHODS[k].name;
        k += 1;
    }
    names
};

fn plain(rule: Box<dyn Rule>) -> Box<dyn Method> {
    Box::new(rule::Plain(rule))
}

fn adam(plan: Plan) -> Box<dyn Rule> {
    Box::new(Adam::new(plan.groups))
}

fn adamw(mut plan: Plan) -> Box<dyn Rule> {
    plan.groups.iter_mut().for_each(|g| g.decay = 0.01);
    adam(plan)
}

/// The entry of a name.
///
/// # Errors
/// When there is none.
pub fn find(name: &str) -> Result<&'static Entry> {
    METHODS.iter().find(|m| m.name == name).ok_or_else(|| Error::UnknownMethod {
        name: name.into(),
        known: METHODS.iter().map(|m| m.name).collect::<Vec<_>>().join(", "),
    })
}

impl Entry {
    /// A fresh optimiser.
    pub fn build(&self, plan: Plan) -> Box<dyn Method> {
        (self.build)(plan)
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
