//! Punctual lights (`KHR_lights_punctual`) as a table with one row per light, in world space.

use super::brdf::Substance;
use lumigrad_core::map::{Expr, IntExpr, IntTable, Table, vector};

/// Columns of the table of lights.
pub mod column {
    #![allow(missing_docs)]
    pub const COLOR: usize = 0;
    /// Candela for points and spots, lux for directional lights.
    pub const INTENSITY: usize = 3;
    /// Metres where the light ends; [`super::UNBOUNDED`]: never.
    pub const RANGE: usize = 4;
    /// Metres; unused by directional lights.
    pub const POSITION: usize = 5;
    /// The way the light travels, any length but zero; unused by point lights.
    pub const DIRECTION: usize = 8;
    /// Radians from the axis, where a spot begins to fall off.
    pub const INNER_CONE: usize = 11;
    /// Radians from the axis, where a spot ends.
    pub const OUTER_CONE: usize = 12;
    pub const COUNT: usize = 13;
}

/// Values of the table of kinds, i32 [n, 1].
pub mod kind {
    #![allow(missing_docs)]
    pub const DIRECTIONAL: i32 = 0;
    pub const POINT: i32 = 1;
    pub const SPOT: i32 = 2;
}

/// Range of lights that have none.
pub const UNBOUNDED: f32 = 1e10;

/// Squared distance, m², below which lights get no stronger.
const MIN_DISTANCE_SQUARED: f64 = 1e-8;

/// Light that arrives at a point.
pub struct Incident {
    /// Unit vector towards the light.
    pub direction: [Expr; 3],
    /// Irradiance on a surface that faces the light, lux, linear RGB.
    pub irradiance: [Expr; 3],
}

/// Light of one row of the table at a world position.
pub fn incident(row: [Expr; column::COUNT], kind: IntExpr, position: [Expr; 3]) -> Incident {
    let three = |at: usize| [row[at], row[at + 1], row[at + 2]];
    let directional = kind.equals(kind::DIRECTIONAL);
    let spot = kind.equals(kind::SPOT);
    let axis = vector::normalize(three(column::DIRECTION));
    let towards = vector::sub(three(column::POSITION), position);
    let d2 = vector::dot(towards, towards).max(MIN_DISTANCE_SQUARED);
    let inverse = 1.0 / d2.sqrt();
    let direction = std::array::from_fn(|k| directional.select(-axis[k], towards[k] * inverse));

    let range = row[column::RANGE];
    let ratio = d2 / (range * range).max(MIN_DISTANCE_SQUARED);
    let fade = (1.0 - ratio * ratio).clamp(0.0, 1.0);

    let (inner, outer) = (row[column::INNER_CONE].cos(), row[column::OUTER_CONE].cos());
    let cosine = -vector::dot(axis, direction);
    let cone = ((cosine - outer) / (inner - outer).max(0.001)).clamp(0.0, 1.0);
    let cone = spot.select(cone * cone, 1.0);

    let strength = row[column::INTENSITY] * directional.select(1.0, fade * cone / d2);
    Incident { direction, irradiance: vector::scale(three(column::COLOR), strength) }
}

/// Radiance that a surface reflects of the first `count` lights, without shadows. Gradients reach all columns.
pub fn punctual_radiance(
    lights: Table<{ column::COUNT }>,
    kinds: IntTable<1>,
    count: usize,
    substance: &Substance,
    position: [Expr; 3],
    normal: [Expr; 3],
    view: [Expr; 3],
) -> [Expr; 3] {
    let mut sum: [Expr; 3] = [0.0.into(); 3];
    for light in 0..count as i32 {
        let light = incident(lights.fetch(light.into()), kinds.fetch(light.into())[0], position);
        let reflected = substance.reflect(normal, view, light.direction);
        sum = std::array::from_fn(|k| sum[k] + reflected[k] * light.irradiance[k]);
    }
    sum
}
