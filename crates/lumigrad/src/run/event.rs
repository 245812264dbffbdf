//! What a job tells while it runs. Progress bars, viewers and bindings only consume these.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A message of a running job.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Data are loaded and the first step comes.
    Started {
        /// What runs, for people: a scene and how many views, for example.
        what: String,
        /// Device that computes.
        device: String,
        /// Steps, where they are limited.
        iterations: Option<usize>,
        /// Time limit, where there is one.
        seconds: Option<f64>,
    },
    /// A step is done.
    Step {
        /// Steps done.
        iteration: usize,
        /// Seconds spent on steps.
        seconds: f64,
        /// Loss of the step.
        loss: f64,
    },
    /// The model was scored.
    Eval {
        /// Steps done.
        iteration: usize,
        /// Mean PSNR of the scored views, dB.
        psnr: f64,
    },
    /// Work that is no step has begun: loading, writing, scoring.
    Phase(String),
    /// Something that the user should know and that does not end the job.
    Warning(String),
    /// The job is done.
    Done {
        /// Seconds since the start.
        seconds: f64,
        /// True where it was stopped before its end.
        interrupted: bool,
    },
}

/// Something that listens to a job.
pub trait Observer {
    /// Takes one message.
    fn event(&mut self, event: &Event);
}

impl<F: FnMut(&Event)> Observer for F {
    fn event(&mut self, event: &Event) {
        self(event);
    }
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: &Event) {}
}

/// A flag that asks a job to end after its present step and to write what it has. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop; true where that had been asked before.
    pub fn request(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// True once stopping was asked for.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }
}
