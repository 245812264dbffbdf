//! Methods that look for flat minima: the gradient is taken where the loss, or its slope, is worse.

use super::rule::Rule;
use super::{Method, Objective, Sample, State};
use crate::vectors::{add_scaled, dot, filled};
use crate::{Group, Result};
use lumigrad_core::Tensor;

/// Sharpness-aware minimisation (Foret et al. 2020): the gradient at θ + ρg/‖g‖, ρ = 0.05. Cost: two passes.
pub struct Sam {
    base: Box<dyn Rule>,
}

impl Sam {
    /// SAM before `base`.
    pub fn new(base: Box<dyn Rule>) -> Self {
        Self { base }
    }
}

/// θ + ρ·v/‖v‖; `None` where v is nothing.
fn ascend(values: &[Tensor], v: &[Tensor], rho: f64) -> Result<Option<Vec<Tensor>>> {
    let norm = dot(v, v)?.sqrt();
    if norm <= 0.0 || !norm.is_finite() {
        return Ok(None);
    }
    add_scaled(values, rho / norm, v).map(Some)
}

impl Method for Sam {
    fn step(&mut self, values: &mut [Tensor], objective: &mut dyn Objective, factor: f64) -> Result<f64> {
        const RHO: f64 = 0.05;
        let (loss, gradients) = objective.gradient(values, Sample::Batch)?;
        let gradients = match ascend(values, &filled(&gradients, values)?, RHO)? {
            Some(worse) => objective.gradient(&worse, Sample::Batch)?.1,
            None => gradients,
        };
        if loss.is_finite() {
            self.base.update(values, &gradients, factor)?;
        }
        Ok(loss)
    }

    fn for_groups(&mut self, change: &mut dyn FnMut(&mut Group)) {
        self.base.for_groups(change);
    }

    fn state(&self) -> State {
        self.base.state()
    }

    fn load_state(&mut self, state: &State) {
        self.base.load_state(state);
    }
}

/// Gradient-norm aware minimisation (Zhang et al. 2023), as in the authors' code: with g₀ at θ, g₁ at θ + ρ'g₀/‖g₀‖ and
/// h = g₁ − g₀; g₂ at θ⁺ = θ + ρh/‖h‖ and g₃ at θ⁺ + ρ'g₂/‖g₂‖. The step takes β₁g₁ + (1−β₁)g₃ less γ times the part of
/// g₀ + g₂ that is orthogonal to it. Cost: four passes.
pub struct Gam {
    base: Box<dyn Rule>,
}

impl Gam {
    /// GAM before `base`.
    pub fn new(base: Box<dyn Rule>) -> Self {
        Self { base }
    }

    fn direction(values: &[Tensor], g0: &[Tensor], objective: &mut dyn Objective) -> Result<Option<Vec<Tensor>>> {
        const RHO: f64 = 0.2;
        const RHO_GRADIENT: f64 = 0.02;
        const MIX: f64 = 0.5;
        const GAMMA: f64 = 0.03;
        let mut at = |values: &[Tensor]| -> Result<Vec<Tensor>> {
            filled(&objective.gradient(values, Sample::Batch)?.1, values)
        };
        let Some(up) = ascend(values, g0, RHO_GRADIENT)? else { return Ok(None) };
        let g1 = at(&up)?;
        let h = add_scaled(&g1, -1.0, g0)?;
        let Some(steep) = ascend(values, &h, RHO)? else { return Ok(Some(g1)) };
        let g2 = at(&steep)?;
        let Some(steeper) = ascend(&steep, &g2, RHO_GRADIENT)? else { return Ok(Some(g1)) };
        let g3 = at(&steeper)?;
        let mixed = add_scaled(&add_scaled(&g3, MIX, &g1)?, -MIX, &g3)?;
        let both = add_scaled(g0, 1.0, &g2)?;
        let along = dot(&both, &mixed)? / dot(&mixed, &mixed)?.max(1e-300);
        let across = add_scaled(&both, -along, &mixed)?;
        add_scaled(&mixed, -GAMMA, &across).map(Some)
    }
}

impl Method for Gam {
    fn step(&mut self, values: &mut [Tensor], objective: &mut dyn Objective, factor: f64) -> Result<f64> {
        let (loss, gradients) = objective.gradient(values, Sample::Batch)?;
        let direction = Self::direction(values, &filled(&gradients, values)?, objective)?;
        let gradients = direction.map_or(gradients, |d| d.into_iter().map(Some).collect());
        if loss.is_finite() {
            self.base.update(values, &gradients, factor)?;
        }
        Ok(loss)
    }

    fn for_groups(&mut self, change: &mut dyn FnMut(&mut Group)) {
        self.base.for_groups(change);
    }

    fn state(&self) -> State {
        self.base.state()
    }

    fn load_state(&mut self, state: &State) {
        self.base.load_state(state);
    }
}
