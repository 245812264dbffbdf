//! Encodings: what a network sees of a point.

mod closed;
mod grid;

pub use grid::{Grid, Interpolation, Storage};

use crate::{Derivatives, Error, Jet, Result};
use lumigrad_core::Var;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most random projections.
const MOST_FEATURES: usize = 1 << 20;

/// What a network sees of a point in [−1, 1]ᵈ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Encoding {
    /// The point itself.
    Identity,
    /// The point, then sin and cos of 2ᵏπ times each coordinate for k below a number (Mildenhall et al. 2020).
    Positional {
        /// That number.
        n_frequencies: usize,
    },
    /// sin and cos of 2π times n random projections, whose deviation is sigma (Tancik et al. 2020).
    RandomFourier {
        /// Projections.
        n_features: usize,
        /// Their deviation.
        sigma: f64,
        /// Seed of the draw.
        seed: u64,
    },
    /// Real spherical harmonics of a direction in three coordinates, up to and including a degree.
    SphericalHarmonics {
        /// The degree, at most 8.
        degree: usize,
    },
    /// Learnt features in grids.
    Grid(Grid),
}

impl Encoding {
    /// Components that it makes of points with `dim` coordinates.
    pub fn width(&self, dim: usize) -> usize {
        match self {
            Encoding::Identity => dim,
            Encoding::Positional { n_frequencies } => dim * (1 + 2 * n_frequencies),
            Encoding::RandomFourier { n_features, .. } => 2 * n_features,
            Encoding::SphericalHarmonics { degree } => (degree + 1) * (degree + 1),
            Encoding::Grid(grid) => grid.width(dim),
        }
    }

    /// Shapes of its parameters.
    pub fn shapes(&self, dim: usize) -> Vec<(String, Vec<usize>)> {
        match self {
            Encoding::Grid(grid) => vec![("encoding.table".into(), grid.shape(dim))],
            _ => vec![],
        }
    }

    /// Starting values of its parameters, and the factor of their learning rate.
    pub fn start(&self, dim: usize, seed: u64) -> Vec<(Vec<f64>, f64)> {
        match self {
            Encoding::Grid(grid) => vec![(grid.start(dim, seed), 1.0)],
            _ => vec![],
        }
    }

    /// Checks that it can be made of points with `dim` coordinates.
    ///
    /// # Errors
    /// It cannot.
    pub fn check(&self, dim: usize) -> Result<()> {
        let fails = |what: String| Err(Error::Description(what));
        match self {
            Encoding::SphericalHarmonics { degree } if dim != 3 || *degree > 8 => fails(format!(
                "spherical harmonics of degree {degree} of {dim} coordinates: they are of 3, up to degree 8"
            )),
            Encoding::Positional { n_frequencies } if *n_frequencies > 30 => {
                fails(format!("{n_frequencies} frequencies: beyond 30 numbers of 32 bits tell nothing apart"))
            }
            Encoding::RandomFourier { n_features, sigma, .. }
                if !(1..=MOST_FEATURES).contains(n_features) || !sigma.is_finite() =>
            {
                fails(format!(
                    "{n_features} features of deviation {sigma}: expected 1 to {MOST_FEATURES}, and a number"
                ))
            }
            Encoding::Grid(grid) => grid.check(dim),
            _ => Ok(()),
        }
    }

    /// The encoding of points [N, d].
    ///
    /// **Gradients**: to the parameters, and to the points by value and first derivatives.
    ///
    /// # Errors
    /// Shapes and kinds that do not fit.
    pub fn encode(&self, points: &Var, parameters: &[Var], derivatives: &Arc<Derivatives>) -> Result<Jet> {
        let &[_, dim] = points.shape() else {
            return Err(lumigrad_core::Error::shape("points", points.shape(), "[N, d]").into());
        };
        match self {
            Encoding::Identity => Jet::seed(points, derivatives.clone()),
            Encoding::Grid(grid) => match parameters {
                [table] => grid.encode(points, table, derivatives),
                _ => Err(Error::Description("a grid has one array of parameters".into())),
            },
            Encoding::Positional { n_frequencies } => closed::positional(points, *n_frequencies, derivatives),
            Encoding::RandomFourier { n_features, sigma, seed } => {
                closed::random_fourier(points, *n_features, *sigma, *seed, derivatives)
            }
            Encoding::SphericalHarmonics { degree } => {
                self.check(dim)?;
                closed::spherical_harmonics(points, *degree, derivatives)
            }
        }
    }
}
