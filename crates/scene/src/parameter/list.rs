//! Lists the parameters of a scene.

use super::fields::{self, Field, SLOTS};
use super::{Parameter, ParameterKind};
use crate::Scene;
use crate::gltf::json::{Json, escape};
use crate::gltf::nodes::LIGHTS;
use crate::model::{AlphaMode, LightKind, Material, Projection, TextureInfo, Transform};
use crate::scene::Array;

/// Where a parameter's value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    /// In the JSON at the pointer; `default` where it is absent. A scalar is a plain number.
    Json { default: Vec<f32>, scalar: bool },
    /// The translation, rotation or scale of a node.
    Transform { node: usize },
    /// An image.
    Image,
    /// A per-vertex array.
    Array { mesh: usize, primitive: usize, array: Array, set: usize },
}

/// The object a parameter belongs to: the arrays of the file that hold parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Owner {
    Node(usize),
    Camera(usize),
    Light(usize),
    Material(usize),
    Mesh(usize),
}

/// A parameter, where it is, and whether it is listed or only found by its full name.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub parameter: Parameter,
    pub owner: Owner,
    pub source: Source,
    pub listed: bool,
}

impl Scene {
    /// Everything that can be optimised: node transforms, cameras, lights, material factors and textures, positions and
    /// vertex colours.
    ///
    /// Fields of extensions that an object lacks are left out; they can still be got, set and resolved by pointer.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.entries().into_iter().filter(|e| e.listed).map(|e| e.parameter).collect()
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        let owners = (0..self.nodes.len()).map(Owner::Node);
        let owners = owners.chain((0..self.cameras.len()).map(Owner::Camera));
        let owners = owners.chain((0..self.lights.len()).map(Owner::Light));
        let owners = owners.chain((0..self.materials.len()).map(Owner::Material));
        let owners = owners.chain((0..self.meshes.len()).map(Owner::Mesh));
        owners.flat_map(|owner| self.entries_of(owner)).collect()
    }

    /// The entry with exactly this pointer.
    pub(super) fn find(&self, pointer: &str) -> Option<Entry> {
        let owner = self.owner_of(pointer)?;
        self.entries_of(owner).into_iter().find(|e| e.parameter.pointer == pointer)
    }

    pub(super) fn owner_of(&self, pointer: &str) -> Option<Owner> {
        let light_prefix = format!("/extensions/{LIGHTS}/lights/");
        let (kind, rest) = match pointer.strip_prefix(&light_prefix) {
            Some(rest) => ("lights", rest),
            None => pointer.strip_prefix('/')?.split_once('/')?,
        };
        let index: usize = rest.split('/').next()?.parse().ok()?;
        let (owner, len) = match kind {
            "nodes" => (Owner::Node(index), self.nodes.len()),
            "cameras" => (Owner::Camera(index), self.cameras.len()),
            "lights" => (Owner::Light(index), self.lights.len()),
            "materials" => (Owner::Material(index), self.materials.len()),
            "meshes" => (Owner::Mesh(index), self.meshes.len()),
            _ => return None,
        };
        (index < len).then_some(owner)
    }

    /// Pointer of an owner, with its index and, where it has one, with its name.
    pub(super) fn pointers_of(&self, owner: Owner) -> (String, Option<String>) {
        let (list, index, name) = match owner {
            Owner::Node(i) => ("/nodes".to_owned(), i, &self.nodes[i].name),
            Owner::Camera(i) => ("/cameras".to_owned(), i, &self.cameras[i].name),
            Owner::Light(i) => (format!("/extensions/{LIGHTS}/lights"), i, &self.lights[i].name),
            Owner::Material(i) => ("/materials".to_owned(), i, &self.materials[i].name),
            Owner::Mesh(i) => ("/meshes".to_owned(), i, &self.meshes[i].name),
        };
        (format!("{list}/{index}"), (!name.is_empty()).then(|| format!("{list}/{}", escape(name))))
    }

    pub(super) fn entries_of(&self, owner: Owner) -> Vec<Entry> {
        let (pointer, name) = self.pointers_of(owner);
        let mut list = Lister { scene: self, owner, pointer, name, entries: Vec::new() };
        match owner {
            Owner::Node(i) => list.node(i),
            Owner::Camera(i) => match self.cameras[i].projection {
                Projection::Perspective { .. } => list.fields(fields::PERSPECTIVE, "", true),
                Projection::Orthographic { .. } => list.fields(fields::ORTHOGRAPHIC, "", true),
            },
            Owner::Light(i) => list.light(i),
            Owner::Material(i) => list.material(&self.materials[i]),
            Owner::Mesh(i) => list.mesh(i),
        }
        list.entries
    }
}

struct Lister<'a> {
    scene: &'a Scene,
    owner: Owner,
    pointer: String,
    name: Option<String>,
    entries: Vec<Entry>,
}

impl Lister<'_> {
    fn push(
        &mut self,
        path: &str,
        shape: &[usize],
        kind: ParameterKind,
        bounds: (f32, f32),
        source: Source,
        listed: bool,
    ) {
        let pointer = format!("{}/{path}", self.pointer);
        let name = self.name.as_ref().map(|name| format!("{name}/{path}"));
        let parameter = Parameter { pointer, name, shape: shape.to_vec(), kind, bounds };
        self.entries.push(Entry { parameter, owner: self.owner, source, listed });
    }

    fn field(&mut self, field: &Field, below: &str, listed: bool) {
        let path = format!("{below}{}", field.path);
        let (n, default) = (field.default.len(), field.default.to_vec());
        self.push(&path, &[n], field.kind, field.bounds, Source::Json { default, scalar: n == 1 }, listed);
    }

    fn fields(&mut self, fields: &[Field], below: &str, listed: bool) {
        fields.iter().for_each(|f| self.field(f, below, listed));
    }

    /// This object's JSON, or what lies below it.
    fn json(&self, path: &str) -> Option<Json<'_>> {
        let pointer = if path.is_empty() { self.pointer.clone() } else { format!("{}/{path}", self.pointer) };
        self.scene.document.root().at(&pointer)
    }

    fn node(&mut self, i: usize) {
        let inf = f32::INFINITY;
        let node = &self.scene.nodes[i];
        let source = || Source::Transform { node: i };
        if let (Transform::Matrix(_), None) = (node.transform, node.transform.decompose()) {
            self.push("matrix", &[4, 4], ParameterKind::Matrix, (-inf, inf), source(), true);
        } else {
            self.push("translation", &[3], ParameterKind::Translation, (-inf, inf), source(), true);
            self.push("rotation", &[4], ParameterKind::Rotation, (-1.0, 1.0), source(), true);
            self.push("scale", &[3], ParameterKind::Scale, (-inf, inf), source(), true);
        }
        if let Some(mesh) = node.mesh {
            self.weights(mesh, self.scene.nodes[i].weights.is_some());
        }
    }

    fn weights(&mut self, mesh: usize, listed: bool) {
        let default = self.scene.meshes[mesh].weights.clone();
        if !default.is_empty() {
            let (shape, bounds) = ([default.len()], (f32::NEG_INFINITY, f32::INFINITY));
            self.push(
                "weights",
                &shape,
                ParameterKind::MorphWeights,
                bounds,
                Source::Json { default, scalar: false },
                listed,
            );
        }
    }

    fn light(&mut self, i: usize) {
        let light = &self.scene.lights[i];
        let (ranged, spot) = (light.range.is_some(), matches!(light.kind, LightKind::Spot { .. }));
        for field in fields::LIGHT {
            if spot || !field.path.starts_with("spot/") {
                self.field(field, "", ranged || field.path != "range");
            }
        }
    }

    fn material(&mut self, material: &Material) {
        let scene = self.scene;
        for field in fields::MATERIAL {
            let mut listed = field.path != "alphaCutoff" || material.alpha_mode == AlphaMode::Mask;
            if let Some((parent, _)) = field.path.rsplit_once('/') {
                let present = self.json(parent).is_some();
                if parent.ends_with("Texture") && !present {
                    continue;
                }
                listed &= present || !parent.starts_with("extensions/");
            }
            self.field(field, "", listed);
        }
        for slot in SLOTS {
            let Some(info) = material.slot(slot.path) else { continue };
            let Some(image) = scene.textures[info.texture].image else { continue };
            let picture = &scene.images[image];
            // Opaque materials do not look at the base colour's alpha.
            let [r, g, b, a] = slot.channels;
            let channels = [r, g, b, a && (material.alpha_mode != AlphaMode::Opaque || !r)];
            let kind = ParameterKind::Texture { image, srgb: slot.srgb, channels };
            let shape = [picture.height as usize, picture.width as usize, 4];
            self.push(slot.path, &shape, kind, (0.0, 1.0), Source::Image, true);
            self.fields(fields::TRANSFORM, &format!("{}/", slot.path), info.transform.is_some());
        }
    }

    fn mesh(&mut self, mesh: usize) {
        let (inf, scene) = (f32::INFINITY, self.scene);
        for (i, primitive) in scene.meshes[mesh].primitives.iter().enumerate() {
            let n = primitive.positions.len();
            if n == 0 {
                continue;
            }
            let mut push = |name: &str, array: Array, set: usize, width: usize, kind: ParameterKind, bounds, listed| {
                let path = format!("primitives/{i}/attributes/{name}");
                let source = Source::Array { mesh, primitive: i, array, set };
                self.push(&path, &[n, width], kind, bounds, source, listed);
            };
            push("POSITION", Array::Positions, 0, 3, ParameterKind::Position, (-inf, inf), true);
            if primitive.colors.is_some() {
                push("COLOR_0", Array::Colors, 0, 4, ParameterKind::VertexColor, (0.0, 1.0), true);
            }
            if primitive.normals.is_some() {
                push("NORMAL", Array::Normals, 0, 3, ParameterKind::Normal, (-1.0, 1.0), false);
            }
            if primitive.tangents.is_some() {
                push("TANGENT", Array::Tangents, 0, 4, ParameterKind::Tangent, (-1.0, 1.0), false);
            }
            for set in (0..primitive.texcoords.len()).filter(|&set| primitive.texcoord(set).is_some()) {
                let name = format!("TEXCOORD_{set}");
                push(&name, Array::Texcoords, set, 2, ParameterKind::Texcoord, (-inf, inf), false);
            }
        }
        self.weights(mesh, true);
    }
}

impl Material {
    /// The texture slot whose keys below the material are `path`, joined by `/` as in a pointer.
    pub fn slot(&self, path: &str) -> Option<TextureInfo> {
        let (specular, clearcoat) = (self.specular.as_ref(), self.clearcoat.as_ref());
        match path {
            "pbrMetallicRoughness/baseColorTexture" => self.base_color_texture,
            "pbrMetallicRoughness/metallicRoughnessTexture" => self.metallic_roughness_texture,
            "normalTexture" => self.normal_texture,
            "occlusionTexture" => self.occlusion_texture,
            "emissiveTexture" => self.emissive_texture,
            "extensions/KHR_materials_specular/specularTexture" => specular?.texture,
            "extensions/KHR_materials_specular/specularColorTexture" => specular?.color_texture,
            "extensions/KHR_materials_clearcoat/clearcoatTexture" => clearcoat?.texture,
            "extensions/KHR_materials_clearcoat/clearcoatRoughnessTexture" => clearcoat?.roughness_texture,
            "extensions/KHR_materials_clearcoat/clearcoatNormalTexture" => clearcoat?.normal_texture,
            "extensions/KHR_materials_transmission/transmissionTexture" => self.transmission.as_ref()?.texture,
            _ => None,
        }
    }
}
