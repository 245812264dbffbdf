//! How long an optimisation goes on.

/// Steps without a limit of either kind.
const DEFAULT_ITERATIONS: usize = 500;

/// The end of an optimisation: steps, seconds, a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Steps; `None`: only time counts.
    pub iterations: Option<usize>,
    /// Seconds spent on steps.
    pub seconds: Option<f64>,
    /// Training loss, the mean over all training views, that ends the run.
    pub stop_loss: Option<f64>,
}

impl Budget {
    /// A budget as a job gives it: without steps they are 500, or unlimited where there is a time limit.
    pub fn new(iterations: Option<usize>, seconds: Option<f64>, stop_loss: Option<f64>) -> Self {
        let iterations = if seconds.is_some() { iterations } else { iterations.or(Some(DEFAULT_ITERATIONS)) };
        Self { iterations, seconds, stop_loss }
    }

    /// What part of the run is done, in [0, 1]: max(iteration / iterations, elapsed / seconds). Schedules follow it.
    pub fn progress(&self, iteration: usize, elapsed: f64) -> f64 {
        let share = |done: f64, all: f64| if all > 0.0 { done / all } else { 1.0 };
        let steps = self.iterations.map_or(0.0, |n| share(iteration as f64, n as f64));
        let time = self.seconds.map_or(0.0, |s| share(elapsed, s));
        steps.max(time).clamp(0.0, 1.0)
    }

    /// True when no further step is to be made.
    pub fn is_spent(&self, iteration: usize, elapsed: f64) -> bool {
        self.progress(iteration, elapsed) >= 1.0
    }

    /// True when the loss over all training views is low enough to stop.
    pub fn is_reached(&self, loss: f64) -> bool {
        self.stop_loss.is_some_and(|limit| loss <= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_alone_lift_the_iteration_cap() {
        let budget = Budget::new(None, Some(10.0), None);
        assert_eq!(budget.iterations, None);
        assert!(!budget.is_spent(1_000_000, 9.9));
        assert!(budget.is_spent(1, 10.0));
        assert_eq!(Budget::new(None, None, None).iterations, Some(500));
    }

    #[test]
    fn progress_is_the_larger_share() {
        let budget = Budget::new(Some(100), Some(10.0), Some(0.1));
        assert_eq!(budget.progress(50, 1.0), 0.5);
        assert_eq!(budget.progress(10, 8.0), 0.8);
        assert!(budget.is_spent(100, 0.0));
        assert!(budget.is_reached(0.1) && !budget.is_reached(0.11) && !budget.is_reached(f64::NAN));
        assert!(Budget::new(Some(0), None, None).is_spent(0, 0.0));
    }
}
