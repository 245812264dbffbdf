//! The surface of a fragment inside a map: geometry, material values, normal mapping.

use super::material::{MaterialKey, SLOTS, Slot, factor};
use crate::surface::{flat_normal, fragment_weights};
use crate::texture::{Footprint, Sampling, TextureTable, sample};
use lumigrad_core::map::{BoolExpr, Builder, Expr, IntExpr, vector};
use lumigrad_scene::AlphaMode;

/// A point on a surface, with what the material says there.
pub struct Surface {
    /// World position, metres.
    pub position: [Expr; 3],
    /// Unit vector towards the camera.
    pub view: [Expr; 3],
    /// Depth along the camera's forward axis, metres.
    pub depth: Expr,
    /// Unit normal of the flat triangle, on the side that is seen.
    pub flat_normal: [Expr; 3],
    /// Interpolated vertex normal (flat where there is none), on the side that is seen.
    pub vertex_normal: [Expr; 3],
    /// With the normal map applied.
    pub normal: [Expr; 3],
    /// The same in the camera's axes (x right, y down, z forward).
    pub camera_normal: [Expr; 3],
    /// Number of the triangle among all that are drawn.
    pub triangle: IntExpr,
    /// First texture coordinates as interpolated.
    pub uv: [Expr; 2],
    /// Factor × texture × vertex colour, linear RGB and alpha.
    pub base_color: [Expr; 4],
    /// In [0, 1].
    pub metallic: Expr,
    /// In [0, 1].
    pub roughness: Expr,
    /// Ambient occlusion, 1 = open.
    pub occlusion: Expr,
    /// Emitted radiance.
    pub emissive: [Expr; 3],
    /// Row of [`factor`].
    pub factors: [Expr; factor::COUNT],
    /// The back of the triangle is seen.
    pub back_facing: BoolExpr,
}

/// Declares the inputs of a fragment and evaluates its surface.
///
/// Input order: pixel, triangle, triangles, clip, positions, normals, texcoords, tangents, colors, factors, viewmat,
/// then (texels, levels) for each present slot. Integer parameters: width, height; real parameters: −1 if the camera is
/// orthographic else 1, −1 if the draw's winding is flipped else 1.
pub fn surface(m: &mut Builder, key: &MaterialKey, sampling: Sampling) -> Surface {
    let weights = fragment_weights(m);
    let positions = m.table::<3>("positions");
    let normals = m.table::<3>("normals");
    let texcoords = m.table::<4>("texcoords");
    let tangents = m.table::<4>("tangents");
    let colors = m.table::<4>("colors");
    let factors = m.uniform::<{ factor::COUNT }>("factors");
    let viewmat = m.uniform::<12>("viewmat");
    let textures = SLOTS.map(|slot| {
        key.slots[slot as usize].map(|_| TextureTable {
            texels: m.table::<4>(&format!("texels of {slot:?}")),
            levels: m.table_int::<3>(&format!("levels of {slot:?}")),
        })
    });
    let (perspective, winding) = (m.param(), m.param());

    let corners = weights.fetch(positions);
    let position = weights.interpolate(&corners);
    let row = |r: usize| [viewmat[4 * r], viewmat[4 * r + 1], viewmat[4 * r + 2]];
    let translation: [Expr; 3] = std::array::from_fn(|r| viewmat[4 * r + 3]);
    // Camera centre −Rᵀt; for parallel projection the direction is the backward axis everywhere.
    let centre: [Expr; 3] = std::array::from_fn(|k| -(0..3).map(|r| row(r)[k] * translation[r]).sum::<Expr>());
    let towards = vector::sub(centre, position);
    let backward = vector::scale(row(2), -1.0);
    let orthographic = perspective.less(0.0);
    let view = vector::normalize(std::array::from_fn(|k| orthographic.select(backward[k], towards[k])));
    let depth = vector::dot(row(2), position) + translation[2];

    let geometric = vector::scale(flat_normal(&corners), winding);
    let back_facing = vector::dot(geometric, view).less(0.0);
    let side = back_facing.select(-1.0, 1.0);
    let flat = vector::scale(geometric, side);
    let vertex_normal = match key.normals {
        true => vector::scale(vector::normalize(weights.interpolate(&weights.fetch(normals))), side),
        false => flat,
    };

    let st = weights.fetch(texcoords);
    let at = weights.interpolate(&st);
    let (dx, dy) = weights.derivatives(&st);
    let footprint = |slot: usize| -> Option<Footprint> {
        let key = key.slots[slot]?;
        let pick = |v: [Expr; 4]| if key.texcoord == 1 { [v[2], v[3]] } else { [v[0], v[1]] };
        let f = Footprint { uv: pick(at), du: pick(dx), dv: pick(dy) };
        Some(if key.transformed { transform(&factors, slot, f) } else { f })
    };
    let texture = |slot: Slot| -> Option<[Expr; 4]> {
        let k = slot as usize;
        Some(sample(&textures[k]?, &footprint(k)?, &key.slots[k]?.sampler, sampling))
    };

    let mut base_color: [Expr; 4] = std::array::from_fn(|k| factors[factor::BASE_COLOR + k]);
    let mut multiply = |by: [Expr; 4]| (0..4).for_each(|k| base_color[k] = base_color[k] * by[k]);
    if let Some(t) = texture(Slot::BaseColor) {
        multiply(t);
    }
    if key.colors {
        multiply(weights.interpolate(&weights.fetch(colors)));
    }
    let (mut metallic, mut roughness) = (factors[factor::METALLIC], factors[factor::ROUGHNESS]);
    if let Some(t) = texture(Slot::MetallicRoughness) {
        (metallic, roughness) = (metallic * t[2], roughness * t[1]);
    }
    let occlusion =
        texture(Slot::Occlusion).map_or(1.0.into(), |t| 1.0 + factors[factor::OCCLUSION_STRENGTH] * (t[0] - 1.0));
    let strength = factors[factor::EMISSIVE_STRENGTH];
    let mut emissive: [Expr; 3] = std::array::from_fn(|k| factors[factor::EMISSIVE + k] * strength);
    if let Some(t) = texture(Slot::Emissive) {
        (0..3).for_each(|k| emissive[k] = emissive[k] * t[k]);
    }
    let normal = match texture(Slot::Normal) {
        Some(t) if key.normals => {
            let tangent: [Expr; 4] = weights.interpolate(&weights.fetch(tangents));
            map_normal(t, factors[factor::NORMAL_SCALE], tangent, vertex_normal, side)
        }
        _ => vertex_normal,
    };
    Surface {
        position,
        view,
        depth,
        flat_normal: flat,
        vertex_normal,
        normal,
        camera_normal: std::array::from_fn(|r| vector::dot(row(r), normal)),
        triangle: weights.triangle,
        uv: [at[0], at[1]],
        base_color,
        metallic,
        roughness,
        occlusion,
        emissive,
        factors,
        back_facing,
    }
}

/// KHR_texture_transform, counter-clockwise with v downwards.
fn transform(factors: &[Expr; factor::COUNT], slot: usize, f: Footprint) -> Footprint {
    let [ox, oy, angle, sx, sy]: [Expr; 5] = std::array::from_fn(|k| factors[factor::TRANSFORMS + 5 * slot + k]);
    let (sin, cos) = (angle.sin(), angle.cos());
    let linear = |v: [Expr; 2]| {
        let (x, y) = (v[0] * sx, v[1] * sy);
        [cos * x + sin * y, cos * y - sin * x]
    };
    let uv = linear(f.uv);
    Footprint { uv: [uv[0] + ox, uv[1] + oy], du: linear(f.du), dv: linear(f.dv) }
}

/// Normal from a tangent-space map: x along the tangent, y along the bitangent, z along the normal.
fn map_normal(texel: [Expr; 4], scale: Expr, tangent: [Expr; 4], normal: [Expr; 3], side: Expr) -> [Expr; 3] {
    let t = vector::normalize([tangent[0], tangent[1], tangent[2]]);
    // On the back side the normal was reversed, and the whole frame with it.
    let sign = tangent[3].less(0.0).select(-1.0, 1.0);
    let front = vector::scale(normal, side);
    let b = vector::scale(vector::cross(front, t), sign);
    let [x, y, z] = [(2.0 * texel[0] - 1.0) * scale, (2.0 * texel[1] - 1.0) * scale, 2.0 * texel[2] - 1.0];
    let mapped = std::array::from_fn(|k| (t[k] * x + b[k] * y + front[k] * z) * side);
    vector::normalize(mapped)
}

/// Coverage of the fragment: 1 for opaque materials; MASK keeps or drops without gradient; BLEND is alpha.
pub fn coverage(surface: &Surface, alpha: AlphaMode) -> Expr {
    match alpha {
        AlphaMode::Opaque => 1.0.into(),
        AlphaMode::Mask => surface.base_color[3].less(surface.factors[factor::ALPHA_CUTOFF]).select(0.0, 1.0),
        AlphaMode::Blend => surface.base_color[3].clamp(0.0, 1.0),
    }
}
