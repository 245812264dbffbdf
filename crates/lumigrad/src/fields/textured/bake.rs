//! Colours and normals of a source on the texels of an atlas.

use super::super::source::Source;
use crate::Result;
use glam::Vec3;
use lumigrad_geometry::{Atlas, Texels, fill_gaps};
use lumigrad_scene::Scene;
use lumigrad_scene::camera::View;

/// Texels beyond a chart that have the colour of its nearest point.
const REACH: f64 = 2.0;
/// How far behind what a view sees a point may lie and count as seen, in edges of the mesh.
const BEHIND: f64 = 1.5;

/// Texels on a surface or near it.
struct Known {
    texels: Texels,
    /// Their numbers.
    known: Vec<usize>,
}

impl Known {
    fn new(atlas: &Atlas) -> Self {
        let texels = atlas.texels(atlas.size, REACH);
        Self { known: texels.known().collect(), texels }
    }

    /// What was said of all vertices of the uncut surface, of these texels.
    fn spread(&self, atlas: &Atlas, all: &[[f32; 3]]) -> Vec<[f32; 3]> {
        let rows = atlas.rows(all);
        self.known.iter().map(|&k| self.texels.blend(k, &atlas.triangles, &rows)).collect()
    }

    /// Values of the known texels in a picture, whose gaps are filled; those of `unknown` places are gaps too.
    fn picture(&self, values: &[[f32; 3]], unknown: impl Fn(usize) -> bool) -> Vec<[f32; 3]> {
        let n = self.texels.triangles.len();
        let (mut all, mut known) = (vec![[0.0; 3]; n], vec![false; n]);
        for (k, (&texel, value)) in self.known.iter().zip(values).enumerate() {
            (all[texel], known[texel]) = (*value, !unknown(k));
        }
        fill_gaps(all.as_flattened_mut(), (self.texels.size, 3), &known);
        all
    }
}

/// Where texels are, in the source's domain.
struct Places {
    known: Known,
    points: Vec<[f32; 3]>,
    normals: Vec<[f32; 3]>,
}

impl Places {
    /// Of a surface of the domain.
    fn new(atlas: &Atlas, positions: &[[f32; 3]], normals: &[[f32; 3]]) -> Self {
        let known = Known::new(atlas);
        let (points, normals) = (known.spread(atlas, positions), known.spread(atlas, normals));
        let normals = normals.iter().map(|n| Vec3::from(*n).normalize_or_zero().to_array()).collect();
        Self { known, points, normals }
    }
}

/// Colours [S · S] of a surface whose vertices have colours.
pub fn painted(atlas: &Atlas, colours: &[[f32; 3]]) -> Vec<[f32; 3]> {
    let known = Known::new(atlas);
    known.picture(&known.spread(atlas, colours), |_| false)
}

/// The mean length of the edges of a surface.
pub fn mean_edge(positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> f64 {
    let length = |t: &[u32; 3]| {
        let [a, b, c] = t.map(|v| Vec3::from(positions[v as usize]));
        f64::from(a.distance(b) + b.distance(c) + c.distance(a)) / 3.0
    };
    triangles.iter().map(length).sum::<f64>() / triangles.len().max(1) as f64
}

/// Colours [S · S] of a source on a surface of its domain, sRGB encoded: those that it has itself along the normal, or else
/// the mean of what views of the world see of it.
///
/// # Errors
/// What the source cannot do.
pub fn baked(
    source: &dyn Source,
    (atlas, positions, normals): (&Atlas, &[[f32; 3]], &[[f32; 3]]),
    views: &[View],
) -> Result<Vec<[f32; 3]>> {
    let places = Places::new(atlas, positions, normals);
    let edge = mean_edge(positions, &atlas.uncut());
    if let Some(colours) = source.skin(&places.points, &places.normals, edge as f32)? {
        return Ok(places.known.picture(&colours, |_| false));
    }
    let place = source.place();
    let (mut sums, behind) = (vec![[0.0f32; 4]; places.points.len()], BEHIND * edge * place.scale);
    for view in views {
        let seen = source.depths(view)?;
        if seen.colours.is_empty() {
            continue;
        }
        let eye = Vec3::from(place.inwards(view.centre().map(|x| x as f32)));
        for ((sum, p), n) in sums.iter_mut().zip(&places.points).zip(&places.normals) {
            let facing = Vec3::from(*n).dot((eye - Vec3::from(*p)).normalize_or_zero());
            let world = place.outwards(*p).map(f64::from);
            let Some((pixel, [.., depth])) = view.pixel(world).filter(|_| facing > 0.1) else { continue };
            if depth - f64::from(seen.depths[pixel]) < behind {
                let weight = facing * facing;
                (0..3).for_each(|c| sum[c] += weight * seen.colours[pixel][c]);
                sum[3] += weight;
            }
        }
    }
    let colours: Vec<[f32; 3]> = sums.iter().map(|s| [0, 1, 2].map(|c| s[c] / s[3].max(1e-12))).collect();
    Ok(places.known.picture(&colours, |k| sums[k][3] <= 0.0))
}

/// Normals [S · S] of a source on a surface of its domain, in the tangent space that glTF viewers make of the scene's mesh:
/// what simplification took from the surface.
///
/// # Errors
/// What the source cannot do.
pub fn normal_map(
    source: &dyn Source,
    (atlas, positions, normals): (&Atlas, &[[f32; 3]], &[[f32; 3]]),
    scene: &Scene,
) -> Result<Option<Vec<[f32; 3]>>> {
    let places = Places::new(atlas, positions, normals);
    let Some(tangents) = scene.meshes().first().and_then(|m| m.primitives.first()?.tangents.clone()) else {
        return Ok(None);
    };
    let (directions, hands): (Vec<[f32; 3]>, Vec<[f32; 3]>) =
        tangents.iter().map(|t| ([t[0], t[1], t[2]], [t[3]; 3])).unzip();
    let fine = source.normals(&places.points)?;
    let Known { texels, known } = &places.known;
    let mapped: Vec<[f32; 3]> = known
        .iter()
        .zip(&places.normals)
        .zip(&fine)
        .map(|((&texel, n), fine)| {
            let (n, fine) = (Vec3::from(*n), Vec3::from(*fine));
            let t = Vec3::from(texels.blend(texel, &atlas.triangles, &directions)).normalize_or_zero();
            let hand = texels.blend(texel, &atlas.triangles, &hands)[0];
            let b = n.cross(t) * hand;
            let coded = Vec3::new(fine.dot(t), fine.dot(b), fine.dot(n));
            // What faces away from the mesh is not its detail.
            if coded.z > 0.0 { coded.normalize_or_zero().to_array() } else { [0.0, 0.0, 1.0] }
        })
        .collect();
    Ok(Some(places.known.picture(&mapped, |_| false)))
}
