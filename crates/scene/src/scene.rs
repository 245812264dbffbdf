//! The scene: a document and the typed model read from it.

use crate::Result;
use crate::gltf::accessor::Accessors;
use crate::gltf::container::Document;
use crate::gltf::json::Json;
use crate::gltf::materials::{read_material, warn_about_unrendered};
use crate::gltf::meshes::MeshReader;
use crate::gltf::nodes::{LIGHTS, read_camera, read_light, read_nodes, read_roots, read_skin};
use crate::gltf::{check_features, images};
use crate::mesh::load_mesh;
use crate::model::{Camera, Image, Light, Material, Mesh, Node, Skin, Texture};
use crate::normals;
use crate::parameter::SLOTS;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A glTF scene: the file as it is, and a typed model of what it means.
///
/// Change it through [`set`](Self::set), [`create_texture`](Self::create_texture) and
/// [`replace_geometry`](Self::replace_geometry); then the model and what [`save`](Self::save) writes agree.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What the file holds that is not rendered, not understood or repaired; each once, with its pointer.
    pub warnings: Vec<String>,
    pub(crate) document: Document,
    pub(crate) nodes: Vec<Node>,
    pub(crate) roots: Vec<usize>,
    pub(crate) meshes: Vec<Mesh>,
    pub(crate) materials: Vec<Material>,
    pub(crate) textures: Vec<Texture>,
    pub(crate) images: Vec<Image>,
    pub(crate) cameras: Vec<Camera>,
    pub(crate) lights: Vec<Light>,
    pub(crate) skins: Vec<Skin>,
    pub(crate) changes: Changes,
}

/// What differs from the document's buffers; everything small is written to the JSON at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Images whose pixels changed.
    pub images: BTreeSet<usize>,
    /// Arrays of (mesh, primitive) that changed.
    pub primitives: BTreeMap<(usize, usize), BTreeSet<Array>>,
}

/// One array of a primitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Array {
    Positions,
    Normals,
    Tangents,
    Colors,
    Texcoords,
    Triangles,
    /// Joints, weights and morph targets: what cannot follow a new set of vertices.
    Skinning,
}

impl Scene {
    /// Reads a `.glb` or `.gltf` file with its buffers and images, or a mesh (`.obj`, `.ply`, `.stl`) as a scene of one
    /// node with a dielectric material.
    ///
    /// # Errors
    /// The file cannot be read, is no glTF 2.0, requires an unknown extension, or has broken data where the active
    /// scene needs it; the error names file and pointer. Broken data that nothing uses becomes a warning.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if matches!(ending.as_str(), "obj" | "ply" | "stl") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let mut scene = Self::from_triangle_mesh(&name, &load_mesh(path)?)?;
            scene.document.file = path.display().to_string();
            return Ok(scene);
        }
        let mut warnings = Vec::new();
        let document = Document::read(path, &mut warnings)?;
        Self::from_document(document, warnings)
    }

    /// Reads the bytes of a `.glb` or `.gltf` file called `name` in messages; relative URIs are not followed.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self> {
        let mut warnings = Vec::new();
        let document = Document::parse(bytes, name.to_owned(), None, &mut warnings)?;
        Self::from_document(document, warnings)
    }

    pub(crate) fn from_document(document: Document, mut warnings: Vec<String>) -> Result<Self> {
        let root = document.root();
        check_features(&root, &mut warnings)?;
        let mut textures = images::read_textures(&root, &mut warnings)?;
        let images = images::read_images(&document, &mut textures, &mut warnings)?;
        let materials = each(&root, "materials", |at| read_material(at, &textures))?;
        materials.iter().enumerate().for_each(|(i, m)| warn_about_unrendered(i, m, &mut warnings));
        let nodes = read_nodes(&root)?;
        let roots = read_roots(&root, &nodes)?;
        let cameras = each(&root, "cameras", read_camera)?;
        let lights = match root.extension(LIGHTS) {
            Some(extension) => each(&extension, "lights", |at| read_light(at, &mut warnings))?,
            None => Vec::new(),
        };
        let mut accessors = Accessors::new(&document)?;
        let skins = each(&root, "skins", |at| read_skin(at, nodes.len(), &mut accessors))?;
        let mut scene = Self {
            warnings: Vec::new(),
            nodes,
            roots,
            meshes: Vec::new(),
            materials,
            textures,
            images,
            cameras,
            lights,
            skins,
            changes: Changes::default(),
            document: Document {
                json: serde_json::Value::Null,
                buffers: Vec::new(),
                file: String::new(),
                directory: None,
            },
        };
        let drawn: BTreeSet<usize> = scene.reachable().into_iter().filter_map(|node| scene.nodes[node].mesh).collect();
        let mut reader = MeshReader { accessors, n_materials: scene.materials.len(), warnings: &mut warnings };
        for (i, at) in root.objects("meshes")?.iter().enumerate() {
            scene.meshes.push(match reader.read(at) {
                Ok(mesh) => mesh,
                Err(error) if !drawn.contains(&i) => {
                    reader.warnings.push(format!("{}: not read, and not used: {error}", at.pointer()));
                    Mesh::default()
                }
                Err(error) => return Err(error),
            });
        }
        drop(root);
        scene.document = document;
        scene.warnings = warnings;
        scene.warn_about_texcoords();
        scene.generate_tangents();
        scene.check_instances()?;
        Ok(scene)
    }

    /// The nodes; their indices are those of the file.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Root nodes of the active scene.
    pub fn roots(&self) -> &[usize] {
        &self.roots
    }

    /// The meshes.
    pub fn meshes(&self) -> &[Mesh] {
        &self.meshes
    }

    /// The materials; a primitive without one has `Material::default()`.
    pub fn materials(&self) -> &[Material] {
        &self.materials
    }

    /// The textures.
    pub fn textures(&self) -> &[Texture] {
        &self.textures
    }

    /// The images.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The cameras; nodes place them.
    pub fn cameras(&self) -> &[Camera] {
        &self.cameras
    }

    /// The punctual lights; nodes place them.
    pub fn lights(&self) -> &[Light] {
        &self.lights
    }

    /// The skins.
    pub fn skins(&self) -> &[Skin] {
        &self.skins
    }

    /// How messages call the file.
    pub fn file(&self) -> &str {
        &self.document.file
    }

    /// The file's JSON as it stands (geometry and images that were set are written on saving).
    pub fn json(&self) -> &serde_json::Value {
        &self.document.json
    }

    /// Names the texture coordinates that materials ask for and primitives lack.
    fn warn_about_texcoords(&mut self) {
        for (m, mesh) in self.meshes.iter().enumerate() {
            for (p, primitive) in mesh.primitives.iter().enumerate() {
                let Some(material) = primitive.material.filter(|_| !primitive.triangles.is_empty()) else { continue };
                let slots = SLOTS.iter().filter_map(|slot| self.materials[material].slot(slot.path));
                let missing: BTreeSet<usize> =
                    slots.map(|info| info.texcoord).filter(|&set| primitive.texcoord(set).is_none()).collect();
                for set in missing {
                    let place = format!("/meshes/{m}/primitives/{p}/attributes/TEXCOORD_{set}");
                    self.warnings.push(format!("{place}: not there, but material {material} has textures that use it"));
                }
            }
        }
    }

    /// Makes tangents for all primitives whose material maps normals and whose file gives none.
    pub(crate) fn generate_tangents(&mut self) {
        let places: Vec<(usize, usize)> = self
            .meshes
            .iter()
            .enumerate()
            .flat_map(|(m, mesh)| (0..mesh.primitives.len()).map(move |p| (m, p)))
            .collect();
        places.into_iter().for_each(|(mesh, primitive)| self.generate_tangents_of(mesh, primitive));
    }

    /// The same for one primitive.
    pub(crate) fn generate_tangents_of(&mut self, mesh: usize, primitive: usize) {
        let primitive = &mut self.meshes[mesh].primitives[primitive];
        if primitive.tangents.is_some() && !primitive.tangents_generated {
            return;
        }
        let material = primitive.material.map(|m| &self.materials[m]);
        let slot = material.and_then(|m| m.normal_texture.or(m.clearcoat.as_ref().and_then(|c| c.normal_texture)));
        primitive.tangents = slot.and_then(|slot| normals::generate(primitive, slot.texcoord));
        primitive.tangents_generated = primitive.tangents.is_some();
    }
}

fn each<T>(at: &Json<'_>, key: &str, mut read: impl FnMut(&Json<'_>) -> Result<T>) -> Result<Vec<T>> {
    at.objects(key)?.iter().map(&mut read).collect()
}
