//! How the number of Gaussians changes while they are trained.

mod mcmc;

use crate::rows::{OPACITY, Rows};

/// A way to place Gaussians where they are needed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Strategy {
    /// The Gaussians stay those of the start.
    #[default]
    Fixed,
    /// Gaussians as samples of a distribution, up to `cap` of them: noise explores, invisible ones jump onto visible ones,
    /// and 5 % are added every 100 steps (Kheradmand et al. 2024, "3D Gaussian Splatting as Markov Chain Monte Carlo").
    Mcmc {
        /// Most Gaussians.
        cap: usize,
    },
}

/// What a strategy may change.
pub(crate) struct State<'a> {
    pub rows: &'a mut Rows<f32>,
    pub moments: &'a mut [Rows<f32>; 2],
    /// Steps done, and the part of the run that is done.
    pub step: usize,
    pub progress: f64,
    pub seed: u64,
    /// Present rate of the means.
    pub means_rate: f32,
}

impl Strategy {
    /// Whether the number of Gaussians, or where they are, is looked at after this step.
    pub(crate) fn resizes(self, step: usize, progress: f64) -> bool {
        matches!(self, Strategy::Mcmc { .. }) && mcmc::is_due(step, progress)
    }

    /// Changes the number of Gaussians.
    pub(crate) fn resize(self, state: &mut State) {
        if let Strategy::Mcmc { cap } = self {
            mcmc::resize(state, cap);
        }
    }

    /// Size of the noise that means are moved by after every step, in units of their covariances.
    pub(crate) fn noise(self, means_rate: f32) -> Option<f32> {
        matches!(self, Strategy::Mcmc { .. }).then_some(means_rate * mcmc::NOISE)
    }

    /// Acts after a step.
    pub(crate) fn act(self, state: &mut State) {
        if self.resizes(state.step, state.progress) {
            self.resize(state);
        }
        if let Some(size) = self.noise(state.means_rate) {
            mcmc::shake(state, size);
        }
    }
}

/// Opacity of a row.
fn opacity(rows: &Rows<f32>, i: usize) -> f32 {
    1.0 / (1.0 + (-rows.get(i, OPACITY)).exp())
}
