//! Reads meshes.

use crate::Result;
use crate::gltf::accessor::Accessors;
use crate::gltf::json::Json;
use crate::model::{Influences, Mesh, Mode, MorphTarget, Primitive};
use crate::normals::{normalize, smooth_normals};

/// Texture coordinate and joint sets beyond this are not looked at.
const MAX_SETS: usize = 8;

/// Reads meshes and collects warnings.
pub(crate) struct MeshReader<'a, 'w> {
    pub accessors: Accessors<'a>,
    pub n_materials: usize,
    pub warnings: &'w mut Vec<String>,
}

impl MeshReader<'_, '_> {
    pub fn read(&mut self, at: &Json<'_>) -> Result<Mesh> {
        let primitives = at.objects("primitives")?.iter().map(|p| self.primitive(p)).collect::<Result<Vec<_>>>()?;
        let mut weights: Vec<f32> = at.numbers("weights")?.unwrap_or_default().into_iter().map(|w| w as f32).collect();
        weights.resize(primitives.iter().map(|p| p.targets.len()).max().unwrap_or(0), 0.0);
        Ok(Mesh { name: at.text("name")?.unwrap_or_default().to_owned(), primitives, weights })
    }

    fn primitive(&mut self, at: &Json<'_>) -> Result<Primitive> {
        let material = at.index("material", self.n_materials, "materials")?;
        let mode = at.count("mode")?.unwrap_or(4);
        let mut primitive = Primitive { material, mode: kind_of(mode, at)?, ..Primitive::default() };
        let attributes = at.get("attributes").ok_or_else(|| at.error("\"attributes\" is missing", ""))?;
        let Some(position) = self.accessor(&attributes, "POSITION")? else {
            self.warnings.push(format!("{}: not rendered: it has no POSITION", at.pointer()));
            return Ok(primitive);
        };
        primitive.positions = self.accessors.read::<3>(position, 3, 0.0)?;
        if let Some(v) = primitive.positions.iter().position(|p| !p.iter().all(|x| x.is_finite())) {
            let place = format!("{}/POSITION", attributes.location());
            let message = format!("the position of vertex {v} is {:?}", primitive.positions[v]);
            return Err(crate::Error::invalid(place, message, "positions must be finite numbers"));
        }
        let order = self.vertex_order(at, primitive.positions.len())?;
        match primitive.mode {
            Mode::Triangles => primitive.triangles = triangles(mode, &order),
            Mode::Points | Mode::Lines => {
                self.warnings.push(format!("{}: points and lines are kept but not rendered", at.pointer()));
            }
        }
        if primitive.mode == Mode::Triangles && mode == 4 && order.len() % 3 != 0 {
            self.warnings.push(format!("{}: {} vertices do not make whole triangles", at.pointer(), order.len()));
        }
        self.attributes(&attributes, &mut primitive)?;
        primitive.targets = self.targets(at, primitive.positions.len())?;
        Ok(primitive)
    }

    fn vertex_order(&mut self, at: &Json<'_>, n_vertices: usize) -> Result<Vec<u32>> {
        let Some(index) = at.index("indices", self.accessors.len(), "accessors")? else {
            return Ok((0..n_vertices as u32).collect());
        };
        let order = self.accessors.read_indices(index)?;
        match order.iter().position(|&v| v as usize >= n_vertices) {
            None => Ok(order),
            Some(i) => {
                let message = format!("index {i} names vertex {} of {n_vertices}", order[i]);
                Err(crate::Error::invalid(format!("{}/indices", at.location()), message, "export the mesh again"))
            }
        }
    }

    fn attributes(&mut self, at: &Json<'_>, primitive: &mut Primitive) -> Result<()> {
        let n = primitive.positions.len();
        if let Some(mut normals) = self.attribute::<3>(at, "NORMAL", n, 3, 0.0)? {
            normals.iter_mut().for_each(normalize);
            fill_zero_normals(&mut normals, primitive);
            primitive.normals = Some(normals);
        }
        if primitive.normals.is_some() {
            primitive.tangents = self.attribute::<4>(at, "TANGENT", n, 4, 0.0)?;
        }
        primitive.colors = self.attribute::<4>(at, "COLOR_0", n, 3, 1.0)?;
        for set in 0..MAX_SETS {
            if let Some(uv) = self.attribute::<2>(at, &format!("TEXCOORD_{set}"), n, 2, 0.0)? {
                primitive.texcoords.resize(set, Vec::new());
                primitive.texcoords.push(uv);
            }
        }
        primitive.influences = self.influences(at, n)?;
        Ok(())
    }

    fn influences(&mut self, at: &Json<'_>, n: usize) -> Result<Option<Influences>> {
        let (mut joints, mut weights) = (Vec::new(), Vec::new());
        for set in 0..MAX_SETS {
            let name = format!("JOINTS_{set}");
            let (Some(joint), Some(weight)) =
                (self.accessor(at, &name)?, self.attribute::<4>(at, &format!("WEIGHTS_{set}"), n, 4, 0.0)?)
            else {
                break;
            };
            let joint = self.accessors.read_integers::<4>(joint)?;
            check_count(at, &name, joint.len(), n)?;
            joints.push(joint);
            weights.push(weight);
        }
        if joints.is_empty() {
            return Ok(None);
        }
        let per_vertex = 4 * joints.len();
        let mut out = Influences { per_vertex, joints: Vec::new(), weights: Vec::new() };
        for v in 0..n {
            let all = || weights.iter().flat_map(|set| set[v]).map(|w| w.max(0.0));
            let sum: f32 = all().sum();
            let start = out.weights.len();
            // Files with weights that sum to less than one are common; all renderers normalise.
            out.weights.extend(all().map(|w| if sum > 0.0 { w / sum } else { 0.0 }));
            if sum <= 0.0 {
                out.weights[start] = 1.0;
            }
            out.joints.extend(joints.iter().flat_map(|set| set[v]));
        }
        Ok(Some(out))
    }

    fn targets(&mut self, at: &Json<'_>, n: usize) -> Result<Vec<MorphTarget>> {
        let mut targets = Vec::new();
        for target in at.objects("targets")? {
            let mut delta =
                |name: &str| Ok::<_, crate::Error>(self.attribute::<3>(&target, name, n, 3, 0.0)?.unwrap_or_default());
            targets.push(MorphTarget {
                positions: delta("POSITION")?,
                normals: delta("NORMAL")?,
                tangents: delta("TANGENT")?,
            });
        }
        Ok(targets)
    }

    fn accessor(&self, attributes: &Json<'_>, name: &str) -> Result<Option<usize>> {
        attributes.index(name, self.accessors.len(), "accessors")
    }

    /// One per-vertex attribute; values that are no numbers become 0, with a warning.
    fn attribute<const N: usize>(
        &mut self,
        at: &Json<'_>,
        name: &str,
        n: usize,
        least: usize,
        fill: f32,
    ) -> Result<Option<Vec<[f32; N]>>> {
        let Some(index) = self.accessor(at, name)? else { return Ok(None) };
        let mut values = self.accessors.read::<N>(index, least, fill)?;
        check_count(at, name, values.len(), n)?;
        let bad = values.iter_mut().flatten().filter(|x| !x.is_finite());
        let n_bad = bad.map(|x| *x = 0.0).count();
        if n_bad > 0 {
            self.warnings.push(format!("{}/{name}: {n_bad} values are not finite and count as 0", at.pointer()));
        }
        Ok(Some(values))
    }
}

fn check_count(at: &Json<'_>, name: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let message = format!("{name} has {found} elements, expected {expected} as POSITION has");
    Err(crate::Error::invalid(format!("{}/{name}", at.location()), message, "export the mesh again"))
}

fn kind_of(mode: usize, at: &Json<'_>) -> Result<Mode> {
    Ok(match mode {
        0 => Mode::Points,
        1..=3 => Mode::Lines,
        4..=6 => Mode::Triangles,
        other => return Err(at.error(format!("mode {other} does not exist"), "use 0 to 6")),
    })
}

/// Triangles of a list (4), a strip (5) or a fan (6), all counter-clockwise.
fn triangles(mode: usize, order: &[u32]) -> Vec<[u32; 3]> {
    match mode {
        5 => order
            .windows(3)
            .enumerate()
            .map(|(i, w)| if i % 2 == 0 { [w[0], w[1], w[2]] } else { [w[0], w[2], w[1]] })
            .collect(),
        6 => order.windows(2).skip(1).map(|w| [w[0], w[1], order[0]]).collect(),
        _ => order.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect(),
    }
}

/// Gives vertices whose normal is zero that of the triangles around them.
fn fill_zero_normals(normals: &mut [[f32; 3]], primitive: &Primitive) {
    if normals.iter().all(|n| *n != [0.0; 3]) {
        return;
    }
    let geometric = smooth_normals(&primitive.positions, &primitive.triangles);
    normals.iter_mut().zip(geometric).filter(|(n, _)| **n == [0.0; 3]).for_each(|(n, g)| *n = g);
}
