//! Activation functions: each is one formula; its derivatives are taken of that.

use lumigrad_core::map::Expr;
use serde::{Deserialize, Serialize};

/// What a network does to each number between linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Activation {
    /// z.
    Identity,
    /// sin z. A network of these (SIREN, Sitzmann et al. 2020) keeps its frequency ω in the weights.
    Sine,
    /// max(z, 0).
    Relu,
    /// z, or z/100 below zero.
    LeakyRelu,
    /// ln(1 + eᶻ).
    Softplus,
    /// z·tanh(softplus z) (Misra 2019).
    Mish,
    /// tanh z.
    Tanh,
    /// 1/(1 + e⁻ᶻ).
    Sigmoid,
    /// eᶻ, for densities; z is cut off at 15.
    Exp,
    /// z².
    Square,
    /// z·E½(−|z|)-gated unit of the Mittag-Leffler family: z·(1 − E(−z)), E the Mittag-Leffler function of order ½ for
    /// z > 0 and its reflection below.
    MittagLeffler,
    /// Σ cₖ Heₖ(z)/k! of degree 3 with learnt cₖ.
    Hermite,
    /// a + Σ cₖ cos(fₖ z − π/4)/k! of degree 3 with learnt a, cₖ and fₖ.
    Fourier,
    /// √2/n · maxₖ (k z + cₖ) of degree 3 with learnt cₖ.
    Tropical,
}

/// All activations by the names of jobs.
pub const ACTIVATIONS: [(&str, Activation); 14] = [
    ("identity", Activation::Identity),
    ("sine", Activation::Sine),
    ("relu", Activation::Relu),
    ("leaky-relu", Activation::LeakyRelu),
    ("softplus", Activation::Softplus),
    ("mish", Activation::Mish),
    ("tanh", Activation::Tanh),
    ("sigmoid", Activation::Sigmoid),
    ("exp", Activation::Exp),
    ("square", Activation::Square),
    ("mittag-leffler", Activation::MittagLeffler),
    ("hermite", Activation::Hermite),
    ("fourier", Activation::Fourier),
    ("tropical", Activation::Tropical),
];

/// Degree of the activations with learnt coefficients.
const DEGREE: usize = 3;

impl Activation {
    /// The activation of a name of [`ACTIVATIONS`].
    pub fn from_name(name: &str) -> Option<Self> {
        ACTIVATIONS.iter().find(|(n, _)| *n == name).map(|(_, a)| *a)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        ACTIVATIONS.iter().find(|(_, a)| *a == self).expect("all are listed").0
    }

    /// Coefficients that it learns, one set per layer, at their start: those that keep the second moment of normal numbers
    /// (Hermite and Fourier in the limit of high degree).
    pub fn coefficients(self) -> Vec<f64> {
        let inverse_e = (-0.5f64).exp();
        match self {
            Activation::Hermite => {
                // 1 − 1/n!, n = 3.
                let constant = (1.0f64 - 1.0 / 6.0).sqrt() * inverse_e;
                [constant].into_iter().chain([inverse_e; DEGREE]).collect()
            }
            // The offset, then c = 1/√I₀(2), then frequencies 1 to n.
            Activation::Fourier => {
                [0.0].into_iter().chain([0.662_3; DEGREE]).chain((1..=DEGREE).map(|k| k as f64)).collect()
            }
            Activation::Tropical => vec![0.0; DEGREE + 1],
            _ => vec![],
        }
    }

    /// True where the second derivative is zero wherever it exists.
    pub fn is_piecewise_linear(self) -> bool {
        use Activation::*;
        matches!(self, Identity | Relu | LeakyRelu | Tropical)
    }

    /// The activation of z.
    pub fn of(self, z: Expr, coefficients: &[Expr]) -> Expr {
        use Activation::*;
        match self {
            Identity => z,
            Sine => z.sin(),
            Relu => z.less(0.0).select(0.0, z),
            LeakyRelu => z.less(0.0).select(0.01 * z, z),
            Softplus => z.softplus(),
            // tanh ln(1 + e) = ((1 + e)² − 1)/((1 + e)² + 1); e of what is far above zero is not needed.
            Mish => {
                let e = z.min(20.0).exp();
                let n = e * (e + 2.0);
                z * z.greater(20.0).select(1.0, n / (n + 2.0))
            }
            Tanh => z.tanh(),
            Sigmoid => sigmoid(z),
            Exp => z.min(15.0).exp(),
            Square => z * z,
            MittagLeffler => mittag_leffler_gate(z),
            Hermite => hermite(z, coefficients),
            Fourier => {
                let waves = (1..=DEGREE).map(|k| {
                    let (c, f) = (coefficients[k], coefficients[DEGREE + k]);
                    c * (f * z - std::f64::consts::FRAC_PI_4).cos() * (1.0 / factorial(k))
                });
                coefficients[0] + waves.sum::<Expr>()
            }
            Tropical => {
                let lines = (0..=DEGREE).map(|k| k as f64 * z + coefficients[k]);
                let top = lines.reduce(|a, b| a.max(b)).expect("there are lines");
                top * (std::f64::consts::SQRT_2 / DEGREE as f64)
            }
        }
    }
}

fn sigmoid(z: Expr) -> Expr {
    0.5 + 0.5 * (0.5 * z).tanh()
}

fn factorial(n: usize) -> f64 {
    (1..=n).map(|k| k as f64).product()
}

/// Σ cₖ Heₖ(z)/k!, by He₍ₖ₊₁₎ = z·Heₖ − k·He₍ₖ₋₁₎.
fn hermite(z: Expr, c: &[Expr]) -> Expr {
    let (mut before, mut now) = (Expr::from(1.0), z);
    let mut sum = c[0];
    for (k, &c) in c.iter().enumerate().skip(1) {
        sum = sum + c * now * (1.0 / factorial(k));
        (before, now) = (now, z * now - k as f64 * before);
    }
    sum
}

/// z·(1 − ½E½(−z)) above zero and z·½E½(z) below, where E½(−x) = e^{x²} erfc x is the Mittag-Leffler function of order ½.
fn mittag_leffler_gate(z: Expr) -> Expr {
    let below = z.less(0.0);
    let away = below.select(z, -z);
    let half = 0.5 * (-away).scaled_erfc();
    z * below.select(half, 1.0 - half)
}
