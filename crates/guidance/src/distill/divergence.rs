//! Divergences other than the one that score distillation falls along.

use std::fmt;

/// Largest weight, so that a ratio of densities that underflows cannot make a step explode.
const LARGEST: f64 = 10.0;

/// D_f(p‖q) = ∫ q f(p/q) between the prior p and the student's law q (Xu et al. 2025): score differences are weighted by
/// h(r) = f″(r)r², r = p/q.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// KL(q‖p), h = 1: modes are sought.
    ReverseKl,
    /// KL(p‖q), h = r: modes are covered.
    ForwardKl,
    /// 2·JS(p, q), h = r/(r + 1): between both.
    JensenShannon,
}

impl Divergence {
    /// Names in job files.
    pub const NAMES: &[&str] = &["reverse-kl", "forward-kl", "jensen-shannon"];

    /// The divergence of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ReverseKl, Self::ForwardKl, Self::JensenShannon]
            .get(Self::NAMES.iter().position(|n| *n == name)?)
            .copied()
    }

    /// h(r) of ln r, at most 10.
    pub fn weight(self, log_ratio: f64) -> f64 {
        let h = match self {
            Self::ReverseKl => 1.0,
            Self::ForwardKl => log_ratio.min(80.0).exp(),
            Self::JensenShannon => 1.0 / (1.0 + (-log_ratio).min(700.0).exp()),
        };
        h.min(LARGEST)
    }

    /// f(r), of which the divergence is ∫ q f(p/q).
    pub fn generator(self, r: f64) -> f64 {
        match self {
            Self::ReverseKl => -r.ln(),
            Self::ForwardKl => r * r.ln(),
            Self::JensenShannon => r * r.ln() - (r + 1.0) * (0.5 * (r + 1.0)).ln(),
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize])
    }
}
