//! Fields as jobs describe them.

use super::FitKeys;
use crate::{Error, Result};
use lumigrad_field::{Activation, Encoding, Field, Grid, Interpolation, Precision, Rates, Storage};

/// What a fit takes where the job says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Encoding by its word in jobs.
    pub encoding: &'static str,
    /// Units and layers of sine networks without an encoding; others have 64 and 2.
    pub sine: (usize, usize),
    /// Frequency of the first sine layer.
    pub omega: f64,
    /// Learning rate of sine networks, in the usual notation, where ω stands outside of the weights.
    pub sine_rate: f64,
    /// Levels, log₂ of rows, coarsest and finest resolution of grids.
    pub grid: (usize, usize, usize, usize),
    /// Activation after encodings.
    pub activation: Activation,
}

/// The field of a job.
///
/// # Errors
/// Settings that make no field.
pub fn field(keys: &FitKeys, dim: usize, channels: usize, defaults: &Defaults) -> Result<Field> {
    let word = keys.encoding.as_deref().unwrap_or(defaults.encoding);
    let encoding = encoding(keys, word, defaults);
    let plain = word == "none";
    let activation = match keys.activation.as_deref() {
        Some(name) => Activation::from_name(name).expect("a name of the list"),
        None if plain => Activation::Sine,
        None => defaults.activation,
    };
    let (width, depth) = if plain { defaults.sine } else { (64, 2) };
    let depth = keys.depth.unwrap_or(depth);
    let field = Field {
        dim,
        channels,
        encoding,
        width: keys.width.unwrap_or(width),
        depth,
        activation,
        output: Activation::Identity,
        omega: [keys.omega.unwrap_or(defaults.omega), 30.0],
        bias: true,
        skips: if keys.skips { (1..depth).collect() } else { vec![] },
        precision: if keys.precision == "f16" { Precision::F16 } else { Precision::F32 },
    };
    field.check().map_err(|e| Error::usage("the field", e.to_string(), ""))?;
    Ok(field)
}

fn encoding(keys: &FitKeys, word: &str, defaults: &Defaults) -> Encoding {
    let (levels, rows, base, finest) = defaults.grid;
    let grid = |storage| {
        let n_levels = keys.levels.unwrap_or(levels);
        let log2 = keys.log2_hashmap_size.unwrap_or(rows) as u32;
        let base = keys.base_resolution.unwrap_or(base);
        let finest = keys.finest_resolution.unwrap_or(finest);
        let interpolation =
            if keys.interpolation == "smoothstep" { Interpolation::Smoothstep } else { Interpolation::Linear };
        let n_features_per_level = keys.features.unwrap_or(2);
        Encoding::Grid(Grid {
            storage,
            interpolation,
            n_features_per_level,
            ..Grid::hash(n_levels, log2, base, finest)
        })
    };
    match word {
        "positional" => Encoding::Positional { n_frequencies: keys.frequencies.unwrap_or(10) },
        "fourier" => Encoding::RandomFourier {
            n_features: keys.frequencies.unwrap_or(128),
            sigma: keys.sigma,
            seed: keys.run.common.seed,
        },
        "hash" => grid(Storage::Hash),
        "dense" => grid(Storage::Dense),
        "planes" => grid(Storage::Planes),
        _ => Encoding::Identity,
    }
}

/// Learning rates of a field.
pub fn rates(keys: &FitKeys, field: &Field, defaults: &Defaults) -> Rates {
    let usual = match (&field.encoding, field.activation) {
        (_, Activation::Sine) => defaults.sine_rate,
        (Encoding::Grid(_), _) => 5e-3,
        _ => 1e-3,
    };
    Rates { rate: keys.lr.unwrap_or(usual), table_rate: keys.lr_grid, clip: None }
}
