//! What is drawn and where: world matrices, instances, posed geometry.

use crate::model::{Camera, Light, Mode, Primitive};
use crate::{Error, Result, Scene};
use glam::{DMat3, DMat4, DVec3};
use std::collections::{HashMap, HashSet};

/// One primitive at one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Index of the node.
    pub node: usize,
    /// Index of the mesh.
    pub mesh: usize,
    /// Index of the primitive within the mesh.
    pub primitive: usize,
    /// Index of the material; `None` is glTF's default material.
    pub material: Option<usize>,
    /// Index of the skin; a skinned instance ignores `world`.
    pub skin: Option<usize>,
    /// From the node's space to the world.
    pub world: DMat4,
}

/// The map from the (morphed) mesh space of an instance to the world; positions depend on it linearly.
#[derive(Clone, Debug)]
pub enum VertexTransform {
    /// One matrix for all vertices.
    Rigid(DMat4),
    /// For each vertex an affine map, rows of three: `p' = m[r]·(x, y, z, 1)`; [V, 3, 4].
    Skinned(Vec<[[f32; 4]; 3]>),
}

/// A primitive's arrays with the morph targets added, in mesh space.
#[derive(Clone, Debug)]
pub struct Morphed {
    /// Positions, [V, 3].
    pub positions: Vec<[f32; 3]>,
    /// Normals (not unit where a target changes them), [V, 3].
    pub normals: Option<Vec<[f32; 3]>>,
    /// Tangents and handedness, [V, 4].
    pub tangents: Option<Vec<[f32; 4]>>,
}

/// An instance's geometry in the world, at the rest pose.
#[derive(Clone, Debug)]
pub struct WorldGeometry {
    /// Metres, [V, 3].
    pub positions: Vec<[f32; 3]>,
    /// Unit normals (inverse transpose), [V, 3]; `None`: flat-shaded.
    pub normals: Option<Vec<[f32; 3]>>,
    /// Unit tangents and handedness, [V, 4].
    pub tangents: Option<Vec<[f32; 4]>>,
    /// The map mirrors: front faces are clockwise.
    pub flip_winding: bool,
}

impl Scene {
    /// For each node the matrix from its space to the world, column vectors.
    pub fn world_matrices(&self) -> Vec<DMat4> {
        let mut world: Vec<DMat4> = self.nodes.iter().map(|n| n.transform.matrix()).collect();
        let mut order: Vec<usize> = (0..self.nodes.len()).filter(|&i| self.nodes[i].parent.is_none()).collect();
        let mut next = 0;
        while next < order.len() {
            let node = order[next];
            for &child in &self.nodes[node].children {
                world[child] = world[node] * world[child];
                order.push(child);
            }
            next += 1;
        }
        world
    }

    /// Nodes of the active scene, each once, parents before children.
    pub fn reachable(&self) -> Vec<usize> {
        let mut seen = vec![false; self.nodes.len()];
        let mut order = Vec::new();
        let mut stack: Vec<usize> = self.roots.iter().rev().copied().collect();
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut seen[node], true) {
                order.push(node);
                stack.extend(self.nodes[node].children.iter().rev());
            }
        }
        order
    }

    /// Everything that is drawn: the triangle primitives of the active scene, in the order of the scene graph.
    pub fn instances(&self) -> Vec<Instance> {
        let world = self.world_matrices();
        let mut instances = Vec::new();
        for node in self.reachable() {
            let Some(mesh) = self.nodes[node].mesh else { continue };
            for (i, primitive) in self.meshes[mesh].primitives.iter().enumerate() {
                if primitive.mode == Mode::Triangles && !primitive.triangles.is_empty() {
                    let skin = self.nodes[node].skin.filter(|_| primitive.influences.is_some());
                    let (material, world) = (primitive.material, world[node]);
                    instances.push(Instance { node, mesh, primitive: i, material, skin, world });
                }
            }
        }
        instances
    }

    /// Cameras of the active scene with their camera-to-world matrices (−Z forward, +Y up), and their nodes.
    pub fn placed_cameras(&self) -> Vec<(usize, &Camera, DMat4)> {
        self.placed(|node| self.nodes[node].camera.map(|i| &self.cameras[i]))
    }

    /// Lights of the active scene with their light-to-world matrices (they shine along −Z), and their nodes.
    pub fn placed_lights(&self) -> Vec<(usize, &Light, DMat4)> {
        self.placed(|node| self.nodes[node].light.map(|i| &self.lights[i]))
    }

    fn placed<T>(&self, thing: impl Fn(usize) -> Option<T>) -> Vec<(usize, T, DMat4)> {
        let world = self.world_matrices();
        self.reachable().into_iter().filter_map(|node| thing(node).map(|t| (node, t, world[node]))).collect()
    }

    /// The primitive that `instance` draws.
    pub fn primitive(&self, instance: &Instance) -> &Primitive {
        &self.meshes[instance.mesh].primitives[instance.primitive]
    }

    /// Weights of the morph targets of the instance's mesh: the node's, else the mesh's.
    pub fn morph_weights(&self, instance: &Instance) -> Vec<f32> {
        let mesh = &self.meshes[instance.mesh];
        let mut weights = self.nodes[instance.node].weights.clone().unwrap_or_else(|| mesh.weights.clone());
        weights.resize(mesh.weights.len(), 0.0);
        weights
    }

    /// The instance's arrays with its morph targets added.
    pub fn morphed(&self, instance: &Instance) -> Morphed {
        let primitive = self.primitive(instance);
        let (mut positions, mut normals, mut tangents) =
            (primitive.positions.clone(), primitive.normals.clone(), primitive.tangents.clone());
        for (target, weight) in primitive.targets.iter().zip(self.morph_weights(instance)) {
            if weight == 0.0 {
                continue;
            }
            add(&mut positions, &target.positions, weight);
            normals.iter_mut().for_each(|n| add(n, &target.normals, weight));
            for (t, d) in tangents.iter_mut().flatten().zip(&target.tangents) {
                (0..3).for_each(|c| t[c] += weight * d[c]);
            }
        }
        Morphed { positions, normals, tangents }
    }

    /// The linear map from morphed mesh space to the world.
    pub fn vertex_transform(&self, instance: &Instance) -> VertexTransform {
        let primitive = self.primitive(instance);
        let (Some(skin), Some(influences)) = (instance.skin, &primitive.influences) else {
            return VertexTransform::Rigid(instance.world);
        };
        let (skin, world) = (&self.skins[skin], self.world_matrices());
        let pose: Vec<DMat4> = skin
            .joints
            .iter()
            .zip(&skin.inverse_bind_matrices)
            .map(|(&joint, inverse)| world[joint] * *inverse)
            .collect();
        let k = influences.per_vertex;
        let vertex = |v: usize| {
            let mut sum = DMat4::ZERO;
            for i in v * k..(v + 1) * k {
                let weight = influences.weights[i];
                if weight > 0.0 {
                    sum += pose.get(influences.joints[i] as usize).copied().unwrap_or(DMat4::ZERO) * f64::from(weight);
                }
            }
            let rows = sum.transpose().to_cols_array_2d().map(|row| row.map(|x| x as f32));
            [rows[0], rows[1], rows[2]]
        };
        VertexTransform::Skinned((0..primitive.positions.len()).map(vertex).collect())
    }

    /// The instance's geometry in the world, morphed and skinned at the rest pose.
    ///
    /// # Errors
    /// A position is not finite there: the file's matrices are beyond what `f32` holds.
    pub fn world_geometry(&self, instance: &Instance) -> Result<WorldGeometry> {
        let Morphed { mut positions, mut normals, mut tangents } = self.morphed(instance);
        let transform = self.vertex_transform(instance);
        let normal_maps = transform.normal_maps();
        let mut mirrored = 0;
        for v in 0..positions.len() {
            let (matrix, offset) = transform.at(v);
            positions[v] = to_f32(matrix * to_f64(positions[v]) + offset);
            let (normal_map, flips) = &normal_maps[v.min(normal_maps.len() - 1)];
            mirrored += if *flips { 1 } else { -1 };
            if let Some(normals) = &mut normals {
                normals[v] = unit(*normal_map * to_f64(normals[v]), normals[v]);
            }
            if let Some(tangents) = &mut tangents {
                let [x, y, z, w] = tangents[v];
                let [x, y, z] = unit(matrix * to_f64([x, y, z]), [x, y, z]);
                // The bitangent is a cross product; a mirror image needs the other sign.
                tangents[v] = [x, y, z, if *flips { -w } else { w }];
            }
        }
        if let Some(v) = positions.iter().position(|p| !p.iter().all(|x| x.is_finite())) {
            let place = format!("{}#/nodes/{}", self.document.file, instance.node);
            let message = format!("vertex {v} of mesh {} lies at {:?} in the world", instance.mesh, positions[v]);
            return Err(Error::invalid(place, message, "check the matrices and scales above this node"));
        }
        Ok(WorldGeometry { positions, normals, tangents, flip_winding: mirrored > 0 })
    }

    /// Checks what joins nodes, meshes and skins: joints that exist, positions that stay finite.
    pub(crate) fn check_instances(&self) -> Result<()> {
        // A mesh may stand at very many nodes: what is per vertex is looked at once.
        let mut reach = HashMap::new();
        let mut checked = HashSet::new();
        for instance in self.instances() {
            let key = (instance.mesh, instance.primitive);
            if let Some(skin) = instance.skin
                && checked.insert((key, skin))
            {
                self.check_joints(&instance, skin)?;
                self.world_geometry(&instance)?;
            }
            let primitive = self.primitive(&instance);
            let extent =
                |values: &[[f32; 3]]| values.as_flattened().iter().fold(0.0f64, |m, x| m.max(f64::from(x.abs())));
            let reach = *reach.entry(key).or_insert_with(|| {
                extent(&primitive.positions) + primitive.targets.iter().map(|t| extent(&t.positions)).sum::<f64>()
            });
            let weights = self.morph_weights(&instance).iter().fold(1.0, |m, w| f64::max(m, f64::from(w.abs())));
            let matrix = instance.world.to_cols_array().iter().fold(0.0, |m, x| f64::max(m, x.abs()));
            // Only where the bound is in doubt is it worth looking at every vertex.
            let harmless = matrix * (3.0 * reach * weights + 1.0) < f64::from(f32::MAX);
            if !harmless {
                self.world_geometry(&instance)?;
            }
        }
        Ok(())
    }

    fn check_joints(&self, instance: &Instance, skin: usize) -> Result<()> {
        let (n, influences) = (self.skins[skin].joints.len(), self.primitive(instance).influences.as_ref());
        let mut used = influences.into_iter().flat_map(|i| i.joints.iter().zip(&i.weights)).filter(|(_, w)| **w > 0.0);
        match used.find(|(joint, _)| **joint as usize >= n) {
            None => Ok(()),
            Some((joint, _)) => {
                let (mesh, primitive) = (instance.mesh, instance.primitive);
                let place = format!("{}#/meshes/{mesh}/primitives/{primitive}/attributes/JOINTS_0", self.document.file);
                let message = format!("a vertex follows joint {joint}, skin {skin} has {n} joints");
                Err(Error::invalid(place, message, "export the mesh again"))
            }
        }
    }
}

impl VertexTransform {
    /// Linear part and offset for vertex `v`.
    fn at(&self, v: usize) -> (DMat3, DVec3) {
        match self {
            Self::Rigid(m) => (DMat3::from_mat4(*m), m.w_axis.truncate()),
            Self::Skinned(rows) => {
                let rows = rows[v].map(|row| row.map(f64::from));
                let linear = DMat3::from_cols_array_2d(&rows.map(|[a, b, c, _]| [a, b, c])).transpose();
                (linear, DVec3::from_array(rows.map(|row| row[3])))
            }
        }
    }

    /// For each vertex (or once, where all share it) the map of normals, and whether it mirrors.
    fn normal_maps(&self) -> Vec<(DMat3, bool)> {
        let n = match self {
            Self::Rigid(_) => 1,
            Self::Skinned(rows) => rows.len(),
        };
        let map = |v| {
            let m = self.at(v).0;
            let flips = m.determinant() < 0.0;
            // The cofactor matrix is the inverse transpose up to a factor, and exists for singular maps too.
            let cofactors =
                DMat3::from_cols(m.y_axis.cross(m.z_axis), m.z_axis.cross(m.x_axis), m.x_axis.cross(m.y_axis));
            (if flips { -cofactors } else { cofactors }, flips)
        };
        (0..n).map(map).collect()
    }
}

fn add(values: &mut [[f32; 3]], deltas: &[[f32; 3]], weight: f32) {
    for (value, delta) in values.iter_mut().zip(deltas) {
        (0..3).for_each(|c| value[c] += weight * delta[c]);
    }
}

fn to_f64(v: [f32; 3]) -> DVec3 {
    DVec3::from_array(v.map(f64::from))
}

fn to_f32(v: DVec3) -> [f32; 3] {
    v.to_array().map(|x| x as f32)
}

fn unit(v: DVec3, otherwise: [f32; 3]) -> [f32; 3] {
    v.try_normalize().map_or(otherwise, to_f32)
}
