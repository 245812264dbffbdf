//! Learning-rate schedules as functions of progress in [0, 1].

/// How rates change over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// From 1 to `end`, by equal factors.
    Exponential {
        /// Factor at the end.
        end: f64,
    },
    /// From 1 to `end` along half a cosine.
    Cosine {
        /// Factor at the end.
        end: f64,
    },
    /// From 1/25 up to 1 over the first 30 %, then down to 1/250 000, along cosines (Smith & Topin 2018, with PyTorch's
    /// constants).
    OneCycle,
}

/// Schedules by name, as in jobs.
pub const NAMES: [&str; 4] = ["exponential", "cosine", "one-cycle", "constant"];

impl Schedule {
    /// The schedule of one of [`NAMES`]; those that fall end at a twentieth of the rate.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "exponential" => Schedule::Exponential { end: 0.05 },
            "cosine" => Schedule::Cosine { end: 0.05 },
            "one-cycle" => Schedule::OneCycle,
            "constant" => Schedule::Constant,
            _ => return None,
        })
    }

    /// Factor of all rates at `progress`, which is clamped to [0, 1].
    pub fn factor(&self, progress: f64) -> f64 {
        let p = if progress.is_finite() { progress.clamp(0.0, 1.0) } else { 1.0 };
        let cosine = |from: f64, to: f64, t: f64| to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * t).cos());
        match *self {
            Schedule::Constant => 1.0,
            Schedule::Exponential { end } => end.powf(p),
            Schedule::Cosine { end } => cosine(1.0, end, p),
            Schedule::OneCycle if p < 0.3 => cosine(1.0 / 25.0, 1.0, p / 0.3),
            Schedule::OneCycle => cosine(1.0, 1.0 / 25.0 / 1e4, (p - 0.3) / 0.7),
        }
    }

    /// β₁ at `progress`, where the schedule cycles momentum against the rate: .95 at the ends of the rise, .85 at its top.
    pub fn momentum(&self, progress: f64) -> Option<f64> {
        let p = if progress.is_finite() { progress.clamp(0.0, 1.0) } else { 1.0 };
        let rise = if p < 0.3 { p / 0.3 } else { 1.0 - (p - 0.3) / 0.7 };
        let high = 0.5 * (1.0 - (std::f64::consts::PI * rise).cos());
        matches!(self, Schedule::OneCycle).then_some(0.95 - 0.1 * high)
    }

    /// The same with a linear rise from 0 over the first `share` of the run.
    pub fn factor_with_warm_up(&self, progress: f64, share: f64) -> f64 {
        let rise = if share > 0.0 && progress >= 0.0 { (progress / share).min(1.0) } else { 1.0 };
        self.factor(progress) * rise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_maxima_are_exact_and_progress_is_clamped() {
        let e = Schedule::Exponential { end: 0.01 };
        assert_eq!((e.factor(0.0), e.factor(1.0), e.factor(7.0)), (1.0, 0.01, 0.01));
        let c = Schedule::Cosine { end: 0.1 };
        assert!((c.factor(0.0) - 1.0).abs() < 1e-15 && (c.factor(1.0) - 0.1).abs() < 1e-15);
        let o = Schedule::OneCycle;
        assert!((o.factor(0.0) - 0.04).abs() < 1e-12 && (o.factor(0.3) - 1.0).abs() < 1e-12);
        assert!((o.factor(1.0) - 4e-6).abs() < 1e-12);
        let momenta = [0.0, 0.3, 1.0, 2.0].map(|p| o.momentum(p).unwrap());
        assert!(momenta.iter().zip([0.95, 0.85, 0.95, 0.95]).all(|(a, b)| (a - b).abs() < 1e-12), "{momenta:?}");
        assert_eq!(c.momentum(0.5), None);
        let c = Schedule::Constant;
        let warm = |p| c.factor_with_warm_up(p, 0.1);
        assert_eq!((warm(0.0), warm(0.05), warm(0.1), warm(1.0)), (0.0, 0.5, 1.0, 1.0));
        assert_eq!(c.factor_with_warm_up(0.0, 0.0), 1.0);
    }
}
