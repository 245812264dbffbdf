//! Isotropic remeshing.

mod mesh;
#[cfg(test)]
mod tests;

use crate::{Bvh, Error, Result, Topology};
use glam::DVec3;
use mesh::Mesh;
use rayon::prelude::*;
use std::collections::BinaryHeap;

/// Edges outside these multiples of the target are split or collapsed (Botsch & Kobbelt 2004, §4).
const LONG: f64 = 4.0 / 3.0;
const SHORT: f64 = 4.0 / 5.0;
/// Positions [V, 3] and triangles [T, 3].
type Indexed = (Vec<[f32; 3]>, Vec<[u32; 3]>);

/// Triangles that a result may have.
const MAX_TRIANGLES: f64 = 2e7;

/// Remeshes a manifold surface to triangles with edges of about `target_edge_length`, for use between stages of shape
/// optimisation.
///
/// Each iteration splits long edges, collapses short ones, flips edges towards valence 6 (4 on borders), smooths vertices
/// in their tangent planes and moves them to the closest point of the input. Topology, orientation and borders stay:
/// border edges may be split, border vertices neither move nor vanish. No edit turns a triangle over or makes one
/// without area. Weld vertices at equal positions first ([`weld_positions`](crate::weld_positions)), or seams count as
/// borders.
///
/// **Shapes**: positions [V, 3] and triangles [T, 3], counter-clockwise from outside, in and out. Vertices without
/// triangles are left out of the result. **Determinism**: the same result for any number of threads. **Cost**: per
/// iteration a sort of the edges and one closest-point query per vertex.
///
/// **Source**: Botsch & Kobbelt, "A Remeshing Approach to Multiresolution Modeling", 2004.
///
/// # Errors
/// Positions that are not finite, indices out of range, triangles that name a vertex twice, surfaces that are not
/// manifold and evenly oriented, a target length that is not positive or asks for more than 20 million triangles.
pub fn remesh(
    positions: &[[f32; 3]],
    triangles: &[[u32; 3]],
    target_edge_length: f64,
    iterations: usize,
) -> Result<Indexed> {
    check(positions, triangles, target_edge_length)?;
    let surface = Bvh::new(positions, triangles);
    let points = positions.iter().map(|p| DVec3::from_array(p.map(f64::from))).collect();
    let mut mesh = Mesh::new(points, triangles);
    for _ in 0..iterations {
        split(&mut mesh, LONG * target_edge_length);
        collapse(&mut mesh, SHORT * target_edge_length, LONG * target_edge_length);
        for (a, b) in mesh.edges() {
            mesh.flip(a, b);
        }
        smooth(&mut mesh, &surface);
    }
    Ok(compact(&mesh))
}

fn check(positions: &[[f32; 3]], triangles: &[[u32; 3]], target: f64) -> Result<()> {
    if let Some(vertex) = positions.iter().position(|p| !p.iter().all(|x| x.is_finite())) {
        return Err(Error::NotFinite { vertex });
    }
    let topology = Topology::new(positions.len(), triangles)?;
    if topology.n_degenerate > 0 || !topology.manifold() {
        return Err(Error::NotManifold(topology));
    }
    // A triangle needs about its area in equilateral ones, and two for each stretch of its outline.
    let pieces = |t: &[u32; 3]| {
        let p = t.map(|v| DVec3::from_array(positions[v as usize].map(f64::from)));
        let outline: f64 = (0..3).map(|k| p[k].distance(p[(k + 1) % 3])).sum();
        mesh::area(p).length() / (target * target) + 2.0 * outline / target + 1.0
    };
    let expected: f64 = triangles.iter().map(pieces).sum();
    if target > 0.0 && target.is_finite() && expected <= MAX_TRIANGLES {
        Ok(())
    } else {
        Err(Error::EdgeLength { target, expected })
    }
}

/// Splits edges longer than `longest`, the longest first: what a split makes is shorter by √¾ at least, so that it ends.
fn split(mesh: &mut Mesh, longest: f64) {
    // Lengths of finite positions order as their bits.
    let key = |mesh: &Mesh, e: (u32, u32)| (mesh.length(e).to_bits(), std::cmp::Reverse(e));
    let long = |mesh: &Mesh, e: (u32, u32)| mesh.length(e) > longest;
    let mut queue: BinaryHeap<_> = mesh.edges().into_iter().filter(|&e| long(mesh, e)).map(|e| key(mesh, e)).collect();
    while let Some((_, std::cmp::Reverse((a, b)))) = queue.pop() {
        let m = mesh.split(a, b);
        queue.extend(mesh.neighbours(m).into_iter().map(|v| (v, m)).filter(|&e| long(mesh, e)).map(|e| key(mesh, e)));
    }
}

/// Collapses edges shorter than `shortest`, the shortest first.
fn collapse(mesh: &mut Mesh, shortest: f64, longest: f64) {
    let mut edges = mesh.edges();
    edges.retain(|&e| mesh.length(e) < shortest);
    edges.sort_by(|&x, &y| mesh.length(x).total_cmp(&mesh.length(y)).then(x.cmp(&y)));
    for (a, b) in edges {
        // Collapses nearby may have taken the edge away or made it longer.
        if !mesh.sides(a, b).is_empty() && mesh.length((a, b)) < shortest {
            mesh.collapse(a, b, longest);
        }
    }
}

/// Moves inner vertices towards the centre of their fan in their tangent plane, and to the input surface.
fn smooth(mesh: &mut Mesh, surface: &Bvh) {
    let shared = &*mesh;
    let goal = |v: u32| {
        if shared.border[v as usize] || shared.fan(v).next().is_none() {
            return None;
        }
        let (mut sum, mut total) = (DVec3::ZERO, 0.0);
        for t in shared.fan(v) {
            let p = t.map(|w| shared.at(w));
            let weight = mesh::area(p).length();
            sum += weight * (p[0] + p[1] + p[2]) / 3.0;
            total += weight;
        }
        let (here, normal) = (shared.at(v), shared.normal(v));
        let step = if total > 0.0 { sum / total - here } else { DVec3::ZERO };
        surface.nearest(here + step - normal * normal.dot(step)).map(|hit| hit.point)
    };
    let goals: Vec<Option<DVec3>> = (0..shared.positions.len() as u32).into_par_iter().map(goal).collect();
    for (v, goal) in (0..).zip(goals) {
        if let Some(goal) = goal {
            mesh.move_to(v, goal);
        }
    }
}

/// The mesh without what has been collapsed.
fn compact(mesh: &Mesh) -> Indexed {
    let mut place = vec![u32::MAX; mesh.positions.len()];
    let mut positions = vec![];
    let triangles = mesh.triangles.iter().flatten().map(|t| {
        t.map(|v| {
            if place[v as usize] == u32::MAX {
                place[v as usize] = positions.len() as u32;
                positions.push(mesh.at(v).as_vec3().to_array());
            }
            place[v as usize]
        })
    });
    let triangles = triangles.collect();
    (positions, triangles)
}
