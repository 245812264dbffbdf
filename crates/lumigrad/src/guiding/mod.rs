//! Priors over pictures in jobs: which one, what it is asked for, how it pulls, and how well pictures fit it.

mod energy;
mod guide;
mod keys;
mod patches;
mod samples;
mod term;

pub use energy::{Judged, judge};
pub use guide::Guide;
pub use keys::{ChangeKeys, PriorKeys};
pub use patches::patches;
pub use samples::{FIRST_TIME, samples};
pub use term::{PriorTerm, PriorTermKeys};
