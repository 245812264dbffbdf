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

impl View {
    /// Cosine of the angle between two directions.
    pub fn cosine(self, other: Self) -> f64 {
        let (own, others) = (self.elevation.sin_cos(), other.elevation.sin_cos());
        own.0 * others.0 + own.1 * others.1 * (self.azimuth - other.azimuth).cos()
    }

    /// What prompts call it: overhead above 60°, else front within 45° of +Z, back within 45° of −Z, and side (Poole et al.
    /// 2022, appendix A.2).
    pub fn words(self) -> &'static str {
        match (self.elevation.to_degrees(), self.azimuth.cos()) {
            (height, _) if height > 60.0 => "overhead view",
            (_, front) if front >= std::f64::consts::FRAC_1_SQRT_2 => "front view",
            (_, front) if front <= -std::f64::consts::FRAC_1_SQRT_2 => "back view",
            _ => "side view",
        }
    }
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

    /// The same text with the view's words after it, for priors that read texts and know no views.
    pub fn told_from(&self, view: View) -> Self {
        match &self.subject {
            Subject::Text(text) => Self { subject: Subject::Text(format!("{text}, {}", view.words())), view: None },
            _ => self.clone(),
        }
    }

    /// The same view of anything.
    pub fn without_subject(&self) -> Self {
        Self { subject: Subject::Null, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_of_views_are_those_of_their_directions() {
        let at = |azimuth: f64, elevation: f64| View { azimuth, elevation };
        let direction = |v: View| {
            let ((sa, ca), (se, ce)) = (v.azimuth.sin_cos(), v.elevation.sin_cos());
            [ce * sa, se, ce * ca]
        };
        for (a, b) in [(at(0.0, 0.0), at(2.0, 0.3)), (at(-1.0, 1.2), at(3.0, -0.4)), (at(0.5, 0.2), at(0.5, 0.2))] {
            let dot: f64 = direction(a).iter().zip(direction(b)).map(|(x, y)| x * y).sum();
            assert!((a.cosine(b) - dot).abs() < 1e-12, "{a:?} {b:?}");
        }
    }

    #[test]
    fn views_have_words() {
        let text = Condition { subject: Subject::Text("a chair".into()), view: None };
        for (azimuth, elevation, words) in [
            (10.0, 20.0, "front"),
            (-80.0, 20.0, "side"),
            (170.0, 0.0, "back"),
            (90.0, 70.0, "overhead"),
            (350.0, 0.0, "front"),
        ] {
            let view = View { azimuth: f64::to_radians(azimuth), elevation: f64::to_radians(elevation) };
            assert_eq!(text.told_from(view).subject, Subject::Text(format!("a chair, {words} view")));
        }
        assert_eq!(Condition::null().told_from(View { azimuth: 0.0, elevation: 0.0 }), Condition::null());
    }
}
