//! How the number of Gaussians changes while they are trained.

mod adc;
mod mcmc;

use crate::Technique;
use crate::rows::{OPACITY, ROTATION, Rows};

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
    /// Adaptive density control: where pictures pull at means, small Gaussians are cloned and large ones split; faint ones
    /// are left out, and opacities fall now and then (Kerbl et al. 2023).
    Adc {
        /// Most Gaussians.
        cap: usize,
        /// Pulls of single pixels are added without their directions, so that they do not cancel (Ye et al. 2024, "AbsGS").
        absgrad: bool,
    },
}

/// What a strategy may change.
pub(crate) struct State<'a> {
    pub rows: &'a mut Rows<f32>,
    /// Sum of the pulls at each mean, and how many pictures saw it; no rows where a strategy does not ask.
    pub growth: &'a mut Rows<f32>,
    /// Extent of the scene.
    pub extent: f32,
    /// What optimisers keep of the rows, which begins anew with them.
    pub moments: &'a mut [Rows<f32>],
    /// Steps done, and the part of the run that is done.
    pub step: usize,
    pub progress: f64,
    pub seed: u64,
    /// Present rate of the means.
    pub means_rate: f32,
    /// What Gaussians look like together.
    pub technique: Technique,
}

impl Strategy {
    /// Whether the number of Gaussians, or where they are, is looked at after this step.
    pub(crate) fn resizes(self, step: usize, progress: f64) -> bool {
        match self {
            Strategy::Fixed => false,
            Strategy::Mcmc { .. } => mcmc::is_due(step, progress),
            Strategy::Adc { .. } => adc::is_due(step, progress),
        }
    }

    /// Whether rows have other numbers after a step: those that stay keep theirs unless some are left out.
    pub(crate) fn renumbers(self, step: usize, progress: f64) -> bool {
        matches!(self, Strategy::Adc { .. }) && self.resizes(step, progress)
    }

    /// Changes the number of Gaussians.
    pub(crate) fn resize(self, state: &mut State) {
        match self {
            Strategy::Fixed => {}
            Strategy::Mcmc { cap } => mcmc::resize(state, cap),
            Strategy::Adc { cap, absgrad } => adc::resize(state, cap, absgrad),
        }
    }

    /// How the pulls at means are measured, where they are.
    pub(crate) fn pulls(self) -> Option<Pulls> {
        match self {
            Strategy::Adc { absgrad: true, .. } => Some(Pulls::OfPixels),
            Strategy::Adc { .. } => Some(Pulls::OfPictures),
            _ => None,
        }
    }

    /// Size of the noise that means are moved by after every step, in units of their covariances.
    pub(crate) fn noise(self, means_rate: f32, technique: Technique) -> Option<f32> {
        let means_rate = means_rate * if technique == Technique::Raycast { mcmc::OF_DENSITIES } else { 1.0 };
        matches!(self, Strategy::Mcmc { .. }).then_some(means_rate * mcmc::NOISE)
    }

    /// Acts after a step.
    pub(crate) fn act(self, state: &mut State) {
        if self.resizes(state.step, state.progress) {
            self.resize(state);
        }
        if let Some(size) = self.noise(state.means_rate, state.technique) {
            mcmc::shake(state, size);
        }
    }
}

/// What pulls at a mean in a picture, in units of half its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulls {
    /// Length of the derivative.
    OfPictures,
    /// Sum of the lengths of the derivatives of its pixels' losses.
    OfPixels,
}

/// The rotation matrix of a row.
fn turn(rows: &Rows<f32>, i: usize) -> [[f32; 3]; 3] {
    let q = [0, 1, 2, 3].map(|k| rows.get(i, ROTATION + k));
    let norm = q.iter().map(|x| x * x).sum::<f32>().sqrt();
    crate::project::rotation(q.map(|x| x / norm), 1.0, 2.0)
}

/// Opacity of a row.
fn opacity(rows: &Rows<f32>, i: usize) -> f32 {
    1.0 / (1.0 + (-rows.get(i, OPACITY)).exp())
}
