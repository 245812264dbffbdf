//! Makes scenes from meshes, materials, lights and cameras.

use crate::gltf::container::Document;
use crate::gltf::materials::read_material;
use crate::gltf::nodes::{LIGHTS, read_camera, read_light, read_node};
use crate::gltf::write::{append, declare_extensions, number};
use crate::model::{
    AlphaMode, Camera, Image, Light, LightKind, Material, Mesh, Node, Primitive, Projection, Transform,
};
use crate::{Error, Result, Scene};
use serde_json::{Map, Value, json};

/// A triangle mesh; all per-vertex arrays that are present have the length of `positions`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeshData {
    /// Metres, [V, 3].
    pub positions: Vec<[f32; 3]>,
    /// Counter-clockwise seen from the front, below V, [T, 3].
    pub triangles: Vec<[u32; 3]>,
    /// Unit normals, [V, 3]; `None`: flat-shaded.
    pub normals: Option<Vec<[f32; 3]>>,
    /// Texture coordinates, (0, 0) is the picture's top left, [V, 2].
    pub texcoords: Option<Vec<[f32; 2]>>,
    /// Linear RGBA, [V, 4].
    pub colors: Option<Vec<[f32; 4]>>,
}

impl MeshData {
    /// Checks lengths, indices and that all numbers are finite; `place` is for the error.
    pub(crate) fn check(&self, place: &str) -> Result<()> {
        let n = self.positions.len();
        let lengths = [
            ("normals", self.normals.as_ref().map(Vec::len)),
            ("texcoords", self.texcoords.as_ref().map(Vec::len)),
            ("colors", self.colors.as_ref().map(Vec::len)),
        ];
        for (name, length) in lengths {
            if let Some(length) = length.filter(|&length| length != n) {
                return Err(Error::invalid(
                    place,
                    format!("{name} has {length} elements, expected {n} as positions has"),
                    "",
                ));
            }
        }
        if let Some(v) = self.triangles.iter().flatten().find(|&&v| v as usize >= n) {
            return Err(Error::invalid(place, format!("a triangle names vertex {v} of {n}"), ""));
        }
        let finite = self.positions.as_flattened().iter().all(|x| x.is_finite())
            && self.normals.iter().flatten().flatten().all(|x| x.is_finite())
            && self.texcoords.iter().flatten().flatten().all(|x| x.is_finite())
            && self.colors.iter().flatten().flatten().all(|x| x.is_finite());
        if finite { Ok(()) } else { Err(Error::invalid(place, "the mesh has numbers that are not finite", "")) }
    }
}

impl Scene {
    /// An empty scene called `name`.
    pub fn new(name: &str) -> Self {
        let json = json!({
            "asset": {"version": "2.0", "generator": "lumigrad"},
            "scene": 0,
            "scenes": [{"name": name}],
        });
        let document = Document { json, buffers: Vec::new(), file: name.to_owned(), directory: None };
        Self {
            warnings: Vec::new(),
            document,
            nodes: Vec::new(),
            roots: Vec::new(),
            meshes: Vec::new(),
            materials: Vec::new(),
            textures: Vec::new(),
            images: Vec::new(),
            cameras: Vec::new(),
            lights: Vec::new(),
            skins: Vec::new(),
            changes: Default::default(),
        }
    }

    /// A scene of one mesh with one material (whose texture slots are ignored) and perhaps a base-colour picture.
    ///
    /// # Errors
    /// As [`add_mesh`](Self::add_mesh); with a picture, the mesh must have texture coordinates.
    pub fn from_mesh(name: &str, mesh: &MeshData, material: &Material, base_color: Option<&Image>) -> Result<Self> {
        let mut scene = Self::new(name);
        let material = scene.add_material(material)?;
        if let Some(image) = base_color {
            if mesh.texcoords.is_none() {
                return Err(Error::invalid(name, "a mesh without texture coordinates cannot carry a picture", ""));
            }
            let slot = format!("/materials/{material}/pbrMetallicRoughness/baseColorTexture");
            scene.create_texture(&slot, image.width, image.height, &image.to_f32(true))?;
        }
        let mesh = scene.add_mesh(name, &[(mesh.clone(), Some(material))])?;
        scene.add_node(&Node { name: name.to_owned(), mesh: Some(mesh), ..Node::default() })?;
        Ok(scene)
    }

    /// Adds a material and returns its index. Its texture slots are ignored: see
    /// [`create_texture`](Self::create_texture).
    ///
    /// # Errors
    /// A number is not finite.
    pub fn add_material(&mut self, material: &Material) -> Result<usize> {
        let json = material_json(material);
        let (index, read) = self.add("/materials", json.clone(), |at| read_material(at, &[]))?;
        for extension in json.get("extensions").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            declare_extensions(&mut self.document.json, &format!("/extensions/{extension}"));
        }
        self.materials.push(read);
        Ok(index)
    }

    /// Adds a mesh of primitives with material indices and returns its index; a node must place it.
    ///
    /// # Errors
    /// Arrays differ in length, an index is out of range, or a number is not finite.
    pub fn add_mesh(&mut self, name: &str, primitives: &[(MeshData, Option<usize>)]) -> Result<usize> {
        let mut list = Vec::new();
        for (data, material) in primitives {
            data.check(name)?;
            let mut entry = json!({"attributes": {}});
            if let Some(material) = material {
                if *material >= self.materials.len() {
                    return Err(Error::invalid(name, format!("there is no material {material}"), ""));
                }
                entry["material"] = json!(material);
            }
            list.push(entry);
        }
        let index = append(&mut self.document.json, "/meshes", json!({"name": name, "primitives": list}));
        let empty = primitives.iter().map(|(_, material)| Primitive { material: *material, ..Primitive::default() });
        self.meshes.push(Mesh { name: name.to_owned(), primitives: empty.collect(), weights: Vec::new() });
        for (i, (data, _)) in primitives.iter().enumerate() {
            self.replace_geometry(index, i, data)?;
        }
        Ok(index)
    }

    /// Adds a camera and returns its index; a node must place it.
    ///
    /// # Errors
    /// Its numbers are not positive or not finite.
    pub fn add_camera(&mut self, camera: &Camera) -> Result<usize> {
        let (kind, mut body) = match camera.projection {
            Projection::Perspective { yfov, znear, .. } => {
                ("perspective", json!({"yfov": number(yfov), "znear": number(znear)}))
            }
            Projection::Orthographic { xmag, ymag, znear, zfar } => {
                let body =
                    json!({"xmag": number(xmag), "ymag": number(ymag), "znear": number(znear), "zfar": number(zfar)});
                ("orthographic", body)
            }
        };
        if let Projection::Perspective { aspect_ratio, zfar, .. } = camera.projection {
            aspect_ratio.into_iter().for_each(|x| body["aspectRatio"] = number(x));
            zfar.into_iter().for_each(|x| body["zfar"] = number(x));
        }
        let (index, read) =
            self.add("/cameras", json!({"name": camera.name, "type": kind, kind: body}), read_camera)?;
        self.cameras.push(read);
        Ok(index)
    }

    /// Adds a punctual light and returns its index; a node must place it.
    ///
    /// # Errors
    /// A number is not finite.
    pub fn add_light(&mut self, light: &Light) -> Result<usize> {
        let color: Value = light.color.map(number).into_iter().collect();
        let mut json = json!({"name": light.name, "color": color, "intensity": number(light.intensity)});
        json["type"] = match light.kind {
            LightKind::Directional => json!("directional"),
            LightKind::Point => json!("point"),
            LightKind::Spot { inner_cone_angle, outer_cone_angle } => {
                json["spot"] =
                    json!({"innerConeAngle": number(inner_cone_angle), "outerConeAngle": number(outer_cone_angle)});
                json!("spot")
            }
        };
        light.range.into_iter().for_each(|range| json["range"] = number(range));
        let list = format!("/extensions/{LIGHTS}/lights");
        let (index, read) = self.add(&list, json, |at| read_light(at, &mut Vec::new()))?;
        declare_extensions(&mut self.document.json, &list);
        self.lights.push(read);
        Ok(index)
    }

    /// Adds a root node to the active scene and returns its index; `children` and `parent` are ignored.
    ///
    /// # Errors
    /// It names a mesh, camera, light or skin that is not there, or a number is not finite.
    pub fn add_node(&mut self, node: &Node) -> Result<usize> {
        let list = |values: &[f32]| -> Value { values.iter().copied().map(number).collect() };
        let mut json = json!({});
        if !node.name.is_empty() {
            json["name"] = json!(node.name);
        }
        match node.transform {
            Transform::IDENTITY => {}
            Transform::Matrix(matrix) => json["matrix"] = list(&matrix),
            Transform::Trs { translation, rotation: [w, x, y, z], scale } => {
                json["translation"] = list(&translation);
                json["rotation"] = list(&[x, y, z, w]);
                json["scale"] = list(&scale);
            }
        }
        for (key, index) in [("mesh", node.mesh), ("camera", node.camera), ("skin", node.skin)] {
            index.into_iter().for_each(|index| json[key] = json!(index));
        }
        node.light.into_iter().for_each(|light| json["extensions"] = json!({LIGHTS: {"light": light}}));
        let root = self.document.json.clone();
        let (index, read) =
            self.add("/nodes", json, |at| read_node(&crate::gltf::json::Json::root(&root, "scene"), at))?;
        self.nodes.push(read);
        let scene = self.document.json.get("scene").and_then(Value::as_u64).unwrap_or(0);
        if self.document.json.pointer(&format!("/scenes/{scene}")).is_some() {
            append(&mut self.document.json, &format!("/scenes/{scene}/nodes"), json!(index));
        }
        self.roots.push(index);
        Ok(index)
    }
}

/// The JSON of a material's numbers, without what is default.
fn material_json(m: &Material) -> Value {
    let plain = Material::default();
    let list = |values: &[f32]| -> Value { values.iter().copied().map(number).collect() };
    let (mut out, mut pbr, mut extensions) = (json!({}), json!({}), json!({}));
    if !m.name.is_empty() {
        out["name"] = json!(m.name);
    }
    if m.base_color_factor != plain.base_color_factor {
        pbr["baseColorFactor"] = list(&m.base_color_factor);
    }
    if m.metallic_factor != plain.metallic_factor {
        pbr["metallicFactor"] = number(m.metallic_factor);
    }
    if m.roughness_factor != plain.roughness_factor {
        pbr["roughnessFactor"] = number(m.roughness_factor);
    }
    if m.emissive_factor != plain.emissive_factor {
        out["emissiveFactor"] = list(&m.emissive_factor);
    }
    match m.alpha_mode {
        AlphaMode::Opaque => {}
        AlphaMode::Mask => {
            out["alphaMode"] = json!("MASK");
            out["alphaCutoff"] = number(m.alpha_cutoff);
        }
        AlphaMode::Blend => out["alphaMode"] = json!("BLEND"),
    }
    if m.double_sided {
        out["doubleSided"] = json!(true);
    }
    if m.unlit {
        extensions["KHR_materials_unlit"] = json!({});
    }
    if m.emissive_strength != plain.emissive_strength {
        extensions["KHR_materials_emissive_strength"] = json!({"emissiveStrength": number(m.emissive_strength)});
    }
    if m.ior != plain.ior {
        extensions["KHR_materials_ior"] = json!({"ior": number(m.ior)});
    }
    if let Some(s) = &m.specular {
        extensions["KHR_materials_specular"] =
            json!({"specularFactor": number(s.factor), "specularColorFactor": list(&s.color_factor)});
    }
    if let Some(c) = &m.clearcoat {
        extensions["KHR_materials_clearcoat"] =
            json!({"clearcoatFactor": number(c.factor), "clearcoatRoughnessFactor": number(c.roughness_factor)});
    }
    if let Some(t) = &m.transmission {
        extensions["KHR_materials_transmission"] = json!({"transmissionFactor": number(t.factor)});
    }
    for (key, part) in [("pbrMetallicRoughness", pbr), ("extensions", extensions)] {
        if part.as_object().is_some_and(|p| !p.is_empty()) {
            out[key] = part;
        }
    }
    out
}
