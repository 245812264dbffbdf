//! Vertex normals and tangents of triangle meshes.

use crate::model::Primitive;
use bevy_mikktspace::{Geometry, TangentSpace, generate_tangents};
use glam::{DVec3, Vec3};
use std::collections::HashMap;

/// Scales to unit length; zero stays zero, and what is unit up to rounding stays as the file has it.
pub(crate) fn normalize(n: &mut [f32; 3]) {
    let length = DVec3::from_array(n.map(f64::from)).length();
    if length > 0.0 && (length - 1.0).abs() > 1e-6 {
        *n = n.map(|x| (f64::from(x) / length) as f32);
    }
}

/// Unit normals of vertices: the sum of the area vectors of the triangles around them; +Z where that is zero.
///
/// Shapes: `positions` [V, 3], `triangles` [T, 3] below V; returns [V, 3].
pub fn smooth_normals(positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> Vec<[f32; 3]> {
    let groups: Vec<u32> = (0..positions.len() as u32).collect();
    grouped_normals(positions, triangles, &groups)
}

/// Normals after the vertices have moved: vertices that shared position and normal before share the new normal, so
/// that texture seams stay invisible and hard edges stay hard.
pub(crate) fn moved_normals(primitive: &Primitive, old_normals: &[[f32; 3]], positions: &[[f32; 3]]) -> Vec<[f32; 3]> {
    let bits = |v: [f32; 3]| v.map(|x| (x + 0.0).to_bits());
    let mut first = HashMap::new();
    let groups: Vec<u32> = (0..positions.len())
        .map(|v| *first.entry((bits(primitive.positions[v]), bits(old_normals[v]))).or_insert(v as u32))
        .collect();
    grouped_normals(positions, &primitive.triangles, &groups)
}

fn grouped_normals(positions: &[[f32; 3]], triangles: &[[u32; 3]], groups: &[u32]) -> Vec<[f32; 3]> {
    let mut sums = vec![DVec3::ZERO; positions.len()];
    for triangle in triangles {
        let [a, b, c] = triangle.map(|v| DVec3::from_array(positions[v as usize].map(f64::from)));
        let area = (b - a).cross(c - a);
        triangle.iter().for_each(|&v| sums[groups[v as usize] as usize] += area);
    }
    let unit = |&g: &u32| sums[g as usize].try_normalize().unwrap_or(DVec3::Z).to_array().map(|x| x as f32);
    groups.iter().map(unit).collect()
}

/// MikkTSpace tangents for the texture coordinates `uv`; `None` where normals or uvs lack.
///
/// MikkTSpace gives one tangent for each corner of a triangle. Corners of one vertex agree unless its texture is
/// mirrored there without a seam; then the vertex takes the mean over the more frequent handedness.
pub(crate) fn generate(primitive: &Primitive, set: usize) -> Option<Vec<[f32; 4]>> {
    let normals = primitive.normals.as_deref()?;
    let uv = primitive.texcoord(set)?;
    let mut corners = Corners { primitive, normals, uv, sums: vec![[Vec3::ZERO; 2]; normals.len()] };
    generate_tangents(&mut corners).ok()?;
    let vertex = |([left, right], normal): (&[Vec3; 2], &[f32; 3])| {
        let (sum, w) = if left.length_squared() > right.length_squared() { (left, -1.0) } else { (right, 1.0) };
        let tangent = sum.try_normalize().unwrap_or_else(|| Vec3::from_array(*normal).any_orthonormal_vector());
        [tangent.x, tangent.y, tangent.z, w]
    };
    Some(corners.sums.iter().zip(normals).map(vertex).collect())
}

struct Corners<'a> {
    primitive: &'a Primitive,
    normals: &'a [[f32; 3]],
    uv: &'a [[f32; 2]],
    /// For each vertex the sums of left-handed and of right-handed tangents.
    sums: Vec<[Vec3; 2]>,
}

impl Corners<'_> {
    fn vertex(&self, face: usize, corner: usize) -> usize {
        self.primitive.triangles[face][corner] as usize
    }
}

impl Geometry for Corners<'_> {
    fn num_faces(&self) -> usize {
        self.primitive.triangles.len()
    }

    fn num_vertices_of_face(&self, _face: usize) -> usize {
        3
    }

    fn position(&self, face: usize, corner: usize) -> [f32; 3] {
        self.primitive.positions[self.vertex(face, corner)]
    }

    fn normal(&self, face: usize, corner: usize) -> [f32; 3] {
        self.normals[self.vertex(face, corner)]
    }

    fn tex_coord(&self, face: usize, corner: usize) -> [f32; 2] {
        // MikkTSpace's v points up in the picture, glTF's down.
        let [u, v] = self.uv[self.vertex(face, corner)];
        [u, 1.0 - v]
    }

    fn set_tangent(&mut self, space: Option<TangentSpace>, face: usize, corner: usize) {
        let Some(space) = space else { return };
        let [x, y, z, w] = space.tangent_encoded();
        let vertex = self.vertex(face, corner);
        self.sums[vertex][usize::from(w > 0.0)] += Vec3::new(x, y, z);
    }
}
