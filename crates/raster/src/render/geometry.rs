//! All drawn geometry of a scene as one set of vertex tables and one list of triangles, in the world.

use super::Bindings;
use crate::Result;
use lumigrad_core::map::{BoolExpr, Map, vector};
use lumigrad_core::{DType, Device, Tensor, Var, ops};
use lumigrad_scene::{Instance, Scene, VertexTransform};
use rayon::prelude::*;
use std::collections::HashMap;

/// One primitive at one node.
#[derive(Clone, Debug)]
pub struct Draw {
    /// What is drawn.
    pub instance: Instance,
    /// Range of its vertices.
    pub vertices: std::ops::Range<usize>,
    /// Range of its triangles.
    pub triangles: std::ops::Range<usize>,
    /// Its front faces are clockwise (mirrored node).
    pub flip_winding: bool,
    /// It has vertex normals.
    pub normals: bool,
    /// It has vertex colours.
    pub colors: bool,
}

/// The constant part of the geometry.
pub struct Geometry {
    /// What is drawn, in order of vertices and triangles.
    pub draws: Vec<Draw>,
    /// Vertex numbers, u32 [T, 3].
    pub triangles: Tensor,
    /// Rasterisation flags, u32 `[T]`.
    pub flags: Tensor,
    /// Neighbour triangle across each edge, u32 [T, 3].
    pub neighbours: Tensor,
    /// Class of each vertex for smooth normals, u32 `[V]`: equal position and normal.
    pub normal_class: Tensor,
    /// World positions [V, 3], normals [V, 3], texture coordinates of both sets [V, 4], tangents [V, 4], colours [V, 4].
    pub constant: Vertices,
    /// Triangles on the host, for regularisers and topology.
    pub host_triangles: Vec<[u32; 3]>,
    /// World positions on the host.
    pub host_positions: Vec<[f32; 3]>,
}

/// Vertex tables of a frame.
#[derive(Clone, Debug)]
pub struct Vertices {
    /// [V, 3], metres.
    pub positions: Var,
    /// [V, 3], unit.
    pub normals: Var,
    /// [V, 4]: both sets.
    pub texcoords: Var,
    /// [V, 4]: direction and handedness.
    pub tangents: Var,
    /// [V, 4].
    pub colors: Var,
}

/// Numbers equal rows alike, in order of first appearance.
pub(crate) fn classes<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> Vec<u32> {
    let mut known = HashMap::new();
    keys.map(|k| {
        let next = known.len() as u32;
        *known.entry(k).or_insert(next)
    })
    .collect()
}

fn bits(p: [f32; 3]) -> [u32; 3] {
    p.map(|x| (x + 0.0).to_bits())
}

fn table<const N: usize>(device: &Device, dtype: DType, rows: &[[f32; N]]) -> Result<Var> {
    let t = Tensor::from_slice(&Device::cpu(), rows.as_flattened(), &[rows.len(), N])?;
    Ok(t.cast(dtype)?.to_device(device)?.into())
}

impl Geometry {
    /// Collects everything that is drawn.
    pub fn new(scene: &Scene, device: &Device, dtype: DType) -> Result<Self> {
        let (mut positions, mut normals, mut texcoords) = (vec![], vec![], vec![]);
        let (mut tangents, mut colors, mut triangles, mut flags) = (vec![], vec![], vec![], vec![]);
        let mut draws = vec![];
        for instance in scene.instances() {
            let world = scene.world_geometry(&instance)?;
            let primitive = scene.primitive(&instance);
            let n = world.positions.len();
            let first = positions.len();
            let first_triangle = triangles.len();
            let uv = |set: usize, v: usize| primitive.texcoord(set).map_or([0.0; 2], |t| t[v]);
            for v in 0..n {
                normals.push(world.normals.as_ref().map_or([0.0; 3], |x| x[v]));
                let ([a, b], [c, d]) = (uv(0, v), uv(1, v));
                texcoords.push([a, b, c, d]);
                tangents.push(world.tangents.as_ref().map_or([1.0, 0.0, 0.0, 1.0], |x| x[v]));
                colors.push(primitive.colors.as_ref().map_or([1.0; 4], |x| x[v]));
            }
            positions.extend_from_slice(&world.positions);
            let double_sided = instance.material.is_some_and(|m| scene.materials()[m].double_sided) as u32;
            for t in &primitive.triangles {
                triangles.push(t.map(|v| v + first as u32));
                flags.push(double_sided | (world.flip_winding as u32) << 1);
            }
            draws.push(Draw {
                vertices: first..first + n,
                triangles: first_triangle..triangles.len(),
                flip_winding: world.flip_winding,
                normals: world.normals.is_some(),
                colors: primitive.colors.is_some(),
                instance,
            });
        }
        let position_class = classes(positions.iter().map(|&p| bits(p)));
        let normal_class = classes(positions.iter().zip(&normals).map(|(&p, &n)| (bits(p), bits(n))));
        let neighbours = neighbours(&triangles, &position_class);
        let u32s = |data: &[u32], shape: &[usize]| Tensor::from_slice(device, data, shape);
        Ok(Self {
            draws,
            triangles: u32s(triangles.as_flattened(), &[triangles.len(), 3])?,
            flags: u32s(&flags, &[flags.len()])?,
            neighbours: u32s(neighbours.as_flattened(), &[neighbours.len(), 3])?,
            normal_class: u32s(&normal_class, &[normal_class.len()])?,
            constant: Vertices {
                positions: table(device, dtype, &positions)?,
                normals: table(device, dtype, &normals)?,
                texcoords: table(device, dtype, &texcoords)?,
                tangents: table(device, dtype, &tangents)?,
                colors: table(device, dtype, &colors)?,
            },
            host_triangles: triangles,
            host_positions: positions,
        })
    }

    /// The vertex tables with bound positions and colours in place of the constant ones. Positions are bound in mesh
    /// space; normals follow them, area-weighted over the triangles around a vertex.
    pub fn vertices(&self, scene: &Scene, bindings: &Bindings) -> Result<Vertices> {
        let mut vertices = self.constant.clone();
        let pointer = |d: &Draw, name: &str| {
            format!("/meshes/{}/primitives/{}/attributes/{name}", d.instance.mesh, d.instance.primitive)
        };
        let (mut moved, mut recoloured) = (false, false);
        let (mut positions, mut colors) = (vec![], vec![]);
        for draw in &self.draws {
            let part = |v: &Var| v.slice(0, draw.vertices.start, draw.vertices.end);
            positions.push(match bindings.get(&pointer(draw, "POSITION")) {
                Some(local) => {
                    moved = true;
                    to_world(scene, &draw.instance, local)?
                }
                None => part(&vertices.positions)?,
            });
            colors.push(match bindings.get(&pointer(draw, "COLOR_0")) {
                Some(c) => {
                    recoloured = true;
                    c.clone()
                }
                None => part(&vertices.colors)?,
            });
        }
        if moved {
            vertices.positions = ops::concat(&positions.iter().collect::<Vec<_>>(), 0)?;
            vertices.normals = self.smooth_normals(&vertices.positions)?;
        }
        if recoloured {
            vertices.colors = ops::concat(&colors.iter().collect::<Vec<_>>(), 0)?;
        }
        Ok(vertices)
    }

    /// Vertex normals [V, 3]: the normalised sum of the (area-weighted) normals of the triangles around a vertex.
    /// Vertices with equal position and original normal share theirs, so that hard edges stay hard.
    pub fn smooth_normals(&self, positions: &Var) -> Result<Var> {
        let faces = Map::cached("raster/face_normals", |m| {
            let corner = m.item_int::<3>("triangles");
            let positions = m.table::<3>("positions");
            let class = m.table_int::<1>("class");
            let p = corner.map(|v| positions.fetch(v));
            let area = vector::cross(vector::sub(p[1], p[0]), vector::sub(p[2], p[0]));
            let adds = corner.map(|v| (class.fetch(v)[0], area));
            m.scatter("sums", positions, &adds);
        });
        let spread = Map::cached("raster/vertex_normals", |m| {
            let [class] = m.item_int("class");
            let sums = m.table::<3>("sums");
            let n = sums.fetch(class);
            let length = vector::dot(n, n);
            let safe: BoolExpr = length.greater(1e-30);
            let inverse = 1.0 / safe.select(length, 1.0).sqrt();
            m.output("normals", &n.map(|x| safe.select(x * inverse, 0.0)));
        });
        let (triangles, class) = (self.triangles.clone().into(), self.normal_class.clone().into());
        let sums = faces.apply(&[&triangles, positions, &class])?.remove(0);
        Ok(spread.apply(&[&class, &sums])?.remove(0))
    }
}

/// Mesh-space positions [V, 3] through the instance's matrix, skin and morphs (which add a constant).
fn to_world(scene: &Scene, instance: &Instance, local: &Var) -> Result<Var> {
    let (device, dtype) = (local.device(), local.dtype());
    let bind = &scene.primitive(instance).positions;
    let morphed = scene.morphed(instance).positions;
    let offsets: Vec<[f32; 3]> = morphed.iter().zip(bind).map(|(m, b)| std::array::from_fn(|k| m[k] - b[k])).collect();
    let offsets = table(device, dtype, &offsets)?;
    let rows = match scene.vertex_transform(instance) {
        VertexTransform::Rigid(m) => {
            let t = m.transpose().to_cols_array_2d().map(|row| row.map(|x| x as f32));
            vec![[t[0], t[1], t[2]]]
        }
        VertexTransform::Skinned(rows) => rows,
    };
    let rigid = rows.len() == 1 && bind.len() != 1;
    let flat: Vec<[f32; 12]> = rows.iter().map(|r| std::array::from_fn(|k| r[k / 4][k % 4])).collect();
    let matrices = table(device, dtype, &flat)?;
    let map = Map::cached(&format!("raster/to_world{}", if rigid { "" } else { " skinned" }), |m| {
        let p = m.item::<3>("positions");
        let o = m.item::<3>("offsets");
        let a = if rigid { m.uniform::<12>("matrix") } else { m.item::<12>("matrices") };
        let q = vector::add(p, o);
        let world: [_; 3] =
            std::array::from_fn(|r| vector::dot([a[4 * r], a[4 * r + 1], a[4 * r + 2]], q) + a[4 * r + 3]);
        m.output("world", &world);
    });
    Ok(map.apply(&[local, &offsets, &matrices])?.remove(0))
}

/// No neighbour across an edge.
pub const NO_NEIGHBOUR: u32 = u32::MAX;

/// For edge k of each triangle (from vertex k to k + 1) the other triangle with that edge; [`NO_NEIGHBOUR`] at borders
/// and where more than two triangles meet.
pub fn neighbours(triangles: &[[u32; 3]], class: &[u32]) -> Vec<[u32; 3]> {
    // Edges as (smaller class, larger class, corner where it starts).
    let edge = |corner: u32| {
        let t = triangles[corner as usize / 3].map(|v| class[v as usize]);
        let (a, b) = (t[corner as usize % 3], t[(corner as usize + 1) % 3]);
        (a.min(b), a.max(b), corner)
    };
    let mut edges: Vec<_> = (0..3 * triangles.len() as u32).map(edge).collect();
    edges.par_sort_unstable();
    let mut out = vec![[NO_NEIGHBOUR; 3]; triangles.len()];
    for sides in edges.chunk_by(|p, q| (p.0, p.1) == (q.0, q.1)) {
        if let [(.., i), (.., j)] = *sides {
            out[i as usize / 3][i as usize % 3] = j / 3;
            out[j as usize / 3][j as usize % 3] = i / 3;
        }
    }
    out
}
