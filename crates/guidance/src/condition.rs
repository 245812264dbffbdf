//! What a prediction is conditioned on.

/// What pictures should show.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Subject {
    /// Anything that the prior knows: the unconditional prediction.
    #[default]
    Null,
    /// One of these labels ([`PriorInfo::labels`](crate::PriorInfo::labels)), by number.
    Labels(Vec<usize>),
    /// A text.
    Text(String),
}

/// From where an object is seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Radians around +Y, 0 where the camera is on +Z, π/2 where it is on +X.
    pub azimuth: f64,
    /// Radians above the horizon.
    pub elevation: f64,
}

/// What a prediction is conditioned on. [`Default`] is the null condition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// What pictures should show.
    pub subject: Subject,
    /// From where, if that is known.
    pub view: Option<View>,
}

impl Condition {
    /// The unconditional prediction.
    pub fn null() -> Self {
        Self::default()
    }

    /// A single label.
    pub fn label(label: usize) -> Self {
        Self { subject: Subject::Labels(vec![label]), view: None }
    }

    /// The same subject seen from `view`.
    pub fn seen_from(&self, view: View) -> Self {
        Self { view: Some(view), ..self.clone() }
    }

    /// The same view of anything.
    pub fn without_subject(&self) -> Self {
        Self { subject: Subject::Null, ..self.clone() }
    }
}
